"""Whatever a client sends, and whatever is sent to it: properties of both versions."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from phoenix_channels.protocol.errors import EncodeError, RemoteProtocolError
from phoenix_channels.protocol.messages import PHX_CLOSE, Message, Opcode
from phoenix_channels.protocol.serializers import Serializer, V1JSONSerializer, V2JSONSerializer
from tests.protocol.wire import ServerFrame, client_binary, read

V1: Serializer = V1JSONSerializer()
V2: Serializer = V2JSONSerializer()
BOTH = pytest.mark.parametrize("serializer", [V1, V2], ids=["V1", "V2"])

TERMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
REFS = TERMS | st.integers(0, 20).map(str)
NAMES = st.text(max_size=20)
OPCODES = st.sampled_from(Opcode)
STATUSES = st.sampled_from(["ok", "error"]) | NAMES


def raw(term: Any) -> Raw:
    return Raw(json.dumps(term).encode())


def canonical(term: Any) -> str:
    """Tells 1, 1.0 and true apart, which Python takes for equal, and not the order of keys."""
    return json.dumps(term, sort_keys=True)


def assert_same(left: Any, right: Any) -> None:
    assert canonical(left) == canonical(right)


# What clients send


@given(st.tuples(REFS, REFS, TERMS, TERMS, TERMS), st.booleans())
def test_v2_text_comes_in_as_it_was_sent(sent: tuple[Any, ...], as_bytes: bool) -> None:
    text = json.dumps(sent)
    message = V2.decode(text.encode() if as_bytes else text, Opcode.TEXT)
    assert isinstance(message.payload, Raw)
    received = (message.join_ref, message.ref, message.topic, message.event, json.loads(bytes(message.payload)))
    assert_same(received, sent)


@given(st.permutations(["join_ref", "ref", "topic", "event", "payload"]), st.lists(TERMS, min_size=5, max_size=5))
def test_v1_comes_in_as_it_was_sent_in_any_order_of_keys(keys: list[str], terms: list[Any]) -> None:
    sent = dict(zip(keys, terms, strict=True))
    message = V1.decode(json.dumps(sent), Opcode.TEXT)
    received = {name: getattr(message, name) for name in sent}
    received["payload"] = json.loads(bytes(received["payload"]))
    assert_same(received, sent)


@given(NAMES, NAMES, NAMES, NAMES, st.binary())
def test_v2_binary_comes_in_as_it_was_sent(join_ref: str, ref: str, topic: str, event: str, data: bytes) -> None:
    message = V2.decode(client_binary(join_ref, ref, topic, event, data), Opcode.BINARY)
    assert message == Message(join_ref or None, ref, topic, event, data)


# What servers send


@given(REFS, REFS, TERMS, TERMS, st.tuples(NAMES, STATUSES))
def test_v2_text_goes_out_as_it_was_meant(
    join_ref: Any, ref: Any, topic: Any, response: Any, names: tuple[str, str]
) -> None:
    event, status = names
    payload = {"a": response}
    assert_same(read(V2.encode_push(join_ref, "t", event, raw(payload))), [join_ref, None, "t", event, payload, False])
    assert_same(read(V2.encode_broadcast("t", event, raw(payload))), [None, None, "t", event, payload, False])
    end = read(V2.encode_end(join_ref, ref, "t", PHX_CLOSE, raw({})))
    assert_same(end, [join_ref, join_ref, "t", PHX_CLOSE, {}, False])
    reply = read(V2.encode_reply(join_ref, ref, topic, status, raw(response)))
    assert_same(reply, [join_ref, ref, topic, "phx_reply", {"status": status, "response": response}, False])


@given(REFS, REFS, TERMS, TERMS, st.tuples(NAMES, STATUSES))
def test_v1_goes_out_as_it_was_meant(
    join_ref: Any, ref: Any, topic: Any, response: Any, names: tuple[str, str]
) -> None:
    event, status = names
    payload = {"a": response}
    assert_same(read(V1.encode_push(join_ref, "t", event, raw(payload))), [None, None, "t", event, payload, False])
    assert_same(read(V1.encode_broadcast("t", event, raw(payload))), [None, None, "t", event, payload, False])
    end = read(V1.encode_end(join_ref, ref, "t", PHX_CLOSE, raw({})))
    assert_same(end, [None, ref if join_ref is None else join_ref, "t", PHX_CLOSE, {}, False])
    reply = read(V1.encode_reply(join_ref, ref, topic, status, raw(response)))
    assert_same(reply, [None, ref, topic, "phx_reply", {"status": status, "response": response}, False])


def in_header(ref: Any) -> str:
    """P-039: null is zero length, strings are themselves, everything else is stringified."""
    return "" if ref is None else ref if isinstance(ref, str) else msgspec.json.encode(ref).decode()


@given(REFS, REFS, NAMES, STATUSES, st.binary())
def test_v2_binary_goes_out_as_it_was_meant(join_ref: Any, ref: Any, topic: str, status: str, data: bytes) -> None:
    refs = [in_header(join_ref), in_header(ref)]
    reply = {"status": status, "response": data}
    if all(len(text.encode()) <= 255 for text in refs):
        assert read(V2.encode_push(join_ref, topic, status, data)) == (refs[0], None, topic, status, data, True)
        assert read(V2.encode_reply(join_ref, ref, topic, status, data)) == (*refs, topic, "phx_reply", reply, True)
    else:
        with pytest.raises(EncodeError, match="at most 255 bytes"):
            V2.encode_reply(join_ref, ref, topic, status, data)
    assert read(V2.encode_broadcast(topic, status, data)) == ServerFrame(None, None, topic, status, data, binary=True)


# What nobody should send


def decode(serializer: Serializer, data: bytes | str, opcode: Opcode) -> Message | None:
    """None stands for the documented error; any other one is the test's."""
    try:
        return serializer.decode(data, opcode)
    except RemoteProtocolError as error:
        if error.close_code != 1011:
            raise
        return None


