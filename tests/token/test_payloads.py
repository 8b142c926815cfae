"""P-131, P-132: what a token says besides its data, and when it is believed."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.token.errors import TokenError, TokenExpired, TokenInvalid
from phoenix_channels.token.payloads import decode_payload, encode_payload
from phoenix_channels.token.terms import Atom, decode_term, encode_term

SIGNED_AT = 1_700_000_000_000
DAY = 86_400


def outcome(payload: bytes, now: int, max_age: float | None = None) -> Any:
    """The data, or the class of the error."""
    try:
        return decode_payload(payload, now=now, max_age=max_age)
    except TokenError as error:
        return type(error)


def test_p131_a_payload_says_data_milliseconds_and_seconds() -> None:
    assert decode_term(encode_payload("data", signed_at=SIGNED_AT, max_age=60)) == ("data", SIGNED_AT, 60)
    assert decode_term(encode_payload(None, signed_at=-1, max_age=0.5)) == (None, -1, 0.5)


def test_p131_for_ever_is_an_atom() -> None:
    payload = encode_payload(1, signed_at=SIGNED_AT, max_age=math.inf)
    assert repr(decode_term(payload)) == repr((1, SIGNED_AT, Atom("infinity")))
    assert outcome(payload, SIGNED_AT + 10**15) == 1


@pytest.mark.parametrize("given_here", [False, True])
@pytest.mark.parametrize(
    ("max_age", "good_for"),
    [
        (DAY, DAY * 1000),
        (60, 60_000),
        (0.5, 500),
        (0.0015, 1),  # truncated to whole milliseconds
        (0.0001, 0),
        (1.9999, 1999),
        (10**30, 10**33),
    ],
)
def test_p132_a_token_is_good_up_to_its_age_and_not_a_millisecond_longer(
    max_age: float, good_for: int, given_here: bool
) -> None:
    payload = encode_payload("data", signed_at=SIGNED_AT, max_age=1 if given_here else max_age)
    option = max_age if given_here else None
    for now in (SIGNED_AT, SIGNED_AT + good_for):
        assert outcome(payload, now, option) == "data"
    assert outcome(payload, SIGNED_AT + good_for + 1, option) is TokenExpired


@given(
    st.integers(0, 10**18),
    st.integers(0, 10**13),
    st.integers(1, 10**15) | st.floats(min_value=1e-9, max_value=1e15, allow_nan=False),
)
def test_p132_the_age_is_truncated_as_phoenix_does(signed_at: int, passed: int, max_age: float) -> None:
    payload = encode_payload("data", signed_at=signed_at, max_age=max_age)
    expired = signed_at + math.trunc(max_age * 1000) < signed_at + passed
    assert outcome(payload, signed_at + passed) == (TokenExpired if expired else "data")


@pytest.mark.parametrize("max_age", [0, -1, 0.0, -0.5, -(10**400), -1e308])
def test_p132_without_an_age_a_token_is_expired(max_age: float) -> None:
    payload = encode_payload("data", signed_at=SIGNED_AT, max_age=DAY)
    for now in (SIGNED_AT - 1, SIGNED_AT, SIGNED_AT + 1):
        assert outcome(payload, now, max_age) is TokenExpired
    assert outcome(encode_payload("data", signed_at=SIGNED_AT, max_age=-0.5), SIGNED_AT) is TokenExpired


def test_p132_what_was_signed_in_the_future_is_invalid_unless_any_age_will_do() -> None:
    payload = encode_payload("data", signed_at=SIGNED_AT, max_age=DAY)
    assert outcome(payload, SIGNED_AT - 1) is TokenInvalid
    assert outcome(payload, SIGNED_AT - 1, 1e9) is TokenInvalid
    assert outcome(payload, SIGNED_AT - 1, math.inf) == "data"


def test_p132_no_age_is_too_large_to_reckon_with() -> None:
    for max_age in (1e308, 10**400):
        payload = encode_payload("data", signed_at=SIGNED_AT, max_age=max_age)
        assert outcome(payload, SIGNED_AT + 10**20) == "data"
        assert outcome(payload, SIGNED_AT - 1) is TokenInvalid


@pytest.mark.parametrize(
    "term",
    [
        ("data", SIGNED_AT),
        {Atom("data"): "data", Atom("signed"): SIGNED_AT},
        {Atom("data"): "data", Atom("signed"): SIGNED_AT, Atom("more"): 1, "other": 2},
    ],
)
def test_p131_the_older_forms_are_good_for_a_day(term: object) -> None:
    payload = encode_term(term)
    assert outcome(payload, SIGNED_AT + DAY * 1000) == "data"
    assert outcome(payload, SIGNED_AT + DAY * 1000 + 1) is TokenExpired
    assert outcome(payload, SIGNED_AT + DAY * 1000 + 1, DAY + 1) == "data"


@pytest.mark.parametrize(
    "term",
    [
        "data",
        None,
        SIGNED_AT,
        (),
        ("data",),
        ("data", SIGNED_AT, DAY, 1),
        ["data", SIGNED_AT, DAY],
        ["data", SIGNED_AT],
        {},
        {Atom("data"): "data"},
        {Atom("signed"): SIGNED_AT},
        {"data": "data", "signed": SIGNED_AT},  # of strings, not of atoms
        {Atom("data"): "data", "signed": SIGNED_AT},
        ("data", str(SIGNED_AT), DAY),
        ("data", float(SIGNED_AT), DAY),
        ("data", True, DAY),
        ("data", None, DAY),
        ("data", SIGNED_AT, None),
        ("data", SIGNED_AT, True),
        ("data", SIGNED_AT, "infinity"),
        ("data", SIGNED_AT, Atom("forever")),
        ("data", SIGNED_AT, [DAY]),
    ],
    ids=repr,
)
def test_p132_what_is_no_payload_is_invalid(term: object) -> None:
    assert outcome(encode_term(term), SIGNED_AT) is TokenInvalid


def test_p132_what_the_payload_says_of_its_age_does_not_matter_when_another_is_given() -> None:
    assert outcome(encode_term(("data", SIGNED_AT, None)), SIGNED_AT, 1) == "data"
    assert outcome(encode_term(("data", None, None)), SIGNED_AT, math.inf) is TokenInvalid


@pytest.mark.parametrize("payload", [b"", b"\x83", b"json", b'{"data":1}', b"\x83\x68\x03\x61\x01"])
def test_p132_what_is_no_term_is_invalid(payload: bytes) -> None:
    with pytest.raises(TokenInvalid) as raised:
        decode_payload(payload, now=SIGNED_AT, max_age=None)
    assert raised.value.__cause__ is not None
