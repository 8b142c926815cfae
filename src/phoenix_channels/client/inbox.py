"""What has arrived, until somebody takes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar, final

import anyio
from anyio.lowlevel import checkpoint

T = TypeVar("T")

MOST_BYTES: Final = 1 << 24


@final
class Inbox(Generic[T]):
    """A bounded queue that never blocks who fills it: what has waited longest makes place for what is new.

    The newest is worth most to somebody who has fallen behind, and to somebody who begins to look late.  It holds a
    number of items, and 16 MiB; one that is larger passes through it when nothing else does.
    """

    def __init__(self, most: int, on_slow: Callable[[], None]) -> None:
        """``on_slow`` is called when something is dropped for the first time although somebody takes what arrives."""
        self.dropped = 0
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._most = most
        self._on_slow: Callable[[], None] | None = on_slow
        self._taken = False
        self._closed = False
        self._arrived: anyio.Event | None = None

    def put(self, item: T, size: int = 0) -> None:
        """Its size is in bytes."""
        if self._closed:
            return
        self._items.append((item, size))
        self._bytes += size
        while len(self._items) > self._most or (self._bytes > MOST_BYTES and len(self._items) > 1):
            self._pop()
            self.dropped += 1
            # Who only pushes takes no messages, and misses none.
            if self._taken and self._on_slow is not None:
                on_slow, self._on_slow = self._on_slow, None
                on_slow()
        if self._arrived is not None:
            self._arrived.set()

    def close(self) -> None:
        """What is in it can still be taken; then it ends."""
        self._closed = True
        if self._arrived is not None:
            self._arrived.set()

    async def take(self) -> T:
        """The next item.

        Raises:
            StopAsyncIteration: it is closed and empty.
            RuntimeError: another task waits here already, and would get what this one waits for.
        """
        self._taken = True
        await checkpoint()
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            if self._arrived is not None:
                raise RuntimeError("another task takes what arrives here already")
            self._arrived = anyio.Event()
            try:
                await self._arrived.wait()
            finally:
                self._arrived = None
        return self._pop()

    def _pop(self) -> T:
        item, size = self._items.popleft()
        self._bytes -= size
        return item