def damage(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from([text[:-1], text[1:], text + "]", text.replace('"', "", 1), text.replace(",", "\ud800,", 1)])


# Arrays, objects and headers that are nearly right get further into the decoders than noise.
ARRAYS = st.lists(TERMS, max_size=7).map(json.dumps)
KEYS = st.sampled_from(["topic", "event", "payload", "ref", "join_ref", "x"])
OBJECTS = st.dictionaries(KEYS, TERMS).map(json.dumps)
PIECES = st.text(st.sampled_from('[]{},:"\\u019eE.-+nulltruefalse \n\ud800'))
TEXTS = st.text(st.characters()) | ARRAYS | OBJECTS | (ARRAYS | OBJECTS).flatmap(damage) | PIECES
HEADERS = st.tuples(st.lists(st.integers(0, 6), max_size=6).map(bytes), st.binary()).map(b"".join)
ANYTHING = TEXTS | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary() | HEADERS


@given(ANYTHING, OPCODES)
@BOTH
def test_nothing_but_the_documented_error_p046(serializer: Serializer, data: bytes | str, opcode: Opcode) -> None:
    message = decode(serializer, data, opcode)
    if message is not None:
        # What can be decoded can be echoed, and its payload can be read.
        serializer.encode_reply(message.join_ref, message.ref, message.topic, "ok", raw({}))
        if isinstance(message.payload, Raw):
            json.loads(bytes(message.payload))


@given(st.tuples(REFS, REFS), st.data())
def test_a_damaged_byte_makes_no_other_error_p046(refs: tuple[Any, Any], data: st.DataObject) -> None:
    text = json.dumps([*refs, "room:lobby", "shout", {"a": [1, "ö", None]}], ensure_ascii=False).encode()
    for message, opcode in ((text, Opcode.TEXT), (client_binary("12", "123", "t", "shöut", b"\0\1"), Opcode.BINARY)):
        at = data.draw(st.integers(0, len(message) - 1))
        damaged = message[:at] + data.draw(st.binary(max_size=2)) + message[at + 1 :]
        decode(V1, damaged, opcode)
        decode(V2, damaged, opcode)
