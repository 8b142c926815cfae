"""Our presence sync and that of phoenix.js, on the same cases (P-150)."""

import json
from collections.abc import Callable
from typing import Any

from tests.protocol.presence_cases import CASES, in_brief, random_steps, results


def test_phoenix_js_agrees(told_by: Callable[[str, Any], Any]) -> None:
    cases = [*(case["steps"] for case in CASES), *map(random_steps, range(200))]
    told = told_by("presence.mjs", cases)
    for case, theirs in zip(CASES, told, strict=False):
        assert [in_brief(result) for result in theirs] == case["news"], case["name"]
    for steps, theirs in zip(cases, told, strict=True):
        # As text: so the order of keys counts too.
        assert json.dumps(results(steps)) == json.dumps(theirs), json.dumps(steps)
