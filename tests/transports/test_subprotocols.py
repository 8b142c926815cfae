"""Subprotocols and auth tokens (P-017 to P-020)."""

from __future__ import annotations

import json
import logging
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.transports.subprotocols import Negotiated, check_subprotocols, negotiate, without_tokens

PREFIX = "base64url.bearer.phx."
RECORDING = Path(__file__).parents[1] / "conformance" / "phoenix-1.8.12.jsonl"

LATIN_1 = st.text(st.characters(max_codepoint=255))


def bearer(token: str) -> str:
    """What phoenix.js makes of a token."""
    return PREFIX + b64encode(token.encode("latin-1")).decode().rstrip("=")


# Subprotocols


@pytest.mark.feature("B092")
@pytest.mark.parametrize(
    ("offered", "allowed", "chosen"),
    [
        ([], ["graphql"], None),
        (["graphql"], ["graphql"], "graphql"),
        (["other, graphql"], ["graphql"], "graphql"),
        (["other,graphql\t,"], ["graphql"], "graphql"),
        # The first in the order of the server.
        (["b, a"], ["a", "b"], "a"),
        (["b, a"], ("b", "a"), "b"),
        (["c, b"], ["a", "b", "c"], "b"),
        # Without the option the header is ignored.
        (["graphql"], [], None),
        ([""], [], None),
        ([bearer("token")], [], None),
        # What is offered is not held to be HTTP tokens.
        (["one two, a/b=?, graphql"], ["graphql"], "graphql"),
        # Only the first line counts.
        (["graphql", "other"], ["graphql", "other"], "graphql"),
    ],
)
def test_the_first_of_the_servers_that_the_client_offers_is_chosen(
    caplog: pytest.LogCaptureFixture, offered: list[str], allowed: list[str], chosen: str | None
) -> None:
    assert negotiate(offered, allowed, auth_token=False) == Negotiated(chosen, None)
    assert caplog.records == []


@pytest.mark.feature("B092")
@pytest.mark.parametrize(
    "offered",
    [
        ["other"],
        ["Graphql"],
        ["graph"],
        ["graphql2"],
        ["graphql; q=1"],
        [""],
        [" , "],
        ["other", "graphql"],
        ["phoenix"],
    ],
)
def test_nothing_in_common_refuses_and_is_logged(caplog: pytest.LogCaptureFixture, offered: list[str]) -> None:
    assert negotiate(offered, ["graphql"], auth_token=False) is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "graphql" in record.getMessage()
    assert "subprotocols" in record.getMessage()


def test_a_long_offer_is_cut_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert negotiate(["x" * 10_000], ["graphql"], auth_token=False) is None
    assert caplog.text.count("x") < 250


@given(st.lists(st.sampled_from("abcde")), st.lists(st.sampled_from("abcde"), min_size=1))
def test_the_choice_is_offered_and_allowed_and_nothing_is_preferred_to_it(
    offered: list[str], allowed: list[str]
) -> None:
    common = [name for name in allowed if name in offered]
    expected = Negotiated(common[0]) if common else None
    assert negotiate([", ".join(offered)], allowed, auth_token=False) == expected


@pytest.mark.parametrize("names", [[], (), ["graphql"], ("graphql", "soap"), ["v1.example+json~", "1"]])
def test_legal_subprotocols(names: Any) -> None:
    check_subprotocols("WebSocketOptions(subprotocols=...)", names)


@pytest.mark.feature("B092")
@pytest.mark.parametrize(
    "names",
    ["graphql", None, True, {"graphql": 1}, b"graphql", [""], ["a, b"], ["a b"], ["a\r\nb"], ["é"], [1], [None]],
)
def test_subprotocols_that_no_header_can_hold_are_an_error(names: Any) -> None:
    with pytest.raises(DefinitionError, match=r"^WebSocketOptions\(subprotocols=\.\.\.\).*graphql"):
        check_subprotocols("WebSocketOptions(subprotocols=...)", names)


# The auth token


@pytest.mark.feature("C14")
@pytest.mark.parametrize(
    ("offered", "allowed", "expected"),
    [
        ([], [], Negotiated(None, None)),
        (["phoenix"], [], Negotiated("phoenix", None)),
        ([f"phoenix, {bearer('token')}"], [], Negotiated("phoenix", "token")),
        ([f"{bearer('token')},phoenix"], [], Negotiated("phoenix", "token")),
        # The token alone: nothing is echoed.
        ([bearer("token")], [], Negotiated(None, "token")),
        ([bearer("token")], ["graphql"], Negotiated(None, "token")),
        # Two are none, wherever they stand.
        ([f"{bearer('a')}, phoenix, {bearer('b')}"], [], Negotiated("phoenix", None)),
        ([f"{bearer('a')}, phoenix, {bearer('a')}"], [], Negotiated("phoenix", None)),
        # phoenix comes before the mount's own.
        (["graphql, phoenix"], ["graphql"], Negotiated("phoenix", None)),
        ([f"graphql, {bearer('token')}"], ["graphql"], Negotiated("graphql", "token")),
        # Only the first line counts.
        (["phoenix", bearer("token")], [], Negotiated("phoenix", None)),
        ([f"phoenix, {PREFIX}"], [], Negotiated("phoenix", "")),
    ],
)
def test_the_token_is_taken_out(offered: list[str], allowed: list[str], expected: Negotiated) -> None:
    assert negotiate(offered, allowed, auth_token=True) == expected


