"""Version negotiation: which serializer a client's ``vsn`` asks for (P-028)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, final

T = TypeVar("T")
U = TypeVar("U")

DEFAULT_VSN = "1.0.0"
"""What a client that sends no ``vsn`` speaks (P-028)."""

_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})"
    rf"(?:-(?P<pre>{_IDENTIFIER}(?:\.{_IDENTIFIER})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_REQUIREMENT = re.compile(rf"~> (?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})")


@final
class Requirement:
    """``~> MAJOR.MINOR.PATCH``: the same major and minor version, and at least this patch."""

    __slots__ = ("_major", "_minor", "_patch", "text")

    def __init__(self, text: str) -> None:
        found = _REQUIREMENT.fullmatch(text)
        if found is None:
            raise ValueError(f"invalid version requirement {text!r}: legal is '~> MAJOR.MINOR.PATCH', e.g. '~> 2.0.0'")
        self.text = text
        self._major, self._minor, self._patch = found["major"], found["minor"], int(found["patch"])

    def matches(self, version: str) -> bool:
        """False too for what is no full semantic version; a pre-release comes before its release (P-028)."""
        # Far longer than any real version; a bound, because int() of very many digits raises.
        found = _VERSION.fullmatch(version) if len(version) <= 255 else None
        if found is None or (found["major"], found["minor"]) != (self._major, self._minor):
            return False
        patch = int(found["patch"])
        return patch > self._patch or (patch == self._patch and found["pre"] is None)


@final
class Versions(Generic[T]):
    """An ordered list of (target, requirement); the first requirement that matches wins (P-028)."""

    __slots__ = ("_table",)

    def __init__(self, table: Sequence[tuple[T, str]]) -> None:
        self._table = tuple((target, Requirement(requirement)) for target, requirement in table)

    def map(self, function: Callable[[T], U]) -> Versions[U]:
        """The same requirements with other targets."""
        return Versions([(function(target), requirement.text) for target, requirement in self._table])

    @property
    def requirements(self) -> list[str]:
        return [requirement.text for _, requirement in self._table]

    def negotiate(self, vsn: object) -> T | None:
        """The target for this ``vsn``, or None: no match, unparsable, or no string at all."""
        if isinstance(vsn, str):
            for target, requirement in self._table:
                if requirement.matches(vsn):
                    return target
        return None
