"""RFC 6455, P-083 and P-085: what a client's bytes mean, and with which code it is closed when they mean nothing."""

import gc
import importlib.util
import sys
import tracemalloc
import zlib
from itertools import pairwise
from random import Random

import pytest
from websockets.frames import Frame, Opcode

from phoenix_channels.protocol import frames
from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.frames import BINARY, CLOSE, FIN, PING, PONG, RSV1, TEXT, FrameParser, server_frame
from tests.protocol.websocket import (
    TAIL,
    Events,
    Heard,
    Limits,
    client_frame,
    deflate,
    head,
    headers,
    hear,
)

HELLO = client_frame(FIN | TEXT, b"hello")


def parser(limits: Limits = Limits(), *, inflate: bool = False) -> FrameParser:  # noqa: B008 (it never changes)
    return FrameParser(**limits._asdict(), inflate=inflate)


def heard(stream: bytes, limits: Limits = Limits(), *, inflate: bool = False) -> Heard:  # noqa: B008
    """In one piece; then byte by byte and frame by frame, which must be the same."""
    whole = hear(parser(limits, inflate=inflate), [stream])
    starts = [header.at for header in headers(stream)]
    for cuts in range(len(stream)), starts:
        chunks = (stream[start:end] for start, end in pairwise([*cuts, len(stream)]))
        assert hear(parser(limits, inflate=inflate), chunks) == whole
    return whole


def refused(stream: bytes, limits: Limits = Limits(), *, inflate: bool = False) -> int | None:  # noqa: B008
    events, close_code = heard(HELLO + stream, limits, inflate=inflate)
    assert events == [(TEXT, "hello")]
    return close_code


# Frames and messages


@pytest.mark.parametrize("size", [0, 1, 2, 3, 125, 126, 127, 65535, 65536])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_in_one_frame(opcode: int, size: int) -> None:
    payload = bytes(97 + index % 26 for index in range(size))
    stream = client_frame(FIN | opcode, payload)
    for chunks in [stream], [stream[:1], stream[1:]], [stream[:-1], stream[-1:]]:
        assert hear(parser(), chunks) == Heard([(opcode, payload.decode() if opcode == TEXT else payload)], None)


@pytest.mark.parametrize("mask", [bytes(4), b"\xff" * 4, b"\x00\x00\x00\x01"])
def test_any_mask_will_do(mask: bytes) -> None:
    assert heard(client_frame(FIN | TEXT, "žluť".encode(), mask=mask)).events == [(TEXT, "žluť")]


@pytest.mark.parametrize("opcode", [PING, PONG])
def test_control_frames_come_as_they_are(opcode: int) -> None:
    payloads = [b"", b"\x00\xff", b"x" * 125]
    stream = b"".join(client_frame(FIN | opcode, payload) for payload in payloads)
    assert heard(stream) == Heard([(opcode, payload) for payload in payloads], None)


def test_a_message_in_many_frames_with_control_frames_between() -> None:
    stream = [
        client_frame(TEXT, b'{"x":"\xc3'),
        client_frame(FIN | PING, b"mid"),
        client_frame(0, b"\xa9"),
        client_frame(0),
        client_frame(FIN | PONG),
        client_frame(FIN, b'"}'),
        client_frame(BINARY, b"\xc3"),
        client_frame(FIN, b"\x28"),
        HELLO,
    ]
    events: Events = [(PING, b"mid"), (PONG, b""), (TEXT, '{"x":"é"}'), (BINARY, b"\xc3\x28"), (TEXT, "hello")]
    assert heard(b"".join(stream)) == Heard(events, None)


@pytest.mark.parametrize("size", [2, 8])
def test_a_length_may_take_more_bytes_than_it_needs(size: int) -> None:
    assert heard(client_frame(FIN | TEXT, b"hello", size=size)).events == [(TEXT, "hello")]


# What closes with 1002


def test_a_frame_that_is_not_masked() -> None:
    assert refused(b"\x81\x05hello" * 2) == 1002
    assert refused(b"\x89\x00") == 1002


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_a_reserved_opcode(opcode: int) -> None:
    assert refused(client_frame(FIN | opcode)) == 1002


