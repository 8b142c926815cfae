"""Our client and phoenix.js: the same steps, the same frames at the same time, the same news (P-137 to P-146)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.node.client_scripts import Result, Step, script

Script = tuple[list[Step], list[Result]]


@pytest.fixture(scope="module")
def scripts() -> list[Script]:
    return [script(seed) for seed in range(200)]


def normal(results: list[Result]) -> list[Any]:
    """Refs are numbered as they appear, as those of phoenix.js have gaps (P-139); news of one step in any order."""
    numbers: dict[str | None, int | None] = {None: None}
    steps = []
    for result in results:
        frames = []
        for join_ref, ref, *rest in result["frames"]:
            frames.append([numbers.setdefault(join_ref, len(numbers)), numbers.setdefault(ref, len(numbers)), *rest])
        steps.append((frames, sorted(map(json.dumps, result["told"]))))
    return steps


def test_phoenix_js_does_the_same(told_by: Callable[[str, Any], Any], scripts: list[Script]) -> None:
    told = told_by("client.mjs", [steps for steps, _ in scripts])
    for (steps, ours), theirs in zip(scripts, told, strict=True):
        for at, (our, their) in enumerate(zip(normal(ours), normal(theirs), strict=True)):
            done = "\n".join(map(json.dumps, steps[: at + 1]))
            assert our == their, f"after the last of these steps:\n{done}"


def test_the_scripts_come_to_where_it_gets_interesting(scripts: list[Script]) -> None:
    told = [news[0] for _, results in scripts for result in results for news in result["told"]]
    sent = [frame[3] for _, results in scripts for result in results for frame in result["frames"]]
    for kind in ("transport", "joined", "refused", "timed out", "errored", "closed", "news", "reply"):
        assert told.count(kind) > 50, kind
    for event in ("phx_join", "phx_leave", "heartbeat", "shout"):
        assert sent.count(event) > 100, event
