"""Terms of Erlang as bytes, as much of the external term format as tokens carry (P-134, P-135).

=====================  ==========================================
Elixir                 Python
=====================  ==========================================
``true false nil``     ``True``, ``False``, ``None``
``:admin``             ``Atom("admin")``
integer, float         ``int``, ``float``
``"text"``             ``str``; ``bytes`` when it is not UTF-8
list, tuple            ``list``, ``tuple``
map, struct            ``dict``, that of a struct with its name
=====================  ==========================================

What is no data (functions, processes, ports, references), and bit strings and improper lists, are refused.  What is
read is bounded, and what is written has the same bounds: what was signed here can be verified here.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any, Final, Self, final

from msgspec import Struct

_VERSION: Final = 131
_COMPRESSED: Final = 80
_MAX_ATOM: Final = 255
"""Characters; Erlang has no longer ones."""
_MAX_INTEGER: Final = 1024
"""Bytes: some 2,400 digits.  Of more than 4,300 Python itself cannot write an integer."""


class TermError(ValueError):
    """Bytes that are no term, or no data, or beyond a bound."""


@final
class TermLimits(Struct, frozen=True, kw_only=True):
    """How large a term may be."""

    depth: int = 32
    """Lists, tuples and maps within each other."""
    elements: int = 65_536
    """Of all of them together; a pair of a map is two."""
    untextual_keys: int = 1_000
    """Keys of maps that are numbers or tuples: one can choose thousands that Python takes seconds to tell apart."""
    inflated: int = 1_048_576
    """Bytes of a compressed term, inflated."""


TERM_LIMITS: Final = TermLimits()


@final
class Atom(str):
    """An atom of Elixir: ``Atom("admin")`` is ``:admin``.

    It is a string that is signed as an atom.  As a string it equals ``"admin"``, so that ``claims["user_id"]`` finds
    what Elixir has signed as ``%{user_id: 21}``.  ``true``, ``false`` and ``nil`` are ``True``, ``False`` and ``None``.

    Raises:
        ValueError: one of those three, or more than 255 characters.
    """

    __slots__ = ()

    def __new__(cls, name: str) -> Self:
        if not isinstance(name, str):
            raise TypeError(f"the name of an atom is a string, not a {type(name).__name__}")
        if name in _VALUES:
            raise ValueError(f"the atom {name} is {_VALUES[name]}")
        if len(name) > _MAX_ATOM:
            raise ValueError(f"an atom has at most {_MAX_ATOM} characters, this one has {len(name)}")
        return super().__new__(cls, name)

    def __repr__(self) -> str:
        return f"Atom({super().__repr__()})"


_VALUES: Final[Mapping[str, bool | None]] = {"true": True, "false": False, "nil": None}
_NAMES: Final = {value: name for name, value in _VALUES.items()}


# From values to bytes


def encode_term(value: object, limits: TermLimits = TERM_LIMITS) -> bytes:
    """The bytes of a value: None, bool, int, float, str, bytes, :class:`Atom`, list, tuple, dict.

    They need not be those that Erlang would make (P-135): the pairs of a map keep their order here.

    Raises:
        TypeError: a value of another type.
        ValueError: a float that is no number, a string with half a surrogate pair, two keys that are one in Elixir
            (``"a"`` and ``b"a"``), or beyond a bound, as everything that contains itself is.
    """
    writer = _Writer(limits)
    writer.write(value)
    return bytes(writer.written)


@final
class _Writer:
    __slots__ = ("_depth", "_elements", "_untextual_keys", "written")

    def __init__(self, limits: TermLimits) -> None:
        self.written = bytearray((_VERSION,))
        self._depth = limits.depth
        self._elements = limits.elements
        self._untextual_keys = limits.untextual_keys

    def write(self, value: object) -> None:
        for kind, write in _WRITE:
            if isinstance(value, kind):
                write(self, value)
                return
        raise TypeError(
            f"a {type(value).__qualname__} is no term: a token carries None, bool, int, float, str, bytes, Atom, and "
            "lists, tuples and dicts of these"
        )

    def write_atom(self, name: str) -> None:
        text = name.encode()
        short = len(text) <= 0xFF
        self.written += struct.pack(">BB" if short else ">BH", 119 if short else 118, len(text)) + text

    def write_binary(self, data: bytes) -> None:
        self.written += struct.pack(">BI", 109, len(data)) + data

    def write_integer(self, value: int) -> None:
        if 0 <= value <= 0xFF:
            self.written += bytes((97, value))
        elif -(2**31) <= value < 2**31:
            self.written += struct.pack(">Bi", 98, value)
        else:
            size = (value.bit_length() + 7) // 8
            if size > _MAX_INTEGER:
                raise ValueError(f"an integer has at most {_MAX_INTEGER} bytes, this one has {size}")
            short = size <= 0xFF
            self.written += struct.pack(">BBB" if short else ">BIB", 110 if short else 111, size, value < 0)
            self.written += abs(value).to_bytes(size, "little")

    def write_float(self, value: float) -> None:
        if not math.isfinite(value):
            raise ValueError(f"Elixir has no float {value!r}")
        self.written += struct.pack(">Bd", 70, value)

    def write_tuple(self, items: tuple[Any, ...]) -> None:
        short = len(items) <= 0xFF
        self.written += struct.pack(">BB" if short else ">BI", 104 if short else 105, len(items))
        self.write_elements(items)

    def write_list(self, items: list[Any]) -> None:
        if not items:
            self.written.append(106)
            return
        if len(items) <= 0xFFFF and all(type(item) is int and 0 <= item <= 0xFF for item in items):
            # As Erlang does; less than half the size.
            self.enter(len(items))
            self.written += struct.pack(">BH", 107, len(items)) + bytes(items)
            self.leave()
            return
        self.written += struct.pack(">BI", 108, len(items))
        self.write_elements(items)
        self.written.append(106)

    def write_map(self, pairs: dict[Any, Any]) -> None:
        self.written += struct.pack(">BI", 116, len(pairs))
        self.enter(2 * len(pairs))
        keys: set[bytes] = set()
        for key, value in pairs.items():
            if not isinstance(key, str | bytes):
                self._untextual_keys -= 1
                if self._untextual_keys < 0:
                    raise ValueError("too many keys that are no text for a token")
            start = len(self.written)
            self.write(key)
            keys.add(bytes(self.written[start:]))
            self.write(value)
        self.leave()
        if len(keys) < len(pairs):
            raise ValueError("two keys of a dict are the same in Elixir: there bytes are strings")

    def write_elements(self, elements: list[Any] | tuple[Any, ...]) -> None:
        self.enter(len(elements))
        for element in elements:
            self.write(element)
        self.leave()

    def enter(self, elements: int) -> None:
        self._elements -= elements
        self._depth -= 1
        if self._elements < 0:
            raise ValueError("too many elements for a token")
        if self._depth < 0:
            raise ValueError("nested too deep for a token")

    def leave(self) -> None:
        self._depth += 1


_WRITE: Final[Sequence[tuple[type, Callable[[_Writer, Any], None]]]] = [
    (NoneType, lambda writer, value: writer.write_atom(_NAMES[value])),
    (bool, lambda writer, value: writer.write_atom(_NAMES[value])),
    (Atom, _Writer.write_atom),
    (str, lambda writer, value: writer.write_binary(value.encode())),
    (bytes, _Writer.write_binary),
    (int, _Writer.write_integer),
    (float, _Writer.write_float),
    (list, _Writer.write_list),
    (tuple, _Writer.write_tuple),
    (dict, _Writer.write_map),
]
"""The first that fits: a bool is an int, and an Atom a str."""


# From bytes to values


def decode_term(data: bytes, limits: TermLimits = TERM_LIMITS) -> Any:
    """The value that bytes stand for; what follows the term is ignored, as Erlang does.

    Raises:
        TermError: everything else.
    """
    if data[:1] != bytes((_VERSION,)):
        raise TermError(f"the first byte of a term is {_VERSION}")
    compressed = data[1:2] == bytes((_COMPRESSED,))
    return _Reader(_inflate(data[2:], limits.inflated) if compressed else data[1:], limits).read()


def _inflate(data: bytes, bound: int) -> bytes:
    size = int.from_bytes(data[:4])
    if size > bound:
        raise TermError(f"a compressed term of {size} bytes is too large")
    inflater = zlib.decompressobj()
    try:
        # One byte too many is enough to know, and no bound would be 0.
        inflated = inflater.decompress(data[4:], size + 1)
    except zlib.error as error:
        raise TermError("a compressed term is damaged") from error
    if len(inflated) != size or not inflater.eof:
        raise TermError("a compressed term has not the size that it says")
    return inflated


@final
class _Reader:
    __slots__ = ("_at", "_data", "_depth", "_elements", "_untextual_keys")

    def __init__(self, data: bytes, limits: TermLimits) -> None:
        self._untextual_keys = limits.untextual_keys
        self._data = data
        self._at = 0
        self._depth = limits.depth
        self._elements = limits.elements

    def read(self) -> Any:
        tag = self.read_number(1)
        read = _READ.get(tag)
        if read is None:
            raise TermError(f"{tag} is the tag of nothing that a token carries")
        return read(self)

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise TermError("the term is cut short")
        found = self._data[self._at : end]
        self._at = end
        return found

    def read_number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def read_integer(self, size: int) -> int:
        sign = self.read_number(1)
        if size > _MAX_INTEGER or sign > 1:
            raise TermError("an integer is too large, or has a sign of its own")
        # Linear, unlike to read or write digits.
        magnitude = int.from_bytes(self.take(size), "little")
        return -magnitude if sign else magnitude

    def read_float(self) -> float:
        found: float = struct.unpack(">d", self.take(8))[0]
        if not math.isfinite(found):
            raise TermError(f"Elixir has no float {found!r}")
        return found

    def read_atom(self, name: bytes, encoding: str) -> Atom | bool | None:
        try:
            text = name.decode(encoding)
            return _VALUES[text] if text in _VALUES else Atom(text)
        except ValueError as error:
            raise TermError("an atom is no text, or too long") from error

    def read_binary(self) -> str | bytes:
        data = self.take(self.read_number(4))
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data

    def read_string(self) -> list[int]:
        size = self.read_number(2)
        self.enter(size)
        self.leave()
        return list(self.take(size))

    def read_list(self) -> list[Any]:
        found = self.read_elements(self.read_number(4))
        if self.read_number(1) != 106:
            raise TermError("a list does not end as lists do")
        return found

    def read_map(self) -> dict[Any, Any]:
        items = self.read_elements(2 * self.read_number(4))
        found: dict[Any, Any] = {}
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | bytes):
                self._untextual_keys -= 1
                if self._untextual_keys < 0:
                    raise TermError("too many keys of maps that are no text")
            try:
                known = key in found
            except TypeError:
                raise TermError("a list or a map is the key of a map: no dict has one") from None
            if known:
                raise TermError("two keys of a map are the same in Python")
            found[key] = value
        return found

    def read_elements(self, count: int) -> list[Any]:
        self.enter(count)
        found = [self.read() for _ in range(count)]
        self.leave()
        return found

    def enter(self, elements: int) -> None:
        self._elements -= elements
        self._depth -= 1
        if self._elements < 0:
            raise TermError("too many elements")
        if self._depth < 0:
            raise TermError("nested too deep")

    def leave(self) -> None:
        self._depth += 1


_READ: Final[Mapping[int, Callable[[_Reader], Any]]] = {
    70: _Reader.read_float,
    97: lambda reader: reader.read_number(1),
    98: lambda reader: int.from_bytes(reader.take(4), signed=True),
    100: lambda reader: reader.read_atom(reader.take(reader.read_number(2)), "latin-1"),
    104: lambda reader: tuple(reader.read_elements(reader.read_number(1))),
    105: lambda reader: tuple(reader.read_elements(reader.read_number(4))),
    106: lambda _: [],
    107: _Reader.read_string,
    108: _Reader.read_list,
    109: _Reader.read_binary,
    110: lambda reader: reader.read_integer(reader.read_number(1)),
    111: lambda reader: reader.read_integer(reader.read_number(4)),
    115: lambda reader: reader.read_atom(reader.take(reader.read_number(1)), "latin-1"),
    116: _Reader.read_map,
    118: lambda reader: reader.read_atom(reader.take(reader.read_number(2)), "utf-8"),
    119: lambda reader: reader.read_atom(reader.take(reader.read_number(1)), "utf-8"),
}
"""By tag; every other one is refused."""
