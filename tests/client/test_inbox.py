"""What waits to be taken."""

from __future__ import annotations

import anyio
import pytest

from phoenix_channels.client.inbox import Inbox
from tests.support.loops import settle, soon


class Slow:
    def __init__(self, most: int) -> None:
        self.inbox = Inbox[int](most, self.complain)
        self.complaints = 0

    def complain(self) -> None:
        self.complaints += 1


async def test_it_is_taken_in_the_order_in_which_it_came() -> None:
    inbox = Slow(10).inbox
    for n in range(3):
        inbox.put(n)
    assert [await soon(inbox.take()) for _ in range(3)] == [0, 1, 2]


async def test_what_has_waited_longest_makes_place() -> None:
    slow = Slow(2)
    for n in range(5):
        slow.inbox.put(n)
    assert slow.inbox.dropped == 3
    assert [await soon(slow.inbox.take()) for _ in range(2)] == [3, 4]
    # Who takes nothing misses nothing.
    assert slow.complaints == 0


async def test_who_falls_behind_is_told_once() -> None:
    slow = Slow(1)
    slow.inbox.put(0)
    assert await soon(slow.inbox.take()) == 0
    for n in range(5):
        slow.inbox.put(n)
    assert slow.complaints == 1


async def test_nothing_at_all_may_be_kept() -> None:
    slow = Slow(0)
    slow.inbox.put(1)
    assert slow.inbox.dropped == 1


async def test_it_is_bounded_in_bytes_as_well() -> None:
    slow = Slow(1000)
    for n in range(20):
        slow.inbox.put(n, 1 << 20)
    assert slow.inbox.dropped == 4
    assert [await soon(slow.inbox.take()) for _ in range(16)] == list(range(4, 20))
    # What was taken has made place; what is larger than the bound passes alone.
    slow.inbox.put(20, 1 << 20)
    slow.inbox.put(21, 1 << 30)
    assert slow.inbox.dropped == 5
    assert await soon(slow.inbox.take()) == 21


async def test_what_is_there_can_be_taken_after_the_end() -> None:
    inbox = Slow(10).inbox
    inbox.put(1)
    inbox.close()
    inbox.put(2)
    assert await soon(inbox.take()) == 1
    with pytest.raises(StopAsyncIteration):
        await soon(inbox.take())


async def test_the_end_wakes_who_waits() -> None:
    inbox = Slow(10).inbox
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            with pytest.raises(StopAsyncIteration):
                await soon(inbox.take())

        group.start_soon(wait)
        await settle()
        inbox.close()


async def test_two_cannot_wait_at_once() -> None:
    inbox = Slow(10).inbox
    async with anyio.create_task_group() as group:
        group.start_soon(inbox.take)
        await settle()
        with pytest.raises(RuntimeError, match="another task"):
            await soon(inbox.take())
        inbox.put(1)


async def test_nothing_is_lost_when_who_waits_is_cancelled() -> None:
    inbox = Slow(10).inbox
    async with anyio.create_task_group() as group:
        group.start_soon(inbox.take)
        await settle()
        group.cancel_scope.cancel()
    inbox.put(1)
    assert await soon(inbox.take()) == 1


async def test_who_is_cancelled_takes_nothing() -> None:
    inbox = Slow(10).inbox
    inbox.put(1)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await inbox.take()
    assert scope.cancelled_caught
    assert await soon(inbox.take()) == 1
