"""The options of a mount, and of each of its transports (P-005)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias, TypedDict, final

from phoenix_channels.connect_info import ConnectInfoName
from phoenix_channels.definitions import Options, check_bool, check_count, check_seconds
from phoenix_channels.protocol.serializers import Serializer
from phoenix_channels.runtime.drain import DrainerOption
from phoenix_channels.transports.callables import check_callable
from phoenix_channels.transports.connect_info import SessionOptions
from phoenix_channels.transports.http import Request, Response
from phoenix_channels.transports.origin import CheckOrigin
from phoenix_channels.transports.subprotocols import check_subprotocols

ErrorHandler: TypeAlias = Callable[[Request, object], Response]
"""Called with the request and the reason of a ``ConnectRefused``; the response for the client (P-010)."""


@final
class WebSocketOptions(Options, frozen=True, kw_only=True):
    """The options of ``endpoint.socket(..., websocket=WebSocketOptions(...))``."""

    path: str = "/websocket"
    """Where the WebSocket answers, below the mount's path.  phoenix.js adds the default by itself (P-001, P-138)."""
    timeout: float | None = 60.0
    """Seconds without a sign of life after which a client is closed with 1002; None for never (P-081)."""
    max_frame_size: int = 10_000_000
    """The largest frame that is accepted, in bytes; a larger one closes with 1009 (P-083).

    A server that hands over whole messages only is judged by the message.
    """
    compress: bool = False
    """Accept permessage-deflate when a client offers it (P-085).

    Under ASGI this is the server's to decide, except on the fast lane.
    """
    subprotocols: Sequence[str] = ()
    """Legal values of ``Sec-WebSocket-Protocol``, the preferred one first; empty to ignore the header (P-017)."""
    error_handler: ErrorHandler | None = None
    """Makes the response for a ``ConnectRefused`` with a reason; without it, 403 (P-010).

    Under ASGI another status than 403 needs a server with the ``websocket.http.response`` extension (P-012).
    """
    check_origin: CheckOrigin | None = None
    """Overrides the mount's for this transport."""

    def __post_init__(self) -> None:
        if self.timeout is not None:
            check_seconds("WebSocketOptions(timeout=...)", self.timeout)
        check_count("WebSocketOptions(max_frame_size=...)", self.max_frame_size)
        check_bool("WebSocketOptions(compress=...)", self.compress)
        check_subprotocols("WebSocketOptions(subprotocols=...)", self.subprotocols)
        if self.error_handler is not None:
            check_callable("WebSocketOptions(error_handler=...)", self.error_handler, "request", "reason")


@final
class LongPollOptions(Options, frozen=True, kw_only=True):
    """The options of ``endpoint.socket(..., longpoll=LongPollOptions(...))``."""

    path: str = "/longpoll"
    """Where long polling answers, below the mount's path (P-001)."""
    window: float = 10.0
    """Seconds that a poll waits for messages (P-096); without one for one and a half, its session ends (P-102)."""
    pubsub_timeout: float = 2.0
    """Seconds in which the node that has a session must answer for it (P-103, P-109)."""
    max_age: float = 1_209_600.0
    """Seconds for which the token of a session is valid (P-108)."""
    check_origin: CheckOrigin | None = None
    """Overrides the mount's for this transport."""

    def __post_init__(self) -> None:
        for name in ("window", "pubsub_timeout", "max_age"):
            check_seconds(f"LongPollOptions({name}=...)", getattr(self, name))


class MountOptions(TypedDict, total=False):
    """The options of ``endpoint.socket(path, SocketClass, ...)``."""

    websocket: bool | WebSocketOptions
    """Answer to WebSockets; True by default (P-001)."""
    longpoll: bool | LongPollOptions
    """Answer to long polling; False by default (P-001)."""
    check_origin: CheckOrigin | None
    """Which pages may connect (P-014); None, the default, for what the endpoint says."""
    check_csrf: bool
    """Give the session only to requests with a valid ``_csrf_token`` param; True by default (P-023)."""
    connect_info: Sequence[ConnectInfoName]
    """What ``connect`` may see of the request (P-022): peer_data, uri, user_agent, x_headers, trace_context_headers,
    sec_websocket_headers, session; nothing by default."""
    session: SessionOptions
    """How ``session`` is loaded (P-023)."""
    extra: Mapping[str, object]
    """Copied to ``info.extra`` as it is (P-022)."""
    serializers: Sequence[tuple[Serializer, str]]
    """The versions of the protocol that are spoken, each with its requirement on ``vsn`` (P-028, P-029)."""
    auth_token: bool
    """Take a token from ``Sec-WebSocket-Protocol`` or ``X-Phoenix-AuthToken`` to ``info.auth_token`` (P-018)."""
    drainer: DrainerOption
    """How connections are drained; ``Drainer()`` by default (P-088)."""
    transport_log: int | Literal[False]
    """The level at which each request and its response are logged; False, the default, for not at all (P-086)."""
