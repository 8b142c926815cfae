"""P-030 to P-046: the two versions of the wire format, byte by byte."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from phoenix_channels.protocol.errors import EncodeError, RemoteProtocolError
from phoenix_channels.protocol.messages import EMPTY, PHX_CLOSE, PHX_ERROR, Frame, Message, Opcode
from phoenix_channels.protocol.serializers import SERIALIZERS, Serializer, V1JSONSerializer, V2JSONSerializer
from tests.protocol.wire import client_binary, parse_hex, read

V1: Serializer = V1JSONSerializer()
V2: Serializer = V2JSONSerializer()
BOTH = pytest.mark.parametrize("serializer", [V1, V2], ids=["V1", "V2"])


def fields(message: Message) -> tuple[Any, ...]:
    payload = message.payload
    plain = json.loads(bytes(payload)) if isinstance(payload, Raw) else payload
    return (message.join_ref, message.ref, message.topic, message.event, plain)


def same(left: Any, right: Any) -> bool:
    """Equal in type and value: for Python alone 1, True and 1.0 are all the same."""
    return bool(left == right) and json.dumps(left) == json.dumps(right)


# What keeps its type and value when it is echoed (P-031).
REFS = ["1", "", "ünï", 7, 0, -1, 7.5, 7.0, True, None, {"n": [1]}, [1, "1", 1.0, True], 2**64, -(2**70), "0" * 300]


# V2 text


@pytest.mark.feature("B096")
def test_p030_five_elements() -> None:
    message = V2.decode('["1","2","room:lobby","shout",{"a":1}]', Opcode.TEXT)
    assert fields(message) == ("1", "2", "room:lobby", "shout", {"a": 1})


@pytest.mark.parametrize("tail", [',"more"', ",null", ',{"a":[1]},2,3'])
def test_p030_elements_after_the_fifth_are_ignored(tail: str) -> None:
    message = V2.decode(f'["1","2","t","e",{{}}{tail}]', Opcode.TEXT)
    assert fields(message) == ("1", "2", "t", "e", {})


@pytest.mark.parametrize("ref", REFS, ids=lambda ref: repr(ref)[:20])
def test_p031_refs_keep_type_and_value(ref: Any) -> None:
    message = V2.decode(json.dumps([ref, ref, "t", "e", {}]), Opcode.TEXT)
    assert same(message.join_ref, ref)
    assert same(message.ref, ref)
    frame = read(V2.encode_reply(message.join_ref, message.ref, "t", "ok", EMPTY))
    assert same(frame.join_ref, ref)
    assert same(frame.ref, ref)


@pytest.mark.parametrize("term", [None, 5, 1.5, True, [], ["a"], {"a": 1}])
def test_p031_topic_and_event_may_be_any_term(term: Any) -> None:
    message = V2.decode(json.dumps(["1", "2", term, term, {}]), Opcode.TEXT)
    assert same(message.topic, term)
    assert same(message.event, term)
    assert same(read(V2.encode_reply(None, "2", message.topic, "error", EMPTY)).topic, term)


@pytest.mark.parametrize("payload", ["{}", "[]", "null", "5", '"text"', "true", '{"a": [1, {"b": null}]}'])
def test_p031_a_client_may_send_any_term_as_payload(payload: str) -> None:
    assert fields(V2.decode(f'["1","2","t","e",{payload}]', Opcode.TEXT))[4] == json.loads(payload)


def test_text_may_come_as_bytes() -> None:
    assert fields(V2.decode('["1","2","größe","e",{}]'.encode(), Opcode.TEXT))[2] == "größe"


@pytest.mark.feature("B096")
@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (V2.encode_push("20", "room:a", "p1", EMPTY), '["20",null,"room:a","p1",{}]'),
        (V2.encode_push(None, "room:a", "p1", EMPTY), '[null,null,"room:a","p1",{}]'),
        (V2.encode_broadcast("room:a", "bc", Raw(b'{"z":1}')), '[null,null,"room:a","bc",{"z":1}]'),
        (
            V2.encode_reply("20", "21", "room:a", "ok", EMPTY),
            '["20","21","room:a","phx_reply",{"status":"ok","response":{}}]',
        ),
        (V2.encode_end("20", "19", "room:a", PHX_CLOSE, EMPTY), '["20","20","room:a","phx_close",{}]'),
        (V2.encode_end(None, "19", "room:a", PHX_ERROR, EMPTY), '[null,null,"room:a","phx_error",{}]'),
        (V2.encode_push("1", "ä/€", "😀", EMPTY), '["1",null,"ä/€","😀",{}]'),
    ],
)
def test_p032_text_frames_compact_and_raw(frame: Frame, expected: str) -> None:
    assert (frame.opcode, frame.text) == (Opcode.TEXT, expected)


@pytest.mark.parametrize("response", [b"[]", b"null", b'"text"', b"7", b'{"a":1}'])
@BOTH
def test_p033_a_response_may_be_any_term(serializer: Serializer, response: bytes) -> None:
    frame = read(serializer.encode_reply("1", "2", "t", "ok", Raw(response)))
    assert frame.payload == {"status": "ok", "response": json.loads(response)}


@pytest.mark.parametrize("status", ["ok", "error", "wait", "", "größe"])
@BOTH
def test_p034_any_status_passes_through(serializer: Serializer, status: str) -> None:
    assert read(serializer.encode_reply("1", "2", "t", status, EMPTY)).payload["status"] == status
    if serializer is V2:
        assert read(V2.encode_reply("1", "2", "t", status, b"")).payload["status"] == status


# V2 binary


@pytest.mark.feature("B098")
def test_p035_a_client_pushes_kind_0() -> None:
    data = bytes.fromhex("00 02 03 05 05 3132 313233 746f706963 6576656e74 656667")
    assert V2.decode(data, Opcode.BINARY) == Message("12", "123", "topic", "event", b"efg")
    assert client_binary("12", "123", "topic", "event", b"efg") == data


@pytest.mark.feature("B098")
@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        # P-036, P-037, P-038: the examples of the spec, then P-039: null is zero length, other refs are stringified.
        (V2.encode_push("12", "topic", "event", b"efg"), "00 02 05 05 3132 746f706963 6576656e74 656667"),
        (V2.encode_reply("12", "123", "topic", "ok", b"efg"), "01 02 03 05 02 3132 313233 746f706963 6f6b 656667"),
        (V2.encode_broadcast("topic", "event", b"efg"), "02 05 05 746f706963 6576656e74 656667"),
        (V2.encode_push(None, "t", "e", b""), '00 00 01 01 "te"'),
        (V2.encode_reply(None, None, "t", "ok", b""), '01 00 00 01 02 "tok"'),
        (V2.encode_reply(7, True, "t", "ok", b""), '01 01 04 01 02 "7truetok"'),
        (V2.encode_reply(0, False, "t", "ok", b""), '01 01 05 01 02 "0falsetok"'),
        (V2.encode_reply(1.5, [1], "t", "ok", b""), '01 03 03 01 02 "1.5[1]tok"'),
        (V2.encode_broadcast("ö", "€", b"\xff"), '02 02 03 "ö€" ff'),
    ],
)
def test_p036_to_p039_binary_frames(frame: Frame, expected: str) -> None:
    assert (frame.opcode, frame.data) == (Opcode.BINARY, parse_hex(expected))


def test_p039_a_zero_length_join_ref_means_null_and_a_zero_length_ref_is_kept() -> None:
    message = V2.decode(client_binary("", "", "t", "e", b""), Opcode.BINARY)
    assert message == Message(None, "", "t", "e", b"")
    assert V2.encode_reply(None, message.ref, "t", "ok", b"").data == parse_hex('01 00 00 01 02 "tok"')


@pytest.mark.parametrize("text", ["x" * 255, "ö" * 127 + "x"], ids=["255", "254+1"])
def test_p040_up_to_255_bytes_a_field(text: str) -> None:
    for frame in (
        V2.encode_push(text, text, text, b"1"),
        V2.encode_reply(text, text, text, text, b"1"),
        V2.encode_broadcast(text, text, b"1"),
    ):
        assert read(frame).topic == text
    assert fields(V2.decode(client_binary(text, text, text, text, b"1"), Opcode.BINARY)) == (text,) * 4 + (b"1",)


@pytest.mark.feature("B099")
@pytest.mark.parametrize(("text", "size"), [("x" * 256, 256), ("ö" * 128, 256), ("x" * 1000, 1000)])
@pytest.mark.parametrize("field", ["join_ref", "ref", "topic", "event", "status"])
def test_p040_a_longer_field_raises_naming_it_and_its_size(field: str, text: str, size: int) -> None:
    arguments = {"join_ref": "1", "ref": "2", "topic": "t", "event": "e", "status": "ok"} | {field: text}
    forms: list[tuple[tuple[str, ...], Callable[..., Frame]]] = [
        (("join_ref", "topic", "event"), V2.encode_push),
        (("join_ref", "ref", "topic", "status"), V2.encode_reply),
        (("topic", "event"), V2.encode_broadcast),
    ]
    for names, encode in forms:
        if field in names:
            with pytest.raises(EncodeError, match=rf"^{field} .* at most 255 bytes, this one has {size}"):
                encode(*(arguments[name] for name in names), b"")


def test_p040_text_frames_have_no_such_limit() -> None:
    assert read(V2.encode_push("1" * 300, "t" * 300, "e" * 300, EMPTY)).topic == "t" * 300


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0\0\0\0",
        parse_hex('01 01 01 01 01 "12te"'),
        parse_hex('02 01 01 "te"'),
        parse_hex('03 01 01 01 01 "12te"'),
        parse_hex('00 01 01 01 01 "12t"'),
        parse_hex('00 ff 01 01 01 "12te"'),
        parse_hex('00 01 01 01 05 "12te"'),
        parse_hex('00 01 01 01 01 ff "2te"'),
        parse_hex('00 01 01 01 01 "1" ff "te"'),
        parse_hex('00 01 01 01 01 "12" ff "e"'),
        b'["1","2","t","e",{}]',
    ],
    ids=lambda data: data.hex(" "),
)
def test_p041_malformed_binary_frames(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="undecodable") as caught:
        V2.decode(data, Opcode.BINARY)
    assert caught.value.close_code == 1011


def test_p041_what_clients_before_1_8_7_make_of_non_ascii_text() -> None:
    # They write "ö" as the single byte f6, which is no UTF-8.  A topic or ref like that could not be echoed ...
    with pytest.raises(RemoteProtocolError):
        V2.decode(b"\0\1\1\1\1" + b"12\xf6e", Opcode.BINARY)
    # ... an event is, and is one that nobody handles.
    assert V2.decode(b"\0\1\1\1\1" + b"12t\xf6", Opcode.BINARY) == Message("1", "2", "t", "\ufffd", b"")


def test_a_binary_frame_may_come_as_a_string() -> None:
    # For a transport that has no other type.
    assert V2.decode(client_binary("1", "2", "t", "e", b"x").decode(), Opcode.BINARY).payload == b"x"


# V1


@pytest.mark.feature("B078", "B095")
def test_p043_objects_with_four_keys_and_an_optional_join_ref() -> None:
    text = '{"topic":"room:a","event":"phx_join","payload":{"a":1},"ref":"2"}'
    assert fields(V1.decode(text, Opcode.TEXT)) == (None, "2", "room:a", "phx_join", {"a": 1})
    text = '{"topic":"room:a","event":"e","payload":null,"ref":null,"join_ref":"1","more":true}'
    assert fields(V1.decode(text, Opcode.TEXT)) == ("1", None, "room:a", "e", None)


@pytest.mark.feature("B078")
@pytest.mark.parametrize("missing", ["topic", "event", "payload", "ref"])
def test_p043_a_missing_key_is_malformed(missing: str) -> None:
    message = {"topic": "room:a", "event": "e", "payload": {}, "ref": "2", "join_ref": "1"}
    del message[missing]
    with pytest.raises(RemoteProtocolError, match=missing):
        V1.decode(json.dumps(message), Opcode.TEXT)


V1_PUSH = '{"topic":"t","event":"p1","payload":{},"ref":null}'
V1_REPLY = '{"topic":"t","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"2"}'


@pytest.mark.feature("B095")
@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (V1.encode_reply("1", "2", "t", "ok", EMPTY), V1_REPLY),
        (V1.encode_push("1", "t", "p1", EMPTY), V1_PUSH),
        (V1.encode_broadcast("t", "p1", EMPTY), V1_PUSH),
        # P-044: the join_ref, and where a client sends none the join's ref (recommended).
        (V1.encode_end("1", "2", "t", PHX_CLOSE, EMPTY), '{"topic":"t","event":"phx_close","payload":{},"ref":"1"}'),
        (V1.encode_end(None, "2", "t", PHX_ERROR, EMPTY), '{"topic":"t","event":"phx_error","payload":{},"ref":"2"}'),
    ],
)
def test_p043_server_frames_never_have_a_join_ref(frame: Frame, expected: str) -> None:
    assert (frame.opcode, frame.text) == (Opcode.TEXT, expected)


def test_p045_json_whatever_the_opcode() -> None:
    data = b'{"topic":"room:a","event":"e","payload":{},"ref":"2"}'
    assert V1.decode(data, Opcode.BINARY) == V1.decode(data, Opcode.TEXT) == V1.decode(data.decode(), Opcode.BINARY)


def test_p045_no_binary_payloads() -> None:
    with pytest.raises(EncodeError, match="no binary payloads"):
        V1.encode_push("1", "t", "e", b"\0")
    with pytest.raises(EncodeError, match="no binary payloads"):
        V1.encode_reply("1", "2", "t", "ok", b"\0")
    with pytest.raises(EncodeError, match="no binary payloads"):
        V1.encode_broadcast("t", "e", b"\0")


# Malformed input, both versions


def enclose(serializer: Serializer, term: bytes, where: str = "payload") -> bytes:
    """A message with this JSON somewhere in it."""
    parts = {"join_ref": b'"1"', "ref": b'"2"', "topic": b'"t"', "event": b'"e"', "payload": b"{}"} | {where: term}
    if serializer is V2:
        return b"[" + b",".join(parts.values()) + b"]"
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), part) for name, part in parts.items()) + b"}"


SHORT = ["", " ", "null", "5", '"text"', "[", "{", "]", "nonsense", "[]", "{}", '{"topic":"t"}', "\ufeff[]", "\0"]
LONG = ['["1","2","t","e"]', '["1","2","t","e",{}] x', '["1","2","t","e",{}', '["1","2","t","e",{},]', "[1 2 3 4 5]"]


@pytest.mark.parametrize("text", [*SHORT, *LONG])
@BOTH
def test_p046_malformed_messages(serializer: Serializer, text: str) -> None:
    for data in (text, text.encode()):
        with pytest.raises(RemoteProtocolError, match="undecodable message") as caught:
            serializer.decode(data, Opcode.TEXT)
        assert caught.value.close_code == 1011


BAD_TERMS = [b"1e400", b"NaN", b"-", b"01", b'"\xff"', b'"\\ud800"', b'"\\x"', b'"\n"', b'{"a":1e400}', b'{"\xff":1}']


@pytest.mark.parametrize("where", ["join_ref", "ref", "topic", "event", "payload", "more"])
@pytest.mark.parametrize("term", [*BAD_TERMS, b"[" * 100_000 + b"]" * 100_000], ids=lambda term: repr(term[:15]))
@BOTH
def test_p046_a_bad_term_anywhere_is_malformed_skipped_or_not(serializer: Serializer, term: bytes, where: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        serializer.decode(enclose(serializer, term, where), Opcode.TEXT)
    assert caught.value.close_code == 1011


@pytest.mark.parametrize("where", ["join_ref", "ref", "topic"])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["list", "dict"])
@BOTH
def test_what_is_echoed_is_not_nested_deeper_than_32(
    serializer: Serializer, opening: bytes, closing: bytes, where: str
) -> None:
    # Echoing it happens further down the stack than decoding it, so the recursion limit is no bound for it.
    def message(depth: int, where: str) -> bytes:
        return enclose(serializer, opening * depth + b"1" + closing * depth, where)

    serializer.decode(message(32, where), Opcode.TEXT)
    for depth in (33, 500, 100_000):
        with pytest.raises(RemoteProtocolError) as caught:
            serializer.decode(message(depth, where), Opcode.TEXT)
        assert caught.value.close_code == 1011
    serializer.decode(message(500, "payload"), Opcode.TEXT)


@pytest.mark.parametrize("where", ["join_ref", "ref", "topic", "event"])
@BOTH
def test_refs_topic_and_event_are_bounded_in_size(serializer: Serializer, where: str) -> None:
    # Refs and topics live as long as the channel and come back in every frame; the payload may be as large as a frame.
    def message(size: int, payload: bytes = b"{}") -> bytes:
        return enclose(serializer, b'"%s"' % (b"x" * size), where).replace(b"{}", payload)

    large = b'"%s"' % (b"x" * 100_000)
    for data in (message(65_000), message(65_000, large)):
        serializer.decode(data, Opcode.TEXT)
        serializer.decode(data.decode(), Opcode.TEXT)
    for data in (message(66_000), message(66_000, large)):
        with pytest.raises(RemoteProtocolError, match="more than 65536 bytes") as caught:
            serializer.decode(data, Opcode.TEXT)
        assert caught.value.close_code == 1011


def test_lone_surrogates_cannot_come_in_as_a_string() -> None:
    for opcode in Opcode:
        for serializer in (V1, V2):
            with pytest.raises(RemoteProtocolError):
                serializer.decode('["1","2","\ud800","e",{}]', opcode)


@BOTH
def test_a_topic_event_or_status_with_a_lone_surrogate_has_no_wire_form(serializer: Serializer) -> None:
    with pytest.raises(EncodeError, match="lone surrogates"):
        serializer.encode_push("1", "t", "\ud800", EMPTY)
    with pytest.raises(EncodeError, match="lone surrogates"):
        serializer.encode_broadcast("\ud800", "e", EMPTY)
    with pytest.raises(EncodeError, match="lone surrogates"):
        serializer.encode_reply("1", "2", "t", "\ud800", EMPTY)
    if serializer is V2:
        with pytest.raises(EncodeError, match="event is text without lone surrogates"):
            V2.encode_push("1", "t", "\ud800", b"")


def test_the_serializers_of_the_default_list_are_shared() -> None:
    # A broadcast is encoded once per serializer (P-073): connections of one version have to have the same one.
    assert SERIALIZERS.negotiate("2.0.0") is SERIALIZERS.negotiate("2.0.5")
    assert SERIALIZERS.negotiate("1.0.0") is SERIALIZERS.negotiate("1.0.9")


@pytest.mark.parametrize("event", [b"\xff", b"\xc3"])
def test_p041_an_event_that_is_no_text_is_one_that_nobody_handles(event: bytes) -> None:
    # It is not echoed, so it costs the channel and not the connection.
    assert V2.decode(b"\0\1\1\1\1" + b"12t" + event, Opcode.BINARY).event == "\ufffd"


@pytest.mark.parametrize("serializer", [V1, V2])
def test_refs_topic_and_event_are_bounded(serializer: Serializer) -> None:
    # They live as long as the channel and come back in every frame.
    topic = "t" * 65536
    array, mapping = ["1", "2", topic, "e", {}], {"ref": "2", "topic": topic, "event": "e", "payload": {}}
    with pytest.raises(RemoteProtocolError, match="more than 65536"):
        serializer.decode(json.dumps(array if serializer is V2 else mapping), Opcode.TEXT)
