"""WebSocket frames on the wire, as a server reads and writes them (RFC 6455).

The parser is as strict as the one of ``websockets``, against which it is tested, and several times faster at what the
clients of channels send: short texts, each in one frame.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, NoReturn, final

from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.errors import RemoteProtocolError

try:
    from websockets.speedups import apply_mask
except ImportError:
    # websockets was installed without its C extension.
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from zlib import _Decompress  # pyright: ignore[reportPrivateUsage]  # the type of zlib.decompressobj()

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

FIN: Final = 0x80
RSV1: Final = 0x40

DEFLATE_TAIL: Final = b"\x00\x00\xff\xff"
"""What the sender of a compressed message leaves out at its end (RFC 7692, 7.2.1)."""
_PADDED_TAIL: Final = b"\x00" + DEFLATE_TAIL
"""What stands behind a final block, in whole or in part (RFC 7692, 7.2.3.4)."""

_OPCODES: Final = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_MASKED_MEDIUM: Final = 0xFE
"""The second byte of a frame that has its length in two more bytes."""
_MAX_CONTROL: Final = 125

# Of close frames (RFC 6455, 5.5.1 and 7.4).
_CLOSE_CODES: Final = frozenset((*range(1000, 1004), *range(1007, 1015)))
_OWN_CLOSE_CODES: Final = 3000
"""From here on they belong to libraries and applications; 5000 and more to nobody, and Phoenix takes them (P-082)."""

_NOTHING: Final = b""
_ENDED: Final = -1
_WHOLE_TEXT: Final = FIN | TEXT
_QUICK: Final = 8 + 65535
_MAX_FRAGMENTS: Final = 4096
"""Frames of one message; empty ones break no other limit, and are work, too."""
_LARGE: Final = 8192
"""From here on a view costs less than a copy."""


def server_frame(first: int, payload: bytes) -> bytes:
    """A whole frame of a server, which masks nothing; ``first`` is its first byte: FIN, reserved bits and opcode."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


