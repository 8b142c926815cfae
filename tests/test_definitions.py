"""The checks of what is put together before it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from phoenix_channels.definitions import (
    DefinitionError,
    Options,
    check_bool,
    check_count,
    check_level,
    check_names,
    check_seconds,
)

WHERE = "Room.option"


def definition_error(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        define()
    return str(caught.value)


@pytest.mark.parametrize("seconds", [1, 0.001, 1e9, float("inf")])
def test_positive_numbers_of_seconds(seconds: float) -> None:
    check_seconds(WHERE, seconds)


@pytest.mark.parametrize("seconds", [0, -1, 0.0, float("nan"), True, False, None, "5", [5], 5j], ids=repr)
def test_what_is_no_number_of_seconds(seconds: object) -> None:
    text = definition_error(lambda: check_seconds(WHERE, seconds))
    assert text == f"Room.option is a positive number of seconds, not {seconds!r}"


@pytest.mark.parametrize("count", [0, -1, 1.0, float("inf"), True, None, "5"], ids=repr)
def test_what_is_no_count(count: object) -> None:
    check_count(WHERE, 1)
    assert definition_error(lambda: check_count(WHERE, count)) == f"Room.option is a positive int, not {count!r}"


@pytest.mark.parametrize("level", [logging.NOTSET, logging.DEBUG, logging.CRITICAL, 5, False])
def test_levels_of_logging(level: object) -> None:
    check_level(WHERE, level)


@pytest.mark.parametrize("level", [True, None, "INFO", -1, 10.0], ids=repr)
def test_what_is_no_level_of_logging(level: object) -> None:
    text = definition_error(lambda: check_level(WHERE, level))
    assert text == f"Room.option is a level of logging, such as logging.INFO, or False for off, not {level!r}"


@pytest.mark.parametrize("value", [0, 1, None, "", "yes", []], ids=repr)
def test_what_only_counts_as_true_or_false(value: object) -> None:
    check_bool(WHERE, True)
    check_bool(WHERE, False)
    assert definition_error(lambda: check_bool(WHERE, value)) == f"Room.option is True or False, not {value!r}"


def test_names_that_mean_nothing() -> None:
    check_names(WHERE, ["one", "two"], ["two", "one", "three"])
    text = definition_error(lambda: check_names(WHERE, ["one", "too"], ["one", "two"]))
    assert text == "Room.option: unknown option 'too'; legal are one, two"


class Settings(Options, frozen=True, kw_only=True):
    size: int = 1
    name: str = ""


def test_options_have_the_values_given_and_defaults_for_the_rest() -> None:
    assert (Settings().size, Settings(name="a").name, Settings(name="a").size) == (1, "a", 1)
    assert Settings(size=1) == Settings()


def test_p005_an_unknown_option_is_named_with_the_legal_ones() -> None:
    unknown: Any = {"sise": 2}
    assert definition_error(lambda: Settings(**unknown)) == "Settings: unknown option 'sise'; legal are size, name"


def test_options_are_given_by_name() -> None:
    make: Any = Settings
    assert definition_error(lambda: make(1)) == "Settings takes keywords only: size, name"


def test_options_do_not_change() -> None:
    with pytest.raises(AttributeError):
        Settings().size = 2  # type: ignore[misc]
