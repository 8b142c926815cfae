"""Pub/sub within one process: who subscribes to what on one event loop, and the fan-out to them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container
from typing import TypeAlias, final

from phoenix_channels.protocol.errors import EncodeError
from phoenix_channels.protocol.messages import EncodedBroadcast, Frame
from phoenix_channels.protocol.serializers import Serializer
from phoenix_channels.pubsub.base import PubSub

_logger = logging.getLogger("phoenix_channels")

Receiver: TypeAlias = Callable[[EncodedBroadcast], None]


@final
class Subscription:
    """One subscriber of one topic.

    With ``fastlane``, broadcasts are encoded for its serializer and written straight to its client, past the channel
    (P-073); events in ``intercepts``, and everything without a fastlane, go to ``receive``.
    """

    __slots__ = ("intercepts", "owner", "receive", "serializer", "topic", "write")

    def __init__(
        self,
        topic: str,
        receive: Receiver,
        *,
        fastlane: tuple[Serializer, Callable[[Frame], None]] | None = None,
        intercepts: Container[str] = (),
        owner: object = None,
    ) -> None:
        self.topic = topic
        self.owner = owner
        self.receive = receive
        self.intercepts = intercepts
        self.serializer: Serializer | None = None
        self.write: Callable[[Frame], None] | None = None
        if fastlane is not None:
            self.serializer, self.write = fastlane


@final
class Registry:
    """The subscriptions of one event loop."""

    __slots__ = ("_skipped", "_topics")

    def __init__(self) -> None:
        # A dict, not a set: insertion order is memory order, which is what a fan-out to thousands walks along.
        self._topics: dict[str, dict[int, Subscription]] = {}
        self._skipped = 0

    @property
    def topics(self) -> int:
        """How many topics have subscribers."""
        return len(self._topics)

    @property
    def skipped(self) -> int:
        """Deliveries left out because the subscriber's version of the protocol cannot carry the payload (P-045)."""
        return self._skipped

    def subscribe(self, subscription: Subscription) -> None:
        self._topics.setdefault(subscription.topic, {})[id(subscription)] = subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription; nothing happens when it has ended already."""
        subscribers = self._topics.get(subscription.topic)
        if subscribers is not None and subscribers.pop(id(subscription), None) is not None and not subscribers:
            del self._topics[subscription.topic]

    def dispatch(self, broadcast: EncodedBroadcast, exclude: object = None) -> None:
        """Deliver a broadcast to the subscribers of its topic, encoded once per serializer (P-073).

        Subscriptions whose owner is ``exclude`` are left out.
        """
        subscribers = self._topics.get(broadcast.topic)
        if not subscribers:
            return
        event = broadcast.event
        # By identity: a serializer need not be hashable.
        frames: dict[int, Frame | None] = {}
        # A copy: a delivery can end subscriptions (a slow client is closed, a handler broadcasts).
        for subscription in tuple(subscribers.values()):
            if exclude is not None and subscription.owner is exclude:
                continue
            try:
                serializer, write = subscription.serializer, subscription.write
                if serializer is None or write is None or event in subscription.intercepts:
                    subscription.receive(broadcast)
                    continue
                key = id(serializer)
                if key in frames:
                    frame = frames[key]
                else:
                    frame = frames[key] = self._encode(serializer, broadcast)
                if frame is None:
                    self._skipped += 1
                else:
                    write(frame)
            except Exception:
                # Nothing here raises by design; should it do so, those behind still get their message.
                _logger.exception("the delivery of %.200r on %.200r failed", event, broadcast.topic)

    @staticmethod
    def _encode(serializer: Serializer, broadcast: EncodedBroadcast) -> Frame | None:
        try:
            return serializer.encode_broadcast(broadcast.topic, broadcast.event, broadcast.payload)
        except EncodeError as error:
            # One old client must not break a broadcast for everybody else.
            _logger.warning("broadcast %.200r on %.200r skips clients: %s", broadcast.event, broadcast.topic, error)
            return None


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
