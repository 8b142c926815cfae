"""A delivery that comes back: from a sink, a ``receive`` or a log handler, to broadcast, push, join or leave.

A sink closes a slow client, or tells that frames were dropped, and whoever listens to that (telemetry, the log) may do
anything.  The order of the calls holds all the same (P-071), and everybody gets everything once.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from msgspec import Raw

from phoenix_channels.protocol.messages import EncodedBroadcast
from phoenix_channels.pubsub import local as module
from tests.pubsub.clients import BINARY, V1, V2, Client, Local

_logger = logging.getLogger("phoenix_channels")


@contextmanager
def listening(emit: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """Have a log handler of the application called with every record of the library."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            emit(record)

    handler = Handler()
    _logger.addHandler(handler)
    try:
        yield
    finally:
        _logger.removeHandler(handler)


# From a sink


def test_a_sink_may_broadcast() -> None:
    local = Local()
    first, second = local.clients(2)
    first.on_write = lambda: local.broadcast("answer")
    local.broadcast("one")
    local.broadcast("two")
    local.loop.rest()
    assert first.got == second.got == ["one", "two", "answer"]


def test_a_sink_may_broadcast_what_is_large() -> None:
    """It is served at once: after what everybody has got, or still gets, of what came before."""
    local = Local()
    clients = local.clients(3)
    clients[1].on_write = local.flood
    local.broadcast("one")
    local.broadcast("two")
    local.loop.rest()
    assert [client.got for client in clients] == [["one", "two", "large", "more"]] * 3


def test_a_sink_may_broadcast_on_another_topic() -> None:
    local = Local()
    client, other, both = local.client("a"), local.client("b"), local.client("a", "b")
    client.on_write = lambda: local.flood("b")
    local.broadcast("a0", "a")
    local.loop.rest()
    assert client.got == ["a0"]
    assert other.got == ["large", "more"]
    assert both.got == ["a0", "large", "more"]


@pytest.mark.parametrize("served_alone", [False, True], ids=["turn", "push"])
def test_a_sink_may_push_to_its_own_client(*, served_alone: bool) -> None:
    """After all that was broadcast before, whatever of it was written when the sink came back."""
    local = Local()
    client, other = local.clients(2)
    client.on_write = lambda: local.push(client, "inner")
    for name in ("one", "two", "three"):
        local.broadcast(name)
    if served_alone:
        local.push(client, "outer")
    local.loop.rest()
    assert client.got == ["one", "two", "three", "inner", *["outer"] * served_alone]
    assert other.got == ["one", "two", "three"]


def test_a_sink_may_broadcast_what_is_large_while_its_client_is_served_alone() -> None:
    local = Local()
    client, other = local.clients(2)
    client.on_write = local.flood
    for name in ("one", "two", "three"):
        local.broadcast(name)
    local.push(client, "push")
    local.loop.rest()
    assert client.got == ["one", "two", "three", "large", "more", "push"]
    assert other.got == ["one", "two", "three", "large", "more"]


def test_a_sink_may_push_to_another_client() -> None:
    local = Local()
    clients = local.clients(3)
    clients[1].on_write = lambda: local.push_to_all((clients[0], clients[2]), "push")
    local.broadcast("one")
    local.broadcast("two")
    local.loop.rest()
    assert [client.got for client in clients] == [["one", "two", "push"], ["one", "two"], ["one", "two", "push"]]


@pytest.mark.parametrize("by", ["turn", "push", "leave", "large"])
def test_a_sink_may_end_the_subscriptions_of_its_client(by: str) -> None:
    """As it does when it closes a slow client: nobody else notices, and no count of anything is wrong afterwards."""
    local, kept, got = Local(), frozenset({"kept"}), list[str]()
    first, second = Client(), Client()
    own = local.join(first, intercepts=kept, receive=lambda broadcast: got.append(f"first {broadcast.event}"))
    local.join(second, intercepts=kept, receive=lambda broadcast: got.append(f"second {broadcast.event}"))
    first.on_write = lambda: local.registry.unsubscribe(own)
    local.broadcast("one")
    local.broadcast("two")
    match by:
        case "push":
            local.push(first, "push")
        case "leave":
            local.registry.unsubscribe(own)
        case "large":
            local.flood()
        case _:
            local.loop.turn()
    assert first.fastlanes == []
    local.broadcast("kept")
    local.broadcast("three")
    local.loop.rest()
    assert first.got[:2] == ["one", "two"]
    assert second.got == ["one", "two", *["large", "more"] * (by == "large"), "three"]
    assert got == ["second kept"]
    local.leave(second)
    assert local.registry.topics == 0


