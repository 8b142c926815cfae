"""A connection on the fast lane: what the client sends, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import json
import struct
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest

from phoenix_channels import Channel, Endpoint, Limits, RawSocket, Socket, WebSocketOptions, incoming
from phoenix_channels.transports import fastlane
from tests.transports.app import Journal, eventually, make_endpoint
from tests.transports.clients import RawClient, connect, connect_raw, masked
from tests.transports.fast import on_loops, rest
from tests.transports.servers import UvicornServer, fast_server, running_fast

pytestmark = on_loops
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


@asynccontextmanager
async def serving(**mount: Any) -> AsyncGenerator[tuple[Endpoint, Journal, UvicornServer, int]]:
    journal = Journal()
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(**mount)})
    async with running_fast(endpoint) as (server, port):
        yield endpoint, journal, server, port


async def join(client: RawClient, topic: str = "room:a") -> None:
    await client.send("1", "1", topic, "phx_join", {})
    _, data = await client.receive_frame()
    assert json.loads(data)[3:] == ["phx_reply", {"status": "ok", "response": {}}]


def push(ref: int, event: str, payload: Any) -> bytes:
    return client_text("1", str(ref), "room:a", event, payload)


client_text = RawClient.text


# What it costs


async def test_no_task_is_there_for_a_connection_that_is_idle() -> None:
    async with serving() as (endpoint, _, server, port), connect(port) as first:
        await first.join("room:a")
        await eventually(lambda: not server.server_state.tasks)
        before = asyncio.all_tasks()
        async with AsyncExitStack() as stack:
            for _ in range(50):
                await join(await stack.enter_async_context(connect_raw(port)))
            await eventually(lambda: not server.server_state.tasks)
            assert endpoint.statistics().channels == 51
            assert asyncio.all_tasks() <= before


async def test_a_connection_leaves_nothing_to_the_garbage_collector() -> None:
    """Ten thousand clients that come and go would make a million objects, and a pause for everybody."""
    async with serving() as (endpoint, journal, server, port):

        async def come_and_go(count: int) -> None:
            for _ in range(count):
                async with connect_raw(port) as client:
                    await join(client)
                    await client.stream.send(push(2, "echo", {}) + push(3, "shout", {}))
                    await client.receive_frame()
                    await client.receive_frame()
            await eventually(lambda: not endpoint.statistics().channels and not server.server_state.connections)
            journal.connects.clear()

        await come_and_go(2)
        gc.collect()
        gc.disable()
        try:
            before = Counter(map(type, gc.get_objects()))
            await come_and_go(20)
            left = Counter(map(type, gc.get_objects())) - before
        finally:
            gc.enable()
        ours = {
            kind: count for kind, count in left.items() if kind.__module__.startswith(("phoenix", "uvicorn", "httpt"))
        }
        assert ours == {}


# What the client sends


async def test_a_message_in_fragments_with_a_ping_between() -> None:
    async with serving() as (_, _, _, port), connect_raw(port) as client:
        await join(client)
        message = json.dumps(["1", "2", "room:a", "echo", {"text": "äöü" * 100}]).encode()
        frames = [masked(TEXT, message[:5], fin=False)]
        frames += [masked(0, message[place : place + 1], fin=False) for place in range(5, len(message) - 1)]
        frames += [masked(PING, b"between"), masked(0, message[-1:])]
        await client.stream.send(b"".join(frames))
        assert await client.receive_frame() == (PONG, b"between")
        opcode, data = await client.receive_frame()
        assert (opcode, json.loads(data)[4]["response"]) == (TEXT, {"text": "äöü" * 100})


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
async def test_bytes_arrive_in_any_portions(size: int) -> None:
    async with serving() as (_, journal, _, port), connect_raw(port) as client:
        await join(client)
        data = b"".join(push(number, "note", {"n": number}) for number in range(30)) + masked(PING, b"last")
        for place in range(0, len(data), size):
            await client.stream.send(data[place : place + size])
            await anyio.sleep(0)
        assert await client.receive_frame() == (PONG, b"last")
        await eventually(lambda: [note["n"] for note in journal.received] == list(range(30)))


@pytest.mark.parametrize(
    ("data", "code", "log"),
    [
        (b"\x81\x01x", 1002, "a frame of a client must be masked"),
        (masked(3, b""), 1002, "opcode 3 is reserved"),
        (masked(PING, b"", fin=False), 1002, "a control frame in fragments"),
        (masked(PING, b"x" * 126), 1002, "a control frame of 126 bytes"),
        (masked(0, b"x"), 1002, "a continuation of nothing"),
        (masked(TEXT, b"\xff"), 1007, "no UTF-8"),
        (masked(TEXT, b"x" * 2000), 1009, "a frame of 2008 bytes, when 1000 are allowed"),
        (masked(CLOSE, b"\x00"), 1002, "0 is no close code for the wire"),
    ],
)
async def test_a_client_that_breaks_the_rules_is_told_so_and_cut_off(
    data: bytes, code: int, log: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastlane, "CLOSE_TIMEOUT", 0.05)
    async with serving(max_frame_size=1000) as (_, journal, server, port), connect_raw(port) as client:
        await join(client)
        await client.stream.send(data + push(2, "note", "after that nothing is read"))
        assert await client.close_code() == code
        assert await rest(client) == b""
        await eventually(lambda: journal.reasons("room:a") == [("shutdown", "closed")])
        await eventually(lambda: not server.server_state.connections)
        assert journal.received == []
    assert log in caplog.text


async def test_nobody_has_to_wait_for_ten_thousand_tiny_messages() -> None:
    async with serving() as (_, journal, _, port), connect_raw(port) as flooding, connect(port) as other:
        await join(flooding)
        await other.join("room:b")
        flood = b"".join(push(number, "note", number) for number in range(10_000))
        async with anyio.create_task_group() as group:
            group.start_soon(flooding.stream.send, flood)
            await eventually(lambda: journal.received)
            for number in range(3):
                assert await other.call("room:b", "echo", number) == number
            assert len(journal.received) < 10_000
        await eventually(lambda: journal.received == list(range(10_000)), seconds=20)


class Gate(Channel):
    """Handles a message when it is let to."""

    open: anyio.Event
    handled: list[Any]

    @incoming
    async def note(self, payload: Any) -> None:
        await self.open.wait()
        self.handled.append(payload)


def large_note(number: int) -> bytes:
    data = json.dumps(["1", str(number), "room:a", "note", [number, "x" * 10_000]]).encode()
    # Under a mask of zeros, which changes nothing, and costs a test no time.
    return struct.pack("!BBHI", 0x81, 0x80 | 126, len(data), 0) + data


async def test_a_client_is_not_read_while_its_channels_are_busy() -> None:
    class BusyChannel(Gate):
        open = anyio.Event()
        handled = []

    class BusySocket(Socket):
        channels = {"room:*": BusyChannel}

    endpoint = Endpoint(limits=Limits(inbound_messages=10))
    endpoint.socket("/socket", BusySocket)
    async with fast_server(endpoint) as port, connect_raw(port) as client:
        await join(client)
        async with anyio.create_task_group() as group:
            # More than the kernel keeps: somebody has to wait.
            group.start_soon(client.stream.send, b"".join(large_note(number) for number in range(1000)))
            await eventually(lambda: endpoint.statistics().waiting_messages >= 9)
            await anyio.wait_all_tasks_blocked()
            assert endpoint.statistics().waiting_messages == 10
            BusyChannel.open.set()
        await eventually(lambda: len(BusyChannel.handled) == 1000)
        assert [number for number, _ in BusyChannel.handled] == list(range(1000))
        await client.stream.send(masked(PING, b"still there"))
        assert await client.receive_frame() == (PONG, b"still there")


async def test_a_raw_socket() -> None:
    class EchoSocket(RawSocket):
        async def handle_in(self, data: str | bytes) -> None:
            self.push(data)

        async def handle_control(self, payload: bytes, opcode: Any) -> None:
            self.push(f"{opcode} {payload!r}")

    endpoint = Endpoint()
    endpoint.socket("/socket", EchoSocket)
    async with fast_server(endpoint) as port, connect_raw(port) as client:
        await client.stream.send(masked(TEXT, b"text") + masked(2, b"bytes") + masked(PING, b"p") + masked(PONG, b""))
        assert [await client.receive_frame() for _ in range(5)] == [
            (TEXT, b"text"),
            (2, b"bytes"),
            (PONG, b"p"),
            (TEXT, b"ping b'p'"),
            (TEXT, b"pong b''"),
        ]


# The end


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_p082_a_client_that_closes_is_answered_with_1000(code: int) -> None:
    async with serving() as (_, journal, server, port):
        async with connect_raw(port) as client:
            await join(client)
            await client.send_frame(CLOSE, code.to_bytes(2, "big") + b"bye")
            assert await client.receive_frame() == (CLOSE, b"\x03\xe8")
            assert await rest(client) == b""
        await eventually(lambda: journal.reasons("room:a") == [("shutdown", "closed")])
        await eventually(lambda: not server.server_state.connections)


async def test_a_close_of_the_server_that_is_answered_is_over_at_once() -> None:
    async with serving() as (endpoint, _, server, port), connect(port, query="vsn=2.0.0&user=ada") as client:
        await client.join("room:a")
        await endpoint.disconnect("users:ada")
        assert await client.close_code() == 1001
        await eventually(lambda: not server.server_state.connections)


async def test_a_close_of_the_server_that_is_not_answered_is_over_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastlane, "CLOSE_TIMEOUT", 0.1)
    async with (
        serving() as (endpoint, journal, server, port),
        connect_raw(port, query="vsn=2.0.0&user=ada") as client,
    ):
        await join(client)
        await endpoint.disconnect("users:ada")
        assert await client.close_code() == 1001
        # It goes on as if nothing had happened.
        await client.stream.send(push(2, "note", {}) + masked(PING, b""))
        assert await rest(client) == b""
        await eventually(lambda: not server.server_state.connections)
        assert journal.received == []


async def test_a_client_that_closes_and_does_not_hang_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as (_, _, server, port), connect_raw(port) as client:
        await client.send_frame(CLOSE, b"")
        assert await client.receive_frame() == (CLOSE, b"\x03\xe8")
        # The server hangs up.
        assert await rest(client) == b""
        await eventually(lambda: not server.server_state.connections)


async def test_a_client_that_sends_no_more_is_gone() -> None:
    async with serving() as (_, journal, server, port), connect_raw(port) as client:
        await join(client)
        await client.stream.send_eof()
        assert await rest(client) == b""
        await eventually(lambda: journal.reasons("room:a") == [("shutdown", "closed")])
        await eventually(lambda: not server.server_state.connections)


async def test_a_client_that_vanishes() -> None:
    async with serving() as (endpoint, journal, server, port), connect_raw(port) as client, connect(port) as other:
        await join(client)
        await other.join("room:a")
        await client.abort()
        # In the same turn as the server may learn it.
        for number in range(100):
            endpoint.broadcast("room:a", "shout", {"n": number})
            assert (await other.receive())[4] == {"n": number}
        await eventually(lambda: journal.reasons("room:a") == [("shutdown", "closed")])
        assert len(server.server_state.connections) == 1


async def test_a_server_that_ends_closes_with_1012_and_waits_for_nobody() -> None:
    async with AsyncExitStack() as stack:
        async with serving() as (endpoint, journal, server, port):
            clients = [await stack.enter_async_context(connect_raw(port)) for _ in range(10)]
            for client in clients:
                await join(client)
            server.should_exit = True
        # They have not answered, nor even read it.
        assert [await client.close_code() for client in clients] == [1012] * 10
        assert len(journal.terminated) == 10
        assert endpoint.statistics().connections == 0
