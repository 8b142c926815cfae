"""Encrypted bytes in the form of Phoenix tokens: ``XCP.``, then nonce, tag and ciphertext in base64url (P-133)."""

from __future__ import annotations

import re
from typing import Final

from phoenix_channels.token.base64url import from_base64url, to_base64url
from phoenix_channels.token.signing import MAX_TOKEN_LENGTH

try:
    from nacl.exceptions import CryptoError
    from nacl.secret import Aead
except ImportError as error:
    raise ImportError("encrypted tokens need PyNaCl: pip install 'phoenix-channels[crypto]'") from error

NONCE_BYTES: Final = 24
_TAG_BYTES: Final = 16
_PREFIX: Final = "XCP."
_TOKEN: Final = re.compile(r"XCP\.(?P<sealed>[A-Za-z0-9_-]+)")
_ADDITIONAL: Final = b"A128GCM"
"""Part of what the tag vouches for: the name of the older cipher, for which Phoenix had none in a token (P-133)."""


def encrypt(key: bytes, payload: bytes, nonce: bytes) -> str:
    """A token that carries the payload so that only who has the key can read it; a key is 32 bytes.

    A nonce is 24 bytes that have never been used with this key: random ones.

    Raises:
        ValueError: the token would be too long for :func:`decrypt`.
    """
    sealed = Aead(key).encrypt(payload, _ADDITIONAL, nonce).ciphertext
    token = _PREFIX + to_base64url(nonce + sealed[-_TAG_BYTES:] + sealed[:-_TAG_BYTES])
    if len(token) > MAX_TOKEN_LENGTH:
        raise ValueError(f"a token has at most {MAX_TOKEN_LENGTH} characters, this one would have {len(token)}")
    return token


def decrypt(key: bytes, token: str) -> bytes | None:
    """The payload of a token that was encrypted with this key, or None, whatever else it is."""
    found = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN_LENGTH else None
    if found is None:
        return None
    try:
        sealed = from_base64url(found["sealed"])
    except ValueError:
        return None
    nonce, tag, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:][:_TAG_BYTES], sealed[NONCE_BYTES + _TAG_BYTES :]
    if len(tag) < _TAG_BYTES:
        return None
    try:
        return Aead(key).decrypt(text + tag, _ADDITIONAL, nonce)
    except CryptoError:
        return None
