"""P-134, P-135: terms of Erlang, byte by byte, and what is refused."""

import copy
import math
import pickle
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.token.terms import Atom, TermError, decode_term, encode_term
from tests.token.terms import VERSION, compressed, same, shown

ZERO = b"a\x00"

# As written, and how else Erlang may write it.
WRITTEN: list[tuple[Any, bytes]] = [
    (0, b"a\x00"),
    (255, b"a\xff"),
    (256, b"b\x00\x00\x01\x00"),
    (-1, b"b\xff\xff\xff\xff"),
    (2**31 - 1, b"b\x7f\xff\xff\xff"),
    (-(2**31), b"b\x80\x00\x00\x00"),
    (2**31, b"n\x04\x00\x00\x00\x00\x80"),
    (-(2**31) - 1, b"n\x04\x01\x01\x00\x00\x80"),
    (2 ** (8 * 255) - 1, b"n\xff\x00" + b"\xff" * 255),
    (-(2 ** (8 * 255)), b"o\x00\x00\x01\x00\x01" + b"\x00" * 255 + b"\x01"),
    (1.5, b"F\x3f\xf8" + b"\x00" * 6),
    (-0.0, b"F\x80" + b"\x00" * 7),
    (None, b"w\x03nil"),
    (True, b"w\x04true"),
    (False, b"w\x05false"),
    (Atom("ok"), b"w\x02ok"),
    (Atom(""), b"w\x00"),
    (Atom("é"), b"w\x02\xc3\xa9"),
    (Atom("é" * 127 + "x"), b"w\xff" + "é".encode() * 127 + b"x"),
    (Atom("é" * 128), b"v\x01\x00" + "é".encode() * 128),
    ("", b"m\x00\x00\x00\x00"),
    ("aé", b"m\x00\x00\x00\x03a\xc3\xa9"),
    (b"\xff\x00", b"m\x00\x00\x00\x02\xff\x00"),
    ((), b"h\x00"),
    ((0, ()), b"h\x02a\x00h\x00"),
    ((0,) * 256, b"i\x00\x00\x01\x00" + ZERO * 256),
    ([], b"j"),
    ([0, 255], b"k\x00\x02\x00\xff"),
    ([0, 256], b"l\x00\x00\x00\x02a\x00b\x00\x00\x01\x00j"),
    ([True], b"l\x00\x00\x00\x01w\x04truej"),
    ([0] * 0xFFFF, b"k\xff\xff" + b"\x00" * 0xFFFF),
    ([0] * 0x10000, b"l\x00\x01\x00\x00" + ZERO * 0x10000 + b"j"),
    ([[]], b"l\x00\x00\x00\x01jj"),
    ({}, b"t\x00\x00\x00\x00"),
    ({"a": 0}, b"t\x00\x00\x00\x01m\x00\x00\x00\x01aa\x00"),
    ({Atom("a"): 0, (1, None): []}, b"t\x00\x00\x00\x02w\x01aa\x00h\x02a\x01w\x03nilj"),
]
READ: list[tuple[Any, bytes]] = [
    (1, b"n\x01\x00\x01"),
    (1, b"n\x02\x00\x01\x00"),
    (0, b"n\x00\x00"),
    (0, b"n\x01\x01\x00"),
    (-1, b"o\x00\x00\x00\x01\x01\x01"),
    (1, b"b\x00\x00\x00\x01"),
    (Atom("ok"), b"d\x00\x02ok"),
    (Atom("ok"), b"s\x02ok"),
    (Atom("ok"), b"v\x00\x02ok"),
    (Atom("é"), b"d\x00\x01\xe9"),
    (Atom("é"), b"s\x01\xe9"),
    (True, b"d\x00\x04true"),
    (False, b"s\x05false"),
    (None, b"v\x00\x03nil"),
    ((0,), b"i\x00\x00\x00\x01a\x00"),
    ([], b"k\x00\x00"),
    ([], b"l\x00\x00\x00\x00j"),
    ([1], b"l\x00\x00\x00\x01a\x01j"),
]


# Values


@pytest.mark.parametrize(("value", "term"), WRITTEN, ids=map(shown, WRITTEN))
def test_p135_a_value_is_written(value: Any, term: bytes) -> None:
    assert encode_term(value) == VERSION + term


@pytest.mark.parametrize(("value", "term"), WRITTEN + READ, ids=map(shown, WRITTEN + READ))
def test_p134_a_term_is_read(value: Any, term: bytes) -> None:
    assert same(decode_term(VERSION + term), value)


@pytest.mark.parametrize(("value", "term"), WRITTEN + READ, ids=map(shown, WRITTEN + READ))
def test_p134_a_compressed_term_is_read(value: Any, term: bytes) -> None:
    assert same(decode_term(compressed(term)), value)


@pytest.mark.parametrize("term", [VERSION + b"a\x01", compressed(b"a\x01")])
def test_p134_what_follows_a_term_is_ignored(term: bytes) -> None:
    assert decode_term(term + b"\x00more") == 1
    assert decode_term(compressed(b"a\x01\x00more")) == 1


