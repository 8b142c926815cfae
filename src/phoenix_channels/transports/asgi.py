"""The ASGI binding: any ASGI server.

One WebSocket costs the server's own task, which waits here for messages; what is sent is sent by the writers of the
lane, one for many connections, and only while something waits.  A send is always awaited: some servers reorder those
that are not.  A server that offers to let an endpoint have the socket is spared all that.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias
from urllib.parse import unquote

import anyio
from anyio.lowlevel import checkpoint

from phoenix_channels.protocol.messages import Frame, Opcode
from phoenix_channels.runtime.driver import Driver
from phoenix_channels.runtime.outbox import Outbox
from phoenix_channels.socket import BaseSocket
from phoenix_channels.transports import longpoll
from phoenix_channels.transports.handshake import (
    CLOSE_TIMEOUT,
    READ_BATCH,
    READ_BATCH_BYTES,
    Accepted,
    handshake,
    host_error,
    log_transport,
    make_driver,
    upgrade_error,
    websocket_terms,
)
from phoenix_channels.transports.http import BAD_BODY, FORBIDDEN, NOT_FOUND, UNAVAILABLE, Request, Response
from phoenix_channels.transports.mounts import Match, segments

if TYPE_CHECKING:
    from phoenix_channels.endpoint import Endpoint

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class TakeOver(Protocol):
    """What a server offers that lets an endpoint have the socket of a WebSocket that wants to be opened."""

    async def accept(self, accepted: Accepted, driver: Driver[BaseSocket]) -> None:
        """Answer with 101, and serve the connection beside the server; nothing when the client has gone already."""
        ...

    def refuse(self, response: Response) -> None:
        """Answer with another response."""
        ...


TAKE_OVER: Final = "phoenix_channels.take_over"
"""The name of that extension in the scope."""
_HELD_CLOSE = 0.05
"""Seconds after which a server is taken to hold a close back until nobody reads."""

_NO_UPGRADE = Response(400, b"this server was started without support for WebSocket upgrades")


async def asgi(endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one ASGI scope."""
    match scope["type"]:
        case "websocket":
            await _websocket(endpoint, scope, receive, send)
        case "http":
            await _http(endpoint, scope, receive, send)
        case "lifespan":
            await _lifespan(endpoint, receive, send)
        case other:
            raise NotImplementedError(f"no ASGI scope of type {other!r} here; there are websocket, http and lifespan")


def _match(endpoint: Endpoint, scope: Scope) -> Match | None:
    root = segments(scope.get("root_path", ""))
    found = _below(root, segments(scope["path"]))
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        return endpoint.mounts.match(found)
    # Phoenix compares segments as they were sent: a percent-encoded letter is another path.
    all_sent = segments(raw.partition(b"?")[0].decode("latin-1"))
    sent = _below(root, all_sent)
    if found and segments(unquote("/".join(sent))) != found:
        # Somebody has taken a prefix away without saying so in the root path.
        sent = all_sent[-len(found) :]
    return endpoint.mounts.match(sent)


def _below(root: tuple[str, ...], path: tuple[str, ...]) -> tuple[str, ...]:
    """A path without the root that an application is mounted at; some servers leave it out by themselves."""
    return path[len(root) :] if tuple(map(unquote, path[: len(root)])) == root else path


def _request(scope: Scope) -> Request:
    client = scope.get("client")
    raw: bytes | None = scope.get("raw_path")
    return Request(
        method=scope.get("method", "GET"),
        scheme="https" if scope.get("scheme") in ("wss", "https") else "http",
        path=scope["path"] if raw is None else raw.partition(b"?")[0].decode("latin-1"),
        query=scope.get("query_string", b""),
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        # Some servers have the port as a string.
        peer=(client[0], int(client[1] or 0)) if client else None,
        ssl_cert=_client_certificate(scope),
    )


def _client_certificate(scope: Scope) -> bytes | None:
    # The TLS extension of ASGI: a chain in PEM, the client's own certificate first.
    extensions: dict[str, Any] = scope.get("extensions") or {}
    tls: dict[str, Any] = extensions.get("tls") or {}
    chain: Sequence[str] = tls.get("client_cert_chain") or ()
    return ssl.PEM_cert_to_DER_cert(chain[0]) if chain else None


