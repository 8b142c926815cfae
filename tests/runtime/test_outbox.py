"""Frames for clients that do not read, or are gone (architecture: backpressure)."""

import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest

from phoenix_channels import Channel, Endpoint, Limits, Reply, incoming
from phoenix_channels.protocol.messages import Frame, FrameBatch, Opcode
from phoenix_channels.runtime.outbox import Outbox
from phoenix_channels.transports.handshake import CLOSE_TIMEOUT
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import DEADLINE, Journal, on_virtual_time, settle

LIMITS = Limits(outbox_bytes=1000)
PADDING = {"padding": 80 * "x"}


class FloodChannel(Channel):
    journal: Journal

    @incoming
    def flood(self, payload: Any) -> None:
        for _ in range(payload["count"]):
            self.push("flood", PADDING)

    async def terminate(self, reason: object) -> None:
        self.journal.add(reason)


def flood_channel() -> type[FloodChannel]:
    class RoomChannel(FloodChannel):
        journal = Journal()

    return RoomChannel


async def test_a_client_that_takes_no_frames_is_closed_with_1013(
    prompt: bool, caplog: pytest.LogCaptureFixture
) -> None:
    room = flood_channel()
    async with serve(room, limits=LIMITS) as (endpoint, server):
        client, other = await server.joined("room:a", prompt=prompt), await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        for n in range(100):
            endpoint.broadcast("room:a", "flood", {"n": n, **PADDING})
            # The other one gets everything, at once.
            assert await other.receive() == frames.broadcast("room:a", "flood", {"n": n, **PADDING})
        await settle()
        assert endpoint.statistics().connections == 1
        assert endpoint.statistics().channels == 1
        assert room.journal.entries == [("shutdown", "closed")]
        dropped = endpoint.statistics().dropped_frames
        assert 1 < dropped < 20
        # What was on its way arrives, then the close, on which phoenix.js comes back.
        client.go_on_reading()
        assert await client.receive() == frames.broadcast("room:a", "flood", {"n": 0, **PADDING})
        assert await client.receive_close() == 1013
        await client.wait_ended()
        await other.heartbeat()
        assert endpoint.statistics().dropped_frames == dropped
    assert "too slow" in caplog.text


