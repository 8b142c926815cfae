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
        self.copies = 1
        """How often it delivers what is published."""
        self.published: list[tuple[Node, EncodedBroadcast]] = []

    def carry(self, source: "Node", broadcast: EncodedBroadcast) -> None:
        """Deliver a broadcast of one node to the others that have asked for it."""
        for node in self.nodes:
            if node is not source and node.interests[broadcast.topic] and node.deliver is not None:
                node.deliver(broadcast)

    def repeat(self) -> None:
        """Deliver again whatever was published so far, as a broker does that has missed the acknowledgements."""
        for source, broadcast in tuple(self.published):
            self.carry(source, broadcast)

    def node(self) -> "Node":
        node = Node(self)
        self.nodes.append(node)
        return node


class Node(PubSub):
    """One node's connection to the broker; ``interests`` counts what it has asked for and not given back."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.deliver: Callable[[EncodedBroadcast], None] | None = None
        self.interests: Counter[str] = Counter()
        self.asked: list[str] = []
        self.on_subscribe: Callable[[str], object] | None = None
        """Called with the topic, and awaited when it returns an awaitable; may raise."""
        self.on_unsubscribe: Callable[[str], object] | None = None
        """Called with the topic when its interest has been ended; may raise."""
        self.failure: Exception | None = None
        """Raised by every publish."""

    def attach(self, deliver: Callable[[EncodedBroadcast], None]) -> None:
        self.deliver = deliver

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
        if self.on_unsubscribe is not None:
            self.on_unsubscribe(topic)

    def publish(self, broadcast: EncodedBroadcast) -> None:
        if self.failure is not None:
            raise self.failure
        self._broker.published.append((self, broadcast))
        for _ in range(self._broker.copies):
            self._broker.carry(self, broadcast)

    async def apublish(self, broadcast: EncodedBroadcast) -> None:
        await checkpoint()
        self.publish(broadcast)

    async def aclose(self) -> None:
        self._broker.nodes.remove(self)
