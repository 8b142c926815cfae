"""P-133: the bytes of an encrypted token, and that nobody else can read or make one."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.secret import Aead

from phoenix_channels.token.base64url import to_base64url
from phoenix_channels.token.encryption import NONCE_BYTES, decrypt, encrypt
from phoenix_channels.token.signing import MAX_TOKEN_LENGTH, sign
from tests.token.vectors import ENCRYPTED, ENCRYPTED_PAYLOAD, KEY

NONCE = bytes(range(NONCE_BYTES))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def sealed(token: str) -> bytes:
    return base64.urlsafe_b64decode(token.removeprefix("XCP.") + "==")


def test_p136_the_token_of_phoenix_is_decrypted() -> None:
    assert decrypt(KEY, ENCRYPTED) == ENCRYPTED_PAYLOAD


def test_p136_with_its_nonce_the_same_token_is_made_here() -> None:
    assert encrypt(KEY, ENCRYPTED_PAYLOAD, sealed(ENCRYPTED)[:NONCE_BYTES]) == ENCRYPTED


def test_p133_nonce_and_tag_stand_before_the_text() -> None:
    token = encrypt(KEY, b"payload", NONCE)
    assert token.startswith("XCP.")
    assert sealed(token)[:24] == NONCE
    assert len(sealed(token)) == 24 + 16 + len(b"payload")
    assert b"payload" not in sealed(token)


@given(st.binary(min_size=32, max_size=32), st.binary(), st.binary(min_size=24, max_size=24))
def test_what_was_encrypted_is_decrypted_with_this_key_alone(key: bytes, payload: bytes, nonce: bytes) -> None:
    token = encrypt(key, payload, nonce)
    assert decrypt(key, token) == payload
    assert decrypt(bytes(byte ^ 1 for byte in key), token) is None


@given(st.binary(max_size=40), st.data())
def test_a_token_with_one_character_changed_is_not_decrypted(payload: bytes, data: st.DataObject) -> None:
    token = encrypt(KEY, payload, NONCE)
    at = data.draw(st.integers(0, len(token) - 1))
    changed = data.draw((st.sampled_from(ALPHABET + ".=+/ \n") | st.characters()).filter(lambda c: c != token[at]))
    assert decrypt(KEY, token[:at] + changed + token[at + 1 :]) is None
    assert decrypt(KEY, token[:at] + changed + token[at:]) is None
    assert decrypt(KEY, token[:at] + token[at + 1 :]) is None


def test_bits_that_base64_does_not_use_make_no_second_token() -> None:
    token = encrypt(KEY, b"four", NONCE)
    twins = [token[:-1] + char for char in ALPHABET if sealed(token[:-1] + char) == sealed(token)]
    assert len(twins) > 1
    assert [twin for twin in twins if decrypt(KEY, twin) is not None] == [token]


@pytest.mark.parametrize(
    "token",
    [
        "",
        "XCP",
        "XCP.",
        "XCP.A",
        "XCP.AAAAA",
        "XCP." + "A" * 52,  # 39 bytes: a nonce and not quite a tag
        "XCP." + "A" * 54,  # 40 bytes
        "xcp." + ENCRYPTED[4:],
        ENCRYPTED + "=",
        ENCRYPTED + "\n",
        " " + ENCRYPTED,
        ENCRYPTED.replace("XCP.", "XCP.."),
        ENCRYPTED + ".",
        "é" + ENCRYPTED,
        "\ud800",
        sign(KEY, ENCRYPTED_PAYLOAD),
        # The older cipher, which is not supported.
        ".".join(["QTEyOEdDTQ", "A" * 59, "A" * 16, "A" * 26, "A" * 22]),
    ],
)
def test_what_nobody_encrypted_is_not_decrypted(token: str) -> None:
    assert decrypt(KEY, token) is None


def test_the_longest_token_is_decrypted_and_no_longer_one_is_made_or_read() -> None:
    longest = os.urandom((MAX_TOKEN_LENGTH - len("XCP.")) * 3 // 4 - 40)
    token = encrypt(KEY, longest, NONCE)
    assert len(token) in (MAX_TOKEN_LENGTH - 1, MAX_TOKEN_LENGTH)
    assert decrypt(KEY, token) == longest
    with pytest.raises(ValueError, match="at most 65536 characters"):
        encrypt(KEY, longest + b"xx", NONCE)
    sealed = Aead(KEY).encrypt(longest + b"xx", b"A128GCM", NONCE).ciphertext
    assert decrypt(KEY, "XCP." + to_base64url(NONCE + sealed[-16:] + sealed[:-16])) is None
