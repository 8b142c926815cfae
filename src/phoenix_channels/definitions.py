"""What is put together before it runs: classes and options, checked while they are defined."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from msgspec import Struct, StructMeta


class DefinitionError(TypeError):
    """A socket or channel class, or a mount, is not put together as it has to be; raised before it can be used."""


def check_seconds(where: str, seconds: object) -> None:
    """Refuse what is no positive number of seconds.

    Raises:
        DefinitionError: naming the place.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise DefinitionError(f"{where} is a positive number of seconds, not {seconds!r}")


def check_count(where: str, count: object) -> None:
    """Refuse what is no positive whole number.

    Raises:
        DefinitionError: naming the place.
    """
    if type(count) is not int or count < 1:
        raise DefinitionError(f"{where} is a positive int, not {count!r}")


def check_level(where: str, level: object) -> None:
    """Refuse what is neither a level of :mod:`logging` nor False, for off.

    Raises:
        DefinitionError: naming the place.
    """
    if level is not False and (type(level) is not int or level < 0):
        raise DefinitionError(f"{where} is a level of logging, such as logging.INFO, or False for off, not {level!r}")


def check_bool(where: str, value: object) -> None:
    """Refuse what only counts as true or false.

    Raises:
        DefinitionError: naming the place.
    """
    if not isinstance(value, bool):
        raise DefinitionError(f"{where} is True or False, not {value!r}")


def check_names(where: str, names: Collection[str], legal: Collection[str]) -> None:
    """Refuse names that mean nothing (P-005).

    Raises:
        DefinitionError: naming the first of them, and the legal ones.
    """
    for name in names:
        if name not in legal:
            raise DefinitionError(f"{where}: unknown option {name!r}; legal are {', '.join(legal)}")


class _OptionsMeta(StructMeta):
    if not TYPE_CHECKING:

        def __call__(self, *args: Any, **options: Any) -> Any:
            if args:
                raise DefinitionError(f"{self.__qualname__} takes keywords only: {', '.join(self.__struct_fields__)}")
            check_names(self.__qualname__, options, self.__struct_fields__)
            return super().__call__(**options)


class Options(Struct, frozen=True, kw_only=True, metaclass=_OptionsMeta):
    """Base of options: an unknown one is refused with a list of the legal ones (P-005)."""
