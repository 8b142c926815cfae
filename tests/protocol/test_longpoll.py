"""P-092 to P-100: bodies of long polls, and a session that answers its polls."""

import base64
import json
import tracemalloc

import pytest

from phoenix_channels.protocol.errors import LocalProtocolError, RemoteProtocolError
from phoenix_channels.protocol.longpoll import (
    MAX_BODY_BYTES,
    MAX_ENTRIES,
    NDJSON,
    Answer,
    BadBody,
    Session,
    decode_body,
    encode_answer,
)
from phoenix_channels.protocol.messages import Opcode
from phoenix_channels.protocol.serializers import V1JSONSerializer, V2JSONSerializer
from tests.protocol.wire import client_binary

JOIN = b'["1","1","room:a","phx_join",{}]'


def texts(*lines: bytes) -> list[tuple[bytes, Opcode]]:
    return [(line, Opcode.TEXT) for line in lines]


# The body of a POST


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_p099_a_batch_has_a_message_per_line(ending: bytes) -> None:
    assert decode_body(NDJSON, JOIN + ending + b"[2]") == texts(JOIN, b"[2]")


def test_p099_other_lines_are_base64_of_binary_frames() -> None:
    frame = client_binary("1", "2", "room:a", "upload", b"\x00\xff\n")
    batch = JOIN + b"\n" + base64.b64encode(frame) + b"\r\n" + JOIN
    decoded = decode_body(NDJSON, batch)
    assert decoded == [(JOIN, Opcode.TEXT), (frame, Opcode.BINARY), (JOIN, Opcode.TEXT)]
    assert V2JSONSerializer().decode(*decoded[1]).payload == b"\x00\xff\n"


BROKEN_BASE64 = b"A AA AAA AA= A=== ==== =AAA AA==AA== AA=A AAAA= AAAA== AAAA==== AA====== --__ AAA\xff"
NO_BASE64 = [b'"t"', b"1", b"AAA AAAA", b"AAAA\rAAAA", b"AAAA\x00"]


@pytest.mark.parametrize("line", BROKEN_BASE64.split() + NO_BASE64)
def test_p099_what_is_neither_json_text_nor_base64_fails_as_a_whole(line: bytes) -> None:
    with pytest.raises(BadBody, match="base64"):
        decode_body(NDJSON, JOIN + b"\n" + line)


def test_p099_no_more_than_a_hundred_messages_are_taken() -> None:
    lines = [b"[%d]" % number for number in range(MAX_ENTRIES + 1)]
    assert decode_body(NDJSON, b"\n".join(lines)) == texts(*lines[:MAX_ENTRIES])


def test_p099_what_comes_after_the_hundredth_is_not_looked_at() -> None:
    assert len(decode_body(NDJSON, b"[]\n" * MAX_ENTRIES + b"no base64")) == MAX_ENTRIES


