"""The owner of every task of the library, one per event loop.

User code is awaited in tasks that belong to nobody's connection: a client that goes away, or a server that cancels
its handler, never cancels a ``terminate`` half way.  A task that raises is logged, and hurts no other.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, cast

import anyio
from anyio.lowlevel import current_token

if TYPE_CHECKING:
    import trio

_logger = logging.getLogger("phoenix_channels")

AsyncFunction = Callable[..., Coroutine[Any, Any, None]]


class Spawn(Protocol):
    """Starts a task, in a context that the one who offers it has chosen."""

    def __call__(
        self, function: AsyncFunction, *args: object, on_done: Callable[[], None] | None = None, eager: bool = False
    ) -> Task: ...


class LoopEnded(Exception):
    """The event loop is over; nothing can be called on it any more."""


class Task(Protocol):
    """One running task."""

    def cancel(self) -> None:
        """Ask it to end; nothing happens when it has ended already."""
        ...

    async def wait(self) -> None:
        """Wait until it has ended, however it did."""
        ...


class EventLoop(Protocol):
    """What the library needs of asyncio or trio beyond anyio: tasks without a scope, and a call from any thread."""

    @property
    def running(self) -> bool:
        """Is the calling code running on this loop?"""
        ...

    def now(self) -> float:
        """The loop's monotonic clock, in seconds."""
        ...

    @property
    def alive(self) -> bool:
        """Can anything still be called on this loop?  From any thread."""
        ...

    @property
    def turning(self) -> bool:
        """Is it being run right now?  A loop that is alive but at rest may never run again.  From any thread."""
        ...

    def spawn(
        self,
        function: AsyncFunction,
        *args: object,
        on_done: Callable[[], None] | None = None,
        context: contextvars.Context | None = None,
        eager: bool = False,
    ) -> Task:
        """Start a task from synchronous code on the loop; ``on_done`` is called when it has ended, however it did.

        With ``eager`` its first step is taken here and now, where the loop can do so (asyncio, Python 3.12 and later);
        then ``on_done`` may have been called on return.  It runs in ``context``, by default an empty one: never in that
        of whoever happens to call.
        """
        ...

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, which never raises, in the next turn of the loop; on the loop."""
        ...

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, which never raises, on the loop; from any thread.

        Raises:
            LoopEnded: it cannot be called any more.
        """
        ...


def _nothing() -> None:
    pass


