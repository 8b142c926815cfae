"""Pub/sub within one process: who subscribes to what on one event loop, and the fan-out to them.

A broadcast is not written to its subscribers at once.  It goes into the log of its topic, and at the end of the loop's
turn every subscriber gets what has gathered there in one write: ten broadcasts to a thousand clients are a thousand
system calls, not ten thousand.

Order is that of the calls (P-071, P-078).  Each subscription has a cursor into the log of its topic, and whoever writes
to a client directly first has the registry catch up with what waits for it, in all of its topics.

Whatever is called from here (sinks, receivers, and through them the log and telemetry) may come back: broadcast, write
to a client, or end a subscription.  So a cursor moves before each write, and by no more than what is written.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection
from itertools import groupby
from typing import Final, TypeAlias, final

from phoenix_channels.protocol.messages import EncodedBroadcast, Frame, FrameBatch
from phoenix_channels.protocol.serializers import Serializer
from phoenix_channels.pubsub.base import PubSub
from phoenix_channels.pubsub.log import Entry, Log, batch_of
from phoenix_channels.pubsub.subscription import ENDED, Outlet, Subscription

_logger = logging.getLogger("phoenix_channels")

SLICE: Final = 512
"""Subscribers that are served in one turn of the loop; then others get theirs."""
MOST_LOGGED: Final = 256 * 1024
"""Bytes in all logs at which their subscribers are served at once."""


@final
class Registry:
    """The subscriptions of one event loop.

    Args:
        call_soon: calls a function, which does not raise, in the next turn of the loop.
    """

    __slots__ = ("_call_soon", "_dirty", "_logs", "_number", "_scheduled", "_serving", "_size", "_skipped")

    def __init__(self, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self._call_soon = call_soon
        self._logs: dict[str, Log] = {}
        # Those with entries, in the order in which they are served.
        self._dirty: dict[Log, None] = {}
        self._number = 0
        self._size = 0
        self._scheduled = False
        self._serving = False
        self._skipped = 0

    @property
    def topics(self) -> int:
        """How many topics have subscribers."""
        return len(self._logs)

    @property
    def skipped(self) -> int:
        """Deliveries left out because the subscriber's version of the protocol cannot carry the payload (P-045)."""
        return self._skipped

    def subscribe(self, subscription: Subscription) -> None:
        log = self._logs.get(subscription.topic)
        if log is None:
            log = self._logs[subscription.topic] = Log(subscription.topic)
        log.add(subscription)
        if subscription.outlet is not None:
            subscription.outlet.fastlanes.append(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription, after what came before; nothing happens when it has ended already."""
        if subscription.log is not None and subscription.outlet is not None:
            self.catch_up(subscription.outlet)
        log = subscription.log
        if log is None:
            return
        log.remove(subscription)
        subscription.cursor = ENDED
        if subscription.outlet is not None:
            subscription.outlet.fastlanes.remove(subscription)
            if not log.fastlanes and log.entries:
                self._finish(log)
        if not log.fastlanes and not log.receivers:
            del self._logs[log.topic]

    def dispatch(self, broadcast: EncodedBroadcast, exclude: object = None) -> None:
        """Deliver a broadcast to the subscribers of its topic, to clients at the end of this turn of the loop.

        Subscriptions whose owner is ``exclude`` are left out.
        """
        log = self._logs.get(broadcast.topic)
        if log is None:
            return
        intercepted = log.intercepts(broadcast.event)
        # Of what came before: a single large one is served in slices like all others.
        full = self._size > MOST_LOGGED
        if log.fastlanes:
            self._number += 1
            entry = Entry(self._number, broadcast, exclude)
            log.entries.append(entry)
            self._dirty[log] = None
            self._size += entry.size
            if not self._scheduled:
                self._scheduled = True
                self._call_soon(self.flush)
        if log.receivers or intercepted:
            # A copy: a receiver may end subscriptions.
            takers = list(log.receivers.values())
            if intercepted:
                takers += [taker for taker in log.fastlanes.values() if broadcast.event in taker.intercepts]
            for taker in takers:
                if exclude is None or taker.owner is not exclude:
                    self._receive(taker, broadcast)
        if full:
            # Who broadcasts without a pause waits for the network, and fills no memory.
            self._serve(sys.maxsize)

    @staticmethod
    def _receive(subscription: Subscription, broadcast: EncodedBroadcast) -> None:
        try:
            subscription.receive(broadcast)
        except Exception:
            # Nothing here raises by design; should it do so, those behind still get their message.
            _logger.exception("the delivery of %.200r on %.200r failed", broadcast.event, broadcast.topic)

    # To the clients

    def flush(self) -> None:
        """Write what waits, to so many subscribers; what is left is for the next turn of the loop."""
        self._scheduled = False
        self._serve(SLICE)
        if self._dirty and not self._scheduled:
            self._scheduled = True
            self._call_soon(self.flush)

    def catch_up(self, outlet: Outlet) -> None:
        """Write what waits for one client, before something else is written to it."""
        if not self._dirty:
            return
        waiting = [
            (entry.number, number, subscription, entry)
            for subscription in outlet.fastlanes
            if (log := subscription.log) is not None and log.entries
            for number, entry in enumerate(log.entries, log.start)
            if number >= subscription.cursor
        ]
        # Among several topics by the order of the broadcasts; what follows on one of them in one write.
        waiting.sort(key=_by_order)
        for subscription, group in groupby(waiting, key=_by_subscription):
            entries = [(number, entry) for _, number, _, entry in group]
            frames = [
                (number, entry.frame(outlet.serializer)) for number, entry in entries if entry.concerns(subscription)
            ]
            # Unless what was called from here has done it, or has ended the subscription.
            due = [frame for number, frame in frames if number >= subscription.cursor]
            subscription.cursor = max(subscription.cursor, entries[-1][0] + 1)
            encoded = [frame for frame in due if frame is not None]
            self._skipped += len(due) - len(encoded)
            batch = batch_of(encoded)
            if batch is not None:
                self._write(outlet, batch, subscription)

    def _serve(self, left: int) -> None:
        """Serve what waits now to at most so many subscribers."""
        if self._serving:
            # Called back from a write: the one below on the stack goes on.
            return
        self._serving = True
        try:
            for log in tuple(self._dirty):
                if left > 0 and log in self._dirty:
                    left = self._serve_log(log, left)
        finally:
            self._serving = False

    def _serve_log(self, log: Log, left: int) -> int:
        served = log.begin() if log.served is None else log.served
        start, end, excluded = log.start, log.end, log.excluded
        several = len(self._dirty) > 1
        serializer: Serializer | None = None
        intercepts: Collection[str] | None = None
        batch: Frame | FrameBatch | None = None
        skipped = 0
        for subscription in served:
            sink, outlet = subscription.sink, subscription.outlet
            if subscription.cursor >= end or sink is None or outlet is None:
                continue
            left -= 1
            if (
                subscription.cursor > start
                or (excluded and id(subscription.owner) in excluded)
                or (several and len(outlet.fastlanes) > 1)
            ):
                self.catch_up(outlet)
            else:
                if subscription.serializer is not serializer or subscription.intercepts is not intercepts:
                    serializer, intercepts = outlet.serializer, subscription.intercepts
                    batch, skipped = log.batch(serializer, intercepts)
                if subscription.cursor <= start:
                    subscription.cursor = end
                    if skipped:
                        self._skipped += skipped
                    if batch is not None:
                        try:
                            sink.write(batch, subscription)
                        except Exception:
                            _logger.exception("the delivery of broadcasts on %.200r failed", log.topic)
            if left <= 0:
                return 0
        self._finish(log)
        return left

    def _finish(self, log: Log) -> None:
        self._size -= log.finish()
        self._dirty.pop(log, None)
        if log.entries:
            # They came meanwhile; others first.
            self._dirty[log] = None

    @staticmethod
    def _write(outlet: Outlet, frames: Frame | FrameBatch, subscription: Subscription) -> None:
        try:
            outlet.sink.write(frames, subscription)
        except Exception:
            # As in _receive.
            _logger.exception("a delivery on %.200r failed", subscription.topic)


_Waiting: TypeAlias = tuple[int, int, Subscription, Entry]


def _by_order(waiting: _Waiting) -> int:
    return waiting[0]


def _by_subscription(waiting: _Waiting) -> Subscription:
    return waiting[2]


@final
class LocalPubSub(PubSub):
    """The default: one process, no other nodes, nothing to carry."""

    def attach(self, deliver: Callable[[EncodedBroadcast], None]) -> None:
        pass

    async def subscribe(self, topic: str) -> None:
        pass

    def unsubscribe(self, topic: str) -> None:
        pass

    def publish(self, broadcast: EncodedBroadcast) -> None:
        pass

    async def apublish(self, broadcast: EncodedBroadcast) -> None:
        pass

    async def aclose(self) -> None:
        pass
