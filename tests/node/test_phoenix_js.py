"""The published npm clients, unmodified, against the application: every case of ``cases`` is one test for each target.

``clients.py`` says what the targets are, which cases each has, and why it does not have the others.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conformance.selection import wanted_cases
from tests.conformance.servers import COMPLAINTS
from tests.node.clients import ALL_RULES, CASES, CHROMIUM, TARGETS, WANTED, Target

HERE = Path(__file__).parent
LAUNCH = {"command": [sys.executable, "-m", "tests.node.app"], "directory": str(HERE.parents[1])}
SECONDS = 110


class Results(NamedTuple):
    cases: dict[tuple[str, str], dict[str, Any]]
    stderr: str
    """Of Node and of the applications."""


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest, node: str) -> Results:
    """What Node says about each (target, case) that is to be tested; many of them run side by side."""
    wanted = wanted_cases(request.session, test_phoenix_js)
    runs = [
        {"target": name, **TARGETS[name]._asdict(), "name": case} for name, case in wanted if can_run(TARGETS[name])
    ]
    stdout, stderr = run(node, json.dumps({"launch": LAUNCH, "runs": runs, "chromium": CHROMIUM}))
    reported = {(result["target"], result["name"]): result for result in map(json.loads, stdout.splitlines())}
    unfinished = {"ok": False, "error": f"node ended without a result for this case\n{stderr}", "log": []}
    return Results({case: reported.get(case, unfinished) for case in wanted}, stderr)


def can_run(target: Target) -> bool:
    return target.runtime == "node" or CHROMIUM is not None


def run(node: str, task: str) -> tuple[str, str]:
    """What Node writes. It has a process group of its own, which is ended with all that it has started."""
    with (
        tempfile.TemporaryFile("w+") as stdin,
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+") as stderr,
    ):
        stdin.write(task)
        stdin.seek(0)
        process = subprocess.Popen(
            [node, "main.mjs"],
            cwd=HERE,
            env={**os.environ, "FORCE_COLOR": "0"},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            stderr.write(f"\nnode did not end within {SECONDS} seconds")
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        stdout.seek(0)
        stderr.seek(0)
        return stdout.read(), stderr.read()


@pytest.mark.feature("B190")
@pytest.mark.parametrize("case", WANTED, ids="-".join)
def test_phoenix_js(case: tuple[str, str], results: Results) -> None:
    if not can_run(TARGETS[case[0]]):
        pytest.skip("Chromium is missing")
    result = results.cases[case]
    if not result["ok"]:
        pytest.fail("\n".join((result["error"], "", *result["log"])), pytrace=False)


def test_nothing_went_wrong_unseen(results: Results) -> None:
    if COMPLAINTS.search(results.stderr):
        pytest.fail(f"node and the applications wrote:\n{results.stderr}", pytrace=False)


def test_every_rule_is_about_a_case_that_exists() -> None:
    cases = {case for names in CASES.values() for case in names}
    assert {case for rules in ALL_RULES for case in rules} <= cases


def test_every_case_has_a_target() -> None:
    assert {case for _, case in WANTED} == {case for names in CASES.values() for case in names}
