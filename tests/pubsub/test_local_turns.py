"""What one turn of the loop writes: what has gathered, in one write for each, and to so many clients (P-071)."""

from collections.abc import Callable

import pytest
from msgspec import Raw

from phoenix_channels.protocol.messages import Frame, FrameBatch
from phoenix_channels.pubsub import local as module
from tests.pubsub.clients import V1, V2, Client, Local

LARGE = Raw(b'"%s"' % (b"x" * module.MOST_LOGGED))
"""More than waits."""


def small_slices(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(module, "SLICE", size)


def served(clients: list[Client]) -> list[list[str]]:
    return [client.got for client in clients]


# Batches


def test_nothing_is_written_before_the_turn_and_everything_in_one_write_then() -> None:
    local = Local()
    clients = local.clients(3)
    for n in range(10):
        local.broadcast(str(n))
    assert served(clients) == [[], [], []]
    assert len(local.loop) == 1
    local.loop.turn()
    assert [client.turns for client in clients] == [[[str(n) for n in range(10)]]] * 3
    # And it is over.
    assert len(local.loop) == 0
    local.broadcast("next")
    local.loop.turn()
    assert [len(client.writes) for client in clients] == [2, 2, 2]


def test_all_clients_of_a_serializer_share_one_batch() -> None:
    local = Local()
    new, old = local.clients(5), [local.client(serializer=V1) for _ in range(5)]
    # In whichever order they have joined.
    mixed = [local.client(serializer=(V1, V2)[n % 2]) for n in range(6)]
    local.broadcast("one")
    local.broadcast("two")
    local.loop.turn()
    for serializer in (V1, V2):
        batches = [
            frames for client in (*new, *old, *mixed) if client.serializer is serializer for frames, _ in client.writes
        ]
        assert len(batches) == 8
        assert len({id(batch) for batch in batches}) == 1
        assert isinstance(batches[0], FrameBatch)
        assert batches[0].wire == b"".join(frame.wire for frame in batches[0].frames)


def test_a_single_broadcast_is_a_plain_frame() -> None:
    local = Local()
    clients = local.clients(3)
    local.broadcast("one")
    local.loop.turn()
    frames = [client.writes[0][0] for client in clients]
    assert isinstance(frames[0], Frame)
    assert frames == frames[:1] * 3


def test_each_write_names_the_subscription_that_it_belongs_to() -> None:
    """Its policy says what is done when the client does not keep up."""
    local = Local()
    first, second = local.client(), local.client("topic", "other")
    for topic in ("topic", "other", "topic"):
        local.broadcast("event", topic)
    local.loop.turn()
    [in_topic, in_other] = second.fastlanes
    assert [source for _, source in first.writes] == [first.fastlanes[0]]
    assert [source for frames, source in second.writes for _ in frames.frames] == [in_topic, in_other, in_topic]


def test_who_joins_within_the_turn_gets_what_comes_after() -> None:
    """P-053: each has joined at a certain broadcast."""
    local, clients = Local(), list[Client]()
    for name in ("one", "two", "three"):
        clients.append(local.client())
        local.broadcast(name)
    clients.append(local.client())
    local.loop.turn()
    assert served(clients) == [["one", "two", "three"], ["two", "three"], ["three"], []]


def test_who_leaves_within_the_turn_has_got_what_came_before() -> None:
    local = Local()
    clients = local.clients(3)
    for client, name in zip(clients, ("one", "two", "three"), strict=True):
        local.broadcast(name)
        local.leave(client)
        # At once, before whatever ends it is written.
        assert client.got[-1] == name
    local.loop.rest()
    assert served(clients) == [["one"], ["one", "two"], ["one", "two", "three"]]
    assert local.registry.topics == 0


def test_the_sender_is_left_out_of_its_own_broadcasts_and_of_no_other() -> None:
    local = Local()
    first, second, third = local.clients(3)
    local.broadcast("to all")
    local.broadcast("from the first", exclude=first)
    local.broadcast("from the second", exclude=second)
    local.broadcast("from the first again", exclude=first)
    local.loop.turn()
    assert first.got == ["to all", "from the second"]
    assert second.got == ["to all", "from the first", "from the first again"]
    assert third.turns == [["to all", "from the first", "from the second", "from the first again"]]


def test_who_is_left_out_of_everything_is_not_written_to() -> None:
    local = Local()
    client, other = local.clients(2)
    local.broadcast("one", exclude=client)
    local.broadcast("two", exclude=client)
    local.loop.turn()
    assert client.writes == []
    assert other.got == ["one", "two"]


def test_intercepted_events_leave_the_batch_of_those_who_intercept_them() -> None:
    """P-073."""
    local, got = Local(), list[str]()
    client, other = Client(), local.client()
    local.join(client, intercepts=frozenset({"kept"}), receive=lambda broadcast: got.append(broadcast.event))
    for name in ("one", "kept", "two", "kept", "three"):
        local.broadcast(name)
    assert got == ["kept", "kept"]
    local.loop.turn()
    assert client.got == ["one", "two", "three"]
    assert other.got == ["one", "kept", "two", "kept", "three"]


def test_what_is_large_is_written_at_once() -> None:
    """Who broadcasts without a pause fills no memory."""
    local = Local()
    clients = local.clients(3)
    local.broadcast("small")
    local.broadcast("large", payload=LARGE)
    assert served(clients) == [["small", "large"]] * 3
    local.broadcast("after")
    local.loop.turn()
    assert served(clients) == [["small", "large", "after"]] * 3
    assert [len(client.writes) for client in clients] == [2, 2, 2]


def test_much_of_what_is_small_is_written_at_once_too() -> None:
    local = Local()
    [client] = local.clients(1)
    for n in range(200):
        local.broadcast(str(n), payload=Raw(b'"%s"' % (b"x" * 1000)))
    before = len(client.got)
    assert 100 <= before < 200
    local.loop.turn()
    assert client.got == [str(n) for n in range(200)]


def test_the_bound_counts_what_waits_and_not_what_was_written() -> None:
    local = Local()
    [client] = local.clients(1)
    for n in range(20):
        local.broadcast(str(n), payload=Raw(b'"%s"' % (b"x" * (module.MOST_LOGGED // 2))))
        assert len(client.got) == n
        local.loop.turn()
    assert len(client.got) == 20


def test_broadcasts_without_a_payload_count_too() -> None:
    local = Local()
    [client] = local.clients(1)
    for n in range(10_000):
        local.broadcast(str(n), payload=b"")
    assert len(client.got) > 9000


def test_the_bound_is_one_for_all_topics() -> None:
    local = Local()
    clients = {topic: local.client(topic) for topic in map(str, range(1000))}
    for topic in clients:
        local.broadcast("event", topic, payload=Raw(b'"%s"' % (b"x" * 1000)))
    assert sum(len(client.got) for client in clients.values()) > 800
    local.loop.rest()
    assert [client.got for client in clients.values()] == [["event"]] * 1000


def test_who_broadcasts_between_two_slices_and_without_a_pause_fills_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those before have what came before, those behind get it first; one broadcast may wait, and no more."""
    small_slices(monkeypatch, 2)
    local = Local()
    clients = local.clients(5)
    names = ["one"]
    local.broadcast("one")
    local.loop.turn()
    for n in range(10):
        names.append(f"large {n}")
        local.broadcast(names[-1], payload=LARGE)
        assert {client.got[-1] for client in clients} <= set(names[-2:])
    local.loop.rest()
    assert served(clients) == [names] * 5


# Slices


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
