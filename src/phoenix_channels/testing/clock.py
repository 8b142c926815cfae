"""A clock for tests: time passes only when nothing else can happen, and then at once.

It is the clock of the event loop, so everything that waits on it moves along: ``send_after``, ``anyio.sleep``, the
timeouts of channels and those of the asserts.  What is no part of the loop is not moved: ``time.time`` tells the real
time.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, Unpack, final

from anyio import to_thread

if TYPE_CHECKING:
    from anyio import CapacityLimiter
    from trio.testing import MockClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PATIENCE: Final = 5.0
"""Real seconds for which time stands still while worker threads are busy, and nothing is heard of them.

Not for ever: a thread may wait for the loop, and the loop for its clock.
"""
_RESOLUTION: Final = time.get_clock_info("monotonic").resolution
"""asyncio takes a timer for due that is less than this away."""


def fake_clock(backend: str, *, grace: float = 0.0) -> tuple[str, dict[str, Any]]:
    """A value for anyio's fixture ``anyio_backend``: this event loop, with a clock that jumps to the next timer.

    The clock stands still while code runs, and while a worker thread of ``anyio.to_thread``, ``asyncio.to_thread`` or
    ``loop.run_in_executor`` is busy (five real seconds at most: a thread may wait for the clock).  On asyncio these are
    the threads of the default limiter of ``anyio.to_thread``.

    Args:
        backend: ``"asyncio"`` or ``"trio"``.
        grace: real seconds in which nothing may happen before time jumps.  For code that waits for what the loop does
            not know of: an answer over a socket, a thread of its own.

    Raises:
        ValueError: no such event loop, or no such time.
    """
    if not grace >= 0:
        raise ValueError(f"grace is a number of seconds from 0 on, not {grace!r}")
    if backend == "asyncio":
        return backend, {"loop_factory": partial(FakeClockLoop, grace=grace)}
    if backend == "trio":
        from trio.testing import MockClock, active_thread_count  # noqa: PLC0415 - only those who run on trio have it

        clock = MockClock(autojump_threshold=grace)
        return backend, {"clock": clock, "instruments": [_Patience(clock, grace, active_thread_count)]}
    raise ValueError(f"a fake clock is for 'asyncio' or 'trio', not for {backend!r}")


@final
class _Patience:
    """A trio instrument: as long as worker threads are busy the clock is patient with them."""

    def __init__(self, clock: MockClock, grace: float, active_threads: Callable[[], int]) -> None:
        self._clock = clock
        self._grace = grace
        self._active_threads = active_threads

    def after_task_step(self, task: object) -> None:
        # Threads are begun and taken note of by steps of tasks, and by nothing else.
        threshold = max(self._grace, PATIENCE) if self._active_threads() else self._grace
        if self._clock.autojump_threshold != threshold:
            self._clock.autojump_threshold = threshold


@final
class FakeClockLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose time begins at 0 and jumps to the next timer when nothing else can happen.

    Without any timer it waits for real, for sockets, threads and signals.
    """

    def __init__(self, *, grace: float = 0.0) -> None:
        self._grace = grace
        self._executing = 0
        self._asked = False
        self._limiter: CapacityLimiter | None = None
        self._jumping_selector = _JumpingSelector(self._patience)
        super().__init__(self._jumping_selector)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping_selector.now

    def _patience(self) -> float:
        busy = self._executing or (self._limiter is not None and self._limiter.borrowed_tokens)
        return max(self._grace, PATIENCE) if busy else self._grace

    # Which threads are busy

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """As asyncio's."""
        if not self._asked:
            # anyio tells only tasks how many of its threads are busy: one that is over before the first step of any
            # other.
            self._asked = True
            super().create_task(self._find_limiter())
        return super().create_task(coro, **options)

    async def _find_limiter(self) -> None:
        self._limiter = to_thread.current_default_thread_limiter()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As asyncio's."""
        future = super().run_in_executor(executor, func, *args)
        self._executing += 1
        future.add_done_callback(self._executed)
        return future

    def _executed(self, _: asyncio.Future[Any]) -> None:
        self._executing -= 1

    async def shutdown_default_executor(self, *args: Any, **options: Any) -> None:
        """As asyncio's, which waits for threads by a timeout."""
        self._executing += 1
        try:
            await super().shutdown_default_executor(*args, **options)
        finally:
            self._executing -= 1


@final
class _JumpingSelector(selectors.BaseSelector):
    """Has the time, because it is what knows that nothing happens; ``patience()`` are real seconds to make sure."""

    def __init__(self, patience: Callable[[], float]) -> None:
        self.now = 0.0
        self._patience = patience
        self._selector = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            # No timer to jump to, or other work to do.
            return self._selector.select(timeout)
        events = self._selector.select(self._patience())
        if not events:
            self.now = _reaching(self.now + timeout)
        return events

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.modify(fileobj, events, data)

    def close(self) -> None:
        self._selector.close()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.get_key(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._selector.get_map()


def _reaching(deadline: float) -> float:
    """A time at which asyncio takes this deadline for reached.

    After months a float is too coarse for asyncio's resolution, and standing clocks make that matter: a timer would
    stay the smallest step away for ever.
    """
    step = math.ulp(deadline)
    return deadline if 4 * step < _RESOLUTION else deadline + 2 * step
