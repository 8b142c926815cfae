"""The page in a headless Chromium; ``browser/scenarios.mjs`` says what happens there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from examples.notifications.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.examples.notifications.conftest import Demo

BROWSER = Path(__file__).parent / "browser"
SCREENSHOTS = Path(__file__).parents[3] / "build/screenshots"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def chromium(npm_ci: Callable[[Path], None]) -> str:
    for program in CHROMIUMS:
        path = shutil.which(program)
        if path is not None:
            break
    else:
        pytest.skip("Chromium is missing")
    if shutil.which("node") is None:
        pytest.skip("node is missing")
    npm_ci(BROWSER)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return path


def away(demo: Demo) -> None:
    """Another server of the same database takes a post while nobody listens to this one."""
    store = Store(demo.database)
    store.open()
    store.add_post("ada", "@grace while you were away", ["grace"])
    store.close()


def forget(demo: Demo) -> None:
    """Every token is another one afterwards."""
    for file in demo.database.parent.glob(f"{demo.database.name}*"):
        file.unlink()


def stop(demo: Demo) -> None:
    assert demo.stop() == (0, "", "")


@pytest.mark.parametrize("scenario", ["picker", "mention", "tabs", "errors", "untrusted", "reconnect", "layout"])
def test_in_chromium(scenario: str, demo: Demo, chromium: str) -> None:
    requests = {"stop": stop, "start": type(demo).start, "post while it is away": away, "forget everything": forget}
    command = ["node", "run.mjs", scenario, demo.url, str(SCREENSHOTS), chromium]
    with subprocess.Popen(
        command, cwd=BROWSER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            if line.startswith("@"):
                requests[line[1:-1]](demo)
                process.stdin.write("done\n")
                process.stdin.flush()
            else:
                output += line
    assert process.returncode == 0, output
