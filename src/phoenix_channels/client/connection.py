"""One WebSocket, from its handshake to its end: the ``websockets`` library, on asyncio or trio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from ssl import SSLContext
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, final

import anyio
import websockets.asyncio.client
from anyio.lowlevel import checkpoint, current_token
from msgspec import Struct
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from phoenix_channels.client.address import Target
from phoenix_channels.client.errors import ConnectFailed
from phoenix_channels.protocol.messages import Frame, Opcode

if TYPE_CHECKING:
    import websockets.trio.client

    AnyConnection: TypeAlias = websockets.asyncio.client.ClientConnection | websockets.trio.client.ClientConnection


@final
class TransportOptions(Struct, frozen=True, kw_only=True):
    """What every WebSocket of one socket has in common; times are in seconds, sizes in bytes."""

    headers: Sequence[tuple[str, str]]
    ssl: SSLContext | None
    proxy: str | Literal[True] | None
    compress: bool
    max_size: int
    open_timeout: float
    close_timeout: float


class Ending(NamedTuple):
    """How a connection has ended: the code of the server's close frame, None for none; and whether it was our doing.

    ``refused``: for what the server had sent.
    """

    code: int | None
    refused: bool


NEVER_OPEN: Final = Ending(None, refused=False)


@final
class Connection:
    """An open WebSocket: ``send`` and ``close`` are for whoever is on the event loop, and never block."""

    def __init__(self, websocket: AnyConnection, close_timeout: float) -> None:
        self._websocket = websocket
        self._close_timeout = close_timeout
        self._frames: deque[Frame] = deque()
        self._closing: tuple[int, str] | None = None
        self._refused = False
        self._reading = anyio.CancelScope()
        self._work = anyio.Event()
        self.queued_bytes = 0
        """What was given to :meth:`send` and is not with the operating system yet, about."""

    def send(self, frame: Frame) -> None:
        """Send it after all that was given before; once the connection is being closed it is dropped."""
        if self._closing is None:
            self._frames.append(frame)
            self.queued_bytes += len(frame)
            self._work.set()

    def close(self, code: int, reason: str) -> None:
        """Close it when all has been sent; who does not take part is cut off after ``close_timeout``."""
        if self._closing is None:
            self._closing = (code, reason)
            self._reading.deadline = anyio.current_time() + self._close_timeout
            self._work.set()

    def refuse(self, code: int) -> None:
        """Close it for what the server has sent."""
        self._refused = True
        self.close(code, "")

    async def run(self, receive: Callable[[str | bytes, Opcode], None]) -> Ending:
        """Send and receive until the end."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._write)
            with self._reading:
                try:
                    while True:
                        data = await self._websocket.recv()
                        if self._closing is None:
                            receive(data, Opcode.TEXT if isinstance(data, str) else Opcode.BINARY)
                        # For who takes it: what has come in one piece must not push each other out of his inbox.
                        await checkpoint()
                except ConnectionClosed as closed:
                    # The library refuses what is too large, or no WebSocket.
                    by_library = closed.sent is not None and not closed.rcvd_then_sent and self._closing is None
                    self._refused = self._refused or by_library
            group.cancel_scope.cancel()
        code = self._websocket.close_code
        return Ending(None if code == 1006 else code, self._refused)

    async def _write(self) -> None:
        try:
            while True:
                while self._frames:
                    frame = self._frames.popleft()
                    await self._websocket.send(frame.text if frame.opcode is Opcode.TEXT else frame.data)
                    self.queued_bytes -= len(frame)
                if self._closing is not None:
                    break
                self._work = anyio.Event()
                await self._work.wait()
            if isinstance(self._websocket, websockets.asyncio.client.ClientConnection):
                await self._websocket.close(*self._closing)
            else:
                await self._websocket.aclose(*self._closing)
        except ConnectionClosed:
            pass  # Who reads is told the same.


@asynccontextmanager
async def open_connection(target: Target, options: TransportOptions) -> AsyncGenerator[Connection]:
    """A WebSocket that is open, and cut off at the end of the block: close it before.

    Raises:
        ConnectFailed: it cannot be opened.
    """
    async with AsyncExitStack() as stack:
        try:
            websocket: AnyConnection = await stack.enter_async_context(_opening(target, options))
        except InvalidStatus as error:
            response = error.response
            raise ConnectFailed(
                f"refused with HTTP {response.status_code}: {response.body.decode('utf-8', 'replace'):.200}".rstrip(
                    ": "
                ),
                status=response.status_code,
                body=bytes(response.body),
            ) from error
        except _failures() as error:
            # trio has the reason of a failed TLS handshake in the cause alone.
            reason = error if str(error) else error.__cause__ or error
            raise ConnectFailed(f"{type(reason).__name__}: {reason}") from error
        try:
            yield Connection(websocket, options.close_timeout)
        finally:
            await _cut(websocket)


def _opening(target: Target, options: TransportOptions) -> Any:
    library = _library()

    def create(*args: Any, **settings: Any) -> AnyConnection:
        connection: AnyConnection = library.ClientConnection(*args, **settings)
        # Not by the option: that holds every name to be an HTTP token, and base64 may have a slash (P-020).
        connection.protocol.available_subprotocols = [Subprotocol(name) for name in target.subprotocols] or None
        return connection

    opening = library.connect(
        target.url,
        additional_headers=options.headers,
        compression="deflate" if options.compress else None,
        proxy=options.proxy,
        max_size=options.max_size,
        open_timeout=options.open_timeout,
        # The heartbeat is the protocol's, and the end is watched by who runs the connection.
        ping_interval=None,
        close_timeout=None,
        create_connection=create,
        **({} if options.ssl is None else {"ssl": options.ssl}),
    )
    opening.process_redirect = _no_redirect
    return opening


def _no_redirect(error: Exception) -> Exception:
    # Browsers follow none either, and the token would come along to whichever host is named.
    return error


def _library() -> ModuleType:
    # The other one is for those who have trio.
    return websockets.asyncio.client if _on_asyncio() else import_module("websockets.trio.client")


def _failures() -> tuple[type[Exception], ...]:
    """What opening a connection raises when it is nobody's mistake here: names, networks, TLS, HTTP."""
    failures = (OSError, UnicodeError, WebSocketException)
    if _on_asyncio():
        return failures
    import trio  # noqa: PLC0415 - only those who run on trio have it

    return (*failures, trio.BrokenResourceError)


def _on_asyncio() -> bool:
    return isinstance(current_token().native_token, asyncio.AbstractEventLoop)


async def _cut(websocket: AnyConnection) -> None:
    """End what is left of a connection, also in a cancelled scope."""
    with anyio.CancelScope(shield=True):
        if isinstance(websocket, websockets.asyncio.client.ClientConnection):
            websocket.transport.abort()
            await websocket.wait_closed()
        else:
            if websocket.recv_flow_control is not None:
                # websockets 17.4 forgets a paused reader when the connection ends, and its task waits for ever.
                websocket.resume_reading()
            # Its tasks end with the library's own block, and do not say so when they are cancelled.
            await anyio.aclose_forcefully(websocket.stream)  # type: ignore[arg-type]
