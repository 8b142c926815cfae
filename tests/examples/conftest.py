"""What the clients of the examples need."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.examples.programs import Node
from tests.support.processes import ROOT


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        pytest.skip("node and npm are needed to run the JavaScript client")
    major = int(subprocess.check_output([found, "--version"], text=True).lstrip("v").partition(".")[0])
    if major < 20:
        pytest.skip(f"node 20 or later is needed for its WebSocket, this is {major}")
    folder = tmp_path_factory.mktemp("node")
    (folder / "node_modules").symlink_to(packages(npm), target_is_directory=True)
    return Node([found, *(["--experimental-websocket"] if major < 22 else [])], folder)


def packages(npm: str) -> Path:
    """The ``node_modules`` of somebody who has ``phoenix``; those of the example when nobody has."""
    places = [ROOT / "examples/notifications/web", ROOT / "tests/node"]
    for place in places:
        if (place / "node_modules/phoenix/package.json").exists():
            return place / "node_modules"
    subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=places[0], check=True, timeout=120)
    return places[0] / "node_modules"
