"""Connect params: the decoded query string, and the query of a client (P-006)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, final
from urllib.parse import unquote_to_bytes, urlencode

from phoenix_channels.protocol.errors import ProtocolError

Params: TypeAlias = dict[str, Any]
"""Strings, nested dicts and lists of them."""

Param: TypeAlias = "str | int | float | bool | Mapping[str, Param] | list[Param]"
"""What a client may send; a server gets strings for numbers and booleans."""

MAX_QUERY_BYTES = 1_000_000
"""What is longer is refused (P-006)."""
MAX_PARAMS = 1_000
"""More than any client has.  Each costs time, and they are decoded before anybody is asked who the client is."""
_MAX_DEPTH = 32


@final
class QueryTooLong(ProtocolError):
    """A query that is not even decoded: answered with HTTP 414 (P-006)."""


_Entry: TypeAlias = tuple[list[str], str]
"""The path behind a prefix, and the value: ``a[b][]=1`` is ``(["b", ""], "1")`` of ``a``."""


def decode_params(query: bytes) -> Params:
    """Decode ``a=1&b[c]=2&d[]=3&d[]=4`` to ``{"a": "1", "b": {"c": "2"}, "d": ["3", "4"]}``.

    A repeated plain key keeps its last value, a key without ``=`` has the value ``""``, a malformed ``%`` escape stays
    as it is.  Where keys disagree whether a value is plain, the last that began a shape wins; where they disagree
    whether it is a list or a map, the last key does.  Keys nested deeper than 32 levels are taken literally.

    Raises:
        QueryTooLong: more than a million bytes, or a thousand params.
        UnicodeDecodeError: a key or value is not UTF-8.
    """
    if len(query) > MAX_QUERY_BYTES or query.count(b"&") >= MAX_PARAMS:
        raise QueryTooLong(f"a query has at most {MAX_QUERY_BYTES} bytes and {MAX_PARAMS} params")
    entries: list[_Entry] = []
    for pair in query.split(b"&"):
        if pair:
            key, _, value = pair.partition(b"=")
            entries.append((_path(_unescape(key)), _unescape(value)))
    return _mapping(entries)


def _unescape(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode()


def _path(key: str) -> list[str]:
    """``a[b][]`` as ``["a", "b", ""]``; whatever has not that form is one plain key."""
    head, bracket, rest = key.partition("[")
    if not head or not bracket or not key.endswith("]"):
        return [key]
    parts = rest[:-1].split("][")
    return [head, *parts] if len(parts) < _MAX_DEPTH else [key]


def _mapping(entries: list[_Entry]) -> Params:
    plain: Params = {}
    nested: dict[str, list[_Entry]] = {}
    for (key, *rest), value in entries:
        if not rest:
            plain[key] = value
        elif key in nested:
            nested[key].append((rest, value))
        else:
            nested[key] = [(rest, value)]
            plain.pop(key, None)
    return {key: _nested(below) for key, below in nested.items()} | plain


def _nested(entries: list[_Entry]) -> Params | list[Any]:
    if entries[-1][0][0] != "":
        return _mapping([entry for entry in entries if entry[0][0] != ""])
    items: list[Any] = []
    below: list[_Entry] = []
    for (key, *rest), value in entries:
        if key == "" and rest:
            below.append((rest, value))
        elif key == "":
            items.append(value)
    return [*items, _nested(below)] if below else items


def encode_params(params: Mapping[str, Param]) -> str:
    """Encode ``{"a": 1, "b": {"c": "2"}, "d": ["3", "4"]}`` to ``a=1&b[c]=2&d[]=3&d[]=4``, percent-encoded.

    Raises:
        TypeError: these are no params, or one is of a type that a query cannot hold; the text names it.
    """
    if not isinstance(params, Mapping):
        raise TypeError(f"params are a dict, not {params!r:.200}")
    return urlencode([pair for name, value in params.items() for pair in _pairs(name, value)])


def _pairs(name: str, value: Param) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif isinstance(value, int | float):
        yield name, str(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _pairs(f"{name}[{key}]", inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _pairs(f"{name}[]", inner)
    else:
        raise TypeError(
            f"the param {name!r} is a {type(value).__name__}; "
            "legal are strings, numbers, booleans, and dicts and lists of them"
        )
