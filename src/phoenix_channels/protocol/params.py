"""Connect params: the decoded query string (P-006)."""

from __future__ import annotations

from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

Params: TypeAlias = dict[str, Any]
"""Strings, nested dicts and lists of them."""

MAX_QUERY_BYTES = 1_000_000
_MAX_DEPTH = 32


def decode_params(query: bytes) -> Params:
    """Decode ``a=1&b[c]=2&d[]=3&d[]=4`` to ``{"a": "1", "b": {"c": "2"}, "d": ["3", "4"]}``.

    A repeated plain key keeps its last value, a key without ``=`` has the value ``""``, a malformed ``%`` escape stays
    as it is.  Keys nested deeper than 32 levels are taken literally.

    Raises:
        UnicodeDecodeError: a key or value is not UTF-8.
    """
    params: Params = {}
    for pair in query.split(b"&"):
        if pair:
            key, _, value = pair.partition(b"=")
            _put(params, _path(_unescape(key)), _unescape(value))
    return params


def _unescape(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode()


def _path(key: str) -> list[str]:
    """``a[b][]`` as ``["a", "b", ""]``; whatever has not exactly that form is one plain key."""
    head, bracket, rest = key.partition("[")
    if not bracket or not key.endswith("]"):
        return [key]
    parts = rest[:-1].split("][")
    if len(parts) >= _MAX_DEPTH or any("[" in part or "]" in part for part in parts):
        return [key]
    return [head, *parts]


def _put(params: Params, path: list[str], value: str) -> None:
    # Elixir's rules where keys disagree about the shape of a value: the later one wins.
    target: dict[str, Any] | list[Any] = params
    for key, following in zip(path, [*path[1:], None], strict=True):
        child: Any = value if following is None else [] if following == "" else {}
        if isinstance(target, list):
            target.append(child)
        elif following is None or type(target.get(key)) is not type(child):
            target[key] = child
        else:
            child = target[key]
        target = child
