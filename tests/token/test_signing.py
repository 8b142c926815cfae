"""P-129, P-130: the bytes of a token, and that nobody else can make them."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.token.signing import MAX_TOKEN_LENGTH, derive_key, sign, verify
from tests.token.vectors import DERIVED, KEY, SALT, SECRET, TOKENS

OPTIONS: dict[str, dict[str, Any]] = {
    "key_digest sha384": {"digest": "sha384"},
    "key_iterations 1": {"iterations": 1},
    "key_length 64": {"length": 64},
}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


# Keys


def test_p136_the_key_that_phoenix_derives() -> None:
    assert derive_key(SECRET, SALT) == KEY


@pytest.mark.parametrize("name", DERIVED)
def test_p136_the_key_that_phoenix_derives_with_options(name: str) -> None:
    payload = decode(DERIVED[name].split(".")[1])
    key = derive_key(SECRET, SALT, **OPTIONS[name])
    assert key != KEY
    assert verify(key, DERIVED[name]) == payload
    assert verify(KEY, DERIVED[name]) is None
    # The options are about the key alone: the mac stays HS256 (P-130).
    assert sign(key, payload) == DERIVED[name]


def test_p130_every_purpose_has_its_own_key() -> None:
    keys = {derive_key(SECRET, salt) for salt in ("user socket", "user socket ", "USER SOCKET", "", "ü")}
    assert len(keys) == 5
    assert KEY in keys


def test_p130_a_derived_key_is_remembered() -> None:
    # Every derivation makes new bytes.
    assert derive_key(SECRET, "remembered") is derive_key(SECRET, "remembered", iterations=1000)


def test_of_derived_keys_the_latest_64_are_remembered() -> None:
    first = derive_key(SECRET, "first")
    for number in range(64):
        derive_key(SECRET, f"another {number}", iterations=1)
    again = derive_key(SECRET, "first")
    assert again == first
    assert again is not first


@pytest.mark.parametrize("secret", ["", "x" * 19])
def test_p130_a_short_secret_is_none(secret: str) -> None:
    with pytest.raises(ValueError, match=rf"at least 20 bytes, this one has {len(secret)}"):
        derive_key(secret, SALT)


def test_p130_a_secret_is_measured_in_bytes() -> None:
    assert derive_key("ü" * 10, SALT)


@pytest.mark.parametrize("digest", ["md5", "SHA256", ""])
def test_p130_an_unknown_digest_is_told_the_known_ones(digest: str) -> None:
    with pytest.raises(ValueError, match=f"one of sha256, sha384, sha512, not '{digest}'"):
        derive_key(SECRET, SALT, digest=digest)


@pytest.mark.parametrize("options", [{"iterations": 0}, {"length": 0}, {"length": -1}])
def test_p130_a_key_needs_work_and_bytes(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least 1 iteration and 1 byte"):
        derive_key(SECRET, SALT, **options)


# Tokens


@pytest.mark.parametrize("name", TOKENS)
def test_p136_a_token_of_phoenix_verifies(name: str) -> None:
    assert verify(KEY, TOKENS[name]) == decode(TOKENS[name].split(".")[1])


@pytest.mark.parametrize("name", [name for name in TOKENS if "HS" not in name])
def test_p136_signing_makes_the_token_that_phoenix_makes(name: str) -> None:
    assert sign(KEY, decode(TOKENS[name].split(".")[1])) == TOKENS[name]


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_p129_three_algorithms_verify_with_the_same_key(digest: str) -> None:
    signed = f"{encode(f'HS{digest[3:]}'.encode())}.{encode(b'payload')}"
    assert verify(KEY, f"{signed}.{encode(hmac.digest(KEY, signed.encode(), digest))}") == b"payload"


@pytest.mark.parametrize("algorithm", ["none", "HS1", "hs256", "RS256", ""])
def test_p129_no_other_algorithm_verifies(algorithm: str) -> None:
    signed = f"{encode(algorithm.encode())}.{encode(b'payload')}"
    assert verify(KEY, f"{signed}.") is None
    for digest in ("sha1", "sha256"):
        assert verify(KEY, f"{signed}.{encode(hmac.digest(KEY, signed.encode(), digest))}") is None


def test_p129_the_algorithm_is_what_the_mac_was_made_with() -> None:
    token = sign(KEY, b"payload")
    assert verify(KEY, token.replace("SFMyNTY", "SFM1MTI")) is None


@given(st.binary(), st.binary())
def test_what_was_signed_verifies_with_this_key_alone(key: bytes, payload: bytes) -> None:
    token = sign(key, payload)
    assert verify(key, token) == payload
    assert verify(hashlib.sha256(key).digest(), token) is None


@given(st.binary(max_size=40), st.data())
def test_a_token_with_one_character_changed_does_not_verify(payload: bytes, data: st.DataObject) -> None:
    token = sign(KEY, payload)
    at = data.draw(st.integers(0, len(token) - 1))
    changed = data.draw(
        (st.sampled_from(ALPHABET + ".=+/ \n") | st.characters()).filter(lambda char: char != token[at])
    )
    assert verify(KEY, token[:at] + changed + token[at + 1 :]) is None
    assert verify(KEY, token[:at] + changed + token[at:]) is None
    assert verify(KEY, token[:at] + token[at + 1 :]) is None


@given(st.text() | st.text(ALPHABET + ".").map("SFMyNTY.".__add__))
def test_what_nobody_signed_does_not_verify(token: str) -> None:
    assert verify(KEY, token) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token + "=",
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token + ".",
        lambda token: token.replace(".", "..", 1),
        lambda token: token.replace(".", "=.", 2),
        lambda token: "\ud800" + token,
        lambda token: token + "é",
        lambda token: token.rpartition(".")[0],
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: token[:0],
        lambda token: "".join(char for char in token if char == "."),
    ],
)
def test_p132_the_structure_is_strict(change: Any) -> None:
    token = sign(KEY, b"payload")
    assert verify(KEY, token) is not None
    assert verify(KEY, change(token)) is None


def test_bits_that_base64_does_not_use_make_no_second_token() -> None:
    token = sign(KEY, b"payload")
    start, mac = token[:-1], token[-43:]
    same_bytes = [start + char for char in ALPHABET if decode(mac[:-1] + char) == decode(mac)]
    assert len(same_bytes) == 4
    assert [verify(KEY, twin) for twin in same_bytes].count(None) == 3


@pytest.mark.parametrize("payload", ["A", "AAAAA", "AB"])
def test_a_payload_that_is_no_base64_does_not_verify_even_when_it_is_signed(payload: str) -> None:
    signed = f"SFMyNTY.{payload}"
    assert verify(KEY, f"{signed}.{encode(hmac.digest(KEY, signed.encode(), 'sha256'))}") is None


def test_the_longest_token_verifies_and_no_longer_one_is_signed_or_read() -> None:
    longest = b"x" * ((MAX_TOKEN_LENGTH - len("SFMyNTY..") - 43) * 3 // 4)
    token = sign(KEY, longest)
    assert len(token) in (MAX_TOKEN_LENGTH - 1, MAX_TOKEN_LENGTH)
    assert verify(KEY, token) == longest
    with pytest.raises(ValueError, match="at most 65536 characters"):
        sign(KEY, longest + b"xx")
    signed = f"SFMyNTY.{encode(longest + b'xx')}"
    assert verify(KEY, f"{signed}.{encode(hmac.digest(KEY, signed.encode(), 'sha256'))}") is None
