"""Clients of the binding to the ``websockets`` library that are gone, or do not read, when it comes to them."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import struct
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
import websockets.asyncio.server

from phoenix_channels import Endpoint, Limits
from phoenix_channels.transports import websockets as binding
from phoenix_channels.transports.websockets import WebSocketsTransport
from tests.support.loops import settle
from tests.transports.app import Journal, eventually, make_endpoint
from tests.transports.clients import V2, RawClient, connect, connect_raw, masked, request_bytes
from tests.transports.servers import KINDS, UVLOOP, WEBSOCKETS, Serve, asyncio_server

BINARY, PING, PONG = 2, 9, 10
OURS = [kind for kind in KINDS if kind.startswith("websockets")]
on_loops = pytest.mark.parametrize("anyio_backend", ["asyncio", UVLOOP], ids=["asyncio", "uvloop"])


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def endpoint(journal: Journal) -> Endpoint:
    return make_endpoint(journal)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@asynccontextmanager
async def in_a_room(endpoint: Endpoint) -> AsyncGenerator[tuple[RawClient, Any]]:
    """A client that reads when it is told to, and the library's connection to it."""
    transport = WebSocketsTransport(endpoint)
    options: dict[str, Any] = WEBSOCKETS | {"process_request": transport.process_request}
    async with (
        websockets.asyncio.server.serve(transport.handler, "127.0.0.1", 0, **options) as server,
        connect_raw(server.sockets[0].getsockname()[1], receive_buffer=4096) as client,
    ):
        await client.send("1", "1", "room:a", "phx_join", {})
        await client.receive_frame()
        (connection,) = server.connections
        yield client, connection


@pytest.mark.parametrize(("anyio_backend", "serve"), [KINDS[kind] for kind in OURS], ids=OURS)
async def test_one_that_is_gone_before_it_is_answered(
    serve: Serve, endpoint: Endpoint, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(endpoint) as port:
        for _ in range(3):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(request_bytes(f"/socket/websocket?{V2}", {}))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        async with connect(port) as other:
            await other.join("room:a")
    await eventually(lambda: not endpoint.statistics().connections)
    assert errors(caplog) == []


@on_loops
async def test_one_that_is_gone_before_its_handler_is_called(
    endpoint: Endpoint, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    transport = WebSocketsTransport(endpoint)
    handled = anyio.Event()

    async def handler(connection: Any) -> None:
        # What an application may do before.
        await connection.wait_closed()
        await transport.handler(connection)
        handled.set()

    options: dict[str, Any] = WEBSOCKETS | {"process_request": transport.process_request}
    async with (
        websockets.asyncio.server.serve(handler, "127.0.0.1", 0, **options) as server,
        connect_raw(server.sockets[0].getsockname()[1]) as client,
    ):
        await client.abort()
        with anyio.fail_after(5):
            await handled.wait()
    assert endpoint.statistics().connections == 0
    assert errors(caplog) == []


@on_loops
async def test_those_that_are_gone_leave_nothing_of_ours_to_the_garbage_collector(
    endpoint: Endpoint, journal: Journal
) -> None:
    async with asyncio_server(endpoint) as port:

        async def come_and_go(count: int) -> None:
            for _ in range(count):
                async with connect_raw(port) as client:
                    await client.send("1", "1", "room:a", "phx_join", {})
                    await client.receive_frame()
            await eventually(lambda: len(asyncio.all_tasks()) == tasks)
            journal.connects.clear()
            journal.terminated.clear()

        tasks = len(asyncio.all_tasks())
        await come_and_go(2)
        gc.collect()
        gc.disable()
        try:
            before = Counter(map(type, gc.get_objects()))
            await come_and_go(20)
            left = Counter(map(type, gc.get_objects())) - before
        finally:
            gc.enable()
        assert {kind: count for kind, count in left.items() if kind.__module__.startswith("phoenix")} == {}


@on_loops
async def test_one_that_does_not_read_does_not_hold_up_a_server_that_stops(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library wants what it has written to be gone before it begins to count the seconds."""
    monkeypatch.setattr(binding, "CLOSE_TIMEOUT", 0.1)
    endpoint = make_endpoint(journal, limits=Limits(outbox_bytes=20_000_000))
    async with in_a_room(endpoint) as (_, connection):
        endpoint.broadcast("room:a", "chunk", bytes(8_000_000))
        await eventually(lambda: endpoint.statistics().outbox_bytes)
        connection.server.close()
        with anyio.fail_after(5):
            await connection.server.wait_closed()
    assert journal.terminated == [("room:a", ("shutdown", "closed"))]


# Pings, which the library answers by itself


@on_loops
async def test_one_that_pings_while_it_is_sent_something_large_stays(journal: Journal) -> None:
    endpoint = make_endpoint(journal, limits=Limits(outbox_bytes=100_000))
    async with in_a_room(endpoint) as (client, _):
        endpoint.broadcast("room:a", "chunk", bytes(8_000_000))
        await eventually(lambda: endpoint.statistics().outbox_bytes)
        for _ in range(10):
            await client.stream.send(masked(PING, b"still there?"))
        await client.stream.send(client.text("1", "2", "room:a", "note", {}))
        await eventually(lambda: journal.received)
        opcode, data = await client.receive_frame()
        assert (opcode, len(data)) == (BINARY, 8_000_000 + len(b"...room:achunk"))
        assert [await client.receive_frame() for _ in range(10)] == [(PONG, b"still there?")] * 10


@on_loops
@pytest.mark.parametrize("size", [0, 125])
async def test_of_one_that_pings_and_does_not_read_all_is_counted_that_it_does_not_get(
    size: int, journal: Journal
) -> None:
    endpoint = make_endpoint(journal, limits=Limits(outbox_bytes=100_000))
    async with in_a_room(endpoint) as (client, connection):
        while not endpoint.statistics().outbox_bytes:
            endpoint.broadcast("room:a", "chunk", bytes(10_000))
            await settle()
        for _ in range(50):
            endpoint.broadcast("room:a", "chunk", bytes(1000))
        await settle()
        with anyio.fail_after(5):
            while not connection.transport.is_closing():
                with suppress(anyio.BrokenResourceError):
                    await client.stream.send(1000 * masked(PING, bytes(size)))
        await eventually(lambda: not endpoint.statistics().connections)
    assert endpoint.statistics().dropped_frames == 50
