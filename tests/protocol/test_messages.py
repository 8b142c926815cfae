from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode as WebSocketOpcode

from phoenix_channels.protocol.messages import (
    EMPTY,
    Broadcast,
    EncodedBroadcast,
    Frame,
    Message,
    Opcode,
    Payload,
    payload_size,
)


def test_opcodes_are_those_of_rfc_6455() -> None:
    assert {opcode.name: int(opcode) for opcode in Opcode} == {"TEXT": 1, "BINARY": 2}


def test_the_text_of_a_frame_is_made_once() -> None:
    frame = Frame(Opcode.TEXT, "größe".encode())
    assert frame.text == "größe"
    assert frame.text is frame.text


# The three forms of the length, at their borders (RFC 6455, 5.2).
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
@pytest.mark.parametrize("opcode", list(Opcode))
def test_the_wire_form_is_an_unmasked_frame(opcode: Opcode, size: int) -> None:
    frame = Frame(opcode, b"x" * size)
    assert frame.wire == WebSocketFrame(WebSocketOpcode(opcode), b"x" * size).serialize(mask=False)
    assert frame.wire is frame.wire
    assert len(frame) == size


@given(st.sampled_from(Opcode), st.binary(max_size=300))
def test_the_wire_form_of_any_data(opcode: Opcode, data: bytes) -> None:
    assert Frame(opcode, data).wire == WebSocketFrame(WebSocketOpcode(opcode), data).serialize(mask=False)


def test_the_repr_shows_kind_and_data() -> None:
    assert repr(Frame(Opcode.BINARY, b"\0\1")) == "Frame(BINARY, b'\\x00\\x01')"


@pytest.mark.feature("B076")
@pytest.mark.parametrize(
    "payload",
    [
        Raw(b'"name=ada&password=hunter2&more=1"'),
        Raw(b'"name=ada&password=hunter2"'),
        Raw(b'"%invalid&password=hunter2"'),
        Raw(b'{"nested":[{"password":"hunter2"}]}'),
        b"password=hunter2",
    ],
    ids=["in the middle", "at the end", "malformed", "JSON", "binary"],
)
def test_the_repr_of_a_message_shows_nothing_of_its_payload(payload: Payload) -> None:
    assert repr(Message("1", 2, "room:lobby", "log_in", payload)) == (
        f"Message(join_ref='1', ref=2, topic='room:lobby', event='log_in', payload=<{len(memoryview(payload))} bytes>)"
    )


def test_the_repr_of_a_message_is_short_and_one_line() -> None:
    text = repr(Message(["x" * 1000], {"x": "y" * 1000}, "a\nb" + "x" * 1000, ["x" * 1000], Raw(b"{}")))
    assert len(text) < 1000
    assert "\n" not in text


@pytest.mark.parametrize("data", [b"", b'"\xc3\xb6"', b"x" * 1000])
def test_the_size_of_a_payload_is_in_bytes(data: bytes) -> None:
    assert payload_size(data) == payload_size(Raw(data)) == len(data)


def test_the_empty_payload_is_an_object() -> None:
    assert bytes(EMPTY) == b"{}"


@pytest.mark.parametrize(
    "message",
    [
        Message("1", "2", "room:lobby", "shout", Raw(b"{}")),
        EncodedBroadcast("room:lobby", "shout", Raw(b"{}")),
        Broadcast("room:lobby", "shout", {}),
    ],
    ids=lambda message: type(message).__name__,
)
def test_messages_cannot_be_changed(message: Any) -> None:
    for name in message.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(message, name, None)
