"""Patterns: what matches, and why something does not."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Optional
from unittest.mock import ANY

import pytest
from msgspec import Struct

from phoenix_channels.testing.matching import check_pattern, mismatch, shown


class Color(enum.Enum):
    RED = "red"


class Point(Struct):
    x: int
    y: int = 0


class Tagged(Struct, tag="move"):
    to: Point


@dataclass
class Invitation:
    user_id: str


def positive(number: Any) -> bool:
    return bool(number > 0)


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (..., None),
        (..., {"any": "thing"}),
        ({}, {"id": 1}),
        ({"id": 1}, {"id": 1, "more": 2}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}),
        ([1, ...], [1, {"x": 2}]),
        ((1, 2), [1, 2]),
        ([{"id": int}], [{"id": 1, "name": "x"}]),
        ([], []),
        (int, 3),
        (float, 3.0),
        (str, ""),
        (bool, False),
        (dict, {}),
        (list, []),
        (bytes, b"x"),
        (type(None), None),
        (object, True),
        (Mapping, {}),
        (int | None, None),
        (int | None, 7),
        (Optional[str], "x"),  # noqa: UP045 - the other form
        ({"id": int | str}, {"id": "x"}),
        (positive, 1),
        ({"id": lambda n: n % 2 == 1}, {"id": 7}),
        ("hi", "hi"),
        (1, 1.0),
        (None, None),
        (True, True),
        (b"\x00", b"\x00"),
        (Point(1), {"x": 1, "y": 0, "z": 5}),
        (Tagged(Point(1, 2)), {"type": "move", "to": {"x": 1, "y": 2}}),
        (Invitation("21"), {"user_id": "21"}),
        (ANY, {"x": 1}),
        ({"x": pytest.approx(0.3)}, {"x": 0.1 + 0.2}),
        (Color.RED, "red"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.5"), "1.5"),
        ({1, 2}, [1, 2]),
    ],
)
def test_what_matches(pattern: object, value: object) -> None:
    check_pattern(pattern)
    assert mismatch(pattern, value) is None


@pytest.mark.parametrize(
    ("pattern", "value", "why"),
    [
        ({"id": 1}, {"id": 2}, "$.id is 2, not 1"),
        ({"id": 1}, {}, "$ has no 'id'"),
        ({"id": None}, {}, "$ has no 'id'"),
        ({"a": {"b": [0, {"c": int}]}}, {"a": {"b": [0, {"c": "x"}]}}, "$.a.b[1].c is 'x', no int"),
        ({"user name": "x"}, {"user name": "y"}, "$['user name'] is 'y', not 'x'"),
        ({}, [], "$ is [], no object"),
        ([], {}, "$ is {}, no list"),
        ([1, 2], [1], "$ has 1 elements, not 2"),
        (1, True, "$ is True, not 1"),
        (True, 1, "$ is 1, not True"),
        (0, False, "$ is False, not 0"),
        (int, True, "$ is True, no int"),
        (float, True, "$ is True, no float"),
        (bool, 1, "$ is 1, no bool"),
        (float, 1, "$ is 1, no float"),
        (int | None, "x", "$ is 'x', no int | None"),
        (b"x", "x", "$ is 'x', not b'x'"),
        (positive, -1, "$ is -1, not as positive wants it"),
        ({"id": lambda n: n > 3}, {"id": 3}, "$.id is 3, not as <lambda> wants it"),
        (lambda payload: payload["id"] > 3, {}, "$ is {}, on which <lambda> raised KeyError('id')"),
        (Point(1), {"x": 1, "y": 1}, "$.y is 1, not 0"),
        (Invitation("21"), {"user_id": 21}, "$.user_id is 21, not '21'"),
        (Color.RED, "blue", "$ is 'blue', not <Color.RED: 'red'>"),
        (pytest.approx(0.3), 0.4, "$ is 0.4, not 0.3 ± 3.0e-07"),
        (frozenset({object()}).__class__({1j}), [1], "$ is [1], not frozenset({1j})"),
    ],
)
def test_why_something_does_not_match(pattern: object, value: object, why: str) -> None:
    check_pattern(pattern)
    assert mismatch(pattern, value) == why


@pytest.mark.parametrize("pattern", [Point, dt.date, Any, list[int], dict[str, int], int | Point, set])
def test_a_pattern_that_can_match_nothing_is_an_error_at_once(pattern: object) -> None:
    for wrong in (pattern, {"deep": [1, {"in": pattern}]}):
        with pytest.raises(TypeError, match="matches nothing: a decoded payload consists of dict, list, str"):
            check_pattern(wrong)


def test_patterns_are_shown_as_they_are_written() -> None:
    pattern = {"id": int, "of": ..., "by": positive, "at": [str | None, len], "n": 1, "to": Point(1), 7: "x"}
    assert shown(pattern) == (
        "{'id': int, 'of': ..., 'by': positive, 'at': [str | None, len], 'n': 1, 'to': Point(x=1, y=0), 7: 'x'}"
    )
