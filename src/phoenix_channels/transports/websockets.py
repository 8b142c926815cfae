"""The binding to the ``websockets`` library, on asyncio and on trio.

::

    transport = WebSocketsTransport(endpoint)
    async with serve(
        transport.handler, "127.0.0.1", 4000, process_request=transport.process_request,
        compression=None, ping_interval=None, max_size=10_000_000,
    ):
        ...

``process_request`` decides about the connection while it is still an HTTP request, so that a refusal is a 403; the
handler alone would be asked only after the 101.  There is no HTTP here beyond that: no long polling, no POST.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final
from weakref import WeakKeyDictionary

import anyio
from anyio.lowlevel import checkpoint
from websockets.asyncio.server import ServerConnection as AsyncioConnection
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode as WebSocketOpcode
from websockets.http11 import Request as HTTPRequest
from websockets.http11 import Response as HTTPResponse
from websockets.protocol import Event, State
from websockets.typing import Subprotocol

from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.messages import Frame, FrameBatch, Opcode
from phoenix_channels.runtime.driver import Control, Driver
from phoenix_channels.runtime.outbox import Outbox
from phoenix_channels.runtime.tasks import Task
from phoenix_channels.socket import BaseSocket
from phoenix_channels.transports.direct import DirectSink
from phoenix_channels.transports.handshake import (
    CLOSE_TIMEOUT,
    READ_BATCH,
    READ_BATCH_BYTES,
    Accepted,
    handshake,
    log_transport,
    make_driver,
    upgrade_error,
    websocket_terms,
)
from phoenix_channels.transports.http import NOT_FOUND, Request, Response
from phoenix_channels.transports.mounts import Match, segments

if TYPE_CHECKING:
    from websockets.trio.server import ServerConnection as TrioConnection

    from phoenix_channels.endpoint import Endpoint

    AnyConnection: TypeAlias = AsyncioConnection | TrioConnection


@final
class WebSocketsTransport:
    """``handler`` and ``process_request`` for ``websockets.asyncio.server.serve`` and its trio twin."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        # Weak: a handshake that fails after process_request never reaches the handler.
        self._accepted: WeakKeyDictionary[object, Accepted] = WeakKeyDictionary()

    async def process_request(self, connection: AnyConnection, request: HTTPRequest) -> HTTPResponse | None:
        """Pass this as ``process_request=`` to ``serve``."""
        try:
            peer: Any = connection.remote_address
        except (OSError, AttributeError):
            # The client is gone already, and with it the socket, which uvloop says like that.  Nobody will read this.
            return _respond(connection, NOT_FOUND)
        path, _, query = request.path.partition("?")
        asked = Request(
            method=request.method,
            scheme="https" if _is_tls(connection) else "http",
            path=path,
            query=query.encode("latin-1", "replace"),
            headers=request.headers.raw_items(),
            peer=peer[:2] if isinstance(peer, tuple) else None,  # pyright: ignore[reportUnknownArgumentType]
            ssl_cert=_client_certificate(connection),
        )
        match = self._endpoint.mounts.match(segments(path))
        if match is None or match.transport != "websocket":
            self._endpoint.mounts.log_miss(path)
            return _respond(connection, NOT_FOUND)
        result = await handshake(self._endpoint, match, asked)
        if isinstance(result, Accepted):
            result = upgrade_error(asked) or result
        log_transport(match, asked, 101 if isinstance(result, Accepted) else result.status)
        if isinstance(result, Response):
            return _respond(connection, result)
        _settle(connection, result)
        self._accepted[connection] = result
        return None

    async def handler(self, connection: AnyConnection) -> None:
        """Pass this as the handler to ``serve``."""
        accepted = self._accepted.pop(connection, None)
        if accepted is None:
            raise RuntimeError(
                "WebSocketsTransport needs both of its halves: serve(transport.handler, ..., "
                "process_request=transport.process_request)"
            )
        driver = make_driver(self._endpoint, accepted, websocket_terms(accepted.match, sees_frames=True))
        watchdogs: list[Task] = []

        def watch() -> None:
            if not watchdogs:
                watchdogs.append(driver.spawn(_abort_later, connection))

        driver.on_close = watch
        sink = _sink(driver, connection, watch)
        _observe(connection, driver, accepted.match, sink)
        try:
            await driver.start(sink)
            number = size = 0
            while True:
                data = await connection.recv()
                driver.receive(data, Opcode.TEXT if isinstance(data, str) else Opcode.BINARY)
                number, size = number + 1, size + len(data)
                if number >= READ_BATCH or size >= READ_BATCH_BYTES:
                    # What has arrived already is taken without a pause.
                    number = size = 0
                    await checkpoint()
                if driver.reading_paused:
                    await _pause(driver, connection)
        except ConnectionClosed:
            pass
        finally:
            driver.on_close = None
            for watchdog in watchdogs:
                watchdog.cancel()
            if not isinstance(connection, AsyncioConnection) and connection.recv_flow_control is not None:
                # websockets 17.4 forgets a paused reader when the connection ends, and its task waits for ever.
                connection.resume_reading()
            driver.connection_lost()
            await driver.wait_ended()


