"""Who gets a broadcast within one process, and how often it is encoded (P-073, P-077)."""

import logging
from typing import Any

import pytest
from msgspec import Raw

from phoenix_channels.protocol.messages import EncodedBroadcast, Frame, Payload
from phoenix_channels.protocol.serializers import Serializer, V1JSONSerializer, V2JSONSerializer
from phoenix_channels.pubsub.local import LocalPubSub, Registry, Subscription

EVENT = EncodedBroadcast("topic", "event", Raw(b'{"n":1}'))
BINARY = EncodedBroadcast("topic", "event", b"\x00")


class CountingSerializer:
    """A serializer that knows how often it was asked for a broadcast."""

    def __init__(self, serializer: Serializer) -> None:
        self._serializer = serializer
        self.count = 0

    def encode_broadcast(self, topic: str, event: str, payload: Payload) -> Frame:
        self.count += 1
        return self._serializer.encode_broadcast(topic, event, payload)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._serializer, name)


class Subscribers:
    """A registry with clients and plain subscribers, and what each has got."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.got: dict[str, list[object]] = {}

    def plain(self, name: str, topic: str = "topic") -> Subscription:
        got = self.got.setdefault(name, [])
        subscription = Subscription(topic, got.append, owner=name)
        self.registry.subscribe(subscription)
        return subscription

    def client(self, name: str, serializer: Any, *, intercepts: frozenset[str] = frozenset()) -> Subscription:
        got = self.got.setdefault(name, [])
        subscription = Subscription(
            "topic", lambda broadcast: got.append(("intercepted", broadcast)),
            fastlane=(serializer, got.append), intercepts=intercepts, owner=name,
        )  # fmt: skip
        self.registry.subscribe(subscription)
        return subscription


def test_each_subscriber_of_the_topic_gets_it() -> None:
    subscribers = Subscribers()
    subscribers.plain("a")
    subscribers.plain("b")
    subscribers.plain("c", topic="other")
    subscribers.registry.dispatch(EVENT)
    assert subscribers.got == {"a": [EVENT], "b": [EVENT], "c": []}
    assert subscribers.registry.topics == 2


@pytest.mark.feature("C10")
def test_a_broadcast_is_encoded_once_per_serializer_and_all_share_the_frame() -> None:
    v1, v2 = CountingSerializer(V1JSONSerializer()), CountingSerializer(V2JSONSerializer())
    subscribers = Subscribers()
    for n in range(100):
        subscribers.client(f"v1 {n}", v1)
        subscribers.client(f"v2 {n}", v2)
    subscribers.registry.dispatch(EVENT)
    subscribers.registry.dispatch(BINARY)
    assert (v1.count, v2.count) == (2, 2)
    frames = {id(got[0]) for got in subscribers.got.values()}
    assert len(frames) == 2


@pytest.mark.feature("C10")
def test_nothing_is_encoded_when_no_client_wants_a_frame() -> None:
    v2 = CountingSerializer(V2JSONSerializer())
    subscribers = Subscribers()
    subscribers.registry.dispatch(EVENT)
    subscribers.plain("plain")
    client = subscribers.client("intercepts", v2, intercepts=frozenset({"event"}))
    subscribers.registry.dispatch(EVENT)
    subscribers.registry.unsubscribe(client)
    subscribers.registry.dispatch(EVENT)
    subscribers.client("left out", v2)
    subscribers.registry.dispatch(EVENT, "left out")
    assert v2.count == 0
    assert subscribers.got["intercepts"] == [("intercepted", EVENT)]
    assert subscribers.got["left out"] == []


def test_one_subscriber_may_be_left_out_with_all_that_it_has() -> None:
    subscribers = Subscribers()
    for name in ("first", "second", "first"):
        subscribers.plain(name)
    subscribers.registry.subscribe(Subscription("topic", subscribers.got.setdefault("nobody's", []).append))
    subscribers.registry.dispatch(EVENT, "first")
    subscribers.registry.dispatch(EVENT, "somebody else")
    assert subscribers.got == {"first": [EVENT, EVENT], "second": [EVENT, EVENT], "nobody's": [EVENT, EVENT]}


def test_a_delivery_that_fails_keeps_nothing_from_those_behind(caplog: pytest.LogCaptureFixture) -> None:
    subscribers = Subscribers()

    def fail(_: EncodedBroadcast) -> None:
        raise RuntimeError("boom")

    subscribers.registry.subscribe(Subscription("topic", fail))
    subscribers.plain("behind")
    subscribers.registry.dispatch(EVENT)
    assert subscribers.got["behind"] == [EVENT]
    assert "boom" in caplog.text


def test_binary_payloads_skip_clients_of_version_1(caplog: pytest.LogCaptureFixture) -> None:
    """P-045, deviation 6: one old client does not break a broadcast for everybody else."""
    subscribers, v1, v2 = Subscribers(), V1JSONSerializer(), V2JSONSerializer()
    for n in range(3):
        subscribers.client(f"old {n}", v1)
    subscribers.client("new", v2)
    subscribers.plain("plain")
    subscribers.registry.dispatch(BINARY)
    assert subscribers.registry.skipped == 3
    assert [len(got) for got in subscribers.got.values()] == [0, 0, 0, 1, 1]
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING


def test_a_delivery_may_end_and_begin_subscriptions() -> None:
    """A slow client is closed in the middle of a fan-out; nobody else notices."""
    registry, got = Registry(), list[str]()

    def receive_first(_: EncodedBroadcast) -> None:
        got.append("first")
        registry.unsubscribe(first)
        registry.subscribe(third)

    first = Subscription("topic", receive_first)
    second = Subscription("topic", lambda _: got.append("second"))
    third = Subscription("topic", lambda _: got.append("third"))
    registry.subscribe(first)
    registry.subscribe(second)
    registry.dispatch(EVENT)
    assert got == ["first", "second"]
    registry.dispatch(EVENT)
    assert got == ["first", "second", "second", "third"]


def test_unsubscribing_twice_is_harmless_and_an_empty_topic_is_forgotten() -> None:
    subscribers = Subscribers()
    first, second = subscribers.plain("first"), subscribers.plain("second")
    subscribers.registry.unsubscribe(first)
    subscribers.registry.unsubscribe(first)
    assert subscribers.registry.topics == 1
    subscribers.registry.unsubscribe(second)
    subscribers.registry.unsubscribe(second)
    assert subscribers.registry.topics == 0


async def test_within_one_process_there_is_nothing_to_carry() -> None:
    delivered: list[EncodedBroadcast] = []
    pubsub = LocalPubSub()
    pubsub.attach(delivered.append)
    await pubsub.subscribe("topic")
    pubsub.publish(EVENT)
    await pubsub.apublish(EVENT)
    pubsub.unsubscribe("topic")
    await pubsub.aclose()
    assert delivered == []
