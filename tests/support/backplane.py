"""A backplane without a broker: several endpoints of one process that carry broadcasts to each other."""

from collections import Counter
from collections.abc import Callable

from anyio.lowlevel import checkpoint

from phoenix_channels.protocol.messages import EncodedBroadcast
from phoenix_channels.pubsub.base import PubSub


class Broker:
    """Knows the nodes, and can be told to misbehave."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def node(self) -> "Node":
        node = Node(self)
        self.nodes.append(node)
        return node


class Node(PubSub):
    """One node's connection to the broker; ``interests`` counts what it has asked for and not given back."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._deliver: Callable[[EncodedBroadcast], None] | None = None
        self.interests: Counter[str] = Counter()
        self.asked: list[str] = []
        self.on_subscribe: Callable[[str], object] | None = None
        """Called with the topic, and awaited when it returns an awaitable; may raise."""
        self.failure: Exception | None = None
        """Raised by every publish."""

    def attach(self, deliver: Callable[[EncodedBroadcast], None]) -> None:
        self._deliver = deliver

    async def subscribe(self, topic: str) -> None:
        self.asked.append(topic)
        await checkpoint()
        if self.on_subscribe is not None:
            result = self.on_subscribe(topic)
            if hasattr(result, "__await__"):
                await result
        self.interests[topic] += 1

    def unsubscribe(self, topic: str) -> None:
        self.interests[topic] -= 1
        assert self.interests[topic] >= 0, f"{topic!r} is given back more often than asked for"
        if not self.interests[topic]:
            del self.interests[topic]

    def publish(self, broadcast: EncodedBroadcast) -> None:
        if self.failure is not None:
            raise self.failure
        for node in self._broker.nodes:
            if node is not self and node.interests[broadcast.topic] and node._deliver is not None:
                node._deliver(broadcast)

    async def apublish(self, broadcast: EncodedBroadcast) -> None:
        await checkpoint()
        self.publish(broadcast)

    async def aclose(self) -> None:
        self._broker.nodes.remove(self)
