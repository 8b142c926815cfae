"""What one turn of the loop writes: what has gathered, in one write for each, and to so many clients (P-071)."""

from msgspec import Raw

from phoenix_channels.protocol.messages import Frame, FrameBatch
from phoenix_channels.pubsub import local as module
from tests.pubsub.clients import LARGE, V1, V2, Client, Local, served


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


def test_what_comes_while_too_much_waits_is_written_at_once() -> None:
    """Who broadcasts without a pause fills no memory."""
    local = Local()
    clients = local.clients(3)
    local.broadcast("small")
    local.broadcast("large", payload=LARGE)
    assert served(clients) == [[]] * 3
    local.broadcast("more")
    assert served(clients) == [["small", "large", "more"]] * 3
    local.broadcast("after")
    local.loop.turn()
    assert [client.turns for client in clients] == [[["small", "large", "more"], ["after"]]] * 3


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
