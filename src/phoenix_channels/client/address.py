"""Where to connect to, and as whom (P-006, P-019, P-138)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Any, NamedTuple, TypeAlias, cast, final
from urllib.parse import urlsplit, urlunsplit

from phoenix_channels.protocol.auth_tokens import token_subprotocols
from phoenix_channels.protocol.client_messages import VSN
from phoenix_channels.protocol.params import Param, encode_params

Params: TypeAlias = Mapping[str, Param]
"""The params of a connection, as the server's ``connect`` gets them, but there every number and boolean is a string."""


class Target(NamedTuple):
    """What one try asks for."""

    url: str
    subprotocols: list[str]


@final
class Address:
    """A mount of a server, and what is asked for, or asked of the user's functions, at each try.

    Raises:
        ValueError: the URL, the path or the token cannot be used.
        TypeError: likewise the params or the token.
    """

    def __init__(
        self,
        url: str,
        path: str,
        params: Params | Callable[[], Params | Awaitable[Params]] | None,
        auth_token: str | Callable[[], str | Awaitable[str]] | None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.fragment:
            # Without its query: that may hold a token.
            shown = url.partition("?")[0]
            raise ValueError(f"{shown!r} is no URL like 'ws://host:4000/socket' or 'wss://host/socket'")
        if path and not path.startswith("/"):
            raise ValueError(f"path is that of the transport, such as '/websocket', or '', not {path!r}")
        parts = parts._replace(path=parts.path.rstrip("/") + path)
        self.secure = parts.scheme == "wss"
        self.shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
        """The URL as a log may have it."""
        self._url = urlunsplit(parts)
        self._params = params
        self._auth_token = auth_token
        # What is known already can only be wrong for good.
        self._target(None if callable(params) else params, None if callable(auth_token) else auth_token)

    async def resolve(self) -> Target:
        """Where the next try goes to; raises whatever the functions of the user raise."""
        auth_token = await _ask(self._auth_token)
        return self._target(await _ask(self._params), auth_token)

    def _target(self, params: Params | None, auth_token: str | None) -> Target:
        # P-138: the version is ours to say.
        query = encode_params({**(params or {}), "vsn": VSN})
        url = f"{self._url}{'&' if '?' in self._url else '?'}{query}"
        return Target(url, [] if auth_token is None else token_subprotocols(auth_token))


async def _ask(source: Any) -> Any:
    """What it is, or what the function returns."""
    value = cast("Callable[[], object]", source)() if callable(source) else source
    if not isawaitable(value):
        return value
    try:
        return await value
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Not our cancellation, but that of something that the function waits for.  Let through, it would end the
        # client without a word.
        raise RuntimeError("the function for params or auth_token was cancelled by somebody else") from error
