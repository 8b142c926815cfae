"""What one client gets from several topics, and with what is written to it directly: the order of the calls (P-071)."""

import itertools

import pytest

from phoenix_channels.pubsub import local as module
from tests.pubsub.clients import BINARY, V1, Client, Local

TOPICS = ("a", "b", "c")


@pytest.mark.parametrize("order", list(itertools.product("ab", repeat=4)), ids="".join)
@pytest.mark.parametrize("pushed", [False, True], ids=["turn", "push"])
def test_several_topics_are_merged_by_the_order_of_the_calls(order: tuple[str, ...], *, pushed: bool) -> None:
    local = Local()
    both, [only_a], [only_b] = local.client("b", "a"), local.clients(1, "a"), local.clients(1, "b")
    for n, topic in enumerate(order):
        local.broadcast(f"{topic}{n}", topic)
    expected = [f"{topic}{n}" for n, topic in enumerate(order)]
    if pushed:
        local.push(both, "push")
        assert both.got == [*expected, "push"]
    local.loop.rest()
    assert both.got == ([*expected, "push"] if pushed else expected)
    assert only_a.got == [name for name in expected if name[0] == "a"]
    assert only_b.got == [name for name in expected if name[0] == "b"]


def test_a_direct_write_comes_after_every_broadcast_made_before_it_and_costs_the_others_nothing() -> None:
    local = Local()
    client, other = local.clients(2)
    local.broadcast("one")
    local.push(client, "push 1")
    local.push(client, "push 2")
    local.broadcast("two")
    local.broadcast("three")
    local.push(client, "push 3")
    assert client.got == ["one", "push 1", "push 2", "two", "three", "push 3"]
    assert other.writes == []
    local.loop.turn()
    assert client.got == ["one", "push 1", "push 2", "two", "three", "push 3"]
    assert other.turns == [["one", "two", "three"]]


def test_what_one_was_written_ahead_of_the_others_is_not_written_again() -> None:
    local = Local()
    client, other = local.clients(2)
    for name in ("one", "two"):
        local.broadcast(name)
        local.push(client, "push")
    local.broadcast("three")
    local.loop.turn()
    assert client.got == ["one", "push", "two", "push", "three"]
    assert other.turns == [["one", "two", "three"]]


def test_catching_up_with_nothing_writes_nothing() -> None:
    local = Local()
    client, other = local.client(), local.client("other")
    local.registry.catch_up(client)
    local.broadcast("event", "other")
    local.registry.catch_up(client)
    assert client.writes == other.writes == []
    local.loop.turn()
    local.registry.catch_up(other)
    assert other.got == ["event"]


def test_leaving_one_topic_writes_what_came_before_on_all_of_them() -> None:
    """What then says that the topic is over must not overtake another topic's broadcast either."""
    local = Local()
    client = local.client(*TOPICS)
    for n, topic in enumerate("abcba"):
        local.broadcast(f"{topic}{n}", topic)
    local.leave(client, "b")
    assert client.got == ["a0", "b1", "c2", "b3", "a4"]
    local.broadcast("lost", "b")
    local.broadcast("a5", "a")
    local.loop.rest()
    assert client.got == ["a0", "b1", "c2", "b3", "a4", "a5"]


def test_a_new_topic_of_a_client_begins_where_it_joins() -> None:
    local = Local()
    client, other = local.client("a"), local.client("b")
    local.broadcast("b0", "b")
    local.broadcast("a1", "a")
    local.join(client, "b")
    local.broadcast("b2", "b")
    local.broadcast("a3", "a")
    local.loop.rest()
    assert client.got == ["a1", "b2", "a3"]
    assert other.got == ["b0", "b2"]


def test_leaving_and_joining_again_within_a_turn() -> None:
    local = Local()
    client, other = local.clients(2)
    local.broadcast("before")
    local.leave(client)
    local.broadcast("between")
    local.join(client)
    local.broadcast("after")
    local.loop.turn()
    assert client.got == ["before", "after"]
    assert other.got == ["before", "between", "after"]


def test_a_topic_that_ends_and_begins_again_within_a_turn() -> None:
    local, client = Local(), Client()
    for n in range(3):
        local.join(client)
        local.broadcast(f"in {n}")
        local.leave(client)
        local.broadcast(f"lost {n}")
    local.join(client)
    local.broadcast("last")
    local.loop.rest()
    assert client.got == ["in 0", "in 1", "in 2", "last"]


def test_who_is_left_out_and_what_is_intercepted_also_when_several_topics_are_merged() -> None:
    local, client, got = Local(), Client(), list[str]()
    in_a, in_b = (
        local.join(
            client,
            topic,
            owner=object(),
            intercepts=frozenset({f"kept in {topic}"}),
            receive=lambda broadcast: got.append(broadcast.event),
        )
        for topic in ("a", "b")
    )
    local.broadcast("1", "a", exclude=in_b.owner)
    local.broadcast("2", "a", exclude=in_a.owner)
    local.broadcast("kept in a", "b")
    local.broadcast("kept in a", "a")
    local.broadcast("3", "b", exclude=in_a.owner)
    local.broadcast("4", "b", exclude=in_b.owner)
    local.loop.turn()
    assert client.got == ["1", "kept in a", "3"]
    assert got == ["kept in a"]


def test_what_has_no_form_is_counted_once_also_when_several_topics_are_merged() -> None:
    local = Local()
    client = local.client("a", "b", serializer=V1)
    local.broadcast("1", "a")
    local.broadcast("2", "b", payload=BINARY)
    local.broadcast("3", "a", payload=BINARY)
    local.broadcast("4", "b")
    local.loop.rest()
    assert client.got == ["1", "4"]
    assert local.registry.skipped == 2


def test_several_topics_in_several_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is served with one topic has got, in order, what was broadcast on the others."""
    monkeypatch.setattr(module, "SLICE", 2)
    local = Local()
    both, in_a, in_b = local.clients(5, "a", "b"), local.clients(2, "a"), local.clients(2, "b")
    names: list[str] = []
    for n, topic in enumerate("aababbba"):
        names.append(f"{topic}{n}")
        local.broadcast(names[-1], topic)
        if n % 2:
            local.loop.turn()
        for client in both:
            assert client.got == names[: len(client.got)]
    local.loop.rest()
    assert [client.got for client in both] == [names] * 5
    assert [client.got for client in in_a] == [[name for name in names if name[0] == "a"]] * 2
    assert [client.got for client in in_b] == [[name for name in names if name[0] == "b"]] * 2