def ungrouped(error: BaseException) -> BaseException:
    """One cancellation for a group of nothing but cancellations, as a plain trio nursery raises them."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    cancelled, rest = group.split(anyio.get_cancelled_exc_class())
    return group if cancelled is None or rest is not None else ungrouped(cancelled.exceptions[0])


def is_cancellation(error: BaseException) -> bool:
    """Does this end the running task itself: its own cancellation, or the end of the program?

    A cancellation that user code got from elsewhere and let through is an error like any other (P-066).
    """
    error = ungrouped(error)
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(error, asyncio.CancelledError) and cancelled is asyncio.CancelledError:
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt | GeneratorExit | cancelled)


async def _guarded(function: AsyncFunction, args: tuple[object, ...]) -> None:
    try:
        await function(*args)
    except BaseException as error:
        if isinstance(error, GeneratorExit):
            # A coroutine that is closed, or user code that raises it by hand: nobody waits for what comes of it.
            return
        # On trio whatever leaves a system task ends the whole run.
        if is_cancellation(error) or isinstance(error, asyncio.CancelledError):
            raise
        _logger.exception("a task of phoenix_channels failed: %r", function)


class _AsyncioTask:
    __slots__ = ("_task",)

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def cancel(self) -> None:
        self._task.cancel()

    async def wait(self) -> None:
        if not self._task.done():
            # Not ``await task``: its cancellation must not look like ours.
            await asyncio.wait([self._task])


class _Loop:
    """What both loops know: the thread they live in, and how to ask for the current one."""

    def __init__(self, token: object, current: Callable[[], object]) -> None:
        self._thread = threading.get_ident()
        self._self = token
        self._current = current

    @property
    def running(self) -> bool:
        # The thread first: off the loop, asking for the current one costs an exception.
        if threading.get_ident() != self._thread:
            return False
        try:
            return self._current() is self._self
        except RuntimeError:
            return False


class AsyncioLoop(_Loop):
    """asyncio: plain tasks, held by strong references as its documentation demands."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        super().__init__(self._loop, asyncio.get_running_loop)
        self.now = self._loop.time
        # For callbacks of our own: the context of whoever asks for one belongs to that one alone.
        self._context = contextvars.Context()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def alive(self) -> bool:
        return not self._loop.is_closed()

    @property
    def turning(self) -> bool:
        return self._loop.is_running()

    def spawn(
        self,
        function: AsyncFunction,
        *args: object,
        on_done: Callable[[], None] | None = None,
        context: contextvars.Context | None = None,
        eager: bool = False,
    ) -> Task:
        if context is None:
            context = contextvars.Context()
        # Not loop.create_task: a task factory that starts eagerly would run callbacks in the middle of a fan-out.
        if eager and sys.version_info >= (3, 12):
            task = asyncio.Task(_guarded(function, args), loop=self._loop, context=context, eager_start=True)
            if task.done():
                if on_done is not None:
                    on_done()
                return _AsyncioTask(task)
        else:
            task = asyncio.Task(_guarded(function, args), loop=self._loop, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if on_done is not None:
            task.add_done_callback(lambda _: on_done())
        return _AsyncioTask(task)

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon(callback, context=self._context)

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        try:
            # In a context of its own: the caller's may belong to another kind of loop.
            self._loop.call_soon_threadsafe(callback, context=contextvars.Context())
        except RuntimeError as error:
            raise LoopEnded from error


class _TrioTask:
    __slots__ = ("_done", "_on_done", "_scope")

    def __init__(self, on_done: Callable[[], None] | None) -> None:
        self._scope = anyio.CancelScope()
        self._done = anyio.Event()
        self._on_done = on_done

    async def run(self, function: AsyncFunction, args: tuple[object, ...]) -> None:
        try:
            with self._scope:
                await _guarded(function, args)
        finally:
            self._done.set()
            if self._on_done is not None:
                self._on_done()

    def cancel(self) -> None:
        self._scope.cancel()

    async def wait(self) -> None:
        await self._done.wait()


class TrioLoop(_Loop):
    """trio: system tasks, each in a cancel scope of its own."""

    def __init__(self) -> None:
        import trio  # noqa: PLC0415 - only those who run on trio have it

        self._lowlevel = trio.lowlevel
        self._token: trio.lowlevel.TrioToken = trio.lowlevel.current_trio_token()
        super().__init__(self._token, trio.lowlevel.current_trio_token)
        self.now = trio.current_time

    @property
    def alive(self) -> bool:
        try:
            self._token.run_sync_soon(_nothing, idempotent=True)
        except RuntimeError:
            return False
        return True

    @property
    def turning(self) -> bool:
        return self.alive

    def spawn(
        self,
        function: AsyncFunction,
        *args: object,
        on_done: Callable[[], None] | None = None,
        context: contextvars.Context | None = None,
        eager: bool = False,
    ) -> Task:
        task = _TrioTask(on_done)
        self._lowlevel.spawn_system_task(task.run, function, args, context=context)
        return task

    def call_soon(self, callback: Callable[[], None]) -> None:
        # A run that ends takes no more calls; then nothing of it matters either.
        with suppress(LoopEnded):
            self.call_soon_threadsafe(callback)

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        try:
            self._token.run_sync_soon(callback)
        except RuntimeError as error:
            raise LoopEnded from error


def current_loop() -> EventLoop:
    """The running event loop.

    Raises:
        RuntimeError: no event loop is running in this thread.
    """
    token = current_token().native_token
    return AsyncioLoop() if isinstance(token, asyncio.AbstractEventLoop) else TrioLoop()
