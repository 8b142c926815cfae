"""An outbox: frames on their way to one client, bounded in bytes, for transports that have to await each send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, final

from phoenix_channels.protocol.messages import Frame, FrameBatch
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.runtime.backlog import Backlog
from phoenix_channels.runtime.writers import SLICE, Writer

if TYPE_CHECKING:
    from phoenix_channels.runtime.driver import Driver
    from phoenix_channels.socket import BaseSocket

_MAX_QUEUED_FOR_PING: Final = 1024


@final
class Outbox:
    """A :class:`Sink` that the writers of its lane serve while something waits.

    Args:
        driver: told when the client does not read, or is gone.
        send: sends one frame; what it returns is awaited before the next.
        close: closes the connection with a code.
        ping: sends a ping, where that is possible.
    """

    __slots__ = (
        "_active", "_backlog", "_behind", "_close", "_closing", "_code", "_driver", "_next", "_ping", "_send",
        "_sending", "_writer",
    )  # fmt: skip

    def __init__(
        self,
        driver: Driver[BaseSocket],
        send: Callable[[Frame], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
        ping: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> None:
        self._driver = driver
        self._send = send
        self._close = close
        self._ping = ping
        # Something waits, or is being sent: the writers know of it.
        self._active = False
        # Frames, or the payload of a ping.  What comes while nothing waits needs no more room than this.
        self._next: Frame | FrameBatch | bytes | None = None
        # Bytes of that, or of what is being sent.
        self._sending = 0
        self._backlog: Backlog[Frame | bytes] | None = None
        # A send has taken a while, and what came since then waits.
        self._behind = False
        self._closing = False
        self._code: int | None = None
        self._writer: Writer | None = None

    @property
    def queued_bytes(self) -> int:
        # Once: statistics are asked for from any thread.
        backlog = self._backlog
        return self._sending if backlog is None else self._sending + backlog.bytes

    def write(self, frames: Frame | FrameBatch, source: Subscription | None = None) -> None:
        if self._closing:
            return
        size = len(frames)
        if self._active or size > self._driver.limits.outbox_bytes:
            self._put(frames, source)
        else:
            self._next = frames
            self._sending = size
            self._activate()

    def ping(self, payload: bytes) -> bool:
        if self._ping is None:
            return False
        if self._closing:
            return True
        # In the row with the frames, and in order; behind very many it would tell nothing.
        if not self._active:
            self._next = payload
            self._sending = len(payload)
            self._activate()
        else:
            backlog = self._get_backlog()
            if len(backlog) < _MAX_QUEUED_FOR_PING:
                backlog.put(payload, None, limit=backlog.bytes + len(payload))
        return True

    def close(self, code: int) -> None:
        self._closing, self._code = True, code
        if not self._active:
            self._activate()

    def abandon(self) -> None:
        """The connection is gone: forget what waits and stop sending."""
        self._forget()
        if self._writer is not None:
            self._driver.lane.writers.cancel(self._writer)

    def resume_reading(self) -> None:
        # A task waits for that.
        pass

    # What the writers call

    async def send_waiting(self, writer: Writer) -> int:
        sent = 0
        self._writer = writer
        try:
            while sent < SLICE:
                if self._next is not None:
                    item, self._next = self._next, None
                elif self._backlog:
                    item = self._take(self._backlog)
                elif self._code is not None:
                    code, self._code = self._code, None
                    await self._close(code)
                    break
                else:
                    break
                if isinstance(item, bytes):
                    await self._send_ping(item)
                    sent += 1
                    continue
                for frame in item.frames:
                    await self._send(frame)
                    sent += 1
                    self._sending -= len(frame)
                    self._driver.written()
        except Exception:
            # Servers say in ways of their own that the client has gone; that it has is all that matters.
            self._forget()
            self._driver.close(None)
        finally:
            self._writer = None
            if self._sending:
                # A send was cut off.
                self._sending = 0
                self._driver.written()
            if self._next is not None or self._backlog or self._code is not None:
                self._activate()
            else:
                self._active = self._behind = False
        return sent

    def held_up(self) -> None:
        if not self._behind:
            self._behind = True
            if self._backlog is not None:
                self._backlog.allowance = self._backlog.bytes

    # Help

    def _activate(self) -> None:
        self._active = True
        self._driver.lane.writers.add(self)

    def _put(self, frames: Frame | FrameBatch, source: Subscription | None) -> None:
        backlog, limits = self._get_backlog(), self._driver.limits
        # Before the loop has turned nobody is slow: one callback may send a lot at once, and nothing of it is dropped.
        most = limits.outbox_bytes + backlog.allowance if self._behind else limits.burst_bytes
        for number, frame in enumerate(frames.frames):
            if not backlog.put(frame, source, limit=most - self._sending, conflate=self._behind):
                self._overflow(backlog.clear() + len(frames.frames) - number)
                return
        if not self._active:
            self._activate()

    def _overflow(self, dropped: int) -> None:
        if self._next is not None:
            dropped += 1 if isinstance(self._next, bytes) else len(self._next.frames)
        self._next = self._backlog = None
        # What is broadcast while the connection is closed has nowhere to wait either.
        self._closing = True
        self._driver.overflow(dropped)

    def _get_backlog(self) -> Backlog[Frame | bytes]:
        if self._backlog is None:
            self._backlog = Backlog(self._driver.dropped)
        return self._backlog

    def _take(self, backlog: Backlog[Frame | bytes]) -> Frame | bytes:
        item = backlog.take()
        self._sending = len(item)
        if not backlog:
            self._backlog = None
        return item

    async def _send_ping(self, payload: bytes) -> None:
        if self._ping is not None:
            await self._ping(payload)
        self._sending = 0
        self._driver.written()

    def _forget(self) -> None:
        self._closing, self._code = True, None
        self._next = self._backlog = None
