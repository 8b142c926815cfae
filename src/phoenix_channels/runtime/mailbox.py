"""A mailbox: runs the callbacks of one channel one at a time, in order of arrival (P-060).

A task exists only while there is something to await: plain ``def`` callbacks for a client's message run where they
arrive, and a channel that nobody talks to owns no task at all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, final

import anyio
from anyio.lowlevel import checkpoint

from phoenix_channels.runtime.tasks import Spawn, Task, ungrouped

Callback: TypeAlias = Callable[..., "Awaitable[None] | None"]
"""Does its work, or returns an awaitable that does; handles every ``Exception`` itself."""

_BATCH = 32
"""Callbacks that may run in a row before the mailbox's task lets others run."""


@final
class Mailbox:
    """The queue of one channel and, while it has work, the task that runs it."""

    __slots__ = ("_awaitable", "_closed", "_idle", "_queue", "_running", "_spawn", "_starts", "_task", "cancelled")

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        # Only while something waits: an idle channel has nothing to spare for an empty row.
        self._queue: deque[tuple[Callback, tuple[Any, ...]]] | None = None
        self._running = False
        self._starts = 0
        self._closed = False
        self.cancelled = False
        """:meth:`cancel` was called: a cancellation that a callback sees is ours."""
        self._task: Task | None = None
        # What the task awaits first; still here as long as the task has not begun.
        self._awaitable: Awaitable[None] | None = None
        self._idle: anyio.Event | None = None

    def __len__(self) -> int:
        # Once: statistics are asked for from any thread.
        queue = self._queue
        return 0 if queue is None else len(queue)

    @property
    def closed(self) -> bool:
        return self._closed

    def put(self, callback: Callback, *args: Any) -> None:
        """Run ``callback(*args)`` in a task, after everything that came before; nothing once closed."""
        if not self._closed:
            if self._queue is None:
                self._queue = deque()
            self._queue.append((callback, args))
            if not self._running:
                self._running = True
                self._start(None)

    def put_now(self, callback: Callback, *args: Any) -> None:
        """As :meth:`put`, but run it here and now when nothing came before; a task only awaits what it returns."""
        if self._running:
            self.put(callback, *args)
        elif not self._closed:
            self._running = True
            try:
                awaitable = callback(*args)
            except BaseException:
                self._finish()
                raise
            if awaitable is not None or self._queue:
                self._start(awaitable, eager=True)
            else:
                self._finish()

    def close(self) -> None:
        """Take nothing more; what is queued still runs."""
        self._closed = True

    def clear(self) -> None:
        """Forget what is queued; what is running runs on."""
        self._queue = None

    def cancel(self) -> None:
        """Cancel what is running and forget the rest; nothing is taken any more."""
        self._closed = self.cancelled = True
        self._queue = None
        if self._task is None:
            return
        self._task.cancel()
        close = getattr(self._awaitable, "close", None)
        if close is not None:
            # A task that is cancelled before its first step never runs: nobody would close its coroutine.
            close()
        self._awaitable = None

    @property
    def idle(self) -> bool:
        """True when nothing runs and nothing is queued."""
        return not self._running

    async def wait_idle(self) -> None:
        """Wait until nothing runs and nothing is queued."""
        while self._running:
            if self._idle is None:
                self._idle = anyio.Event()
            await self._idle.wait()

    def _start(self, awaitable: Awaitable[None] | None, *, eager: bool = False) -> None:
        self._awaitable = awaitable
        self._starts += 1
        start = self._starts
        task = self._spawn(self._run, on_done=self._finish, eager=eager)
        if self._running and start == self._starts:
            # Else it is over already, and another may have begun.
            self._task = task
            if self.cancelled:
                # By what its first step has called.
                task.cancel()

    async def _run(self) -> None:
        awaitable, self._awaitable = self._awaitable, None
        if awaitable is not None:
            await awaitable
        count = 0
        while self._queue:
            callback, args = self._queue.popleft()
            awaitable = callback(*args)
            if awaitable is not None:
                await awaitable
            count += 1
            if count % _BATCH == 0:
                await checkpoint()

    def _finish(self) -> None:
        self._task = None
        if not self._queue:
            self._queue = None
        else:
            # A callback ended its task by a stray cancellation: the rest must not wait for ever.
            self._start(None)
            return
        self._running = False
        if self._idle is not None:
            self._idle.set()
            self._idle = None


def is_user_error(error: BaseException, mailbox: Mailbox) -> bool:
    """Is this an error of user code?  A cancellation that is not ours counts as one (P-066)."""
    error = ungrouped(error)
    if isinstance(error, asyncio.CancelledError):
        return not mailbox.cancelled
    return not isinstance(error, KeyboardInterrupt | GeneratorExit | anyio.get_cancelled_exc_class())


def is_awaitable(result: Any) -> bool:
    """Cheaper than :func:`inspect.isawaitable`, for the results of callbacks."""
    return hasattr(result, "__await__")