def test_p099_blank_lines_do_not_count_as_messages() -> None:
    lines = [b"[%d]" % number for number in range(MAX_ENTRIES)]
    assert decode_body(NDJSON, b"\n\r\n \n".join(lines)) == texts(*lines)


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b" \n", b"\t\r\n", b"[\n", b"[]\r\n", b"AAAA\n"])
def test_a_body_of_millions_of_lines_costs_nothing(line: bytes) -> None:
    # CVE-2026-32689: all the lines were made before the first hundred were taken.
    body = line * (MAX_BODY_BYTES // len(line))
    tracemalloc.start()
    try:
        assert len(decode_body(NDJSON, body)) <= MAX_ENTRIES
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize("body", [b"", b"\n", b"\r\n\n", b" \t \r\n"])
def test_p100_blank_lines_are_no_messages(body: bytes) -> None:
    assert decode_body(NDJSON, body) == []
    assert decode_body(NDJSON, body + JOIN + b"\n" + body) == texts(JOIN)


@pytest.mark.parametrize(
    "content_type", ["application/x-ndjson; charset=utf-8", "application/x-ndjson;", "Application/X-NDJSON ;charset=x"]
)
def test_p100_parameters_and_case_of_the_media_type_do_not_matter(content_type: str) -> None:
    assert decode_body(content_type, b"[1]\n[2]") == texts(b"[1]", b"[2]")


def test_p100_a_batch_may_hold_the_objects_of_version_1() -> None:
    line = b'{"topic":"room:a","event":"shout","payload":{},"ref":"7"}'
    assert decode_body(NDJSON, line + b"\n") == texts(line)
    assert V1JSONSerializer().decode(line, Opcode.TEXT).ref == "7"


@pytest.mark.parametrize("content_type", [None, "", "application/json", "application/x-ndjson+x", "text/plain; a=b"])
@pytest.mark.parametrize("body", [b"", JOIN, b"[1]\n[2]\n", b"\n", b"AAAA"])
def test_p099_any_other_body_is_one_message(content_type: str | None, body: bytes) -> None:
    assert decode_body(content_type, body) == texts(body)


def test_a_message_that_is_not_utf_8_is_the_serializers_to_refuse() -> None:
    [message] = decode_body(NDJSON, b'["1","1","\xff","e",{}]')
    with pytest.raises(RemoteProtocolError):
        V2JSONSerializer().decode(*message)


@pytest.mark.parametrize("content_type", [NDJSON, None])
def test_p092_a_body_may_have_eight_million_bytes(content_type: str | None) -> None:
    longest = b"[" + b" " * (MAX_BODY_BYTES - 2) + b"]"
    assert decode_body(content_type, longest) == texts(longest)
    with pytest.raises(BadBody, match="8000000"):
        decode_body(content_type, longest + b" ")


# The body of an answer


def test_p093_an_answer_to_a_post_is_its_status() -> None:
    assert encode_answer(408) == b'{"status":408}'


def test_p093_an_answer_to_a_poll_has_the_token_and_its_messages() -> None:
    assert encode_answer(410, "T") == b'{"status":410,"token":"T","messages":[]}'
    assert encode_answer(204, "T", []) == b'{"status":204,"token":"T","messages":[]}'


def test_p110_a_message_is_a_string_of_json_inside_the_json() -> None:
    reply = b'["1","1","room:a","phx_reply",{"response":{},"status":"ok"}]'
    assert encode_answer(200, "T", [reply]) == (
        b'{"status":200,"token":"T","messages":["[\\"1\\",\\"1\\",\\"room:a\\",\\"phx_reply\\",'
        b'{\\"response\\":{},\\"status\\":\\"ok\\"}]"]}'
    )


def test_every_message_arrives_as_it_was_sent() -> None:
    messages = ['["a\\n\\u0000\\"\\\\"]', '["ünï \U0001f984 \u2028"]', "[]"]
    answer = json.loads(encode_answer(200, 'T"', [message.encode() for message in messages]))
    assert answer == {"status": 200, "token": 'T"', "messages": messages}


# The session


def waiting(*polls: str, window: float = 10.0, max_polls: int = 16) -> Session[str]:
    """A session whose polls came at 0, 1, 2, ..."""
    session: Session[str] = Session(window=window, max_polls=max_polls)
    for now, poll in enumerate(polls):
        assert session.poll(poll, now) == []
    return session


def test_p096_a_poll_gets_all_that_is_buffered_oldest_first() -> None:
    session = waiting()
    assert session.write(b"1") == session.write(b"22") == []
    assert session.buffered_bytes == 3
    assert session.poll("a", 0.0) == [Answer("a", 200, [b"1", b"22"])]
    assert (session.buffered_bytes, session.waiting) == (0, 0)


def test_p096_what_is_written_answers_the_poll_that_waits() -> None:
    session = waiting("a")
    assert session.write(b"1") == [Answer("a", 200, [b"1"])]
    assert session.write(b"2") == []
    assert session.poll("b", 1.0) == [Answer("b", 200, [b"2"])]


def test_p096_what_is_written_together_is_one_answer() -> None:
    session = waiting("a")
    assert session.write(b"1", b"2") == [Answer("a", 200, [b"1", b"2"])]
    assert session.write(b"3", b"44") == []
    assert session.buffered_bytes == 3
    assert session.poll("b", 1.0) == [Answer("b", 200, [b"3", b"44"])]


def test_writing_nothing_answers_nobody() -> None:
    session = waiting("a")
    assert session.write() == []
    assert session.waiting == 1


def test_p096_a_poll_that_waits_for_its_window_gets_nothing() -> None:
    session = waiting("a")
    assert session.next_deadline() == 10.0
    assert session.handle_timeout(9.9) == []
    assert session.handle_timeout(10.0) == [Answer("a", 204, [])]
    assert (session.next_deadline(), session.handle_timeout(99.0)) == (None, [])


def test_p097_the_newest_poll_receives() -> None:
    session = waiting("a", "b")
    assert session.write(b"1") == [Answer("b", 200, [b"1"])]
    assert session.handle_timeout(10.0) == [Answer("a", 204, [])]


def test_p097_a_replaced_poll_receives_nothing_even_when_it_waits_alone() -> None:
    session = waiting("a", "b")
    assert session.write(b"1") == [Answer("b", 200, [b"1"])]
    assert session.write(b"2") == []
    assert session.handle_timeout(10.0) == [Answer("a", 204, [])]
    assert session.poll("c", 10.0) == [Answer("c", 200, [b"2"])]


def test_p097_an_expired_poll_consumes_nothing() -> None:
    session = waiting("a")
    assert session.handle_timeout(10.0) == [Answer("a", 204, [])]
    assert session.write(b"1") == []
    assert session.poll("b", 11.0) == [Answer("b", 200, [b"1"])]


def test_p097_every_poll_has_its_own_window() -> None:
    session = waiting("a", "b")
    assert session.handle_timeout(10.5) == [Answer("a", 204, [])]
    assert session.next_deadline() == 11.0
    assert session.write(b"1") == [Answer("b", 200, [b"1"])]


def test_polls_that_are_late_together_are_answered_together() -> None:
    assert waiting("a", "b").handle_timeout(60.0) == [Answer("a", 204, []), Answer("b", 204, [])]


def test_p098_nobody_gets_a_message_twice() -> None:
    session = waiting("a")
    assert session.write(b"1") == [Answer("a", 200, [b"1"])]
    assert session.poll("b", 1.0) == []


def test_an_empty_message_is_a_message() -> None:
    session = waiting()
    session.write(b"")
    assert session.poll("a", 0.0) == [Answer("a", 200, [b""])]


def test_one_poll_too_many_ends_the_oldest() -> None:
    session = waiting("a", "b", max_polls=2)
    assert session.poll("c", 2.0) == [Answer("a", 204, [])]
    assert session.waiting == 2
    assert session.write(b"1") == [Answer("c", 200, [b"1"])]


def test_with_room_for_one_the_newest_stays() -> None:
    session = waiting("a", max_polls=1)
    assert session.poll("b", 1.0) == [Answer("a", 204, [])]
    assert session.write(b"1") == [Answer("b", 200, [b"1"])]


def test_without_room_for_any_poll_there_is_no_session() -> None:
    with pytest.raises(ValueError, match="max_polls is at least 1, not 0"):
        Session[str](window=1.0, max_polls=0)


def test_a_withdrawn_poll_consumes_nothing() -> None:
    session = waiting("a")
    session.withdraw("a")
    assert (session.waiting, session.next_deadline()) == (0, None)
    assert session.write(b"1") == []
    assert session.poll("b", 1.0) == [Answer("b", 200, [b"1"])]


def test_when_the_receiver_is_withdrawn_no_older_poll_takes_its_place() -> None:
    session = waiting("a", "b")
    session.withdraw("b")
    assert session.write(b"1") == []
    assert session.handle_timeout(10.0) == [Answer("a", 204, [])]
    assert session.buffered_bytes == 1


def test_when_an_older_poll_is_withdrawn_the_receiver_stays() -> None:
    session = waiting("a", "b")
    session.withdraw("a")
    assert session.write(b"1") == [Answer("b", 200, [b"1"])]


def test_a_poll_that_has_its_answer_can_be_withdrawn_without_harm() -> None:
    session = waiting("a")
    session.write(b"1")
    session.withdraw("a")
    assert session.poll("a", 1.0) == []


def test_the_same_poll_cannot_wait_twice() -> None:
    session = waiting("a", "b")
    with pytest.raises(LocalProtocolError, match="'a' waits already"):
        session.poll("a", 2.0)
    assert session.write(b"1") == [Answer("b", 200, [b"1"])]


def test_the_end_answers_whoever_waits() -> None:
    session = waiting("a", "b")
    assert session.end() == [Answer("a", 204, []), Answer("b", 204, [])]
    assert (session.waiting, session.next_deadline()) == (0, None)


def test_after_the_end_nothing_is_kept_and_nothing_waits() -> None:
    session = waiting()
    session.write(b"1")
    assert session.end() == []
    assert session.write(b"2") == []
    assert session.buffered_bytes == 0
    assert session.poll("a", 0.0) == [Answer("a", 204, [])]
    assert session.end() == session.handle_timeout(99.0) == []
