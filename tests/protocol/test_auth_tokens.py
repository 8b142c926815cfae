from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.protocol.auth_tokens import TOKEN_PREFIX, decode_token, token_subprotocols


def test_a_token_travels_as_phoenix_js_sends_it_p019() -> None:
    assert token_subprotocols("a?>") == ["phoenix", "base64url.bearer.phx.YT8+"]
    assert token_subprotocols("ab") == ["phoenix", "base64url.bearer.phx.YWI"]


@given(st.text(st.characters(max_codepoint=255)))
def test_a_server_reads_the_token_that_was_given(token: str) -> None:
    phoenix, offered = token_subprotocols(token)
    assert phoenix == "phoenix"
    assert decode_token(offered) == token


@pytest.mark.parametrize("encoded", ["YT8-", "YT8+", "YWI", "YWI=", "YWI=="])
def test_both_alphabets_are_read_and_padding_does_not_matter_p020(encoded: str) -> None:
    assert decode_token(TOKEN_PREFIX + encoded) in ("a?>", "ab")


@pytest.mark.parametrize("encoded", ["Y", "YT8 ", "€", "YT8!"])
def test_what_is_no_base64_is_an_error(encoded: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode_token(TOKEN_PREFIX + encoded)


def test_a_token_that_no_header_can_carry_is_an_error() -> None:
    with pytest.raises(ValueError, match="Latin-1"):
        token_subprotocols("€")
    with pytest.raises(TypeError, match="auth_token is a string"):
        token_subprotocols(7)  # type: ignore[arg-type]
