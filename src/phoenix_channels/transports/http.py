"""A request that wants to become a connection, and the response it gets instead, whatever the server."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, cast, final

from msgspec import Struct

_AUTHORITY: Final = re.compile(
    r"(?P<host>\[[0-9a-f:.]+\]|[^\x00-\x20\x7f/?#@:\[\]\\]+)(?::(?P<port>[0-9]{0,5}))?", re.IGNORECASE
)
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def split_authority(text: str, scheme: str | None) -> tuple[str, int | None] | None:
    """The host in lower case and the port of ``host:port``; None when it has not that form.

    A missing port is the default of the scheme, None without one.  An IPv6 address loses its brackets.
    """
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else _PORTS.get(scheme or "")
    if port is not None and port > 65535:
        return None
    return found["host"].lower().strip("[]"), port


@final
class Request:
    """What a transport knows of a request.

    ``scheme`` is ``http`` or ``https``, also for a WebSocket; ``path`` is as it was sent; ``query`` is raw.
    """

    __slots__ = ("_headers", "_values", "method", "path", "peer", "query", "scheme", "ssl_cert")

    def __init__(
        self,
        *,
        method: str,
        scheme: str,
        path: str,
        query: bytes,
        headers: Iterable[tuple[str, str]],
        peer: tuple[str, int] | None,
        ssl_cert: bytes | None = None,
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.path = path
        self.query = query
        self.peer = peer
        self.ssl_cert = ssl_cert
        self._headers = [(name.lower(), value) for name, value in headers]
        self._values: dict[str, list[str]] = {}
        for name, value in self._headers:
            if name in self._values:
                self._values[name].append(value)
            else:
                self._values[name] = [value]

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        """Names in lower case with their values, in the order in which they were sent."""
        return list(self._headers)

    def header(self, name: str) -> str | None:
        """The first header of this name, in upper or lower case."""
        values = self._values.get(name.lower())
        return None if values is None else values[0]

    def headers(self, name: str) -> list[str]:
        """All headers of this name, in upper or lower case."""
        return list(self._values.get(name.lower(), ()))

    @property
    def authority(self) -> tuple[str, int]:
        """Host and port of the ``Host`` header; the host is empty when there is none, or none that can be read."""
        found = split_authority(self.header("host") or "", self.scheme)
        host, port = found if found is not None else ("", None)
        return host, _PORTS[self.scheme] if port is None else port


def _is_header(pair: object) -> bool:
    if not isinstance(pair, tuple | list) or len(cast("tuple[object, ...]", pair)) != 2:
        return False
    name, value = cast("tuple[object, object]", pair)
    return (
        isinstance(name, str)
        and isinstance(value, str)
        and _HEADER_NAME.fullmatch(name) is not None
        and _HEADER_VALUE.fullmatch(value) is not None
    )


@final
class Response(Struct, frozen=True):
    """An HTTP response: what an ``error_handler`` returns for a refused connection (P-010).

    ``headers`` are (name, value) pairs; ``content-length`` is added.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if type(self.status) is not int or not 200 <= self.status <= 599:
            raise ValueError(f"the status of a Response is a number from 200 to 599, not {self.status!r}")
        if not isinstance(self.body, bytes):
            raise TypeError(f"the body of a Response is bytes, not {type(self.body).__name__}")
        headers: object = self.headers
        if not isinstance(headers, tuple | list) or not all(map(_is_header, cast("tuple[object, ...]", headers))):
            # A line feed in a value would begin a header, or a response, of somebody else's making.
            raise ValueError(
                "the headers of a Response are pairs of strings such as ('retry-after', '5'): a name, and a value of "
                f"printable Latin-1 characters; not {headers!r:.200}"
            )
        if any(name.lower() == "content-length" for name, _ in self.headers):
            raise ValueError("the content-length of a Response is added by the server: leave it out of its headers")

    @classmethod
    def error(cls, status: int, detail: str) -> Response:
        """An error page in the form of a Phoenix application's."""
        body = b'{"errors":{"detail":"%s"}}' % detail.encode()
        return cls(status, body, (("content-type", "application/json; charset=utf-8"),))

    def with_header(self, name: str, value: str) -> Response:
        return Response(self.status, self.body, (*self.headers, (name, value)))


NOT_FOUND = Response(404, b"Not Found")
FORBIDDEN = Response(403)
BAD_METHOD = Response(400)
"""P-008"""
UNAVAILABLE = Response(503)
BAD_BODY = Response.error(400, "Bad Request")
"""P-092"""
