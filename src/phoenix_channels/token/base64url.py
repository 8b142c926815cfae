"""Bytes as the text that tokens are made of: base64 with ``-`` and ``_``, and without padding (P-129)."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

_TO_URL, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")


def to_base64url(data: bytes) -> str:
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode()


def from_base64url(text: str) -> bytes:
    """The bytes of a text of letters, digits, ``-`` and ``_``: of each text that :func:`to_base64url` makes, no other.

    Raises:
        ValueError: no base64 has one character more than a multiple of four, and none sets bits that it does not use:
            they would make several tokens of one.
    """
    padded = text + "=" * (-len(text) % 4)
    data = a2b_base64(padded.encode().translate(_FROM_URL), strict_mode=True)
    if to_base64url(data) != text:
        raise ValueError("bits that base64 does not use are set")
    return data
