"""From a request to an accepted socket or a refusal, the same for every server (P-007 to P-010)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, final

import anyio
from msgspec import Struct

from phoenix_channels import telemetry
from phoenix_channels.protocol.params import MAX_QUERY_BYTES, decode_params
from phoenix_channels.protocol.serializers import SERIALIZERS, Serializer
from phoenix_channels.protocol.versions import DEFAULT_VSN
from phoenix_channels.results import ConnectRefused, sole
from phoenix_channels.runtime.driver import Driver
from phoenix_channels.runtime.tasks import is_cancellation
from phoenix_channels.socket import ConnectInfo, Socket
from phoenix_channels.transports.mounts import Mount
from phoenix_channels.transports.origin import origin_allowed

if TYPE_CHECKING:
    from phoenix_channels.endpoint import Endpoint

_logger = logging.getLogger("phoenix_channels")

CLOSE_TIMEOUT = 10.0
"""Seconds that a client, or a server, may take to finish a close that we have asked for."""


@final
class Request:
    """What a transport knows of the request that wants to become a connection."""

    __slots__ = ("_headers", "path", "peer", "query", "scheme")

    def __init__(
        self,
        *,
        scheme: str,
        path: str,
        query: bytes,
        headers: Iterable[tuple[str, str]],
        peer: tuple[str, int] | None,
    ) -> None:
        self.scheme = scheme
        self.path = path
        self.query = query
        self.peer = peer
        self._headers = [(name.lower(), value) for name, value in headers]

    def header(self, name: str) -> str | None:
        """The first header of this lower-case name."""
        return next((value for key, value in self._headers if key == name), None)

    def headers(self, name: str) -> list[str]:
        """All headers of this lower-case name."""
        return [value for key, value in self._headers if key == name]

    @property
    def uri(self) -> str:
        query = f"?{self.query.decode('latin-1')}" if self.query else ""
        return f"{self.scheme}://{self.header('host') or ''}{self.path}{query}"


@final
class Refusal(Struct, frozen=True):
    """An HTTP response instead of a connection."""

    status: int
    body: bytes = b""
    content_type: str | None = None

    @classmethod
    def error(cls, status: int, detail: str) -> Refusal:
        """An error page in the form of a Phoenix application's."""
        return cls(status, b'{"errors":{"detail":"%s"}}' % detail.encode(), "application/json; charset=utf-8")


NOT_FOUND = Refusal(404, b"Not Found")
FORBIDDEN = Refusal(403)
BAD_METHOD = Refusal(400)
"""P-008"""


@final
class Accepted(Struct, frozen=True):
    """A socket that wants the connection."""

    mount: Mount
    socket: Socket
    serializer: Serializer
    socket_id: str | None


async def handshake(endpoint: Endpoint, mount: Mount, request: Request) -> Accepted | Refusal:
    """Decide about a request, in the order of P-007; user code runs last."""
    if endpoint.hub.current_lane().draining:
        return Refusal(503)
    if len(request.query) > MAX_QUERY_BYTES:
        return Refusal.error(414, "Request-URI Too Long")
    try:
        params = decode_params(request.query)
    except UnicodeDecodeError:
        return Refusal.error(400, "Bad Request")
    if mount.check_origin and not origin_allowed(
        request.header("origin"), host=endpoint.host, request_host=request.header("host")
    ):
        return FORBIDDEN
    vsn = params.get("vsn", DEFAULT_VSN)
    serializer = SERIALIZERS.negotiate(vsn)
    if serializer is None:
        _logger.warning(
            "%s: no serializer for vsn %.100r; there are %s",
            mount.socket_class.__qualname__,
            vsn,
            ", ".join(SERIALIZERS.requirements),
        )
        return FORBIDDEN
    info = ConnectInfo(
        transport="websocket", uri=request.uri, peer=request.peer, user_agent=request.header("user-agent")
    )
    tell = partial(
        _tell, mount.socket_class, serializer, info, time.perf_counter(), endpoint=endpoint, params=params, vsn=vsn
    )
    try:
        with anyio.fail_after(mount.socket_class.connect_timeout) as scope:
            socket = mount.socket_class()
            socket.endpoint = endpoint
            socket.transport = "websocket"
            result = socket.connect(params, info)
            if result is not None and hasattr(result, "__await__"):
                result = await result  # type: ignore[func-returns-value]
        if scope.cancel_called:
            # Code that shields itself from cancellation comes late all the same.
            raise TimeoutError
        socket_id = socket.id()
    except BaseException as raised:
        error = sole(raised)
        if isinstance(error, ConnectRefused):
            _logger.info("%s refused a connection: %.200r", mount.socket_class.__qualname__, error.reason)
            tell(result="error")
            return FORBIDDEN
        if is_cancellation(raised):
            raise
        _logger.exception("%s: connect or id failed", mount.socket_class.__qualname__)
        return Refusal.error(500, "Internal Server Error")
    tell(result="ok")
    if result is not None:
        _logger.error(
            "%s.connect returned %.200r; legal is None, and to refuse: raise ConnectRefused",
            mount.socket_class.__qualname__,
            result,
        )
        return FORBIDDEN
    if socket_id is not None and not isinstance(socket_id, str):
        _logger.warning("%s.id returned %r; legal are a string and None", mount.socket_class.__qualname__, socket_id)
        return FORBIDDEN
    return Accepted(mount, socket, serializer, socket_id)


def _tell(
    socket_class: type[Socket], serializer: Serializer, info: ConnectInfo, started: float, **more: object
) -> None:
    # P-027: for every attempt that got so far, also a refused one; not when connect raises.
    measurements = {"duration": time.perf_counter() - started}
    about = {"user_socket": socket_class, "serializer": type(serializer), "transport": info.transport}
    telemetry.execute(telemetry.SOCKET_CONNECTED, measurements, {**about, "connect_info": info, **more})


def make_driver(endpoint: Endpoint, accepted: Accepted) -> Driver:
    """The driver of an accepted connection, on the running loop."""
    mount = accepted.mount
    return Driver(
        endpoint.hub,
        endpoint.hub.current_lane(),
        accepted.socket,
        mount.routes,
        accepted.serializer,
        socket_id=accepted.socket_id,
        timeout=mount.timeout,
    )


def upgrade_error(request: Request) -> Refusal | None:
    """The answer to a request that is no valid WebSocket upgrade; names the header (P-009)."""
    for name, wanted in (("connection", "upgrade"), ("upgrade", "websocket")):
        values = request.headers(name)
        if not any(wanted == token.strip().lower() for value in values for token in value.split(",")):
            return _bad_header(f"'{name}' header must contain '{wanted}'", values)
    if request.header("host") is None:
        return Refusal(400, b"'host' header is absent")
    values = request.headers("sec-websocket-version")
    if values != ["13"]:
        return _bad_header("'sec-websocket-version' header must equal '13'", values)
    if request.header("sec-websocket-key") is None:
        return Refusal(400, b"'sec-websocket-key' header is absent")
    return None


def _bad_header(what: str, values: list[str]) -> Refusal:
    found = ", ".join(f'"{value}"' for value in values)
    return Refusal(400, f"{what}, got [{found}]".encode())
