"""The published npm client, unmodified, in Node against each server: every case of ``cases.mjs`` is one test here."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conformance.selection import wanted_cases
from tests.conformance.servers import APP, SERVERS, AppPool, AppProcess

HERE = Path(__file__).parent
CASES = re.findall(r"^export async function (\w+)\(", (HERE / "cases.mjs").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node, with the packages of the lock file installed."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        pytest.skip("node and npm are needed to run the JavaScript client")
    installed, lock = HERE / "node_modules" / ".package-lock.json", HERE / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        result = subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund"], cwd=HERE, capture_output=True, text=True, timeout=120, check=False
        )
        if result.returncode != 0:
            pytest.fail(f"npm ci failed:\n{result.stdout}{result.stderr}", pytrace=False)
        installed.touch()
    return found


class Results(NamedTuple):
    cases: dict[tuple[str, str], dict[str, Any]]
    complaints: list[str]
    """Of the applications, about anything; see ``AppPool``."""


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest, node: str) -> Results:
    """What Node says about each (server, case) that is to be tested; all of them run side by side."""
    wanted = wanted_cases(request.session, test_phoenix_js)
    pool = AppPool(sorted({server for server, _ in wanted}))
    with pool as processes:
        runs = {p.server: start(node, p, [case for server, case in wanted if server == p.server]) for p in processes}
        cases = {(server, case): result for server, run in runs.items() for case, result in finish(run).items()}
    return Results(cases, pool.complaints)


def start(node: str, process: AppProcess, cases: list[str]) -> "subprocess.Popen[str]":
    command = [sys.executable, str(APP), "--server", process.server, "--port"]
    task = json.dumps({"url": process.url, "command": command})
    return subprocess.Popen(
        [node, "main.mjs", task, *cases],
        cwd=HERE,
        env={**os.environ, "FORCE_COLOR": "0"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(run: "subprocess.Popen[str]") -> dict[str, dict[str, Any]]:
    """The results by case; one that Node did not get to has what Node wrote as its error."""
    try:
        stdout, stderr = run.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        run.kill()
        stdout, stderr = run.communicate()
        stderr += "\nnode did not end within 60 seconds"
    results = {result["name"]: result for result in map(json.loads, stdout.splitlines())}
    unfinished = {"ok": False, "error": f"node ended without a result for this case\n{stderr}", "log": []}
    return {case: results.get(case, unfinished) for case in CASES}


@pytest.mark.parametrize("case", [(server, case) for server in SERVERS for case in CASES], ids="-".join)
def test_phoenix_js(case: tuple[str, str], results: Results) -> None:
    result = results.cases[case]
    if not result["ok"]:
        pytest.fail("\n".join((result["error"], "", *result["log"])), pytrace=False)


def test_nothing_went_wrong_unseen(results: Results) -> None:
    if results.complaints:
        pytest.fail("\n\n".join(results.complaints), pytrace=False)
