"""The log of a topic: what was broadcast in this turn of the loop, and not everybody has got yet."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from typing import final

from phoenix_channels.protocol.errors import EncodeError
from phoenix_channels.protocol.messages import EncodedBroadcast, Frame, FrameBatch
from phoenix_channels.protocol.serializers import Serializer
from phoenix_channels.pubsub.subscription import Subscription

_logger = logging.getLogger("phoenix_channels")


@final
class Entry:
    """One broadcast, and its frames, one for each serializer."""

    __slots__ = ("_frames", "broadcast", "exclude", "number", "size")

    def __init__(self, number: int, broadcast: EncodedBroadcast, exclude: object) -> None:
        self.number = number
        """Its place among the broadcasts of all topics."""
        self.broadcast = broadcast
        self.exclude = exclude
        """The owner of the subscriptions that it is not for."""
        self.size = broadcast.size
        # By identity, because a serializer need not be hashable; it is kept, or another could get its identity.
        self._frames: dict[int, tuple[Serializer, Frame | None]] = {}

    def concerns(self, subscription: Subscription) -> bool:
        """Is it for this fast lane?"""
        return (
            self.exclude is None or subscription.owner is not self.exclude
        ) and self.broadcast.event not in subscription.intercepts

    def frame(self, serializer: Serializer) -> Frame | None:
        """Encoded once for each serializer (P-073); None when it has no form there."""
        found = self._frames.get(id(serializer))
        return self._encode(serializer) if found is None else found[1]

    def _encode(self, serializer: Serializer) -> Frame | None:
        broadcast = self.broadcast
        frame: Frame | None = None
        failure: Exception | None = None
        try:
            made: object = serializer.encode_broadcast(broadcast.topic, broadcast.event, broadcast.payload)
            if not isinstance(made, Frame) or not isinstance(made.data, bytes):
                raise TypeError(f"encode_broadcast returns a Frame of bytes, not {made!r:.200}")
            made.message = broadcast
            frame = made
        except Exception as error:  # also of a serializer of the application
            failure = error
        self._frames[id(serializer)] = serializer, frame
        # Afterwards: what listens to the log may come back here.
        if isinstance(failure, EncodeError):
            # One old client must not break a broadcast for everybody else.
            _logger.warning("broadcast %.200r on %.200r skips clients: %s", broadcast.event, broadcast.topic, failure)
        elif failure is not None:
            _logger.error(
                "%r fails on broadcast %.200r, clients are skipped", serializer, broadcast.event, exc_info=failure
            )
        return frame


@final
class Log:
    """One topic: its subscribers, and its entries.  The registry serves the subscribers in slices, in order."""

    __slots__ = (
        "_batches", "_everybody", "_intercepts", "end", "entries", "excluded", "fastlanes", "receivers", "served",
        "start", "topic",
    )  # fmt: skip

    def __init__(self, topic: str) -> None:
        self.topic = topic
        # Dicts, not sets: insertion order is memory order, which is what a fan-out to thousands walks along.
        self.fastlanes: dict[int, Subscription] = {}
        self.receivers: dict[int, Subscription] = {}
        self._everybody: tuple[Subscription, ...] | None = None
        # What the classes of the fast lanes intercept, each with the number of them.
        self._intercepts: dict[int, tuple[Collection[str], int]] = {}
        self.entries: list[Entry] = []
        self.start = 0
        """The number, in this log, of the first entry."""
        self.end = 0
        self.served: Iterator[Subscription] | None = None
        """Who is still to be served with the entries before ``end``, while that is under way."""
        self.excluded: set[int] = set()
        """Whom some of those entries are not for, by the identity of the owner."""
        self._batches: dict[tuple[int, int], tuple[Frame | FrameBatch | None, int]] = {}

    @property
    def next(self) -> int:
        """The number of the entry that comes next."""
        return self.start + len(self.entries)

    def add(self, subscription: Subscription) -> None:
        subscription.log = self
        if subscription.outlet is None:
            self.receivers[id(subscription)] = subscription
            return
        subscription.cursor = self.next
        self.fastlanes[id(subscription)] = subscription
        self._everybody = None
        self._count_intercepts(subscription.intercepts, 1)

    def remove(self, subscription: Subscription) -> None:
        subscription.log = None
        if subscription.outlet is None:
            del self.receivers[id(subscription)]
        else:
            del self.fastlanes[id(subscription)]
            self._everybody = None
            self._count_intercepts(subscription.intercepts, -1)

    def _count_intercepts(self, intercepts: Collection[str], change: int) -> None:
        if intercepts:
            count = self._intercepts.get(id(intercepts), (intercepts, 0))[1] + change
            if count:
                self._intercepts[id(intercepts)] = intercepts, count
            else:
                del self._intercepts[id(intercepts)]

    def intercepts(self, event: str) -> bool:
        """Does any of the fast lanes intercept this event?"""
        return bool(self._intercepts) and any(event in events for events, _ in self._intercepts.values())

    def begin(self) -> Iterator[Subscription]:
        """Begin to serve what is there now to everybody who is there now."""
        self.end = self.next
        self._batches = {}
        self.excluded = {id(entry.exclude) for entry in self.entries if entry.exclude is not None}
        # A copy: a delivery can end subscriptions (a slow client is closed).
        if self._everybody is None:
            self._everybody = tuple(self.fastlanes.values())
        self.served = iter(self._everybody)
        return self.served

    def finish(self) -> int:
        """Everybody has what came before ``end``; what is left is for nobody when nobody is left.  The bytes freed."""
        end = self.end if self.fastlanes else self.next
        freed = sum(entry.size for entry in self.entries[: end - self.start])
        del self.entries[: end - self.start]
        self.start = self.end = end
        self.served = None
        self._batches = {}
        return freed

    def batch(self, serializer: Serializer, intercepts: Collection[str]) -> tuple[Frame | FrameBatch | None, int]:
        """The entries before ``end`` in one, without those intercepted; and how many of them have no form there."""
        key = id(serializer), id(intercepts)
        found = self._batches.get(key)
        if found is None:
            frames = [
                entry.frame(serializer)
                for entry in self.entries[: self.end - self.start]
                if entry.broadcast.event not in intercepts
            ]
            encoded = [frame for frame in frames if frame is not None]
            found = self._batches[key] = batch_of(encoded), len(frames) - len(encoded)
        return found


def batch_of(frames: list[Frame]) -> Frame | FrameBatch | None:
    """What one write takes; None for nothing."""
    return FrameBatch(tuple(frames)) if len(frames) > 1 else frames[0] if frames else None
