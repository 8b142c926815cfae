"""What is particular to the binding to the ``websockets`` library, on both event loops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
import websockets.asyncio.client
import websockets.asyncio.server

from phoenix_channels import URI, Endpoint, PeerData, WebSocketOptions
from phoenix_channels.runtime.limits import Limits
from phoenix_channels.transports import websockets as binding
from phoenix_channels.transports.websockets import WebSocketsTransport
from tests.transports.app import Journal, eventually, make_endpoint, socket_class
from tests.transports.clients import RawClient, connect, connect_raw, masked
from tests.transports.servers import WEBSOCKETS, Serve, asyncio_server, trio_server

CLOSED = ("shutdown", "closed")

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@pytest.fixture
def serve(anyio_backend: str) -> Serve:
    return {"asyncio": asyncio_server, "trio": trio_server}[anyio_backend]


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def endpoint(journal: Journal) -> Endpoint:
    return make_endpoint(journal)


async def test_the_handler_alone_names_the_argument_that_is_missing(
    serve: Serve, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(endpoint, process_request=None) as port, connect(port, path="/anything") as client:
        assert await client.close_code() == 1011
    (record,) = [record for record in caplog.records if record.exc_info is not None]
    assert record.exc_info is not None
    error = record.exc_info[1]
    assert isinstance(error, RuntimeError)
    assert "process_request=transport.process_request" in str(error)


async def test_a_unix_socket(anyio_backend: str, endpoint: Endpoint, journal: Journal, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    transport = WebSocketsTransport(endpoint)
    options: dict[str, Any] = WEBSOCKETS | {"process_request": transport.process_request}
    upgrade = b"GET /socket/websocket HTTP/1.1\r\nHost: unix\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    upgrade += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

    async def visit() -> None:
        async with await anyio.connect_unix(path) as stream:
            await stream.send(upgrade)
            assert (await stream.receive()).startswith(b"HTTP/1.1 101")

    if anyio_backend == "asyncio":
        async with websockets.asyncio.server.unix_serve(transport.handler, path, **options):
            await visit()
    else:
        bare = trio.socket.socket(trio.socket.AF_UNIX)
        await bare.bind(path)
        bare.listen()
        listeners = [trio.SocketListener(bare)]
        async with trio.open_nursery() as nursery:

            async def run(task_status: trio.TaskStatus[websockets.trio.server.Server]) -> None:
                await websockets.trio.server.serve(
                    transport.handler, listeners=listeners, task_status=task_status, **options
                )

            async with await nursery.start(run):
                await visit()
    (_, info), = journal.connects  # fmt: skip
    assert info.peer_data == PeerData(None, None)
    assert info.uri == URI("http", "unix", 80, "/socket/websocket", "")


# Clients that do not take part


@asynccontextmanager
async def joined(port: int, query: str = "vsn=2.0.0&user=ada") -> AsyncGenerator[RawClient]:
    async with connect_raw(port, receive_buffer=4096, query=query) as client:
        await client.send("1", "1", "room:a", "phx_join", {})
        await client.receive_frame()
        yield client


@on_asyncio
async def test_what_waits_for_a_client_is_bounded() -> None:
    limit, size = 256 * 1024, 16 * 1024
    endpoint = make_endpoint(Journal(), limits=Limits(outbox_bytes=limit))
    transport = WebSocketsTransport(endpoint)
    async with (
        websockets.asyncio.server.serve(
            transport.handler, "127.0.0.1", 0, process_request=transport.process_request, **WEBSOCKETS
        ) as server,
        joined(server.sockets[0].getsockname()[1]),
    ):
        (connection,) = server.connections
        most = 0
        while endpoint.statistics().connections:
            endpoint.broadcast("room:a", "chunk", {"text": "x" * size})
            most = max(most, endpoint.statistics().outbox_bytes)
            # A turn of the loop: before that nobody is slow.
            await asyncio.sleep(0)
        for _ in range(100):
            endpoint.broadcast("room:a", "chunk", {"text": "x" * size})
        await asyncio.sleep(0)
        assert limit - 2 * size <= most <= limit + size
        assert connection.transport.get_write_buffer_size() <= limit + size


async def test_a_client_that_never_reads_is_gone_in_the_end(
    serve: Serve, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binding, "CLOSE_TIMEOUT", 0.1)
    endpoint = make_endpoint(journal, limits=Limits(outbox_bytes=100_000))
    async with serve(endpoint) as port, joined(port) as client:
        # More than the kernel takes: not even a close gets past it.
        endpoint.broadcast("room:a", "chunk", bytes(8_000_000))
        await client.take(10)
        while endpoint.statistics().connections:
            endpoint.broadcast("room:a", "chunk", bytes(60_000))
        await eventually(lambda: endpoint.statistics().channels == 0)
        # The server does not wait for it when it stops, either; here it hangs up without a close.
        await endpoint.drain()
        assert await client.close_code() == 1006
    assert journal.terminated == [("room:a", CLOSED)]


async def test_a_close_that_is_not_answered(
    serve: Serve, endpoint: Endpoint, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binding, "CLOSE_TIMEOUT", 0.1)
    async with serve(endpoint) as port, joined(port) as client:
        await endpoint.disconnect("users:ada")
        assert await client.receive_frame() == (8, (1001).to_bytes(2, "big"))
        assert await client.receive_frame() == (0, b"")
        await endpoint.drain()
    assert journal.terminated == [("room:a", ("shutdown", "disconnected"))]


async def test_a_client_that_closes_but_stays(serve: Serve, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "CLOSE_TIMEOUT", 0.1)
    endpoint = Endpoint()
    endpoint.socket("/socket", socket_class(journal), websocket=WebSocketOptions(timeout=0.2))
    async with serve(endpoint) as port, joined(port) as client:
        await client.send_frame(8, b"\x03\xe8")
        assert await client.receive_frame() == (8, b"\x03\xe8")
        # The library waits for the end of the stream, which does not come.
        await eventually(lambda: journal.terminated == [("room:a", CLOSED)])
        await endpoint.drain()


async def pause(client: RawClient, journal: Journal) -> None:
    """Have one handler hang, and so much wait behind it that the connection is not read any further."""
    notes = b"".join(client.text("1", "3", "room:a", "note", {}) for _ in range(300))
    await client.stream.send(client.text("1", "2", "room:a", "hang", {}) + notes)
    await eventually(lambda: journal.received == ["hang"])


async def test_the_server_stops_while_a_connection_is_not_read(
    serve: Serve, endpoint: Endpoint, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binding, "CLOSE_TIMEOUT", 0.1)
    with anyio.fail_after(5):
        async with serve(endpoint, close_timeout=0.1) as port, joined(port) as client:
            await pause(client, journal)
            await client.abort()
    assert journal.terminated == [("room:a", CLOSED)]


async def test_a_connection_that_is_not_read_for_too_long(
    serve: Serve, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = make_endpoint(journal, limits=Limits(paused_seconds=0.1))
    async with serve(endpoint) as port, joined(port) as client:
        await pause(client, journal)
        assert await client.close_code() == 1013
    assert "for 0.1 s" in caplog.text
    await eventually(lambda: journal.terminated == [("room:a", CLOSED)])


async def test_a_connection_is_read_again_when_its_channels_have_caught_up(
    serve: Serve, endpoint: Endpoint, journal: Journal
) -> None:
    async with serve(endpoint) as port, joined(port) as client:
        notes = b"".join(client.text("1", "3", "room:a", "note", {"n": n}) for n in range(1000))
        await client.stream.send(notes)
        await eventually(lambda: len(journal.received) == 1000)
    assert [note["n"] for note in journal.received] == list(range(1000))


# Ends of the server's own


@on_asyncio
async def test_the_handlers_task_is_cancelled(endpoint: Endpoint, journal: Journal) -> None:
    transport = WebSocketsTransport(endpoint)
    async with (
        websockets.asyncio.server.serve(
            transport.handler, "127.0.0.1", 0, process_request=transport.process_request, **WEBSOCKETS
        ) as server,
        joined(server.sockets[0].getsockname()[1]) as client,
    ):
        await client.send("1", "2", "room:a", "hang", {})
        await eventually(lambda: journal.received == ["hang"])
        for task in server.handler_tasks:
            task.cancel()
        await eventually(lambda: journal.terminated == [("room:a", CLOSED)])
        assert await client.close_code() in (1006, 1011)


async def test_a_client_that_goes_away_while_connect_runs(serve: Serve, journal: Journal) -> None:
    gate = anyio.Event()
    waiting = anyio.Event()

    class SlowSocket(socket_class(journal)):  # type: ignore[misc]  # the base is made by a function
        async def connect(self, params: Any, info: Any) -> None:
            waiting.set()
            await gate.wait()
            await super().connect(params, info)

    endpoint = Endpoint()
    endpoint.socket("/socket", SlowSocket)
    async with serve(endpoint) as port:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(
                b"GET /socket/websocket HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            await waiting.wait()
        gate.set()
        await eventually(lambda: len(journal.connects) == 1)
        async with connect(port) as client:
            await client.join("room:a")
    assert endpoint.statistics().connections == 0


@on_asyncio
async def test_asyncio_does_not_complain_about_writes_to_the_dead(
    endpoint: Endpoint, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio_server(endpoint) as port, joined(port) as client:
        await client.abort()
        for number in range(50):  # all before the event loop looks at the connection again
            endpoint.broadcast("room:a", "n", {"n": number})
        await eventually(lambda: journal.terminated == [("room:a", CLOSED)])
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def turns(journal: Journal, count: int) -> list[int]:
    """How many messages are handled between two steps of somebody else."""
    steps, before = [], 0
    with anyio.fail_after(5):
        while before < count:
            await anyio.lowlevel.checkpoint()
            steps.append(len(journal.received) - before)
            before = len(journal.received)
    return steps


async def test_what_arrives_at_once_is_not_all_handled_at_once(
    serve: Serve, endpoint: Endpoint, journal: Journal
) -> None:
    """Others come to their turn in between."""
    async with serve(endpoint) as port, joined(port) as client:
        await client.stream.send(b"".join(client.text("1", "3", "room:a", "note", {}) for _ in range(3000)))
        assert max(await turns(journal, 3000)) <= 64


@on_asyncio
async def test_a_client_that_pings_and_does_not_read_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    """The library answers each ping by itself, also while it closes: what nobody reads is bounded all the same."""
    limit = 256 * 1024
    endpoint = make_endpoint(Journal(), limits=Limits(outbox_bytes=limit))
    transport = WebSocketsTransport(endpoint)
    async with (
        websockets.asyncio.server.serve(
            transport.handler, "127.0.0.1", 0, process_request=transport.process_request, **WEBSOCKETS
        ) as server,
        joined(server.sockets[0].getsockname()[1]) as client,
    ):
        (connection,) = server.connections
        pings, most = 1000 * masked(9, bytes(125)), 0
        with anyio.fail_after(5):
            while not connection.transport.is_closing():
                try:
                    await client.stream.send(pings)
                except anyio.BrokenResourceError:
                    break
                most = max(most, connection.transport.get_write_buffer_size())
        assert most <= limit + 300_000
        await eventually(lambda: connection.transport.get_write_buffer_size() == 0)
        await eventually(lambda: endpoint.statistics().connections == 0)
    assert "is too slow: closing it with 1013, 0 frames dropped" in caplog.text
