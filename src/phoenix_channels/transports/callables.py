"""Functions that are given as options: checked when a socket is mounted, called when a client comes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from phoenix_channels.definitions import DefinitionError


def check_callable(where: str, function: object, *parameters: str, may_be_async: bool = False) -> None:
    """Refuse what could not be called with these parameters, or whose answer would come too late.

    Raises:
        DefinitionError: naming the place.
    """
    form = f"a function of this form: `def f({', '.join(parameters)})`"
    if not callable(function):
        raise DefinitionError(f"{where} is {form}, not {function!r:.200}")
    call: Any = type(function).__call__
    if not may_be_async and (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)):
        raise DefinitionError(f"{where} is {form}; it is not awaited, and a coroutine would count as true")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError, NameError):
        # Some functions of C have none; annotations may use names that only exist for type checkers.
        return
    try:
        signature.bind(*parameters)
    except TypeError as error:
        raise DefinitionError(f"{where} is {form}; {function!r:.200} cannot be called like that: {error}") from error


def is_true(where: str, function: Callable[..., object], *arguments: object) -> bool:
    """Whether the function answers with something that counts as true.

    Raises:
        TypeError: it returned an awaitable, which would always be true.
    """
    answer = function(*arguments)
    if hasattr(answer, "__await__"):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError(f"{where} returned an awaitable; legal are True and False")
    return bool(answer)