@pytest.mark.parametrize("bits", [0x40, 0x20, 0x10, 0x70])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_a_reserved_bit(opcode: int, bits: int) -> None:
    assert refused(client_frame(FIN | bits | opcode, b"")) == 1002


@pytest.mark.parametrize("first", [FIN | 0x60 | TEXT, FIN | 0x20 | TEXT, FIN | RSV1 | PING, FIN | RSV1 | CLOSE])
def test_a_reserved_bit_beside_or_apart_from_compressed_data(first: int) -> None:
    assert refused(client_frame(first, deflate(b"")), inflate=True) == 1002


@pytest.mark.parametrize("compressed", [RSV1, 0])
def test_rsv1_stands_on_the_first_frame_of_a_message_only(compressed: int) -> None:
    assert refused(client_frame(compressed | TEXT) + client_frame(FIN | RSV1), inflate=True) == 1002


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_control_frame_that_is_too_long_or_in_fragments(opcode: int) -> None:
    assert refused(head(FIN | opcode, 126)) == 1002
    assert refused(head(FIN | opcode, 65536)) == 1002
    assert refused(client_frame(opcode)) == 1002


def test_a_continuation_of_nothing_and_a_message_within_another() -> None:
    assert refused(client_frame(0)) == 1002
    assert refused(client_frame(FIN)) == 1002
    assert refused(client_frame(TEXT) + client_frame(TEXT)) == 1002
    assert refused(client_frame(BINARY) + HELLO) == 1002


def test_a_length_of_64_bits() -> None:
    assert refused(b"\x82\xff\x80" + bytes(7)) == 1002


# UTF-8


@pytest.mark.parametrize(
    "text", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"hello, \xe2\x82"]
)
def test_a_text_that_is_not_utf8(text: bytes) -> None:
    assert refused(client_frame(FIN | TEXT, text)) == 1007
    assert refused(client_frame(TEXT, text[:1]) + client_frame(FIN, text[1:])) == 1007
    assert refused(client_frame(FIN | RSV1 | TEXT, deflate(text)), inflate=True) == 1007


# Closing


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999, 5000, 65535])
def test_p082_a_close_frame_with_a_code_that_may_be_sent(code: int) -> None:
    payload = code.to_bytes(2, "big") + "konec ✓".encode()
    assert heard(HELLO + client_frame(FIN | CLOSE, payload) + HELLO) == Heard([(TEXT, "hello"), (CLOSE, payload)], None)


def test_a_close_frame_without_a_code() -> None:
    assert heard(client_frame(FIN | CLOSE) + b"\xff" * 20) == Heard([(CLOSE, b"")], None)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999])
def test_p082_a_close_code_that_may_not_be_sent(code: int) -> None:
    assert refused(client_frame(FIN | CLOSE, code.to_bytes(2, "big"))) == 1002


def test_p082_half_a_close_code_and_a_reason_that_is_not_utf8() -> None:
    assert refused(client_frame(FIN | CLOSE, b"\x03")) == 1002
    assert refused(client_frame(FIN | CLOSE, b"\x03\xe8\xff")) == 1002


def test_closed_within_a_message() -> None:
    assert refused(client_frame(TEXT, b"hel") + client_frame(FIN | CLOSE)) == 1002


def test_what_comes_after_the_end_is_dropped() -> None:
    mine = parser()
    mine.feed(client_frame(FIN | CLOSE) + HELLO)
    assert mine.next() == (CLOSE, b"")
    for _ in range(3):
        mine.feed(HELLO)
        mine.feed(HELLO)
        assert mine.next() is None
        assert not mine.waiting


def test_an_error_says_what_was_wrong_and_nothing_of_what_was_sent() -> None:
    mine = parser()
    mine.feed(client_frame(FIN | TEXT, b"secret\xff"))
    with pytest.raises(RemoteProtocolError, match=r"^no UTF-8: invalid start byte at position 6$") as caught:
        mine.next()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# Sizes


