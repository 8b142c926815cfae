"""Payloads between user code and the wire: encoded when they are given, decoded when they are taken."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from phoenix_channels.protocol.errors import EncodeError
from phoenix_channels.protocol.messages import EncodedBroadcast, Payload

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def encode_term(value: object) -> Payload:
    """Encode what may be any term: the response of a reply (P-033).

    ``bytes``, ``bytearray`` and ``memoryview`` are binary payloads, ``msgspec.Raw`` is JSON already; everything else
    becomes JSON.

    Raises:
        EncodeError: the value has no JSON form.
    """
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(cast("bytearray", value))
    try:
        if isinstance(value, msgspec.Raw):
            # Already JSON, says the caller; one that is not would end every connection it reaches.
            _decoder.decode(value)
        return msgspec.Raw(_encoder.encode(value))
    except Exception as error:
        # Any: encoding runs code of the value (an unset field, a property, a time zone).
        hint = "  (of a pydantic model send model_dump(mode='json'))" if hasattr(value, "model_dump") else ""
        raise EncodeError(f"{type(value).__name__} cannot be encoded as JSON: {error}{hint}") from error


def encode_payload(value: object) -> Payload:
    """Encode the payload of a push or a broadcast: a JSON object or bytes, nothing else (P-033, P-072).

    Dicts, msgspec Structs, dataclasses, TypedDicts and attrs classes become objects.

    Raises:
        EncodeError: the value has no JSON form, or its JSON is not an object.
    """
    payload = encode_term(value)
    if not isinstance(payload, msgspec.Raw) or bytes(payload).lstrip()[:1] == b"{":
        return payload
    raise EncodeError(
        f"a pushed or broadcast payload is an object (dict, Struct, dataclass, TypedDict) or bytes, "
        f"not {type(value).__name__}"
    )


def decode_payload(payload: Payload) -> Any:
    """A fresh copy of the payload as plain Python: dict, list, str, int, float, bool, None, or bytes."""
    return _decoder.decode(payload) if isinstance(payload, msgspec.Raw) else payload


def field_bytes(name: str, value: str) -> bytes:
    """One text field of a binary message, at most 255 bytes of UTF-8 (P-040).

    Raises:
        EncodeError: it is longer, or has lone surrogates.
    """
    encoded = text_bytes(name, value)
    if len(encoded) > 255:
        raise EncodeError(f"{name} of a binary message is at most 255 bytes, this one has {len(encoded)} (P-040)")
    return encoded


def text_bytes(name: str, value: str) -> bytes:
    """Text as UTF-8.

    Raises:
        EncodeError: it has lone surrogates.
    """
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"{name} is text without lone surrogates: {error}") from error


def encode_broadcast(topic: str, event: str, payload: object) -> EncodedBroadcast:
    """Encode a broadcast at the call, whether anybody listens or not, so that errors surface there (P-075).

    Raises:
        TypeError: topic or event is no string.
        EncodeError: the payload has no wire form.
    """
    if not (isinstance(topic, str) and isinstance(event, str)):
        raise TypeError(f"topic and event of a broadcast are strings, not {topic!r} and {event!r}")
    encoded = encode_payload(payload)
    check = text_bytes if isinstance(encoded, msgspec.Raw) else field_bytes
    check("topic", topic)
    check("event", event)
    return EncodedBroadcast(topic, event, encoded)
