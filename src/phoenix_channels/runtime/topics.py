"""Topics that a channel or a raw socket has subscribed to besides what it is connected to (P-069, P-077)."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from phoenix_channels.pubsub.subscription import Receiver, Subscription, ignore

if TYPE_CHECKING:
    from phoenix_channels.runtime.hub import Hub
    from phoenix_channels.runtime.lane import Lane


@final
class Topics:
    """The subscriptions of one owner; all of them end with it.

    Args:
        hub, lane: where to subscribe.
        owner: who is left out of a ``broadcast_from`` of its own.
        receive: called with each broadcast.
    """

    __slots__ = ("_hub", "_lane", "_owner", "_receive", "_released", "_subscriptions")

    def __init__(self, hub: Hub, lane: Lane, owner: object, receive: Receiver) -> None:
        self._hub = hub
        self._lane = lane
        self._owner = owner
        self._receive = receive
        self._released = False
        self._subscriptions: dict[str, list[Subscription]] = {}

    async def subscribe(self, topic: str) -> None:
        """Subscribe; each call adds a delivery (P-077)."""
        if not isinstance(topic, str):
            raise TypeError(f"a topic is a string, not {topic!r}")
        subscription = Subscription(topic, self._receive, owner=self._owner)
        await self._hub.subscribe(self._lane, subscription)
        if self._released:
            self._hub.unsubscribe(self._lane, subscription)
        else:
            self._subscriptions.setdefault(topic, []).append(subscription)

    def unsubscribe(self, topic: str) -> None:
        """End all subscriptions to that topic."""
        for subscription in self._subscriptions.pop(topic, ()):
            self._hub.unsubscribe(self._lane, subscription)

    def release(self) -> None:
        """The owner is over, and takes nothing any more."""
        self._released = True
        for topic in tuple(self._subscriptions):
            self.unsubscribe(topic)
        self._receive, self._owner = ignore, None
