"""The origin check: may pages of this origin connect? (P-013, P-014, P-016; the default is the architecture's.)"""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

_logger = logging.getLogger("phoenix_channels")


def host_of(url: str) -> str | None:
    """The host of a URL or origin in lower case; path, port and user are ignored.  None when it has none."""
    try:
        return urlsplit(url).hostname or None
    except ValueError:
        return None


def origin_allowed(origin: str | None, *, host: str | None, request_host: str | None) -> bool:
    """Does the origin's host equal the expected one?  Scheme and port do not matter.

    Args:
        origin: the ``Origin`` header; without one the request comes from no page and passes (P-013).
        host: the public host of the endpoint, if it is configured.
        request_host: the ``Host`` header, expected when no host is configured: development servers, proxies that end
            TLS, and mounts all pass it on.
    """
    if origin is None:
        return True
    expected = host.lower() if host is not None else host_of(f"//{request_host}") if request_host else None
    found = host_of(origin)
    if found is not None and found == expected:
        return True
    _logger.error(
        "refused a connection of a page from %.200r: its host is not %.200r.  If it is one of yours, serve it from "
        "there, connect to the host it comes from, set Endpoint(host=...) to the public host, or allow every page by "
        "endpoint.socket(..., check_origin=False)",
        origin,
        expected,
    )
    return False
