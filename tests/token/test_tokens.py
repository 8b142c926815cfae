"""P-129 to P-136: tokens as an application makes and takes them; the rows B140 to B145 and C16 of the inventory."""

import math
import sys
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import phoenix_channels.token
from phoenix_channels import Channel, ConnectInfo, ConnectRefused, Endpoint, RawSocket, Socket
from phoenix_channels.testing import Refused, connect
from phoenix_channels.token import (
    Atom,
    TokenError,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
    decrypt,
    encrypt,
    sign,
    verify,
)
from phoenix_channels.token.base64url import from_base64url
from phoenix_channels.token.signing import sign as sign_bytes
from phoenix_channels.token.terms import encode_term
from tests.token.kinds import Make, Read, both_kinds
from tests.token.terms import same, shown
from tests.token.vectors import DERIVED, ENCRYPTED, KEY, MAX_AGES, SALT, SECRET, SIGNED_AT, TOKENS, VALUES

DAY = 86_400
OPTIONS: dict[str, dict[str, Any]] = {
    "key_digest sha384": {"key_digest": "sha384"},
    "key_iterations 1": {"key_iterations": 1},
    "key_length 64": {"key_length": 64},
}
OLDER_ERLANG = {"true", "nil", '%{id: 7, name: "bob"} (atom keys)', "1, max_age infinity"}
"""With atoms: Erlang wrote them with another tag before 26, in which these were recorded (P-134)."""
NOT_SIGNED_HERE = {"1, legacy 2-tuple", "1, legacy map", "1, HS512", '200 x "x", compressed term'}
IDENTICAL = [name for name in TOKENS if name not in OLDER_ERLANG | NOT_SIGNED_HERE]


def payload_of(token: str) -> bytes:
    return from_base64url(token.split(".")[1])


# The vectors


@pytest.mark.feature("C16")
@pytest.mark.parametrize("name", TOKENS)
def test_p136_what_phoenix_has_signed_is_verified(name: str) -> None:
    assert same(verify(SECRET, SALT, TOKENS[name], max_age=math.inf), VALUES[name])
    if MAX_AGES.get(name) == math.inf:
        assert verify(SECRET, SALT, TOKENS[name]) == VALUES[name]
    else:
        with pytest.raises(TokenExpired):
            verify(SECRET, SALT, TOKENS[name])


@pytest.mark.feature("C16")
@pytest.mark.parametrize("name", IDENTICAL)
def test_p136_the_same_bytes_are_signed_here(name: str) -> None:
    token = sign(SECRET, SALT, VALUES[name], signed_at=SIGNED_AT, max_age=MAX_AGES.get(name, DAY))
    assert token == TOKENS[name]


@pytest.mark.feature("C16")
@pytest.mark.parametrize("name", sorted(OLDER_ERLANG))
def test_p135_with_atoms_the_bytes_are_those_of_erlang_26(name: str) -> None:
    token = sign(SECRET, SALT, VALUES[name], signed_at=SIGNED_AT, max_age=MAX_AGES.get(name, DAY))
    assert payload_of(token) == payload_of(TOKENS[name]).replace(b"d\x00", b"w")
    assert same(verify(SECRET, SALT, token, max_age=math.inf), VALUES[name])


@pytest.mark.feature("C16")
@pytest.mark.parametrize("name", DERIVED)
def test_p136_keys_derived_with_options(name: str) -> None:
    assert verify(SECRET, SALT, DERIVED[name], max_age=math.inf, **OPTIONS[name]) == 1
    assert sign(SECRET, SALT, 1, signed_at=SIGNED_AT, **OPTIONS[name]) == DERIVED[name]
    with pytest.raises(TokenInvalid):
        verify(SECRET, SALT, DERIVED[name], max_age=math.inf)


@pytest.mark.feature("C16")
def test_p136_what_phoenix_has_encrypted_is_decrypted() -> None:
    assert decrypt(SECRET, SALT, ENCRYPTED, max_age=math.inf) == 1
    with pytest.raises(TokenExpired):
        decrypt(SECRET, SALT, ENCRYPTED)


@given(st.integers() | st.text() | st.lists(st.booleans() | st.none()) | st.dictionaries(st.text(), st.integers()))
def test_what_was_made_here_is_read_here(data: Any) -> None:
    assert same(verify(SECRET, SALT, sign(SECRET, SALT, data)), data)
    assert same(decrypt(SECRET, SALT, encrypt(SECRET, SALT, data)), data)


# Where the secret comes from


