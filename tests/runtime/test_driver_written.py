"""A client that is behind and not read meanwhile: as long as something moves, it has not got stuck."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, Endpoint, Limits, Reply, incoming
from phoenix_channels.backpressure import SlowConsumer
from tests.support.apps import serve
from tests.support.asgi import Client
from tests.support.loops import on_virtual_time, settle

PADDING = 1000 * "x"
LIMITS = Limits(outbox_bytes=20_000, outbox_high_water=2000, paused_seconds=10.0)


def room_channel(policy: SlowConsumer) -> type[Channel[Any]]:
    class RoomChannel(Channel):
        slow_consumer = policy

        @incoming
        def echo(self, payload: Any) -> Reply:
            return Reply.ok(payload)

    return RoomChannel


async def fall_behind(endpoint: Endpoint, client: Client, count: int) -> None:
    """Have so much wait for it, and then send something: it is not read until that is less."""
    client.stop_reading()
    for number in range(count):
        await feed(endpoint, number)
    for ref in ("2", "3"):
        client.send_nowait(["1", ref, "room:a", "echo", {}])
    await settle()
    assert client.unread == 1


async def feed(endpoint: Endpoint, number: int) -> None:
    endpoint.broadcast("room:a", "n", {"n": number, "padding": PADDING})
    await settle()


def take_one(client: Client) -> None:
    """Take the frame that is being sent, and no more."""
    client.go_on_reading()
    client.stop_reading()


@on_virtual_time()
@pytest.mark.parametrize("policy", ["disconnect", "drop_newest", "drop_oldest"])
async def test_a_client_that_takes_a_frame_now_and_then_is_not_closed(policy: SlowConsumer) -> None:
    async with serve(room_channel(policy), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a")
        await fall_behind(endpoint, client, 15)
        for number in range(10):
            await anyio.sleep(9)
            take_one(client)
            await settle()
            assert len(client.outgoing) == number + 1
            await feed(endpoint, 15 + number)
        assert client.unread == 1
        assert endpoint.statistics().connections == 1
        # It has not lost what it asked for, either.
        client.go_on_reading()
        await settle()
        received = await client.receive_many(len(client.outgoing))
        assert [frame[1] for frame in received if frame[3] == "phx_reply"] == ["2", "3"]
        await client.heartbeat()


@on_virtual_time()
async def test_a_client_that_takes_nothing_any_more_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    async with serve(room_channel("disconnect"), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a")
        await fall_behind(endpoint, client, 10)
        await anyio.sleep(9)
        take_one(client)
        # The time begins anew, for once.
        await anyio.sleep(9)
        assert endpoint.statistics().connections == 1
        await anyio.sleep(2)
        assert endpoint.statistics().connections == 0
        assert "nothing of what waits has moved for 10.0 s" in caplog.text
        client.go_on_reading()
        await client.receive_many(10)
        # What waited comes before the close.
        await client.receive()
        assert await client.receive_close() == 1013


@on_virtual_time()
async def test_channels_that_do_not_keep_up_are_not_excused_by_what_the_client_takes() -> None:
    """What waits there is not for the client to take."""
    release = anyio.Event()

    class RoomChannel(Channel):
        @incoming
        async def slow(self, payload: Any) -> None:
            await release.wait()

    async with serve(RoomChannel, limits=Limits(inbound_messages=1, paused_seconds=10.0)) as (endpoint, server):
        client = await server.joined("room:a")
        for ref in ("2", "3"):
            client.send_nowait(["1", ref, "room:a", "slow", {}])
        for number in range(4):
            await anyio.sleep(4)
            await feed(endpoint, number)
        assert endpoint.statistics().connections == 0
        release.set()
