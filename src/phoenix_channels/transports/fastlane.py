"""The fast lane: a WebSocket whose socket is ours, on asyncio (and uvloop).

No task waits for messages and none writes: bytes of the client go through our parser into the driver, and the prepared
frames of a broadcast go to the transport as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableSet
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, final

from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.frames import BINARY, CLOSE, PING, TEXT, FrameParser
from phoenix_channels.protocol.messages import Opcode
from phoenix_channels.runtime.drain import drain
from phoenix_channels.transports.direct import DirectSink
from phoenix_channels.transports.handshake import CLOSE_TIMEOUT, READ_BATCH, READ_BATCH_BYTES

if TYPE_CHECKING:
    from phoenix_channels.protocol.deflate import Deflate
    from phoenix_channels.protocol.messages import Frame, FrameBatch
    from phoenix_channels.runtime.driver import Driver
    from phoenix_channels.socket import BaseSocket

_logger = logging.getLogger("phoenix_channels")

_MAX_MESSAGE: Final = 10_000_000
"""Bytes of the largest message in several frames, where single frames may not be larger anyway (P-083)."""
_NORMAL: Final = int(CloseCode.NORMAL).to_bytes(2, "big")


@final
class FastLane(DirectSink, asyncio.Protocol):
    """One connection: the protocol of its transport, and the :class:`Sink` of its driver.

    Args:
        driver: the connection's.
        transport: the open transport.
        response: what ends the handshake.
        connections: the server's account of who is connected; this connection is in it until it is lost.
        max_frame_size: bytes of the largest frame that is accepted (P-083).
        deflate: what was negotiated about compression.
    """

    __slots__ = ("_close_timer", "_connections", "_deflate", "_held", "_parser")

    def __init__(
        self,
        driver: Driver[BaseSocket],
        transport: asyncio.Transport,
        response: bytes,
        connections: MutableSet[Any],
        *,
        max_frame_size: int,
        deflate: Deflate | None = None,
    ) -> None:
        # First: it is told whether the transport has anything to write yet.
        transport.set_protocol(self)
        super().__init__(driver, transport, prepared=deflate is None)
        self._connections = connections
        self._deflate = deflate
        self._parser = FrameParser(
            max_frame_size=max_frame_size,
            max_message_size=max(max_frame_size, _MAX_MESSAGE),
            inflate=deflate is not None,
        )
        # Messages are left in the parser for now.
        self._held = True
        self._close_timer: asyncio.TimerHandle | None = None
        connections.add(self)
        transport.write(response)

    async def start(self) -> None:
        """Begin to read; returns as soon as the connection is known to its endpoint."""
        try:
            await self._driver.start(self)
        except BaseException:
            # The server gives up.
            self._driver.close(CloseCode.INTERNAL_ERROR)
            raise
        self._read_on()

    # What the client sends

    def data_received(self, data: bytes) -> None:
        self._driver.heard()
        self._parser.feed(data)
        if self._held:
            # This chunk is all that can come.
            self._transport.pause_reading()
        else:
            self._read()

    def _read(self) -> None:
        # What the handlers of these messages answer goes out together.
        self.cork()
        try:
            # In the context of the connection: ours may be that of whoever has let it be read again.
            held = self._driver.context.copy().run(self._read_some)
        except RemoteProtocolError as error:
            _logger.warning("%s broke the WebSocket protocol, closing: %s", self._driver.name, error.reason)
            self._driver.close(error.close_code)
            # Nothing that comes can be read any more, not even a close: the client is to end it (RFC 6455, 7.1.7).  Not
            # by closing the socket: with unread bytes in it that could take the close frame along.
            if self._transport.can_write_eof():
                with suppress(OSError):
                    # Or it has ended the connection already.
                    self._transport.write_eof()
            else:
                self._transport.close()
            return
        finally:
            self.uncork()
        if held:
            self._held = True
            self._transport.pause_reading()

    def _read_some(self) -> bool:
        """Take messages, not too many; True when no more should be read for now."""
        driver, parser = self._driver, self._parser
        count = size = 0
        while count < READ_BATCH and size < READ_BATCH_BYTES:
            item = parser.next()
            if item is None:
                return False
            opcode, data = item
            count += 1
            size += len(data)
            if opcode == TEXT:
                going_on = driver.receive(data, Opcode.TEXT)
            elif opcode == BINARY:
                going_on = driver.receive(data, Opcode.BINARY)
            else:
                going_on = self._control(opcode, data)
            if not going_on:
                return True
        if parser.waiting:
            # There may be more, but others come first.
            self.resume_reading()
        return parser.waiting

    def resume_reading(self) -> None:
        # Not now: it may be the transport that has called, to say that it has written all.  asyncio's would take it ill
        # if it were closed before it has finished: it would call connection_lost twice.
        self._driver.lane.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        # Or else the driver calls again.  Of who is gone nothing is read any more.
        if self._held and not self._transport.is_closing() and self._driver.keep_reading():
            self._held = False
            self._read()
            if not self._held and not self._transport.is_closing():
                self._transport.resume_reading()

    def _control(self, opcode: int, data: str | bytes) -> bool:
        payload = bytes(data) if isinstance(data, bytes) else b""
        if opcode == CLOSE:
            if not self._closing:
                # P-082: whatever the client's code was.
                self.write_close(_NORMAL)
            self._driver.close(None)
            self._transport.close()
            self._abort_later()
        elif opcode == PING:
            self.pong(payload)
            self._driver.control(payload, "ping")
        else:
            self._driver.control(payload, "pong")
        # A raw socket that handles it, or a client that does not read.
        return self._driver.keep_reading()

    # The sink, beyond writing

    def encode(self, frames: Frame | FrameBatch) -> bytes:
        return frames.wire if self._deflate is None else frames.deflated(self._deflate.window_bits)

    def close(self, code: int) -> None:
        self.write_close(code.to_bytes(2, "big"))
        self._abort_later()

    def _abort_later(self) -> None:
        """A client that does not take part in closing keeps its socket no longer than this."""
        if self._close_timer is None:
            self._close_timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._transport.abort)

    # The end

    def eof_received(self) -> None:
        # The client says nothing more, without a close: it is gone.  What the transport still has, it may write.
        self.stop()
        self._driver.close(None)
        self._abort_later()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost()
        if self._close_timer is not None:
            self._close_timer.cancel()
        driver, connections = self._driver, self._connections
        driver.connection_lost()
        if driver.over:
            connections.discard(self)
            return

        async def leave() -> None:
            # What the server waits for before it ends: also handlers, and terminate.
            await driver.wait_ended()
            connections.discard(self)

        driver.spawn(leave)

    def shutdown(self) -> None:
        """The server ends; called by uvicorn, which then waits until its connections are over."""
        driver, lane = self._driver, self._driver.lane
        drains = driver.terms.drainer is not False
        if drains and not lane.draining:
            # The first that is told begins the rounds for all of them (P-088).
            lane.draining = lane.stopping = True
            lane.loop.spawn(drain, lane)
        if drains and lane.stopping:
            return
        # It takes no part in that, or has outlived it.
        driver.close(CloseCode.SERVICE_RESTART, "draining" if drains else "closed")
        # As uvicorn's own protocol: it does not wait for clients to answer.
        self._transport.close()
