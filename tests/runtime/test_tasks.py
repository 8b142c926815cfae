"""Tasks that belong to nobody, and calls from other threads, on both loops."""

import asyncio
import contextvars
import gc
import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest

from phoenix_channels.runtime.tasks import LoopEnded, current_loop
from tests.support.loops import Journal, LoopThread, live_tasks, settle, soon


async def test_a_task_runs_to_its_end_and_says_so() -> None:
    loop, journal = current_loop(), Journal()

    async def work(*args: object) -> None:
        await anyio.lowlevel.checkpoint()
        journal.add(args)

    task = loop.spawn(work, 1, "two", on_done=lambda: journal.add("done"))
    assert journal.entries == []  # not before the caller gives way
    await soon(task.wait())
    await journal.wait_for("done")
    assert journal.entries == [(1, "two"), "done"]
    await soon(task.wait())
    task.cancel()


async def test_a_task_survives_the_garbage_collector_and_its_parent() -> None:
    loop, journal, release = current_loop(), Journal(), anyio.Event()

    async def work() -> None:
        await release.wait()
        journal.add("done")

    async def parent() -> None:
        loop.spawn(work)
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(parent)
        await settle()
        group.cancel_scope.cancel()
    gc.collect()
    release.set()
    await journal.wait_for("done")


async def test_a_crash_is_logged_and_hurts_no_other(caplog: pytest.LogCaptureFixture) -> None:
    loop, journal, release = current_loop(), Journal(), anyio.Event()

    async def crash() -> None:
        raise RuntimeError("boom")

    async def work() -> None:
        await release.wait()
        journal.add("work")

    other = loop.spawn(work)
    task = loop.spawn(crash, on_done=lambda: journal.add("done"))
    await soon(task.wait())
    await journal.wait_for("done")
    release.set()
    await soon(other.wait())
    assert journal.entries == ["done", "work"]
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is RuntimeError


@pytest.mark.parametrize("before_its_first_step", [True, False])
async def test_a_cancelled_task_ends(before_its_first_step: bool) -> None:
    loop, journal, before = current_loop(), Journal(), live_tasks()

    async def work() -> None:
        journal.add("begun")
        await anyio.sleep_forever()

    task = loop.spawn(work, on_done=lambda: journal.add("done"))
    if not before_its_first_step:
        await journal.wait_for("begun")
    task.cancel()
    await soon(task.wait())
    await journal.wait_for("done")
    task.cancel()
    assert live_tasks() == before


async def test_waiting_for_a_task_can_be_cancelled_without_cancelling_it() -> None:
    loop, journal, release = current_loop(), Journal(), anyio.Event()

    async def work() -> None:
        await release.wait()
        journal.add("done")

    task = loop.spawn(work)
    with anyio.move_on_after(0.001) as scope:
        await task.wait()
    assert scope.cancelled_caught
    release.set()
    await soon(task.wait())
    assert journal.entries == ["done"]


async def test_a_task_has_the_context_that_it_is_given_and_never_the_callers() -> None:
    """Whoever happens to wake something up has no part in what it does."""
    loop, journal = current_loop(), Journal()
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")
    given = contextvars.copy_context()
    given.run(variable.set, "given")

    async def work() -> None:
        journal.add(variable.get())
        variable.set("changed")

    variable.set("caller's")
    await soon(loop.spawn(work).wait())
    await soon(loop.spawn(work, context=given).wait())
    assert journal.entries == ["nothing", "given"]
    assert (variable.get(), given[variable]) == ("caller's", "changed")


async def test_a_call_from_another_thread() -> None:
    loop, journal = current_loop(), Journal()
    thread = threading.get_ident()

    def call() -> None:
        assert threading.get_ident() == thread
        journal.add("called")

    await anyio.to_thread.run_sync(loop.call_soon_threadsafe, call)
    await journal.wait_for("called")


async def test_a_call_from_another_thread_has_nothing_of_the_context_of_its_caller() -> None:
    """That may belong to another kind of event loop, and everything of anyio asks the context which one runs."""
    loop, journal = current_loop(), Journal()
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")

    def call() -> None:
        journal.add(variable.get())
        variable.set("changed")

    def from_thread() -> None:
        variable.set("caller's")
        loop.call_soon_threadsafe(call)

    await anyio.to_thread.run_sync(from_thread)
    await journal.wait_for("nothing")
    assert variable.get() == "nothing"


async def test_a_task_that_raises_generator_exit_ends_alone() -> None:
    """On trio it would end the whole run."""
    loop, journal = current_loop(), Journal()

    async def close_oneself() -> None:
        await anyio.lowlevel.checkpoint()
        raise GeneratorExit

    task = loop.spawn(close_oneself, on_done=lambda: journal.add("done"))
    await soon(task.wait())
    await journal.wait_for("done")
    await settle()


async def test_a_loop_knows_whether_it_is_the_one_that_runs() -> None:
    loop = current_loop()
    assert loop.running
    assert loop.alive
    assert current_loop().running
    assert not await anyio.to_thread.run_sync(lambda: loop.running)
    assert await anyio.to_thread.run_sync(lambda: loop.alive)
    assert abs(loop.now() - anyio.current_time()) < 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_has_ended(backend: str) -> None:
    loops: list[Any] = []

    async def main() -> None:
        loops.append(current_loop())

    anyio.run(main, backend=backend)
    (loop,) = loops
    assert not loop.running
    assert not loop.alive
    assert not loop.turning
    with pytest.raises(LoopEnded):
        loop.call_soon_threadsafe(lambda: None)


def test_a_loop_of_asyncio_that_rests_is_alive() -> None:
    """One that is not closed may be run again."""
    native = asyncio.new_event_loop()
    try:
        loop = native.run_until_complete(_current())
        assert (loop.running, loop.alive, loop.turning) == (False, True, False)
        native.call_soon(lambda: seen.append((loop.running, loop.alive, loop.turning)))
        seen: list[tuple[bool, bool, bool]] = []
        native.run_until_complete(asyncio.sleep(0))
        assert seen == [(True, True, True)]
    finally:
        native.close()
    assert not loop.alive


async def _current() -> Any:
    return current_loop()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_loop_of_another_thread_is_not_this_one(backend: str) -> None:
    loops: list[Any] = []

    async def main(stop: anyio.Event) -> None:
        loops.append(current_loop())
        await stop.wait()

    async def own() -> None:
        assert not loops[0].running
        assert loops[0].turning
        assert current_loop().running

    thread = LoopThread(backend, main)
    thread.start()
    try:
        assert not loops[0].running
        anyio.run(own, backend=backend)
    finally:
        thread.stop()


def test_outside_of_a_loop_there_is_none() -> None:
    with pytest.raises(RuntimeError):
        current_loop()
