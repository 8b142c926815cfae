"""Tokens with arguments that are none: they are refused before anybody looks at the token."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from phoenix_channels import Endpoint, Socket
from phoenix_channels.token import sign
from tests.token.kinds import Make, Read, both_kinds
from tests.token.vectors import SALT, SECRET


class UserSocket(Socket):
    pass


# The secret


@both_kinds
def test_a124_an_endpoint_without_a_secret_is_told_what_to_pass(make: Make, read: Read) -> None:
    socket = UserSocket()
    socket.endpoint = endpoint = Endpoint()
    for context in (endpoint, socket):
        with pytest.raises(ValueError, match=r"Endpoint\(secret_key_base=\.\.\.\), at least 20 bytes"):
            make(context, SALT, 1)
        with pytest.raises(ValueError, match=r"Endpoint\(secret_key_base=\.\.\.\), at least 20 bytes"):
            read(context, SALT, "token")


@both_kinds
def test_p130_a_short_secret_is_refused(make: Make, read: Read) -> None:
    with pytest.raises(ValueError, match="at least 20 bytes, this one has 19"):
        make("x" * 19, SALT, 1)
    with pytest.raises(ValueError, match="at least 20 bytes, this one has 19"):
        read("x" * 19, SALT, None)


@both_kinds
@pytest.mark.parametrize("context", [None, b"a secret that is no text", 12345678901234567890, UserSocket, object()])
def test_what_leads_to_no_secret_is_refused_and_not_quoted(make: Make, read: Read, context: Any) -> None:
    for use in (make, read):
        with pytest.raises(TypeError, match=r"is an Endpoint, a Socket, a Channel, or a secret string, not a \w+$"):
            use(context, SALT, "token")


@both_kinds
def test_a_secret_of_the_wrong_type_is_refused_and_not_quoted(make: Make, read: Read) -> None:
    for use in (make, read):
        with pytest.raises(TypeError, match=r"^secret_key_base is a string, not a bytes$"):
            use(SimpleNamespace(secret_key_base=b"a secret that is no text"), SALT, "token")


# The others


@both_kinds
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"max_age": "60"}, TypeError, "max_age is a number of seconds, not a str"),
        ({"max_age": True}, TypeError, "max_age is a number of seconds, not a bool"),
        ({"max_age": math.nan}, ValueError, "max_age is a number of seconds, not nan"),
        ({"max_age": -math.inf}, ValueError, "max_age is a number of seconds, not -inf"),
        ({"key_iterations": "1"}, TypeError, "key_iterations is an int, not a str"),
        ({"key_iterations": True}, TypeError, "key_iterations is an int, not a bool"),
        ({"key_iterations": 0}, ValueError, "at least 1 iteration"),
        ({"key_digest": "md5"}, ValueError, "one of sha256, sha384, sha512, not 'md5'"),
        ({"key_digest": None}, ValueError, "one of sha256, sha384, sha512, not None"),
    ],
)
def test_wrong_options_are_told_what_is_legal(make: Make, read: Read, options: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        make(SECRET, SALT, 1, **options)
    # Whatever the token is.
    with pytest.raises(error, match=text):
        read(SECRET, SALT, None, **options)


@both_kinds
@pytest.mark.parametrize(
    ("signed_at", "error"),
    [("now", TypeError), (False, TypeError), (math.nan, ValueError), (math.inf, ValueError), (1e306, ValueError)],
)
def test_a_wrong_time_of_signing_is_refused(make: Make, read: Read, signed_at: Any, error: Any) -> None:
    with pytest.raises(error, match="signed_at is a number of seconds"):
        make(SECRET, SALT, 1, signed_at=signed_at)


@both_kinds
def test_a_salt_is_a_string(make: Make, read: Read) -> None:
    for use in (make, read):
        with pytest.raises(TypeError, match="the salt of a token is a string, not a bytes"):
            use(SECRET, b"user socket", "token")


def test_the_length_of_a_key_is_an_int() -> None:
    with pytest.raises(TypeError, match="key_length is an int, not a float"):
        sign(SECRET, SALT, 1, key_length=32.0)  # type: ignore[arg-type]


@both_kinds
def test_data_without_a_term_is_refused(make: Make, read: Read) -> None:
    with pytest.raises(TypeError, match="a set is no term: a token carries"):
        make(SECRET, SALT, {"roles": {"admin"}})
    with pytest.raises(ValueError, match="no float nan"):
        make(SECRET, SALT, [math.nan])
    with pytest.raises(ValueError, match="at most 65536 characters"):
        make(SECRET, SALT, "x" * 60_000)
