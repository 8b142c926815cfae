"""What is due when: many deadlines, few of which are ever reached."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar, final

K = TypeVar("K", bound=Hashable)

_MAX_STALE: Final = 64


@final
class Deadlines(Generic[K]):
    """At most one deadline per key."""

    __slots__ = ("_heap", "_numbers", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        """Also of deadlines that no longer count: those whose number is not the key's."""
        self._numbers: dict[K, int] = {}
        self._sequence = 0

    def set(self, key: K, at: float) -> None:
        """This one replaces an earlier deadline of the key."""
        self._numbers[key] = self._sequence
        heappush(self._heap, (at, self._sequence, key))
        self._sequence += 1
        # Most deadlines are cancelled or replaced long before their time: those must not pile up until then.
        if len(self._heap) > 2 * len(self._numbers) + _MAX_STALE:
            self._heap = [entry for entry in self._heap if self._numbers.get(entry[2]) == entry[1]]
            heapify(self._heap)

    def cancel(self, key: K) -> None:
        """Forget the key's deadline, if it has one."""
        self._numbers.pop(key, None)

    def next(self) -> float | None:
        """The earliest of all."""
        self._drop_stale_heads()
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[K]:
        """The keys whose deadline has come, earliest first; each is forgotten as it is given.

        What is set or cancelled on the way counts, but for what is set and due at once: that is for the next call.
        """
        end = self._sequence
        while True:
            self._drop_stale_heads()
            if not self._heap or self._heap[0][0] > now or self._heap[0][1] >= end:
                return
            key = heappop(self._heap)[2]
            del self._numbers[key]
            yield key

    def _drop_stale_heads(self) -> None:
        while self._heap and self._numbers.get(self._heap[0][2]) != self._heap[0][1]:
            heappop(self._heap)
