"""What arrives at a test, until an assert takes it; and how an assert waits for it."""

from __future__ import annotations

from collections.abc import Callable
from types import EllipsisType
from typing import Any, Final, TypeVar, final

import anyio
from msgspec import Struct

from phoenix_channels.testing.crashes import Crashes
from phoenix_channels.testing.matching import ANYTHING, Pattern, check_pattern, mismatch, shown

T = TypeVar("T")

ASSERT_TIMEOUT: Final = 1.0
"""Seconds that an assert waits by default."""
REFUTE_TIMEOUT: Final = 0.1
"""Seconds that nothing may arrive in, by default."""
_MOST_LISTED: Final = 20
_LONGEST: Final = 500


@final
class Feed:
    """Where things come from: one connection with all that it hears of; who waits looks again when something comes."""

    def __init__(self) -> None:
        self.crashes = Crashes()
        self.over: str | None = None
        """Why nothing comes from the connection any more; None while it is open."""
        self._changed = anyio.Event()

    def tell(self) -> None:
        """Something has come, or nothing will."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def wait_for(self, look: Callable[[], T | None], seconds: float, *, to_the_end: bool = False) -> T | None:
        """What ``look`` finds within so many seconds, or None; ``to_the_end`` also when nothing comes any more.

        Raises:
            ChannelCrashed: a channel of the connection crashed before.
        """
        __tracebackhide__ = True
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
            raise ValueError(f"a timeout is a number of seconds from 0 on, not {seconds!r}")
        with anyio.move_on_after(seconds):
            while True:
                self.crashes.check()
                found = look()
                if found is not None or (self.over is not None and not to_the_end):
                    return found
                await self._changed.wait()
        self.crashes.check()
        return look()


@final
class Item(Struct, frozen=True):
    """One thing that arrived: an event with its payload, or a status with its response."""

    name: str
    payload: Any

    def __str__(self) -> str:
        return f"{self.name!r} {_short(self.payload)}"


@final
class Inbox:
    """What has arrived of one kind in one place, in order, and no assert has taken yet.

    Args:
        feed: where it comes from.
        kind: what it is: ``"push"``, ``"reply"``, ``"broadcast"``.
        where: where it comes to: ``"on 'room:1'"``.
        outlives: it may come although the connection is over.
    """

    def __init__(self, feed: Feed, kind: str, where: str, *, outlives: bool = False) -> None:
        self._feed = feed
        self._kind = kind
        self._where = where
        self._outlives = outlives
        self._items: list[Item] = []
        self._taken = 0

    def put(self, name: str, payload: Any) -> None:
        self._items.append(Item(name, payload))
        self._feed.tell()

    async def first(self, seconds: float) -> Item:
        """Take the first of all.

        Raises:
            AssertionError: none comes in time.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        found = await self._feed.wait_for(lambda: self._find(ANYTHING, ANYTHING), seconds, to_the_end=self._outlives)
        if found is None:
            raise AssertionError(f"no {self._kind} {self._where} {self._why_not(seconds)}")
        return self._take(found)

    async def expect(self, name: str, pattern: Pattern, seconds: float, *, missing: str | None = None) -> Any:
        """Take the first of this name that matches: its payload.  ``missing`` says in other words that none came.

        Raises:
            AssertionError: none comes in time.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        check_pattern(pattern)
        found = await self._feed.wait_for(lambda: self._find(name, pattern), seconds, to_the_end=self._outlives)
        if found is None:
            raise AssertionError("\n".join(self._missing(name, pattern, seconds, missing)))
        return self._take(found).payload

    async def refute(self, name: str | EllipsisType, pattern: Pattern, seconds: float) -> None:
        """Wait, and find that nothing of this name that matches is here, or comes.

        Raises:
            AssertionError: it is here.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        check_pattern(pattern)
        found = await self._feed.wait_for(lambda: self._find(name, pattern), seconds, to_the_end=self._outlives)
        if found is not None:
            wanted = "" if pattern is ANYTHING else f"\n  refuted: {shown(pattern)}"
            raise AssertionError(f"a {self._kind} {self._where} that was refuted: {found}{wanted}")

    def _find(self, name: object, pattern: Pattern) -> Item | None:
        for item in self._items:
            if (name is ANYTHING or item.name == name) and mismatch(pattern, item.payload) is None:
                return item
        return None

    def _take(self, item: Item) -> Item:
        # By identity: two that are equal are still two.
        self._items = [other for other in self._items if other is not item]
        self._taken += 1
        return item

    def _missing(self, name: str, pattern: Pattern, seconds: float, missing: str | None) -> list[str]:
        lines = [f"{missing or f'no {self._kind} {name!r} {self._where}'} {self._why_not(seconds)}"]
        if pattern is not ANYTHING:
            lines.append(f"  wanted: {shown(pattern)}")
        if self._items:
            earlier = len(self._items) - _MOST_LISTED
            lines.append("  arrived instead, newest last:")
            lines += [f"    ... {earlier} more, and then"] if earlier > 0 else []
            for item in self._items[-_MOST_LISTED:]:
                why = mismatch(pattern, item.payload) if item.name == name else None
                lines.append(f"    {item}" if why is None else f"    {item}  <- {_cut(why)}")
        else:
            before = f" (what came before, {self._taken}, was asserted)" if self._taken else ""
            lines.append(f"  nothing arrived instead{before}")
        return lines

    def _why_not(self, seconds: float) -> str:
        over = None if self._outlives else self._feed.over
        return f"within {seconds:g} s" if over is None else f"because {over}"


def _short(payload: object) -> str:
    return _cut(shown(payload))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
