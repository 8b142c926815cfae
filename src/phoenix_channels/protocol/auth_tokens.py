"""The auth token of a client among its subprotocols, where no URL and no log shows it (P-018 to P-020)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final

TOKEN_PREFIX: Final = "base64url.bearer.phx."  # noqa: S105


def token_subprotocols(auth_token: str) -> list[str]:
    """The subprotocols that carry a token (P-019): the standard alphabet of base64, without padding.

    Raises:
        TypeError: the token is no string.
        ValueError: it has characters beyond Latin-1, which have no place there (P-020).
    """
    if not isinstance(auth_token, str):
        raise TypeError(f"auth_token is a string, not {type(auth_token).__name__}")
    try:
        encoded = auth_token.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("auth_token has characters beyond Latin-1") from None
    return ["phoenix", TOKEN_PREFIX + b64encode(encoded).decode().rstrip("=")]


def decode_token(subprotocol: str) -> str:
    """The token that a subprotocol with :data:`TOKEN_PREFIX` carries.

    Raises:
        ValueError: it is not in base64.
    """
    # P-020: phoenix.js uses btoa, so the standard alphabet, without padding; the prefix promises the other one.  btoa
    # takes a string of Latin-1 characters and encodes one byte for each: what comes out here is that string again.
    text = subprotocol.removeprefix(TOKEN_PREFIX).rstrip("=").replace("-", "+").replace("_", "/")
    return b64decode(text + "=" * (-len(text) % 4), validate=True).decode("latin-1")
