"""What a client takes from a server that it does not trust: every message, text and binary (P-030, P-036 to P-038)."""

import json
from itertools import accumulate, pairwise
from typing import Any

from phoenix_channels.protocol.client import ClientConnection
from phoenix_channels.protocol.client_messages import ServerMessage, decode_message
from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.messages import EMPTY, Frame, Opcode
from phoenix_channels.protocol.payloads import decode_payload
from phoenix_channels.protocol.serializers import V2JSONSerializer
from tests.fuzz.naive import DEEP, depth, parse, same, utf8

SERVER = V2JSONSerializer()

Fields = tuple[Any, ...]
"""join_ref, ref, topic, event, payload, status."""


def malformed(error: RemoteProtocolError) -> None:
    assert error.close_code == 1007


def decode(data: str | bytes, opcode: Opcode) -> Fields | None:
    """None for what is malformed: always the same documented error."""
    try:
        message = decode_message(data, opcode)
    except RemoteProtocolError as error:
        malformed(error)
        return None
    return fields(message)


def fields(message: ServerMessage) -> Fields:
    payload = decode_payload(message.payload)
    return (message.join_ref, message.ref, message.topic, message.event, payload, message.status)


def take(data: bytes, opcode: Opcode, message: Fields) -> None:
    """A whole client takes it, in every state of the channel that it is for."""
    client = ClientConnection()
    client.connect(0)
    client.opened(0)
    channel = client.channel(message[2])
    client.join(channel, 0)
    client.receive(data, opcode, 0)
    client.receive(SERVER.encode_reply("1", "1", message[2], "ok", EMPTY).text, Opcode.TEXT, 0)
    client.receive(data, opcode, 0)
    client.leave(channel, 0)
    client.receive(data, opcode, 0)


def sent_again(message: Fields, payload: Any) -> Frame:
    join_ref, ref, topic, event, _, status = message
    if status is None:
        return SERVER.encode_push(join_ref, topic, event, payload)
    return SERVER.encode_reply(join_ref, ref, topic, status, payload)


def read_text(text: str) -> Fields | None:
    try:
        term = parse(text)
    except ValueError:
        return None
    if not isinstance(term, list) or len(term) < 5:
        return None
    *refs, topic, event, payload = term[:5]
    if not (all(ref is None or isinstance(ref, str) for ref in refs) and isinstance(topic, str)):
        return None
    if event != "phx_reply":
        return (*refs, topic, event, payload, None) if isinstance(event, str) else None
    if not isinstance(payload, dict) or not {"status", "response"} <= payload.keys():
        return None
    # As pairs, because of two equal keys both have to be right.
    pairs = json.loads(text, object_pairs_hook=list)[4]
    if not all(isinstance(value, str) for key, value in pairs if key == "status"):
        return None
    return (*refs, topic, event, payload["response"], payload["status"])


def check_client_text(data: bytes) -> bool:
    message = decode(data, Opcode.TEXT)
    text = utf8(data)
    if text is None:
        assert message is None
        return False
    if text.count("[") + text.count("{") > DEEP:
        return False
    assert same(message, read_text(text))
    assert same(message, decode(text, Opcode.TEXT))
    if message is None or depth(message[4]) > DEEP:
        return False
    take(data, Opcode.TEXT, message)
    again = sent_again(message, decode_message(data, Opcode.TEXT).payload)
    ref = message[1] if message[5] is not None else None
    assert same(decode(again.data, again.opcode), (message[0], ref, *message[2:]))
    return True


_COUNTS = {0: 3, 1: 4, 2: 2}


def read_binary(data: bytes) -> Fields | None:
    count = _COUNTS.get(data[0], 0) if data else 0
    lengths = data[1 : 1 + count]
    if not count or len(lengths) < count or len(data) < 1 + count + sum(lengths):
        return None
    *cuts, end = accumulate(lengths, initial=1 + count)
    texts = [utf8(data[start:stop]) for start, stop in pairwise([*cuts, end])]
    if None in texts:
        return None
    match texts:
        case [join_ref, ref, topic, status]:
            return (join_ref or None, ref or None, topic, "phx_reply", data[end:], status)
        case [join_ref, topic, event]:
            message = (join_ref or None, None, topic, event, data[end:], None)
        case [topic, event]:
            message = (None, None, topic, event, data[end:], None)
    return None if event == "phx_reply" else message


def check_client_binary(data: bytes) -> bool:
    message = decode(data, Opcode.BINARY)
    assert message == read_binary(data)
    if message is None:
        return False
    take(data, Opcode.BINARY, message)
    if data[0] != 2:
        assert sent_again(message, message[4]).data == data
    return True


TEXTS = [
    b'["1","2","room:1","phx_reply",{"status":"ok","response":{}}]',
    b'["1","1","room:1","phx_reply",{"response":[1.5,null],"more":0,"status":"error"}] ',
    b'[null,"3","phoenix","phx_reply",{"status":"ok","response":{}}]',
    b'["1",null,"room:1","news",{"a":[true,"\\u00e9\\ud83e\\udd84"]}]',
    b'[null,null,"room:1","presence_diff",{"joins":{},"leaves":{}},1,[]]',
    b'["1","1","room:1","phx_close",{}]',
    b'["1","1","room:1","phx_error",{"reason":"channel_crash"}]',
]
BINARIES = [
    b"\x00\x01\x06\x041room:1news\x00\x01",
    b"\x00\x00\x06\x04room:1news",
    b"\x01\x01\x01\x06\x0212room:1ok\xff",
    b"\x01\x01\x01\x06\x0511room:1error",
    b"\x01\x00\x00\x06\x02room:1ok",
    b"\x02\x06\x04room:1news\x00",
    b"\x02\x06\x09room:1phx_close",
]
WORDS = [b'"phx_reply"', b'"status"', b'"response"', b'"phx_close"', b'"phx_error"', b'"ok"']
BINARY_WORDS = [b"phx_reply", b"phx_close", b"phx_error", b"ok", b"\x02", b"\x03", b"\x09"]
