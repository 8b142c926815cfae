"""The test itself as a subscriber of a topic (A133, A140)."""

from __future__ import annotations

from types import EllipsisType
from typing import Any, final

from phoenix_channels.endpoint import Endpoint
from phoenix_channels.protocol.messages import EncodedBroadcast
from phoenix_channels.protocol.payloads import decode_payload
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.runtime.lane import Lane
from phoenix_channels.testing.inbox import ASSERT_TIMEOUT, REFUTE_TIMEOUT, Feed, Inbox
from phoenix_channels.testing.matching import ANYTHING, Pattern
from phoenix_channels.testing.opening import Opening


@final
class Observer:
    """A subscriber of one topic: what is broadcast there, as a channel or another node would hear it."""

    def __init__(self, endpoint: Endpoint, lane: Lane, subscription: Subscription, inbox: Inbox) -> None:
        self._endpoint = endpoint
        self._lane: Lane | None = lane
        self._subscription = subscription
        self._inbox = inbox

    @property
    def topic(self) -> str:
        return self._subscription.topic

    def unsubscribe(self) -> None:
        """Hear no more; again is harmless."""
        lane, self._lane = self._lane, None
        if lane is not None:
            self._endpoint.hub.unsubscribe(lane, self._subscription)

    async def assert_broadcast(
        self, event: str, pattern: Pattern = ANYTHING, *, timeout: float = ASSERT_TIMEOUT
    ) -> Any:
        """Take the first broadcast of this event that matches the pattern; its payload.

        Raises:
            AssertionError: none comes within ``timeout`` seconds.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        return await self._inbox.expect(event, pattern, timeout)

    async def refute_broadcast(
        self, event: str | EllipsisType = ANYTHING, pattern: Pattern = ANYTHING, *, timeout: float = REFUTE_TIMEOUT
    ) -> None:
        """No broadcast of this event, or none at all, that matches the pattern is here or comes.

        Raises:
            AssertionError: one does, within ``timeout`` seconds.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        await self._inbox.refute(event, pattern, timeout)

    def broadcast_from(self, event: str, payload: object) -> None:
        """Broadcast to everybody on the topic but this observer (A137).  Raises: as ``endpoint.broadcast``."""
        self._endpoint.hub.broadcast(self.topic, event, payload, exclude=self._inbox)


async def observe(endpoint: Endpoint, topic: str, feed: Feed) -> Observer:
    """Subscribe: what is broadcast from now on is there."""
    if not isinstance(topic, str):
        raise TypeError(f"a topic is a string, not {topic!r}")
    # On a topic others broadcast, too: of a connection that is over one may still hear.
    inbox = Inbox(feed, "broadcast", f"on {topic!r}", outlives=True)

    def receive(broadcast: EncodedBroadcast) -> None:
        inbox.put(broadcast.event, decode_payload(broadcast.payload))

    lane, subscription = endpoint.hub.current_lane(), Subscription(topic, receive, owner=inbox)
    await endpoint.hub.subscribe(lane, subscription)
    return Observer(endpoint, lane, subscription, inbox)


def subscribe(endpoint: Endpoint, topic: str) -> Opening[Observer]:
    """Subscribe the test to a topic.

    For example::

        async with subscribe(endpoint, "notifications:21") as observer:
            await observer.assert_broadcast("new_notification", {"body": "hi"})
    """
    return Opening(lambda: observe(endpoint, topic, Feed()), close_observer)


async def close_observer(observer: Observer, _: BaseException | None) -> None:
    """The end of its block."""
    observer.unsubscribe()
