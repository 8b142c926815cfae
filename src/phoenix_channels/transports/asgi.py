"""The ASGI binding: any ASGI server that speaks WebSocket.

One connection costs the server's own task, which waits here for messages, and a writer only while something is queued
for the client.  A send is always awaited: some servers reorder those that are not.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from phoenix_channels.protocol.messages import Frame, Opcode
from phoenix_channels.runtime.driver import Driver
from phoenix_channels.runtime.outbox import Outbox
from phoenix_channels.transports.handshake import (
    BAD_METHOD,
    CLOSE_TIMEOUT,
    FORBIDDEN,
    NOT_FOUND,
    Accepted,
    Refusal,
    Request,
    handshake,
    make_driver,
    upgrade_error,
)
from phoenix_channels.transports.mounts import Mount, segments

if TYPE_CHECKING:
    from phoenix_channels.endpoint import Endpoint

_logger = logging.getLogger("phoenix_channels")

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def asgi(endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one ASGI scope."""
    match scope["type"]:
        case "websocket":
            await _websocket(endpoint, scope, receive, send)
        case "http":
            await _http(endpoint, scope, send)
        case "lifespan":
            await _lifespan(endpoint, receive, send)
        case other:
            raise NotImplementedError(f"no ASGI scope of type {other!r} here; there are websocket, http and lifespan")


def _match(endpoint: Endpoint, scope: Scope) -> Mount | None:
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(root) and path[len(root) :][:1] in ("", "/"):
        path = path[len(root) :]
    found = segments(path)
    mount = endpoint.mounts.match(found)
    raw: bytes | None = scope.get("raw_path")
    if mount is not None and raw is not None:
        # Phoenix compares segments as they were sent: a percent-encoded letter is another path.
        sent = segments(raw.partition(b"?")[0].decode("latin-1"))
        if sent[-len(found) :] != found:
            return None
    return mount


def _request(scope: Scope) -> Request:
    client = scope.get("client")
    return Request(
        scheme="https" if scope.get("scheme") in ("wss", "https") else "http",
        path=scope["path"],
        query=scope.get("query_string", b""),
        headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        peer=(client[0], client[1]) if client else None,
    )


async def _http(endpoint: Endpoint, scope: Scope, send: Send) -> None:
    mount = _match(endpoint, scope)
    if mount is None:
        answer = NOT_FOUND
    elif scope["method"] != "GET":
        answer = BAD_METHOD
    else:
        # P-009: what connect says comes before what is wrong with the request.
        request = _request(scope)
        result = await handshake(endpoint, mount, request)
        answer = result if isinstance(result, Refusal) else upgrade_error(request) or _NO_UPGRADE
    await _respond(answer, send, "http.response")


_NO_UPGRADE = Refusal(400, b"this server was started without support for WebSocket upgrades")


async def _respond(answer: Refusal, send: Send, prefix: str) -> None:
    headers = [(b"content-length", str(len(answer.body)).encode())]
    if answer.content_type is not None:
        headers.append((b"content-type", answer.content_type.encode()))
    await send({"type": f"{prefix}.start", "status": answer.status, "headers": headers})
    await send({"type": f"{prefix}.body", "body": answer.body})


async def _websocket(endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
    mount = _match(endpoint, scope)
    if mount is None:
        endpoint.mounts.log_miss(scope["path"])
    result = NOT_FOUND if mount is None else await handshake(endpoint, mount, _request(scope))
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    if isinstance(result, Accepted):
        await send({"type": "websocket.accept"})
        await _serve(make_driver(endpoint, result), receive, send)
    elif result == FORBIDDEN or "websocket.http.response" not in (scope.get("extensions") or {}):
        # A bare 403 is what a close before the accept means; without the denial extension nothing else is possible
        # (P-012).
        await send({"type": "websocket.close"})
    else:
        await _respond(result, send, "websocket.http.response")


async def _serve(driver: Driver, receive: Receive, send: Send) -> None:
    reading = anyio.CancelScope()

    async def send_frame(frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT:
            await send({"type": "websocket.send", "text": frame.text})
        else:
            await send({"type": "websocket.send", "bytes": frame.data})

    async def send_close(code: int) -> None:
        await send({"type": "websocket.close", "code": code})

    def give_up_reading_soon() -> None:
        # Not anyio.current_time(): a broadcast can close a slow client from a callback of the loop, outside any task.
        reading.deadline = driver.lane.loop.now() + CLOSE_TIMEOUT

    outbox = Outbox(driver, send_frame, send_close)
    driver.on_close = give_up_reading_soon
    try:
        await driver.start(outbox)
        with reading:
            await _read(driver, receive)
    finally:
        outbox.abandon()
        await driver.finish()


async def _read(driver: Driver, receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if text is not None:
            driver.receive(text, Opcode.TEXT)
        else:
            driver.receive(message.get("bytes") or b"", Opcode.BINARY)
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
