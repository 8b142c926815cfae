"""What is shown of parameters, and what is not."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.parameters import FILTERED, Keep, ParameterFilter

F = FILTERED


class Login(Struct):
    password: str


@dataclass
class Account:
    token: str


LOGIN, ACCOUNT = Login("hunter2"), Account("hunter2")


# By terms


@pytest.mark.feature("B146")
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"foo": "bar", "password": "hunter2"}, {"foo": "bar", "password": F}),
        ({"token": "x", "auth_token": 7, "passwords": {"a": 1}}, {"token": F, "auth_token": F, "passwords": F}),
        # Upper and lower case differ.
        ({"Password": "x", "TOKEN": "x"}, {"Password": "x", "TOKEN": "x"}),
        ({"user": {"name": "ada", "password": "x"}}, {"user": {"name": "ada", "password": F}}),
        ([{"password": "x"}, ["a", {"token": "x"}]], [{"password": F}, ["a", {"token": F}]]),
        ({"list": ({"password": "x"}, "a")}, {"list": ({"password": F}, "a")}),
        # A whole string that holds a form or a URL.
        ("name=ada&password=hunter2&more=1", F),
        ("name=ada&password=hunter2", F),
        ("password=", F),
        ("%zz&user[password=hunter2", F),
        ({"url": "/socket/websocket?token=hunter2&vsn=2.0.0"}, {"url": F}),
        ({"text": "my password is long"}, {"text": "my password is long"}),
        ({"url": "/?Password=x"}, {"url": "/?Password=x"}),
        # Other objects, and keys that are no strings, are none of the filter's business.
        ({"login": LOGIN, "account": ACCOUNT}, {"login": LOGIN, "account": ACCOUNT}),
        ({1: "a", None: {"password": "x"}, b"password": "x"}, {1: "a", None: {"password": F}, b"password": "x"}),
        ([1, 1.5, True, None, "text"], [1, 1.5, True, None, "text"]),
        ({}, {}),
        ([], []),
        (MappingProxyType({"password": "x", "a": 1}), {"password": F, "a": 1}),
    ],
)
def test_what_the_default_terms_show(value: Any, shown: Any) -> None:
    assert ParameterFilter.of().filter(value) == shown


@pytest.mark.parametrize("data", [b"password", bytearray(b"password"), memoryview(b"password")], ids=type)
def test_of_bytes_the_size_is_shown(data: object) -> None:
    assert ParameterFilter.of().filter(data) == "[8 bytes]"
    assert ParameterFilter.of().filter({"data": [data]}) == {"data": ["[8 bytes]"]}


def test_terms_of_ones_own_replace_the_default() -> None:
    own = ParameterFilter.of(["secret", "a.b"])
    assert own.filter({"password": 1, "my_secret": 2, "a.b": 3, "axb": 4}) == {
        "password": 1,
        "my_secret": F,
        "a.b": F,
        "axb": 4,
    }
    assert own.filter(["a.b=1", "axb=1", "password=1"]) == [F, "axb=1", "password=1"]


def test_without_terms_everything_is_shown() -> None:
    value = {"password": ["token=x", {"": "="}]}
    assert ParameterFilter.of([]).filter(value) == value


# By keys


USER = {"id": 7, "name": {"first": "ada", "password": "x"}, "tags": ["a", {"id": 1, "secret": 2}]}


@pytest.mark.feature("B147")
@pytest.mark.parametrize(
    ("keep", "value", "shown"),
    [
        (Keep(), USER, {"id": F, "name": {"first": F, "password": F}, "tags": [F, {"id": F, "secret": F}]}),
        (Keep("id"), USER, {"id": 7, "name": {"first": F, "password": F}, "tags": [F, {"id": 1, "secret": F}]}),
        # With all that is in them, secrets included.
        (Keep("name", "tags"), USER, {"id": F, "name": USER["name"], "tags": USER["tags"]}),
        # Exactly these keys.
        (Keep("id"), {"user_id": 1, "ID": 2, 1: 3, "id": 4}, {"user_id": F, "ID": F, 1: F, "id": 4}),
        (Keep("id"), {}, {}),
        (Keep("id"), {"a": [], "b": {}, "c": ()}, {"a": [], "b": {}, "c": ()}),
        (Keep("id"), {"a": LOGIN, "b": b"x", "c": None}, {"a": F, "b": F, "c": F}),
        (Keep("id"), {"id": LOGIN}, {"id": LOGIN}),
        (Keep("id"), "id", F),
    ],
)
def test_what_keep_shows(keep: Keep, value: Any, shown: Any) -> None:
    assert ParameterFilter.of(keep).filter(value) == shown


def test_keep_says_what_it_keeps() -> None:
    assert repr(Keep("name", "id")) == "Keep('id', 'name')"


# What is asked for


@pytest.mark.parametrize(
    "spec",
    ["password", b"password", {"password"}, None, 7, {"keep": ["id"]}, ["password", 7], ["password", ""], [None]],
)
def test_a_wrong_specification_is_told_the_legal_ones(spec: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        ParameterFilter.of(spec)
    assert '["password", "token"], or Keep("id", "name")' in str(caught.value)


@pytest.mark.parametrize("key", [7, ["id"], None, b"id"])
def test_keep_takes_strings(key: Any) -> None:
    with pytest.raises(DefinitionError, match=r'Keep\("id", "name"\), not'):
        Keep(key)


# For any value


def nested(kind: type, depth: int) -> Any:
    value: Any = "hunter2"
    for _ in range(depth):
        value = {"a": value} if kind is dict else kind([value])
    return value


@pytest.mark.parametrize("spec", [["password"], Keep("id")], ids=["terms", "keep"])
@pytest.mark.parametrize("kind", [dict, list, tuple])
def test_what_is_nested_too_deeply_is_not_shown(kind: type, spec: Any) -> None:
    shown = repr(ParameterFilter.of(spec).filter(nested(kind, 100_000)))
    assert shown.count(FILTERED) == 1
    assert len(shown) < 1_000
    assert "hunter2" not in shown


def test_what_is_nested_as_deeply_as_can_be_shown_is() -> None:
    assert ParameterFilter.of().filter(nested(list, 32)) == nested(list, 32)
    assert "hunter2" not in repr(ParameterFilter.of().filter(nested(list, 33)))


SECRET = "hunter2"
LEAVES = st.none() | st.booleans() | st.integers() | st.text(alphabet="abc=?&") | st.binary() | st.just(LOGIN)
KEYS = st.text(alphabet="ab") | st.integers() | st.none()
SECRETS = st.just(SECRET) | st.just({"deep": [SECRET]})
SECRET_KEYS = st.sampled_from(["password", "my_token", "passwords"])
FORMS = st.tuples(st.text(alphabet="a&="), st.sampled_from(["password=", "token="])).map(
    lambda parts: "".join(parts) + SECRET
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES | FORMS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS, inner)
        | st.builds(
            lambda most, secret: {**most, **secret}, st.dictionaries(KEYS, inner), st.dictionaries(SECRET_KEYS, SECRETS)
        )
    ),
    max_leaves=20,
)


def same_shape(shown: Any, value: Any) -> bool:
    if shown == FILTERED:
        return True
    if isinstance(value, Mapping):
        return list(shown) == list(value) and all(same_shape(shown[key], value[key]) for key in value)
    if isinstance(value, list | tuple):
        return (
            type(shown) is type(value)
            and len(shown) == len(value)
            and all(same_shape(one, other) for one, other in zip(shown, value, strict=True))
        )
    return bool(shown == (f"[{len(value)} bytes]" if isinstance(value, bytes) else value))


@pytest.mark.feature("B146")
@given(VALUES)
def test_a_filtered_copy_has_no_secret_and_the_same_shape(value: Any) -> None:
    before = copy.deepcopy(value)
    shown = ParameterFilter.of().filter(value)
    assert value == before
    assert SECRET not in repr(shown).replace(repr(LOGIN), "")
    assert same_shape(shown, value)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    return [leaf for inner in value for leaf in leaves(inner)] if isinstance(value, list | tuple) else [value]


@pytest.mark.feature("B147")
@given(VALUES)
def test_keep_replaces_all_leaves_and_leaves_only(value: Any) -> None:
    before = copy.deepcopy(value)
    shown = ParameterFilter.of(Keep()).filter(value)
    assert value == before
    assert same_shape(shown, value)
    assert set(leaves(shown)) <= {FILTERED}
    assert len(leaves(shown)) == len(leaves(value))
