"""Each file of ``examples/mounting`` as its first line says to run it, with a client and a Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.support.clients import close_code, connect_once
from tests.support.loops import soon
from tests.support.processes import Process, running

UVICORN = ["-m", "uvicorn", "--port", "0", "--no-access-log"]
FAST = [*UVICORN, "--ws", "phoenix_channels.transports.uvicorn:WebSocketProtocol"]
COMMANDS = {
    "starlette": [*UVICORN, "examples.mounting.starlette_app:app"],
    "fastapi": [*UVICORN, "examples.mounting.fastapi_app:app"],
    "litestar": [*UVICORN, "examples.mounting.litestar_app:app"],
    "django": [*UVICORN, "examples.mounting.django_asgi:application"],
    "starlette-fast": [*FAST, "examples.mounting.starlette_app:app"],
    "fastapi-fast": [*FAST, "examples.mounting.fastapi_app:app"],
    "websockets": ["-m", "examples.mounting.websockets_server"],
    "websockets-trio": ["-m", "examples.mounting.websockets_trio_server"],
}
WITH_HTTP = [name for name in COMMANDS if not name.startswith("websockets")]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def examples() -> Iterator[dict[str, Process]]:
    """All at once, each in a process of its own: they are only launched here."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(running(sys.executable, *command, environment={"PORT": "0"}))
            for name, command in COMMANDS.items()
        }


@pytest.mark.parametrize("name", COMMANDS)
async def test_example(name: str, examples: dict[str, Process]) -> None:
    example = examples[name]
    # Both servers print their URL when they accept connections.
    port = int(example.line(r"(?:http|ws)://127\.0\.0\.1:(\d+)")[1])
    async with connect_once(port) as socket:
        channel = await socket.join("room:lobby")
        assert channel.reply == {}

        # Broadcast by a client, and by a view of the framework around the endpoint.
        channel.push_nowait("new_message", {"body": "hi"})
        assert (await soon(anext(channel))).payload == {"body": "hi"}
        if name in WITH_HTTP:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
                assert (await http.post("/say", params={"text": "from a view"})).status_code == 204
            assert (await soon(anext(channel))).payload == {"body": "from a view"}

        # Everybody is told that the server restarts, and it ends without a complaint.
        os.kill(example.pid, signal.SIGINT)
        assert await close_code(socket) == 1012
    assert example.end() == 0, example.said
    assert "Traceback" not in example.said
