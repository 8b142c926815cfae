"""The door of an event loop for other threads: bounded, in order, and never in the way of the loop."""

import asyncio
import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest
from msgspec import Raw

from phoenix_channels import BroadcastQueueFull, Limits
from phoenix_channels.protocol.messages import EncodedBroadcast
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.runtime.lane import Lane
from phoenix_channels.runtime.tasks import LoopEnded, current_loop
from tests.support.loops import Journal, settle


def make_lane(**limits: int) -> Lane:
    return Lane(current_loop(), Limits(**limits))


def numbered(n: int) -> EncodedBroadcast:
    return EncodedBroadcast("topic", "event", Raw(b'{"n":%d}' % n))


def listen(lane: Lane) -> list[int]:
    """Subscribe to ``topic``: the numbers that arrive."""
    numbers: list[int] = []
    lane.registry.subscribe(
        Subscription("topic", lambda broadcast: numbers.append(int(bytes(broadcast.payload)[5:-1])))
    )
    return numbers


def deliver_many(lane: Lane, count: int) -> None:
    for n in range(count):
        lane.deliver(numbered(n))


def in_threads(*functions: Any) -> None:
    """Run functions in a thread each, one after the other, while this loop is held up."""
    for function in functions:
        thread = threading.Thread(target=function)
        thread.start()
        thread.join()


async def test_on_the_loop_a_broadcast_is_delivered_at_once() -> None:
    lane = make_lane()
    numbers = listen(lane)
    lane.deliver(numbered(1))
    assert numbers == [1]


async def test_from_a_thread_it_is_delivered_when_the_loop_gets_to_it() -> None:
    lane = make_lane()
    numbers = listen(lane)
    in_threads(lambda: deliver_many(lane, 10))
    assert numbers == []
    assert lane.queued_bytes > 0
    await settle()
    assert numbers == list(range(10))
    assert lane.queued_bytes == 0


async def test_a_broadcast_on_the_loop_never_overtakes_an_earlier_one_of_a_thread() -> None:
    lane = make_lane()
    numbers = listen(lane)
    in_threads(lambda: lane.deliver(numbered(1)), lambda: lane.deliver(numbered(2)))
    lane.deliver(numbered(3))
    assert numbers == [1, 2, 3]
    await settle()
    assert numbers == [1, 2, 3]


async def test_also_not_while_the_loop_works_through_a_batch() -> None:
    """What a call from a thread broadcasts itself comes after what was queued before."""
    lane = make_lane()
    numbers = listen(lane)
    in_threads(
        lambda: lane.deliver(numbered(1)),
        lambda: lane.call(lambda: lane.deliver(numbered(4))),
        lambda: lane.deliver(numbered(2)),
        lambda: lane.deliver(numbered(3)),
    )
    await settle()
    assert numbers == [1, 2, 3, 4]


async def test_a_full_queue_refuses_and_loses_nothing_that_it_took() -> None:
    lane = make_lane(broadcast_queue_bytes=2000)
    numbers = listen(lane)
    taken: list[int] = []
    refusals: set[str] = set()

    def flood() -> None:
        for n in range(100):
            try:
                lane.deliver(numbered(n))
            except BroadcastQueueFull as error:
                refusals.add(str(error).partition("limit is ")[2])
            else:
                taken.append(n)

    in_threads(flood)
    assert 0 < len(taken) < 100
    assert refusals == {"Limits(broadcast_queue_bytes=2000)"}
    assert lane.queued_bytes <= 2000
    # On the loop nothing waits, so nothing is refused.
    lane.deliver(numbered(1000))
    await settle()
    assert numbers == [*taken, 1000]
    in_threads(lambda: lane.deliver(numbered(1001)))
    await settle()
    assert numbers[-1] == 1001


async def test_one_broadcast_larger_than_the_bound_passes_an_empty_queue() -> None:
    lane = make_lane(broadcast_queue_bytes=10)
    numbers = listen(lane)
    in_threads(lambda: lane.deliver(numbered(1)))
    await settle()
    in_threads(lambda: lane.deliver(numbered(2)))
    with pytest.raises(BroadcastQueueFull):
        await _in_thread_now(lambda: lane.deliver(numbered(3)))
    await settle()
    assert numbers == [1, 2]


