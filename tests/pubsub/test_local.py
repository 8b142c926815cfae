"""Who gets a broadcast within one process, and how often it is encoded (P-073, P-077)."""

import logging
from typing import Any

import pytest
from msgspec import Raw

from phoenix_channels.protocol.messages import EncodedBroadcast, Frame, Opcode, Payload
from phoenix_channels.protocol.serializers import Serializer
from phoenix_channels.pubsub.local import LocalPubSub
from phoenix_channels.pubsub.subscription import Receiver, Subscription
from tests.pubsub.clients import BINARY, V1, V2, Client, Local

EVENT = EncodedBroadcast("topic", "event", Raw(b'{"n":1}'))


class CountingSerializer:
    """A serializer that knows how often it was asked for a broadcast; perhaps not even hashable."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, serializer: Serializer) -> None:
        self._serializer = serializer
        self.count = 0

    def __eq__(self, other: object) -> bool:
        # Two versions must not be taken for one by those who compare.
        return True

    def encode_broadcast(self, topic: str, event: str, payload: Payload) -> Frame:
        self.count += 1
        return self._serializer.encode_broadcast(topic, event, payload)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._serializer, name)


def noting(got: list[str], name: str) -> Receiver:
    """A ``receive`` that notes down whose it is."""
    return lambda _: got.append(name)


def test_each_subscriber_of_the_topic_gets_it() -> None:
    local, here, elsewhere = Local(), list[object](), list[object]()
    local.plain(here.append)
    local.plain(here.append)
    local.plain(elsewhere.append, "other")
    # Who is no client does not wait for the turn of the loop.
    local.registry.dispatch(EVENT)
    assert here == [EVENT, EVENT]
    assert elsewhere == []
    assert local.registry.topics == 2
    assert len(local.loop) == 0


def test_a_broadcast_that_nobody_wants_costs_nothing() -> None:
    local = Local()
    client = local.client()
    local.broadcast("event", "other")
    assert len(local.loop) == 0
    assert local.registry.topics == 1
    assert client.writes == []


@pytest.mark.feature("C10")
def test_a_broadcast_is_encoded_once_per_serializer_and_all_share_the_frame() -> None:
    v1, v2 = CountingSerializer(V1), CountingSerializer(V2)
    local = Local()
    clients = [local.client(serializer=serializer) for _ in range(100) for serializer in (v1, v2)]
    local.broadcast("event")
    local.loop.turn()
    local.broadcast("event", payload=BINARY)
    local.loop.turn()
    assert (v1.count, v2.count) == (2, 2)
    assert len({id(client.writes[0][0]) for client in clients}) == 2
    assert {len(client.writes) for client in clients[::2]} == {1}
    assert {len(client.writes) for client in clients[1::2]} == {2}


def test_a_frame_knows_what_it_says() -> None:
    """For the policies of slow clients."""
    local = Local()
    client = local.client()
    local.registry.dispatch(EVENT)
    local.loop.turn()
    [(frame, source)] = client.writes
    assert isinstance(frame, Frame)
    assert frame.message is EVENT
    assert source is client.fastlanes[0]


@pytest.mark.feature("C10")
def test_nothing_is_encoded_when_no_client_wants_a_frame() -> None:
    v2, local, got = CountingSerializer(V2), Local(), list[object]()
    local.registry.dispatch(EVENT)
    local.plain(got.append)
    intercepting = Client(v2)
    subscription = local.join(intercepting, intercepts=frozenset({"event"}), receive=got.append)
    local.registry.dispatch(EVENT)
    local.loop.turn()
    local.registry.unsubscribe(subscription)
    local.registry.dispatch(EVENT)
    left_out = local.client(serializer=v2)
    local.registry.dispatch(EVENT, left_out)
    local.loop.turn()
    assert v2.count == 0
    assert got == [EVENT] * 4
    assert intercepting.writes == left_out.writes == []


def test_one_subscriber_may_be_left_out_with_all_that_it_has() -> None:
    local, first, second = Local(), Client(), Client()
    got: list[str] = []
    for client in (first, second, first):
        local.join(client)
    for name in ("first", "second", "first", None):
        local.registry.subscribe(Subscription("topic", noting(got, str(name)), owner=name))
    local.broadcast("one", exclude="first")
    assert got == ["second", "None"]
    local.broadcast("two", exclude=first)
    assert got[2:] == ["first", "second", "first", "None"]
    local.broadcast("three", exclude="somebody else")
    local.loop.turn()
    assert first.got == ["one", "one", "three", "three"]
    assert second.got == ["one", "two", "three"]


def test_who_is_left_out_gets_no_intercepted_broadcast_either() -> None:
    local, got = Local(), list[str]()
    for name in ("first", "second"):
        local.join(Client(), owner=name, intercepts=frozenset({"event"}), receive=noting(got, name))
    local.broadcast("event", exclude="first")
    assert got == ["second"]


def test_an_event_is_intercepted_only_where_the_class_says_so() -> None:
    """P-073, P-076: of one topic some may intercept and some not, and each may end."""
    local, kept, other = Local(), frozenset({"event"}), frozenset({"other"})
    clients = [Client() for _ in range(4)]
    got: list[list[object]] = [[] for _ in clients]
    subscriptions = [
        local.join(client, intercepts=intercepts, receive=received.append)
        for client, intercepts, received in zip(clients, (kept, kept, other, frozenset[str]()), got, strict=True)
    ]
    for subscription in subscriptions[:3]:
        local.registry.dispatch(EVENT)
        local.loop.turn()
        local.registry.unsubscribe(subscription)
    local.registry.dispatch(EVENT)
    local.loop.turn()
    assert got == [[EVENT], [EVENT, EVENT], [], []]
    assert [client.got for client in clients] == [[], [], ["event"] * 3, ["event"] * 4]


def test_a_delivery_that_fails_keeps_nothing_from_those_behind(caplog: pytest.LogCaptureFixture) -> None:
    local, got = Local(), list[object]()

    def fail(_: EncodedBroadcast) -> None:
        raise RuntimeError("boom")

    local.plain(fail)
    local.plain(got.append)
    client = local.client()
    local.registry.dispatch(EVENT)
    local.loop.turn()
    assert got == [EVENT]
    assert client.got == ["event"]
    assert "boom" in caplog.text


def test_a_sink_that_fails_keeps_nothing_from_those_behind(caplog: pytest.LogCaptureFixture) -> None:
    local = Local()

    def fail() -> None:
        raise RuntimeError("boom")

    first, second = local.client(on_write=fail), local.client()
    local.broadcast("one")
    local.loop.turn()
    assert second.got == ["one"]
    # Also where it is served for itself, with more to come.
    first.on_write = fail
    local.broadcast("two")
    local.broadcast("three")
    local.registry.catch_up(first)
    assert first.got == ["one", "two", "three"]
    local.loop.turn()
    assert second.got == ["one", "two", "three"]
    assert len(caplog.records) == 2


def test_binary_payloads_skip_clients_of_version_1(caplog: pytest.LogCaptureFixture) -> None:
    """P-045, deviation 6: one old client does not break a broadcast for everybody else."""
    local, got = Local(), list[object]()
    old, new = [local.client(serializer=V1) for _ in range(3)], local.client()
    local.plain(got.append)
    local.broadcast("event", payload=BINARY)
    local.loop.turn()
    assert local.registry.skipped == 3
    assert [client.got for client in (*old, new)] == [[], [], [], ["event"]]
    assert len(got) == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_of_several_broadcasts_only_those_without_a_form_are_skipped() -> None:
    """Each is counted for each client that would have got it, once, whichever way it goes."""
    local = Local()
    old = [local.client(serializer=V1) for _ in range(3)]
    new = local.client()
    local.broadcast("text 1")
    local.broadcast("binary", payload=BINARY)
    local.broadcast("binary, not for the first", payload=BINARY, exclude=old[0])
    local.broadcast("text 2")
    # One is served ahead of the others.
    local.push(old[1], "push")
    assert local.registry.skipped == 2
    local.loop.turn()
    assert local.registry.skipped == 5
    assert new.got == ["text 1", "binary", "binary, not for the first", "text 2"]
    assert [client.got for client in old] == [
        ["text 1", "text 2"],
        ["text 1", "text 2", "push"],
        ["text 1", "text 2"],
    ]


def test_a_client_is_not_bothered_when_nothing_has_a_form_for_it() -> None:
    local = Local()
    clients = [local.client(serializer=V1) for _ in range(2)]
    for _ in range(2):
        local.broadcast("binary", payload=BINARY)
    local.push(clients[0], "push")
    local.loop.turn()
    assert local.registry.skipped == 4
    assert [client.turns for client in clients] == [[["push"]], []]


class Failing:
    """A serializer with a bug."""

    def __init__(self, frame: Any = None) -> None:
        self.frame = frame

    def encode_broadcast(self, topic: str, event: str, payload: Payload) -> Any:
        if event != "two":
            return V2.encode_broadcast(topic, event, payload)
        if self.frame is None:
            raise RuntimeError("boom")
        return self.frame


@pytest.mark.parametrize("frame", [None, Frame(Opcode.TEXT, "text" * 100), b"bytes"], ids=["raises", "text", "bytes"])  # type: ignore[arg-type]
@pytest.mark.parametrize("by", ["turn", "push", "leave"])
def test_a_serializer_that_fails_costs_its_own_clients_one_broadcast(
    frame: Any, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a matter of the application's, and no reason to end what happens to write."""
    local = Local()
    client, other = local.client(serializer=Failing(frame)), local.client()
    for name in ("one", "two", "three"):
        local.broadcast(name)
    match by:
        case "push":
            local.registry.catch_up(client)
        case "leave":
            local.leave(client)
        case _:
            local.loop.turn()
    local.loop.rest()
    assert client.got == ["one", "three"]
    assert other.got == ["one", "two", "three"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_delivery_may_end_and_begin_subscriptions() -> None:
    """Nobody else notices."""
    local, got = Local(), list[str]()

    def receive_first(_: EncodedBroadcast) -> None:
        got.append("first")
        local.registry.unsubscribe(first)
        local.plain(lambda _: got.append("third"))

    first = local.plain(receive_first)
    local.plain(lambda _: got.append("second"))
    local.broadcast("event")
    assert got == ["first", "second"]
    local.broadcast("event")
    assert got == ["first", "second", "second", "third"]


def test_unsubscribing_twice_is_harmless_and_an_empty_topic_is_forgotten() -> None:
    local = Local()
    every = [local.plain(), local.join(Client(), intercepts=frozenset({"event"})), local.join(Client())]
    for count, subscription in zip((1, 1, 0), every, strict=True):
        local.registry.unsubscribe(subscription)
        local.registry.unsubscribe(subscription)
        assert local.registry.topics == count


def test_a_subscription_that_has_ended_may_begin_again() -> None:
    local, client = Local(), Client()
    subscription = local.join(client, intercepts=frozenset({"other"}))
    for name in ("one", "two"):
        local.registry.unsubscribe(subscription)
        local.broadcast("lost")
        local.registry.subscribe(subscription)
        local.broadcast(name)
        local.loop.turn()
    assert client.got == ["one", "two"]


def test_two_subscriptions_of_one_client_are_two_deliveries() -> None:
    """P-077: also to the same topic."""
    local, client = Local(), Client()
    local.join(client)
    second = local.join(client)
    local.broadcast("one")
    local.broadcast("two")
    local.push(client, "push")
    assert client.got == ["one", "one", "two", "two", "push"]
    local.broadcast("three")
    local.loop.turn()
    local.registry.unsubscribe(second)
    local.broadcast("four")
    local.loop.turn()
    assert client.got[5:] == ["three", "three", "four"]


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
