"""Words and payloads at a terminal."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.cli.lines import as_json, begins_as_json, parse_payload, printable, split_word

TEXT = st.text(st.characters(codec="utf-8"))


@pytest.mark.parametrize(
    ("text", "word", "rest"),
    [
        ("a", "a", ""),
        ("  a   b c ", "a", "b c"),
        ('"a b" {"c": 1}', "a b", '{"c": 1}'),
        ('"\\u00fc"', "ü", ""),
        ('""', "", ""),
        ("it's b", "it's", "b"),
    ],
)
def test_a_word_ends_with_a_blank_or_with_its_quotes(text: str, word: str, rest: str) -> None:
    assert split_word(text, "") == (word, rest)


def test_what_is_no_word_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^what to push$"):
        split_word("  ", "what to push")
    with pytest.raises(ValueError, match="quotes that do not end"):
        split_word('"a', "")


@pytest.mark.parametrize("text", ['{"a": 1}', "[1]", '"a"', "-1", "0", "true", "false", "null", "{oops"])
def test_what_begins_as_json_is_a_payload(text: str) -> None:
    assert begins_as_json(text)


@pytest.mark.parametrize("text", ["event", "truely", "true 1", "ü"])
def test_all_else_is_an_event(text: str) -> None:
    assert not begins_as_json(text)


def test_no_payload_is_an_empty_object() -> None:
    assert bytes(parse_payload("  ")) == b"{}"
    assert bytes(parse_payload(" [1] ")) == b"[1]"


@pytest.mark.parametrize("text", ["{", "a", "1 2", "[" * 100_000])
def test_what_is_no_json_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is no JSON: "):
        parse_payload(text)


@given(TEXT)
def test_a_word_is_printed_on_one_line_without_orders_and_can_be_typed_again(word: str) -> None:
    shown = printable(word)
    assert shown.isprintable()
    assert split_word(f"{shown} rest", "") == (word, "rest")


@given(st.recursive(TEXT | st.integers(-(2**63), 2**63 - 1) | st.none(), lambda inner: st.dictionaries(TEXT, inner)))
def test_a_payload_is_printed_on_one_line_without_orders_and_means_the_same(payload: object) -> None:
    shown = as_json(payload)
    assert shown.isprintable()
    assert msgspec.json.decode(shown) == payload


def test_what_cannot_be_shown_is_said() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert as_json(deep) == '"(nested too deeply to be shown)"'
    # Taken apart by hand: its end would recurse as well.
    while deep:
        deep = deep.pop()  # type: ignore[assignment]
