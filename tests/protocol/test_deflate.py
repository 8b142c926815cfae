"""P-085: which compression is agreed upon (RFC 7692), and what of it clients understand."""

import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.headers import parse_extension
from websockets.streams import StreamReader

from phoenix_channels.protocol.deflate import compress, negotiate
from phoenix_channels.protocol.frames import BINARY, FIN, RSV1, TEXT, FrameParser
from tests.protocol.websocket import Heard, agree_as_websockets, hear

AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def answer(*headers: str) -> str | None:
    agreed = negotiate(headers)
    return None if agreed is None else agreed.response


# The offers


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",  # browsers
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate;server_no_context_takeover ;\tclient_no_context_takeover",
        'permessage-deflate; client_max_window_bits="1\\0"',
        ", ,permessage-deflate , ",
    ],
)
def test_an_offer_is_accepted_without_context_takeover(offer: str) -> None:
    agreed = negotiate([offer])
    assert agreed is not None
    assert (agreed.response, agreed.window_bits) == (AGREED, 15)


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("quote", ["", '"'])
def test_the_server_keeps_to_the_window_that_is_asked_of_it(bits: int, quote: str) -> None:
    agreed = negotiate([f"permessage-deflate; server_max_window_bits={quote}{bits}{quote}"])
    assert agreed is not None
    assert (agreed.response, agreed.window_bits) == (f"{AGREED}; server_max_window_bits={bits}", bits)


@pytest.mark.parametrize(
    "parameters",
    [
        "unknown",
        "unknown=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=8",  # legal, but zlib cannot
        "server_max_window_bits=16",
        "server_max_window_bits=09",
        "server_max_window_bits=+9",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=x",
        "Server_No_Context_Takeover",
    ],
)
def test_an_offer_that_cannot_be_is_declined_and_the_next_is_looked_at(parameters: str) -> None:
    offer = f"permessage-deflate; {parameters}"
    assert answer(offer) is None
    assert answer(f"{offer}, permessage-deflate; server_max_window_bits=10") == f"{AGREED}; server_max_window_bits=10"
    assert answer("x-webkit-deflate-frame", offer, "permessage-deflate") == AGREED


def test_the_first_offer_that_can_be_is_accepted() -> None:
    offers = "permessage-deflate; server_max_window_bits=12, permessage-deflate"
    assert answer(offers) == f"{AGREED}; server_max_window_bits=12"


@pytest.mark.parametrize("headers", [[], [""], ["x-other"], ['x-other; mode="a"'], ["permessage-bzip2, deflate"]])
def test_who_does_not_offer_it_gets_none(headers: list[str]) -> None:
    assert negotiate(headers) is None


@pytest.mark.parametrize(
    "header",
    [
        "permessage-deflate;",
        "permessage-deflate; ,",
        "permessage-deflate client_max_window_bits",
        "permessage-deflate; client_max_window_bits=",
        'permessage-deflate; client_max_window_bits="10',
        'permessage-deflate; client_max_window_bits=""',
        'permessage-deflate; client_max_window_bits=" 10"',
        "permessage-deflate; =10",
        "permessage-deflate, (x)",
        "permessage-deflate\n",
        "perméssage-deflate",
    ],
)
def test_a_malformed_header_offers_nothing(header: str) -> None:
    assert answer(header) is None
    assert answer("permessage-deflate", header) is None


NAMES = [f"{side}_{what}" for side in ("server", "client") for what in ("no_context_takeover", "max_window_bits")]
PARAMETERS = st.builds("{}{}".format, st.sampled_from([*NAMES, "x"]), st.sampled_from(["", "=8", "=9", '="12"', "=16"]))
OFFERS = st.builds(
    "; ".join, st.lists(PARAMETERS, max_size=3).map(lambda parameters: ["permessage-deflate", *parameters])
)
NOISE = st.text('",;= \t\\-a1', max_size=3)


@given(st.lists(st.lists(OFFERS | NOISE, min_size=1, max_size=3).map(", ".join), max_size=2), NOISE)
def test_any_offers_are_answered_as_websockets_answers_them(headers: list[str], noise: str) -> None:
    headers = [*headers[:-1], *(header + noise for header in headers[-1:])]
    assert answer(*headers) == agree_as_websockets(headers)


# The messages

SENTENCE = '["1","2","room:lobby","new_msg",{"body":"Když se člověk směje, směje se člověk."}]'.encode()


def client(response: str) -> PerMessageDeflate:
    """That has offered it and got this answer."""
    ((name, parameters),) = parse_extension(response)
    assert name == "permessage-deflate"
    return ClientPerMessageDeflateFactory(client_max_window_bits=True).process_response_params(parameters, [])


def received(extension: PerMessageDeflate, stream: bytes) -> list[Frame]:
    reader = StreamReader()
    reader.feed_data(stream)
    frames: list[Frame] = []
    while reader.buffer:
        parsing = Frame.parse(reader.read_exact, mask=False, extensions=[extension])
        try:
            next(parsing)
        except StopIteration as done:
            frames.append(done.value)
    return frames


@given(st.sampled_from(range(9, 16)), st.lists(st.binary(max_size=80) | st.integers(0, 3000).map(bytes), max_size=4))
def test_clients_read_what_is_compressed_for_them(bits: int, messages: list[bytes]) -> None:
    agreed = negotiate([f"permessage-deflate; server_max_window_bits={bits}"])
    assert agreed is not None
    stream = b"".join(compress(BINARY, message, agreed.window_bits) for message in messages)
    assert received(client(agreed.response), stream) == [Frame(Opcode.BINARY, message) for message in messages]


@given(st.lists(st.text() | st.integers(0, 3000).map(lambda size: "x" * size), max_size=4))
def test_what_clients_compress_is_read(texts: list[str]) -> None:
    agreed = negotiate(["permessage-deflate; client_max_window_bits"])
    assert agreed is not None
    extension = client(agreed.response)
    stream = b"".join(Frame(Opcode.TEXT, text.encode()).serialize(mask=True, extensions=[extension]) for text in texts)
    mine = FrameParser(max_frame_size=1 << 20, max_message_size=1 << 20, inflate=True)
    assert hear(mine, [stream]) == Heard([(TEXT, text) for text in texts], None)


def test_a_message_is_the_same_bytes_for_every_client() -> None:
    assert compress(TEXT, SENTENCE * 9, 12) == compress(TEXT, SENTENCE * 9, 12)
    # Whatever the window, as long as the message does not fill it.
    assert len({compress(TEXT, SENTENCE, bits) for bits in range(9, 16)}) == 1


@pytest.mark.parametrize("bits", range(9, 16))
def test_a_large_message_fits_the_window(bits: int) -> None:
    # What is repeated is further away than any window but the largest.
    far = Random(1).randbytes(20_000)
    (frame,) = received(client(f"{AGREED}; server_max_window_bits={bits}"), compress(BINARY, far * 2, bits))
    assert frame.data == far * 2


@pytest.mark.parametrize("data", [b"", b"{}", b"a" * 63, bytes(range(256))])
def test_what_would_not_become_smaller_is_sent_as_it_is(data: bytes) -> None:
    frame = compress(TEXT, data, 15)
    assert frame[0] == FIN | TEXT
    assert frame.endswith(data)


def test_what_becomes_smaller_is_sent_compressed() -> None:
    frame = compress(TEXT, SENTENCE, 15)
    assert frame[0] == FIN | RSV1 | TEXT
    assert frame[1] == len(frame) - 2 < len(SENTENCE)
    assert zlib.decompress(frame[2:] + b"\x00\x00\xff\xff\x03\x00", wbits=-15) == SENTENCE
