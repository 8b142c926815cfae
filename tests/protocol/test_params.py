"""P-006: the decoded query string."""

from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.protocol.params import MAX_PARAMS, MAX_QUERY_BYTES, QueryTooLong, decode_params, encode_params

TABLE: list[tuple[bytes, dict[str, Any]]] = [
    (b"", {}),
    (b"a=1", {"a": "1"}),
    (b"vsn=2.0.0&token=x", {"vsn": "2.0.0", "token": "x"}),
    # A repeated plain key keeps the last value; a key without `=` has the value "".
    (b"a=1&a=2", {"a": "2"}),
    (b"a", {"a": ""}),
    (b"a=", {"a": ""}),
    (b"a=b=c", {"a": "b=c"}),
    (b"&&a=1&", {"a": "1"}),
    (b"=1", {"": "1"}),
    # Escapes: `+` is a space, a malformed one stays as it is.
    (b"a+b=c+d", {"a b": "c d"}),
    (b"a=%2B%26%3D", {"a": "+&="}),
    (b"a=gr%C3%B6%C3%9Fe", {"a": "größe"}),
    ("a=größe".encode(), {"a": "größe"}),
    (b"a=%", {"a": "%"}),
    (b"a=%4", {"a": "%4"}),
    (b"a=%zz%41", {"a": "%zzA"}),
    (b"a=%00", {"a": "\0"}),
    # Nested maps and lists.
    (b"a[b]=c", {"a": {"b": "c"}}),
    (b"a[b]=1&a[c]=2", {"a": {"b": "1", "c": "2"}}),
    (b"a[b][c]=d", {"a": {"b": {"c": "d"}}}),
    (b"a%5Bb%5D=c", {"a": {"b": "c"}}),
    (b"a[b]=1&a[b]=2", {"a": {"b": "2"}}),
    (b"a[]=1&a[]=2", {"a": ["1", "2"]}),
    (b"a[]=1", {"a": ["1"]}),
    (b"a[]", {"a": [""]}),
    # All maps, or lists, of one list are one element.
    (b"a[][b]=1&a[][c]=2", {"a": [{"b": "1", "c": "2"}]}),
    (b"a[][]=1&a[][]=2", {"a": [["1", "2"]]}),
    (b"a[b][]=1&a[b][]=2", {"a": {"b": ["1", "2"]}}),
    # As phoenix.js writes the array ["x", "y"].
    (b"list[0]=x&list[1]=y", {"list": {"0": "x", "1": "y"}}),
    # Where keys disagree about the shape, the last that began one wins.
    (b"a[b]=1&a=2&a[c]=3", {"a": "2"}),
    (b"a[]=1&a[b]=2&a[]=3", {"a": ["1", "3"]}),
    (b"a[b]=1&a[]=2&a[c]=3", {"a": {"b": "1", "c": "3"}}),
    (b"a=1&a[b]=2", {"a": {"b": "2"}}),
    (b"a[b]=2&a=1", {"a": "1"}),
    (b"a[]=1&a[b]=2", {"a": {"b": "2"}}),
    (b"a[b]=2&a[]=1", {"a": ["1"]}),
    # What has not exactly the form of a nested key is a plain one.
    (b"a[=1", {"a[": "1"}),
    (b"a]=1", {"a]": "1"}),
    (b"a[b=1", {"a[b": "1"}),
    (b"a[b]c=1", {"a[b]c": "1"}),
    (b"[a]=1", {"[a]": "1"}),
    (b"[]=1", {"[]": "1"}),
    # Between the first bracket and the last only `][` divides.
    (b"a[b]c[d]=1", {"a": {"b]c[d": "1"}}),
    (b"a[[b]]=1", {"a": {"[b]": "1"}}),
    (b"a[b]c]=1", {"a": {"b]c": "1"}}),
    (b"a[]b]=1", {"a": {"]b": "1"}}),
]


