"""Serializers: from the frames of one version of the protocol to messages and back (P-028 to P-045)."""

from __future__ import annotations

from typing import Any, Protocol, final, runtime_checkable

import msgspec

from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.envelopes import BROADCAST, PUSH, REPLY, UNDECODABLE, encode_text, pack, unpack
from phoenix_channels.protocol.errors import EncodeError, RemoteProtocolError
from phoenix_channels.protocol.messages import PHX_REPLY, Frame, Message, Opcode, Payload, Ref, payload_size
from phoenix_channels.protocol.versions import Versions

_decode_term = msgspec.json.Decoder().decode

_MAX_REF_DEPTH = 32
_MAX_ENVELOPE = 65536


@runtime_checkable
class Serializer(Protocol):
    """What one version of the protocol has to be able to do."""

    def decode(self, data: str | bytes, opcode: Opcode) -> Message:
        """Decode one message.

        Raises:
            RemoteProtocolError: and nothing else, whatever the data.
        """
        ...

    def encode_push(self, join_ref: Ref, topic: str, event: str, payload: Payload) -> Frame:
        """A push from a channel to its client (P-063)."""
        ...

    def encode_reply(self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload) -> Frame:
        """A ``phx_reply``; the topic is echoed as it came, whatever its type (P-031)."""
        ...

    def encode_broadcast(self, topic: str, event: str, payload: Payload) -> Frame:
        """The one frame that every subscriber of this serializer gets (P-074)."""
        ...

    def encode_end(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: Payload) -> Frame:
        """``phx_close`` or ``phx_error`` for the join that had these two refs (P-032, P-044)."""
        ...


def _message(envelope: _V1Envelope | _V2Envelope, data: str | bytes) -> Message:
    join_ref, ref, topic = envelope.join_ref, envelope.ref, envelope.topic
    if len(data) > _MAX_ENVELOPE and _size(data) - payload_size(envelope.payload) > _MAX_ENVELOPE:
        # Refs and topics live as long as the channel and come back in every frame: what waits is bounded in bytes.
        raise RemoteProtocolError(
            f"refs, topic and event of more than {_MAX_ENVELOPE} bytes", close_code=CloseCode.INTERNAL_ERROR
        )
    if not (type(join_ref) is type(ref) is type(topic) is str):
        _check_depth([join_ref, ref, topic])
    return Message(join_ref, ref, topic, envelope.event, envelope.payload)


def _size(data: str | bytes) -> int:
    return len(data) if isinstance(data, bytes) else len(data.encode())


def _check_depth(level: list[Any]) -> None:
    """Refuse refs and topics that are nested so deeply that echoing them could fail where decoding did not."""
    level = [term for term in level if isinstance(term, list | dict)]
    for _ in range(_MAX_REF_DEPTH + 1):
        if not level:
            return
        children: list[Any] = []
        for term in level:
            children += term.values() if isinstance(term, dict) else term
        level = [child for child in children if isinstance(child, list | dict)]
    raise RemoteProtocolError(
        f"a ref or topic nested deeper than {_MAX_REF_DEPTH} levels", close_code=CloseCode.INTERNAL_ERROR
    )


def _undecodable(error: Exception) -> RemoteProtocolError:
    return RemoteProtocolError(f"undecodable message: {error}", close_code=CloseCode.INTERNAL_ERROR)


_NOTHING = msgspec.Raw()


class _V2Envelope(msgspec.Struct, array_like=True, frozen=True, gc=False):
    # Elements after the fifth are ignored, fewer are an error: both as in P-030.
    join_ref: Any
    ref: Any
    topic: Any
    event: Any
    payload: msgspec.Raw
    more: msgspec.Raw = _NOTHING


_decode_v2 = msgspec.json.Decoder(_V2Envelope).decode


def _pack(kind: int, data: bytes, **fields: Ref) -> Frame:
    """A binary frame (P-036 to P-040)."""
    return Frame(Opcode.BINARY, pack(kind, data, **{name: _text(value) for name, value in fields.items()}))


def _text(value: Ref) -> str:
    # A null ref becomes zero length, other non-strings become their JSON text (P-039).
    return value if isinstance(value, str) else "" if value is None else encode_text(value).decode()


def _unpack(data: bytes) -> Message:
    """The one binary frame that clients send, kind 0 (P-035)."""
    if data[:1] != bytes([PUSH]):
        raise ValueError("a binary message of a client begins with 0x00")
    (join_ref, ref, topic, event), payload = unpack(data, 4)
    # P-039, recommended: a zero-length join_ref means null.  Strict where a field is echoed, and could not be (P-041);
    # a broken event is one that nobody handles.
    return Message(join_ref.decode() or None, ref.decode(), topic.decode(), event.decode(errors="replace"), payload)


