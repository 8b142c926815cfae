"""The code of the guide to tokens."""

from __future__ import annotations

import math
from typing import Any

import pytest

from phoenix_channels.testing import Refused, connect
from phoenix_channels.token import encrypt, sign, verify
from tests.token.vectors import DERIVED, SECRET, TOKENS


@pytest.fixture
def guide(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SECRET_KEY_BASE", SECRET)
    from examples.quickstart.guides import tokens

    return tokens


async def test_a_token_opens_the_socket(guide: Any) -> None:
    async with connect(guide.endpoint, auth_token=guide.token_for(21)) as socket:
        channel = await socket.join("room:lobby")
        assert channel.reply == {}
        assert socket.server.user_id == 21


async def test_other_tokens_do_not(guide: Any) -> None:
    recorded = TOKENS["1"]  # signed by Phoenix with this secret and salt, and long ago
    assert verify(guide.endpoint, "user socket", recorded, max_age=math.inf) == 1
    tokens = (recorded, DERIVED["key_iterations 1"], sign(SECRET, "api", 21), "garbage")
    for token in (None, *tokens):
        with pytest.raises(Refused) as refused:
            await connect(guide.endpoint, auth_token=token)
        assert refused.value.status == 403


def test_tokens_of_elixir(guide: Any) -> None:
    assert guide.role_in(guide.token_for_elixir(21, "admin")) == (21, "admin")


def test_invitations(guide: Any) -> None:
    token = guide.invitation("ada@example.com")
    assert guide.accept(token) == "Welcome, ada@example.com."
    old = encrypt(guide.endpoint, "invitation", {"address": "ada@example.com"}, signed_at=0, max_age=3600)
    assert guide.accept(old).startswith("Ask for another")
    assert guide.accept(guide.token_for(21)) == guide.accept(None) == "This is no invitation."


def test_links_that_are_good_for_ever(guide: Any) -> None:
    token = guide.unsubscribe_link(21).rpartition("/")[2]
    assert verify(guide.endpoint, "unsubscribe", token) == 21
