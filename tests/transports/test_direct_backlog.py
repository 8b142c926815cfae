"""The sink that writes to the socket itself, for a client that is behind: what waits, and what is dropped.

Nobody is slow before the loop has turned: what is written until then is a burst, with a bound of its own.
"""

from __future__ import annotations

import random

import pytest

from phoenix_channels import Limits
from phoenix_channels.backpressure import Latest, Policy, SlowConsumer
from phoenix_channels.protocol.frames import CLOSE, FIN, PONG, server_frame
from phoenix_channels.protocol.messages import EncodedBroadcast, Frame, FrameBatch
from phoenix_channels.pubsub.subscription import Subscription
from tests.support.loops import settle
from tests.transports.pairs import Wire, linked, numbered, wires

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"])
LIMIT = 100_000
LIMITS = Limits(outbox_bytes=LIMIT)
DROPPING: list[SlowConsumer] = ["drop_newest", "drop_oldest", "latest"]


def channel(policy: SlowConsumer) -> Subscription:
    """What the frames of a channel with this policy come from."""
    return Subscription("room:a", lambda _: None, policy=Policy.of(policy))


def event(number: int, size: int = 1000) -> Frame:
    """As a frame of a channel with a policy is: it knows what it says."""
    frame = numbered(number, size)
    frame.message = EncodedBroadcast("room:a", "n", b"")
    return frame


# In order


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("way", ["socket", "hidden"])
async def test_all_that_is_written_arrives_in_order_however_it_is_read(way: str, seed: int) -> None:
    dice = random.Random(seed)
    async with linked(Wire(hidden=way == "hidden"), limits=Limits(outbox_bytes=50_000_000)) as (wire, link, endpoint):
        frames: list[Frame] = []
        got = b""
        for _ in range(200):
            new = [numbered(len(frames) + n, dice.choice((8, 500, 5000, 70_000))) for n in range(dice.randrange(5))]
            corked = dice.random() < 0.5
            if corked:
                link.cork()
            if dice.random() < 0.5:
                link.write(FrameBatch(tuple(new)))
            else:
                for frame in new:
                    link.write(frame)
            if corked:
                link.uncork()
            frames += new
            got += wire.read(dice.choice((0, 1, 3000, 100_000)))
            if dice.random() < 0.3:
                wire.flush()
            if dice.random() < 0.3:
                await settle()
        assert got + wire.read_all() == wires(frames)
        assert link.queued_bytes == 0
        assert endpoint.statistics().dropped_frames == 0


async def test_of_what_waits_the_transport_gets_a_portion_at_a_time() -> None:
    """The rest can still be dropped."""
    async with linked(limits=Limits(outbox_bytes=10_000_000)) as (wire, link, _):
        frames = [*link.fall_behind(), *(numbered(number, 10_000) for number in range(100))]
        for frame in frames[-100:]:
            link.write(frame)
        got, most = b"", 0
        while link.queued_bytes:
            got += wire.read(10_000)
            wire.flush()
            most = max(most, wire.get_write_buffer_size())
        assert 0 < most < 64 * 1024 + 10_100
        assert got + wire.read_all() == wires(frames)


async def test_what_waits_is_encoded_when_it_goes() -> None:
    """What is dropped costs nothing, and compression begins with what is sent."""
    async with linked(prepared=False) as (wire, link, _):
        sent = link.fall_behind()
        await settle()
        assert link.encoded == sent
        room, frames = channel("latest"), [event(number) for number in range(50)]
        for frame in frames:
            link.write(frame, room)
        assert link.encoded == sent
        assert wire.read_all() == wires([*sent, frames[-1]])
        assert link.encoded == [*sent, frames[-1]]


async def test_queued_bytes_are_those_of_the_transport_and_those_that_wait() -> None:
    async with linked() as (wire, link, endpoint):
        assert link.queued_bytes == 0
        link.fall_behind()
        in_transport = wire.get_write_buffer_size()
        assert link.queued_bytes == in_transport
        link.write(numbered(0, 300))
        link.write(FrameBatch((numbered(1, 200), numbered(2, 100))))
        assert link.queued_bytes == in_transport + 600
        assert endpoint.statistics().outbox_bytes == in_transport + 600


