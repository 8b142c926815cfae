"""The frames of a client and its offers of extensions, judged beside ``websockets``."""

from phoenix_channels.protocol.deflate import negotiate
from tests.protocol.websocket import Limits, agree_as_websockets, assert_same

CHUNKS = [4096, 1, 2, 13]
LIMITS = [Limits(), Limits(max_frame_size=200, max_message_size=300)]


def check_frames(data: bytes) -> bool:
    """The first byte chooses how the others arrive, and what was agreed."""
    how, stream = data[0] if data else 0, data[1:]
    size = CHUNKS[how & 3]
    chunks = (stream[at : at + size] for at in range(0, len(stream), size))
    heard = assert_same(stream, chunks, LIMITS[how >> 2 & 1], inflate=bool(how & 8), at_leisure=bool(how & 16))
    return bool(heard.events) and heard.close_code is None


def check_extensions(data: bytes) -> bool:
    headers = data.decode("latin-1").split("\n")
    agreed = negotiate(headers)
    answer = None if agreed is None else agreed.response
    assert answer == agree_as_websockets(headers)
    return agreed is not None
