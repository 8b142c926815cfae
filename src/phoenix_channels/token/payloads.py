"""What a token says: the data, when it was signed, and for how long (P-131, P-132)."""

from __future__ import annotations

import math
from typing import Any, Final, cast

from phoenix_channels.token.errors import TokenExpired, TokenInvalid
from phoenix_channels.token.terms import Atom, TermError, decode_term, encode_term

MAX_AGE: Final = 86_400
"""Seconds that a token is good for when nobody has said how many: a day."""

_INFINITY: Final = Atom("infinity")


def encode_payload(data: object, *, signed_at: int, max_age: float) -> bytes:
    """The payload of a token, signed at so many milliseconds after the epoch and good for so many seconds.

    Raises:
        TypeError: the data has no term.
        ValueError: likewise, or it is too large.
    """
    return encode_term((data, signed_at, _INFINITY if max_age == math.inf else max_age))


def decode_payload(payload: bytes, *, now: int, max_age: float | None) -> Any:
    """The data of a payload, if it is good in this millisecond; ``max_age`` wins over what the payload says.

    Raises:
        TokenInvalid: it is no payload, or was signed later than now.
        TokenExpired: it was signed too long ago.
    """
    try:
        data, signed_at, age = _claims(decode_term(payload))
    except TermError as error:
        raise TokenInvalid("what the token carries is no data") from error
    if max_age is None:
        max_age = _seconds(age)
    if type(signed_at) is not int:
        raise TokenInvalid("the token does not say when it was signed")
    if max_age == math.inf:
        return data
    if max_age <= 0:
        raise TokenExpired("the token was never good")
    if signed_at > now:
        raise TokenInvalid("the token was signed in the future")
    if max_age * 1000 < now - signed_at:
        raise TokenExpired(f"the token was good for {max_age} seconds")
    return data


def _claims(term: object) -> tuple[Any, object, object]:
    """Data, time of signing and age; the two older forms have no age."""
    parts: tuple[object, ...] = ()
    if isinstance(term, tuple):
        parts = cast("tuple[object, ...]", term)
    elif isinstance(term, dict):
        pairs = cast("dict[object, Any]", term).items()
        found: dict[str, Any] = {key: value for key, value in pairs if isinstance(key, Atom)}
        if found.keys() >= {"data", "signed"}:
            parts = (found["data"], found["signed"])
    match parts:
        case (data, signed_at, max_age):
            return data, signed_at, max_age
        case (data, signed_at):
            return data, signed_at, MAX_AGE
        case _:
            raise TokenInvalid("what the token carries is no payload")


def _seconds(age: object) -> float:
    if isinstance(age, Atom) and age == _INFINITY:
        return math.inf
    if isinstance(age, bool) or not isinstance(age, int | float):
        raise TokenInvalid("the token does not say how long it is good for")
    return age
