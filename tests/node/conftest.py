"""Node, for every test that runs JavaScript."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


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


@pytest.fixture(scope="session")
def told_by(node: str) -> Callable[[str, Any], Any]:
    """What a program here says of its input; both are JSON."""

    def run(program: str, content: Any) -> Any:
        process = subprocess.run(
            [node, program],
            input=json.dumps(content),
            cwd=HERE,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout)

    return run