async def _pause(driver: Driver[BaseSocket], connection: AnyConnection) -> None:
    """Wait until the channels have caught up, or the connection is closed by somebody else."""

    async def watch() -> None:
        await connection.wait_closed()
        driver.close(None)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await driver.wait_readable()
        group.cancel_scope.cancel()


async def _abort_later(connection: AnyConnection) -> None:
    """End a connection whose peer does not take part in closing it: the library waits for its buffer for ever."""
    await anyio.sleep(CLOSE_TIMEOUT)
    if isinstance(connection, AsyncioConnection):
        connection.transport.abort()
    else:
        await anyio.aclose_forcefully(connection.stream)  # type: ignore[arg-type]


def _client_certificate(connection: AnyConnection) -> bytes | None:
    if not _is_tls(connection):
        return None
    if isinstance(connection, AsyncioConnection):
        tls: Any = connection.transport.get_extra_info("ssl_object")
    else:
        tls = connection.stream
    certificate: bytes | None = tls.getpeercert(True)
    return certificate


def _is_tls(connection: AnyConnection) -> bool:
    if isinstance(connection, AsyncioConnection):
        return connection.transport.get_extra_info("ssl_object") is not None
    return type(connection.stream).__name__ == "SSLStream"


_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


def _respond(connection: AnyConnection, answer: Response) -> HTTPResponse:
    # Any status: the library's own function takes those that have a name.
    response = connection.respond(HTTPStatus.FORBIDDEN, "")
    response.status_code = answer.status
    response.reason_phrase = _PHRASES.get(answer.status, "Refused")
    response.body = answer.body
    for name in ("Content-Type", "Content-Length"):
        del response.headers[name]
    response.headers["Content-Length"] = str(len(answer.body))
    for name, value in answer.headers:
        response.headers[name] = value
    return response


def _settle(connection: AnyConnection, accepted: Accepted) -> None:
    """Have the library answer what the mount says, whatever ``serve`` was told for all mounts."""
    protocol = connection.protocol
    options = accepted.match.mount.websocket
    protocol.available_extensions = (
        [ServerPerMessageDeflateFactory()] if options is not None and options.compress else None
    )
    chosen = None if accepted.subprotocol is None else Subprotocol(accepted.subprotocol)

    def process_subprotocol(_: object) -> Subprotocol | None:
        # The library holds every entry to be an HTTP token; a base64 text is none (P-020).
        return chosen

    protocol.process_subprotocol = process_subprotocol  # type: ignore[method-assign, assignment]


def _observe(connection: AnyConnection, driver: Driver[BaseSocket], match: Match, sink: AsyncioSink | Outbox) -> None:
    """Hear of bytes and frames that the library does not hand over as messages."""
    protocol = connection.protocol
    receive_data, process_event = protocol.receive_data, connection.process_event
    most = None if match.mount.websocket is None else match.mount.websocket.max_frame_size

    def receive_any_data(data: bytes | bytearray) -> None:
        # P-081: whatever the client sends is a sign of life.
        driver.heard()
        receive_data(data)

    def process_any_event(event: Event) -> None:
        # By identity: a set or a dict would hash the opcode, which an enum does in Python.
        if isinstance(event, WebSocketFrame):
            if event.opcode is WebSocketOpcode.PING or event.opcode is WebSocketOpcode.PONG:
                _control(driver, event)
                if event.opcode is WebSocketOpcode.PING and isinstance(sink, AsyncioSink):
                    sink.answered(len(event.data))
            elif most is not None and len(event.data) + _MAX_HEADER > most < len(event.data) + _header_size(event):
                # P-083: header and payload; a message of several frames may be larger.
                driver.close(CloseCode.TOO_BIG)
                return
        process_event(event)

    protocol.receive_data = receive_any_data  # type: ignore[method-assign]
    connection.process_event = process_any_event  # type: ignore[method-assign]


