"""The command ``phoenix-channels``."""

from __future__ import annotations

import inspect
import signal
from pathlib import Path

import pytest
import uvicorn
from click.testing import CliRunner

from phoenix_channels.cli import main
from phoenix_channels.cli.serve import serve as command
from phoenix_channels.server import serve
from tests.support.clients import close_code, connect_once
from tests.support.processes import phoenix_channels
from tests.transports.clients import ask

PEM = Path(__file__).with_name("transports") / "localhost.pem"


def test_every_option_is_one_of_serve_or_of_uvicorn() -> None:
    known = {*inspect.signature(serve).parameters, *inspect.signature(uvicorn.Config).parameters}
    assert {parameter.name for parameter in command.params} - known == {"app_dir"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'MODULE:APP'"),
        (["a:b", "--workers", "0"], "0 is not in the range x>=1"),
        (["a:b", "--port", "70000"], "70000 is not in the range 0<=x<=65535"),
        (["a:b", "--ssl-certfile", "no.pem"], "File 'no.pem' does not exist"),
        (["a:b", "--ssl-keyfile", str(PEM)], "give ssl_certfile too"),
        (["a:b", "--uds", "a", "--fd", "3"], "not on uds and fd"),
        (["a:b", "--header", "nonsense"], "'nonsense' is not NAME:VALUE"),
    ],
)
def test_what_cannot_be_is_an_error_of_usage(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["serve", *arguments])
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from tests.server.app import make\n")
    with phoenix_channels(
        *("serve", "mine:make", "--factory", "--app-dir", str(tmp_path), "--port", "0", "--root-path", "/api"),
        *("--header", "X-Test: 1", "--no-server-header"),
    ) as server:
        port = server.port()
        answer = await ask(port, "/socket/websocket?vsn=2.0.0")
        assert answer.status == 101
        assert answer.headers["x-test"] == "1"
        assert "server" not in answer.headers
        assert "date" in answer.headers
        async with connect_once(port) as socket:
            await socket.join("room:a")
            server.process.send_signal(signal.SIGTERM)
            assert await close_code(socket) == 1012
        server.end()
    assert 'WebSocket /api/socket/websocket?vsn=2.0.0" [accepted]' in server.said
    assert "room:a terminates: ('shutdown', 'draining')" in server.said
    assert "Traceback" not in server.said


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_starts_workers(tmp_path: Path) -> None:
    with phoenix_channels("serve", "tests.server.app:endpoint", "--port", "0", "--workers", "2") as server:
        port = server.port()
        pids = server.workers(2)
        async with connect_once(port) as socket:
            channel = await socket.join("room:a")
            assert await channel.push("ask_pid") in pids
            server.process.send_signal(signal.SIGTERM)
            assert await close_code(socket) == 1012
        assert server.end() == 0
    assert "Traceback" not in server.said


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_believes_the_proxies_that_it_is_told_of(trusted: bool) -> None:
    with phoenix_channels(
        *("serve", "tests.server.app:endpoint", "--port", "0", "--forwarded-allow-ips", "*" if trusted else "192.0.2.1")
    ) as server:
        async with connect_once(server.port(), headers={"X-Forwarded-For": "203.0.113.7"}) as socket:
            await socket.join("room:a")
        server.end(signal.SIGTERM)
    address = "203.0.113.7:0" if trusted else "127.0.0.1:"
    assert address in next(line for line in server.said.splitlines() if "[accepted]" in line)


def test_an_application_that_there_is_not_is_named() -> None:
    with phoenix_channels("serve", "tests.server.app:nothing", "--port", "0") as server:
        assert server.end() == 3
    assert 'Attribute "nothing" not found in module "tests.server.app"' in server.said
    assert "Traceback" not in server.said