def test_a_sink_may_end_the_subscriptions_of_others() -> None:
    local = Local()
    clients = local.clients(4)

    def end() -> None:
        local.leave(clients[0])
        local.leave(clients[1])
        local.leave(clients[3])

    clients[1].on_write = end
    local.broadcast("one")
    local.broadcast("two")
    local.loop.turn()
    local.broadcast("three")
    local.loop.rest()
    assert [client.got for client in clients] == [
        ["one", "two"],
        ["one", "two"],
        ["one", "two", "three"],
        ["one", "two"],
    ]


def test_nothing_comes_after_the_end_that_a_sink_has_made() -> None:
    """What a leaving client is told last is the last that it hears."""
    local = Local()
    client = local.client("a", "b")

    def end() -> None:
        local.leave(client, "a")
        client.write(V2.encode_end("1", "1", "a", "phx_close", Raw(b"{}")))

    client.on_write = end
    for n, topic in enumerate("aabab"):
        local.broadcast(f"{topic}{n}", topic)
    local.push(client, "push", "b")
    local.broadcast("lost", "a")
    local.broadcast("b5", "b")
    local.loop.rest()
    assert client.got == ["a0", "a1", "b2", "a3", "b4", "phx_close", "push", "b5"]


def test_a_sink_may_join_another_client() -> None:
    local, late = Local(), Client()
    first, second = local.clients(2)

    def join() -> None:
        local.join(late)
        local.broadcast("two")

    first.on_write = join
    local.broadcast("one")
    local.loop.rest()
    assert first.got == second.got == ["one", "two"]
    assert late.got == ["two"]


def test_all_may_leave_while_they_are_served_and_others_come() -> None:
    """With somebody left who is no client."""
    local = Local()
    local.plain()
    first, second = local.clients(2)

    def end() -> None:
        local.broadcast("two")
        local.leave(first)
        local.leave(second)

    first.on_write = end
    local.broadcast("one")
    local.loop.rest()
    late = local.client()
    local.broadcast("three")
    local.loop.rest()
    assert first.got == second.got == ["one", "two"]
    assert late.got == ["three"]


def test_a_topic_may_end_and_begin_again_while_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLICE", 1)
    local, late = Local(), Client()
    first, second = local.clients(2)

    def begin_again() -> None:
        local.leave(first)
        local.leave(second)
        assert local.registry.topics == 0
        local.join(late)
        local.broadcast("two")

    first.on_write = begin_again
    local.broadcast("one")
    local.loop.rest()
    local.broadcast("three")
    local.loop.rest()
    assert first.got == second.got == ["one"]
    assert late.got == ["two", "three"]


def test_many_sinks_that_broadcast_do_not_dig_into_the_stack(caplog: pytest.LogCaptureFixture) -> None:
    """All clients of the topic that shows the log are slow, and each is told about in the log."""
    local = Local()
    clients = local.clients(300)
    for client in clients:
        client.on_write = lambda: local.broadcast("slow")
    local.flood()
    local.loop.rest()
    assert [client.got for client in clients] == [["large", "more"] + ["slow"] * 300] * 300
    assert caplog.records == []