async def test_a_driver_that_waits_for_its_client_is_told_when_it_has_caught_up() -> None:
    async with linked(limits=Limits(outbox_high_water=1)) as (wire, link, _):
        assert link.driver.keep_reading()
        link.fall_behind()
        assert not link.driver.keep_reading()
        assert link.readings == 0
        wire.read_all()
        assert link.readings == 1


# Control frames


async def test_of_the_pings_of_a_client_that_is_behind_only_the_last_is_answered() -> None:
    """RFC 6455, 5.5.3: a thousand of them must not take any room."""
    async with linked() as (wire, link, _):
        link.pong(b"at once")
        frames = link.fall_behind()
        link.write(numbered(0))
        queued = link.queued_bytes
        for number in range(1000):
            link.pong(f"{number}".encode())
        assert link.queued_bytes == queued
        pong = server_frame(FIN | PONG, b"999")
        # As soon as it can: before what still waits.
        assert wire.read_all() == server_frame(FIN | PONG, b"at once") + wires(frames) + pong + numbered(0).wire
        # Once.
        frames = link.fall_behind()
        assert wire.read_all() == wires(frames)


async def test_a_client_that_never_catches_up_is_answered_all_the_same() -> None:
    """It reads, and pings to find out whether anybody is there: a backlog that is never empty is no reason to leave."""
    async with linked(limits=LIMITS) as (wire, link, _):
        room = channel("drop_oldest")
        link.fall_behind()
        link.pong(b"there")
        got = b""
        for number in range(100):
            for n in range(10):
                link.write(event(10 * number + n, 10_000), room)
            got += wire.read(30_000)
            wire.flush()
            assert link.queued_bytes > LIMIT // 2
            await settle()
        assert got.count(server_frame(FIN | PONG, b"there")) == 1


async def test_a_client_that_is_behind_is_not_pinged() -> None:
    async with linked() as (wire, link, _):
        frames = link.fall_behind()
        assert link.ping(b"it would tell nothing")
        assert wire.read_all() == wires(frames)


# Too much


@pytest.mark.parametrize("number", [1, 2, 7])
async def test_a_client_that_does_not_read_is_closed_and_everything_it_does_not_get_is_counted(number: int) -> None:
    async with linked(limits=LIMITS) as (wire, link, endpoint):
        written = link.fall_behind()
        most = 0
        while not link.driver.closed:
            await settle()
            most = max(most, link.queued_bytes)
            batch = FrameBatch(tuple(numbered(len(written) + n) for n in range(number)))
            written += batch.frames
            link.write(batch)
        assert LIMIT - 10_000 < most <= LIMIT
        lost = endpoint.statistics().dropped_frames
        # Nothing of the batch that was too much, either.
        link.write(numbered(0))
        got = len(written) - lost
        assert wire.read_all() == wires(written[:got]) + server_frame(FIN | CLOSE, (1013).to_bytes(2, "big"))
        assert endpoint.statistics().dropped_frames == lost


async def test_what_is_larger_than_the_bound_goes_out_when_nothing_else_waits() -> None:
    async with linked(limits=LIMITS) as (wire, link, endpoint):
        large = numbered(0, 5 * LIMIT)
        sent = link.fall_behind()
        await settle()
        link.write(large)
        assert wire.read_all() == wires([*sent, large])
        assert endpoint.statistics().dropped_frames == 0


async def test_a_burst_has_a_bound_as_well() -> None:
    async with linked(limits=LIMITS) as (_, link, endpoint):
        link.fall_behind()
        for number in range(20):
            link.write(numbered(number, LIMIT))
        # No turn of the loop was needed for that.
        assert link.driver.closed
        assert endpoint.statistics().dropped_frames == LIMITS.burst_bytes // LIMIT


async def test_what_one_callback_has_sent_is_not_held_against_the_client_afterwards() -> None:
    async with linked(limits=LIMITS) as (wire, link, endpoint):
        sent = link.fall_behind()
        for number in range(10):
            sent.append(numbered(number, LIMIT))
            link.write(sent[-1])
        for number in range(50):
            await settle()
            sent.append(numbered(number))
            link.write(sent[-1])
        assert wire.read_all() == wires(sent)
        assert endpoint.statistics().dropped_frames == 0


