"""What the tests of terms share."""

import struct
import zlib

VERSION = b"\x83"


def same(left: object, right: object) -> bool:
    """Equal in type and value, in the order of keys, and for the sign of a zero."""
    return repr(left) == repr(right)


def shown(value: object) -> str:
    """The beginning of a value, to name a test after."""
    return repr(value)[:40]


def compressed(term: bytes, size: int | None = None) -> bytes:
    """The term inflates to what it says, or else says another size."""
    return VERSION + b"P" + struct.pack(">I", len(term) if size is None else size) + zlib.compress(term)
