"""From a request to an accepted socket or a refusal, the same for every server and transport (P-007 to P-010)."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar, final

import anyio
from msgspec import Struct

from phoenix_channels import telemetry
from phoenix_channels.connect_info import ConnectInfo
from phoenix_channels.logger import Result
from phoenix_channels.protocol.params import Params, QueryTooLong, decode_params
from phoenix_channels.protocol.serializers import Serializer, TextSerializer
from phoenix_channels.protocol.versions import DEFAULT_VSN
from phoenix_channels.raw_socket import RawSocket
from phoenix_channels.results import ConnectRefused, sole
from phoenix_channels.runtime.channels_driver import ChannelsDriver
from phoenix_channels.runtime.driver import Driver, Terms
from phoenix_channels.runtime.raw_driver import RawDriver
from phoenix_channels.runtime.tasks import is_cancellation
from phoenix_channels.socket import BaseSocket, Socket
from phoenix_channels.transports.http import BAD_METHOD, FORBIDDEN, UNAVAILABLE, Request, Response
from phoenix_channels.transports.mounts import Match
from phoenix_channels.transports.subprotocols import Negotiated, negotiate

if TYPE_CHECKING:
    from phoenix_channels.endpoint import Endpoint

_logger = logging.getLogger("phoenix_channels")

T = TypeVar("T")

READ_BATCH = 32
"""Messages of one client that may be taken in a row before others get their turn."""
READ_BATCH_BYTES = 64 * 1024
"""Likewise bytes of messages: as large as they may be, above all when they have come compressed."""
CLOSE_TIMEOUT = 10.0
"""Seconds that a client, or a server, may take to finish a close that we have asked for."""


@final
class Accepted(Struct, frozen=True):
    """A socket that wants the connection."""

    match: Match
    socket: BaseSocket
    serializer: Serializer | None
    """None for a raw socket, which has no versions."""
    socket_id: str | None
    subprotocol: str | None
    """What the response says about ``Sec-WebSocket-Protocol``."""


async def handshake(endpoint: Endpoint, match: Match, request: Request) -> Accepted | Response:
    """Decide about a WebSocket, in the order of P-007; user code runs last."""
    if request.method != "GET":
        return BAD_METHOD
    params = read_params(match, request)
    if isinstance(params, Response):
        return params
    if not origin_allowed(endpoint, match, request):
        return FORBIDDEN
    mount = match.mount
    negotiated = negotiate(
        request.headers("sec-websocket-protocol"),
        () if mount.websocket is None else mount.websocket.subprotocols,
        auth_token=mount.auth_token,
    )
    if negotiated is None:
        return FORBIDDEN
    result = await connect(endpoint, match, request, params, negotiated)
    if isinstance(result, Response) and result.status != 500 and negotiated.subprotocol is not None:
        # The header is settled before connect is asked, as in Phoenix.
        return result.with_header("sec-websocket-protocol", negotiated.subprotocol)
    return result


def read_params(match: Match, request: Request) -> Params | Response:
    """The params of ``connect``: the query string, and over it the variables of the path (P-003, P-006)."""
    try:
        return decode_params(request.query) | match.params
    except QueryTooLong:
        return Response.error(414, "Request-URI Too Long")
    except UnicodeDecodeError:
        return Response.error(400, "Bad Request")


def origin_allowed(endpoint: Endpoint, match: Match, request: Request) -> bool:
    return match.mount.origin_policy(match.transport).allows(request, host=endpoint.host)


async def connect(
    endpoint: Endpoint, match: Match, request: Request, params: Params, negotiated: Negotiated
) -> Accepted | Response:
    """Ask the socket, once the request itself is in order."""
    if endpoint.hub.current_lane().draining:
        return UNAVAILABLE
    asked = _Asked(endpoint, match, request, params, time.perf_counter())
    socket_class = match.mount.socket_class
    try:
        info, time_left = await _connect_info(match, request, params, negotiated)
        asked.serializer = _negotiate_version(match, params)
        if asked.serializer is None and issubclass(socket_class, Socket):
            return FORBIDDEN
        socket = bind_socket(endpoint, match, asked.serializer, negotiated.subprotocol)
        try:
            result: Any = socket.connect(params, info)
            if hasattr(result, "__await__"):
                result, _ = await _in_time(result, time_left)
        except BaseException as raised:
            refused = sole(raised)
            if not isinstance(refused, ConnectRefused):
                raise
            return asked.refuse(refused, info)
        socket_id: Any = socket.id()
    except BaseException as raised:
        # User code that raises GeneratorExit by hand fails like any other; a coroutine that is closed may return.
        if is_cancellation(raised) and not isinstance(raised, GeneratorExit):
            raise
        asked.crashed(raised)
        return Response.error(500, "Internal Server Error")
    if result is not None:
        asked.tell("error", info)
        _logger.error(
            "%s.connect returned %.200r; legal is None, and to refuse: raise ConnectRefused",
            socket_class.__qualname__,
            result,
        )
        return FORBIDDEN
    if socket_id is not None and not isinstance(socket_id, str):
        if inspect.iscoroutine(socket_id):
            socket_id.close()
        asked.tell("error", info)
        _logger.warning("%s.id returned %r; legal are a string and None", socket_class.__qualname__, socket_id)
        return FORBIDDEN
    asked.tell("ok", info)
    return Accepted(match, socket, asked.serializer, socket_id, negotiated.subprotocol)


def bind_socket(endpoint: Endpoint, match: Match, serializer: Serializer | None, subprotocol: str | None) -> BaseSocket:
    """A new socket of the mount, with all that it has before ``connect``."""
    socket = match.mount.socket_class()
    socket.endpoint = endpoint
    socket.transport = match.transport
    socket.subprotocol = subprotocol
    if isinstance(socket, Socket) and serializer is not None:
        socket.serializer = spoken(serializer)
    return socket


async def _connect_info(
    match: Match, request: Request, params: Params, negotiated: Negotiated
) -> tuple[ConnectInfo, float]:
    """What ``connect`` gets, and the seconds that are left to it."""
    info = match.mount.connect_info.build(request, params, negotiated.auth_token)
    seconds = match.mount.socket_class.connect_timeout
    return (info, seconds) if isinstance(info, ConnectInfo) else await _in_time(info, seconds)


async def _in_time(awaitable: Awaitable[T], seconds: float) -> tuple[T, float]:
    """What it comes to, and the seconds that are left then.

    Raises:
        TimeoutError: it took longer; also code that shields itself from cancellation, and comes late all the same.
    """
    with anyio.CancelScope(deadline=anyio.current_time() + seconds) as scope:
        result = await awaitable
        if not scope.cancel_called:
            return result, scope.deadline - anyio.current_time()
    raise TimeoutError


def _negotiate_version(match: Match, params: Params) -> Serializer | None:
    """The serializer that the client asks for (P-028); None when there is none, and for a raw socket."""
    mount, vsn = match.mount, params.get("vsn", DEFAULT_VSN)
    if not issubclass(mount.socket_class, Socket):
        return None
    versions = mount.text_serializers if match.transport == "longpoll" else mount.serializers
    serializer = versions.negotiate(vsn)
    if serializer is None:
        _logger.warning(
            "%s: no serializer for vsn %.100r; there are %s",
            mount.socket_class.__qualname__,
            vsn,
            ", ".join(versions.requirements),
        )
    return serializer


def spoken(serializer: Serializer) -> Serializer:
    """What the client speaks, whatever its transport can carry of it."""
    return serializer.inner if isinstance(serializer, TextSerializer) else serializer


@final
class _Asked(Struct):
    """A request that got as far as ``connect``."""

    endpoint: Endpoint
    match: Match
    request: Request
    params: Params
    started: float
    serializer: Serializer | None = None

    def refuse(self, refused: ConnectRefused, info: ConnectInfo) -> Response:
        """The response to a request that ``connect`` has refused (P-010)."""
        mount = self.match.mount
        _logger.debug("%s refused a connection: %.200r", mount.socket_class.__qualname__, refused.reason)
        self.tell("error", info, refused)
        handler = None if mount.websocket is None else mount.websocket.error_handler
        # P-095: over long polling nobody sees what it makes of the reason.
        if refused.reason is None or handler is None or self.match.transport != "websocket":
            return FORBIDDEN
        response: Any = handler(self.request, refused.reason)
        if not isinstance(response, Response):
            if inspect.iscoroutine(response):
                response.close()
            raise TypeError(f"the error_handler returned {response!r:.200}; legal is a Response(status, ...)")
        return response

    def crashed(self, error: BaseException) -> None:
        """Log what user code has raised, and tell telemetry: P-027 has no event for it."""
        socket_class = self.match.mount.socket_class
        _logger.error("%s: connect or id failed", socket_class.__qualname__, exc_info=error)
        metadata = {
            "endpoint": self.endpoint,
            "socket": socket_class,
            "transport": self.match.transport,
            "error": error,
        }
        telemetry.execute(telemetry.CONNECT_CRASHED, {}, metadata)

    def tell(self, result: Result, info: ConnectInfo, refused: ConnectRefused | None = None) -> None:
        # P-027: for every attempt that got so far, also a refused one; not when connect raises.
        serializer = None if self.serializer is None else spoken(self.serializer)
        self.endpoint.hub.logger.socket_connected(
            self.match.mount.socket_class,
            endpoint=self.endpoint,
            duration=time.perf_counter() - self.started,
            result=result,
            transport=self.match.transport,
            serializer=None if serializer is None else type(serializer),
            vsn=self.params.get("vsn", DEFAULT_VSN),
            params=self.params,
            connect_info=info,
            refused=refused,
        )


def make_driver(endpoint: Endpoint, accepted: Accepted, terms: Terms) -> Driver[BaseSocket]:
    """The driver of an accepted connection, on the running loop."""
    socket, hub = accepted.socket, endpoint.hub
    if isinstance(socket, RawSocket):
        return RawDriver(hub, hub.current_lane(), socket, socket_id=accepted.socket_id, terms=terms)
    if not isinstance(socket, Socket) or accepted.serializer is None:
        raise TypeError(f"a socket is a Socket or a RawSocket, not {socket!r}")
    return ChannelsDriver(
        hub,
        hub.current_lane(),
        socket,
        accepted.match.mount.routes,
        accepted.serializer,
        socket_id=accepted.socket_id,
        terms=terms,
    )


def websocket_terms(match: Match, *, sees_frames: bool = False) -> Terms:
    """What holds for a WebSocket; one whose transport sees frames judges their size there (P-083)."""
    options = match.mount.websocket
    if options is None:
        raise TypeError("this mount has no WebSocket")
    most = None if sees_frames else options.max_frame_size
    return Terms(timeout=options.timeout, max_frame_size=most, drainer=match.mount.drainer)


def upgrade_error(request: Request, http_version: str = "1.1") -> Response | None:
    """The answer to a request that is no valid WebSocket upgrade; names the header (P-009)."""
    if http_version == "1.0":
        return Response(400, b"HTTP version HTTP/1.0 unsupported")
    for name, wanted in (("connection", "upgrade"), ("upgrade", "websocket")):
        values = request.headers(name)
        if not any(wanted == token.strip().lower() for value in values for token in value.split(",")):
            return _bad_header(f"'{name}' header must contain '{wanted}'", values)
    if (error := host_error(request)) is not None:
        return error
    values = request.headers("sec-websocket-version")
    if values != ["13"]:
        return _bad_header("'sec-websocket-version' header must equal '13'", values)
    if request.header("sec-websocket-key") is None:
        return Response(400, b"'sec-websocket-key' header is absent")
    return None


def host_error(request: Request) -> Response | None:
    """The answer to a request without a host (P-009); some servers let it through."""
    return Response(400, b"'host' header is absent") if request.header("host") is None else None


def _bad_header(what: str, values: list[str]) -> Response:
    found = ", ".join(f'"{value}"' for value in values)
    return Response(400, f"{what}, got [{found}]".encode())


def log_transport(match: Match, request: Request, status: int) -> None:
    """Log a request and the status of its response, if the mount asks for it (P-086)."""
    level = match.mount.transport_log
    if level is not False:
        # Without the query: it has tokens.
        _logger.log(level, "%s %.200r -> %s", request.method, request.path, status)
