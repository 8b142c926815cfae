"""``python -m examples.notifications``: how it starts and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import websockets.sync.client

if TYPE_CHECKING:
    from tests.examples.notifications.conftest import Demo

ROOT = Path(__file__).parents[3]
PHOENIX = ROOT / "examples/notifications/web/node_modules/phoenix/priv/static/phoenix.mjs"


def test_serves_until_ctrl_c(demo: Demo) -> None:
    assert demo.url == f"http://127.0.0.1:{demo.port}"
    client = httpx.get(f"{demo.url}/phoenix/phoenix.mjs")
    assert client.status_code == 200
    assert client.content == PHOENIX.read_bytes()
    assert demo.stop() == (0, "", "")


def test_ends_although_somebody_is_connected(demo: Demo) -> None:
    token = httpx.post(f"{demo.url}/demo/login", json={"user": "ada"}).json()["token"]
    url = f"{demo.url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&token={token}"
    with websockets.sync.client.connect(url) as connection:
        connection.send('["1", "1", "notifications:ada", "phx_join", {}]')
        assert json.loads(connection.recv(10))[4]["status"] == "ok"
        assert demo.stop() == (0, "", "")


def test_remembers_across_restarts(demo: Demo) -> None:
    login = httpx.post(f"{demo.url}/demo/login", json={"user": "ada"})
    assert demo.stop() == (0, "", "")
    demo.start()
    assert httpx.post(f"{demo.url}/demo/login", json={"user": "ada"}).json() == login.json()


def test_a_taken_port_is_explained(demo: Demo, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "examples.notifications", "--port", str(demo.port)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr.startswith(f"Cannot listen on port {demo.port}: ")
    assert len(second.stderr.splitlines()) == 1


@pytest.mark.parametrize("argument", ["--port=x", "--nonsense"])
def test_wrong_options_are_explained(environment: dict[str, str], argument: str) -> None:
    command = [sys.executable, "-m", "examples.notifications", argument]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 2
    assert "usage: python -m examples.notifications" in result.stderr
