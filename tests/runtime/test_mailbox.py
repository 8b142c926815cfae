"""Callbacks one at a time, in order, and a task only while there is something to await."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import anyio
import pytest

from phoenix_channels.runtime.mailbox import Mailbox
from phoenix_channels.runtime.tasks import current_loop
from tests.support.loops import Journal, live_tasks, settle, soon


class Work:
    """Callbacks that write down what they do."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.release = anyio.Event()

    def plain(self, name: object) -> None:
        self.journal.add(name)

    async def wait(self, name: object) -> None:
        self.journal.add(name)
        await self.release.wait()
        self.journal.add((name, "ends"))

    async def quick(self, name: object) -> None:
        self.journal.add(name)

    def either(self, name: object) -> Awaitable[None] | None:
        if name == "async":
            return self.quick(name)
        self.plain(name)
        return None


async def test_a_plain_callback_with_nothing_before_it_runs_here_and_now() -> None:
    work, mailbox, before = Work(), Mailbox(current_loop().spawn), live_tasks()
    mailbox.put_now(work.plain, "now")
    assert work.journal.entries == ["now"]
    assert live_tasks() == before
    assert len(mailbox) == 0
    await soon(mailbox.wait_idle())


async def test_everything_else_runs_in_a_task_that_ends_with_the_work() -> None:
    work, mailbox, before = Work(), Mailbox(current_loop().spawn), live_tasks()
    mailbox.put(work.plain, 1)
    mailbox.put_now(work.plain, 2)
    mailbox.put(work.quick, 3)
    assert work.journal.entries == []
    assert live_tasks() == before + 1
    await soon(mailbox.wait_idle())
    await settle()
    assert work.journal.entries == [1, 2, 3]
    assert live_tasks() == before


async def test_an_awaitable_is_awaited_in_a_task_and_holds_up_the_rest() -> None:
    work, mailbox = Work(), Mailbox(current_loop().spawn)
    mailbox.put_now(work.wait, "first")
    mailbox.put_now(work.plain, "second")
    mailbox.put(work.either, "async")
    mailbox.put_now(work.either, "last")
    await settle()
    assert work.journal.entries == ["first"]
    assert len(mailbox) == 3
    work.release.set()
    await soon(mailbox.wait_idle())
    assert work.journal.entries == ["first", ("first", "ends"), "second", "async", "last"]


async def test_a_callback_may_put_another() -> None:
    work, mailbox = Work(), Mailbox(current_loop().spawn)

    def outer() -> None:
        mailbox.put_now(work.plain, "inner")
        mailbox.put(work.plain, "later")
        work.plain("outer")

    mailbox.put_now(outer)
    assert work.journal.entries == ["outer"]
    await soon(mailbox.wait_idle())
    assert work.journal.entries == ["outer", "inner", "later"]


async def test_many_plain_callbacks_give_way_to_others() -> None:
    """A client that sends a lot does not keep the loop for itself."""
    work, mailbox = Work(), Mailbox(current_loop().spawn)
    mailbox.put_now(work.wait, "first")
    for n in range(1000):
        mailbox.put(work.plain, n)
    await settle()
    work.release.set()
    turns = 0
    while len(mailbox):
        await anyio.lowlevel.checkpoint()
        turns += 1
    assert turns > 10
    await soon(mailbox.wait_idle())
    assert work.journal.entries[2:] == list(range(1000))


async def test_a_closed_mailbox_finishes_what_it_has() -> None:
    work, mailbox = Work(), Mailbox(current_loop().spawn)
    mailbox.put_now(work.wait, "first")
    mailbox.put(work.plain, "second")
    mailbox.close()
    assert mailbox.closed
    mailbox.put(work.plain, "too late")
    mailbox.put_now(work.plain, "too late")
    work.release.set()
    await soon(mailbox.wait_idle())
    mailbox.put(work.plain, "too late")
    mailbox.put_now(work.plain, "too late")
    assert work.journal.entries == ["first", ("first", "ends"), "second"]


async def test_a_cleared_mailbox_finishes_what_runs() -> None:
    work, mailbox = Work(), Mailbox(current_loop().spawn)
    mailbox.put_now(work.wait, "first")
    mailbox.put(work.plain, "forgotten")
    mailbox.clear()
    mailbox.put(work.plain, "after")
    work.release.set()
    await soon(mailbox.wait_idle())
    assert work.journal.entries == ["first", ("first", "ends"), "after"]


@pytest.mark.parametrize("begun", [True, False])
async def test_cancelling_ends_what_runs_and_forgets_the_rest(begun: bool) -> None:
    """Also before the task's first step: no coroutine is left that nobody awaits."""
    work, mailbox, before = Work(), Mailbox(current_loop().spawn), live_tasks()
    mailbox.put_now(work.wait, "first")
    mailbox.put(work.plain, "forgotten")
    if begun:
        await work.journal.wait_for("first")
    mailbox.cancel()
    assert mailbox.cancelled
    await soon(mailbox.wait_idle())
    await settle()
    mailbox.put(work.plain, "too late")
    assert work.journal.entries == (["first"] if begun else [])
    assert live_tasks() == before
    mailbox.cancel()


async def test_cancelling_queued_work_before_its_task_has_begun() -> None:
    work, mailbox, before = Work(), Mailbox(current_loop().spawn), live_tasks()
    mailbox.put(work.quick, "forgotten")
    mailbox.cancel()
    await soon(mailbox.wait_idle())
    await settle()
    assert work.journal.entries == []
    assert live_tasks() == before


async def test_cancelling_an_idle_mailbox_closes_it() -> None:
    work, mailbox = Work(), Mailbox(current_loop().spawn)
    mailbox.cancel()
    mailbox.put(work.plain, "too late")
    assert mailbox.closed
    await soon(mailbox.wait_idle())
    assert work.journal.entries == []


async def test_an_error_that_a_callback_lets_through_meets_its_caller_and_the_rest_goes_on() -> None:
    """Callbacks handle their errors themselves; what they cannot, such as Ctrl-C, is the caller's."""
    work, mailbox = Work(), Mailbox(current_loop().spawn)

    def interrupt() -> None:
        mailbox.put(work.plain, "rest")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mailbox.put_now(interrupt)
    await soon(mailbox.wait_idle())
    mailbox.put_now(work.plain, "next")
    assert work.journal.entries == ["rest", "next"]


async def test_a_callback_that_ends_its_task_does_not_end_the_mailbox(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that a callback does keeps the rest waiting for ever."""
    work, mailbox = Work(), Mailbox(current_loop().spawn)

    async def crash() -> None:
        raise RuntimeError("boom")

    mailbox.put(crash)
    mailbox.put(work.plain, "rest")
    await soon(mailbox.wait_idle())
    assert work.journal.entries == ["rest"]
    assert "boom" in caplog.text


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_somebody_else_cancels_does_not_end_the_mailbox() -> None:
    work, mailbox = Work(), Mailbox(current_loop().spawn)
    tasks: list[asyncio.Task[Any] | None] = []

    async def victim() -> None:
        tasks.append(asyncio.current_task())
        await work.wait("victim")

    mailbox.put(victim)
    mailbox.put(work.plain, "rest")
    await work.journal.wait_for("victim")
    assert tasks[0] is not None
    tasks[0].cancel()
    await soon(mailbox.wait_idle())
    assert work.journal.entries == ["victim", "rest"]
    assert not mailbox.cancelled


async def test_several_may_wait_until_it_is_idle() -> None:
    work, mailbox = Work(), Mailbox(current_loop().spawn)
    mailbox.put_now(work.wait, "first")
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(mailbox.wait_idle)
        await settle()
        work.release.set()
