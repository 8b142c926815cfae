"""What an adapter of pub/sub has to do, rule by rule."""

from __future__ import annotations

import string
from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar, Final

import anyio
import pytest
from anyio import to_thread
from msgspec import Raw

from phoenix_channels.protocol.messages import EncodedBroadcast
from phoenix_channels.pubsub.base import PubSub
from phoenix_channels.testing.pubsub.node import Node, check, check_none

TOPICS: Final = {
    "short": "a",
    "unicode": "räume:☃ 𝄞",
    "spaces": " a b\tc ",
    "line break": "a\nb\r\n",
    "null": "a\0b",
    "quotes": "a'b\"c`d\\e",
    "wildcards": "a.*.>.#.?.[a].%",
    "long": "x" * 1000,
    "long and unicode": "☃" * 300,
    "punctuation": string.punctuation,
}
"""Topics that a broker may have opinions about; clients choose them."""
PAYLOADS: Final = {
    "empty object": Raw(b"{}"),
    "unicode": Raw('{"ä":"☃ 𝄞 \\u0000 \\ud834\\udd1e"}'.encode()),
    "as it was written": Raw(b'{"n": 1.0, "big": 123456789012345678901234567890, "n": 2}'),
    "large": Raw(b'{"x":"' + b"x" * 300_000 + b'"}'),
    "bytes": bytes(range(256)) * 3,
    "no bytes": b"",
    "large bytes": b"\0\xff" * 150_000,
    "bytes that look like JSON": b"{}",
}
"""Payloads, which arrive as they are: JSON as the same JSON, bytes as bytes."""
_ROUNDS: Final = 100
"""Broadcasts in which the end of an interest has to reach the broker."""


