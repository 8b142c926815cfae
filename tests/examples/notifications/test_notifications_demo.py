"""``python -m examples.notifications``: how it starts and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from anyio import to_thread

from examples.notifications.store import Store
from tests.support.clients import close_code, connect_once

if TYPE_CHECKING:
    from tests.examples.notifications.conftest import Demo

ROOT = Path(__file__).parents[3]
PHOENIX = ROOT / "examples/notifications/web/node_modules/phoenix/priv/static/phoenix.mjs"


@pytest.fixture(scope="session")
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "SECRET_KEY_BASE": "a secret that outlasts a restart"}


def test_serves_until_ctrl_c(demo: Demo) -> None:
    assert demo.url == f"http://127.0.0.1:{demo.port}"
    client = httpx.get(f"{demo.url}/phoenix/phoenix.mjs")
    assert client.status_code == 200
    assert client.content == PHOENIX.read_bytes()
    assert demo.stop() == (0, "", "")


async def test_ends_although_somebody_is_connected(demo: Demo) -> None:
    token = httpx.post(f"{demo.url}/demo/login", json={"user": "ada"}).json()["token"]
    async with connect_once(demo.port, params={"token": token}) as socket:
        await socket.join("notifications:ada")
        assert await to_thread.run_sync(demo.stop) == (0, "", "")
        assert await close_code(socket) == 1012


def test_remembers_across_restarts(demo: Demo) -> None:
    def post(headers: dict[str, str]) -> httpx.Response:
        return httpx.post(f"{demo.url}/posts", json={"text": "@grace hello"}, headers=headers)

    login = httpx.post(f"{demo.url}/demo/login", json={"user": "ada"})
    headers = {"authorization": f"Bearer {login.json()['token']}"}
    assert post(headers).status_code == 201
    assert demo.stop() == (0, "", "")
    demo.start()
    # The login is good for as long as the secret is the same.
    assert post(headers).status_code == 201
    assert demo.stop() == (0, "", "")
    store = Store(demo.database)
    store.open()
    assert store.unread("grace") == 2
    store.close()


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
