"""An outbox: frames on their way to one client, bounded in bytes, for transports that have to await each send."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, final

from phoenix_channels.protocol.messages import Frame
from phoenix_channels.runtime.tasks import Task

if TYPE_CHECKING:
    from phoenix_channels.runtime.driver import Driver
    from phoenix_channels.socket import BaseSocket

_MAX_QUEUED_FOR_PING: Final = 1024


@final
class Outbox:
    """A :class:`Sink` whose writer task exists only while something is queued.

    Args:
        driver: told when the client does not read, or is gone.
        send: sends one frame, and returns when the server takes the next.
        close: closes the connection with a code.
        ping: sends a ping, where that is possible.
    """

    __slots__ = (
        "_burst",
        "_bytes",
        "_close",
        "_closing",
        "_code",
        "_driver",
        "_limit",
        "_ping",
        "_queue",
        "_send",
        "_task",
        "_writing",
    )

    def __init__(
        self,
        driver: Driver[BaseSocket],
        send: Callable[[Frame], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
        ping: Callable[[bytes], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._driver = driver
        self._send = send
        self._close = close
        self._ping = ping
        self._limit = driver.limits.outbox_bytes
        self._burst = driver.limits.burst_bytes
        # Frames, and the payloads of pings.
        self._queue: deque[Frame | bytes] = deque()
        self._bytes = 0
        self._closing = False
        self._code: int | None = None
        self._task: Task | None = None
        self._writing = False

    @property
    def queued_bytes(self) -> int:
        return self._bytes

    def write(self, frame: Frame) -> None:
        if self._closing:
            return
        # Before the writer has had its turn nobody is slow: one callback may send a lot at once.  And a frame larger
        # than the bound passes through an empty outbox: it has to go some way.
        limit = self._limit if self._writing else self._burst
        if self._queue and self._bytes + len(frame) > limit:
            dropped = len(self._queue) + 1
            self._queue.clear()
            self._driver.overflow(dropped)
            return
        self._enqueue(frame)

    def _enqueue(self, item: Frame | bytes) -> None:
        self._queue.append(item)
        self._bytes += len(item)
        if self._task is None:
            self._task = self._driver.spawn(self._write, on_done=self._written)

    def ping(self, payload: bytes) -> bool:
        if self._ping is None:
            return False
        if not self._closing and len(self._queue) < _MAX_QUEUED_FOR_PING:
            # In the row with the frames, and in order; behind so many it would tell nothing.
            self._enqueue(payload)
        return True

    def close(self, code: int) -> None:
        self._closing, self._code = True, code
        if self._task is None:
            self._task = self._driver.spawn(self._write, on_done=self._written)

    def abandon(self) -> None:
        """The connection is gone: forget what is queued and stop writing."""
        self._closing, self._code = True, None
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()

    async def _write(self) -> None:
        self._writing = True
        try:
            while self._queue:
                item = self._queue.popleft()
                if isinstance(item, Frame):
                    await self._send(item)
                elif self._ping is not None:
                    await self._ping(item)
                self._bytes -= len(item)
                self._driver.written()
            if self._code is not None:
                code, self._code = self._code, None
                await self._close(code)
        except Exception:
            # Servers say in ways of their own that the client has gone; that it has is all that matters.
            self.abandon()
            self._driver.close(None)
        finally:
            self._writing = False

    def _written(self) -> None:
        self._task = None
        if self._queue or self._code is not None:
            self._task = self._driver.spawn(self._write, on_done=self._written)
        else:
            self._bytes = 0
            self._driver.written()
