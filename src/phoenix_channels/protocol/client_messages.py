"""The codec of a client: its messages to frames, the frames of a server to messages (version 2; P-030 to P-042)."""

from __future__ import annotations

from typing import Final, final

import msgspec
from msgspec import Raw, Struct

from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.envelopes import BROADCAST, PUSH, REPLY, UNDECODABLE, encode_text, pack, unpack
from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.messages import PHX_REPLY, Frame, Opcode, Payload, payload_size
from phoenix_channels.protocol.payloads import field_bytes, text_bytes

VSN: Final = "2.0.0"
"""The ``vsn`` that a client of this codec asks for (P-028, P-138)."""


@final
class ServerMessage(Struct, frozen=True, gc=False):
    """One decoded message of a server.

    A ``phx_reply`` has its :attr:`status`, and as :attr:`payload` its response; no other message has a status.
    """

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: Payload
    status: str | None = None


_NOTHING = Raw()


class _Envelope(Struct, array_like=True, frozen=True, gc=False):
    # Refs are what the client has sent, and ours sends strings (P-031, P-139).  Elements after the fifth are ignored.
    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: Raw
    more: Raw = _NOTHING


class _Reply(Struct, frozen=True, gc=False):
    status: str
    response: Raw


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_term = msgspec.json.Decoder().decode


def encode_message(join_ref: str | None, ref: str | None, topic: str, event: str, payload: Payload) -> Frame:
    """A message of a client: text for JSON, a binary push for bytes (P-030, P-035).

    Raises:
        EncodeError: a field has lone surrogates or, in a binary push, more than 255 bytes (P-040).
    """
    if isinstance(payload, Raw):
        return Frame(Opcode.TEXT, encode_text((join_ref, ref, topic, event, payload)))
    # P-039: null becomes zero length.
    data = pack(PUSH, payload, join_ref=join_ref or "", ref=ref or "", topic=topic, event=event)
    return Frame(Opcode.BINARY, data)


def check_message(topic: str, event: str, payload: Payload) -> None:
    """Can it be encoded, once it has its refs?

    Raises:
        EncodeError: as of :func:`encode_message`.
    """
    check = text_bytes if isinstance(payload, Raw) else field_bytes
    check("topic", topic)
    check("event", event)


def decode_message(data: str | bytes, opcode: Opcode) -> ServerMessage:
    """A message of a server: text, or one of the three binary kinds (P-030, P-036 to P-038).

    Raises:
        RemoteProtocolError: and nothing else, whatever the data.
    """
    try:
        if opcode is Opcode.TEXT:
            message = _decode_text(data)
        else:
            message = _decode_binary(data if isinstance(data, bytes) else data.encode())
        if message.event == PHX_REPLY and message.status is None:
            raise ValueError("a phx_reply without status and response")
    except (*UNDECODABLE, ValueError) as error:
        raise RemoteProtocolError(f"undecodable message: {error}", close_code=CloseCode.INVALID_DATA) from error
    return message


def _decode_text(data: str | bytes) -> ServerMessage:
    envelope = _decode_envelope(data)
    # Raw is skipped, not read: what is no JSON inside it only shows when it is decoded.
    _decode_term(envelope.payload if envelope.more is _NOTHING else data)
    payload, status = envelope.payload, None
    if envelope.event == PHX_REPLY:
        # P-141
        reply = _decode_reply(payload)
        payload, status = reply.response, reply.status
    if 2 * payload_size(payload) + 1024 < len(data):
        # A Raw keeps all of its frame, whose other parts may be far larger; whoever bounds payloads would not see them.
        payload = payload.copy()
    return ServerMessage(envelope.join_ref, envelope.ref, envelope.topic, envelope.event, payload, status)


def _decode_binary(data: bytes) -> ServerMessage:
    kind = data[0] if data else None
    # P-039: zero length stands for null.
    if kind == PUSH:
        fields, payload = unpack(data, 3)
        join_ref, topic, event = map(bytes.decode, fields)
        return ServerMessage(join_ref or None, None, topic, event, payload)
    if kind == REPLY:
        fields, payload = unpack(data, 4)
        join_ref, ref, topic, status = map(bytes.decode, fields)
        return ServerMessage(join_ref or None, ref or None, topic, PHX_REPLY, payload, status)
    if kind == BROADCAST:
        fields, payload = unpack(data, 2)
        topic, event = map(bytes.decode, fields)
        return ServerMessage(None, None, topic, event, payload)
    raise ValueError("a binary message begins with its kind: 0, 1 or 2")