@pytest.mark.parametrize(
    "offered", [["graphql"], [f"graphql, {bearer('token')}"], [f"{bearer('a')}, {bearer('b')}"], [PREFIX.upper()], [""]]
)
def test_an_unknown_subprotocol_is_refused_with_a_token_too(
    caplog: pytest.LogCaptureFixture, offered: list[str]
) -> None:
    assert negotiate(offered, [], auth_token=True) is None
    assert "phoenix" in caplog.text


@pytest.mark.parametrize(
    ("encoded", "token"),
    [
        ("dG9rZW4", "token"),
        ("dG9rZW4=", "token"),
        ("YmFkPw==", "bad?"),
        ("YmFkPw", "bad?"),
        # Both alphabets (P-020).
        ("+//+", "ûÿþ"),
        ("-__-", "ûÿþ"),
        ("6Q", "é"),
    ],
)
def test_a_token_in_either_alphabet_with_padding_or_without(encoded: str, token: str) -> None:
    assert negotiate([f"phoenix, {PREFIX}{encoded}"], [], auth_token=True) == Negotiated("phoenix", token)


@pytest.mark.feature("C14")
@pytest.mark.parametrize("encoded", ["***", "a", "dG9r ZW4", "dG9=rZW4", "dG9rZW4é", "dG9rZ", "\u0661"])
def test_what_is_not_base64_is_refused_and_not_logged_itself(caplog: pytest.LogCaptureFixture, encoded: str) -> None:
    assert negotiate([f"phoenix, {PREFIX}{encoded}"], [], auth_token=True) is None
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.ERROR, None)
    assert not record.args


def test_no_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert negotiate([f"graphql, {bearer('secret')}"], [], auth_token=True) is None
    assert negotiate([f"graphql, {bearer('secret')}"], ["soap"], auth_token=False) is None
    assert bearer("secret") not in caplog.text
    assert "graphql" in caplog.text


@given(LATIN_1)
def test_every_token_that_a_browser_can_encode_arrives_unchanged(token: str) -> None:
    for encode in (b64encode, urlsafe_b64encode):
        encoded = encode(token.encode("latin-1")).decode()
        for text in (encoded, encoded.rstrip("=")):
            offered = [f"phoenix, {PREFIX}{text}"]
            assert negotiate(offered, [], auth_token=True) == Negotiated("phoenix", token)


@given(st.text(max_size=50), st.booleans())
def test_no_header_breaks_the_negotiation(header: str, auth_token: bool) -> None:
    negotiate([header], ["graphql"], auth_token=auth_token)
    negotiate([PREFIX + header], ["graphql"], auth_token=auth_token)


@pytest.mark.parametrize(
    ("header", "without"),
    [
        ("graphql", "graphql"),
        ("b,a ,, c", "b,a ,, c"),
        ("", ""),
        (f"phoenix, {bearer('token')}", "phoenix"),
        (f"{bearer('token')},phoenix,b", "phoenix, b"),
        (bearer("token"), None),
        (f"{bearer('a')}, {bearer('b')}", None),
    ],
)
def test_a_header_without_its_tokens(header: str, without: str | None) -> None:
    assert without_tokens(header) == without


# As recorded


def recorded() -> list[Any]:
    scenarios = map(json.loads, RECORDING.read_text(encoding="utf-8").splitlines())
    log = next(scenario["log"] for scenario in scenarios if scenario.get("name") == "hs_auth_token")
    cases = []
    for asked, answered in zip(log[::2], log[1::2], strict=True):
        name = asked.split(" ", 1)[0]
        headers = json.loads(asked[asked.index("{") :])
        status, rest = answered.removeprefix(f"{name} http ").split(" ", 1)
        answer_headers, _ = json.JSONDecoder().raw_decode(rest)
        echoed = answer_headers.get("sec-websocket-protocol")
        cases.append(pytest.param(headers["Sec-WebSocket-Protocol"], int(status), echoed, id=name))
    return cases


@pytest.mark.parametrize(("header", "status", "echoed"), recorded())
def test_the_recorded_requests_of_phoenix(header: str, status: int, echoed: str | None) -> None:
    result = negotiate([header], [], auth_token=True)
    if status == 500:
        # Phoenix: tokens that its alphabet does not decode.  Here one is refused, and the other is read (P-020).
        assert result == (Negotiated("phoenix", "ûÿþ") if header.endswith("-__-") else None)
    elif result is None:
        assert (status, echoed) == (403, None)
    else:
        # The application of the recording refuses this token.
        assert status == (403 if result.auth_token == "bad" else 101)
        assert result.subprotocol == echoed
