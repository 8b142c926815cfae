"""A sink that writes prepared frames straight to the socket of an asyncio transport.

Where the transport does no more than pass bytes on, they do not even go through it: a write of our own costs a tenth
less, which a fan-out to thousands feels.  The transport gets what the kernel does not take, and says when that is gone.
Meanwhile frames wait in a backlog, where they can still be dropped.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from phoenix_channels.protocol.frames import CLOSE, FIN, PING, PONG, server_frame
from phoenix_channels.runtime.backlog import Backlog

if TYPE_CHECKING:
    from phoenix_channels.protocol.messages import Frame, FrameBatch
    from phoenix_channels.pubsub.subscription import Subscription
    from phoenix_channels.runtime.driver import Driver
    from phoenix_channels.socket import BaseSocket

_UNSENT: Final = 128 * 1024
"""What the kernel takes beyond what is on its way: without a bound it hides megabytes of what a client has not read."""
_PORTION: Final = 64 * 1024
"""Bytes of a backlog that go out in one write."""


_write: Final = os.write


class DirectSink:
    """The writing half of a connection; its protocol tells it when the transport is congested.

    Args:
        driver: told when the client does not read.
        transport: whose protocol tells the sink already when writing pauses and goes on.
        prepared: frames go out as they are; False to have :meth:`encode` asked for each.
    """

    __slots__ = (
        "_backlog", "_burst", "_closing", "_congested", "_corked", "_corked_bytes", "_direct", "_driver", "_fd",
        "_pong", "_prepared", "_transport",
    )  # fmt: skip

    def __init__(self, driver: Driver[BaseSocket], transport: asyncio.Transport, *, prepared: bool) -> None:
        self._driver = driver
        self._transport = transport
        self._prepared = prepared
        # Open, not congested, not corked, and prepared: as it is for nearly every frame of a fan-out.
        self._direct = prepared
        self._closing = False
        # The transport has bytes that the kernel has not taken.
        self._congested = False
        # The loop has not turned since then: nobody is slow yet.
        self._burst = False
        self._backlog: Backlog[Frame] | None = None
        # While it is corked: what is written in one go when that is over.
        self._corked: list[bytes] | None = None
        self._corked_bytes = 0
        self._pong: bytes | None = None
        # The socket to write to, or -1 to leave that to the transport.
        self._fd = -1
        if transport.is_closing():
            # Some have no socket any more.
            self.stop()
        else:
            self._own_socket(transport)

    def _own_socket(self, transport: asyncio.Transport) -> None:
        own: Any = transport.get_extra_info("socket")
        family = None if own is None else own.family
        if own is not None and family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with suppress(OSError):
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
        fd = -1
        if own is not None and os.name == "posix" and transport.get_extra_info("sslcontext") is None:
            fd = own.fileno()
        if transport.get_write_buffer_size():
            # The end of the handshake, or a response that the client has asked for before it.  The transport may have
            # told somebody else, and says it only once.
            self.pause_writing()
        if fd >= 0 or self._congested:
            # From now on it says so as soon as it keeps anything, and when it does not any more.
            transport.set_write_buffer_limits(high=0)
        if fd < 0:
            transport.set_write_buffer_limits(high=self._driver.limits.outbox_high_water)
        self._fd = fd

    def encode(self, frames: Frame | FrameBatch) -> bytes:
        """What stands on the wire for them."""
        return frames.wire

    # The sink

    @property
    def queued_bytes(self) -> int:
        if not self._congested:
            return 0
        # Once: statistics are asked for from any thread.
        backlog = self._backlog
        return self._transport.get_write_buffer_size() + (0 if backlog is None else backlog.bytes)

    def write(self, frames: Frame | FrameBatch, source: Subscription | None = None) -> None:
        if self._direct:
            self._send(frames.wire)
        elif not self._closing:
            self._write_each(frames, source)

    def _send(self, data: bytes) -> None:
        """Write what nothing waits before."""
        fd = self._fd
        if fd < 0:
            self._transport.write(data)
            return
        try:
            sent = _write(fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._give_up()
            return
        if sent < len(data):
            self._transport.write(memoryview(data)[sent:] if sent else data)

    def _give_up(self) -> None:
        """The client is gone: nothing can be written to it any more."""
        self.stop()
        # Not through the transport: asyncio's log what is written after an error.  Nor at once: if it is the transport
        # that has called us, it would call connection_lost twice.
        self._driver.lane.loop.call_soon(self._transport.abort)

    def _write_each(self, frames: Frame | FrameBatch, source: Subscription | None) -> None:
        if not self._congested:
            self._write(self.encode(frames))
            return
        for number, frame in enumerate(frames.frames):
            if not self._wait(frame, source):
                # It, and what comes behind it.
                self._overflow(len(frames.frames) - number)
                return

    def _overflow(self, dropped: int = 0) -> None:
        """The client does not read: what waits for it is lost, and so many frames more."""
        waiting = 0 if self._backlog is None else self._backlog.clear()
        self.stop()
        self._driver.overflow(waiting + dropped)

    def _wait(self, frame: Frame, source: Subscription | None) -> bool:
        """Keep a frame until the transport has room; False when there is too much."""
        if self._backlog is None:
            self._backlog = Backlog(self._driver.dropped)
        limits = self._driver.limits
        most = limits.burst_bytes if self._burst else limits.outbox_bytes + self._backlog.allowance
        limit = most - self._transport.get_write_buffer_size()
        return self._backlog.put(frame, source, limit=limit, conflate=not self._burst)

    def _write(self, data: bytes) -> None:
        if self._corked is None:
            self._send(data)
            return
        self._corked.append(data)
        self._corked_bytes += len(data)
        if self._corked_bytes > _PORTION:
            self.uncork()

    def cork(self) -> None:
        """What is written from now on goes out together, at :meth:`uncork` in the same turn of the loop."""
        self._corked, self._direct = [], False

    def uncork(self) -> None:
        corked, self._corked, self._corked_bytes = self._corked, None, 0
        if corked:
            self._send(corked[0] if len(corked) == 1 else b"".join(corked))
        self._look()

    def ping(self, payload: bytes) -> bool:
        if not self._closing and not self._congested:
            # Behind so much it would tell nothing.
            self._write(server_frame(FIN | PING, payload))
        return True

    def pong(self, payload: bytes) -> None:
        """Answer a ping; of several only the last has to be (RFC 6455, 5.5.3)."""
        if self._congested:
            self._pong = payload
        elif not self._closing:
            self._write(server_frame(FIN | PONG, payload))

    def write_close(self, code: bytes) -> None:
        """The last frame, after what waits: a close with this code."""
        self.write_all()
        self.stop()
        close = server_frame(FIN | CLOSE, code)
        if self._congested:
            self._transport.write(close)
        else:
            self._send(close)

    def write_all(self) -> None:
        """Have the transport take what waits: nothing comes any more."""
        self.uncork()
        if self._backlog is not None:
            while self._backlog:
                self._transport.write(self.encode(self._backlog.take()))

    def stop(self) -> None:
        """Nothing is written any more, except for a close."""
        self._closing, self._direct = True, False

    def lost(self) -> None:
        """The connection is over; its file descriptor will be somebody else's."""
        self.stop()
        self._fd = -1
        self._lose_backlog()

    def _lose_backlog(self) -> None:
        if self._backlog is not None:
            self._driver.hub.dropped_frames += self._backlog.clear()
            self._backlog = None

    def _look(self) -> None:
        self._direct = self._prepared and self._corked is None and not self._congested and not self._closing

    # What the protocol is told by its transport

    def pause_writing(self) -> None:
        self._congested, self._direct = True, False
        if not self._burst and not self._backlog:
            # Only where nothing waited before: who is behind, and takes a little now and then, is slow all the time.
            self._burst = True
            self._driver.lane.loop.call_soon(self._end_burst)

    def _end_burst(self) -> None:
        self._burst = False
        if self._backlog is not None:
            self._backlog.allowance = self._backlog.bytes

    def resume_writing(self) -> None:
        self._congested = False
        if self._closing:
            # Behind the close frame nothing may follow.
            self._lose_backlog()
        elif self._pong is not None:
            # Before what waits: who reads, and never catches up, is to hear from us, too.
            payload, self._pong = self._pong, None
            self.pong(payload)
        backlog = self._backlog
        while backlog and not self._congested and not self._closing:
            portion: list[bytes] = []
            size = 0
            while backlog and size < _PORTION:
                portion.append(self.encode(backlog.take()))
                size += len(portion[-1])
            self._send(b"".join(portion))
        if not backlog:
            self._backlog = None
        self._look()
        self._driver.written()
