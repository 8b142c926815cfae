"""P-134: what is no term, or too much of one; what is written has the same bounds."""

import math
import struct
import tracemalloc
import zlib
from typing import Any

import pytest

from phoenix_channels.token.terms import TermError, TermLimits, decode_term, encode_term
from tests.token.terms import VERSION, compressed, same, shown

EMPTY_LIST = b"j"


# What is not read: C16, malformed terms


@pytest.mark.feature("C16")
def test_p134_other_tags_are_refused() -> None:
    for tag in set(range(256)) - {70, 97, 98, 100, *range(104, 112), 115, 116, 118, 119}:
        term = bytes([tag]) + b"\x00" * 64
        for data in (VERSION + term, VERSION + b"h\x01" + term, compressed(term)):
            with pytest.raises(TermError):
                decode_term(data)


@pytest.mark.feature("C16")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x82a\x01",
        b"a\x01",
        VERSION,
        VERSION + VERSION + b"a\x01",
        VERSION + b"F" + struct.pack(">d", math.nan),
        VERSION + b"F" + struct.pack(">d", -math.inf),
        VERSION + b"n\x01\x02\x01",  # neither plus nor minus
        VERSION + b"o\x00\x00\x04\x01\x00" + b"\x01" * 1025,  # too many digits
        VERSION + b"o\xff\xff\xff\xff\x00",
        VERSION + b"w\x01\xff",  # not UTF-8
        VERSION + b"v\x00\x03\xed\xa0\x80",
        VERSION + b"d\x01\x00" + b"x" * 256,  # too long
        VERSION + b"l\x00\x00\x00\x01a\x01a\x02",  # improper
        VERSION + b"l\x00\x00\x00\x01a\x01k\x00\x01\x02",
        VERSION + b"t\x00\x00\x00\x01jj",  # no key of a dict
        VERSION + b"t\x00\x00\x00\x01h\x01jj",
        VERSION + b"t\x00\x00\x00\x01t\x00\x00\x00\x00j",
        VERSION + b"t\x00\x00\x00\x02a\x01ja\x01j",  # twice
        VERSION + b"t\x00\x00\x00\x02a\x01jw\x04truej",  # twice in Python
        VERSION + b"t\x00\x00\x00\x02m\x00\x00\x00\x01aj" + b"w\x01aj",
        VERSION + b"m\xff\xff\xff\xff",  # promises
        VERSION + b"i\xff\xff\xff\xff",
        VERSION + b"l\xff\xff\xff\xff",
        VERSION + b"t\xff\xff\xff\xff",
        VERSION + b"P",  # damaged
        VERSION + b"P\x00\x00\x00",
        VERSION + b"P\x00\x00\x00\x02nothing",
        compressed(b"a\x01", 1),
        compressed(b"a\x01", 3),
        compressed(b"a\x01", 0),
        compressed(b""),
        compressed(b"a\x01")[:-1],
        VERSION + b"P" + struct.pack(">I", 2) + zlib.compress(b"a\x01")[:-4] + b"\x00" * 4,
        compressed(compressed(b"a\x01")[1:]),  # twice
        compressed(compressed(b"a\x01")),
    ],
    ids=shown,
)
def test_p134_malformed_terms_are_refused(data: bytes) -> None:
    with pytest.raises(TermError):
        decode_term(data)


# Bounds: C16, deep nesting and the inflation bomb

NESTS = [
    (lambda inner: [inner], b"l\x00\x00\x00\x01", b"j"),
    (lambda inner: (inner,), b"h\x01", b""),
    (lambda inner: {1: inner}, b"t\x00\x00\x00\x01a\x01", b""),
]