async def test_the_allowance_of_a_burst_goes_with_what_the_client_takes_of_it() -> None:
    async with linked(limits=LIMITS) as (wire, link, _):
        link.fall_behind()
        for number in range(100):
            link.write(numbered(number, LIMIT // 10))
        await settle()
        while link.queued_bytes > LIMIT:
            wire.read(10_000)
            wire.flush()
            await settle()
        most = 0
        for number in range(200):
            if link.driver.closed:
                break
            link.write(numbered(number))
            await settle()
            most = max(most, link.queued_bytes)
        assert link.driver.closed
        assert most <= 2 * LIMIT


@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest"])
async def test_a_client_that_takes_a_little_now_and_then_is_bounded_like_any_other(policy: SlowConsumer) -> None:
    """Each time it does there is room in the transport for a moment: that is no burst, or the bound would climb."""
    async with linked(limits=LIMITS) as (wire, link, endpoint):
        room, most = channel(policy), 0
        for number in range(1000):
            if number % 8 == 7 and not link.driver.closed:
                wire.read(50_000)
                wire.flush()
            for n in range(4):
                link.write(event(n, 10_000), room)
            await settle()
            most = max(most, link.queued_bytes)
        assert link.driver.closed == (policy == "disconnect")
        assert endpoint.statistics().dropped_frames > 0
        # And the first burst.
        assert most <= LIMIT + 40_000


# Policies


@pytest.mark.parametrize("policy", [*DROPPING, Latest(key=lambda *_: None)])
async def test_within_a_burst_nothing_is_dropped(policy: SlowConsumer) -> None:
    async with linked(limits=LIMITS) as (wire, link, endpoint):
        room, sent = channel(policy), link.fall_behind()
        for number in range(100):
            sent.append(event(number, LIMIT // 10))
            link.write(sent[-1], room)
        assert wire.read_all() == wires(sent)
        assert endpoint.statistics().dropped_frames == 0


async def test_once_the_loop_has_turned_the_newest_are_dropped() -> None:
    async with linked(limits=LIMITS) as (wire, link, endpoint):
        room, sent = channel("drop_newest"), link.fall_behind()
        await settle()
        events = [event(number) for number in range(200)]
        link.write(FrameBatch(tuple(events)), room)
        link.write(numbered(0, 10))
        dropped = endpoint.statistics().dropped_frames
        assert 100 <= dropped < 110
        assert wire.read_all() == wires([*sent, *events[: 200 - dropped], numbered(0, 10)])
        assert not link.driver.closed


async def test_once_the_loop_has_turned_the_oldest_are_dropped() -> None:
    async with linked(limits=LIMITS) as (wire, link, endpoint):
        room, sent = channel("drop_oldest"), link.fall_behind()
        await settle()
        events = [event(number) for number in range(200)]
        link.write(FrameBatch(tuple(events)), room)
        dropped = endpoint.statistics().dropped_frames
        assert 100 <= dropped < 110
        assert wire.read_all() == wires([*sent, *events[dropped:]])


async def test_once_the_loop_has_turned_the_latest_takes_the_place_of_the_one_before() -> None:
    async with linked(limits=LIMITS) as (wire, link, endpoint):
        room, sent = channel("latest"), link.fall_behind()
        await settle()
        for number in range(200):
            link.write(event(number), room)
            link.write(numbered(number, 10))
        assert endpoint.statistics().dropped_frames == 199
        replies = [numbered(number, 10) for number in range(200)]
        # The last event stands before the reply that came after it.
        assert wire.read_all() == wires([*sent, *replies[:199], event(199), replies[199]])


async def test_a_client_that_has_caught_up_may_be_sent_a_burst_again() -> None:
    async with linked(limits=LIMITS) as (wire, link, endpoint):
        for _ in range(3):
            sent = link.fall_behind()
            for number in range(5):
                sent.append(numbered(number, LIMIT))
                link.write(sent[-1])
            await settle()
            assert wire.read_all() == wires(sent)
        assert endpoint.statistics().dropped_frames == 0
