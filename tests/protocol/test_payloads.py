"""P-033, P-042: what may be sent, and what user code gets."""

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct

from phoenix_channels.protocol.errors import EncodeError
from phoenix_channels.protocol.messages import Payload
from phoenix_channels.protocol.payloads import (
    decode_payload,
    encode_broadcast,
    encode_payload,
    encode_term,
    field_bytes,
    text_bytes,
)


class Note(Struct):
    body: str


class Tagged(Struct, tag="note"):
    body: str


class ArrayLike(Struct, array_like=True):
    body: str


@dataclass
class Point:
    x: int


class Options(TypedDict):
    on: bool


class Colour(enum.Enum):
    RED = "red"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, {}),
        ({"a": [1, None, True, 1.5, "ö"]}, {"a": [1, None, True, 1.5, "ö"]}),
        (Note("hi"), {"body": "hi"}),
        (Tagged("hi"), {"type": "note", "body": "hi"}),
        (Point(3), {"x": 3}),
        (Options(on=True), {"on": True}),
        ({Colour.RED: Colour.RED}, {"red": "red"}),
        ({1: 2}, {"1": 2}),
    ],
)
@pytest.mark.parametrize("encode", [encode_payload, encode_term])
def test_p033_objects(encode: Callable[[object], Payload], value: object, expected: object) -> None:
    payload = encode(value)
    assert isinstance(payload, Raw)
    assert decode_payload(payload) == expected


@pytest.mark.feature("B097")
@pytest.mark.parametrize(
    "value", [None, True, 7, 1.5, "text", "{", [], [{}], ("a",), {1}, ArrayLike("hi"), Colour.RED, Raw(b"[]")], ids=repr
)
def test_p033_other_terms_are_for_replies_only(value: object) -> None:
    assert isinstance(encode_term(value), Raw)
    with pytest.raises(EncodeError, match=rf"is an object \(dict, .*\) or bytes, not {type(value).__name__}"):
        encode_payload(value)


@pytest.mark.parametrize("value", [b"", b"\0\1", bytearray(b"\0\1"), memoryview(b"\0\1"), memoryview(b"\0x\1x")[::2]])
@pytest.mark.parametrize("encode", [encode_payload, encode_term])
def test_p042_bytes_are_binary(encode: Callable[[object], Payload], value: Any) -> None:
    payload = encode(value)
    assert type(payload) is bytes
    assert payload == bytes(value)
    assert decode_payload(payload) == bytes(value)


def test_a_binary_payload_does_not_change_afterwards() -> None:
    buffer = bytearray(b"before")
    payload = encode_payload(buffer)
    buffer[:] = b"after!"
    assert payload == b"before"


def test_a_json_payload_does_not_change_afterwards() -> None:
    value = {"list": [1]}
    payload = encode_payload(value)
    value["list"].append(2)
    assert decode_payload(payload) == {"list": [1]}


def test_every_consumer_gets_its_own_copy() -> None:
    payload = encode_payload({"list": []})
    decode_payload(payload)["list"].append(1)
    assert decode_payload(payload) == {"list": []}


def cycle() -> object:
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {"a": object()},
        {(1, 2): 3},
        {"a": cycle()},
        {"a": "\ud800"},
        {"\ud800": 1},
        {"a": 10**5000},
        {"a": 1j},
    ],
    ids=["object", "nested", "key", "cycle", "surrogate", "surrogate-key", "int", "complex"],
)
@pytest.mark.parametrize("encode", [encode_payload, encode_term])
def test_what_has_no_wire_form(encode: Callable[[object], Payload], value: object) -> None:
    with pytest.raises(EncodeError, match=f"^{type(value).__name__} cannot be encoded as JSON: "):
        encode(value)