atoms = st.text(max_size=255).filter(lambda name: name not in ("true", "false", "nil")).map(Atom)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**8000), max_value=2**8000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary().map(b"\xff".__add__)  # others come back as strings
    | atoms
)
keys = scalars | st.lists(scalars, max_size=3).map(tuple)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
    max_leaves=20,
)


@given(values, st.binary())
def test_what_was_written_is_read(value: Any, behind: bytes) -> None:
    term = encode_term(value)
    assert same(decode_term(term + behind), value)
    assert same(decode_term(compressed(term[1:])), value)


@given(values, st.data())
def test_no_term_may_be_cut_short(value: Any, data: st.DataObject) -> None:
    term = encode_term(value)
    with pytest.raises(TermError):
        decode_term(term[: data.draw(st.integers(0, len(term) - 1))])


@given(st.binary() | st.binary().map(VERSION.__add__) | st.binary().map(compressed))
def test_any_bytes_are_a_term_or_an_error(data: bytes) -> None:
    try:
        value = decode_term(data)
    except TermError:
        return
    assert same(decode_term(encode_term(value)), value)


def test_p134_strings_are_binaries_and_binaries_that_are_utf8_are_strings() -> None:
    assert encode_term("é") == encode_term(b"\xc3\xa9")
    assert same(decode_term(encode_term(b"text")), "text")
    assert same(decode_term(encode_term(b"\xc3")), b"\xc3")
    assert same(decode_term(encode_term(b"\xed\xa0\x80")), b"\xed\xa0\x80")  # half a surrogate pair


def test_p134_a_struct_is_a_map_with_its_name() -> None:
    term = b"t\x00\x00\x00\x02d\x00\x0a__struct__d\x00\x0bElixir.Userd\x00\x02ida\x15"
    value = decode_term(VERSION + term)
    assert same(value, {Atom("__struct__"): Atom("Elixir.User"), Atom("id"): 21})
    assert value["id"] == 21


class Level(IntEnum):
    HIGH = 3


class Role(StrEnum):
    ADMIN = "admin"


class Point(NamedTuple):
    x: int
    y: int


def test_subclasses_are_written_as_what_they_are() -> None:
    value = [Level.HIGH, Role.ADMIN, Point(1, 2), {Role.ADMIN: Level.HIGH}]
    assert same(decode_term(encode_term(value)), [3, "admin", (1, 2), {"admin": 3}])


# Atoms


def test_an_atom_is_a_string_that_is_written_as_an_atom() -> None:
    atom = Atom("admin")
    assert atom == "admin"
    claims: dict[str, int] = {atom: 1}
    assert claims["admin"] == {"admin": 1}[atom] == 1
    assert repr(atom) == "Atom('admin')"
    assert type(str(atom)) is str
    assert encode_term(atom) != encode_term(str(atom))


def test_a_copy_of_an_atom_is_an_atom() -> None:
    for twin in (copy.deepcopy(Atom("admin")), pickle.loads(pickle.dumps(Atom("admin"))), Atom(Atom("admin"))):
        assert same(twin, Atom("admin"))


@pytest.mark.parametrize(("name", "value"), [("true", "True"), ("false", "False"), ("nil", "None")])
def test_what_has_a_value_of_its_own_is_no_atom(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"the atom {name} is {value}"):
        Atom(name)


def test_an_atom_has_at_most_255_characters() -> None:
    assert len(Atom("é" * 255)) == 255
    with pytest.raises(ValueError, match="at most 255 characters, this one has 256"):
        Atom("x" * 256)


@pytest.mark.parametrize("name", [None, 1, b"admin"])
def test_an_atom_is_named_by_a_string(name: Any) -> None:
    with pytest.raises(TypeError, match=f"is a string, not a {type(name).__name__}"):
        Atom(name)


# What is not written


@pytest.mark.parametrize("value", [object(), {1, 2}, bytearray(b"x"), 1j, range(3), Exception, Ellipsis])
def test_what_has_no_term_is_told_what_has_one(value: object) -> None:
    for data in (value, [value], {"key": (value,)}):
        with pytest.raises(TypeError, match=f"a {type(value).__qualname__} is no term: a token carries None, bool"):
            encode_term(data)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "no float nan"),
        (-math.inf, "no float -inf"),
        ("\ud800", "surrogates not allowed"),
        (Atom("\ud800"), "surrogates not allowed"),
        ({"a": 1, b"a": 2}, "two keys of a dict are the same in Elixir"),
        ({("a",): 1, (b"a",): 2}, "two keys of a dict are the same in Elixir"),
        (2**8192, "at most 1024 bytes, this one has 1025"),
        (-(2**8192), "at most 1024 bytes, this one has 1025"),
    ],
)
def test_a_value_without_a_term_is_an_error(value: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        encode_term([value])
