"""Which forms of check_origin are legal (P-014, P-015)."""

from __future__ import annotations

from collections import UserList
from functools import partial
from typing import Any

import pytest

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.transports.origin import Origin, OriginPolicy

WHERE = "endpoint.socket('/socket', ...): check_origin"


async def async_check(origin: Origin) -> bool:
    return True


class AsyncCheck:
    async def __call__(self, origin: Origin) -> bool:
        return True


@pytest.mark.parametrize(
    "check",
    [
        None,
        0,
        1,
        "https://example.com",
        "conn ",
        b"conn",
        {"//example.com": True},
        {"//example.com"},
        UserList(["//example.com"]),
    ],
)
def test_another_form_is_an_error_that_lists_the_legal_ones(check: Any) -> None:
    with pytest.raises(DefinitionError) as raised:
        OriginPolicy.of(check, WHERE)
    text = str(raised.value)
    assert WHERE in text
    assert repr(check) in text
    for legal in ("True", "False", "'conn'", "https://example.com", "//*.example.com", "function"):
        assert legal in text


@pytest.mark.parametrize(
    "check",
    [
        lambda: True,
        lambda _one, _two: True,
        async_check,
        AsyncCheck(),
        partial(async_check),
    ],
)
def test_a_callable_that_could_not_be_asked_is_an_error(check: Any) -> None:
    with pytest.raises(DefinitionError, match="origin"):
        OriginPolicy.of(check, WHERE)


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("example.com", 'write "//example.com"'),
        ("example.com:4000", 'write "//example.com:4000"'),
        ("*.example.com", 'write "//*.example.com"'),
        ("localhost", 'write "//localhost"'),
        ("", "has no host"),
        ("null", "has no host"),
        ("http://", "has no host"),
        ("file://", "has no host"),
        ("http://[", "has no host"),
        ("//example.com:port", "has no host"),
        ("//*.", "no other wildcard"),
        ("//*", "no other wildcard"),
        ("//*example.com", "no other wildcard"),
        ("//a.*.com", "no other wildcard"),
        ("//*.*.com", "no other wildcard"),
        ("//bücher.example", "xn--"),
        (1, "lists strings"),
        (None, "lists strings"),
        (b"//example.com", "lists strings"),
    ],
)
def test_an_entry_that_matches_nothing_is_an_error(entry: Any, hint: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        OriginPolicy.of(["//example.com", entry], WHERE)
    assert WHERE in str(raised.value)
    assert hint in str(raised.value)