async def _http(endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
    match = _match(endpoint, scope)
    request = _request(scope)
    if match is None:
        if scope["path"].rstrip("/").endswith(("/websocket", "/longpoll")):
            endpoint.mounts.log_miss(scope["path"])
        answer = NOT_FOUND
    elif match.transport == "longpoll":
        body = _Body(receive)
        answer = await longpoll.respond(endpoint, match, request, body.read, body.wait_disconnected)
    else:
        # P-009: what connect says comes before what is wrong with the request.
        result = await handshake(endpoint, match, request)
        answer = result if isinstance(result, Response) else _upgrade_error(scope, request) or _NO_UPGRADE
    if match is not None:
        log_transport(match, request, answer.status)
    await _respond(answer, send, "http.response")


def _upgrade_error(scope: Scope, request: Request) -> Response | None:
    return upgrade_error(request, scope.get("http_version", "1.1"))


class _Body:
    """What a client still sends after the head of its request."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def read(self, most: int, take: Callable[[int], bool]) -> bytes | Response:
        """The whole body; a response when it is longer, when there is no room for it, or when the client has gone."""
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return BAD_BODY
            chunk: bytes = message.get("body", b"")
            if len(body) + len(chunk) > most:
                return BAD_BODY
            if not take(len(chunk)):
                return UNAVAILABLE
            body += chunk
            if not message.get("more_body", False):
                return bytes(body)

    async def wait_disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _respond(answer: Response, send: Send, prefix: str) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": f"{prefix}.start", "status": answer.status, "headers": headers})
    await send({"type": f"{prefix}.body", "body": answer.body})


async def _websocket(endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
    match, request = _match(endpoint, scope), _request(scope)
    extensions: dict[str, Any] = scope.get("extensions") or {}
    take_over: TakeOver | None = extensions.get(TAKE_OVER)
    if match is None or match.transport != "websocket":
        endpoint.mounts.log_miss(scope["path"])
        result: Accepted | Response = NOT_FOUND
    else:
        result = await handshake(endpoint, match, request)
        if isinstance(result, Accepted):
            # P-009: what connect says comes before what is wrong with the request.  Unless it leaves the socket to us,
            # a server has seen to whatever else makes a request one to upgrade.
            result = (host_error(request) if take_over is None else _upgrade_error(scope, request)) or result
        log_transport(match, request, result.status if isinstance(result, Response) else 101)
    if take_over is not None:
        await _take_over(endpoint, take_over, result)
        return
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    if isinstance(result, Accepted):
        await send({"type": "websocket.accept", "subprotocol": result.subprotocol})
        await _serve(make_driver(endpoint, result, websocket_terms(result.match)), receive, send)
    elif result == FORBIDDEN or "websocket.http.response" not in extensions:
        # A bare 403 is what a close before the accept means; without the denial extension nothing else is possible
        # (P-012).
        await send({"type": "websocket.close"})
    else:
        await _respond(result, send, "websocket.http.response")


async def _take_over(endpoint: Endpoint, server: TakeOver, result: Accepted | Response) -> None:
    if isinstance(result, Response):
        server.refuse(result)
    else:
        terms = websocket_terms(result.match, sees_frames=True)
        await server.accept(result, make_driver(endpoint, result, terms))


async def _serve(driver: Driver[BaseSocket], receive: Receive, send: Send) -> None:
    reading = anyio.CancelScope()
    closed = anyio.Event()

    def send_frame(frame: Frame) -> Awaitable[None]:
        if frame.opcode is Opcode.TEXT:
            return send({"type": "websocket.send", "text": frame.text})
        return send({"type": "websocket.send", "bytes": frame.data})

    async def send_close(code: int) -> None:
        # granian closes only when no receive() is under way: a close that does not go out soon ends the reading.
        reading.deadline = driver.lane.loop.now() + _HELD_CLOSE
        try:
            await send({"type": "websocket.close", "code": code})
        except Exception:
            # daphne takes only 1000, on which clients stay away (P-145), and what is for private use.
            await send({"type": "websocket.close", "code": 3000 + code if code < 3000 else code})
        finally:
            closed.set()
            give_up_reading_soon()

    def give_up_reading_soon() -> None:
        # Not anyio.current_time(): a broadcast can close a slow client from a callback of the loop, outside any task.
        reading.deadline = driver.lane.loop.now() + CLOSE_TIMEOUT

    outbox = Outbox(driver, send_frame, send_close)
    driver.on_close = give_up_reading_soon
    try:
        await driver.start(outbox)
        with reading:
            await _read(driver, receive)
        if reading.cancelled_caught:
            with anyio.move_on_after(CLOSE_TIMEOUT):
                await closed.wait()
    finally:
        outbox.abandon()
        driver.connection_lost()
        await driver.wait_ended()


async def _read(driver: Driver[BaseSocket], receive: Receive) -> None:
    number = size = 0
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        text: str | None = message.get("text")
        data: str | bytes = (message.get("bytes") or b"") if text is None else text
        number, size = number + 1, size + len(data)
        if number >= READ_BATCH or size >= READ_BATCH_BYTES:
            number = size = 0
            await checkpoint()
        driver.heard()
        driver.receive(data, Opcode.BINARY if text is None else Opcode.TEXT)
        if driver.reading_paused:
            await driver.wait_readable()


async def _lifespan(endpoint: Endpoint, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "lifespan.startup":
        pass
    async with endpoint.lifespan():
        await send({"type": "lifespan.startup.complete"})
        while (await receive())["type"] != "lifespan.shutdown":
            pass
    await send({"type": "lifespan.shutdown.complete"})
