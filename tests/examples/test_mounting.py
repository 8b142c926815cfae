"""Each file of ``examples/mounting`` as its first line says to run it, with a client and a Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.sync.client
from websockets.exceptions import ConnectionClosed

ROOT = Path(__file__).parents[2]
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


class Example:
    """One example in a process of its own; the constructor only launches it."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, "PORT": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""

    def address(self) -> str:
        """Host and port, once the example accepts connections: both servers print their URL then."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            found = re.search(r"(?:http|ws)://([^/\s]+)", line)
            if found is not None:
                return found[1]
        raise AssertionError(f"it does not start:\n{self.said}")

    def ctrl_c(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit code and all that the example has said."""
        self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=20)
        return self.process.returncode, self.said + output

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def examples() -> Iterator[dict[str, Example]]:
    with ExitStack() as stack:
        running = {name: Example(command) for name, command in COMMANDS.items()}
        for example in running.values():
            stack.callback(example.end)
        yield running


class Client:
    """A client of ``room:lobby``."""

    def __init__(self, connection: websockets.sync.client.ClientConnection) -> None:
        self.connection = connection

    def push(self, event: str, payload: object) -> Any:
        """Push and return the payload of what comes next."""
        self.connection.send(json.dumps(["1", "1", "room:lobby", event, payload]))
        return self.receive()

    def receive(self) -> Any:
        return json.loads(self.connection.recv(10))[4]

    def close_code(self) -> int:
        with pytest.raises(ConnectionClosed) as closed:
            self.connection.recv(10)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code


@pytest.mark.parametrize("name", COMMANDS)
def test_example(name: str, examples: dict[str, Example]) -> None:
    example = examples[name]
    address = example.address()
    url = f"ws://{address}/socket/websocket?vsn=2.0.0"
    with websockets.sync.client.connect(url, proxy=None) as connection:
        client = Client(connection)
        assert client.push("phx_join", {}) == {"status": "ok", "response": {}}

        # Broadcast by a client, and by a view of the framework around the endpoint.
        assert client.push("new_message", {"body": "hi"}) == {"body": "hi"}
        if name in WITH_HTTP:
            assert httpx.post(f"http://{address}/say", params={"text": "from a view"}).status_code == 204
            assert client.receive() == {"body": "from a view"}

        # Everybody is told that the server restarts, and it ends without a complaint.
        code, said = example.ctrl_c()
        assert client.close_code() == 1012
        assert code == 0, said
        assert "Traceback" not in said
