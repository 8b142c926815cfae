"""Requests for a socket, and what the handshake decides about them, without a server."""

from __future__ import annotations

from typing import Any

from phoenix_channels import Endpoint, Request, Response
from phoenix_channels.socket import BaseSocket
from phoenix_channels.transports.handshake import Accepted, handshake
from phoenix_channels.transports.mounts import segments
from phoenix_channels.transports.options import MountOptions
from tests.transports.app import Journal, socket_class

BAD_REQUEST = Response(
    400, b'{"errors":{"detail":"Bad Request"}}', (("content-type", "application/json; charset=utf-8"),)
)
TOO_LONG = Response(
    414, b'{"errors":{"detail":"Request-URI Too Long"}}', (("content-type", "application/json; charset=utf-8"),)
)
BROKEN = Response(
    500, b'{"errors":{"detail":"Internal Server Error"}}', (("content-type", "application/json; charset=utf-8"),)
)
FORBIDDEN = Response(403)

ORIGIN = ("Origin", "http://app.example")
"""Not of the host that the requests go to."""


def request(
    query: bytes = b"vsn=2.0.0", *headers: tuple[str, str], path: str = "/socket/websocket", method: str = "GET"
) -> Request:
    return Request(
        method=method,
        scheme="http",
        path=path,
        query=query,
        headers=[("Host", "example.com"), *headers],
        peer=("192.0.2.1", 5),
    )


async def ask(
    asked: Request,
    mount: MountOptions | None = None,
    cls: type[BaseSocket] | None = None,
    *,
    at: str = "/socket",
    **options: Any,
) -> tuple[Accepted | Response, Journal]:
    """What an endpoint with one mount says; the options are those of :class:`Endpoint`."""
    journal, endpoint = Journal(), Endpoint(**options)
    endpoint.socket(at, cls or socket_class(journal), **mount or {})
    match = endpoint.mounts.match(segments(asked.path))
    assert match is not None
    return await handshake(endpoint, match, asked), journal
