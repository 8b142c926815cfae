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

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias, final
from weakref import WeakKeyDictionary

import anyio
from websockets.asyncio.server import ServerConnection as AsyncioConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HTTPRequest
from websockets.http11 import Response
from websockets.protocol import State

from phoenix_channels.protocol.messages import Frame, Opcode
from phoenix_channels.runtime.driver import Driver
from phoenix_channels.runtime.outbox import Outbox
from phoenix_channels.runtime.tasks import Task
from phoenix_channels.transports.handshake import (
    BAD_METHOD,
    CLOSE_TIMEOUT,
    NOT_FOUND,
    Accepted,
    Refusal,
    Request,
    handshake,
    make_driver,
    upgrade_error,
)
from phoenix_channels.transports.mounts import segments

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

    async def process_request(self, connection: AnyConnection, request: HTTPRequest) -> Response | None:
        """Pass this as ``process_request=`` to ``serve``."""
        path, _, query = request.path.partition("?")
        peer: Any = connection.remote_address
        asked = Request(
            scheme="https" if _is_tls(connection) else "http",
            path=path,
            query=query.encode("latin-1", "replace"),
            headers=request.headers.raw_items(),
            peer=peer[:2] if isinstance(peer, tuple) else None,  # pyright: ignore[reportUnknownArgumentType]
        )
        mount = self._endpoint.mounts.match(segments(path))
        if mount is None:
            self._endpoint.mounts.log_miss(path)
            return _respond(connection, NOT_FOUND)
        if request.method != "GET":
            return _respond(connection, BAD_METHOD)
        result = await handshake(self._endpoint, mount, asked)
        if isinstance(result, Accepted):
            refusal = upgrade_error(asked)
            if refusal is None:
                self._accepted[connection] = result
                return None
            result = refusal
        return _respond(connection, result)

    async def handler(self, connection: AnyConnection) -> None:
        """Pass this as the handler to ``serve``."""
        accepted = self._accepted.pop(connection, None)
        if accepted is None:
            raise RuntimeError(
                "WebSocketsTransport needs both of its halves: serve(transport.handler, ..., "
                "process_request=transport.process_request)"
            )
        driver = make_driver(self._endpoint, accepted)
        watchdogs: list[Task] = []
        driver.on_close = lambda: watchdogs.append(driver.spawn(_abort_later, connection))
        try:
            await driver.start(_sink(driver, connection))
            while True:
                data = await connection.recv()
                driver.receive(data, Opcode.TEXT if isinstance(data, str) else Opcode.BINARY)
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
            await driver.finish()


async def _pause(driver: Driver, connection: AnyConnection) -> None:
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


def _is_tls(connection: AnyConnection) -> bool:
    if isinstance(connection, AsyncioConnection):
        return connection.transport.get_extra_info("ssl_object") is not None
    return type(connection.stream).__name__ == "SSLStream"


def _respond(connection: AnyConnection, refusal: Refusal) -> Response:
    response = connection.respond(refusal.status, refusal.body.decode())
    if refusal.content_type is not None:
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = refusal.content_type
    return response


def _sink(driver: Driver, connection: AnyConnection) -> AsyncioSink | Outbox:
    if isinstance(connection, AsyncioConnection):
        return AsyncioSink(driver, connection)
    trio_connection = connection

    async def send(frame: Frame) -> None:
        await trio_connection.send(frame.text if frame.opcode is Opcode.TEXT else frame.data)

    async def close(code: int) -> None:
        await trio_connection.aclose(code)

    return Outbox(driver, send, close)


@final
class AsyncioSink:
    """Writes prepared frames straight to the asyncio transport: no task, no copy, no second framing."""

    __slots__ = ("_closing", "_connection", "_driver", "_limit")

    @property
    def queued_bytes(self) -> int:
        # asyncio tells only the library when the buffer has drained; the limit of the outbox is the bound here.
        return 0

    def __init__(self, driver: Driver, connection: AsyncioConnection) -> None:
        self._driver = driver
        self._connection = connection
        self._limit = driver.limits.outbox_bytes
        self._closing = False

    def write(self, frame: Frame) -> None:
        connection = self._connection
        transport: asyncio.Transport = connection.transport
        if self._closing or connection.protocol.state is not State.OPEN or transport.is_closing():
            return
        queued = transport.get_write_buffer_size()
        # A frame larger than the bound passes through an empty buffer: it has to go some way.
        if queued and queued + len(frame) > self._limit:
            self._driver.overflow(1)
        elif connection.protocol.extensions:
            # Compressed: every frame depends on those before it, so the library has to frame it.
            if frame.opcode is Opcode.TEXT:
                connection.protocol.send_text(frame.data)
            else:
                connection.protocol.send_binary(frame.data)
            transport.write(b"".join(connection.protocol.data_to_send()))
        else:
            transport.write(frame.wire)

    def close(self, code: int) -> None:
        self._closing = True
        self._driver.spawn(self._close, code)

    async def _close(self, code: int) -> None:
        await self._connection.close(code)
