"""The long-poll binding: from HTTP requests to a session, wherever it lives (P-092 to P-110).

Every answer of the protocol is an HTTP 200 with the real status inside.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio

from phoenix_channels.protocol.longpoll import MAX_BODY_BYTES, BadBody, decode_body, encode_answer
from phoenix_channels.protocol.params import Params
from phoenix_channels.transports.handshake import connect, origin_allowed, read_params
from phoenix_channels.transports.http import BAD_BODY, BAD_METHOD, UNAVAILABLE, Request, Response
from phoenix_channels.transports.mounts import Match
from phoenix_channels.transports.relay import Polled
from phoenix_channels.transports.subprotocols import Negotiated

if TYPE_CHECKING:
    from phoenix_channels.endpoint import Endpoint

_logger = logging.getLogger("phoenix_channels")

ReadBody: TypeAlias = Callable[[int, Callable[[int], bool]], Awaitable[bytes | Response]]
"""Reads the whole body, at most so many bytes, and asks for room for each part of it."""
WaitDisconnected: TypeAlias = Callable[[], Awaitable[None]]
"""Returns when the client has gone."""


_ANY_ORIGIN: Final = ("access-control-allow-origin", "*")
_HEADERS: Final = (
    ("content-type", "application/json; charset=utf-8"),
    # P-092; the token and the messages are for one client.
    ("cache-control", "no-store"),
    _ANY_ORIGIN,
)


async def respond(
    endpoint: Endpoint, match: Match, request: Request, read_body: ReadBody, wait_disconnected: WaitDisconnected
) -> Response:
    """The response to any request at a long-poll path."""
    try:
        response = await _respond(endpoint, match, request, read_body, wait_disconnected)
    except Exception:
        # A backplane that fails, for one: every request has its answer.
        _logger.exception("a long-poll request failed")
        response = Response.error(500, "Internal Server Error")
    # P-092: on every response, also on those that no page expects.
    return response if _ANY_ORIGIN in response.headers else response.with_header(*_ANY_ORIGIN)


async def _respond(
    endpoint: Endpoint, match: Match, request: Request, read_body: ReadBody, wait_disconnected: WaitDisconnected
) -> Response:
    params = read_params(match, request)
    if isinstance(params, Response):
        return params
    if not origin_allowed(endpoint, match, request):
        # P-013
        return _answer(403)
    match request.method:
        case "GET":
            return await _get(endpoint, match, request, params, wait_disconnected)
        case "POST":
            return await _post(endpoint, match, request, params, read_body)
        case "OPTIONS":
            return _options(request)
        case _:
            return BAD_METHOD


def _answer(status: int, token: str | None = None, messages: Sequence[bytes] = ()) -> Response:
    return Response(200, encode_answer(status, token, messages), _HEADERS)


def _token(request: Request, params: Params) -> str | None:
    # P-094: the header wins; what is no string counts as absent.
    token = request.header("x-phoenix-longpoll-token") or params.get("token")
    return token if isinstance(token, str) else None


async def _get(
    endpoint: Endpoint, match: Match, request: Request, params: Params, wait_disconnected: WaitDisconnected
) -> Response:
    token = _token(request, params)
    session = endpoint.sessions.find(match.mount, token)
    if session is not None and token is not None:
        # What nobody reads: the client has gone while it waited.
        polled: Polled | None = Polled(204, ())
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                await wait_disconnected()
                group.cancel_scope.cancel()

            group.start_soon(watch)
            polled = await session.poll()
            group.cancel_scope.cancel()
        if polled is not None:
            return _answer(polled.status, token, polled.messages)
    return await _open(endpoint, match, request, params)


async def _open(endpoint: Endpoint, match: Match, request: Request, params: Params) -> Response:
    """Begin a session (P-095)."""
    with endpoint.sessions.making() as may_make:
        if not may_make:
            return UNAVAILABLE
        # P-021: read when the session is made, and never again.
        auth_token = request.header("x-phoenix-authtoken") if match.mount.auth_token else None
        result = await connect(endpoint, match, request, params, Negotiated(None, auth_token))
        if isinstance(result, Response):
            return _answer(403) if result.status == 403 else result
        return _answer(410, await endpoint.sessions.open(result), ())


async def _post(endpoint: Endpoint, match: Match, request: Request, params: Params, read_body: ReadBody) -> Response:
    session = endpoint.sessions.find(match.mount, _token(request, params))
    if session is None:
        return _answer(410)
    window = match.mount.longpoll.window if match.mount.longpoll is not None else 0
    with endpoint.sessions.reading() as take, session.posting() as may_post:
        if not may_post:
            return _answer(408)
        body: bytes | Response = _answer(408)
        # Whoever dribbles holds memory, and a place in the queue of the session.
        with anyio.move_on_after(window):
            body = await read_body(MAX_BODY_BYTES, take)
        if isinstance(body, Response):
            return body
        try:
            messages = decode_body(request.header("content-type"), body)
        except BadBody:
            return BAD_BODY
        return _answer(await session.post(messages))


def _options(request: Request) -> Response:
    # P-107
    asked = ", ".join(request.headers("access-control-request-headers"))
    return Response(
        200,
        headers=(
            _ANY_ORIGIN,
            ("access-control-allow-headers", asked),
            ("access-control-allow-methods", "get, post, options"),
            ("access-control-max-age", "3600"),
        ),
    )
