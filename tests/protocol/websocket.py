"""WebSocket as a client speaks it, and as ``websockets`` and a naive reader of sizes hear it (RFC 6455 and 7692)."""

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeader
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.frames import FrameParser

FIN, RSV1 = 0x80, 0x40
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
TAIL = b"\x00\x00\xff\xff"
_MASKED = 0x80


def masked(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def head(first: int, length: int, size: int = 0) -> bytes:
    """The header without the mask; ``size``: of its field for the length, in bytes, where it is not the smallest."""
    size = size or (1 if length < 126 else 2 if length < 65536 else 8)
    if size == 1:
        return bytes([first, _MASKED | length])
    return bytes([first, _MASKED | (126 if size == 2 else 127)]) + length.to_bytes(size, "big")


def client_frame(first: int, payload: bytes = b"", *, mask: bytes = b"\x37\xfa\x21\x3d", size: int = 0) -> bytes:
    return head(first, len(payload), size) + mask + masked(payload, mask)


def deflate(data: bytes, *, mode: int = zlib.Z_SYNC_FLUSH) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(data) + deflater.flush(mode)).removesuffix(TAIL)


Events: TypeAlias = list[tuple[int, str | bytes]]


class Heard(NamedTuple):
    """What came of a stream, and the code with which the connection would be closed."""

    events: Events
    close_code: int | None


def hear(parser: FrameParser, chunks: Iterable[bytes], *, at_leisure: bool = False) -> Heard:
    """Our reading; ``at_leisure``: one message between two chunks, and the rest afterwards."""
    events: Events = []

    def read(most: int) -> bool:
        for _ in range(most):
            if (event := parser.next()) is None:
                return False
            events.append(event)
        return True

    try:
        for index, chunk in enumerate(chunks):
            # Neither kind is kept: what is not bytes is used again by its owner.
            buffer = bytearray(chunk)
            parser.feed(chunk if index % 3 == 0 else buffer if index % 3 == 1 else memoryview(buffer))
            buffer[:] = b"\xff" * len(buffer)
            read(1 if at_leisure else 1 << 30)
        read(1 << 30)
    except RemoteProtocolError as error:
        parser.feed(client_frame(FIN | TEXT, b"what comes then is dropped"))
        assert parser.next() is None
        return Heard(events, error.close_code)
    return Heard(events, None)


class Limits(NamedTuple):
    max_frame_size: int = 1 << 20
    max_message_size: int = 1 << 20


def expect(stream: bytes, limits: Limits, *, inflate: bool) -> Heard:
    """The library's reading without limits, up to the frame about which the naive reader decides."""
    until, verdict = decided(stream, limits, inflate=inflate)
    heard = hear_as_websockets(stream[:until], inflate=inflate)
    closed = heard.close_code is not None or (heard.events and heard.events[-1][0] == CLOSE)
    return heard if closed else Heard(heard.events + verdict.events, verdict.close_code)


def hear_as_websockets(stream: bytes, *, inflate: bool) -> Heard:
    """As its asyncio connection: the Sans-I/O protocol gives frames, a text is decoded when it is whole."""
    protocol = ServerProtocol(state=State.OPEN, max_size=None)
    if inflate:
        protocol.extensions = [PerMessageDeflate(True, True, 15, 15)]
    protocol.receive_data(stream)
    events: Events = []
    opcode, message = 0, b""
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode >= Opcode.CLOSE:
            events.append((int(frame.opcode), bytes(frame.data)))
            continue
        opcode = int(frame.opcode) or opcode
        message += frame.data
        if frame.fin:
            try:
                events.append((opcode, message.decode() if opcode == TEXT else message))
            except UnicodeDecodeError:
                return Heard(events, 1007)
            message = b""
    if protocol.parser_exc is None:
        return Heard(events, None)
    assert protocol.close_sent is not None
    return Heard(events, int(protocol.close_sent.code))


class Header(NamedTuple):
    at: int
    first: int
    size: int
    length: int

    @property
    def end(self) -> int:
        return self.at + self.size + self.length


def headers(stream: bytes) -> Iterator[Header]:
    """Of all frames, up to the first that no client may send, whatever its size: reserved opcode, or not masked."""
    at = 0
    while at + 2 <= len(stream):
        first, second = stream[at], stream[at + 1]
        if first & 0x0F not in (0, TEXT, BINARY, CLOSE, PING, PONG) or not second & _MASKED:
            return
        field = {126: 2, 127: 8}.get(second & 0x7F, 0)
        if at + 2 + field > len(stream):
            return
        length = int.from_bytes(stream[at + 2 : at + 2 + field], "big") if field else second & 0x7F
        yield Header(at, first, 2 + field + 4, length)
        at += 2 + field + 4 + length