class BrokenZone(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        raise LookupError("no such zone")

    def dst(self, when: datetime | None) -> None:
        return None

    def tzname(self, when: datetime | None) -> None:
        return None


def test_encoding_runs_code_of_the_value_which_may_raise_anything() -> None:
    unset = Note("soon gone")
    del unset.body
    with pytest.raises(EncodeError, match="dict cannot be encoded as JSON: no such zone"):
        encode_payload({"at": datetime(2026, 8, 21, tzinfo=BrokenZone())})
    with pytest.raises(EncodeError, match=r"^Note cannot be encoded as JSON: .*body"):
        encode_payload(unset)


@pytest.mark.parametrize("data", [b'{"a": [1, 2]}', b"{}", b' \t\r\n{"a":1} '])
def test_raw_is_json_already(data: bytes) -> None:
    for encode in (encode_payload, encode_term):
        assert bytes(encode(Raw(data))) == data


@pytest.mark.parametrize("data", [b"", b"{", b"nonsense", b'{"a":1e400}', b'{"a":"\xff"}', b"{} {}"])
def test_raw_that_is_no_json_would_end_every_connection_it_reaches(data: bytes) -> None:
    for encode in (encode_payload, encode_term):
        with pytest.raises(EncodeError, match=r"^Raw cannot be encoded as JSON: "):
            encode(Raw(data))


def test_the_json_is_compact_and_raw_utf8() -> None:
    # As Phoenix writes it: no spaces, no \uXXXX for what is not ASCII, `/` not escaped.
    assert bytes(encode_payload({"ä/€": [1, 2], "b": "😀"})) == '{"ä/€":[1,2],"b":"😀"}'.encode()


@given(JSON)
def test_terms_round_trip(value: Any) -> None:
    payload = encode_term(value)
    assert decode_payload(payload) == value
    assert json.loads(bytes(payload)) == value


@given(st.binary())
def test_bytes_round_trip(value: bytes) -> None:
    assert decode_payload(encode_payload(value)) == value


def test_text_as_utf8() -> None:
    assert text_bytes("topic", "ä/€" * 200) == ("ä/€" * 200).encode()
    for encode in (text_bytes, field_bytes):
        with pytest.raises(EncodeError, match=r"^topic is text without lone surrogates: "):
            encode("topic", "\ud800")


def test_p040_a_field_of_a_binary_message_is_at_most_255_bytes() -> None:
    assert field_bytes("event", "ö" * 127 + "x") == ("ö" * 127 + "x").encode()
    with pytest.raises(
        EncodeError, match=r"^event of a binary message is at most 255 bytes, this one has 256 \(P-040\)$"
    ):
        field_bytes("event", "ö" * 128)


def test_p072_a_broadcast_is_encoded_at_the_call() -> None:
    broadcast = encode_broadcast("room:lobby", "shout", {"a": 1})
    assert (broadcast.topic, broadcast.event) == ("room:lobby", "shout")
    assert decode_payload(broadcast.payload) == {"a": 1}
    assert encode_broadcast("t" * 300, "e", {}).topic == "t" * 300
    assert encode_broadcast("t" * 255, "e", b"\0").payload == b"\0"


@pytest.mark.feature("B097", "C09")
@pytest.mark.parametrize(
    ("topic", "event", "payload", "text"),
    [
        ("t", "e", [], "is an object"),
        ("t", "e", {"a": object()}, "cannot be encoded as JSON"),
        ("t" * 256, "e", b"", "topic of a binary message is at most 255 bytes"),
        ("t", "e" * 256, b"", "event of a binary message is at most 255 bytes"),
        ("\ud800", "e", {}, "topic is text without lone surrogates"),
        ("t", "\ud800", b"", "event is text without lone surrogates"),
    ],
)
def test_p075_what_cannot_be_broadcast_raises_at_the_call(topic: str, event: str, payload: object, text: str) -> None:
    with pytest.raises(EncodeError, match=text):
        encode_broadcast(topic, event, payload)


@pytest.mark.parametrize(("topic", "event"), [(None, "e"), ("t", 5), (b"t", "e"), ("t", b"e")])
def test_p072_topic_and_event_are_strings(topic: Any, event: Any) -> None:
    with pytest.raises(TypeError, match="topic and event of a broadcast are strings, not "):
        encode_broadcast(topic, event, {})
