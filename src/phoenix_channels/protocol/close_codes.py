"""Why a connection is closed, as its client sees it (P-082)."""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """The close codes of a server; phoenix.js comes back on each but the first (P-145)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    """A ``disconnect`` broadcast (P-079)."""
    PROTOCOL_ERROR = 1002
    """The idle timeout (P-081), or frames against the rules of RFC 6455."""
    INVALID_DATA = 1007
    """Text that is not UTF-8, or a message that cannot be inflated (P-082)."""
    TOO_BIG = 1009
    """A frame beyond ``max_frame_size``, or a message beyond what is accepted (P-083)."""
    INTERNAL_ERROR = 1011
    """A message that cannot be decoded, or a failure of the connection itself (P-046, P-054)."""
    SERVICE_RESTART = 1012
    """A drain (P-088)."""
    TRY_AGAIN_LATER = 1013
    """One side does not keep up."""


def may_be_sent(code: object) -> bool:
    """Is it a code that a close frame may carry (RFC 6455, 7.4)?"""
    if not isinstance(code, int) or isinstance(code, bool):
        return False
    return (1000 <= code <= 1013 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999