def unmasked(stream: bytes, header: Header) -> bytes:
    start = header.at + header.size
    return masked(stream[start : header.end], stream[start - 4 : start])


NOTHING = Heard([], None)
REFUSED = Heard([], 1002)
INVALID = Heard([], 1007)
TOO_BIG = Heard([], 1009)


def decided(stream: bytes, limits: Limits, *, inflate: bool) -> tuple[int, Heard]:
    """Where the first frame begins that is too large, or makes its message so; and what comes of it.

    Or that we judge otherwise than the library: a length of 64 bits; what cannot be inflated to its end, and close
    frames, as Phoenix takes them (P-082).
    """
    message: bytes | None = None
    compressed = False
    for header in headers(stream):
        verdict = by_header(header, limits, None if compressed else len(message or b""))
        whole = header.end <= len(stream)
        if header.first == FIN | CLOSE and whole:
            verdict = verdict or by_close(unmasked(stream, header), within=message is not None)
        if verdict is not None:
            return header.at, verdict
        if header.first & 0x0F >= CLOSE:
            continue
        opens = header.first & 0x0F > 0
        if not whole or opens != (message is None) or header.first & (0x30 if opens else 0x70):
            # More has to come, or it is the library's to refuse.
            break
        if message is None:
            message, compressed = b"", inflate and header.first & RSV1 > 0
        message += unmasked(stream, header)
        last = header.first >= FIN
        if compressed and (verdict := by_inflating(message + TAIL * last, limits)) is not None:
            return header.at, verdict
        if last:
            message, compressed = None, False
    return len(stream), NOTHING


def by_header(header: Header, limits: Limits, before: int | None) -> Heard | None:
    """``before``: the size of the message so far, when it is not compressed."""
    if header.length >> 63:
        return REFUSED
    if header.size + header.length > limits.max_frame_size:
        return TOO_BIG
    if before is None or header.first & RSV1 or header.first & 0x0F >= CLOSE:
        return None
    return TOO_BIG if before + header.length > limits.max_message_size else None


def by_close(payload: bytes, *, within: bool) -> Heard | None:
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return REFUSED
    if int.from_bytes(payload[:2], "big") < 5000 or len(payload) > 125:
        return None
    return REFUSED if within else Heard([(CLOSE, payload)], None)


def by_inflating(data: bytes, limits: Limits) -> Heard | None:
    """All of the message so far."""
    inflater = zlib.decompressobj(wbits=-15)
    try:
        inflated = inflater.decompress(data, limits.max_message_size + 1)
    except zlib.error:
        return INVALID
    if len(inflated) > limits.max_message_size:
        return TOO_BIG
    return None if inflater.unused_data in b"\x00" + TAIL else INVALID


def completed(stream: bytes) -> bytes:
    """With the frame at the end made whole, with zeros: the library judges no frame before it is."""
    *_, last = [Header(0, 0, 0, 0), *headers(stream)]
    return stream + bytes(max(0, last.end - len(stream)))


def assert_same(
    stream: bytes, chunks: Iterable[bytes], limits: Limits, *, inflate: bool, at_leisure: bool = False
) -> Heard:
    """Both readings agree, but that ours knows from a header what is wrong with a frame."""
    heard = hear(FrameParser(**limits._asdict(), inflate=inflate), chunks, at_leisure=at_leisure)
    expected = expect(stream, limits, inflate=inflate)
    if heard.close_code is not None and expected.close_code is None:
        expected = expect(completed(stream), limits, inflate=inflate)
    assert heard == expected
    return heard


def agree_as_websockets(headers: Iterable[str]) -> str | None:
    """What the library answers to offers of extensions when it is told to keep no context.

    Several headers are one with commas between (RFC 9110, 5.2).  It promises the client a window for what the client
    sends; we inflate with the largest, whatever was asked.
    """
    protocol = ServerProtocol(extensions=[ServerPerMessageDeflateFactory(True, True)])
    header = ", ".join(headers).strip(" \t")
    try:
        answer, _ = protocol.process_extensions(Headers([("Sec-WebSocket-Extensions", header)]))
    except InvalidHeader:
        return None
    return None if answer is None else re.sub("; client_max_window_bits=[0-9]+", "", answer)