class RoomChannel(Channel["UserSocket"]):
    def join(self, payload: Any) -> dict[str, str]:
        return {"token": sign(self, SALT, self.socket.user_id)}


class UserSocket(Socket):
    channels = {"room:*": RoomChannel}

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        try:
            self.user_id: int = verify(self, SALT, params.get("token"))
        except TokenError as error:
            raise ConnectRefused from error


class PlainSocket(RawSocket):
    pass


@pytest.mark.feature("B140", "B145")
@both_kinds
def test_the_secret_is_a_string_or_that_of_an_endpoint(make: Make, read: Read) -> None:
    endpoint = Endpoint(secret_key_base=SECRET)
    socket, raw_socket = UserSocket(), PlainSocket()
    socket.endpoint = raw_socket.endpoint = endpoint
    contexts = [SECRET, endpoint, socket, raw_socket, SimpleNamespace(endpoint=endpoint)]
    contexts.append(SimpleNamespace(secret_key_base=SECRET))
    for maker in contexts:
        token = make(maker, SALT, 21)
        assert [read(reader, SALT, token) for reader in contexts] == [21] * len(contexts)


@pytest.mark.feature("B140")
async def test_a_socket_and_a_channel_have_the_secret_of_their_endpoint() -> None:
    endpoint = Endpoint(secret_key_base=SECRET)
    endpoint.socket("/socket", UserSocket)
    async with connect(endpoint, {"token": sign(SECRET, SALT, 21)}) as socket:
        channel = await socket.join("room:lobby")
        assert verify(endpoint, SALT, channel.reply["token"]) == 21
    refused: list[dict[str, Any]] = [{}, {"token": ""}, {"token": [sign(SECRET, SALT, 21)]}]
    for params in [*refused, {"token": sign(SECRET, "other", 21)}]:
        with pytest.raises(Refused):
            await connect(endpoint, params)


def test_an_endpoint_tells_its_secret() -> None:
    assert Endpoint(secret_key_base=SECRET).secret_key_base == SECRET
    assert Endpoint().secret_key_base is None


# Tokens that are none


@pytest.mark.feature("B141", "B145")
@both_kinds
def test_no_token_is_missing(make: Make, read: Read) -> None:
    with pytest.raises(TokenMissing):
        read(SECRET, SALT, None)


@pytest.mark.feature("B141", "B145")
@both_kinds
@pytest.mark.parametrize(
    "token", ["", "garbage", "a.b.c", "é", "\ud800", "x" * 100_000, b"x.y.z", 7, 1.5, True, [], {}], ids=shown
)
def test_garbage_of_any_type_is_invalid(make: Make, read: Read, token: object) -> None:
    with pytest.raises(TokenInvalid):
        read(SECRET, SALT, token)


@pytest.mark.feature("B141", "B145")
@both_kinds
def test_a_token_for_another_purpose_or_of_another_secret_is_invalid(make: Make, read: Read) -> None:
    token = make(SECRET, SALT, 1)
    assert read(SECRET, SALT, token) == 1
    for secret, salt in ((SECRET, "other"), (SECRET, ""), (SECRET[::-1], SALT)):
        with pytest.raises(TokenInvalid):
            read(secret, salt, token)


def test_signed_and_encrypted_tokens_are_not_each_other() -> None:
    with pytest.raises(TokenInvalid):
        verify(SECRET, SALT, encrypt(SECRET, SALT, 1))
    with pytest.raises(TokenInvalid):
        decrypt(SECRET, SALT, sign(SECRET, SALT, 1))


def test_what_is_signed_and_no_payload_is_invalid() -> None:
    for payload in (b"", b"[1,2,3]", encode_term("data"), encode_term(("data", "today", DAY))):
        with pytest.raises(TokenInvalid):
            verify(SECRET, SALT, sign_bytes(KEY, payload))


def test_the_errors_have_one_base_and_quote_neither_token_nor_secret() -> None:
    old = sign(SECRET, SALT, 1, max_age=0)
    for error, token in ((TokenMissing, None), (TokenInvalid, "garbage"), (TokenExpired, old)):
        with pytest.raises(TokenError) as raised:
            verify(SECRET, SALT, token)
        assert type(raised.value) is error
        assert str(raised.value)
        assert "garbage" not in str(raised.value)


# How long


@pytest.mark.feature("B142", "B145")
@both_kinds
def test_an_age_is_in_seconds_and_may_be_a_float(make: Make, read: Read) -> None:
    token = make(SECRET, SALT, 1, signed_at=time.time() - 1000)
    for good in (100_000, 100_000.5, math.inf):
        assert read(SECRET, SALT, token, max_age=good) == 1
    for less in (900, 999.5, 0.001, 0, 0.0, -1, -1000, -0.5):
        with pytest.raises(TokenExpired):
            read(SECRET, SALT, token, max_age=less)


