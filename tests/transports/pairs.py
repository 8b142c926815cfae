"""A transport over one end of a pair of sockets: what asyncio's do by themselves, it does when it is told to."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from phoenix_channels import Endpoint, Limits, RawSocket
from phoenix_channels.protocol.messages import Frame, FrameBatch, Opcode
from phoenix_channels.runtime.driver import Terms
from phoenix_channels.runtime.raw_driver import RawDriver
from phoenix_channels.transports.direct import DirectSink


class Wire(asyncio.Transport):
    """The server's end is a transport, the client's is read by the test.

    Args:
        pair: the two ends.
        response: what the transport has not got rid of yet.
        hidden: the transport shows no socket.
        tls: it encrypts, or so it says.
    """

    def __init__(
        self,
        pair: tuple[socket.socket, socket.socket] | None = None,
        *,
        response: bytes = b"",
        hidden: bool = False,
        tls: bool = False,
    ) -> None:
        server, self.client = pair or socket.socketpair()
        for each in (server, self.client):
            each.setblocking(False)
        # Little: a client soon falls behind.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        super().__init__(
            {"socket": None if hidden else server, "sslcontext": ssl.create_default_context() if tls else None}
        )
        self._server = server
        self._tls = tls
        self._kept = bytearray(response)
        self._high = self._low = 64 * 1024
        # Whoever had the transport until now may have been told so.
        self._paused = len(response) > self._high
        self.protocol: Any = asyncio.Protocol()
        self.written: list[bytes] = []
        """What was written through the transport."""
        self.aborted = False

    # What asyncio's transports have

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self._high, self._low = high, high // 4 if low is None else low
        self._pause()
        if self._tls:
            # Those that encrypt look at both.
            self._resume()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return len(self._kept)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        idle = not self._kept
        self._kept += data
        if idle:
            self._send()
        self._pause()

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def _pause(self) -> None:
        if len(self._kept) > self._high and not self._paused:
            self._paused = True
            self.protocol.pause_writing()

    def _resume(self) -> None:
        if self._paused and len(self._kept) <= self._low:
            self._paused = False
            self.protocol.resume_writing()

    def _send(self) -> None:
        while self._kept:
            try:
                sent = self._server.send(self._kept[:65536])
            except (BlockingIOError, BrokenPipeError):
                return
            del self._kept[:sent]

    def flush(self) -> None:
        """The loop has noticed that the kernel may take something."""
        self._send()
        self._resume()

    # The client

    def read(self, most: int | None = None) -> bytes:
        """What is there to be read, or so much of all that is on its way."""
        data = b""
        while most is None or len(data) < most:
            try:
                data += self.client.recv(65536 if most is None else min(65536, most - len(data)))
            except BlockingIOError:
                if most is None or not self._kept:
                    break
                self.flush()
        return data

    def read_all(self) -> bytes:
        """All that is on its way, however long it takes."""
        data = self.read()
        while True:
            self.flush()
            more = self.read()
            if not more:
                return data
            data += more

    def fill(self) -> bytes:
        """Have the kernel take what it can, past the transport: what that was."""
        filler = b""
        while True:
            try:
                self._server.send(b".")
            except BlockingIOError:
                return filler
            filler += b"."

    def end(self) -> None:
        self._server.close()
        self.client.close()


class Link(DirectSink):
    """A sink over a wire, and what a transport adds to it."""

    def __init__(self, driver: RawDriver, wire: Wire, *, prepared: bool = True) -> None:
        wire.protocol = self
        super().__init__(driver, wire, prepared=prepared)
        self.driver = driver
        self.encoded: list[Frame | FrameBatch] = []
        """What was not prepared, and is encoded by now."""
        self.readings = 0
        """How often reading was resumed."""

    def encode(self, frames: Frame | FrameBatch) -> bytes:
        self.encoded.append(frames)
        return super().encode(frames)

    def close(self, code: int) -> None:
        self.write_close(code.to_bytes(2, "big"))

    def resume_reading(self) -> None:
        self.readings += 1

    def fall_behind(self) -> list[Frame]:
        """Write until the transport is congested; what that was."""
        frames: list[Frame] = []
        while not self.queued_bytes:
            frames.append(numbered(len(frames)))
            self.write(frames[-1])
            assert len(frames) < 10_000
        return frames


@asynccontextmanager
async def linked(
    wire: Wire | None = None, *, limits: Limits | None = None, prepared: bool = True
) -> AsyncGenerator[tuple[Wire, Link, Endpoint]]:
    """A connection over a wire, open; at the end it is lost."""
    wire = wire or Wire()
    endpoint = Endpoint(limits=limits)
    driver = RawDriver(endpoint.hub, endpoint.hub.current_lane(), RawSocket(), socket_id=None, terms=Terms())
    link = Link(driver, wire, prepared=prepared)
    await driver.start(link)
    try:
        yield wire, link, endpoint
    finally:
        link.lost()
        driver.connection_lost()
        await driver.wait_ended()
        wire.end()


def numbered(number: int, size: int = 1000) -> Frame:
    return Frame(Opcode.TEXT, f"{number} ".encode().ljust(size, b"x"))


def wires(frames: list[Frame]) -> bytes:
    """Frames as they stand on the wire."""
    return b"".join(frame.wire for frame in frames)
