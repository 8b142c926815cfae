"""How a connection over ASGI ends when the server has a mind of its own about closes, and what ends it (P-082)."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from phoenix_channels import Endpoint, RawSocket, WebSocketOptions
from phoenix_channels.transports import asgi
from phoenix_channels.transports.handshake import CLOSE_TIMEOUT
from tests.support.asgi import Client, Message, serving
from tests.support.loops import Journal as Notes
from tests.support.loops import on_virtual_time, soon
from tests.transports.app import Journal, eventually, make_endpoint

ADA = "vsn=2.0.0&user=ada"


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def endpoint(journal: Journal) -> Endpoint:
    return make_endpoint(journal)


@asynccontextmanager
async def joined_behind(endpoint: Endpoint, change: Callable[[Client], None], **options: Any) -> AsyncGenerator[Client]:
    """A client in room:a whose server behaves in its own way."""
    async with serving(endpoint) as server:
        client = server.open(query=ADA, **options)
        change(client)
        await server.accepted(client)
        await client.join("room:a")
        yield client


# Servers that refuse a close code


class CodeRefused(Exception):
    pass


def takes_only(*legal: int) -> Callable[[Client], None]:
    """Has the server raise for close codes that are neither these nor for private use."""

    def change(client: Client) -> None:
        send = client.send

        async def send_or_raise(message: Message) -> None:
            if message["type"] == "websocket.close" and message["code"] not in legal and message["code"] < 3000:
                raise CodeRefused(message["code"])
            await send(message)

        client.send = send_or_raise  # type: ignore[method-assign]

    return change


async def test_a_code_that_the_server_refuses_is_sent_as_one_for_private_use(
    endpoint: Endpoint, journal: Journal
) -> None:
    async with joined_behind(endpoint, takes_only(1000)) as client:
        await endpoint.disconnect("users:ada")
        # Never 1000, on which clients stay away (P-145).
        assert await client.receive_close() == 4001
        await client.wait_ended()
    assert journal.terminated == [("room:a", ("shutdown", "disconnected"))]


async def test_a_malformed_message_ends_there_too(endpoint: Endpoint) -> None:
    async with joined_behind(endpoint, takes_only(1000)) as client:
        client.send_nowait("no JSON")
        assert await client.receive_close() == 4011


async def test_a_drain_ends_there_too(endpoint: Endpoint) -> None:
    async with joined_behind(endpoint, takes_only(1000)) as client:
        await endpoint.drain()
        assert await client.receive_close() == 4012


async def test_codes_that_the_server_takes_are_sent_as_they_are(endpoint: Endpoint) -> None:
    async with joined_behind(endpoint, takes_only(1000, 1001)) as client:
        await endpoint.disconnect("users:ada")
        assert await client.receive_close() == 1001


class ClosingSocket(RawSocket):
    """Closes with the code that its client sends."""

    def handle_in(self, data: str | bytes) -> None:
        self.close(int(data))


@pytest.mark.parametrize(("code", "sent"), [(1000, 1000), (1008, 4008), (3000, 3000), (4123, 4123)])
async def test_codes_of_a_raw_socket_where_some_are_refused(code: int, sent: int) -> None:
    endpoint = Endpoint()
    endpoint.socket("/raw", ClosingSocket)
    async with serving(endpoint) as server:
        client = server.open("/raw/websocket")
        takes_only(1000)(client)
        await server.accepted(client)
        client.send_nowait(str(code))
        assert await client.receive_close() == sent


async def test_a_server_that_takes_no_close_at_all_is_left_in_the_end(
    endpoint: Endpoint, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "CLOSE_TIMEOUT", 0.05)

    def change(client: Client) -> None:
        send = client.send

        async def send_or_raise(message: Message) -> None:
            if message["type"] == "websocket.close":
                raise OSError("the client has gone")
            await send(message)

        client.send = send_or_raise  # type: ignore[method-assign]

    async with joined_behind(endpoint, change) as client:
        await endpoint.disconnect("users:ada")
        # It says nothing either; the application ends all the same.
        await client.wait_ended()
        assert not client.outgoing
    assert journal.terminated == [("room:a", ("shutdown", "disconnected"))]


# Servers that hold a close back while they are read


class HeldCloses:
    """A server that closes only when no ``receive()`` is under way."""

    def __init__(self) -> None:
        self.notes = Notes()
        self._reading = False
        self._changed = anyio.Event()

    def change(self, client: Client) -> None:
        get, send = client.incoming.get, client.send

        async def receive() -> Message:
            self._reading = True
            try:
                return await get()
            finally:
                self._reading = False
                self._changed.set()

        async def send_when_not_read(message: Message) -> None:
            if message["type"] == "websocket.close":
                self.notes.add("held")
                while self._reading:
                    self._changed = anyio.Event()
                    await self._changed.wait()
                self.notes.add("let go")
            await send(message)

        client.incoming.get = receive  # type: ignore[method-assign]
        client.send = send_when_not_read  # type: ignore[method-assign]


async def test_a_close_that_the_server_holds_back_ends_the_reading(endpoint: Endpoint, journal: Journal) -> None:
    server = HeldCloses()
    async with joined_behind(endpoint, server.change, answers_close=False) as client:
        await endpoint.disconnect("users:ada")
        assert await client.receive_close() == 1001
        await client.wait_ended()
    assert server.notes.entries == ["held", "let go"]
    assert journal.terminated == [("room:a", ("shutdown", "disconnected"))]


@on_virtual_time()
async def test_the_idle_timeout_is_not_held_back_either() -> None:
    journal, server = Journal(), HeldCloses()
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(timeout=60)})
    async with joined_behind(endpoint, server.change, answers_close=False) as client:
        with anyio.fail_after(61.5):
            assert await client.outgoing.get() == {"type": "websocket.close", "code": 1002}
        await client.wait_ended()
    assert journal.terminated == [("room:a", ("shutdown", "closed"))]


@on_virtual_time()
async def test_a_server_that_does_not_hold_closes_back_is_read_until_the_client_has_answered() -> None:
    endpoint = make_endpoint(Journal())
    async with joined_behind(endpoint, takes_only(1001), answers_close=False) as client:
        await endpoint.disconnect("users:ada")
        assert await client.receive_close() == 1001
        await anyio.sleep(CLOSE_TIMEOUT - 1)
        # It might still send something; the connection is over when it says so.
        client.send_nowait([None, "h", "phoenix", "heartbeat", {}])
        await anyio.sleep(0.5)
        assert (client.unread, client.ended.is_set()) == (0, False)
        client.close_nowait(1001)
        await client.wait_ended()


@on_virtual_time()
async def test_a_close_that_never_gets_away_is_given_up() -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)

    def change(client: Client) -> None:
        send = client.send

        async def send_or_hang(message: Message) -> None:
            if message["type"] == "websocket.close":
                await anyio.sleep_forever()
            await send(message)

        client.send = send_or_hang  # type: ignore[method-assign]

    async with joined_behind(endpoint, change) as client:
        await endpoint.disconnect("users:ada")
        with anyio.fail_after(2 * CLOSE_TIMEOUT + 1):
            await client.ended.wait()
    assert journal.terminated == [("room:a", ("shutdown", "disconnected"))]


@on_virtual_time()
async def test_frames_before_a_held_close_get_through() -> None:
    server = HeldCloses()
    endpoint = make_endpoint(Journal())
    async with joined_behind(endpoint, server.change, answers_close=False) as client:
        for number in range(3):
            endpoint.broadcast("room:a", "n", {"n": number})
        await endpoint.disconnect("users:ada")
        assert [(await client.receive())[4]["n"] for _ in range(3)] == [0, 1, 2]
        assert await client.receive_close() == 1001


# Frames that are too large (P-083)


def heartbeat(size: int, character: str = "x") -> str:
    """A heartbeat of so many bytes."""
    empty = json.dumps([None, "h", "phoenix", "heartbeat", {"x": ""}])
    fill = size - len(empty)
    return json.dumps(
        [None, "h", "phoenix", "heartbeat", {"x": character * (fill // len(character.encode()))}], ensure_ascii=False
    )


@pytest.mark.parametrize(
    ("size", "character", "closed"), [(1024, "x", False), (1025, "x", True), (1023, "漢", False), (1200, "漢", True)]
)
async def test_p083_a_message_over_the_size_of_its_mount_closes_with_1009(
    journal: Journal, caplog: pytest.LogCaptureFixture, size: int, character: str, closed: bool
) -> None:
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(max_frame_size=1024)})
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        client.send_nowait(heartbeat(size, character))
        if closed:
            assert await client.receive_close() == 1009
            assert "over the limit of 1024" in caplog.text
            await client.wait_ended()
            assert journal.terminated == [("room:a", ("shutdown", "closed"))]
        else:
            assert (await client.receive())[3] == "phx_reply"


async def test_p083_binary_messages_are_measured_too(journal: Journal) -> None:
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(max_frame_size=100)})
    head = b"\x00\x01\x01\x06\x041" + b"3room:aecho"
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        client.send_nowait(head + bytes(100 - len(head)))
        assert isinstance(await client.receive(), bytes)
        client.send_nowait(head + bytes(101 - len(head)))
        assert await client.receive_close() == 1009


async def test_p083_the_size_is_of_the_mount_and_not_of_what_the_server_sends(journal: Journal) -> None:
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(max_frame_size=100)})
    default = make_endpoint(journal)
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        endpoint.broadcast("room:a", "large", {"x": "x" * 1000})
        assert (await client.receive())[3] == "large"
    async with serving(default) as server:
        client = await server.joined("room:a")
        client.send_nowait(heartbeat(1_000_000))
        assert (await soon(client.receive()))[3] == "phx_reply"


async def test_what_comes_after_a_message_that_is_too_large_is_not_handled(journal: Journal) -> None:
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(max_frame_size=200)})
    async with serving(endpoint) as server:
        client = await server.joined("room:a", answers_close=False)
        client.send_nowait(heartbeat(201))
        client.send_nowait(["1", "2", "room:a", "note", {}])
        assert await client.receive_close() == 1009
        await eventually(lambda: client.unread == 0)
    assert journal.received == []
