"""Versions of the protocol: the newer one alone, and one of our own in MessagePack."""

from typing import Any

import msgspec

from examples.quickstart.server import UserSocket
from phoenix_channels import Endpoint
from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.messages import PHX_REPLY, Frame, Message, Opcode, Payload, Ref
from phoenix_channels.protocol.payloads import decode_payload, encode_term
from phoenix_channels.protocol.serializers import V2JSONSerializer

# Start: modern
endpoint = Endpoint()
endpoint.socket("/socket", UserSocket, serializers=[(V2JSONSerializer(), "~> 2.0.0")])
# End: modern


# Start: msgpack
class MessagePackSerializer:
    """``[join_ref, ref, topic, event, payload]`` in MessagePack; every message is a binary frame."""

    _decode = staticmethod(msgspec.msgpack.Decoder(tuple[str | None, str | None, str, str, Any]).decode)

    def decode(self, data: str | bytes, opcode: Opcode) -> Message:
        try:
            if isinstance(data, str):
                raise TypeError("MessagePack is binary")
            join_ref, ref, topic, event, payload = self._decode(data)
            return Message(join_ref, ref, topic, event, encode_term(payload))
        except Exception as error:
            raise RemoteProtocolError(f"undecodable message: {error}", close_code=CloseCode.INTERNAL_ERROR) from error

    def encode_push(self, join_ref: Ref, topic: str, event: str, payload: Payload) -> Frame:
        return self._encode(join_ref, None, topic, event, decode_payload(payload))

    def encode_reply(self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload) -> Frame:
        reply = {"status": status, "response": decode_payload(response)}
        return self._encode(join_ref, ref, topic, PHX_REPLY, reply)

    def encode_broadcast(self, topic: str, event: str, payload: Payload) -> Frame:
        return self._encode(None, None, topic, event, decode_payload(payload))

    def encode_end(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: Payload) -> Frame:
        return self._encode(join_ref, join_ref, topic, event, decode_payload(payload))

    def _encode(self, *message: object) -> Frame:
        return Frame(Opcode.BINARY, msgspec.msgpack.encode(message))


endpoint.socket(
    "/compact",
    UserSocket,
    serializers=[(V2JSONSerializer(), "~> 2.0.0"), (MessagePackSerializer(), "~> 3.0.0")],
)
# End: msgpack