def _control(driver: Driver[BaseSocket], frame: WebSocketFrame) -> None:
    # In the context of the connection: this one is the library's, or that of whoever has let it read again.
    opcode: Control = "ping" if frame.opcode is WebSocketOpcode.PING else "pong"
    driver.context.copy().run(driver.control, bytes(frame.data), opcode)


_MAX_HEADER: Final = 14
_OVERHEAD: Final = 64
"""What a tiny write that waits in a transport costs in bytes, at least."""


def _header_size(frame: WebSocketFrame) -> int:
    """Of a frame of a client, mask included (RFC 6455, 5.2)."""
    return 6 if len(frame.data) < 126 else 8 if len(frame.data) < 65536 else _MAX_HEADER


def _sink(driver: Driver[BaseSocket], connection: AnyConnection, watch: Callable[[], None]) -> AsyncioSink | Outbox:
    if isinstance(connection, AsyncioConnection):
        return AsyncioSink(driver, connection, watch)
    trio_connection = connection

    async def send(frame: Frame) -> None:
        await trio_connection.send(frame.text if frame.opcode is Opcode.TEXT else frame.data)

    async def close(code: int) -> None:
        await trio_connection.aclose(code)

    async def ping(payload: bytes) -> None:
        # Not connection.ping(): it keeps account of pongs, and refuses a payload whose pong is not there yet.
        async with trio_connection.send_context():
            trio_connection.protocol.send_ping(payload)

    return Outbox(driver, send, close, ping)


@final
class AsyncioSink(DirectSink):
    """Writes to the asyncio transport of a connection of the library.

    Args:
        driver: the connection's.
        connection: the library's.
        watch: called when the library closes it, and the client does not read: it would wait for ever.
    """

    __slots__ = ("_answers", "_connection")

    def __init__(self, driver: Driver[BaseSocket], connection: AsyncioConnection, watch: Callable[[], None]) -> None:
        self._connection = connection
        # What the transport has of answers to pings, at most.
        self._answers = 0
        # The transport tells the library alone, which has its own writers to hold up; and the library may close the
        # connection by itself, behind which nothing may be written.
        pause, resume, lose = connection.pause_writing, connection.resume_writing, connection.connection_lost
        send = connection.send_data

        def pause_writing() -> None:
            pause()
            self.pause_writing()

        def resume_writing() -> None:
            resume()
            self._answers = 0
            self.resume_writing()

        def connection_lost(exc: Exception | None) -> None:
            self.lost()
            lose(exc)
            # Leave no circles to the garbage collector: of 10,000 clients that come and go it would have a million
            # objects.
            for name in ("pause_writing", "resume_writing", "connection_lost", "send_data", "process_event"):
                delattr(connection, name)
            del connection.protocol.receive_data

        def send_data() -> None:
            send()
            if connection.protocol.state is not State.OPEN:
                self.stop()
                if self._congested:
                    watch()

        connection.connection_lost = connection_lost  # type: ignore[method-assign]
        connection.pause_writing = pause_writing  # type: ignore[method-assign]
        connection.resume_writing = resume_writing  # type: ignore[method-assign]
        connection.send_data = send_data  # type: ignore[method-assign]
        # Compressed every frame depends on those before it: then the library has to frame it.
        super().__init__(driver, connection.transport, prepared=not connection.protocol.extensions)
        if connection.protocol.state is not State.OPEN:
            self.stop()

    def encode(self, frames: Frame | FrameBatch) -> bytes:
        if self._prepared:
            return frames.wire
        for frame in frames.frames:
            if frame.opcode is Opcode.TEXT:
                self._connection.protocol.send_text(frame.data)
            else:
                self._connection.protocol.send_binary(frame.data)
        return b"".join(self._connection.protocol.data_to_send())

    def answered(self, size: int) -> None:
        """The library has answered a ping of so many bytes; it would do so for ever, also while it closes."""
        if self._congested:
            self._answers += size + _OVERHEAD
            if self._answers > self._driver.limits.outbox_bytes:
                self._overflow()
                self._transport.abort()

    def close(self, code: int) -> None:
        if not self._closing:
            self.write_all()
        self.stop()
        self._driver.spawn(self._close, code)

    def resume_reading(self) -> None:
        """Nothing to do: the handler waits by itself."""

    async def _close(self, code: int) -> None:
        await self._connection.close(code)