@pytest.mark.feature("C16")
@pytest.mark.parametrize(("nest", "before", "behind"), NESTS, ids=["list", "tuple", "map"])
def test_p134_nesting_is_bounded(nest: Any, before: bytes, behind: bytes) -> None:
    value: Any = 300
    for _ in range(32):
        value = nest(value)
    term = VERSION + before * 32 + b"b\x00\x00\x01\x2c" + behind * 32
    assert encode_term(value) == term
    assert decode_term(term) == value
    with pytest.raises(ValueError, match="nested too deep"):
        encode_term(nest(value))
    for depth in (33, 10_000, 1_000_000):
        with pytest.raises(TermError, match="nested too deep"):
            decode_term(VERSION + before * depth + b"b\x00\x00\x01\x2c" + behind * depth)


def test_p134_a_list_of_bytes_nests_as_every_list_does() -> None:
    limits = TermLimits(depth=1)
    values: list[Any] = [[1], [300], (), {}]
    for value in values:
        assert same(decode_term(encode_term(value, limits), limits), value)
        with pytest.raises(ValueError, match="nested too deep"):
            encode_term((value,), limits)
        with pytest.raises(TermError, match="nested too deep"):
            decode_term(encode_term((value,)), limits)


def test_what_contains_itself_is_nested_too_deep_or_too_large() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(ValueError, match="nested too deep"):
        encode_term(ring)
    tree: list[Any] = []
    tree += [tree] * 4
    with pytest.raises(ValueError, match=r"too many elements|nested too deep"):
        encode_term(tree)


@pytest.mark.feature("C16")
@pytest.mark.parametrize("value", [[1] * 11, [300] * 11, (1,) * 11, dict.fromkeys(range(6)), [[1] * 5, [1] * 5]])
def test_p134_the_number_of_elements_is_bounded(value: Any) -> None:
    exact, less = TermLimits(elements=12), TermLimits(elements=10)
    assert same(decode_term(encode_term(value, exact), exact), value)
    with pytest.raises(ValueError, match="too many elements"):
        encode_term(value, less)
    with pytest.raises(TermError, match="too many elements"):
        decode_term(encode_term(value), less)


@pytest.mark.feature("C16")
def test_p134_a_small_token_cannot_become_very_many_elements() -> None:
    with pytest.raises(TermError, match="too many elements"):
        decode_term(compressed(b"l\x00\x08\x00\x00" + EMPTY_LIST * 0x80000 + EMPTY_LIST))


@pytest.mark.feature("C16")
def test_p134_the_inflated_size_is_bounded() -> None:
    largest = b"m" + struct.pack(">I", 1_048_571) + b"x" * 1_048_571
    assert len(decode_term(compressed(largest))) == 1_048_571
    bomb = largest + b"x"
    assert len(compressed(bomb)) < 2000
    with pytest.raises(TermError, match="is too large"):
        decode_term(compressed(bomb))


@pytest.mark.feature("C16")
@pytest.mark.parametrize("size", [0, 1, 1000, 1_048_576])
def test_p134_a_bomb_that_lies_is_not_inflated_further_than_it_says(size: int) -> None:
    bomb = compressed(b"m" + b"\x00" * 20_000_000, size)
    tracemalloc.start()
    with pytest.raises(TermError, match="not the size that it says"):
        decode_term(bomb)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000


def test_p134_a_large_integer_costs_little() -> None:
    for value in (2**8192 - 1, -(2**8192) + 1):
        assert decode_term(encode_term(value)) == value
        assert len(str(value)) < 4300  # which Python would not write


@pytest.mark.feature("C16")
def test_p134_keys_that_take_python_long_to_tell_apart_are_few() -> None:
    # All of one hash: 16,000 of them took four seconds.
    keys = [number * (2**61 - 1) for number in range(1, 1_002)]
    most = dict.fromkeys(keys[:1_000], 0)
    assert decode_term(encode_term(most)) == most
    for more in (dict.fromkeys(keys, 0), {"a": most, "b": {(1,): 0}}):
        with pytest.raises(ValueError, match="too many keys that are no text"):
            encode_term(more)
        term = encode_term(more, TermLimits(untextual_keys=2_000))
        with pytest.raises(TermError, match="too many keys of maps that are no text"):
            decode_term(term)
    texts = dict.fromkeys(map(str, range(10_000)), 0)
    assert decode_term(encode_term(texts)) == texts