@pytest.mark.parametrize(("size", "header"), [(100, 6), (1000, 8), (70_000, 14)])
def test_p083_a_frame_is_measured_with_its_header(size: int, header: int) -> None:
    stream = client_frame(FIN | TEXT, b"x" * size)
    assert len(stream) == header + size
    assert hear(parser(Limits(max_frame_size=len(stream))), [stream]).events == [(TEXT, "x" * size)]
    assert hear(parser(Limits(max_frame_size=len(stream) - 1)), [stream]) == Heard([], 1009)


@pytest.mark.parametrize("first", [FIN | TEXT, BINARY])
@pytest.mark.parametrize("length", [1_048_563, 10_000_000, (1 << 63) - 1])
def test_p083_the_header_of_a_frame_that_is_too_large_is_enough(first: int, length: int) -> None:
    assert refused(head(first, length)) == 1009


def test_a_message_of_many_frames_has_a_limit_of_its_own() -> None:
    limits = Limits(max_frame_size=50, max_message_size=100)
    parts = [client_frame(TEXT, b"x" * 40), client_frame(0, b"x" * 40), client_frame(FIN | PING, b"x" * 40)]
    assert heard(b"".join([*parts, client_frame(FIN, b"x" * 20)]), limits).events[-1] == (TEXT, "x" * 100)
    assert heard(b"".join([*parts, head(FIN, 21)]), limits) == Heard([(PING, b"x" * 40)], 1009)
    assert heard(b"".join([*parts, client_frame(0, b"x" * 20), head(FIN, 1)]), limits).close_code == 1009


def test_a_message_of_one_frame_has_this_limit_too() -> None:
    limits = Limits(max_message_size=10)
    assert heard(client_frame(FIN | TEXT, b"x" * 10), limits).events == [(TEXT, "x" * 10)]
    for opcode in TEXT, BINARY:
        assert refused(head(FIN | opcode, 11), limits) == 1009
        assert refused(client_frame(FIN | opcode, b"x" * 11), limits) == 1009


def test_a_message_of_thousands_of_frames() -> None:
    most = client_frame(TEXT) + client_frame(0) * 4094
    assert hear(parser(), [(most + client_frame(FIN, b"x")) * 2]).events == [(TEXT, "x")] * 2
    assert hear(parser(), [most + client_frame(0) + client_frame(FIN, b"x")]) == Heard([], 1009)


# Compression


@pytest.mark.parametrize("text", ["", "é", "hello" * 1000])
@pytest.mark.parametrize("cut", [0, 1, 3])
@pytest.mark.parametrize("mode", [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH])
def test_a_compressed_message(text: str, cut: int, mode: int) -> None:
    data = deflate(text.encode(), mode=mode)
    stream = client_frame(RSV1 | TEXT, data[:cut]) + client_frame(FIN | PING) + client_frame(FIN, data[cut:])
    # Every message begins anew; some are not compressed.
    stream += client_frame(FIN | RSV1 | BINARY, data) + client_frame(TEXT, b"plain") + client_frame(FIN) + HELLO
    events: Events = [(PING, b""), (TEXT, text), (BINARY, text.encode()), (TEXT, "plain"), (TEXT, "hello")]
    assert heard(stream, inflate=True) == Heard(events, None)


def test_a_final_block_may_be_padded() -> None:
    # RFC 7692, 7.2.3.4
    stream = client_frame(FIN | RSV1 | TEXT, bytes.fromhex("f348cdc9c9070000"))
    assert heard(stream, inflate=True).events == [(TEXT, "Hello")]
    assert refused(client_frame(FIN | RSV1 | TEXT, bytes.fromhex("f348cdc9c9070000") * 2), inflate=True) == 1007


def test_p082_what_is_no_deflated_data() -> None:
    assert refused(client_frame(FIN | RSV1 | TEXT, b"\xff" * 9), inflate=True) == 1007
    assert refused(client_frame(RSV1 | TEXT, b"\xff" * 9), inflate=True) == 1007