@final
class FrameParser:
    """The frames of one client: bytes in, whole messages and control frames out.

    ::

        parser.feed(data)
        while (received := parser.next()) is not None:
            opcode, payload = received

    The caller may stop between two of them and go on later.  When the client breaks the rules, ``next`` raises, and
    knows the close code for it; whatever comes after that, or after a close frame, is dropped (RFC 6455, 1.4, 7.1.7).

    A connection has one for as long as it lives: between two messages it keeps no buffer.
    """

    __slots__ = (
        "_at",
        "_data",
        "_fragments",
        "_inflate",
        "_inflater",
        "_max_frame_size",
        "_max_message_size",
        "_message",
        "_opcode",
        "_quick",
    )

    def __init__(self, *, max_frame_size: int, max_message_size: int, inflate: bool = False) -> None:
        """Begin behind the handshake.

        Args:
            max_frame_size: the largest frame in bytes, its header included; a larger one closes with 1009 (P-083).
            max_message_size: the largest message in bytes, in however many frames, after inflating; likewise.
            inflate: permessage-deflate is on, and the client keeps no context from message to message (P-085).
        """
        self._max_frame_size = max_frame_size
        self._max_message_size = max_message_size
        self._inflate = inflate
        # What has arrived, and up to where it has been read.
        self._data: bytes | bytearray = _NOTHING
        self._at = 0
        # The message whose frames are arriving: its opcode, what there is of it, in how many frames, and its inflater,
        # if it is compressed.
        self._opcode = CONTINUATION
        self._message: bytearray | None = None
        self._fragments = 0
        self._inflater: _Decompress | None = None
        self._quick = self._quick_size()

    @property
    def waiting(self) -> bool:
        """Whether bytes have been fed that ``next`` has not read: a message, several, or a part of one."""
        return self._at < len(self._data)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes as they arrived, in any portions."""
        if self._data:
            self._append(data)
        else:
            # What is not bytes may change in the hands of its owner.
            self._data = data if type(data) is bytes else bytes(data)

    def next(self) -> tuple[int, str | bytes] | None:
        """The next whole message or control frame, as opcode and payload; None when more bytes are needed.

        The payload of ``TEXT`` is a string, any other is bytes.  That of ``CLOSE`` has been checked: it is empty, or a
        legal code and a reason in UTF-8.

        Raises:
            RemoteProtocolError: the client broke a rule or a limit; the parser is dead.
        """
        data = self._data
        if not data:
            return None
        # Nearly all that clients send is a short text in one whole frame: it goes the quick way.  The other way knows
        # all the rules, these included.
        at = self._at
        size = len(data)
        if size - at > 3 and data[at] == _WHOLE_TEXT:
            second = data[at + 1]
            if _MASKED <= second < _MASKED_MEDIUM:
                start = at + 6
                end = start + second - _MASKED
            elif second == _MASKED_MEDIUM:
                start = at + 8
                end = start + (data[at + 2] << 8 | data[at + 3])
            else:
                # Longer, or not masked.
                start = end = size + 1
            if end <= size and end - at <= self._quick:
                if end == size:
                    self._data = _NOTHING
                    self._at = 0
                else:
                    self._at = end
                try:
                    return TEXT, apply_mask(data[start:end], data[start - 4 : start]).decode()
                except UnicodeDecodeError as error:
                    self._fail_to_decode(error)
        # Or else a large frame would be held twice while it is decoded.
        data = _NOTHING
        return self._next()

    def _next(self) -> tuple[int, str | bytes] | None:
        while True:
            if self._opcode == _ENDED:
                self._data = _NOTHING
                self._at = 0
                return None
            frame = self._frame()
            if frame is None:
                self._wait()
                return None
            first, payload = frame
            opcode = first & 0x0F
            if opcode >= CLOSE:
                if opcode == CLOSE:
                    self._check_close(payload)
                    self._end()
                return opcode, payload
            message = self._collect(first, payload)
            if message is not None:
                return message

    def _frame(self) -> tuple[int, bytes] | None:
        """First byte and unmasked payload of the next frame, if it is here.  What is wrong is told by its header."""
        data, at = self._data, self._at
        left = len(data) - at
        if left < 2:
            return None
        first, second = data[at], data[at + 1]
        opcode = first & 0x0F
        if opcode not in _OPCODES:
            self._fail(CloseCode.PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        if not second & _MASKED:
            self._fail(CloseCode.PROTOCOL_ERROR, "a frame of a client must be masked")
        length = second & 0x7F
        start = 6
        if length > 125:
            start = 8 if length == 126 else 14
            if left < start - 4:
                return None
            length = int.from_bytes(data[at + 2 : at + start - 4], "big")
        self._check_size(first, length, start + length)
        self._check_rules(first, opcode, length)
        if left < start + length:
            return None
        start += at
        end = start + length
        mask = data[start - 4 : start]
        if length < _LARGE:
            payload = apply_mask(data[start:end], mask)
        else:
            # Released at once: a bytearray cannot change its size while there is a view of it.
            with memoryview(data) as whole, whole[start:end] as part:
                payload = apply_mask(part, mask)
        if end == len(data):
            self._data = _NOTHING
            self._at = 0
        else:
            self._at = end
        return first, payload

    def _check_size(self, first: int, length: int, size: int) -> None:
        if length >> 63:
            self._fail(CloseCode.PROTOCOL_ERROR, "the highest bit of a length must be 0")
        if size > self._max_frame_size:
            self._fail(CloseCode.TOO_BIG, f"a frame of {size} bytes, when {self._max_frame_size} are allowed")
        if first & 0x0F < CLOSE and not first & RSV1 and self._inflater is None:
            # What is compressed is measured while it is inflated.
            self._check_message(length if self._message is None else len(self._message) + length)

    def _check_message(self, size: int) -> None:
        if size > self._max_message_size:
            self._fail(CloseCode.TOO_BIG, f"a message of more than {self._max_message_size} bytes")

    def _check_rules(self, first: int, opcode: int, length: int) -> None:
        if first & _RESERVED and not (self._inflate and first & _RESERVED == RSV1 and opcode in (TEXT, BINARY)):
            self._fail(CloseCode.PROTOCOL_ERROR, "a reserved bit is set")
        if opcode >= CLOSE:
            if length > _MAX_CONTROL:
                self._fail(
                    CloseCode.PROTOCOL_ERROR, f"a control frame of {length} bytes, when {_MAX_CONTROL} are allowed"
                )
            if not first & FIN:
                self._fail(CloseCode.PROTOCOL_ERROR, "a control frame in fragments")
        elif opcode == CONTINUATION:
            if self._message is None:
                self._fail(CloseCode.PROTOCOL_ERROR, "a continuation of nothing")
        elif self._message is not None:
            self._fail(CloseCode.PROTOCOL_ERROR, "a message within another")

    def _check_close(self, payload: bytes) -> None:
        if payload:
            # Half a code is none, either: all are larger than one byte.
            code = int.from_bytes(payload[:2], "big")
            if code < _OWN_CLOSE_CODES and code not in _CLOSE_CODES:
                self._fail(CloseCode.PROTOCOL_ERROR, f"{code} is no close code for the wire")
            try:
                payload[2:].decode()
            except UnicodeDecodeError:
                # Phoenix, too, has 1002 and not 1007 for it (P-082).
                self._fail(CloseCode.PROTOCOL_ERROR, "the reason of a close frame is not UTF-8")
        if self._message is not None:
            self._fail(CloseCode.PROTOCOL_ERROR, "closed within a message")

    def _collect(self, first: int, payload: bytes) -> tuple[int, str | bytes] | None:
        """The message that ends with this data frame, or None."""
        opcode = first & 0x0F
        if first & (FIN | RSV1) == FIN and opcode:
            return self._whole(opcode, payload)
        if self._message is None:
            self._opcode = opcode
            self._message = bytearray()
            self._fragments = 0
            self._quick = 0
            if first & RSV1:
                # Of any window: the largest reads all.
                self._inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        self._fragments += 1
        if self._fragments > _MAX_FRAGMENTS:
            self._fail(CloseCode.TOO_BIG, f"a message of more than {_MAX_FRAGMENTS} frames")
        message = self._message
        if self._inflater is None:
            message += payload
        else:
            self._inflate_into(message, self._inflater, payload, last=first >= FIN)
        if not first & FIN:
            return None
        opcode = self._opcode
        self._opcode = CONTINUATION
        self._message = None
        self._inflater = None
        self._quick = self._quick_size()
        return self._whole(opcode, message)

    def _inflate_into(self, message: bytearray, inflater: _Decompress, payload: bytes, *, last: bool) -> None:
        for part in (payload, DEFLATE_TAIL) if last else (payload,):
            # One byte too many tells a bomb; it is never inflated further.
            most = self._max_message_size - len(message) + 1
            try:
                message += inflater.decompress(part, most)
            except zlib.error:
                # As Phoenix does (P-082).
                self._fail(CloseCode.INVALID_DATA, "a message that cannot be inflated")
            self._check_message(len(message))
            if inflater.unused_data not in _PADDED_TAIL:
                # A message ends with its final block, if it has one; what follows would be lost.
                self._fail(CloseCode.INVALID_DATA, "data behind the final block of a compressed message")

    def _whole(self, opcode: int, payload: bytes | bytearray) -> tuple[int, str | bytes]:
        if opcode != TEXT:
            return opcode, bytes(payload)
        try:
            return opcode, payload.decode()
        except UnicodeDecodeError as error:
            self._fail_to_decode(error)

    def _quick_size(self) -> int:
        """The largest frame for the quick way: with so much in it, and its header, it breaks no limit."""
        return min(_QUICK, self._max_frame_size, self._max_message_size)

    def _append(self, data: bytes | bytearray | memoryview) -> None:
        if self._opcode == _ENDED:
            return
        held = self._data
        if isinstance(held, bytes):
            held = self._data = bytearray(memoryview(held)[self._at :])
        else:
            del held[: self._at]
        self._at = 0
        held += data

    def _wait(self) -> None:
        """Keep only what is not read yet: of a large chunk, a few bytes may be all that waits for more."""
        if self._at:
            self._data = self._data[self._at :]
            self._at = 0

    def _fail_to_decode(self, error: UnicodeDecodeError) -> NoReturn:
        self._fail(CloseCode.INVALID_DATA, f"no UTF-8: {error.reason} at position {error.start}")

    def _fail(self, close_code: int, reason: str) -> NoReturn:
        self._end()
        raise RemoteProtocolError(reason, close_code=close_code) from None

    def _end(self) -> None:
        self._opcode = _ENDED
        self._quick = 0
        self._data = _NOTHING
        self._at = 0
        self._message = None
        self._inflater = None
