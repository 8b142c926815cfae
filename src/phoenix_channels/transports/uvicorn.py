"""The fast lane under uvicorn::

    uvicorn app:app --ws phoenix_channels.transports.uvicorn:WebSocketProtocol

The application routes as ever.  An endpoint that has accepted a connection takes its socket over; every other
WebSocket is served by uvicorn's own protocol.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast, final
from urllib.parse import unquote

from uvicorn.protocols.utils import (
    ClientDisconnected,
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from phoenix_channels.protocol.deflate import negotiate
from phoenix_channels.transports.asgi import TAKE_OVER
from phoenix_channels.transports.fastlane import FastLane

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from phoenix_channels.runtime.driver import Driver
    from phoenix_channels.socket import BaseSocket
    from phoenix_channels.transports.handshake import Accepted
    from phoenix_channels.transports.http import Response

_logger = logging.getLogger("uvicorn.error")

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MOST_EARLY: Final = 64 * 1024
"""Bytes that a client may send before it is answered."""
_EXTENSIONS: Final = b"sec-websocket-extensions"
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


@final
class WebSocketProtocol(asyncio.Protocol):
    """A request to upgrade, until it is known who answers it: an endpoint, or uvicorn's own protocol."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._transport: asyncio.Transport
        self._head = b""
        self._early = bytearray()
        self._scope: Any = None
        # Whoever answers; the endpoint, where it is not uvicorn's protocol.
        self._answered = False
        self._ordinary: _OrdinaryProtocol | None = None

    # What uvicorn calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Which has read the request, and passes it on after this.
        self._http: Any = self._transport.get_protocol()
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._head:
            self._early += data
            if len(self._early) > _MOST_EARLY:
                self._transport.abort()
            return
        self._head = data
        self._scope = self._scope_of(data)
        task = asyncio.get_running_loop().create_task(self._ask())
        task.add_done_callback(self._state.tasks.discard)
        self._state.tasks.add(task)

    def shutdown(self) -> None:
        """The server ends, and perhaps nobody has answered."""
        if not self._answered:
            self._transport.write(self._answer(503, [(b"content-length", b"0"), (b"connection", b"close")]))
        self._transport.close()

    @property
    def _connections(self) -> set[Any]:
        return cast("set[Any]", self._state.connections)

    # The application

    def _scope_of(self, head: bytes) -> Any:
        """The ASGI scope of a request.

        uvicorn would have the library read it, and that one refuses subprotocols which are no HTTP tokens, as a base64
        text is none (P-020).  The form is that of uvicorn's own HTTP protocols: they have read the request already.
        """
        first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        method, target, _ = first.split(b" ")
        path, _, query = target.partition(b"?")
        headers = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]
        root = self._config.root_path
        scope: dict[str, Any] = {
            "type": "websocket",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            # The request as it is passed on says 1.1 in any case.
            "http_version": self._http.scope["http_version"],
            "scheme": "wss" if is_ssl(self._transport) else "ws",
            "server": get_local_addr(self._transport),
            "client": get_remote_addr(self._transport),
            "root_path": root,
            "path": root + unquote(path.decode("latin-1")),
            "raw_path": root.encode("latin-1") + path,
            "query_string": query,
            "headers": headers,
            "subprotocols": [
                entry.strip()
                for name, value in headers
                if name == b"sec-websocket-protocol"
                for entry in value.decode("latin-1").split(",")
            ],
            "state": self._app_state.copy(),
            "extensions": {"websocket.http.response": {}, TAKE_OVER: self, **self._tls()},
        }
        if method != b"GET":
            # In ASGI it cannot be otherwise: the library would have refused it.
            scope["method"] = method.decode("latin-1")
        return scope

    def _tls(self) -> dict[str, Any]:
        """The TLS extension of ASGI: a client's certificate (P-022), and nothing of what uvicorn does not tell."""
        tls = self._transport.get_extra_info("ssl_object")
        certificate = None if tls is None else tls.getpeercert(True)
        if certificate is None:
            return {}
        unknown = dict.fromkeys(("server_cert", "client_cert_name", "client_cert_error", "tls_version", "cipher_suite"))
        return {"tls": {**unknown, "client_cert_chain": [ssl.DER_cert_to_PEM_cert(certificate)]}}

    async def _ask(self) -> None:
        config: Any = self._config
        app: Callable[..., Awaitable[object]] = config.loaded_app
        failure: BaseException | None = None
        result: object = None
        try:
            result = await app(self._scope, self._receive, self._send)
        except BaseException as error:  # uvicorn decides which are errors
            failure = error
        with suppress(ClientDisconnected):
            if not self._answered or self._ordinary is not None:
                # uvicorn has words for whatever it was.
                self._leave_to_uvicorn().application_ended(result, failure)
                return
        self._let_go()
        if isinstance(failure, asyncio.CancelledError):
            # The server has run out of patience.
            raise failure
        if failure is not None and not isinstance(failure, ClientDisconnected):
            _logger.error("Exception in ASGI application\n", exc_info=failure)

    def _let_go(self) -> None:
        """Leave nothing to the garbage collector: of 10,000 clients that come and go it would have a million objects.

        This object is in its own scope, and the parser of httptools is in a circle with its protocol.
        """
        self._scope = None
        if hasattr(self._http, "parser"):
            self._http.parser = None
        self._http = None

    async def _receive(self) -> Any:
        return await self._leave_to_uvicorn().receive()

    async def _send(self, message: Any) -> None:
        await self._leave_to_uvicorn().send(message)

    def _leave_to_uvicorn(self) -> _OrdinaryProtocol:
        """The application answers by itself: from now on this is a connection like any other under uvicorn."""
        if self._ordinary is None:
            if self._answered or self._transport.is_closing():
                raise ClientDisconnected
            self._answered = True
            self._connections.discard(self)
            self._ordinary = _OrdinaryProtocol(self._config, self._state, self._app_state)
            self._ordinary.connection_made(self._transport)
            self._ordinary.data_received(self._head)
            self._transport.set_protocol(self._ordinary)
            if self._early and not self._ordinary.refused:
                self._ordinary.data_received(bytes(self._early))
        if self._ordinary.refused:
            # It is no request to upgrade that uvicorn accepts, and it has said so.
            raise ClientDisconnected
        return self._ordinary

    # What an endpoint calls

    async def accept(self, accepted: Accepted, driver: Driver[BaseSocket]) -> None:
        """Give the socket to the endpoint; nothing when the client has gone already."""
        options = accepted.match.mount.websocket
        if self._answered or options is None or self._transport.is_closing():
            return
        received = dict(self._scope["headers"])
        deflate = None
        if options.compress:
            offers = [value.decode("latin-1") for name, value in self._scope["headers"] if name == _EXTENSIONS]
            deflate = negotiate(offers)
        digest = hashlib.sha1(received[b"sec-websocket-key"] + _GUID, usedforsecurity=False).digest()
        headers = [
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-accept", base64.b64encode(digest)),
        ]
        if accepted.subprotocol is not None:
            headers.append((b"sec-websocket-protocol", accepted.subprotocol.encode("latin-1")))
        if deflate is not None:
            headers.append((_EXTENSIONS, deflate.response.encode("ascii")))
        response = self._answer(101, headers, outcome="[accepted]")
        self._connections.discard(self)
        lane = FastLane(
            driver,
            self._transport,
            response,
            self._connections,
            max_frame_size=options.max_frame_size,
            deflate=deflate,
        )
        driver.hub.logger.on_fast_lane(type(driver.socket))
        if self._early:
            lane.data_received(bytes(self._early))
        await lane.start()

    def refuse(self, response: Response) -> None:
        """Answer for the endpoint, and end the connection."""
        if self._answered or self._transport.is_closing():
            return
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        headers += [(b"content-length", str(len(response.body)).encode("ascii")), (b"connection", b"close")]
        self._transport.write(self._answer(response.status, headers, response.body))
        self._transport.close()

    def _answer(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"", *, outcome: str | None = None
    ) -> bytes:
        self._answered = True
        phrase = _PHRASES.get(status, "Refused")
        lines = [f"HTTP/1.1 {status} {phrase}".encode("ascii")]
        lines += [name + b": " + value for name, value in (*self._state.default_headers, *headers)]
        if _logger.isEnabledFor(logging.INFO):
            # As uvicorn says it.
            client, target = get_client_addr(self._scope), get_path_with_query_string(self._scope)
            _logger.info('%s - "WebSocket %s" %s', client, target, outcome or status)
        return b"\r\n".join((*lines, b"", body))


class _OrdinaryProtocol(WebSocketsSansIOProtocol):
    """uvicorn's own protocol, for an application that is being asked already."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self._ended: asyncio.Future[object] = self.loop.create_future()

    @property
    def refused(self) -> bool:
        """Has the request been answered without asking the application?"""
        return self.close_sent and not hasattr(self, "scope")

    def application_ended(self, result: object, failure: BaseException | None) -> None:
        """What uvicorn would see if it had called the application."""
        if self._ended.done():
            return
        if failure is None:
            self._ended.set_result(result)
        else:
            self._ended.set_exception(failure)

    async def run_asgi(self) -> None:
        async def application(*_: object) -> object:
            return await self._ended

        self.app = application
        await super().run_asgi()
