"""What happens to presences, for both clients: the cases of ``presence_cases.json``, and any number of random ones."""

import json
from pathlib import Path
from random import Random
from typing import Any

from phoenix_channels.protocol.payloads import encode_term
from phoenix_channels.protocol.presence_sync import PresenceJoined, PresenceSync

Step = dict[str, Any]
"""``event`` (state or diff), ``join_ref`` (of the join that is the present one), ``payload``."""

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "presence_cases.json").read_text())
"""``news`` says of each step what it tells, or null where it waits; ``list`` says who is there in the end."""


def random_steps(seed: int) -> list[Step]:
    """Few keys and few refs, so that states and diffs meet in every way; mostly of the present join."""
    random = Random(seed)
    refs, join_ref, steps = [str(ref) for ref in range(8)], 1, list[Step]()

    def presences() -> dict[str, Any]:
        keys = random.sample(["a", "b", "c", "__proto__"], random.randint(0, 3))
        return {key: presence() for key in keys}

    def presence() -> dict[str, Any]:
        metas = [{"phx_ref": ref, "n": random.randint(0, 9)} for ref in random.sample(refs, random.randint(0, 3))]
        return {"metas": metas, "user": random.randint(0, 9)} if random.random() < 0.5 else {"metas": metas}

    for _ in range(12):
        if random.random() < 0.1:
            join_ref += 1
        if random.random() < 0.25:
            steps.append({"event": "state", "join_ref": str(join_ref), "payload": presences()})
        else:
            diff = {"joins": presences(), "leaves": presences()}
            steps.append({"event": "diff", "join_ref": str(join_ref), "payload": diff})
    return steps


def results(steps: list[Step]) -> list[dict[str, Any]]:
    """Of each step what it tells and who is there afterwards, in the form in which ``presence.mjs`` says it."""
    sync, results = PresenceSync(), list[dict[str, Any]]()
    for step in steps:
        take = sync.state if step["event"] == "state" else sync.diff
        events = take(encode_term(step["payload"]), step["join_ref"])
        news = [
            ["joined", event.key, event.before, event.joined]
            if isinstance(event, PresenceJoined)
            else ["left", event.key, event.after, event.left]
            for event in events or []
        ]
        present = [[key, presence] for key, presence in sync.list().items()]
        results.append({"news": news, "synced": events is not None, "list": present})
    return results


def refs(presence: Any) -> str:
    return "[]" if presence is None else f"[{' '.join(meta['phx_ref'] for meta in presence['metas'])}]"


def in_brief(result: dict[str, Any]) -> list[str] | None:
    """The news as a case says them: the key, what it had (or has left), and what came or went."""
    if not result["synced"]:
        return None
    signs = {"joined": "+", "left": "-"}
    return [f"{key}: {refs(other)} {signs[kind]}{refs(changed)}" for kind, key, other, changed in result["news"]]
