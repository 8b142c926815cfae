"""Functions that are given as options."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.transports.callables import check_callable, is_true

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypeCheckers


def two(one: Any, other: Any) -> bool:
    return True


async def two_later(one: Any, other: Any) -> bool:
    return True


class Two:
    def __call__(self, one: OnlyForTypeCheckers, other: Any = None) -> bool:
        return True


class TwoLater:
    async def __call__(self, one: Any, other: Any) -> bool:
        return True


@pytest.mark.parametrize(
    "function", [two, Two(), lambda *_: True, partial(lambda *_: True, 1), max, isinstance, dict.get]
)
def test_what_can_be_called_like_that_is_legal(function: Any) -> None:
    check_callable("option", function, "one", "other")


@pytest.mark.parametrize("function", [two_later, TwoLater(), partial(two_later), two])
def test_what_may_be_async_may_be_async(function: Any) -> None:
    check_callable("option", function, "one", "other", may_be_async=True)


@pytest.mark.parametrize(
    "function", [None, True, "two", two_later, TwoLater(), partial(two_later), partial(two, 1), len]
)
def test_what_cannot_is_an_error_that_names_the_form(function: Any) -> None:
    with pytest.raises(DefinitionError, match=r"^option is a function of this form: `def f\(one, other\)`"):
        check_callable("option", function, "one", "other")


@pytest.mark.parametrize(("answer", "true"), [(True, True), ("x", True), (False, False), (None, False), ("", False)])
def test_an_answer_counts_by_its_truth(answer: object, true: bool) -> None:
    assert is_true("option", lambda *_: answer, 1, 2) is true


class Promise:
    def __await__(self) -> Any:
        yield


@pytest.mark.parametrize("function", [two_later, lambda *_: Promise()])
def test_an_awaitable_is_no_answer(function: Any) -> None:
    with pytest.raises(TypeError, match="option returned an awaitable"):
        is_true("option", function, 1, 2)
