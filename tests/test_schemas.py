"""What a payload's annotation takes and refuses, and what the refusal says."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, NewType, Optional, Required, TypedDict, TypeVar, Union

import pytest
from msgspec import Meta, Raw, Struct
from typing_extensions import TypeAliasType

from phoenix_channels.schemas import InvalidPayload, Schema, type_name

T = TypeVar("T")


class Note(Struct):
    body: str
    stars: int = 0


class Strict(Struct, forbid_unknown_fields=True):
    body: str


class Created(Struct, tag="created"):
    id: int


class Deleted(Struct, tag="deleted"):
    id: int


class Page(Struct, Generic[T]):
    items: list[T]


class Tree(Struct):
    children: "list[Tree]" = []


class Positive(Struct):
    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError("n is at least 1")


@dataclass
class Point:
    x: float
    y: float = 0.0


class Options(TypedDict, total=False):
    on: Required[bool]
    name: str


class Colour(enum.Enum):
    RED = "red"


class Unknown:
    pass


Blob = NewType("Blob", bytes)
UserId = NewType("UserId", int)
BlobOrInt = TypeAliasType("BlobOrInt", int | bytes)


@pytest.mark.parametrize(
    ("annotation", "payload", "expected"),
    [
        (Note, b'{"body":"hi","more":1}', Note("hi")),
        (Strict, b'{"body":"hi"}', Strict("hi")),
        (Created | Deleted, b'{"type":"deleted","id":7}', Deleted(7)),
        (Page[int], b'{"items":[1,2]}', Page([1, 2])),
        (Tree, b'{"children":[{}]}', Tree([Tree()])),
        (Point, b'{"x":1}', Point(1.0)),
        (Options, b'{"on":true}', {"on": True}),
        (dict, b'{"a":[1]}', {"a": [1]}),
        (dict[str, int], b'{"a":1}', {"a": 1}),
        (Mapping[str, Any], b'{"a":null}', {"a": None}),
        (list[int], b"[1,2]", [1, 2]),
        (Sequence[str], b'["a"]', ["a"]),
        (tuple[int, str], b'[1,"a"]', (1, "a")),
        (str, b'"hi"', "hi"),
        (int, b"7", 7),
        (float, b"7", 7.0),
        (bool, b"true", True),
        (None, b"null", None),
        (int | None, b"null", None),
        (Optional[str], b'"a"', "a"),  # noqa: UP045 - as older code writes it
        (Union[int, str], b'"a"', "a"),  # noqa: UP007
        (Literal["a", "b"], b'"b"', "b"),
        (Colour, b'"red"', Colour.RED),
        (datetime, b'"2026-08-21T10:00:00"', datetime(2026, 8, 21, 10)),  # noqa: DTZ001
        (Annotated[int, Meta(ge=0)], b"0", 0),
        (UserId, b"7", 7),
        (list[bytes], b'["AAEC"]', [b"\0\1\2"]),
    ],
    ids=lambda value: type_name(value)[:40] if not isinstance(value, bytes) else None,
)
def test_a_payload_that_fits(annotation: Any, payload: bytes, expected: Any) -> None:
    decoded = Schema(annotation).decode(Raw(payload))
    assert decoded == expected
    assert type(decoded) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "payload", "text"),
    [
        (Note, b"{}", "Object missing required field `body`"),
        (Note, b'{"body":"hi","stars":"many"}', "Expected `int`, got `str` - at `$.stars`"),
        (Note, b"null", "Expected `object`, got `null`"),
        (Strict, b'{"body":"hi","more":1}', "Object contains unknown field `more`"),
        (Created | Deleted, b'{"type":"other","id":7}', "Invalid value 'other' - at `$.type`"),
        (Page[int], b'{"items":[1,"a"]}', "Expected `int`, got `str` - at `$.items[1]`"),
        (Point, b"[]", "Expected `object`, got `array`"),
        (Options, b"{}", "Object missing required field `on`"),
        (dict[str, int], b'{"a":"b"}', "Expected `int`, got `str` - at `$[...]`"),
        (list[int], b'[1,"a"]', "Expected `int`, got `str` - at `$[1]`"),
        (int, b'"7"', "Expected `int`, got `str`"),
        (str | None, b"7", "Expected `str | null`, got `int`"),
        (int | bytes, b'"AAEC"', "Expected `int`, got `str`"),
        (Literal["a"], b'"b"', "Invalid enum value 'b'"),
        (Annotated[int, Meta(ge=0)], b"-1", "Expected `int` >= 0"),
        (Positive, b'{"n":0}', "n is at least 1"),
        (UserId, b'"7"', "Expected `int`, got `str`"),
    ],
)
def test_a_payload_that_does_not_fit_says_what_was_expected_and_where(
    annotation: Any, payload: bytes, text: str
) -> None:
    with pytest.raises(InvalidPayload) as caught:
        Schema(annotation).decode(Raw(payload))
    assert str(caught.value) == text


@pytest.mark.parametrize("annotation", [Any, object, Any | bytes, object | bytes, Annotated[Any, "doc"]], ids=str)
@pytest.mark.parametrize("payload", [b'{"a":1}', b'"AAEC"', b"null", b"[]", b"1.5"])
def test_any_takes_everything_as_plain_python(annotation: Any, payload: bytes) -> None:
    schema = Schema(annotation)
    assert schema.decode(Raw(payload)) == {
        b'{"a":1}': {"a": 1}, b'"AAEC"': "AAEC", b"null": None, b"[]": [], b"1.5": 1.5
    }[payload]  # fmt: skip
    assert schema.decode(b"\0\1\2") == b"\0\1\2"


@pytest.mark.parametrize(
    "annotation",
    [bytes, Annotated[bytes, "doc"], Blob, Annotated[Blob, "doc"], TypeAliasType("Alias", bytes)],
    ids=str,
)
def test_bytes_means_a_binary_frame_only(annotation: Any) -> None:
    schema = Schema(annotation)
    assert schema.decode(b"\0\1\2") == b"\0\1\2"
    assert schema.decode(b"") == b""
    # msgspec would take a base64 string for bytes.
    for payload in (b'"AAEC"', b"null", b"{}"):
        with pytest.raises(InvalidPayload, match=r"^Expected a binary payload$"):
            schema.decode(Raw(payload))


@pytest.mark.parametrize(
    ("annotation", "payload", "expected"),
    [
        (dict | bytes, b"{}", {}),
        (bytes | Note, b'{"body":"hi"}', Note("hi")),
        (Optional[bytes], b"null", None),  # noqa: UP045
        (str | bytes, b'"AAEC"', "AAEC"),
        (Created | Deleted | bytes | None, b'{"type":"created","id":7}', Created(7)),
        (Annotated[int | bytes, "doc"], b"7", 7),
        (Annotated[int, Meta(ge=0)] | bytes, b"7", 7),
        (BlobOrInt, b"7", 7),
        (BlobOrInt | str, b'"a"', "a"),
        (Blob | int, b"7", 7),
    ],
    ids=str,
)
def test_the_bytes_of_a_union_are_a_binary_frame(annotation: Any, payload: bytes, expected: Any) -> None:
    schema = Schema(annotation)
    assert schema.decode(Raw(payload)) == expected
    assert schema.decode(b"\0\1\2") == b"\0\1\2"


@pytest.mark.parametrize(
    ("annotation", "name"),
    [(Note, "Note"), (dict, "dict"), (int | None, "int | None"), (list[int], "list[int]"), (None, "None")],
)
def test_a_binary_payload_where_json_is_expected(annotation: Any, name: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        Schema(annotation).decode(b"{}")
    assert str(caught.value) == f"Expected `{name}`, got a binary payload"


class HasUnknown(Struct):
    fine: int
    deep: dict[str, list[Unknown | None]]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Unknown, "msgspec does not know how to decode Unknown"),
        (list[Unknown], "msgspec does not know how to decode Unknown"),
        (Unknown | bytes, "msgspec does not know how to decode Unknown"),
        (HasUnknown, "msgspec does not know how to decode Unknown"),
        (complex, "msgspec does not know how to decode complex"),
        (Note | dict, "more than one dict-like type"),
        (5, "Type '5' is not supported"),
        (bytearray, "a binary payload is annotated as bytes"),
        (memoryview | int, "a binary payload is annotated as bytes"),
        (Annotated[bytes, Meta(max_length=3)], "constraints on bytes are not checked; check them in the method"),
        (Annotated[bytes, Meta(max_length=3)] | int, "constraints on bytes are not checked"),
    ],
    ids=str,
)
def test_what_cannot_be_decoded_is_refused_when_the_schema_is_made(annotation: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        Schema(annotation)


def test_a_fault_of_the_users_own_class_is_no_invalid_payload() -> None:
    class Faulty(Struct):
        n: int

        def __post_init__(self) -> None:
            raise KeyError(self.n)

    with pytest.raises(KeyError):
        Schema(Faulty).decode(Raw(b'{"n":1}'))


def test_every_payload_is_decoded_anew() -> None:
    schema, payload = Schema(Any), Raw(b'{"a":[]}')
    schema.decode(payload)["a"].append(1)
    assert schema.decode(payload) == {"a": []}
