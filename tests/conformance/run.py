"""Compare what the application answers with what Phoenix answered, scenario by scenario, on every server.

    python tests/conformance/run.py --all
    python tests/conformance/run.py --all --write
    python tests/conformance/run.py --server websockets --only 'join_*'

Scenarios run in parallel, on several processes of each server: topics have the same names in all of them, so that two
at once on one process would see each other's broadcasts. The exit status is 1 when a scenario differs that
``allowed.toml`` does not list, when one is equal that it does list, and when ``results.toml`` says something else than
what was found; --write writes that file anew.
"""

import argparse
import asyncio
import difflib
import fnmatch
import gc
import json
import re
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":  # started as a program, it finds only its own folder
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.conformance import probes, results, transcript
from tests.conformance.servers import ALL_SERVERS, AppPool, AppProcess

HERE = Path(__file__).parent
EXPECTED = transcript.load(str(HERE / "phoenix-1.8.12.jsonl"))
LEGAL_REASON = re.compile(r"(presence|(race|deviation [1-8]|server limit): \S.*) \(P-\d{3}\)")
# What is about timeouts of less than a second; and, besides, what depends on two things being done at the same time.
SHORT = {name for name, log in EXPECTED.items() if any("/short/" in entry for entry in log)}
TIMED = SHORT | {"channel_async_reply", "lp_waiting_poll"}
# The tables of allowed.toml: which servers each is about.
TABLES: dict[str, Sequence[str]] = {
    "all": ALL_SERVERS,
    "http": [server for server in ALL_SERVERS if server != "websockets"],
    "asgi": [server for server in ALL_SERVERS if server not in ("fast", "websockets")],
    **{server: [server] for server in ALL_SERVERS},
}
# Processes of one server, and of all. A scenario sleeps nearly all the time, until the wire has been quiet for a while.
PROCESSES = 12
ALL_PROCESSES = 36
QUIET = 0.15


def load_allowed(path: Path = HERE / "allowed.toml") -> dict[tuple[str, str], str]:
    """The reason for each (server, scenario) that need not be equal."""
    with path.open("rb") as file:
        tables = tomllib.load(file)
    allowed: dict[tuple[str, str], str] = {}
    for table, entries in tables.items():
        for scenario, reason in entries.items():
            if scenario not in EXPECTED or table not in TABLES or not LEGAL_REASON.fullmatch(reason):
                raise ValueError(
                    f"{path.name}: no such scenario, server or legal reason: [{table}] {scenario} = {reason!r}"
                )
            for server in TABLES[table]:
                if (server, scenario) in allowed:
                    raise ValueError(f"{path.name}: {scenario} is listed twice for {server}")
                allowed[server, scenario] = reason
    return allowed


@dataclass(frozen=True)
class Outcome:
    """One scenario on one server: how the recording differs from Phoenix's, and why that is allowed, if it is."""

    server: str
    scenario: str
    log: Sequence[str]
    diff: Sequence[str]
    reason: str | None

    @property
    def problem(self) -> str | None:
        name = f"{self.server}: {self.scenario}"
        if self.diff and self.reason is None:
            return "\n".join((f"{name} differs from Phoenix", *self.diff))
        if not self.diff and self.reason is not None and not self.reason.startswith("race:"):
            return f"{name} is equal now; remove it from allowed.toml ({self.reason})"
        return None

    @property
    def kind(self) -> str:
        """ "equal" or one of ``results.KINDS``."""
        if self.reason is None:
            return "equal"
        return next(kind for kind in results.KINDS if self.reason.startswith(kind))


class Comparison(NamedTuple):
    outcomes: list[Outcome]
    probes: dict[str, dict[str, str]]
    """By server, the results of :mod:`.probes`."""
    complaints: list[str]
    """Of the processes, about anything; see ``AppPool``."""

    def found(self) -> dict[str, results.Results]:
        """What is known of Phoenix, and of each server: the whole of it, or the part that was recorded."""
        servers = dict.fromkeys(outcome.server for outcome in self.outcomes)
        return {"Phoenix": phoenix(), **{server: self._found(server) for server in servers}}

    def _found(self, server: str) -> results.Results:
        own = [outcome for outcome in self.outcomes if outcome.server == server]
        table = results.capabilities({outcome.scenario: (outcome.log, not outcome.diff) for outcome in own})
        kinds = {outcome.scenario: outcome.kind for outcome in own}
        return results.Results(kinds, {**table, **self.probes.get(server, {})})


