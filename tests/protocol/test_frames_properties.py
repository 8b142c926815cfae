"""Whatever a client sends, in whatever portions: our reading beside that of ``websockets``."""

import zlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.protocol.frames import BINARY, CLOSE, FIN, PING, PONG, RSV1, TEXT
from tests.protocol.websocket import Limits, assert_same, client_frame, deflate

HELLO = client_frame(FIN | TEXT, b"hello")
PAYLOADS = st.binary(max_size=12) | st.text(max_size=8).map(str.encode) | st.sampled_from([b"x" * 125, b"y" * 130])
MASKS = st.binary(min_size=4, max_size=4)
CONTROLS = st.builds(client_frame, st.sampled_from([FIN | PING, FIN | PONG]), PAYLOADS, mask=MASKS)
CLOSES = st.builds(
    lambda code, reason: client_frame(FIN | CLOSE, code.to_bytes(2, "big") + reason),
    st.sampled_from([999, 1000, 1005, 1011, 3000, 5000]),
    PAYLOADS,
)
FRAMES = st.builds(client_frame, st.integers(0, 255), PAYLOADS, mask=MASKS, size=st.sampled_from([2, 8]))


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """One message in one frame or several, compressed or not, with control frames between."""
    payload, mode = draw(PAYLOADS), draw(st.sampled_from([None, zlib.Z_SYNC_FLUSH, zlib.Z_FINISH]))
    data = payload if mode is None else deflate(payload, mode=mode)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
    parts = [data[start:end] for start, end in pairwise([0, *cuts, len(data)])]
    stream = b""
    for number, part in enumerate(parts):
        first = 0 if number else draw(st.sampled_from([TEXT, BINARY])) | (0 if mode is None else RSV1)
        if number == len(parts) - 1:
            first |= FIN
        stream += client_frame(first, part, mask=draw(MASKS)) + draw(st.just(b"") | CONTROLS)
    return stream


EDITS = st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3))


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Of a client that makes a mistake now and then."""
    stream = b"".join(draw(st.lists(messages() | CONTROLS | st.just(HELLO) | FRAMES | CLOSES, max_size=5)))
    for at, length, inserted in draw(st.lists(EDITS, max_size=2)):
        stream = stream[:at] + inserted + stream[at + length :]
    return stream


LIMITS = st.builds(Limits, st.sampled_from([1 << 20, 131, 60]), st.sampled_from([1 << 20, 128, 16]))


@given(streams(), LIMITS, st.booleans(), st.lists(st.integers(0, 600), max_size=8), st.booleans())
def test_any_stream_is_read_as_websockets_reads_it(
    stream: bytes, limits: Limits, inflate: bool, cuts: list[int], at_leisure: bool
) -> None:
    chunks = [stream[start:end] for start, end in pairwise([0, *sorted(cuts), len(stream)])]
    assert_same(stream, chunks, limits, inflate=inflate, at_leisure=at_leisure)


@given(streams(), LIMITS, st.booleans())
def test_any_stream_is_read_alike_byte_by_byte(stream: bytes, limits: Limits, inflate: bool) -> None:
    assert_same(stream, (stream[at : at + 1] for at in range(len(stream))), limits, inflate=inflate)
