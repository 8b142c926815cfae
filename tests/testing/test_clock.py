"""The clock that jumps: on both loops, and what is the loop's own on asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from phoenix_channels.testing import FakeClockLoop, fake_clock
from phoenix_channels.testing import clock as clock_module

DAY = 86_400.0


async def test_a_sleep_of_a_year_takes_no_time() -> None:
    start = anyio.current_time()
    await anyio.sleep(365 * DAY)
    assert anyio.current_time() - start == pytest.approx(365 * DAY, abs=1e-6)


async def test_timers_go_off_in_the_order_of_their_times() -> None:
    order: list[float] = []
    start = anyio.current_time()

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds)
        order.append(seconds)
        assert anyio.current_time() - start == pytest.approx(seconds)

    async with anyio.create_task_group() as group:
        for seconds in (30.0, 0.1, 7.0, 3600.0, 0.2, 1.0):
            group.start_soon(sleep, seconds)
    assert order == [0.1, 0.2, 1.0, 7.0, 30.0, 3600.0]


async def test_what_a_timer_begins_comes_before_later_timers() -> None:
    order: list[str] = []

    async def nested() -> None:
        await anyio.sleep(10)
        order.append("10")
        await anyio.sleep(5)
        order.append("10 + 5")

    async def later() -> None:
        await anyio.sleep(16)
        order.append("16")

    async with anyio.create_task_group() as group:
        group.start_soon(later)
        group.start_soon(nested)
    assert order == ["10", "10 + 5", "16"]


async def test_time_stands_still_while_there_is_something_to_do() -> None:
    start = anyio.current_time()
    with anyio.fail_after(0.001):
        for _ in range(1_000):
            await checkpoint()
    assert anyio.current_time() == start


async def test_a_timeout_comes_at_once_and_cancels() -> None:
    start = anyio.current_time()
    with pytest.raises(TimeoutError), anyio.fail_after(30):
        await anyio.Event().wait()
    assert anyio.current_time() - start == pytest.approx(30)


async def test_a_cancelled_sleep_moves_no_time() -> None:
    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 60)
        await anyio.sleep(1)
        group.cancel_scope.cancel()
    await anyio.sleep(1)
    assert anyio.current_time() - start == pytest.approx(2)


async def test_time_stands_still_while_a_worker_thread_is_busy() -> None:
    """Though it sleeps for real, and nothing else is to be done."""
    start = anyio.current_time()
    with anyio.fail_after(0.001):
        await anyio.to_thread.run_sync(time.sleep, 0.02)
    assert anyio.current_time() == start


async def test_threads_that_work_while_others_sleep() -> None:
    order: list[str] = []

    async def work() -> None:
        for number in range(3):
            await anyio.to_thread.run_sync(time.sleep, 0.005)
            order.append(f"thread {number}")

    async def sleep() -> None:
        await anyio.sleep(0.001)
        order.append("sleep")

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        group.start_soon(sleep)
    # Between two threads nothing is busy, but there is something to do.
    assert order == ["thread 0", "thread 1", "thread 2", "sleep"]


async def test_a_thread_that_waits_for_the_clock_does_not_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "PATIENCE", 0.01)
    start = anyio.current_time()
    await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(anyio.sleep, 100))
    assert anyio.current_time() - start == pytest.approx(100)


async def test_without_any_timer_it_waits_for_real() -> None:
    done = anyio.Event()
    token = anyio.lowlevel.current_token()

    def work() -> None:
        time.sleep(0.02)
        anyio.from_thread.run_sync(done.set, token=token)

    thread = threading.Thread(target=work)
    thread.start()
    await done.wait()
    thread.join()


@pytest.fixture
def patient(anyio_backend: tuple[str, Any]) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Runs something on a loop of its own, whose clock waits for what it does not know of."""

    def run(main: Callable[[], Awaitable[None]]) -> None:
        backend, options = fake_clock(anyio_backend[0], grace=5.0)
        anyio.run(main, backend=backend, backend_options=options)

    return run


def test_with_grace_it_waits_for_what_it_does_not_know_of(
    patient: Callable[[Callable[[], Awaitable[None]]], None],
) -> None:
    async def main() -> None:
        done = anyio.Event()
        token = anyio.lowlevel.current_token()
        thread = threading.Timer(0.02, lambda: anyio.from_thread.run_sync(done.set, token=token))
        start = anyio.current_time()
        thread.start()
        with anyio.fail_after(0.001):
            await done.wait()
        assert anyio.current_time() == start
        thread.join()

    patient(main)


@pytest.mark.parametrize("grace", [-1, math.nan])
def test_a_grace_is_a_number_of_seconds(grace: float) -> None:
    with pytest.raises(ValueError, match="grace is a number of seconds from 0 on, not"):
        fake_clock("asyncio", grace=grace)


def test_there_are_two_event_loops() -> None:
    with pytest.raises(ValueError, match="for 'asyncio' or 'trio', not for 'curio'"):
        fake_clock("curio")


# asyncio by itself


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def begin() -> None:
        await main()

    with asyncio.Runner(loop_factory=FakeClockLoop) as runner:
        runner.run(begin())


def test_the_time_begins_at_0() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert loop.time() == 0
        await asyncio.sleep(2.5)
        assert loop.time() == 2.5

    run(main)


def test_call_later_and_call_at_and_the_timeouts_of_asyncio() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        order: list[str] = []
        loop.call_later(20, order.append, "later")
        loop.call_at(10, order.append, "at")
        loop.call_later(15, order.append, "cancelled").cancel()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        assert order == ["at", "later"]
        assert loop.time() == 30
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 1)
        assert loop.time() == 31

    run(main)


def test_a_timer_years_from_now_is_reached() -> None:
    """Where floats are coarser than what asyncio takes for now, a clock that stands still would never get there."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for seconds in (0.3, 1e6, 1e7 / 3, 1e8 / 7, 0.1, 1e9 / 9, 0.001):
            before = loop.time()
            await asyncio.sleep(seconds)
            assert loop.time() - before == pytest.approx(seconds, rel=1e-3, abs=1e-5)

    run(main)


def test_time_stands_still_while_an_executor_is_busy() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(0.001):
            await asyncio.to_thread(time.sleep, 0.02)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            async with asyncio.timeout(0.001):
                assert await loop.run_in_executor(pool, math.sqrt, 4.0) == 2
                with pytest.raises(ZeroDivisionError):
                    await loop.run_in_executor(pool, lambda: 1 / 0)
        assert loop.time() == 0
        await asyncio.sleep(1)
        assert loop.time() == 1

    # And the end of the loop waits for the threads by a timeout of asyncio's, without a warning.
    run(main)


def test_sockets_are_read_before_time_moves() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            right.setblocking(False)
            async with asyncio.timeout(0.001):
                await loop.sock_sendall(left, b"ping")
                assert await loop.sock_recv(right, 10) == b"ping"
            received: list[bytes] = []
            loop.add_reader(right, lambda: received.append(right.recv(10)))
            await loop.sock_sendall(left, b"more")
            await asyncio.sleep(0.001)
            assert received == [b"more"]
            loop.remove_reader(right)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()

    run(main)


def test_no_task_of_its_own_is_seen() -> None:
    async def main() -> None:
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main)


def test_it_can_be_closed_without_having_run() -> None:
    FakeClockLoop().close()
