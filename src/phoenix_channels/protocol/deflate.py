"""permessage-deflate, as a server agrees to it and compresses (P-085, RFC 7692).

Always without context takeover, in both directions: a compressed broadcast is the same bytes for every client with the
same window, and no connection keeps a window of zlib's, which is some 300 KiB.  What clients compress is inflated by
the :class:`~phoenix_channels.protocol.frames.FrameParser`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias, final

from msgspec import Struct

from phoenix_channels.protocol.frames import DEFLATE_TAIL, FIN, RSV1, server_frame

_MAX_BITS: Final = 15
_MIN_BITS: Final = 9
"""RFC 7692 has 8, too; zlib takes it to read, and not to write without a header."""
_SERVER_VALUES: Final = {str(bits): bits for bits in range(_MIN_BITS, _MAX_BITS + 1)}
_CLIENT_VALUES: Final = frozenset((None, "8", *_SERVER_VALUES))

_LOOK_AHEAD: Final = 262
"""So much of a window zlib does not look back upon."""
_SMALL: Final = 64
"""Bytes below which there is next to nothing to win."""

_RESPONSE: Final = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

# RFC 6455, 9.1.  A quoted value is a token as soon as its quotes and backslashes are gone.
_CHARACTER: Final = r"[-!#$%&'*+.^_`|~0-9A-Za-z]"
_NAME: Final = re.compile(rf"[ \t,]*({_CHARACTER}+)[ \t]*")
_PARAMETER: Final = re.compile(
    rf';[ \t]*({_CHARACTER}+)[ \t]*(?:=[ \t]*(?:({_CHARACTER}+)|"((?:\\?{_CHARACTER})+)")[ \t]*)?'
)
_END: Final = re.compile(r",[ \t,]*|\Z")

_Parameters: TypeAlias = Sequence[tuple[str, str | None]]


@final
class Deflate(Struct, frozen=True):
    """What has been agreed with one client."""

    window_bits: int
    """For :func:`compress`."""
    response: str
    """The value of ``Sec-WebSocket-Extensions`` in the 101."""


def negotiate(headers: Sequence[str]) -> Deflate | None:
    """Accept the first offer that can be; None for no compression.

    A client may make several offers, the one it likes best first.  One with a parameter that is unknown, there twice or
    has no legal value is declined (RFC 7692, 7.1).  A header that is malformed offers nothing.

    Args:
        headers: the values of ``Sec-WebSocket-Extensions`` in the request, in order.
    """
    try:
        for name, parameters in list(_offers(", ".join(headers))):
            if name == "permessage-deflate" and (accepted := _accept(parameters)) is not None:
                return accepted
    except ValueError:
        pass
    return None


def _offers(header: str) -> Iterator[tuple[str, _Parameters]]:
    at = 0
    while at < len(header):
        name = _match(_NAME, header, at)
        at = name.end()
        parameters: list[tuple[str, str | None]] = []
        while header.startswith(";", at):
            parameter = _match(_PARAMETER, header, at)
            at = parameter.end()
            plain, quoted = parameter[2], parameter[3]
            parameters.append((parameter[1], plain if quoted is None else quoted.replace("\\", "")))
        at = _match(_END, header, at).end()
        yield name[1], parameters


def _match(pattern: re.Pattern[str], header: str, at: int) -> re.Match[str]:
    found = pattern.match(header, at)
    if found is None:
        raise ValueError(f"malformed at position {at}")
    return found


def _accept(parameters: _Parameters) -> Deflate | None:
    values = dict(parameters)
    if len(values) < len(parameters):
        return None
    bits, response = _MAX_BITS, _RESPONSE
    for name, value in values.items():
        match name:
            case "server_no_context_takeover" | "client_no_context_takeover" if value is None:
                # What we do anyway.
                pass
            case "client_max_window_bits" if value in _CLIENT_VALUES:
                # Whatever the client's window, it is inflated with the largest.
                pass
            case "server_max_window_bits" if value in _SERVER_VALUES:
                bits, response = _SERVER_VALUES[value], f"{_RESPONSE}; server_max_window_bits={value}"
            case _:
                return None
    return Deflate(bits, response)


def compress(opcode: int, data: bytes, window_bits: int) -> bytes:
    """A whole frame of the server, for every client that has agreed to ``window_bits`` or more.

    What would not become smaller goes out as it is: each message says by its RSV1 whether it is compressed.
    """
    if len(data) >= _SMALL:
        # Most of the time would go into the preparation of a window that the data do not fill.
        bits = min(window_bits, max(_MIN_BITS, (len(data) + _LOOK_AHEAD).bit_length()))
        deflater = zlib.compressobj(method=zlib.DEFLATED, wbits=-bits, memLevel=bits - 7)
        body = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
        body = body[: -len(DEFLATE_TAIL)]
        if len(body) < len(data):
            return server_frame(FIN | RSV1 | opcode, body)
    return server_frame(FIN | opcode, data)