@final
class V2JSONSerializer:
    """``vsn=2.0.x``: JSON arrays ``[join_ref, ref, topic, event, payload]`` as text, and binary frames for bytes."""

    __slots__ = ()

    def decode(self, data: str | bytes, opcode: Opcode) -> Message:
        if opcode is Opcode.BINARY:
            try:
                return _unpack(data if isinstance(data, bytes) else data.encode())
            except ValueError as error:
                raise _undecodable(error) from error
        try:
            envelope = _decode_v2(data)
            # Raw is skipped, not read: numbers out of range and invalid UTF-8 inside it only show when it is
            # decoded, and they are malformed input (P-046), not a wrong payload for some handler.
            _decode_term(envelope.payload if envelope.more is _NOTHING else data)
        except UNDECODABLE as error:
            raise _undecodable(error) from error
        return _message(envelope, data)

    def encode_push(self, join_ref: Ref, topic: str, event: str, payload: Payload) -> Frame:
        if not isinstance(payload, msgspec.Raw):
            return _pack(PUSH, payload, join_ref=join_ref, topic=topic, event=event)
        return Frame(Opcode.TEXT, encode_text((join_ref, None, topic, event, payload)))

    def encode_reply(self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload) -> Frame:
        if not isinstance(response, msgspec.Raw):
            return _pack(REPLY, response, join_ref=join_ref, ref=ref, topic=topic, status=status)
        payload = {"status": status, "response": response}
        return Frame(Opcode.TEXT, encode_text((join_ref, ref, topic, PHX_REPLY, payload)))

    def encode_broadcast(self, topic: str, event: str, payload: Payload) -> Frame:
        if not isinstance(payload, msgspec.Raw):
            return _pack(BROADCAST, payload, topic=topic, event=event)
        return Frame(Opcode.TEXT, encode_text((None, None, topic, event, payload)))

    def encode_end(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: Payload) -> Frame:
        # The join_ref twice, a null one included: the join's ref is no substitute here (P-032).
        return Frame(Opcode.TEXT, encode_text((join_ref, join_ref, topic, event, payload)))


def _json_only(payload: Payload) -> msgspec.Raw:
    if isinstance(payload, msgspec.Raw):
        return payload
    raise EncodeError("version 1 of the protocol has no binary payloads (P-045)")


class _V1Envelope(msgspec.Struct, frozen=True, gc=False):
    topic: Any
    event: Any
    payload: msgspec.Raw
    ref: Any
    join_ref: Any = None


_decode_v1 = msgspec.json.Decoder(_V1Envelope).decode


@final
class V1JSONSerializer:
    """``vsn=1.0.x``: JSON objects without ``join_ref`` on the way out, text only (P-043 to P-045)."""

    __slots__ = ()

    def decode(self, data: str | bytes, opcode: Opcode) -> Message:
        # JSON whatever the opcode (P-045).
        try:
            envelope = _decode_v1(data)
            # The whole, because keys that nobody knows are skipped too.
            _decode_term(data)
        except UNDECODABLE as error:
            raise _undecodable(error) from error
        return _message(envelope, data)

    def encode_push(self, join_ref: Ref, topic: str, event: str, payload: Payload) -> Frame:
        return self._encode(None, topic, event, _json_only(payload))

    def encode_reply(self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload) -> Frame:
        return self._encode(ref, topic, PHX_REPLY, {"status": status, "response": _json_only(response)})

    def encode_broadcast(self, topic: str, event: str, payload: Payload) -> Frame:
        return self._encode(None, topic, event, _json_only(payload))

    def encode_end(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: Payload) -> Frame:
        # P-044, recommended: these clients send no join_ref and tell the end of an old join by the join's ref.
        return self._encode(ref if join_ref is None else join_ref, topic, event, payload)

    def _encode(self, ref: Ref, topic: Any, event: str, payload: object) -> Frame:
        message = {"topic": topic, "event": event, "payload": payload, "ref": ref}
        return Frame(Opcode.TEXT, encode_text(message))


@final
class TextSerializer:
    """Another serializer on a transport that carries text only: what would be a binary frame is refused (P-106)."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Serializer) -> None:
        self._inner = inner

    @property
    def inner(self) -> Serializer:
        return self._inner

    def decode(self, data: str | bytes, opcode: Opcode) -> Message:
        # Binary messages of the client do arrive, as base64 (P-099).
        return self._inner.decode(data, opcode)

    def encode_push(self, join_ref: Ref, topic: str, event: str, payload: Payload) -> Frame:
        return _text_only(self._inner.encode_push(join_ref, topic, event, payload))

    def encode_reply(self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload) -> Frame:
        return _text_only(self._inner.encode_reply(join_ref, ref, topic, status, response))

    def encode_broadcast(self, topic: str, event: str, payload: Payload) -> Frame:
        return _text_only(self._inner.encode_broadcast(topic, event, payload))

    def encode_end(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: Payload) -> Frame:
        return _text_only(self._inner.encode_end(join_ref, ref, topic, event, payload))


def _text_only(frame: Frame) -> Frame:
    if frame.opcode is Opcode.TEXT:
        return frame
    raise EncodeError("long polling carries no binary payloads to the client (P-106)")


SERIALIZERS: Versions[Serializer] = Versions(
    [(V1JSONSerializer(), "~> 1.0.0"), (V2JSONSerializer(), "~> 2.0.0")],
)
"""The serializers of Phoenix and the versions they answer to (P-028)."""

TEXT_SERIALIZERS: Versions[Serializer] = SERIALIZERS.map(TextSerializer)
"""The same for long polling: shared by all mounts, because a broadcast is encoded once for each object (P-073)."""
