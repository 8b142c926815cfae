"""A connection on the fast lane is read while its client takes the answers, and read again when it does."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, Endpoint, Limits, RawSocket, Reply, Socket, incoming
from tests.transports.app import eventually
from tests.transports.clients import Client, RawClient, connect, connect_raw, masked
from tests.transports.fast import on_loops
from tests.transports.servers import fast_server

pytestmark = on_loops
TEXT, PING, PONG = 1, 9, 10
PAD = "x" * 400
LARGE = "x" * 10_000


class EchoChannel(Channel):
    """Answers at once, or from a task; or sends more than it was asked for, a moment later."""

    @incoming
    def plain(self, payload: Any) -> Reply:
        return Reply.ok(payload)

    @incoming
    async def later(self, payload: Any) -> Reply:
        await anyio.lowlevel.checkpoint()
        return Reply.ok(payload)

    @incoming
    def blast(self, payload: Any) -> Reply:
        self.start_soon(self._blast)
        return Reply.ok(payload)

    async def _blast(self) -> None:
        for _ in range(600):
            self.push("large", {"pad": LARGE})


class EchoSocket(Socket):
    channels = {"room:*": EchoChannel}


@asynccontextmanager
async def serving(**limits: int) -> AsyncGenerator[tuple[Endpoint, RawClient, Client]]:
    """A client that reads when it is told to, and one that is somewhere else."""
    endpoint = Endpoint(limits=Limits(**limits))
    endpoint.socket("/socket", EchoSocket)
    async with (
        fast_server(endpoint) as port,
        connect_raw(port, receive_buffer=4096) as client,
        connect(port) as other,
    ):
        await client.send("1", "1", "room:a", "phx_join", {})
        await client.receive_frame()
        await other.join("room:b")
        yield endpoint, client, other


def push(number: int, event: str, **payload: Any) -> bytes:
    return RawClient.text("1", str(number), "room:a", event, {"n": number, **payload})


async def replies(client: RawClient, count: int) -> list[int]:
    """The numbers of so many replies, whatever comes between them."""
    got: list[int] = []
    while len(got) < count:
        opcode, data = await client.receive_frame()
        assert opcode == TEXT
        message = json.loads(data)
        if message[3] == "phx_reply":
            got.append(message[4]["response"]["n"])
    return got


async def is_read(client: RawClient) -> None:
    await client.stream.send(masked(PING, b"still there?"))
    assert await client.receive_frame() == (PONG, b"still there?")


# Read late


@pytest.mark.parametrize("event", ["plain", "later"])
@pytest.mark.parametrize("high_water", [1, 64 * 1024])
async def test_p061_a_burst_of_pushes_is_answered_to_the_last_however_late_it_is_read(
    event: str, high_water: int
) -> None:
    async with serving(outbox_high_water=high_water) as (endpoint, client, other), anyio.create_task_group() as group:
        burst = b"".join(push(number, event, pad=PAD) for number in range(3000))
        # More than the kernel takes: it is sent while it is read.
        group.start_soon(client.stream.send, burst)
        await eventually(lambda: endpoint.statistics().outbox_bytes >= high_water)
        for number in range(10):
            assert await other.call("room:b", "plain", number) == number
        assert await replies(client, 3000) == list(range(3000))
        await is_read(client)
        assert endpoint.statistics().dropped_frames == 0


@pytest.mark.parametrize("before", [0, 10, 31])
async def test_one_that_falls_behind_between_two_portions_of_what_it_has_sent_is_read_again(before: int) -> None:
    """By what it is told meanwhile: nothing of its own has held up the reading."""
    async with serving() as (endpoint, client, other):
        # The blast comes when the first portion has been handled, and before the next is.
        sent = [push(number, "plain") for number in range(before)]
        sent.append(push(before, "blast"))
        sent += [push(number, "plain") for number in range(before + 1, 100)]
        await client.stream.send(b"".join(sent))
        await eventually(lambda: endpoint.statistics().outbox_bytes > 64 * 1024)
        for number in range(3):
            assert await other.call("room:b", "plain", number) == number
        assert await replies(client, 100) == list(range(100))
        await eventually(lambda: endpoint.statistics().outbox_bytes == 0)
        await is_read(client)


async def test_one_that_is_sent_too_much_to_begin_with_is_read_when_it_has_taken_it() -> None:
    class GreetingSocket(RawSocket):
        def init(self) -> None:
            for _ in range(600):
                self.push(LARGE)

        def handle_in(self, data: str | bytes) -> str | bytes:
            return data

    endpoint = Endpoint()
    endpoint.socket("/socket", GreetingSocket)
    async with fast_server(endpoint) as port, connect_raw(port, receive_buffer=4096) as client:
        await eventually(lambda: endpoint.statistics().outbox_bytes > 64 * 1024)
        await client.send_frame(TEXT, b"hello")
        await client.send_frame(PING, b"hello")
        got = [await client.receive_frame() for _ in range(602)]
        # Before what still waits, perhaps.
        got.remove((PONG, b"hello"))
        assert got == 600 * [(TEXT, LARGE.encode())] + [(TEXT, b"hello")]
        await is_read(client)
