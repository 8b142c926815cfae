"""The idle timeout: silence closes a connection, and only silence (P-081)."""

import logging
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, Limits, Reply, WebSocketOptions, incoming
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import DEADLINE, on_virtual_time, settle


class EchoChannel(Channel):
    """Answers at once, or when it is allowed to."""

    release: anyio.Event

    @incoming
    async def slow(self, payload: Any) -> Reply:
        await self.release.wait()
        return Reply.ok(payload)

    @incoming
    def plain(self, payload: Any) -> Reply:
        return Reply.ok(payload)


def echo_channel() -> type[EchoChannel]:
    class RoomChannel(EchoChannel):
        release = anyio.Event()

    return RoomChannel


@pytest.mark.feature("C11")
async def test_silence_beyond_the_timeout_closes() -> None:
    """P-081; what goes out does not count."""
    async with serve(echo_channel(), timeout=0.05) as (endpoint, server):
        client = await server.joined("room:a")
        with anyio.fail_after(DEADLINE):
            while endpoint.statistics().connections:
                endpoint.broadcast("room:a", "event", {})
                await anyio.sleep(0.01)
        await settle()
        broadcasts = await client.receive_many(len(client.outgoing) - 1)
        assert frames.broadcast("room:a", "event") in broadcasts
        assert await client.receive_close() == 1002
        await client.wait_ended()


@pytest.mark.feature("C11")
@on_virtual_time()
@pytest.mark.parametrize(
    "frame",
    [
        [None, "h", "phoenix", "heartbeat", {}],
        ["1", "2", "room:a", "plain", {}],
        ["stale", "2", "room:a", "plain", {}],
        frames.binary_push("1", "2", "room:a", "plain", b""),
    ],
)
async def test_every_message_counts_from_anew(frame: object) -> None:
    async with serve(echo_channel(), timeout=60.0) as (_, server):
        client, silent = await server.joined("room:a"), await server.joined("room:a")
        await anyio.sleep(40)
        client.send_nowait(frame)
        await anyio.sleep(40)
        assert await silent.receive_close() == 1002
        await silent.wait_ended()
        client.send_nowait(frame)
        await anyio.sleep(59)
        assert not client.ended.is_set()
        await anyio.sleep(2)
        await client.wait_ended()


@on_virtual_time()
async def test_the_timeout_stands_still_while_reading_does() -> None:
    room = echo_channel()
    async with serve(room, timeout=20.0, limits=Limits(inbound_messages=2)) as (_, server):
        client = await server.joined("room:a")
        for n in range(6):
            client.send_nowait(["1", str(n), "room:a", "slow", n])
        await anyio.sleep(50)
        assert not client.ended.is_set()
        room.release.set()
        assert await client.receive_many(6) == [frames.reply("1", str(n), "room:a", n) for n in range(6)]
        await anyio.sleep(19)
        await client.heartbeat()
        await anyio.sleep(19)
        await client.heartbeat()
        await anyio.sleep(21)
        assert await client.receive_close() == 1002


class BrokenFilter(logging.Filter):
    """Raises for one kind of line, as a filter does that has a mistake in it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if "nothing of what waits has moved" in record.msg:
            self.asked += 1
            raise ZeroDivisionError
        return True


@pytest.fixture
def broken() -> Iterator[BrokenFilter]:
    logger, broken = logging.getLogger("phoenix_channels"), BrokenFilter()
    logger.addFilter(broken)
    yield broken
    logger.removeFilter(broken)


async def test_a_log_that_fails_about_one_connection_leaves_the_others_watched(broken: BrokenFilter) -> None:
    """One task watches over all of them."""
    room = echo_channel()
    async with serve(room, timeout=0.05, limits=Limits(paused_seconds=0.02, inbound_messages=1)) as (_, server):
        stuck, silent = await server.joined("room:a"), await server.joined("room:a")
        for ref in ("2", "3"):
            stuck.send_nowait(["1", ref, "room:a", "slow", {}])
        assert await silent.receive_close() == 1002
        assert broken.asked
        room.release.set()


@on_virtual_time()
async def test_a_connection_that_the_log_fails_about_is_closed_all_the_same(broken: BrokenFilter) -> None:
    """And not looked at again and again, without a pause."""
    room = echo_channel()
    async with serve(room, timeout=20.0, limits=Limits(paused_seconds=10.0, inbound_messages=1)) as (_, server):
        stuck = await server.joined("room:a")
        for ref in ("2", "3"):
            stuck.send_nowait(["1", ref, "room:a", "slow", {}])
        await anyio.sleep(11)
        assert await stuck.receive_close() == 1013
        assert broken.asked == 1
        room.release.set()


@on_virtual_time()
async def test_each_mount_has_a_timeout_of_its_own() -> None:
    room = echo_channel()
    async with serve(room, timeout=60.0) as (endpoint, server):
        socket_class = endpoint.mounts.match(("socket", "websocket")).mount.socket_class  # type: ignore[union-attr]
        endpoint.socket("/hasty", socket_class, websocket=WebSocketOptions(timeout=10.0))
        endpoint.socket("/patient", socket_class, websocket=WebSocketOptions(timeout=None))
        default = await server.connect()
        hasty = await server.connect("/hasty/websocket")
        patient = await server.connect("/patient/websocket")
        await anyio.sleep(11)
        assert await hasty.receive_close() == 1002
        assert not default.ended.is_set()
        await anyio.sleep(50)
        assert await default.receive_close() == 1002
        await anyio.sleep(10_000)
        await patient.heartbeat()
        # The watch ended with the last connection that it had to watch, and begins again with the next.
        again = await server.connect("/hasty/websocket")
        await anyio.sleep(11)
        assert await again.receive_close() == 1002


@on_virtual_time()
async def test_silence_is_watched_again_after_the_last_connection_has_gone() -> None:
    async with serve(echo_channel(), timeout=10.0) as (_, server):
        for _ in range(2):
            client = await server.joined("room:a")
            await anyio.sleep(11)
            assert await client.receive_close() == 1002
            await client.wait_ended()
            await settle()
