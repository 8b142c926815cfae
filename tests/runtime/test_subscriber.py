"""Broadcasts as an async iterator, for code that is no channel."""

from typing import Any

import anyio
import pytest

from phoenix_channels import Broadcast, Endpoint, Limits
from tests.support.asgi import assert_empty
from tests.support.loops import Journal, settle, soon


async def test_it_takes_what_is_broadcast_while_the_block_is_open() -> None:
    endpoint = Endpoint()
    endpoint.broadcast("topic", "too early", {})
    async with endpoint.subscribe("topic") as broadcasts:
        assert endpoint.statistics().topics == 1
        endpoint.broadcast("topic", "one", {"n": 1})
        endpoint.broadcast("other", "another topic", {})
        endpoint.local_broadcast("topic", "two", b"\x00")
        assert await soon(anext(broadcasts)) == Broadcast("topic", "one", {"n": 1})
        assert await soon(anext(broadcasts)) == Broadcast("topic", "two", b"\x00")
    endpoint.broadcast("topic", "too late", {})
    assert_empty(endpoint)


async def test_it_waits_for_the_next_one() -> None:
    endpoint, journal = Endpoint(), Journal()

    async def listen() -> None:
        async with endpoint.subscribe("topic") as broadcasts:
            journal.add("listening")
            async for broadcast in broadcasts:
                journal.add(broadcast.event)
                if broadcast.event == "last":
                    break

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        await journal.wait_for("listening")
        for event in ("first", "second", "last"):
            await settle()
            endpoint.broadcast("topic", event, {})
    assert journal.entries == ["listening", "first", "second", "last"]


async def test_each_has_a_copy_of_its_own() -> None:
    endpoint = Endpoint()
    payload: dict[str, Any] = {"list": [1]}
    async with endpoint.subscribe("topic") as first, endpoint.subscribe("topic") as second:
        endpoint.broadcast("topic", "event", payload)
        payload["list"].append(2)
        one = await soon(anext(first))
        one.payload["list"].append(3)
        assert (await soon(anext(second))).payload == {"list": [1]}


async def test_one_that_does_not_keep_up_loses_the_newest_and_counts_them(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint(limits=Limits(subscription_messages=3))
    async with endpoint.subscribe("topic") as slow, endpoint.subscribe("topic") as fast:
        for n in range(10):
            endpoint.broadcast("topic", "event", {"n": n})
            assert (await soon(anext(fast))).payload == {"n": n}
        assert [(await soon(anext(slow))).payload["n"] for _ in range(3)] == [0, 1, 2]
        assert (slow.dropped, fast.dropped) == (7, 0)
        assert endpoint.statistics().dropped_broadcasts == 7
        endpoint.broadcast("topic", "event", {"n": 10})
        assert (await soon(anext(slow))).payload == {"n": 10}
    assert len(caplog.records) == 1


async def test_waiting_can_be_cancelled_and_loses_nothing() -> None:
    endpoint = Endpoint()
    async with endpoint.subscribe("topic") as broadcasts:
        with anyio.move_on_after(0.001) as scope:
            await anext(broadcasts)
        assert scope.cancelled_caught
        endpoint.broadcast("topic", "event", {})
        assert (await soon(anext(broadcasts))).event == "event"


async def test_two_tasks_may_share_one() -> None:
    """Each broadcast goes to one of them."""
    endpoint, journal = Endpoint(), Journal()
    async with endpoint.subscribe("topic") as broadcasts, anyio.create_task_group() as group:

        async def take_one() -> None:
            journal.add((await anext(broadcasts)).payload["n"])

        for _ in range(3):
            group.start_soon(take_one)
        await settle()
        endpoint.broadcast("topic", "event", {"n": 0})
        await settle()
        endpoint.broadcast("topic", "event", {"n": 1})
        endpoint.broadcast("topic", "event", {"n": 2})
    assert sorted(journal.entries) == [0, 1, 2]


async def test_an_error_in_the_block_ends_it_too() -> None:
    endpoint = Endpoint()
    with pytest.raises(ZeroDivisionError):
        async with endpoint.subscribe("topic"):
            raise ZeroDivisionError
    assert_empty(endpoint)


async def test_what_it_cannot_be_used_for() -> None:
    endpoint = Endpoint()
    with pytest.raises(TypeError, match="string"):
        endpoint.subscribe(1)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="async with"):
        await anext(endpoint.subscribe("topic"))
    subscriber = endpoint.subscribe("topic")
    async with subscriber:
        with pytest.raises(RuntimeError, match="once"):
            async with subscriber:
                pass
    assert_empty(endpoint)
