"""Topic patterns: ``"room:lobby"`` matches itself, ``"room:*"`` everything that begins with ``room:`` (P-050)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar, final

from msgspec import Struct

T = TypeVar("T")


@final
class TopicPattern(Struct, frozen=True):
    """An exact topic, or a prefix in front of a final ``*``."""

    prefix: str
    wildcard: bool

    @classmethod
    def parse(cls, pattern: str) -> TopicPattern:
        """Parse ``"room:lobby"``, ``"room:*"`` or ``"*"``.

        Raises:
            TypeError: the pattern is no string.
            ValueError: the pattern is empty, or has a ``*`` anywhere but at its end.
        """
        if not isinstance(pattern, str):
            raise TypeError(f"a topic pattern is a string such as 'room:lobby' or 'room:*', not {pattern!r}")
        if any(mark in pattern for mark in "{}<>"):
            raise ValueError(f"invalid topic pattern {pattern!r}: patterns have no named parts; write 'room:*'")
        prefix, star, rest = pattern.partition("*")
        if rest or not pattern:
            raise ValueError(
                f"invalid topic pattern {pattern!r}: legal are an exact topic ('room:lobby') and a prefix that ends "
                "in one '*' ('room:*', '*'); a '*' anywhere else is not"
            )
        return cls(prefix, wildcard=bool(star))

    def match(self, topic: str) -> str | None:
        """What ``*`` stands for in this topic, ``""`` for an exact match, None for no match."""
        if self.wildcard:
            return topic[len(self.prefix) :] if topic.startswith(self.prefix) else None
        return "" if topic == self.prefix else None


@final
class Route(Struct, Generic[T], frozen=True):
    """The outcome of routing a topic: whom it belongs to, and what the ``*`` of its pattern matched."""

    target: T
    subtopic: str


@final
class Routes(Generic[T]):
    """An ordered table from topic patterns to targets; the first match in declaration order wins (P-050)."""

    __slots__ = ("_table",)

    def __init__(self, routes: Iterable[tuple[str, T]]) -> None:
        self._table = tuple((TopicPattern.parse(pattern), target) for pattern, target in routes)

    def match(self, topic: str) -> Route[T] | None:
        for pattern, target in self._table:
            subtopic = pattern.match(topic)
            if subtopic is not None:
                return Route(target, subtopic)
        return None