@pytest.mark.anyio
class PubSubContract:
    """What holds for every adapter, also one that knows no other nodes."""

    patience: ClassVar[float] = 5.0
    """Seconds within which a broker delivers."""
    cluster_size: ClassVar[int] = 1
    """How many adapters ``pubsubs`` has to give."""

    @pytest.fixture
    async def pubsubs(self) -> Sequence[PubSub]:
        """``cluster_size`` adapters, which nothing is attached to yet; to be overridden.

        The contract closes them; a fixture that yields them may do more behind that.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has to override the fixture pubsubs")

    @pytest.fixture
    async def nodes(self, pubsubs: Sequence[PubSub]) -> AsyncGenerator[list[Node]]:
        """The nodes of the cluster."""
        check(
            len(pubsubs) == self.cluster_size,
            f"{type(self).__qualname__}.pubsubs gives {self.cluster_size} adapters, not {len(pubsubs)}",
        )
        nodes = [Node(pubsub, self.patience) for pubsub in pubsubs]
        yield nodes
        for node in nodes:
            await node.close()

    async def test_what_a_node_publishes_does_not_come_back_to_it(self, nodes: list[Node]) -> None:
        node = nodes[0]
        await node.pubsub.subscribe("room:1")
        node.publish("room:1")
        await node.apublish("room:1")
        await node.close()
        check_none(node.delivered, "a node delivers its own broadcasts itself")

    async def test_interests_may_be_added_and_ended_again_and_again(self, nodes: list[Node]) -> None:
        pubsub = nodes[0].pubsub
        for _ in range(3):
            await pubsub.subscribe("room:1")
            await pubsub.subscribe("room:1")
            pubsub.unsubscribe("room:1")
            pubsub.unsubscribe("room:1")

    async def test_threads_may_publish(self, nodes: list[Node]) -> None:
        await to_thread.run_sync(nodes[0].publish, "room:1")

    async def test_an_adapter_that_was_not_used_can_be_closed(self, nodes: list[Node]) -> None:
        await nodes[0].close()


class ClusterContract(PubSubContract):
    """What holds between nodes."""

    cluster_size = 3

    # Who gets it

    async def test_every_other_node_with_an_interest_gets_it_once(self, nodes: list[Node]) -> None:
        publisher, *others = nodes
        for node in others:
            await node.pubsub.subscribe("room:1")
        published = publisher.publish("room:1", "news", {"n": 1})
        for node in others:
            await node.receive_exactly(published)
            check_none(await node.receive_all(publisher), "it was delivered before")

    async def test_a_node_without_an_interest_gets_nothing(self, nodes: list[Node]) -> None:
        publisher, interested, other = nodes
        await interested.pubsub.subscribe("room:1")
        await other.pubsub.subscribe("room:2")
        published = publisher.publish("room:1")
        await interested.receive_exactly(published)
        check_none(await other.receive_all(publisher), "the node has no interest in its topic")

    async def test_the_publisher_does_not_get_it_though_it_has_an_interest(self, nodes: list[Node]) -> None:
        publisher, other, _ = nodes
        await publisher.pubsub.subscribe("room:1")
        await other.pubsub.subscribe("room:1")
        await other.receive_exactly(publisher.publish("room:1", "question"))
        # By now the broker has delivered the question, to whomever.
        await publisher.receive_exactly(other.publish("room:1", "answer"))
        check_none(await publisher.receive_all(other), "it was published before, or by the node itself")

    async def test_a_topic_is_no_pattern(self, nodes: list[Node]) -> None:
        publisher, node, _ = nodes
        for topic in ("room:*", "room:1", "room.>", "room%", "?"):
            await node.pubsub.subscribe(topic)
        for topic in ("room:10", "room:2", "Room:1", "room:1 ", "room.a", "room", "a", ""):
            publisher.publish(topic)
        check_none(await node.receive_all(publisher), "its topic is another")
        await node.receive_exactly(publisher.publish("room:*"))

    # Interests

    async def test_what_is_published_behind_a_subscribe_is_delivered(self, nodes: list[Node]) -> None:
        publisher, node, _ = nodes
        for number in range(20):
            await node.pubsub.subscribe(f"room:{number}")
            await node.receive_exactly(publisher.publish(f"room:{number}"))

    async def test_what_was_published_before_a_subscribe_is_not_delivered(self, nodes: list[Node]) -> None:
        publisher, node, other = nodes
        await other.pubsub.subscribe("room:1")
        await other.receive_exactly(publisher.publish("room:1", "early"))
        await node.pubsub.subscribe("room:1")
        await node.receive_exactly(publisher.publish("room:1", "late"))

    async def test_interests_are_counted_and_deliveries_are_not(self, nodes: list[Node]) -> None:
        publisher, node, _ = nodes
        await node.pubsub.subscribe("room:1")
        await node.pubsub.subscribe("room:1")
        await node.receive_exactly(publisher.publish("room:1", "two interests"))
        check_none(await node.receive_all(publisher), "several interests of a node are one delivery")
        node.pubsub.unsubscribe("room:1")
        await node.receive_exactly(publisher.publish("room:1", "one interest"))

    async def test_behind_the_last_interest_deliveries_end(self, nodes: list[Node]) -> None:
        publisher, node, other = nodes
        for _ in range(2):
            await node.pubsub.subscribe("room:1")
        await node.pubsub.subscribe("room:2")
        await other.pubsub.subscribe("room:1")
        for _ in range(2):
            node.pubsub.unsubscribe("room:1")
        # The broker may learn of it later.
        for _ in range(_ROUNDS):
            await other.receive_exactly(publisher.publish("room:1"))
            if not await node.receive_all(publisher):
                break
        else:
            check(False, f"{_ROUNDS} broadcasts later a node still gets what it has no interest in any more")
        await node.receive_exactly(publisher.publish("room:2", "of another interest"))

    async def test_an_interest_may_begin_anew(self, nodes: list[Node]) -> None:
        publisher, node, _ = nodes
        for number in range(20):
            await node.pubsub.subscribe("room:1")
            await node.receive_exactly(publisher.publish("room:1", f"{number}"))
            node.pubsub.unsubscribe("room:1")

    async def test_an_interest_that_ends_does_not_take_a_new_one_along(self, nodes: list[Node]) -> None:
        publisher, node, _ = nodes
        await node.pubsub.subscribe("room:1")
        for number in range(20):
            node.pubsub.unsubscribe("room:1")
            await node.pubsub.subscribe("room:1")
            await node.receive_exactly(publisher.publish("room:1", f"{number}"))

    async def test_every_subscribe_waits_also_beside_others(self, nodes: list[Node]) -> None:
        publisher, node, _ = nodes
        returned: list[EncodedBroadcast] = []

        async def subscribe() -> None:
            await node.pubsub.subscribe("room:1")
            returned.append(publisher.publish("room:1", f"{len(returned)}"))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(subscribe)
        await node.receive_exactly(*returned)

    async def test_nodes_have_interests_of_their_own(self, nodes: list[Node]) -> None:
        publisher, one, two = nodes
        await one.pubsub.subscribe("room:1")
        await two.pubsub.subscribe("room:1")
        one.pubsub.unsubscribe("room:1")
        await two.receive_exactly(publisher.publish("room:1"))

    # Order

    async def test_what_a_node_publishes_keeps_its_order(self, nodes: list[Node]) -> None:
        publisher, *others = nodes
        for node in others:
            for topic in ("room:1", "room:2"):
                await node.pubsub.subscribe(topic)
        published: list[EncodedBroadcast] = []
        for number in range(100):
            topic, payload = f"room:{number % 3 % 2 + 1}", Raw(b'{"x":"' + b"x" * (number % 7 * 1000) + b'"}')
            if number % 10 == 9:
                published.append(await publisher.apublish(topic, f"{number}", payload))
            else:
                published.append(publisher.publish(topic, f"{number}", payload))
        for node in others:
            await node.receive_exactly(*published)

    async def test_what_two_nodes_publish_keeps_the_order_of_each(self, nodes: list[Node]) -> None:
        one, two, node = nodes
        await node.pubsub.subscribe("room:1")
        for number in range(50):
            one.publish("room:1", f"one {number:02}")
            two.publish("room:1", f"two {number:02}")
        received = [(await node.receive(f"broadcast {number} of 100")).event for number in range(100)]
        for name in ("one", "two"):
            check(
                [event for event in received if event.startswith(name)] == [f"{name} {n:02}" for n in range(50)],
                f"out of order, or not once each: {received}",
            )

    async def test_threads_publish_side_by_side_each_in_its_order(self, nodes: list[Node]) -> None:
        publisher, node, _ = nodes
        await node.pubsub.subscribe("room:1")

        def publish(name: str) -> None:
            for number in range(25):
                publisher.publish("room:1", f"{name} {number:02}")

        async with anyio.create_task_group() as threads:
            for name in "abcd":
                threads.start_soon(to_thread.run_sync, publish, name)
        received = [(await node.receive(f"broadcast {number} of 100")).event for number in range(100)]
        for name in "abcd":
            check(
                [event for event in received if event.startswith(name)] == [f"{name} {n:02}" for n in range(25)],
                f"out of order, or not once each: {received}",
            )
        check_none(await node.receive_all(publisher), "it was delivered before")

    async def test_what_the_broker_has_accepted_is_delivered(self, nodes: list[Node]) -> None:
        publisher, node, _ = nodes
        await node.pubsub.subscribe("room:1")
        await node.receive_exactly(await publisher.apublish("room:1", "accepted", {"n": 1}))

    # What is carried

    @pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
    async def test_every_topic_is_carried(self, nodes: list[Node], topic: str) -> None:
        publisher, node, _ = nodes
        await node.pubsub.subscribe(topic)
        await node.receive_exactly(publisher.publish(topic, f"event on {topic}", {"topic": topic}))
        node.pubsub.unsubscribe(topic)

    @pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
    async def test_every_payload_arrives_as_it_is(self, nodes: list[Node], payload: Raw | bytes) -> None:
        publisher, node, _ = nodes
        await node.pubsub.subscribe("room:1")
        published = EncodedBroadcast("room:1", "event", payload)
        publisher.pubsub.publish(published)
        await publisher.pubsub.apublish(published)
        await node.receive_exactly(published, published)

    # The end

    async def test_behind_its_end_a_node_gets_nothing_and_the_others_go_on(self, nodes: list[Node]) -> None:
        publisher, node, other = nodes
        for each in (node, other):
            await each.pubsub.subscribe("room:1")
        first = publisher.publish("room:1", "first")
        for each in (node, other):
            await each.receive_exactly(first)
        await node.close()
        await other.receive_exactly(publisher.publish("room:1", "last"))
        check_none(node.delivered[1:], "the adapter was closed before")
