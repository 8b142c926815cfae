"""The contract between an endpoint and a backplane, which carries broadcasts to the other nodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from phoenix_channels.protocol.messages import EncodedBroadcast


class BroadcastQueueFull(Exception):
    """Broadcasts come faster than an event loop, or a backplane, takes them; its subscribers do not get this one."""


class PubSub(ABC):
    """Carries broadcasts between the nodes of a cluster.

    The endpoint delivers its own broadcasts to its own subscribers itself, without asking: an adapter has nothing to
    do with them, and must not bring a node its own broadcasts back.

    What it delivers is delivered at most once, and in the order in which each node published it (P-078).
    """

    @abstractmethod
    def attach(self, deliver: Callable[[EncodedBroadcast], None]) -> None:
        """Connect one endpoint: ``deliver`` takes the broadcasts of other nodes, from any thread."""

    @abstractmethod
    async def subscribe(self, topic: str) -> None:
        """Add one interest in a topic; on return, what other nodes broadcast from now on will be delivered.

        Interests are counted: each is ended by one :meth:`unsubscribe`.
        """

    @abstractmethod
    def unsubscribe(self, topic: str) -> None:
        """End one interest; never blocks, the broker may learn of it later."""

    @abstractmethod
    def publish(self, broadcast: EncodedBroadcast) -> None:
        """Hand a broadcast to the other nodes; from any thread, never blocks.

        Raises:
            BroadcastQueueFull: the bounded buffer is full.
        """

    @abstractmethod
    async def apublish(self, broadcast: EncodedBroadcast) -> None:
        """As :meth:`publish`, but return only when the broker has accepted it, and raise when it does not."""

    @abstractmethod
    async def aclose(self) -> None:
        """Release connections and tasks."""
