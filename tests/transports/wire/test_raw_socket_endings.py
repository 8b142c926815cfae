"""Sockets without channels over the wire: their callbacks, and how they end (P-082, P-087, P-088)."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from phoenix_channels import Endpoint, Limits, RawSocket, Stop, WebSocketOptions
from tests.support.loops import Journal, settle, soon
from tests.transports.app import eventually
from tests.transports.clients import RawClient, connect_raw
from tests.transports.servers import Serve

TEXT, BINARY = 1, 2


class ToldSocket(RawSocket):
    """Does what its client tells it."""

    journal: Journal
    shutdown = 0.05

    def id(self) -> str:
        return "user:1"

    async def init(self) -> str:
        return "hello"

    async def handle_in(self, data: str | bytes) -> Any:
        match data:
            case "crash":
                self.push("last words")
                raise ZeroDivisionError
            case "stop":
                return Stop()
            case "close":
                self.close(4321)
            case "hang":
                await anyio.sleep_forever()
            case _:
                return data
        return None

    def terminate(self, reason: Any) -> None:
        self.journal.add(reason)


def told() -> tuple[type[ToldSocket], Journal]:
    class OwnSocket(ToldSocket):
        journal = Journal()

    return OwnSocket, OwnSocket.journal


def endpoint_of(socket_class: type[RawSocket], limits: Limits | None = None) -> Endpoint:
    endpoint = Endpoint(limits=limits)
    endpoint.socket("/socket", socket_class, websocket=WebSocketOptions(max_frame_size=1_000))
    return endpoint


async def say(client: RawClient, text: bytes) -> None:
    await client.send_frame(TEXT, text)


async def greeted(client: RawClient) -> None:
    assert await client.receive_frame() == (TEXT, b"hello")


async def test_messages_of_both_kinds_in_their_order(serve: Serve) -> None:
    socket_class, journal = told()
    async with serve(endpoint_of(socket_class)) as port, connect_raw(port, query="") as client:
        await greeted(client)
        sent = [(TEXT, "grüße".encode()), (BINARY, b"\x00\xff"), (TEXT, b""), (BINARY, b"")]
        for opcode, data in sent:
            await client.send_frame(opcode, data)
        assert [await client.receive_frame() for _ in sent] == sent
    await eventually(lambda: journal.entries == [("shutdown", "closed")])


@pytest.mark.parametrize(
    ("text", "last", "code"), [(b"crash", [b"last words"], 1011), (b"stop", [], 1000), (b"close", [], 4321)]
)
async def test_the_codes_with_which_a_socket_ends(serve: Serve, text: bytes, last: list[bytes], code: int) -> None:
    socket_class, journal = told()
    async with serve(endpoint_of(socket_class)) as port, connect_raw(port, query="") as client:
        await greeted(client)
        await say(client, text)
        for words in last:
            assert await client.receive_frame() == (TEXT, words)
        assert await client.close_code() == code
        await eventually(lambda: len(journal.entries) == 1)
    (reason,) = journal.entries
    assert isinstance(reason, ZeroDivisionError) if text == b"crash" else reason in ("normal", ("shutdown", "closed"))


async def test_a_disconnect_a_drain_and_a_frame_that_is_too_large(serve: Serve) -> None:
    socket_class, journal = told()
    endpoint = endpoint_of(socket_class)
    async with serve(endpoint) as port:
        async with connect_raw(port, query="") as client:
            await greeted(client)
            await endpoint.disconnect("user:1")
            assert await client.close_code() == 1001
        async with connect_raw(port, query="") as client:
            await greeted(client)
            await say(client, 2_000 * b"x")
            assert await client.close_code() == 1009
        # The drain waits for its clients: this one does not answer the close, and goes away.
        async with anyio.create_task_group() as group, connect_raw(port, query="") as client:
            await greeted(client)
            group.start_soon(endpoint.drain)
            assert await client.close_code() == 1012
        await eventually(lambda: len(journal.entries) == 3)
    assert journal.entries == [("shutdown", why) for why in ("disconnected", "closed", "draining")]


async def test_a_handler_that_hangs_costs_its_connection(serve: Serve) -> None:
    """It is not read any further; after ``paused_seconds`` it is closed with 1013."""
    socket_class, journal = told()
    endpoint = endpoint_of(socket_class, Limits(paused_seconds=0.1))
    async with serve(endpoint) as port, connect_raw(port, query="") as client:
        await greeted(client)
        await say(client, b"hang")
        assert await client.close_code() == 1013
        await eventually(lambda: journal.entries == [("shutdown", "closed")])
        assert endpoint.statistics().cut_callbacks == 1


async def test_a_client_that_goes_away_while_its_handler_runs(serve: Serve) -> None:
    """The handler is given its time, then it is cut off and the socket terminates; at the latest."""
    socket_class, journal = told()
    endpoint = endpoint_of(socket_class, Limits(paused_seconds=0.2))
    async with serve(endpoint) as port:
        async with connect_raw(port, query="") as client:
            await greeted(client)
            await say(client, b"hang")
        await soon(journal.wait_length(1))
        await settle()
        assert endpoint.statistics().connections == 0