async def _in_thread_now(function: Any) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    in_threads(run)
    if errors:
        raise errors[0]


async def test_a_call_that_fails_is_logged_and_the_next_ones_are_made(caplog: pytest.LogCaptureFixture) -> None:
    lane = make_lane()
    journal = Journal()

    def fail() -> None:
        raise RuntimeError("boom")

    in_threads(lambda: lane.call(fail), lambda: lane.call(lambda: journal.add("next")))
    await journal.wait_for("next")
    assert "another thread" in caplog.text


def slow_listener(lane: Lane, monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[int]:
    """As :func:`listen`, and by the clock of the loop each delivery takes so many seconds."""
    numbers = listen(lane)
    monkeypatch.setattr(lane.loop, "now", lambda: seconds * len(numbers))
    return numbers


@pytest.mark.parametrize(("seconds", "portion"), [(0.002, 3), (0.008, 1), (1.0, 1)])
async def test_a_large_batch_gives_way_to_others_and_keeps_its_order(
    seconds: float, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some milliseconds, however few calls that are: one of them may reach a thousand clients."""
    lane = make_lane()
    numbers = slow_listener(lane, monkeypatch, seconds)
    in_threads(lambda: deliver_many(lane, 30))
    steps = set()
    while len(numbers) < 30:
        steps.add(len(numbers))
        await anyio.lowlevel.checkpoint()
    assert steps <= set(range(0, 30, portion))
    # trio may get to the queue twice before it gets back here.
    assert len(steps) >= 30 / portion / 2
    assert numbers == list(range(30))


async def test_many_calls_that_take_no_time_are_one_portion(monkeypatch: pytest.MonkeyPatch) -> None:
    lane = make_lane()
    numbers = slow_listener(lane, monkeypatch, 0)
    in_threads(lambda: deliver_many(lane, 3000))
    while not numbers:
        await anyio.lowlevel.checkpoint()
    assert numbers == list(range(3000))


async def test_a_broadcast_on_the_loop_in_the_middle_of_a_large_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has to come after what was queued before: then there are no portions."""
    lane = make_lane()
    numbers = slow_listener(lane, monkeypatch, 1.0)
    in_threads(lambda: deliver_many(lane, 30))
    while not numbers:
        await anyio.lowlevel.checkpoint()
    assert len(numbers) < 30
    in_threads(lambda: lane.deliver(numbered(30)))
    lane.deliver(numbered(31))
    assert numbers == list(range(32))
    await settle()
    assert len(numbers) == 32


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_after_the_end_of_its_loop_nothing_is_taken(backend: str) -> None:
    lanes: list[Lane] = []

    async def main() -> None:
        lanes.append(make_lane())

    anyio.run(main, backend=backend)
    for _ in range(2):
        with pytest.raises(LoopEnded):
            lanes[0].deliver(numbered(1))
    assert lanes[0].queued_bytes == 0


def test_a_loop_that_rests_takes_what_it_can_and_holds_up_nobody_when_it_is_full() -> None:
    """asyncio can run a loop again: what came meanwhile is delivered then, and what found no room is counted."""
    loop = asyncio.new_event_loop()
    try:
        lane, numbers = loop.run_until_complete(_resting())
        lane.deliver(numbered(1))
        assert numbers == []
        loop.run_until_complete(asyncio.sleep(0.001))
        assert numbers == [1]
        deliver_many(lane, 100)
        assert 0 < lane.dropped < 100
        assert lane.queued_bytes <= 1000
        loop.run_until_complete(asyncio.sleep(0.001))
        assert numbers == [1, *range(100 - lane.dropped)]
    finally:
        loop.close()
    with pytest.raises(LoopEnded):
        lane.deliver(numbered(1))


async def _resting() -> tuple[Lane, list[int]]:
    lane = make_lane(broadcast_queue_bytes=1000)
    return lane, listen(lane)