@pytest.mark.feature("B142", "B145")
@both_kinds
def test_an_age_that_was_signed_holds_unless_another_is_given(make: Make, read: Read) -> None:
    past = time.time() - 1000
    assert read(SECRET, SALT, make(SECRET, SALT, 1, signed_at=0, max_age=math.inf)) == 1
    for less in (900, 0.5, 0, -5):
        token = make(SECRET, SALT, 1, signed_at=past, max_age=less)
        with pytest.raises(TokenExpired):
            read(SECRET, SALT, token)
        assert read(SECRET, SALT, token, max_age=100_000) == 1


@pytest.mark.feature("B143", "B145")
@both_kinds
def test_the_time_of_signing_is_in_seconds(make: Make, read: Read) -> None:
    for day_ago in (int(time.time()) - DAY, time.time() - DAY):
        token = make(SECRET, SALT, 1, signed_at=day_ago)
        assert read(SECRET, SALT, token, max_age=DAY + 3600) == 1
        with pytest.raises(TokenExpired):
            read(SECRET, SALT, token, max_age=DAY - 3600)


@pytest.mark.feature("B143")
def test_p131_seconds_become_milliseconds_and_are_truncated() -> None:
    for seconds in (SIGNED_AT + 0.0009, SIGNED_AT + 0.25, -1.5, 0):
        expected = encode_term((1, math.trunc(seconds * 1000), DAY))
        assert payload_of(sign(SECRET, SALT, 1, signed_at=seconds)) == expected


@both_kinds
def test_p132_a_token_of_the_future_is_invalid(make: Make, read: Read) -> None:
    token = make(SECRET, SALT, 1, signed_at=time.time() + 1000)
    for max_age in (None, DAY):
        with pytest.raises(TokenInvalid):
            read(SECRET, SALT, token, max_age=max_age)
    assert read(SECRET, SALT, token, max_age=math.inf) == 1


# Keys


@pytest.mark.feature("B144")
@pytest.mark.parametrize("options", [{"key_iterations": 1}, {"key_digest": "sha512"}, {"key_length": 16}])
def test_options_of_the_key_change_the_token(options: Any) -> None:
    assert sign(SECRET, SALT, 1, signed_at=0, **options) != sign(SECRET, SALT, 1, signed_at=0)


@pytest.mark.feature("B144")
def test_the_default_options_of_the_key_are_those_of_phoenix() -> None:
    explicit = sign(SECRET, SALT, 1, signed_at=0, key_iterations=1000, key_length=32, key_digest="sha256")
    assert explicit == sign(SECRET, SALT, 1, signed_at=0)


@pytest.mark.feature("B145")
@pytest.mark.parametrize("options", [{"key_iterations": 1}, {"key_digest": "sha512"}])
def test_options_of_the_key_change_an_encrypted_token(options: Any) -> None:
    token = encrypt(SECRET, SALT, 1, **options)
    assert decrypt(SECRET, SALT, token, **options) == 1
    with pytest.raises(TokenInvalid):
        decrypt(SECRET, SALT, token)


@pytest.mark.feature("B145")
def test_the_default_options_of_the_key_of_an_encrypted_token_are_those_of_phoenix() -> None:
    token = encrypt(SECRET, SALT, 1)
    assert decrypt(SECRET, SALT, token, key_iterations=1000, key_digest="sha256") == 1


def test_p133_no_token_is_encrypted_twice_in_the_same_way() -> None:
    assert len({encrypt(SECRET, SALT, 1, signed_at=0) for _ in range(10)}) == 10


# What else


def test_atoms_stay_atoms() -> None:
    claims = {Atom("user_id"): 21, "role": Atom("admin")}
    assert same(verify(SECRET, SALT, sign(SECRET, SALT, claims)), claims)


def test_without_its_package_encryption_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl.secret", None)
    monkeypatch.delitem(sys.modules, "phoenix_channels.token.encryption", raising=False)
    monkeypatch.delattr(phoenix_channels.token, "encryption", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'phoenix-channels\[crypto\]'"):
        encrypt(SECRET, SALT, 1)
    with pytest.raises(ImportError, match=r"pip install 'phoenix-channels\[crypto\]'"):
        decrypt(SECRET, SALT, None)
    assert verify(SECRET, SALT, sign(SECRET, SALT, 1)) == 1
