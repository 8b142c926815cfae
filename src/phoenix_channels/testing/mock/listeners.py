"""The listening socket of a mock server, on asyncio and on trio: WebSockets of the ``websockets`` library."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, final
from weakref import WeakSet

import anyio
from anyio.lowlevel import checkpoint, current_token
from websockets.asyncio.server import ServerConnection as AsyncioConnection
from websockets.asyncio.server import serve as serve_asyncio
from websockets.http11 import Request, Response

from phoenix_channels.runtime.tasks import current_loop

if TYPE_CHECKING:
    from websockets.trio.server import ServerConnection as TrioConnection

    AnyConnection: TypeAlias = AsyncioConnection | TrioConnection
    ProcessRequest: TypeAlias = Callable[[AnyConnection, Request], Awaitable[Response | None]]
    Handler: TypeAlias = Callable[[AnyConnection], Awaitable[None]]

# No timeout of the handshake: a rule may want it never to end.
_OPTIONS: Final[dict[str, Any]] = {
    "compression": None,
    "ping_interval": None,
    "max_size": 10_000_000,
    "open_timeout": None,
}


class Listener(Protocol):
    """An open port."""

    @property
    def port(self) -> int: ...

    async def close(self) -> None:
        """End it as the end of a process does: at once, with all connections; returns when no handler runs any more."""
        ...


async def listen(handler: Handler, process_request: ProcessRequest, host: str, port: int) -> Listener:
    """Begin to listen; port 0 for a free one.

    Raises:
        OSError: that address cannot be listened on.
    """
    if isinstance(current_token().native_token, asyncio.AbstractEventLoop):
        return await _AsyncioListener.open(handler, process_request, host, port)
    return await _TrioListener.open(handler, process_request, host, port)


async def abort(connection: AnyConnection) -> None:
    """End a TCP connection without a close frame."""
    if isinstance(connection, AsyncioConnection):
        connection.transport.abort()
    else:
        await anyio.aclose_forcefully(connection.stream)  # type: ignore[arg-type]


@final
class _AsyncioListener:
    def __init__(self, server: Any, connections: _Connections) -> None:
        self._server = server
        self._connections = connections
        self.port: int = server.sockets[0].getsockname()[1]

    @classmethod
    async def open(cls, handler: Handler, process_request: ProcessRequest, host: str, port: int) -> _AsyncioListener:
        connections = _Connections()
        options: dict[str, Any] = {
            "create_connection": partial(_Connection, connections),
            "process_request": process_request,
            **_OPTIONS,
        }
        return cls(await serve_asyncio(handler, host, port, **options), connections)

    async def close(self) -> None:
        self._connections.abort()
        loop = asyncio.get_running_loop()
        if isinstance(loop, asyncio.SelectorEventLoop):
            # It accepts in one turn and makes the transport in the next: one that finds its server closed by then
            # leaves its client without an end.
            for sock in self._server.sockets:
                loop.remove_reader(sock.fileno())
            await checkpoint()
        self._server.close(close_connections=False)
        await self._server.wait_closed()


@final
class _Connections:
    """Those of one listener, also those that have not said what they want yet: the library waits for them."""

    def __init__(self) -> None:
        self._open: WeakSet[AsyncioConnection] = WeakSet()
        self._over = False

    def add(self, connection: AsyncioConnection) -> None:
        self._open.add(connection)
        if self._over:
            connection.transport.abort()

    def abort(self) -> None:
        """End them, and those that asyncio has accepted and not told of yet."""
        self._over = True
        for connection in tuple(self._open):
            connection.transport.abort()


@final
class _Connection(AsyncioConnection):
    def __init__(self, connections: _Connections, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Before that it has no transport.
        super().connection_made(transport)
        self._connections.add(self)


@final
class _TrioListener:
    def __init__(self, handler: Handler, process_request: ProcessRequest, listeners: list[Any]) -> None:
        self._handler = handler
        self._process_request = process_request
        self._listeners = listeners
        self.port: int = listeners[0].socket.getsockname()[1]
        self._task = current_loop().spawn(self._serve)

    @classmethod
    async def open(cls, handler: Handler, process_request: ProcessRequest, host: str, port: int) -> _TrioListener:
        import trio  # noqa: PLC0415 - only those who run on trio have it

        return cls(handler, process_request, await trio.open_tcp_listeners(port, host=host))

    async def _serve(self) -> None:
        from websockets.trio.server import serve  # noqa: PLC0415 - likewise

        options: dict[str, Any] = {"process_request": self._process_request, **_OPTIONS}
        await serve(self._handler, listeners=self._listeners, **options)

    async def close(self) -> None:
        self._task.cancel()
        await self._task.wait()