@pytest.mark.parametrize(("query", "params"), TABLE, ids=lambda value: repr(value)[:40])
def test_p006_the_forms_of_a_query(query: bytes, params: dict[str, Any]) -> None:
    assert decode_params(query) == params


@pytest.mark.parametrize("query", [b"a=%FF", b"%FF=1", b"a=\xff", b"a[%C3]=1", b"a=%C3", b"ok=1&a=%ED%A0%80"])
def test_p006_invalid_utf8_is_an_error_http_400(query: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        decode_params(query)


def test_p006_the_bound_of_a_query_http_414() -> None:
    assert MAX_QUERY_BYTES == 1_000_000
    longest = b"a=" + b"x" * (MAX_QUERY_BYTES - 2)
    assert len(decode_params(longest)["a"]) == MAX_QUERY_BYTES - 2
    with pytest.raises(QueryTooLong):
        decode_params(longest + b"x")


@pytest.mark.parametrize("pair", ["a=1", "a{n}={n}", "a[]={n}", "a[b][c{n}]={n}", "", "%"])
def test_no_more_than_a_thousand_params_are_decoded(pair: str) -> None:
    """They are decoded before anybody is asked who the client is, and each takes its time, an empty one too."""
    pairs = [pair.format(n=n) for n in range(MAX_PARAMS + 1)]
    assert_params(decode_params("&".join(pairs[1:]).encode()))
    with pytest.raises(QueryTooLong):
        decode_params("&".join(pairs).encode())


def test_a_key_that_is_nested_too_deep_is_taken_literally() -> None:
    deepest, too_deep = "a" + "[b]" * 31, "a" + "[b]" * 32
    params: Any = decode_params(f"{deepest}=1".encode())
    for key in ("a", *"b" * 31):
        params = params[key]
    assert params == "1"
    assert decode_params(f"{too_deep}=1".encode()) == {too_deep: "1"}


@given(st.binary() | st.text(st.sampled_from("ab[]=&%+4")).map(str.encode))
def test_any_bytes_decode_or_are_not_utf8(query: bytes) -> None:
    try:
        params = decode_params(query)
    except UnicodeDecodeError:
        return
    assert_params(params)


def assert_params(value: Any) -> None:
    """Strings, in dicts with string keys and in lists, and nothing else."""
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            assert_params(item)
    else:
        assert isinstance(value, str)


TEXT = st.text(st.characters(codec="utf-8"))
KEYS = st.text(st.characters(codec="utf-8", exclude_characters="[]"), min_size=1)


@given(st.dictionaries(KEYS, TEXT))
def test_flat_params_round_trip(params: dict[str, str]) -> None:
    assert decode_params(urlencode(params).encode()) == params
    assert decode_params(urlencode(params, quote_via=quote).encode()) == params


TREES = st.dictionaries(
    KEYS,
    st.recursive(
        TEXT | st.lists(TEXT, min_size=1, max_size=3),
        lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)


def encode(value: Any, path: str) -> list[str]:
    """As form libraries of browsers write nested values."""
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in encode(item, f"{path}[{key}]" if path else key)]
    if isinstance(value, list):
        return [pair for item in value for pair in encode(item, f"{path}[]")]
    return [f"{quote_plus(path)}={quote_plus(value)}"]


@given(TREES)
def test_nested_params_round_trip(params: dict[str, Any]) -> None:
    assert decode_params("&".join(encode(params, "")).encode()) == params
    assert decode_params(encode_params(params).encode()) == params


def test_numbers_and_booleans_of_a_client_become_strings() -> None:
    assert decode_params(encode_params({"a": 1, "b": [True, 1.5], "c": {"d": False}}).encode()) == {
        "a": "1",
        "b": ["true", "1.5"],
        "c": {"d": "false"},
    }


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], r"params are a dict, not \[\]"),
        ({"a": None}, "the param 'a' is a NoneType; legal are strings"),
        ({"a": {"b": [b"c"]}}, r"the param 'a\[b\]\[\]' is a bytes"),
    ],
)
def test_what_a_query_cannot_hold_is_an_error(params: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        encode_params(params)
