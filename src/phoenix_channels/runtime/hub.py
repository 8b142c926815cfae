"""The hub of one endpoint: its lanes, one per event loop, and the way of a broadcast into all of them."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, final
from weakref import WeakSet

from phoenix_channels.logger import EventLogger
from phoenix_channels.protocol.messages import EncodedBroadcast
from phoenix_channels.protocol.payloads import encode_broadcast
from phoenix_channels.pubsub.base import BroadcastQueueFull, PubSub
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.runtime.lane import Lane
from phoenix_channels.runtime.limits import Limits
from phoenix_channels.runtime.tasks import LoopEnded, current_loop

if TYPE_CHECKING:
    from phoenix_channels.runtime.driver import Driver
    from phoenix_channels.socket import BaseSocket

_logger = logging.getLogger("phoenix_channels")

_hubs: WeakSet[Hub] = WeakSet()


def lanes_here() -> list[Lane]:
    """The lanes of all endpoints on the running event loop: what a server that ends has to drain."""
    return [lane for hub in tuple(_hubs) for lane in hub.lanes if lane.loop.running]


@final
class Hub:
    """What the connections of one endpoint share, on all of its event loops."""

    def __init__(self, pubsub: PubSub, limits: Limits, *, logger: EventLogger | None = None) -> None:
        self.pubsub = pubsub
        self.limits = limits
        self.logger = EventLogger() if logger is None else logger
        self.dropped_frames = 0
        """Frames that were lost because their client did not read."""
        self.dropped_broadcasts = 0
        """Broadcasts that were lost because a subscriber of the endpoint did not keep up."""
        self.removed = 0
        """Lanes that are over and forgotten."""
        self.skipped = 0
        """Deliveries left out on lanes that are over."""
        self.cut = 0
        """Callbacks that were cut off because they did not end in time."""
        self._lock = threading.RLock()
        self._lanes: tuple[Lane, ...] = ()
        pubsub.attach(self.deliver)
        _hubs.add(self)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes of loops that are not over yet."""
        for lane in self._lanes:
            if not lane.loop.alive:
                self.remove(lane)
        return self._lanes

    @property
    def drivers(self) -> list[Driver[BaseSocket]]:
        """All open connections; from any thread."""
        # A copy at once of each: the loop of a lane may run in another thread.
        return [driver for lane in self.lanes for driver in tuple(lane.drivers)]

    def current_lane(self) -> Lane:
        """The lane of the running event loop, made on first use: a mounted application is told of no start.

        Raises:
            RuntimeError: no event loop is running in this thread.
        """
        for lane in self._lanes:
            if lane.loop.running:
                return lane
        made = Lane(current_loop(), self.limits)
        with self._lock:
            self._lanes = (*self.lanes, made)
        return made

    def remove(self, lane: Lane) -> None:
        """Forget a lane whose loop is over; what was lost there stays counted."""
        with self._lock:
            if lane in self._lanes:
                self._lanes = tuple(other for other in self._lanes if other is not lane)
                self.removed += 1
                self.dropped_broadcasts += lane.dropped
                self.skipped += lane.registry.skipped

    async def subscribe(self, lane: Lane, subscription: Subscription) -> None:
        """Take part in a topic: on return what is broadcast from now on, here or on another node, is delivered."""
        await self.pubsub.subscribe(subscription.topic)
        lane.registry.subscribe(subscription)

    def unsubscribe(self, lane: Lane, subscription: Subscription) -> None:
        """Undo :meth:`subscribe`, once."""
        lane.registry.unsubscribe(subscription)
        self.end_interest(subscription.topic)

    def end_interest(self, topic: str) -> None:
        """End one interest in a topic; never raises, because this is part of the end of something."""
        try:
            self.pubsub.unsubscribe(topic)
        except Exception:
            _logger.exception("the backplane failed to end an interest in %.200r", topic)

    def broadcast(
        self, topic: str, event: str, payload: object, *, exclude: object = None, local: bool = False
    ) -> None:
        """Broadcast to every subscriber, here and (unless ``local``) on the other nodes; any thread, never blocks.

        Raises:
            BroadcastQueueFull: broadcasts from threads come faster than a loop takes them.
            EncodeError, TypeError: as :func:`encode_broadcast`.
        """
        broadcast = encode_broadcast(topic, event, payload)
        try:
            self.deliver(broadcast, exclude)
        finally:
            if not local:
                self.pubsub.publish(broadcast)

    async def abroadcast(self, topic: str, event: str, payload: object) -> None:
        """As :meth:`broadcast`, but return when the backplane has accepted it.

        Raises: as :meth:`broadcast`, and what the backplane raises when it does not accept it.
        """
        broadcast = encode_broadcast(topic, event, payload)
        try:
            self.deliver(broadcast)
        finally:
            await self.pubsub.apublish(broadcast)

    def deliver(self, broadcast: EncodedBroadcast, exclude: object = None) -> None:
        """Deliver to the subscribers on this node.

        Raises:
            BroadcastQueueFull: the subscribers on at least one event loop will not get it.
        """
        full: BroadcastQueueFull | None = None
        for lane in self._lanes:
            try:
                lane.deliver(broadcast, exclude)
            except LoopEnded:
                # Over without a word, and everybody on it.
                self.remove(lane)
            except BroadcastQueueFull as error:
                # One loop that is stuck must not keep it from the others.
                full = error
        if full is not None:
            raise full
