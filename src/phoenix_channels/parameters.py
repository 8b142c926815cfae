"""Parameters in logs: what clients send, without their secrets (A166, A167)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast, final

from phoenix_channels.definitions import DefinitionError

FILTERED: Final = "[FILTERED]"
"""What stands in for a value that is not shown."""

DEFAULT_TERMS: Final = ("password", "token")

_MAX_DEPTH: Final = 32
"""Containers inside each other.  Clients choose how deep they nest: what is deeper is not looked at, and not shown."""

_NOTHING: Final = "(?!)"
"""A pattern that no text contains."""

_LEGAL: Final = (
    'filter_parameters is a list of substrings of keys, such as ["password", "token"], or Keep("id", "name") for the '
    "keys whose values alone are shown"
)


@final
class Keep:
    """Show the values of these keys only: ``filter_parameters=Keep("id", "name")``.

    The keys are compared whole.  ``Keep()`` shows no value at all.

    Raises:
        DefinitionError: a key is no string.
    """

    __slots__ = ("keys",)

    def __init__(self, *keys: str) -> None:
        for key in keys:
            if not isinstance(key, str):
                raise DefinitionError(f'Keep takes the names of keys, Keep("id", "name"), not {key!r:.200}')
        self.keys = frozenset(keys)

    def __repr__(self) -> str:
        return f"Keep({', '.join(map(repr, sorted(self.keys)))})"


@final
class ParameterFilter:
    """Makes copies of parameters that can be shown to people; made once, by :meth:`of`, and used for all."""

    __slots__ = ("_in_key", "_in_text", "_kept")

    def __init__(self, terms: Sequence[str], kept: frozenset[str] | None) -> None:
        names = "|".join(map(re.escape, terms)) or _NOTHING
        self._in_key = re.compile(names).search
        self._in_text = re.compile(f"(?:{names})=").search
        self._kept = kept

    @classmethod
    def of(cls, spec: Sequence[str] | Keep = DEFAULT_TERMS) -> ParameterFilter:
        """The filter that a ``filter_parameters`` option asks for.

        Raises:
            DefinitionError: it is neither terms nor a :class:`Keep`.
        """
        if isinstance(spec, Keep):
            return cls((), spec.keys)
        # Untyped callers: a lone string is a sequence of strings, too.
        if isinstance(spec, str | bytes) or not isinstance(spec, Sequence):
            raise DefinitionError(f"{_LEGAL}, not {spec!r:.200}")
        for term in spec:
            if not isinstance(term, str) or not term:
                raise DefinitionError(f"{_LEGAL}; {term!r:.200} is no substring to look for")
        return cls(spec, None)

    def filter(self, value: Any) -> Any:
        """A copy to show; the value is not changed.

        With terms: the value of a string key that contains one of them (upper and lower case differ) is
        ``"[FILTERED]"``, and so is a string that contains ``<term>=``, as a form or a URL does.  With :class:`Keep`:
        every value is, except those of exactly these keys, which are kept with all that is in them.

        Mappings, lists and tuples are gone through and keep their shape.  Of other objects, terms show all, and
        ``Keep`` nothing.  ``bytes`` have no keys to judge them by: their size is shown.
        """
        return self._show(value, 0)

    def _show(self, value: Any, depth: int) -> Any:
        kind = type(cast("object", value))
        if issubclass(kind, Mapping | list | tuple):
            if depth == _MAX_DEPTH:
                return FILTERED
            if issubclass(kind, Mapping):
                return {key: self._show_entry(key, inner, depth + 1) for key, inner in value.items()}
            items = [self._show(inner, depth + 1) for inner in value]
            return items if issubclass(kind, list) else tuple(items)
        if self._kept is not None or (issubclass(kind, str) and self._in_text(value)):
            return FILTERED
        return f"[{memoryview(value).nbytes} bytes]" if issubclass(kind, bytes | bytearray | memoryview) else value

    def _show_entry(self, key: Any, value: Any, depth: int) -> Any:
        if isinstance(key, str):
            if self._kept is not None and key in self._kept:
                return value
            if self._in_key(key):
                return FILTERED
        return self._show(value, depth)
