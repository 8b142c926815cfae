"""What is going on on the running event loop, whichever it is."""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import anyio
import pytest
import trio
import trio.testing
from anyio.lowlevel import current_token

T = TypeVar("T")

DEADLINE = 5.0
"""Seconds after which a test gives up waiting for what has to happen."""


def on_trio() -> bool:
    return not isinstance(current_token().native_token, asyncio.AbstractEventLoop)


def on_virtual_time() -> pytest.MarkDecorator:
    """Runs a test on trio with a clock that jumps ahead whenever nothing else is left to do."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return pytest.mark.parametrize("anyio_backend", [pytest.param(("trio", {"clock": clock}), id="trio")])


def live_tasks() -> int:
    """How many tasks there are on this loop, the caller's included."""
    return trio.lowlevel.current_statistics().tasks_living if on_trio() else len(asyncio.all_tasks())


async def settle() -> None:
    """Return when every other task on this loop waits for something that does not come by itself."""
    if on_trio():
        await trio.testing.wait_all_tasks_blocked()
        return
    own, loop, quiet = asyncio.current_task(), asyncio.get_running_loop(), 0
    while quiet < 2:
        await asyncio.sleep(0)
        # asyncio tells nobody what it is about to do: callbacks that are due, and tasks that wait for nothing.
        due = getattr(loop, "_ready", ())
        waiting = (getattr(task, "_fut_waiter", None) for task in asyncio.all_tasks() if task is not own)
        busy = due or any(future is None or future.done() for future in waiting)
        quiet = 0 if busy else quiet + 1


class Queue(Generic[T]):
    """An unbounded queue on one loop that needs no closing."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._arrived = anyio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        self._items.append(item)
        self._arrived.set()

    async def get(self) -> T:
        while not self._items:
            self._arrived = anyio.Event()
            await self._arrived.wait()
        return self._items.popleft()

    def take(self) -> T:
        """The next item, which is there already."""
        return self._items.popleft()


class Journal:
    """What has happened, in order, and a way to wait until something has."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self._changed = anyio.Event()

    def add(self, entry: object) -> None:
        self.entries.append(entry)
        self._changed.set()

    def count(self, entry: object) -> int:
        return self.entries.count(entry)

    async def wait_for(self, entry: object, count: int = 1) -> None:
        """Return when the entry has been made, so many times."""
        await self.wait_until(lambda: self.count(entry) >= count)

    async def wait_length(self, length: int) -> None:
        await self.wait_until(lambda: len(self.entries) >= length)

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(DEADLINE):
            while not condition():
                self._changed = anyio.Event()
                await self._changed.wait()


async def soon(awaitable: Awaitable[T]) -> T:
    """The result of something that must not take long."""
    with anyio.fail_after(DEADLINE):
        return await awaitable


async def resist(release: anyio.Event) -> None:
    """Wait for an event, whoever cancels: what badly written user code does."""
    while not release.is_set():
        with suppress(asyncio.CancelledError), anyio.CancelScope(shield=True):
            await release.wait()


class LoopThread:
    """Another thread with an event loop of its own, which runs ``main(stop)`` until ``stop`` is set from outside."""

    def __init__(self, backend: str, main: Callable[[anyio.Event], Awaitable[None]]) -> None:
        self._backend = backend
        self._main = main
        self._started = threading.Event()
        self._stop: Callable[[], object] = lambda: None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(DEADLINE)

    def stop(self) -> None:
        """Have it end, and wait for that."""
        self._stop()
        self.join()

    def join(self) -> None:
        """Wait until it has ended by itself."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            anyio.run(self._begin, backend=self._backend)
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()

    async def _begin(self) -> None:
        stop, token = anyio.Event(), current_token()
        self._stop = lambda: anyio.from_thread.run_sync(stop.set, token=token)
        self._started.set()
        await self._main(stop)
