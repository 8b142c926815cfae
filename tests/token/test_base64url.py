"""P-129: the text that tokens are made of."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.token.base64url import from_base64url, to_base64url


@given(st.binary())
def test_p129_bytes_become_base64url_without_padding_and_come_back(data: bytes) -> None:
    text = to_base64url(data)
    assert text == base64.urlsafe_b64encode(data).decode().rstrip("=")
    assert from_base64url(text) == data


@pytest.mark.parametrize("text", ["A", "AAAAA", "-"])
def test_one_character_too_many_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="1 more than a multiple of 4"):
        from_base64url(text)


@pytest.mark.parametrize("text", ["AB", "AAB", "__", "AAAAA-", "-_9"])
def test_bits_that_base64_does_not_use_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="bits"):
        from_base64url(text)
