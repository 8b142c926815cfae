"""The codec of a client: what its own tests fix, byte by byte, and that it and our server understand each other."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from phoenix_channels.protocol.client_messages import ServerMessage, check_message, decode_message, encode_message
from phoenix_channels.protocol.errors import EncodeError, RemoteProtocolError
from phoenix_channels.protocol.messages import EMPTY, Frame, Message, Opcode
from phoenix_channels.protocol.serializers import V2JSONSerializer
from tests.protocol.wire import parse_hex

SERVER = V2JSONSerializer()

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RAW = JSON.map(lambda term: Raw(json.dumps(term).encode()))
PAYLOADS = RAW | st.binary(max_size=20)
NAMES = st.text(max_size=20)
EVENTS = NAMES.filter(lambda name: name != "phx_reply")
REFS = st.none() | st.text(min_size=1, max_size=5)


def received(frame: Frame) -> ServerMessage:
    return decode_message(frame.data, frame.opcode)


# What a client sends


@pytest.mark.feature("B191")
@pytest.mark.parametrize(
    ("message", "text"),
    [
        ((None, "1", "phoenix", "heartbeat", EMPTY), '[null,"1","phoenix","heartbeat",{}]'),
        (("0", "1", "t", "e", Raw(b'{"foo":1}')), '["0","1","t","e",{"foo":1}]'),
        (("0", "1", "schön", "日", EMPTY), '["0","1","schön","日",{}]'),
    ],
)
def test_json_goes_out_as_text(message: Any, text: str) -> None:
    frame = encode_message(*message)
    assert (frame.opcode, frame.text) == (Opcode.TEXT, text)


@pytest.mark.feature("B191")
@pytest.mark.parametrize(
    ("message", "notation"),
    [
        (("0", "1", "t", "e", b"\1"), '00 01 01 01 01 "0" "1" "t" "e" 01'),
        (("12", "123", "topic", "event", b"efg"), '00 02 03 05 05 "12" "123" "topic" "event" "efg"'),
        # P-040: the lengths are those of UTF-8.
        (("0", "1", "tö", "日本", b""), '00 01 01 03 06 "0" "1" "tö" "日本"'),
        # P-039
        ((None, None, "t", "e", b""), '00 00 00 01 01 "t" "e"'),
    ],
)
def test_bytes_go_out_as_a_binary_push(message: Any, notation: str) -> None:
    frame = encode_message(*message)
    assert (frame.opcode, frame.data) == (Opcode.BINARY, parse_hex(notation))


@pytest.mark.parametrize("field", ["topic", "event"])
def test_a_field_of_a_binary_push_has_255_bytes_at_most_p040(field: str) -> None:
    fits, too_long = {"topic": "t", "event": "e", field: "x" * 255}, {"topic": "t", "event": "e", field: "ö" * 128}
    encode_message("1", "2", **fits, payload=b"")
    check_message(**fits, payload=b"")
    with pytest.raises(EncodeError, match=f"{field} of a binary message is at most 255 bytes, this one has 256"):
        encode_message("1", "2", **too_long, payload=b"")
    with pytest.raises(EncodeError, match="at most 255 bytes"):
        check_message(**too_long, payload=b"")
    # Text has no such limit.
    encode_message("1", "2", **too_long, payload=EMPTY)
    check_message(**too_long, payload=EMPTY)


@pytest.mark.parametrize("payload", [EMPTY, b""])
def test_lone_surrogates_cannot_be_sent(payload: Any) -> None:
    with pytest.raises(EncodeError, match="without lone surrogates"):
        encode_message("1", "2", "t", "\ud800", payload)
    with pytest.raises(EncodeError, match="without lone surrogates"):
        check_message("\ud800", "e", payload)


@given(REFS, REFS, NAMES, NAMES, PAYLOADS)
def test_our_server_reads_what_a_client_sends(
    join_ref: str | None, ref: str | None, topic: str, event: str, payload: Any
) -> None:
    frame = encode_message(join_ref, ref, topic, event, payload)
    message = SERVER.decode(frame.data, frame.opcode)
    # P-039: in a binary frame there is no null.
    expected_ref = ref if isinstance(payload, Raw) else ref or ""
    assert message == Message(join_ref, expected_ref, topic, event, payload)


# What a server sends


@pytest.mark.feature("B191")
@pytest.mark.parametrize(
    ("notation", "message"),
    [
        (
            '01 03 02 03 02 "100" "12" "top" "ok" 01 01',
            ServerMessage("100", "12", "top", "phx_reply", b"\1\1", status="ok"),
        ),
        ('00 03 03 0a "123" "top" "some-event" 01 01', ServerMessage("123", None, "top", "some-event", b"\1\1")),
        ('02 03 0a "top" "some-event" 01 01', ServerMessage(None, None, "top", "some-event", b"\1\1")),
        # The payload may be empty, and the lengths are those of UTF-8.
        ('02 03 06 "tö" "日本"', ServerMessage(None, None, "tö", "日本", b"")),
        # P-039
        ('00 00 01 01 "t" "e"', ServerMessage(None, None, "t", "e", b"")),
        ('01 00 00 01 02 "t" "ok"', ServerMessage(None, None, "t", "phx_reply", b"", status="ok")),
    ],
)
def test_binary_frames_come_in(notation: str, message: ServerMessage) -> None:
    assert decode_message(parse_hex(notation), Opcode.BINARY) == message


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["1",null,"t","e",{"a":1}]', ServerMessage("1", None, "t", "e", Raw(b'{"a":1}'))),
        ('[null,null,"t","e",null]', ServerMessage(None, None, "t", "e", Raw(b"null"))),
        ('[null,null,"t","e",{},1,2]', ServerMessage(None, None, "t", "e", EMPTY)),
        (
            '["1","2","t","phx_reply",{"response":[1],"status":"fine","more":0}]',
            ServerMessage("1", "2", "t", "phx_reply", Raw(b"[1]"), status="fine"),
        ),
    ],
)
def test_text_comes_in(text: str, message: ServerMessage, as_bytes: bool) -> None:
    assert decode_message(text.encode() if as_bytes else text, Opcode.TEXT) == message


@given(st.tuples(REFS, REFS), NAMES, EVENTS, NAMES, PAYLOADS)
def test_a_client_reads_what_our_server_sends(
    refs: tuple[str | None, str | None], topic: str, event: str, status: str, payload: Any
) -> None:
    join_ref, ref = refs
    pushed = received(SERVER.encode_push(join_ref, topic, event, payload))
    assert pushed == ServerMessage(join_ref, None, topic, event, payload)
    broadcast = received(SERVER.encode_broadcast(topic, event, payload))
    assert broadcast == ServerMessage(None, None, topic, event, payload)
    reply = received(SERVER.encode_reply(join_ref, ref, topic, status, payload))
    assert reply == ServerMessage(join_ref, ref, topic, "phx_reply", payload, status=status)
    end = received(SERVER.encode_end(join_ref, ref, topic, "phx_close", EMPTY))
    assert end == ServerMessage(join_ref, join_ref, topic, "phx_close", EMPTY)


# What no server should send


@pytest.mark.parametrize(
    ("data", "opcode"),
    [
        ("", Opcode.TEXT),
        ("null", Opcode.TEXT),
        ('["1","2","t","e"]', Opcode.TEXT),
        ('{"topic":"t","event":"e","payload":{},"ref":null}', Opcode.TEXT),
        ('[1,"2","t","e",{}]', Opcode.TEXT),
        ('["1",2,"t","e",{}]', Opcode.TEXT),
        ('["1","2",null,"e",{}]', Opcode.TEXT),
        ('["1","2","t",null,{}]', Opcode.TEXT),
        ('["1","2","t","e",1e400]', Opcode.TEXT),
        ('["1","2","t","e",{},1e400]', Opcode.TEXT),
        (b'["1","2","t","e","\xff"]', Opcode.TEXT),
        ('["1","2","t","\ud800",{}]', Opcode.TEXT),
        ('["1","2","t","e",' + "[" * 100_000, Opcode.TEXT),
        # P-141
        ('["1","2","t","phx_reply",{"status":"ok"}]', Opcode.TEXT),
        ('["1","2","t","phx_reply",{"status":1,"response":{}}]', Opcode.TEXT),
        ('["1","2","t","phx_reply",null]', Opcode.TEXT),
        (parse_hex('02 01 09 "t" "phx_reply"'), Opcode.BINARY),
        (b"", Opcode.BINARY),
        (b"\0", Opcode.BINARY),
        (b"\3\0\0\0\0\0", Opcode.BINARY),
        (parse_hex('01 01 01 01 03 "1" "2" "t" "ok"'), Opcode.BINARY),
        (parse_hex("02 01 01 ff 00"), Opcode.BINARY),
        ("\ud800", Opcode.BINARY),
    ],
)
def test_what_is_malformed_closes_the_connection(data: str | bytes, opcode: Opcode) -> None:
    with pytest.raises(RemoteProtocolError, match="undecodable message: ") as caught:
        decode_message(data, opcode)
    assert caught.value.close_code == 1007


SHAPES = st.lists(JSON | st.just("phx_reply") | st.just({"status": "ok", "response": 1}), max_size=6).map(json.dumps)
HEADERS = st.tuples(st.lists(st.integers(0, 6), max_size=6).map(bytes), st.binary()).map(b"".join)


@given(st.text(st.characters()) | SHAPES | st.binary() | HEADERS, st.sampled_from(Opcode))
def test_nothing_but_the_documented_error(data: str | bytes, opcode: Opcode) -> None:
    try:
        message = decode_message(data, opcode)
    except RemoteProtocolError as error:
        if error.close_code != 1007:
            raise
    else:
        assert (message.status is None) is (message.event != "phx_reply")
        if isinstance(message.payload, Raw):
            json.loads(bytes(message.payload))


@pytest.mark.parametrize(("size", "kept"), [(10, 1), (10_000, 0)])
def test_a_payload_does_not_keep_a_frame_that_is_far_larger(size: int, kept: int) -> None:
    data = b'[null,null,"t","e",{"a":1},"%b"]' % (size * b"x")
    before = sys.getrefcount(data)
    message = decode_message(data, Opcode.TEXT)
    assert bytes(message.payload) == b'{"a":1}'
    assert sys.getrefcount(data) == before + kept
