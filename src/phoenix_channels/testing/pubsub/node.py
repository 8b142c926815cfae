"""The nodes of a cluster under test, as the contract of pub/sub adapters sees them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import final

import anyio
from msgspec import Raw

from phoenix_channels.protocol.messages import EMPTY, EncodedBroadcast
from phoenix_channels.protocol.payloads import encode_broadcast
from phoenix_channels.pubsub.base import PubSub
from phoenix_channels.runtime.tasks import LoopEnded, current_loop

_marks = count(1)


@final
class Node:
    """One node: its adapter, and what that has delivered."""

    def __init__(self, pubsub: PubSub, patience: float) -> None:
        self.pubsub = pubsub
        self.delivered: list[EncodedBroadcast] = []
        """Everything, in order."""
        self._taken = 0
        self._patience = patience
        self._loop = current_loop()
        self._arrived = anyio.Event()
        self._closed = False
        pubsub.attach(self._deliver)

    def _deliver(self, broadcast: EncodedBroadcast) -> None:
        # From any thread.
        self.delivered.append(broadcast)
        with suppress(LoopEnded):
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._arrived.set()

    def publish(self, topic: str, event: str = "event", payload: object = EMPTY) -> EncodedBroadcast:
        """Publish, and return what."""
        broadcast = encode_broadcast(topic, event, payload)
        self.pubsub.publish(broadcast)
        return broadcast

    async def apublish(self, topic: str, event: str = "event", payload: object = EMPTY) -> EncodedBroadcast:
        broadcast = encode_broadcast(topic, event, payload)
        await self.pubsub.apublish(broadcast)
        return broadcast

    async def receive(self, what: str = "a broadcast") -> EncodedBroadcast:
        """The next that is delivered.

        Raises:
            AssertionError: nothing is, for as long as the contract is patient.
        """
        with anyio.move_on_after(self._patience):
            while self._taken == len(self.delivered):
                self._arrived = anyio.Event()
                if self._taken == len(self.delivered):
                    await self._arrived.wait()
            self._taken += 1
            return self.delivered[self._taken - 1]
        raise AssertionError(f"{what} was not delivered within {self._patience:g} s")

    async def receive_exactly(self, *broadcasts: EncodedBroadcast) -> None:
        """These are delivered next, as they are."""
        for broadcast in broadcasts:
            received = await self.receive(shown(broadcast))
            check(
                received == broadcast and isinstance(received.payload, Raw) is isinstance(broadcast.payload, Raw),
                f"{shown(received)} was delivered where {shown(broadcast)} was expected",
            )

    async def receive_all(self, publisher: Node) -> list[EncodedBroadcast]:
        """All that is delivered of what the publisher has published so far, and was not received before."""
        topic = f"phoenix_channels:contract:{next(_marks)}"
        await self.pubsub.subscribe(topic)
        mark = await publisher.apublish(topic)
        found: list[EncodedBroadcast] = []
        while (received := await self.receive(shown(mark))).topic != topic:
            found.append(received)
        self.pubsub.unsubscribe(topic)
        return found

    async def close(self) -> None:
        """Close the adapter, once."""
        if not self._closed:
            self._closed = True
            await self.pubsub.aclose()


def check(condition: bool, text: str) -> None:
    """An assert with a text of its own: pytest does not look into the asserts of what is installed."""
    if not condition:
        raise AssertionError(text)


def shown(broadcast: EncodedBroadcast) -> str:
    return f"{broadcast.event!r:.50} on {broadcast.topic!r:.50} ({broadcast.payload!r:.50})"


def check_none(found: Sequence[EncodedBroadcast], why: str) -> None:
    check(not found, f"{', '.join(map(shown, found))}: delivered, though {why}")
