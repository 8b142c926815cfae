"""How clients are served in slices, some in each turn of the loop, and what comes in between (P-071)."""

from collections.abc import Callable

import pytest

from tests.pubsub.clients import LARGE, Client, Local, served, small_slices


def test_more_than_512_clients_are_served_in_several_turns() -> None:
    local = Local()
    clients = local.clients(1100)
    local.broadcast("one")
    local.broadcast("two")
    for count in (512, 1024, 1100):
        local.loop.turn()
        assert [client.turns for client in clients] == [[["one", "two"]]] * count + [[]] * (1100 - count)
    assert local.loop.rest() <= 1


def test_exactly_one_slice_is_served_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    small_slices(monkeypatch, 3)
    local = Local()
    clients = local.clients(3)
    local.broadcast("one")
    local.loop.turn()
    assert served(clients) == [["one"]] * 3
    # What comes in while the loop does not know yet that it is over.
    local.broadcast("two")
    local.loop.rest()
    assert served(clients) == [["one", "two"]] * 3


def test_a_slice_is_shared_among_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    small_slices(monkeypatch, 4)
    local = Local()
    clients = {topic: local.clients(3, topic) for topic in ("a", "b", "c")}
    for topic in ("b", "a", "c"):
        local.broadcast("event", topic)
    counts: list[tuple[int, ...]] = []
    while len(local.loop):
        local.loop.turn()
        counts.append(tuple(sum(len(client.got) for client in clients[topic]) for topic in ("b", "a", "c")))
    assert counts[:3] == [(3, 1, 0), (3, 3, 2), (3, 3, 3)]


def test_a_busy_topic_does_not_keep_the_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in while its clients are served waits for the other topics."""
    small_slices(monkeypatch, 2)
    local = Local()
    many, [other] = local.clients(4), local.clients(1, "other")
    local.broadcast("one")
    for turn in range(4):
        local.broadcast("more")
        if turn == 1:
            local.broadcast("event", "other")
        local.loop.turn()
    assert other.got == ["event"]
    local.loop.rest()
    assert served(many) == [["one", "more", "more", "more", "more"]] * 4


def test_broadcasts_between_two_slices_reach_everybody_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    small_slices(monkeypatch, 2)
    local = Local()
    clients = local.clients(5)
    for n in range(6):
        local.broadcast(str(n))
        local.loop.turn()
    local.loop.rest()
    assert served(clients) == [[str(n) for n in range(6)]] * 5


def test_joining_and_leaving_between_two_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    small_slices(monkeypatch, 2)
    local = Local()
    clients = local.clients(6)
    local.broadcast("one")
    local.loop.turn()
    # One that was served, one that was not, and one new: then there is more.
    local.leave(clients[0])
    local.leave(clients[5])
    late = local.client()
    local.broadcast("two")
    local.leave(clients[1])
    local.leave(clients[4])
    later = local.client()
    local.loop.turn()
    local.broadcast("three")
    local.loop.rest()
    assert served(clients) == [
        ["one"],
        ["one", "two"],
        ["one", "two", "three"],
        ["one", "two", "three"],
        ["one", "two"],
        ["one"],
    ]
    assert late.got == ["two", "three"]
    assert later.got == ["three"]


def test_a_push_between_two_slices_comes_after_what_was_broadcast_and_before_what_will_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_slices(monkeypatch, 1)
    local = Local()
    clients = local.clients(3)
    local.broadcast("one")
    local.loop.turn()
    local.broadcast("two")
    for client in clients:
        local.push(client, "push")
    local.broadcast("three")
    local.loop.rest()
    assert served(clients) == [["one", "two", "push", "three"]] * 3


@pytest.mark.parametrize("plain", [False, True], ids=["nobody", "somebody who is no client"])
def test_all_may_leave_between_two_slices_and_others_come(monkeypatch: pytest.MonkeyPatch, plain: bool) -> None:
    """The topic is then a new one, or lives on with what is not delivered by turns."""
    small_slices(monkeypatch, 2)
    local, got = Local(), list[str]()
    if plain:
        local.plain(lambda broadcast: got.append(broadcast.event))
    clients = local.clients(4)
    local.broadcast("one")
    local.loop.turn()
    local.broadcast("two")
    for client in clients:
        local.leave(client)
    late = local.client()
    local.broadcast("three")
    local.loop.turn()
    later = local.client()
    local.broadcast("four")
    local.loop.rest()
    assert served(clients) == [["one", "two"]] * 4
    assert late.got == ["three", "four"]
    assert later.got == ["four"]
    assert got == (["one", "two", "three", "four"] if plain else [])


def test_all_may_leave_before_the_turn_and_others_come() -> None:
    local = Local()
    local.plain()
    early = local.client()
    local.broadcast("one")
    local.leave(early)
    local.loop.turn()
    late = local.client()
    local.broadcast("two")
    local.loop.turn()
    assert early.got == ["one"]
    assert late.got == ["two"]


def test_all_may_leave_between_two_slices_and_nothing_is_kept_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With somebody left who is no client, and for as long as no client comes: there is no log to fill."""
    small_slices(monkeypatch, 1)
    local = Local()
    local.plain()
    clients = local.clients(2)
    local.broadcast("one")
    local.loop.turn()
    local.broadcast("two")
    for client in clients:
        local.leave(client)
    local.loop.rest()
    late = local.client()
    local.broadcast("three")
    # Waits for the next turn, which comes.
    assert late.got == []
    assert len(local.loop) == 1
    local.loop.turn()
    assert late.got == ["three"]


def both_kinds(local: Local, intercepts: frozenset[str], receive: Callable[[object], None]) -> list[Client]:
    clients = [Client() for _ in range(6)]
    for n, client in enumerate(clients):
        local.join(client, intercepts=intercepts if n % 2 else frozenset(), receive=receive)
    return clients


def test_slices_of_clients_that_intercept_and_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    small_slices(monkeypatch, 2)
    local, got = Local(), list[object]()
    clients = both_kinds(local, frozenset({"kept"}), got.append)
    for name in ("one", "kept", "two"):
        local.broadcast(name, exclude=clients[0] if name == "two" else None)
        local.loop.turn()
    local.loop.rest()
    assert len(got) == 3
    assert served(clients) == [
        ["one", "kept"],
        ["one", "two"],
        ["one", "kept", "two"],
        ["one", "two"],
        ["one", "kept", "two"],
        ["one", "two"],
    ]


def test_a_single_broadcast_however_large_is_served_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """One client must not be able to hold up everybody by what it has broadcast."""
    small_slices(monkeypatch, 2)
    local = Local()
    clients = local.clients(5)
    local.broadcast("large", payload=LARGE)
    for count in (0, 2, 4, 5):
        assert served(clients) == [["large"]] * count + [[]] * (5 - count)
        local.loop.turn()


def test_who_broadcasts_between_two_slices_and_without_a_pause_fills_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those before have what came before, those behind get it first; few broadcasts wait."""
    small_slices(monkeypatch, 2)
    local = Local()
    clients = local.clients(5)
    names = ["one"]
    local.broadcast("one")
    local.loop.turn()
    for n in range(10):
        names.append(f"large {n}")
        local.broadcast(names[-1], payload=LARGE)
        assert min(len(client.got) for client in clients) >= len(names) - 3
    local.loop.rest()
    assert served(clients) == [names] * 5
