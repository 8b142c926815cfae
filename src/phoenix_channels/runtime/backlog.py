"""A backlog: what waits for one client that is behind, in order, and bounded in bytes (architecture: backpressure).

Everything a client is sent waits in one row (P-071).  Pushes and broadcasts of a channel may be dropped where its class
says so; replies, ``phx_close`` and what belongs to no channel never are: the core counts on them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sized
from typing import Generic, TypeVar, final

from phoenix_channels.protocol.messages import Frame
from phoenix_channels.pubsub.subscription import Subscription

ItemT = TypeVar("ItemT", bound=Sized)


@final
class _Share:
    """What waits of one channel and may be dropped."""

    __slots__ = ("bytes", "places")

    def __init__(self) -> None:
        self.bytes = 0
        self.places: OrderedDict[Hashable, int] = OrderedDict()
        """By key, or by number where the policy knows no keys; the oldest first."""


@final
class Backlog(Generic[ItemT]):
    """Frames, and whatever else a sink has standing in their row, that wait for one client.

    Args:
        dropped: told how many frames of a channel were dropped; may write to the client again.
    """

    # Ordered dicts throughout: frames leave at the front, as the oldest of their channel, and from between, and each
    # of that takes the same short time however much waits.
    __slots__ = ("_dropped", "_last", "_owners", "_queue", "_shares", "allowance", "bytes")

    def __init__(self, dropped: Callable[[Subscription, int], None]) -> None:
        self._dropped = dropped
        self._last = 0
        self._queue: OrderedDict[int, ItemT] = OrderedDict()
        self._owners: OrderedDict[int, tuple[Subscription, Hashable]] = OrderedDict()
        """Of what may be dropped, and the key there."""
        self._shares: dict[Subscription, _Share] = {}
        self.bytes = 0
        self.allowance = 0
        """What was let in beyond the usual limit, in bytes, and has not left yet: it is not held against the client."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, item: ItemT, source: Subscription | None, *, limit: int, conflate: bool = True) -> bool:
        """Queue an item, or drop what the policy of its channel drops.

        Without ``conflate`` nothing takes the place of something else: the client is not known to be behind.  False
        when it must not be dropped, and does not fit whatever else is: then nothing has changed.
        """
        policy = None if source is None else source.policy
        if source is None or policy is None:
            return self._put_surely(item, limit)
        # First what runs code of the application: it may come back here.
        keyed = policy.keyed and conflate and isinstance(item, Frame)
        # Marked as a key: those of the application may be numbers, too.
        key: Hashable = ("key", policy.key(item)) if keyed and isinstance(item, Frame) else None
        share = self._shares.get(source) or _Share()
        lost = 0
        if self._fits(item, limit) or (policy.makes_room and self._fits(item, limit, len(share.places), share.bytes)):
            if key in share.places:
                self._drop(share.places[key])
                lost += 1
            while not self._fits(item, limit):
                self._drop(next(iter(share.places.values())))
                lost += 1
            number = self._append(item)
            if not keyed:
                key = number
            self._owners[number] = source, key
            self._shares[source] = share
            share.places[key] = number
            share.bytes += len(item)
        else:
            lost += 1
        if lost:
            self._dropped(source, lost)
        return True

    def _put_surely(self, item: ItemT, limit: int) -> bool:
        if self._fits(item, limit):
            self._append(item)
            return True
        if not self._fits(item, limit, len(self._owners), sum(share.bytes for share in self._shares.values())):
            return False
        lost: dict[Subscription, int] = {}
        while not self._fits(item, limit):
            number, (source, _) = next(iter(self._owners.items()))
            self._drop(number)
            lost[source] = lost.get(source, 0) + 1
        self._append(item)
        for source, count in lost.items():
            self._dropped(source, count)
        return True

    def take(self) -> ItemT:
        """The item that has waited longest.

        Raises:
            KeyError: nothing waits.
        """
        number, item = self._queue.popitem(last=False)
        self._forget(number, len(item))
        return item

    def clear(self) -> int:
        """Forget everything; how much that was."""
        count = len(self._queue)
        self._queue.clear()
        self._owners.clear()
        self._shares.clear()
        self.bytes = self.allowance = 0
        return count

    def _fits(self, item: ItemT, limit: int, fewer: int = 0, fewer_bytes: int = 0) -> bool:
        """Is there room for it, or would be without so much of what waits?"""
        # What is larger than the limit passes through an empty backlog: it has to go some way.
        return self.bytes - fewer_bytes + len(item) <= limit or len(self._queue) == fewer

    def _append(self, item: ItemT) -> int:
        self._last += 1
        self._queue[self._last] = item
        self.bytes += len(item)
        return self._last

    def _drop(self, number: int) -> None:
        self._forget(number, len(self._queue.pop(number)))

    def _forget(self, number: int, size: int) -> None:
        self.bytes -= size
        self.allowance = max(0, self.allowance - size)
        owner = self._owners.pop(number, None)
        if owner is not None:
            source, key = owner
            share = self._shares[source]
            del share.places[key]
            share.bytes -= size
            if not share.places:
                del self._shares[source]
