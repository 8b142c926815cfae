"""Signed bytes in the form of Phoenix tokens: ``algorithm.payload.mac``, each in base64url (P-129, P-130)."""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import lru_cache
from typing import Final

from phoenix_channels.token.base64url import from_base64url, to_base64url

KEY_ITERATIONS: Final = 1000
KEY_LENGTH: Final = 32
"""Bytes of a key."""
KEY_DIGEST: Final = "sha256"
MIN_SECRET_BYTES = 20
MAX_TOKEN_LENGTH = 65536
"""What is longer is not even looked at: whoever sends it has not had it from us."""

_KEY_DIGESTS = ("sha256", "sha384", "sha512")
_MAC_DIGESTS = {"SFMyNTY": "sha256", "SFMzODQ": "sha384", "SFM1MTI": "sha512"}
"""By the first part of a token: HS256, HS384 and HS512 in base64url (P-129)."""

_TOKEN = re.compile(
    r"(?P<signed>(?P<algorithm>SFMyNTY|SFMzODQ|SFM1MTI)\.(?P<payload>[A-Za-z0-9_-]*))\.(?P<mac>[A-Za-z0-9_-]+)"
)


def derive_key(
    secret: str,
    salt: str,
    *,
    iterations: int = KEY_ITERATIONS,
    length: int = KEY_LENGTH,
    digest: str = KEY_DIGEST,
) -> bytes:
    """The key of one purpose: PBKDF2 of the application's secret with the purpose's name as salt (P-130).

    Deriving is slow on purpose, so the latest keys are remembered.

    Raises:
        ValueError: the secret is too short to be one, or an option has no legal value.
    """
    password = secret.encode()
    if len(password) < MIN_SECRET_BYTES:
        raise ValueError(f"a secret has at least {MIN_SECRET_BYTES} bytes, this one has {len(password)}")
    if digest not in _KEY_DIGESTS:
        raise ValueError(f"the digest of a key is one of {', '.join(_KEY_DIGESTS)}, not {digest!r}")
    if iterations < 1 or length < 1:
        raise ValueError(f"a key needs at least 1 iteration and 1 byte, not {iterations!r} and {length!r}")
    return _derive(password, salt.encode(), iterations, length, digest)


@lru_cache(maxsize=64)
def _derive(password: bytes, salt: bytes, iterations: int, length: int, digest: str) -> bytes:
    return hashlib.pbkdf2_hmac(digest, password, salt, iterations, length)


def sign(key: bytes, payload: bytes) -> str:
    """A token that carries the payload, legible but not forgeable; always HS256 (P-129).

    Raises:
        ValueError: the token would be too long for :func:`verify`.
    """
    signed = f"SFMyNTY.{to_base64url(payload)}"
    token = f"{signed}.{_mac(key, signed, 'sha256')}"
    if len(token) > MAX_TOKEN_LENGTH:
        raise ValueError(f"a token has at most {MAX_TOKEN_LENGTH} characters, this one would have {len(token)}")
    return token


def verify(key: bytes, token: str) -> bytes | None:
    """The payload of a token that was signed with this key, or None, whatever else it is.

    The mac is compared as text, so that there is one token for what was signed once, and not four that differ in bits
    which base64 does not use.
    """
    found = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN_LENGTH else None
    if found is None:
        return None
    expected = _mac(key, found["signed"], _MAC_DIGESTS[found["algorithm"]])
    if not hmac.compare_digest(expected, found["mac"]):
        return None
    try:
        return from_base64url(found["payload"])
    except ValueError:
        # Signed with this key all the same.
        return None


def _mac(key: bytes, signed: str, digest: str) -> str:
    return to_base64url(hmac.digest(key, signed.encode(), digest))
