"""Backplanes and adapters that each break a rule of the contract."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import Raw

from phoenix_channels.protocol.messages import EncodedBroadcast
from phoenix_channels.protocol.payloads import decode_payload, encode_term
from phoenix_channels.pubsub.base import PubSub
from tests.support.backplane import Broker
from tests.support.backplane import Node as Adapter


class ToEverybody(Broker):
    """Delivers whether or not anybody is interested."""

    def carry(self, source: Adapter, broadcast: EncodedBroadcast) -> None:
        for node in self.nodes:
            if node is not source and node.deliver is not None:
                node.deliver(broadcast)


class Echo(Broker):
    """Delivers to the publisher, too."""

    def carry(self, source: Adapter, broadcast: EncodedBroadcast) -> None:
        super().carry(source, broadcast)
        if source.interests[broadcast.topic] and source.deliver is not None:
            source.deliver(broadcast)


class Twice(Broker):
    """Delivers everything twice."""

    def carry(self, source: Adapter, broadcast: EncodedBroadcast) -> None:
        super().carry(source, broadcast)
        super().carry(source, broadcast)


class OncePerInterest(Broker):
    """Delivers as often as somebody is interested."""

    def carry(self, source: Adapter, broadcast: EncodedBroadcast) -> None:
        for node in self.nodes:
            if node is not source and node.deliver is not None:
                for _ in range(node.interests[broadcast.topic]):
                    node.deliver(broadcast)


class ToOne(Broker):
    """Delivers to the first who is interested, as a queue of work does."""

    def carry(self, source: Adapter, broadcast: EncodedBroadcast) -> None:
        for node in self.nodes:
            if node is not source and node.interests[broadcast.topic] and node.deliver is not None:
                node.deliver(broadcast)
                return


class Swapped(Broker):
    """Delivers every tenth broadcast behind the next one."""

    def __init__(self) -> None:
        super().__init__()
        self._held: tuple[Adapter, EncodedBroadcast] | None = None
        self._number = 0

    def carry(self, source: Adapter, broadcast: EncodedBroadcast) -> None:
        self._number += 1
        if self._number % 10 == 0:
            self._held = source, broadcast
            return
        super().carry(source, broadcast)
        if self._held is not None:
            held, self._held = self._held, None
            super().carry(*held)


class Lossy(Broker):
    """Loses every twentieth broadcast."""

    _number = 0

    def carry(self, source: Adapter, broadcast: EncodedBroadcast) -> None:
        self._number += 1
        if self._number % 20:
            super().carry(source, broadcast)


class Replaying(Broker):
    """Delivers to a new interest what was published before."""

    def node(self) -> Adapter:
        node = super().node()

        def replay(topic: str) -> None:
            for source, broadcast in self.published:
                if source is not node and broadcast.topic == topic and node.deliver is not None:
                    node.deliver(broadcast)

        node.on_subscribe = replay
        return node


class Globbing(Broker):
    """Takes a topic that ends in ``*`` for a pattern."""

    def carry(self, source: Adapter, broadcast: EncodedBroadcast) -> None:
        for node in self.nodes:
            topics = (topic for topic, interests in node.interests.items() if interests)
            if (
                node is not source
                and node.deliver is not None
                and any(_globs(topic, broadcast.topic) for topic in topics)
            ):
                node.deliver(broadcast)


def _globs(pattern: str, topic: str) -> bool:
    return topic.startswith(pattern[:-1]) if pattern.endswith("*") else topic == pattern


class Folding(Broker):
    """Does not tell upper from lower case."""

    def carry(self, source: Adapter, broadcast: EncodedBroadcast) -> None:
        topic = broadcast.topic.lower()
        for node in self.nodes:
            if node is not source and node.interests[topic] and node.deliver is not None:
                node.deliver(broadcast)


class Changing(Broker):
    """Carries something else than was published, as ``change`` has it."""

    def __init__(self, change: Callable[[EncodedBroadcast], EncodedBroadcast]) -> None:
        super().__init__()
        self._change = change

    def carry(self, source: Adapter, broadcast: EncodedBroadcast) -> None:
        super().carry(source, self._change(broadcast))


def text_only(broadcast: EncodedBroadcast) -> EncodedBroadcast:
    payload = broadcast.payload
    if not isinstance(payload, Raw):
        payload = bytes(payload).decode(errors="replace").encode()
    return EncodedBroadcast(broadcast.topic, broadcast.event, payload)


def json_only(broadcast: EncodedBroadcast) -> EncodedBroadcast:
    return EncodedBroadcast(broadcast.topic, broadcast.event, Raw(bytes(broadcast.payload)))


def written_anew(broadcast: EncodedBroadcast) -> EncodedBroadcast:
    return EncodedBroadcast(broadcast.topic, broadcast.event, encode_term(decode_payload(broadcast.payload)))


def small_only(broadcast: EncodedBroadcast) -> EncodedBroadcast:
    small = len(bytes(broadcast.payload)) < 8000
    return broadcast if small else EncodedBroadcast(broadcast.topic, broadcast.event, Raw(b"{}"))


def short_topics(broadcast: EncodedBroadcast) -> EncodedBroadcast:
    return EncodedBroadcast(broadcast.topic[:63], broadcast.event, broadcast.payload)


def ascii_topics(broadcast: EncodedBroadcast) -> EncodedBroadcast:
    return EncodedBroadcast(broadcast.topic.encode("ascii", "replace").decode(), broadcast.event, broadcast.payload)


class Broken(Adapter):
    """An adapter that knows its broker."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.broker = broker


