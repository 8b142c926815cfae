"""A subscriber of the endpoint: broadcasts of one topic as an async iterator, for code that is no channel."""

from __future__ import annotations

import logging
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self, final

import anyio

from phoenix_channels.protocol.messages import Broadcast, EncodedBroadcast
from phoenix_channels.protocol.payloads import decode_payload
from phoenix_channels.pubsub.subscription import Subscription

if TYPE_CHECKING:
    from phoenix_channels.runtime.hub import Hub
    from phoenix_channels.runtime.lane import Lane

_logger = logging.getLogger("phoenix_channels")


@final
class Subscriber:
    """What ``async with endpoint.subscribe(topic)`` gives: iterate over it for :class:`Broadcast` objects.

    It begins when the block is entered, and takes what is broadcast until the block is left.  One that does not keep
    up loses the newest broadcasts, and :attr:`dropped` counts them.
    """

    def __init__(self, hub: Hub, topic: str) -> None:
        if not isinstance(topic, str):
            raise TypeError(f"a topic is a string, not {topic!r}")
        self._hub = hub
        self._lane: Lane
        self._entered = False
        self._queue: deque[EncodedBroadcast] = deque()
        self._subscription = Subscription(topic, self._receive)
        self._arrived: anyio.Event | None = None
        self.dropped = 0
        """Broadcasts that were lost here because nobody took them in time."""

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("one `async with endpoint.subscribe(topic)` can be entered once")
        self._entered = True
        self._lane = self._hub.current_lane()
        await self._hub.subscribe(self._lane, self._subscription)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hub.unsubscribe(self._lane, self._subscription)
        self._lane.waiting_broadcasts -= len(self._queue)
        self._queue.clear()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Broadcast:
        if not self._entered:
            raise RuntimeError("iterate inside `async with endpoint.subscribe(topic) as broadcasts`")
        while not self._queue:
            # One event for all that wait: each looks for itself when it is set.
            if self._arrived is None:
                self._arrived = anyio.Event()
            await self._arrived.wait()
        broadcast = self._queue.popleft()
        self._lane.waiting_broadcasts -= 1
        return Broadcast(broadcast.topic, broadcast.event, decode_payload(broadcast.payload))

    def _receive(self, broadcast: EncodedBroadcast) -> None:
        if len(self._queue) >= self._hub.limits.subscription_messages:
            if self.dropped == 0:
                _logger.warning("a subscriber of %r does not keep up and loses broadcasts", broadcast.topic)
            self.dropped += 1
            self._hub.dropped_broadcasts += 1
            return
        self._queue.append(broadcast)
        self._lane.waiting_broadcasts += 1
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None
