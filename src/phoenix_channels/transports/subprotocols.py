"""Subprotocols, and the auth token that a client offers among them (P-017 to P-020)."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Final, cast, final

from msgspec import Struct

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.protocol.auth_tokens import TOKEN_PREFIX, decode_token

_logger = logging.getLogger("phoenix_channels")

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@final
class Negotiated(Struct, frozen=True):
    """What the ``Sec-WebSocket-Protocol`` header of a request comes to.

    ``subprotocol`` goes into the response, None for no such header; ``auth_token`` is None when the client sent none.
    """

    subprotocol: str | None = None
    auth_token: str | None = None


def check_subprotocols(where: str, names: object) -> None:
    """Refuse what is no list of subprotocols.

    Raises:
        DefinitionError: naming the place, and the name that a header could not hold.
    """
    if not isinstance(names, list | tuple):
        raise DefinitionError(f"{where} is a list of names, such as ['graphql'], not {names!r:.200}")
    for name in cast("Sequence[object]", names):
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DefinitionError(f"{where}: {name!r:.200} is no name of a subprotocol; legal are names like 'graphql'")


def negotiate(offered: Sequence[str], allowed: Sequence[str], *, auth_token: bool) -> Negotiated | None:
    """Choose a subprotocol, and take out the token; None refuses the client with 403, and is logged.

    Args:
        offered: the ``Sec-WebSocket-Protocol`` headers as they were sent.  Only the first counts (P-017), and its
            entries are not held to be HTTP tokens: base64 has ``/`` and ``=`` (P-020).
        allowed: the mount's ``subprotocols``; empty without that option.
        auth_token: the mount's option.  It allows ``phoenix``, which phoenix.js offers beside a token (P-018).
    """
    if not offered or not (allowed or auth_token):
        return Negotiated()
    entries = _entries(offered[0])
    token: str | None = None
    if auth_token:
        allowed = ("phoenix", *allowed)
        tokens = [entry for entry in entries if entry.startswith(TOKEN_PREFIX)]
        if len(tokens) == 1:
            try:
                token = decode_token(tokens[0])
            except ValueError:
                # P-010: 500 in Phoenix, where it is no fault of the server's either.
                _logger.error("refused a connection: its auth token is not in base64")  # noqa: TRY400
                return None
            entries.remove(tokens[0])
            if not entries:
                return Negotiated(None, token)
    chosen = next((name for name in allowed if name in entries), None)
    if chosen is None:
        _logger.error(
            "refused a connection: it offers the subprotocols %.200r, and its mount allows %.1000r "
            "(WebSocketOptions(subprotocols=...))",
            _without_tokens(entries),
            list(allowed),
        )
        return None
    return Negotiated(chosen, token)


def without_tokens(header: str) -> str | None:
    """A ``Sec-WebSocket-Protocol`` header without auth tokens, None when nothing else is in it (P-019)."""
    entries = _entries(header)
    kept = _without_tokens(entries)
    if kept == entries:
        return header
    return ", ".join(kept) or None


def _entries(header: str) -> list[str]:
    return [entry for part in header.split(",") if (entry := part.strip(" \t"))]


def _without_tokens(entries: list[str]) -> list[str]:
    return [entry for entry in entries if not entry.startswith(TOKEN_PREFIX)]