def compare(
    servers: Iterable[str],
    scenarios: Iterable[str] = EXPECTED,
    *,
    processes: int | None = None,
    quiet: float = QUIET,
    progress: Callable[[Outcome], None] | None = None,
) -> Comparison:
    """Record the scenarios on each server and compare them with the recording of Phoenix.

    When it is about all scenarios, one process of each server is also probed.
    """
    servers, scenarios = list(servers), list(scenarios)
    processes = processes or min(PROCESSES, ALL_PROCESSES // max(1, len(servers)))
    allowed = load_allowed()

    async def record(process: AppProcess, waiting: list[str]) -> list[Outcome]:
        url = f"{await asyncio.to_thread(lambda: process.url)}/socket"
        outcomes: list[Outcome] = []
        while waiting:
            scenario = waiting.pop()
            reason = allowed.get((process.server, scenario))
            expected = comparable(EXPECTED[scenario])
            actual = comparable((await transcript.record(scenario, url, quiet, 60))["log"])
            for _ in range(2):
                # A busy machine is no difference.
                if reason is None and expected != actual and (scenario in TIMED or late(expected, actual)):
                    patient = quiet if scenario in SHORT else 4 * quiet
                    actual = comparable((await transcript.record(scenario, url, patient, 60))["log"])
            outcomes.append(Outcome(process.server, scenario, actual, difference(expected, actual), reason))
            if progress is not None:
                progress(outcomes[-1])
        return outcomes

    async def record_all(pool: Iterable[AppProcess]) -> list[list[Outcome]]:
        # Taken from the end: first what takes longest (polls wait for seconds), so that it is not left over when all
        # else is done; last what should not be disturbed.
        order = sorted(scenarios, key=lambda name: (name not in TIMED, "lp_" in name, len(EXPECTED[name])))
        waiting = {server: list(order) for server in servers}
        return await asyncio.gather(*(record(process, waiting[process.server]) for process in pool))

    async def probe(pool: Iterable[AppProcess]) -> dict[str, dict[str, str]]:
        one_of_each = {process.server: process for process in pool}
        seen = await asyncio.gather(*(probes.probe(process) for process in one_of_each.values()))
        return dict(zip(one_of_each, seen, strict=True))

    pool = AppPool(server for server in servers for _ in range(min(processes, len(scenarios))))
    with pool as running:
        outcomes = list(chain.from_iterable(asyncio.run(record_all(running))))
        probed = asyncio.run(probe(running)) if len(scenarios) == len(EXPECTED) else {}
        # The recorder leaves connections that a server hung up on to the garbage collector. A server waits for them.
        gc.collect()
    outcomes.sort(key=lambda outcome: (servers.index(outcome.server), scenarios.index(outcome.scenario)))
    return Comparison(outcomes, probed, pool.complaints)


def canonical(text: str) -> str | None:
    """JSON with its keys in order, also in the messages of a poll's answer, each of which is JSON in a string."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        value["messages"] = [canonical(message) or message for message in value["messages"]]
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


# The recording program looks this up; its own leaves the messages of a poll as they are.
transcript.canonical = canonical


def comparable(log: Iterable[str]) -> list[str]:
    return [transcript.comparable(entry, False) for entry in log]


def late(expected: Sequence[str], actual: Sequence[str]) -> bool:
    """Whether the first step that differs does so only because the client went on before all of its answers had come.

    A busy machine does that: a step ends when the wire has been quiet for a while. A frame that is wrong, or out of
    order, is no such case; whatever comes after such a step may be its consequence.
    """
    for wanted, got in zip(answers(expected), answers(actual), strict=False):
        if wanted != got:
            return all(wanted.get(name, [])[: len(frames)] == frames for name, frames in got.items())
    return False


def answers(log: Iterable[str]) -> list[dict[str, list[str]]]:
    """The frames of the server, by step and client."""
    steps: list[dict[str, list[str]]] = [{}]
    for entry in log:
        if found := re.match(r"[\w-]+(?=<)", entry):
            steps[-1].setdefault(found[0], []).append(entry)
        else:
            steps.append({})
    return steps


def difference(expected: Sequence[str], actual: Sequence[str]) -> list[str]:
    lines = difflib.unified_diff(expected, actual, "Phoenix", "here", lineterm="", n=2)
    return [line if len(line) <= 600 else f"{line[:600]}..." for line in lines]


def phoenix() -> results.Results:
    """What the recording says of Phoenix."""
    table = results.capabilities({scenario: (comparable(log), True) for scenario, log in EXPECTED.items()})
    return results.Results({}, {**table, **probes.PHOENIX})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="every server (the default)")
    which.add_argument("--server", action="append", choices=ALL_SERVERS, help="may be repeated")
    parser.add_argument(
        "--only", action="append", metavar="PATTERN", help="scenarios, such as 'join_*'; may be repeated"
    )
    parser.add_argument("--write", action="store_true", help="write results.toml, from every scenario on every server")
    parser.add_argument("--processes", type=int, help="processes of each server")
    parser.add_argument("--quiet", type=float, default=QUIET, metavar="SECONDS", help="when a step counts as answered")
    parser.add_argument("--show-allowed", action="store_true", help="print the differences that are allowed, too")
    options = parser.parse_args()

    scenarios = [name for name in EXPECTED if not options.only or any(fnmatch.fnmatch(name, p) for p in options.only)]
    if not scenarios:
        parser.error("no scenario has such a name")
    if options.write and (options.server or options.only):
        parser.error("--write is for --all, without --only")
    started = time.monotonic()

    def progress(outcome: Outcome) -> None:
        if outcome.problem:
            print(outcome.problem, end="\n\n", flush=True)
        elif outcome.diff and options.show_allowed:
            print(
                f"{outcome.server}: {outcome.scenario} may differ: {outcome.reason}",
                *outcome.diff,
                sep="\n",
                end="\n\n",
            )

    servers = options.server or ALL_SERVERS
    comparison = compare(servers, scenarios, processes=options.processes, quiet=options.quiet, progress=progress)
    for server in servers:
        own = [outcome for outcome in comparison.outcomes if outcome.server == server]
        equal = sum(not outcome.diff for outcome in own)
        problems = sum(outcome.problem is not None for outcome in own)
        print(f"{server}: {equal} of {len(own)} scenarios equal, {len(own) - equal} not equal, {problems} unexpected")
    print(f"{time.monotonic() - started:.1f} s")

    wrong = any(outcome.problem for outcome in comparison.outcomes) or bool(comparison.complaints)
    found = comparison.found()
    if options.write and not wrong:
        results.write(found)
    stale = results.stale(found)
    for line in (*comparison.complaints, *stale):
        print(f"\n{line}")
    sys.exit(wrong or bool(stale))


if __name__ == "__main__":
    main()
