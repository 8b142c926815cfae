"""What the frames of both sides have in common: JSON text, and the header of binary ones (P-030, P-035 to P-041)."""

from __future__ import annotations

from typing import Final

import msgspec

from phoenix_channels.protocol.errors import EncodeError
from phoenix_channels.protocol.payloads import field_bytes

_encode_json = msgspec.json.Encoder().encode

UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What decoding JSON raises, whatever the bytes."""

PUSH: Final = 0
REPLY: Final = 1
BROADCAST: Final = 2
"""The kinds of binary frames: their first byte."""


def encode_text(message: object) -> bytes:
    """A whole message as JSON.

    Raises:
        EncodeError: a text of it has lone surrogates.
    """
    try:
        return _encode_json(message)
    except UnicodeEncodeError as error:
        raise EncodeError(f"topic, event and status are text without lone surrogates: {error}") from error


def pack(kind: int, data: bytes, **fields: str) -> bytes:
    """A binary message: kind, one length byte per field, the fields, the data.

    Raises:
        EncodeError: a field is longer than 255 bytes, or has lone surrogates (P-040).
    """
    head, body = bytearray([kind]), bytearray()
    for name, value in fields.items():
        encoded = field_bytes(name, value)
        head.append(len(encoded))
        body += encoded
    return bytes(head + body + data)


def unpack(data: bytes, count: int) -> tuple[list[bytes], bytes]:
    """The ``count`` fields behind the kind of a binary message, and its data.

    Raises:
        ValueError: the message is shorter than its header says (P-041).
    """
    start, fields = 1 + count, list[bytes]()
    for length in data[1:start]:
        fields.append(data[start : start + length])
        start += length
    if len(fields) < count or start > len(data):
        raise ValueError("a binary message is shorter than its header says")
    return fields, data[start:]
