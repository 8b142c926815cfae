"""The server in one process: where it listens, what it is told, and how it ends."""

from __future__ import annotations

import signal
import ssl
from pathlib import Path
from socket import create_server
from typing import Any

import pytest

from phoenix_channels import DefinitionError, Endpoint, serve
from tests.server.processes import serving
from tests.support.clients import close_code, connect_once
from tests.transports.clients import connect_unix

PEM = Path(__file__).parents[1] / "transports/localhost.pem"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reload": True}, r"serve\(\) does not reload: reload is for uvicorn's own command"),
        ({"worker": 2}, r"serve\(\): unknown option 'worker'; legal are app, .*, workers, .*"),
        ({"workers": 0}, r"serve\(workers=...\) is a positive int, not 0"),
        ({"workers": 2}, r"several workers .* it is 'module:attribute' then, not <phoenix_channels.endpoint.Endpoint"),
        ({"tune_gc": 1}, r"serve\(tune_gc=...\) is True or False, not 1"),
        ({"uds": "a", "fd": 3}, r"serve\(\) listens on one of sockets, uds, fd, or host and port, not on uds and fd"),
        ({"fd": 12345}, r"serve\(fd=12345\): Bad file descriptor; it is an open, listening socket"),
        ({"ssl_keyfile": str(PEM)}, r"serve\(ssl_keyfile=...\) is the key of a certificate: give ssl_certfile too"),
    ],
)
def test_what_cannot_be_is_said_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        serve(Endpoint(), **{"port": 0} | options)


def test_an_application_object_and_the_number_of_workers_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    with pytest.raises(DefinitionError, match=r"several workers .* import the application for themselves"):
        serve(Endpoint(), port=0)


@pytest.mark.parametrize("name", ["ssl_certfile", "ssl_keyfile", "ssl_ca_certs"])
def test_a_certificate_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"ssl_certfile": PEM, name: tmp_path / "no.pem"}
    with pytest.raises(FileNotFoundError, match=rf"serve\({name}=...\): there is no file '.*/no.pem'"):
        serve(Endpoint(), port=0, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_on_a_unix_socket_which_it_takes_along(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with serving(tmp_path, uds=str(path)) as server:
        server.line("Uvicorn running on unix socket")
        async with connect_unix(path) as client:
            await client.join("room:a")
            server.process.send_signal(number)
            assert await client.close_code() == 1012
        server.end()
    assert "Traceback" not in server.said
    assert not path.exists()


async def test_on_a_socket_that_it_is_given_by_number(tmp_path: Path) -> None:
    listener = create_server(("127.0.0.1", 0))
    with listener, serving(tmp_path, fd=listener.fileno(), pass_fds=(listener.fileno(),)) as server:
        server.line(r"Uvicorn running on socket \('127\.0\.0\.1', \d+\) \(Press CTRL\+C to quit\)")
        async with connect_once(listener.getsockname()[1]) as socket:
            await socket.join("room:a")


async def test_with_tls(tmp_path: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(PEM))
    with serving(tmp_path, ssl_certfile=str(PEM), ssl_keyfile=str(PEM)) as server:
        async with connect_once(server.port(), scheme="wss", ssl=trusting) as socket:
            await socket.join("room:a")
            server.process.send_signal(signal.SIGTERM)
            assert await close_code(socket) == 1012
        server.end()
    assert "Traceback" not in server.said


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving(tmp_path, port=port) as server:
            assert server.end() == 3
    assert f"('127.0.0.1', {port}): address already in use" in server.said
    assert "Traceback" not in server.said


async def test_the_garbage_collector_is_tuned_while_it_serves(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        async with connect_once(server.port()) as socket:
            channel = await socket.join("room:a")
            found = await channel.push("ask_gc")
        assert found["frozen"]
        assert found["thresholds"][2] == 100
        server.end(signal.SIGINT)
    # Ctrl-C ends the server, and not the program.
    assert server.said.endswith("and on it goes\n")


async def test_the_garbage_collector_may_be_left_alone(tmp_path: Path) -> None:
    with serving(tmp_path, tune_gc=False) as server:
        async with connect_once(server.port()) as socket:
            channel = await socket.join("room:a")
            found = await channel.push("ask_gc")
    assert not found["frozen"]
    assert found["thresholds"][2] != 100