def test_a_sink_that_broadcasts_with_every_write_does_not_hold_up_whoever_broadcasts() -> None:
    """What was there is written at once; what came of it is for later."""
    local = Local()
    client = local.client()
    count = 0

    def again() -> None:
        nonlocal count
        count += 1
        client.on_write = again if count < 500 else None
        local.broadcast("again")

    client.on_write = again
    local.flood()
    assert client.got[:2] == ["large", "more"]
    assert len(client.got) < 10
    assert local.loop.rest() > 1
    assert client.got == ["large", "more", *["again"] * 500]


# From a receive


def test_what_a_receive_broadcasts_comes_after_what_it_was_called_with() -> None:
    local = Local()
    client = local.client()

    def receive(broadcast: EncodedBroadcast) -> None:
        if broadcast.event == "outer":
            local.broadcast("inner")

    local.plain(receive)
    local.broadcast("outer")
    local.loop.rest()
    assert client.got == ["outer", "inner"]


def test_a_receive_may_end_the_client_that_intercepts() -> None:
    """Its mailbox is full, say."""
    local, client = Local(), Client()
    other = local.client()
    subscription = local.join(
        client, intercepts=frozenset({"kept"}), receive=lambda _: local.registry.unsubscribe(subscription)
    )
    local.broadcast("one")
    local.broadcast("kept")
    local.broadcast("two")
    local.loop.rest()
    assert client.got == ["one"]
    assert other.got == ["one", "kept", "two"]


def test_a_receive_may_end_the_last_client() -> None:
    local = Local()
    client = local.client()
    local.plain(lambda _: local.registry.unsubscribe(subscription))
    [subscription] = client.fastlanes
    local.broadcast("one")
    local.broadcast("two")
    local.loop.rest()
    assert client.got == ["one"]
    late = local.client()
    local.broadcast("three")
    local.loop.rest()
    assert late.got == ["three"]


# From a log handler


@pytest.mark.parametrize("served_alone", [False, True], ids=["turn", "push"])
def test_a_log_handler_may_push_to_the_client_that_is_skipped(*, served_alone: bool) -> None:
    local = Local()
    client = local.client(serializer=V1)
    for name, payload in (("one", Raw(b"{}")), ("binary", BINARY), ("two", Raw(b"{}"))):
        local.broadcast(name, payload=payload)
    with listening(lambda _: local.push(client, "logged")):
        if served_alone:
            local.push(client, "outer")
        local.loop.rest()
    assert client.got == ["one", "two", "logged", *["outer"] * served_alone]
    assert local.registry.skipped == 1


def test_a_log_handler_may_push_to_all_clients_that_are_skipped(caplog: pytest.LogCaptureFixture) -> None:
    """There is one line for all of them."""
    local = Local()
    clients = [local.client(serializer=V1) for _ in range(500)]
    local.broadcast("one")
    local.broadcast("binary", payload=BINARY)
    with listening(lambda _: local.push_to_all(clients, "logged")):
        local.loop.rest()
    assert [client.got for client in clients] == [["one", "logged"]] * 500
    assert len(caplog.records) == 1
    assert local.registry.skipped == 500


@pytest.mark.parametrize("much", [False, True], ids=["little", "much"])
def test_a_log_handler_may_broadcast(*, much: bool) -> None:
    local = Local()
    old, new = [local.client(serializer=V1) for _ in range(3)], local.clients(3)
    local.broadcast("one")
    local.broadcast("binary", payload=BINARY)
    logged = ["large", "more"] if much else ["logged"]
    with listening(lambda _: local.flood() if much else local.broadcast("logged")):
        local.loop.rest()
    assert [client.got for client in old] == [["one", *logged]] * 3
    assert [client.got for client in new] == [["one", "binary", *logged]] * 3
    assert local.registry.skipped == 3


def test_a_log_handler_may_end_the_client_that_is_skipped() -> None:
    local = Local()
    client, other = Client(V1), Client(V1)
    own = local.join(client)
    local.join(other)
    local.broadcast("binary", payload=BINARY)
    local.broadcast("one")
    with listening(lambda _: local.registry.unsubscribe(own)):
        local.loop.rest()
    local.broadcast("two")
    local.loop.rest()
    assert client.got == ["one"]
    assert other.got == ["one", "two"]
