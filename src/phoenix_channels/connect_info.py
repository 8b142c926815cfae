"""What ``connect`` may know of the request besides its params (P-022)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, final

from msgspec import Struct

ConnectInfoName: TypeAlias = Literal[
    "peer_data", "uri", "user_agent", "x_headers", "trace_context_headers", "sec_websocket_headers", "session"
]
"""What the option ``connect_info`` of a mount may list."""

Headers: TypeAlias = list[tuple[str, str]]
"""(name, value) pairs in the order of the request; the names are in lower case."""


@final
class PeerData(Struct, frozen=True):
    """The TCP peer: the client, or the last proxy before this server.

    ``address`` and ``port`` are None where the server does not know them (a Unix socket); ``ssl_cert`` is the client's
    certificate in DER form, None without client TLS and where the server keeps it to itself.
    """

    address: str | None
    port: int | None
    ssl_cert: bytes | None = None


@final
class URI(Struct, frozen=True):
    """The URI of the request, as the server that got it sees it; a proxy in front may have been asked for another.

    ``scheme`` is ``http`` or ``https``, also for a WebSocket.  ``host`` is in lower case, and empty when the request
    names none.  ``path`` and ``query`` are as they were sent; a request without a query has an empty one.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str


class _Listed(TypedDict, total=False):
    peer_data: PeerData
    uri: URI
    user_agent: str | None
    x_headers: Headers
    trace_context_headers: Headers
    sec_websocket_headers: Headers
    session: Mapping[str, Any] | None
    auth_token: str | None


_HOW: dict[str, str] = {
    "session": "connect_info=['session'], session=SessionOptions(...)",
    "auth_token": "auth_token=True",
}
_SECRET = ("session", "auth_token")


@final
class ConnectInfo:
    """What ``connect`` may know of the request besides its params; read-only.

    It has what the mount lists, ``endpoint.socket(..., connect_info=["peer_data", "uri"])``, and ``extra``; reading
    anything else raises :exc:`AttributeError`.  Cookies and arbitrary headers are deliberately absent: a browser sends
    them for any page, so a decision based on them could be made for an attacker (P-022).
    """

    __slots__ = ("_extra", "_listed")

    def __init__(self, *, extra: Mapping[str, object] | None = None, **listed: Unpack[_Listed]) -> None:
        for name in listed:
            if name not in _Listed.__annotations__:
                raise TypeError(
                    f"a ConnectInfo has no {name!r}; it may have {', '.join(_Listed.__annotations__)}, extra"
                )
        self._listed: Mapping[str, Any] = listed
        self._extra = MappingProxyType(dict(extra or {}))

    def _read(self, name: str) -> Any:
        try:
            return self._listed[name]
        except KeyError:
            how = _HOW.get(name, f"connect_info=[{name!r}]")
            raise AttributeError(f"connect_info does not list {name!r}: add it, endpoint.socket(..., {how})") from None

    @property
    def peer_data(self) -> PeerData:
        """The TCP peer."""
        found: PeerData = self._read("peer_data")
        return found

    @property
    def uri(self) -> URI:
        """The URI of the request."""
        found: URI = self._read("uri")
        return found

    @property
    def user_agent(self) -> str | None:
        """The ``user-agent`` header."""
        found: str | None = self._read("user_agent")
        return found

    @property
    def x_headers(self) -> Headers:
        """The headers whose names begin with ``x-``."""
        found: Headers = self._read("x_headers")
        return found

    @property
    def trace_context_headers(self) -> Headers:
        """The headers ``traceparent`` and ``tracestate``."""
        found: Headers = self._read("trace_context_headers")
        return found

    @property
    def sec_websocket_headers(self) -> Headers:
        """The headers whose names begin with ``sec-websocket-``, without an auth token."""
        found: Headers = self._read("sec_websocket_headers")
        return found

    @property
    def session(self) -> Mapping[str, Any] | None:
        """The session of the page, or None without one that is proved by a CSRF token (P-023)."""
        found: Mapping[str, Any] | None = self._read("session")
        return found

    @property
    def auth_token(self) -> str | None:
        """The token of the client's option ``authToken``, None without one; for mounts with ``auth_token=True``."""
        found: str | None = self._read("auth_token")
        return found

    @property
    def extra(self) -> Mapping[str, object]:
        """What the mount's option ``extra`` says; empty by default."""
        return self._extra

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConnectInfo):
            return NotImplemented
        return self._listed == other._listed and self._extra == other._extra

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # What ends up in logs by accident is not what opens a connection.
        shown = {name: "..." if name in _SECRET and value else repr(value) for name, value in self._listed.items()}
        shown["extra"] = repr(dict(self._extra))
        return f"ConnectInfo({', '.join(f'{name}={value}' for name, value in shown.items())})"