class Uncounted(Broken):
    """Its interest ends with the first unsubscribe."""

    def unsubscribe(self, topic: str) -> None:
        del self.interests[topic]


class NeverEnding(Broken):
    """Its interests never end."""

    def unsubscribe(self, topic: str) -> None:
        pass


class EndingAll(Broken):
    """With one interest, all end."""

    def unsubscribe(self, topic: str) -> None:
        self.interests.clear()


class SharedInterests(Broken):
    """Interests are those of the cluster and not of the node."""

    shared: Counter[str] = Counter()

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        if not broker.nodes:
            type(self).shared = Counter()
        self.interests = self.shared


class SharedUncounted(SharedInterests):
    """An interest that ends, ends for all."""

    def unsubscribe(self, topic: str) -> None:
        del self.interests[topic]


class Underflow(Broken):
    """Does not know any more what has ended before."""

    async def subscribe(self, topic: str) -> None:
        await super().subscribe(topic)
        if self.asked.count(topic) > 2:
            raise RuntimeError("it has ended")


class Once(Broken):
    """A topic can be subscribed to once in its life."""

    async def subscribe(self, topic: str) -> None:
        if topic not in self.asked:
            await super().subscribe(topic)

    def unsubscribe(self, topic: str) -> None:
        if self.interests[topic]:
            super().unsubscribe(topic)


class LateBroker(Broker):
    """Learns of an interest behind the next publish."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[tuple[Adapter, str]] = []

    def carry(self, source: Adapter, broadcast: EncodedBroadcast) -> None:
        super().carry(source, broadcast)
        for node, topic in self.late:
            node.interests[topic] += 1
        self.late.clear()


class Hasty(Broken):
    """Returns from subscribe before the broker knows of the interest."""

    async def subscribe(self, topic: str) -> None:
        if topic.startswith("phoenix_channels:"):
            await super().subscribe(topic)
        else:
            assert isinstance(self.broker, LateBroker)
            self.broker.late.append((self, topic))


class FirstWaits(Broken):
    """Only the first subscribe to a topic waits for the broker; those beside it return at once."""

    async def subscribe(self, topic: str) -> None:
        if topic in self.asked:
            return
        await super().subscribe(topic)


class OneThread(Broken):
    """Swallows what is published in another thread than its own."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.thread = threading.get_ident()

    def publish(self, broadcast: EncodedBroadcast) -> None:
        if threading.get_ident() == self.thread:
            super().publish(broadcast)


class Refusing(OneThread):
    """Publishes in no other thread than its own."""

    def publish(self, broadcast: EncodedBroadcast) -> None:
        if threading.get_ident() != self.thread:
            raise RuntimeError("not here")
        super().publish(broadcast)


class Forgetful(Broken):
    """Forgets what it is asked to publish and to wait for, unless the contract needs that to come to an end."""

    async def apublish(self, broadcast: EncodedBroadcast) -> None:
        if broadcast.topic.startswith("phoenix_channels:"):
            await super().apublish(broadcast)


class Lingering(Broken):
    """Goes on when it is closed."""

    async def aclose(self) -> None:
        pass


class Contagious(Broken):
    """Takes all nodes along when it is closed."""

    async def aclose(self) -> None:
        self.broker.nodes.clear()


class Unclosable(Broken):
    """Has to be used before it is closed."""

    async def aclose(self) -> None:
        raise RuntimeError("it was never opened")


def cluster(mutant: Any) -> list[PubSub]:
    """Three nodes of a broken broker, of broken adapters, or of a broker that changes what it carries."""
    if not isinstance(mutant, type):
        return _nodes(Changing(mutant))
    if issubclass(mutant, Broker):
        return _nodes(mutant())
    broker = LateBroker()
    made: Any = mutant
    for _ in range(3):
        node: Adapter = made(broker)
        broker.nodes.append(node)
    return list(broker.nodes)


def _nodes(broker: Broker) -> list[PubSub]:
    return [broker.node() for _ in range(3)]