async def test_a_thread_that_floods_a_client_that_takes_nothing_costs_nobody_else(
    prompt: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its broadcasts run in a callback of the loop, where no task is: closing the slow one has to work there."""
    room = flood_channel()
    async with serve(room, limits=LIMITS) as (endpoint, server):
        slow, other = await server.joined("room:a", prompt=prompt), await server.joined("room:a", prompt=prompt)
        slow.stop_reading()

        def flood() -> None:
            for n in range(100):
                endpoint.broadcast("room:a", "n", {"n": n, **PADDING})
                arrived.acquire(timeout=DEADLINE)

        arrived = threading.Semaphore(0)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, flood)
            for n in range(100):
                assert await other.receive() == frames.broadcast("room:a", "n", {"n": n, **PADDING})
                arrived.release()
        await settle()
        assert endpoint.statistics().connections == 1
        assert room.journal.entries == [("shutdown", "closed")]
        slow.go_on_reading()
        await slow.receive()
        assert await slow.receive_close() == 1013
        await slow.wait_ended()
    assert "failed" not in caplog.text


async def test_a_slow_client_within_the_bound_loses_nothing(prompt: bool) -> None:
    room = flood_channel()
    async with serve(room, limits=Limits(outbox_bytes=100_000)) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        for n in range(100):
            endpoint.broadcast("room:a", "n", {"n": n})
        await settle()
        assert len(client.outgoing) == 0
        client.go_on_reading()
        assert await client.receive_many(100) == [frames.broadcast("room:a", "n", {"n": n}) for n in range(100)]
        # The bound is about what waits, not about what has ever been sent.
        for _ in range(20):
            endpoint.broadcast("room:a", "big", {"padding": 60_000 * "x"})
            assert await client.receive() == frames.broadcast("room:a", "big", {"padding": 60_000 * "x"})
        assert endpoint.statistics().dropped_frames == 0


async def test_a_frame_larger_than_the_bound_reaches_a_client_that_reads(prompt: bool) -> None:
    async with serve(flood_channel(), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        for _ in range(3):
            endpoint.broadcast("room:a", "big", {"padding": 5000 * "x"})
            assert await client.receive() == frames.broadcast("room:a", "big", {"padding": 5000 * "x"})


async def test_one_callback_may_send_more_than_the_bound_to_a_client_that_reads(prompt: bool) -> None:
    """Nothing is written before the loop turns: until then the client cannot be slow."""
    async with serve(flood_channel(), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        for n in range(60):
            endpoint.broadcast("room:a", "n", {"n": n, **PADDING})
        expected = [frames.broadcast("room:a", "n", {"n": n, **PADDING}) for n in range(60)]
        assert await client.receive_many(60) == expected
        assert endpoint.statistics().dropped_frames == 0


async def test_one_callback_may_not_send_without_end(prompt: bool) -> None:
    async with serve(flood_channel(), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        for _ in range(5):
            endpoint.broadcast("room:a", "big", {"padding": 5000 * "x"})
        assert await client.receive_close() == 1013
        assert endpoint.statistics().dropped_frames > 0


async def test_its_own_pushes_close_a_client_too(prompt: bool) -> None:
    room = flood_channel()
    async with serve(room, limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.send_nowait(["1", "2", "room:a", "flood", {"count": 1000}])
        assert await client.receive_close() == 1013
        await client.wait_ended()
        assert room.journal.entries == [("shutdown", "closed")]
        assert endpoint.statistics().dropped_frames > 1


async def test_a_client_that_only_asks_is_read_no_further_than_it_reads(prompt: bool) -> None:
    """Whoever does not take its answers gets no more of them: nothing is lost, and nobody is closed."""

    class EchoChannel(Channel):
        @incoming
        def echo(self, payload: Any) -> Reply:
            return Reply.ok(payload)

    async with serve(EchoChannel, limits=Limits(outbox_bytes=10_000, outbox_high_water=1000)) as (endpoint, server):
        client, other = await server.joined("room:a", prompt=prompt), await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        for n in range(100):
            client.send_nowait(["1", str(n), "room:a", "echo", {"n": n, **PADDING}])
        await settle()
        assert 80 < client.unread < 100
        await other.heartbeat()
        # What others say reaches it all the same, up to the bound.
        endpoint.broadcast("room:a", "event", {})
        assert await other.receive() == frames.broadcast("room:a", "event")
        client.go_on_reading()
        received = await client.receive_many(101)
        received.remove(frames.broadcast("room:a", "event"))
        assert received == [frames.reply("1", str(n), "room:a", {"n": n, **PADDING}) for n in range(100)]
        assert client.unread == 0
        assert endpoint.statistics().dropped_frames == 0
        await client.heartbeat()


async def test_what_was_written_before_a_close_is_sent_before_it(prompt: bool) -> None:
    async with serve(flood_channel(), socket_id="user:1") as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        for n in range(10):
            endpoint.broadcast("room:a", "n", {"n": n})
        await endpoint.disconnect("user:1")
        endpoint.broadcast("room:a", "after the close", {})
        assert await client.receive_many(10) == [frames.broadcast("room:a", "n", {"n": n}) for n in range(10)]
        assert await client.receive_close() == 1001


async def test_a_send_that_fails_ends_the_connection(prompt: bool) -> None:
    """The client has gone, and the server says so in its own way."""
    room = flood_channel()
    async with serve(room) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        endpoint.broadcast("room:a", "one", {})
        endpoint.broadcast("room:a", "two", {})
        await settle()
        client.vanish()
        await room.journal.wait_for(("shutdown", "closed"))
        assert endpoint.statistics().connections == 0
        endpoint.broadcast("room:a", "three", {})


async def test_a_close_that_fails_ends_the_connection(prompt: bool) -> None:
    room = flood_channel()
    async with serve(room, socket_id="user:1") as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        await endpoint.disconnect("user:1")
        await settle()
        client.vanish()
        await room.journal.wait_for(("shutdown", "disconnected"))
        await client.receive_nothing()


@on_virtual_time()
async def test_a_client_that_takes_nothing_any_more_is_given_up(prompt: bool) -> None:
    """Neither its frames nor its close go anywhere: after a while the application returns all the same."""
    room = flood_channel()
    async with serve(room, limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        client.send_nowait(["1", "2", "room:a", "flood", {"count": 400}])
        await anyio.sleep(CLOSE_TIMEOUT - 1)
        assert not client.ended.is_set()
        assert endpoint.statistics().channels == 0
        await anyio.sleep(2)
        assert client.ended.is_set()


@on_virtual_time()
async def test_a_client_that_does_not_answer_the_close_is_given_up(prompt: bool) -> None:
    async with serve(flood_channel(), socket_id="user:1") as (endpoint, server):
        client = await server.connect(answers_close=False, prompt=prompt)
        await endpoint.disconnect("user:1")
        assert await client.receive_close() == 1001
        client.send_nowait("this is read, and means nothing any more")
        await anyio.sleep(CLOSE_TIMEOUT - 1)
        assert not client.ended.is_set()
        await anyio.sleep(2)
        assert client.ended.is_set()


async def test_a_frame_that_comes_while_the_writer_is_about_to_end(prompt: bool) -> None:
    """Many turns of writing and pausing: the order stays, and nothing waits for a writer that is not there."""
    async with serve(flood_channel()) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        for n in range(200):
            endpoint.broadcast("room:a", "n", {"n": n})
            for _ in range(n % 5):
                await anyio.lowlevel.checkpoint()
        assert await client.receive_many(200) == [frames.broadcast("room:a", "n", {"n": n}) for n in range(200)]


# Pings, for transports that can send them


class Wire:
    """What an outbox of its own, beside that of a driver, has sent."""

    def __init__(self, endpoint: Endpoint, *, pings: bool = True) -> None:
        [driver] = endpoint.hub.drivers
        self.sent: list[str | bytes | int] = []
        self.reading = anyio.Event()
        self.reading.set()
        self.outbox = Outbox(driver, self._send, self._note, self._note if pings else None)

    async def _send(self, frame: Frame) -> None:
        await self._note(frame.text)

    async def _note(self, what: str | bytes | int) -> None:
        await self.reading.wait()
        self.sent.append(what)


def text_frame(text: str) -> Frame:
    return Frame(Opcode.TEXT, text.encode())


async def test_pings_stand_in_the_row_with_the_frames() -> None:
    async with serve(flood_channel()) as (endpoint, server):
        await server.connect()
        wire = Wire(endpoint)
        assert wire.outbox.ping(b"1")
        wire.outbox.write(text_frame("2"))
        assert wire.outbox.ping(b"")
        wire.outbox.write(FrameBatch((text_frame("4"), text_frame("5"))))
        assert wire.outbox.ping(b"6")
        assert wire.outbox.queued_bytes == 5
        wire.outbox.close(1000)
        assert wire.outbox.ping(b"too late")
        await settle()
        assert wire.sent == [b"1", "2", b"", "4", "5", b"6", 1000]
        assert wire.outbox.queued_bytes == 0


async def test_behind_very_many_frames_a_ping_would_tell_nothing() -> None:
    async with serve(flood_channel()) as (endpoint, server):
        await server.connect()
        wire = Wire(endpoint)
        wire.reading = anyio.Event()
        for _ in range(2000):
            assert wire.outbox.ping(b"")
        await settle()
        wire.reading.set()
        await settle()
        assert wire.sent == 1025 * [b""]


async def test_where_there_are_no_pings_there_are_none() -> None:
    async with serve(flood_channel()) as (endpoint, server):
        await server.connect()
        wire = Wire(endpoint, pings=False)
        assert not wire.outbox.ping(b"")
        await settle()
        assert wire.sent == []


async def test_what_does_not_fit_takes_the_frame_before_it_along() -> None:
    """Nothing of it has been sent yet, and the client would not get the rest."""
    async with serve(flood_channel(), limits=LIMITS) as (endpoint, server):
        client = await server.connect()
        wire = Wire(endpoint)
        wire.outbox.ping(b"ping")
        for _ in range(2):
            wire.outbox.write(text_frame(16_000 * "x"))
        await settle()
        assert wire.sent == []
        assert endpoint.statistics().dropped_frames == 3
        assert await client.receive_close() == 1013
