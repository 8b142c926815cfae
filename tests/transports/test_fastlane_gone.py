"""Clients that are gone before the server knows: nobody else suffers, and nothing is said about it in the log."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest

from phoenix_channels import Endpoint, RawSocket
from phoenix_channels.protocol.messages import Frame, FrameBatch
from phoenix_channels.runtime.driver import Terms
from phoenix_channels.runtime.raw_driver import RawDriver
from phoenix_channels.transports.direct import DirectSink
from tests.support.loops import settle
from tests.transports.app import eventually
from tests.transports.clients import masked, request_bytes
from tests.transports.fast import on_loops
from tests.transports.pairs import numbered
from tests.transports.servers import running_fast

pytestmark = on_loops
TEXT = 1


def reset(client: socket.socket) -> None:
    """Vanish as a crashed machine's kernel does it; the other end's kernel knows when this returns."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.fixture(autouse=True)
def quiet_loop(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """It speaks of callbacks that fail, and of sockets that are written to after an error."""
    yield
    assert [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"] == []


# Over a server


@asynccontextmanager
async def raw_server(socket_class: type[RawSocket]) -> AsyncGenerator[tuple[Endpoint, Any, socket.socket]]:
    """A raw socket, and a client that has connected to it."""
    endpoint = Endpoint()
    endpoint.socket("/raw", socket_class)
    async with running_fast(endpoint) as (server, port):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setblocking(False)
            client.sendall(request_bytes("/raw/websocket", {}))
            await eventually(lambda: endpoint.statistics().connections == 1)
            yield endpoint, server, client


@pytest.mark.parametrize("number", [1, 40, 80])
@pytest.mark.parametrize("way", ["silently", "while it is closed", "while it is answered"])
async def test_one_that_breaks_the_protocol_and_is_gone(way: str, number: int) -> None:
    """There may be no socket any more that could be closed in one direction, or no direction to close."""
    leave: list[Callable[[], None]] = []

    class Leaving(RawSocket):
        def handle_in(self, data: str | bytes) -> str | None:
            while leave:
                if way == "while it is closed":
                    self.close()
                leave.pop()()
            return "so it is" if way == "while it is answered" else None

    async with raw_server(Leaving) as (endpoint, server, client):
        leave.append(lambda: reset(client))
        client.sendall(masked(TEXT, b"x") * number + b"\xff\xff")
        await eventually(lambda: not leave)
        await eventually(lambda: not endpoint.statistics().connections)
        await eventually(lambda: not server.server_state.connections)


async def test_one_that_is_written_to_many_times_in_a_row() -> None:
    leave: list[Callable[[], None]] = []

    class Talking(RawSocket):
        async def handle_in(self, data: str | bytes) -> None:
            leave.pop()()
            for _ in range(100):
                self.push("are you there?")

    async with raw_server(Talking) as (endpoint, server, client):
        leave.append(lambda: reset(client))
        client.sendall(masked(TEXT, b"x"))
        await eventually(lambda: not leave)
        await eventually(lambda: not endpoint.statistics().connections)
        await eventually(lambda: not server.server_state.connections)


@pytest.mark.parametrize("last", [b"\x88\x80mask", b"\xff\xff"], ids=["close", "garbage"])
async def test_one_that_ends_it_behind_what_was_not_read_because_it_does_not_read(last: bytes) -> None:
    """It is read again when the transport says that all is written: asyncio's must not be closed right then."""

    class Blasting(RawSocket):
        def handle_in(self, data: str | bytes) -> str:
            return "x" * 100_000

    async with raw_server(Blasting) as (endpoint, server, client):
        await asyncio.get_running_loop().sock_recv(client, 1000)
        # The kernels take some of it.
        client.sendall(masked(TEXT, b"x") * 200 + last)
        await eventually(lambda: endpoint.statistics().outbox_bytes > 64 * 1024)
        with anyio.fail_after(5), suppress(ConnectionResetError):
            while await asyncio.get_running_loop().sock_recv(client, 1_000_000):
                pass
        client.close()
        await eventually(lambda: not server.server_state.connections)


# On the transports of the loops themselves


class Served(DirectSink, asyncio.Protocol):
    """A sink over a transport that something has been written to."""

    def __init__(self, driver: RawDriver, transport: asyncio.Transport, leave: Callable[[], None]) -> None:
        transport.set_protocol(self)
        super().__init__(driver, transport, prepared=False)
        self.leave = leave
        self.losses = 0

    def encode(self, frames: Frame | FrameBatch) -> bytes:
        if self.behind:
            self.leave()
        return super().encode(frames)

    @property
    def behind(self) -> bool:
        return self._backlog is not None

    def close(self, code: int) -> None:
        self.write_close(code.to_bytes(2, "big"))

    def resume_reading(self) -> None: ...

    def connection_lost(self, exc: Exception | None) -> None:
        self.losses += 1
        self.lost()


@asynccontextmanager
async def served(leave: Callable[[socket.socket], None]) -> AsyncGenerator[tuple[Served, socket.socket, Endpoint]]:
    server, client = socket.socketpair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    client.setblocking(False)
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, server)
    endpoint = Endpoint()
    driver = RawDriver(endpoint.hub, endpoint.hub.current_lane(), RawSocket(), socket_id=None, terms=Terms())
    sink = Served(driver, transport, lambda: leave(client))
    await driver.start(sink)
    with client:
        yield sink, client, endpoint
    transport.abort()
    await settle()
    driver.connection_lost()
    await driver.wait_ended()


async def test_one_that_leaves_while_it_is_sent_what_has_waited() -> None:
    """It is the transport that calls then: asyncio's does not expect that what it has called fails."""
    async with served(socket.socket.close) as (sink, client, endpoint):
        while not sink.queued_bytes:
            sink.write(numbered(0))
        for number in range(200):
            sink.write(numbered(number))
        with anyio.fail_after(5):
            while sink.behind:
                with suppress(BlockingIOError, OSError):
                    client.recv(65536)
                await asyncio.sleep(0)
        await settle()
        assert sink.losses == 1
        # All but the portion that was about to be written.
        assert endpoint.statistics().dropped_frames == 200 - 66
