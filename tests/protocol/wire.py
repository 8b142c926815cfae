"""The wire format, written once more and apart from the library: what the tests compare with (P-030 to P-043)."""

import json
from typing import Any, NamedTuple

from phoenix_channels.protocol.messages import Frame, Opcode


class ServerFrame(NamedTuple):
    """A frame of the server, whatever its form; a binary reply reads as ``phx_reply``, as in phoenix.js (P-037)."""

    join_ref: Any
    ref: Any
    topic: Any
    event: Any
    payload: Any
    binary: bool = False


def read(frame: Frame) -> ServerFrame:
    if frame.opcode is Opcode.BINARY:
        return read_binary(frame.data)
    message = json.loads(frame.data)
    if isinstance(message, dict):
        assert set(message) == {"topic", "event", "payload", "ref"}, "V1 frames have four keys (P-043)"
        return ServerFrame(None, message["ref"], message["topic"], message["event"], message["payload"])
    assert len(message) == 5, "V2 frames have five elements (P-030)"
    return ServerFrame(*message)


def read_binary(data: bytes) -> ServerFrame:
    names = {0: ("join_ref", "topic", "event"), 1: ("join_ref", "ref", "topic", "status"), 2: ("topic", "event")}[
        data[0]
    ]
    start, fields = 1 + len(names), dict[str, str]()
    for name, length in zip(names, data[1 : 1 + len(names)], strict=True):
        fields[name] = data[start : start + length].decode()
        start += length
    if data[0] == 1:
        payload: Any = {"status": fields["status"], "response": data[start:]}
        return ServerFrame(fields["join_ref"], fields["ref"], fields["topic"], "phx_reply", payload, binary=True)
    return ServerFrame(fields.get("join_ref"), None, fields["topic"], fields["event"], data[start:], binary=True)


def client_binary(join_ref: str, ref: str, topic: str, event: str, data: bytes) -> bytes:
    """A binary push of a client (P-035)."""
    fields = [text.encode() for text in (join_ref, ref, topic, event)]
    return bytes([0, *map(len, fields)]) + b"".join(fields) + data


def parse_hex(notation: str) -> bytes:
    """The spec's notation for bytes: ``00 02 0a "20" "room:after"``, numbers in hex and quoted UTF-8."""
    parts = notation.split('"')
    return b"".join(part.encode() if index % 2 else bytes.fromhex(part) for index, part in enumerate(parts))