def test_p083_a_decompression_bomb_is_defused() -> None:
    bomb = deflate(bytes(50_000_000))
    limits = Limits(max_message_size=100_000)
    stream = client_frame(FIN | RSV1 | TEXT, bomb)
    mine = parser(limits, inflate=True)
    tracemalloc.start()
    try:
        assert hear(mine, [stream]) == Heard([], 1009)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_p083_a_message_is_measured_when_it_is_inflated() -> None:
    limits = Limits(max_message_size=1000)
    assert heard(client_frame(FIN | RSV1 | TEXT, deflate(b"x" * 1000)), limits, inflate=True).events
    assert refused(client_frame(FIN | RSV1 | TEXT, deflate(b"x" * 1001)), limits, inflate=True) == 1009
    parts = client_frame(RSV1 | TEXT, deflate(b"x" * 900) + TAIL) + client_frame(FIN, deflate(b"y" * 101))
    assert refused(parts, limits, inflate=True) == 1009
    # There are data that become larger.
    data = Random(1).randbytes(1000)
    assert len(deflate(data)) > len(data)
    parts = client_frame(RSV1 | BINARY, deflate(data)[:1]) + client_frame(FIN, deflate(data)[1:])
    stream = client_frame(FIN | RSV1 | BINARY, deflate(data)) + parts
    assert heard(stream, limits, inflate=True).events == [(BINARY, data)] * 2


def test_a_client_may_fill_the_largest_window() -> None:
    far = Random(1).randbytes(32_000)
    stream = client_frame(FIN | RSV1 | BINARY, deflate(far * 2))
    assert len(stream) < 40_000
    assert hear(parser(inflate=True), [stream]).events == [(BINARY, far * 2)]


# Buffers


def held(mine: FrameParser) -> int:
    return sum(len(it) for it in gc.get_referents(mine) if isinstance(it, bytes | bytearray))


def test_between_two_messages_nothing_is_held() -> None:
    mine = parser()
    assert not hasattr(mine, "__dict__")
    for stream in HELLO, client_frame(TEXT) + client_frame(FIN), client_frame(FIN | BINARY, b"x" * 70_000):
        assert len(hear(mine, [stream[:4], stream[4:], b""]).events) == 1
        assert held(mine) == 0


def test_a_part_of_a_frame_does_not_hold_the_chunk_in_which_it_came() -> None:
    mine = parser()
    assert len(hear(mine, [HELLO * 5000 + HELLO[:3]]).events) == 5000
    assert held(mine) == 3
    assert mine.waiting


def test_the_caller_may_stop_between_two_messages() -> None:
    mine = parser()
    assert not mine.waiting
    mine.feed(HELLO * 2 + HELLO[:5])
    assert mine.waiting
    assert mine.next() == (TEXT, "hello")
    mine.feed(HELLO[5:])
    assert mine.waiting
    assert [mine.next(), mine.next(), mine.next()] == [(TEXT, "hello"), (TEXT, "hello"), None]
    assert not mine.waiting


@pytest.mark.parametrize("first", [FIN | TEXT, FIN | BINARY])
def test_a_large_frame_in_small_chunks_takes_little_more_than_twice_its_size(first: int) -> None:
    stream = client_frame(first, b"x" * 1_000_000)
    mine = parser()
    tracemalloc.start()
    try:
        for at in range(0, len(stream), 1000):
            mine.feed(stream[at : at + 1000])
            message = mine.next()
        assert message is not None
        assert len(message[1]) == 1_000_000
        assert tracemalloc.get_traced_memory()[1] < 2_500_000
    finally:
        tracemalloc.stop()


def test_small_frames_are_read_without_a_copy_of_those_behind_them() -> None:
    stream = (HELLO + client_frame(FIN | PING)) * 20_000
    mine = parser()
    tracemalloc.start()
    try:
        mine.feed(stream)
        while mine.next() is not None:
            pass
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


# What the server sends


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_of_the_server_are_those_of_websockets(size: int) -> None:
    payload = bytes(size)
    assert server_frame(FIN | BINARY, payload) == Frame(Opcode.BINARY, payload).serialize(mask=False)


def test_the_c_extension_of_websockets_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)
    spec = importlib.util.find_spec(frames.__name__)
    assert spec is not None
    assert spec.loader is not None
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    assert plain.apply_mask.__module__ == "websockets.utils"
    assert hear(plain.FrameParser(**Limits()._asdict()), [HELLO, HELLO * 2]).events == [(TEXT, "hello")] * 3
