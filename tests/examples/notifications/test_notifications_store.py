"""The store: what is remembered, counted and refused."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.notifications.store import AlreadyDecided, Inbox, NotFound, Stats, Store, User

DAY = 86_400


class Clock:
    now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    store = Store(tmp_path / "notifications.db", clock)
    store.open()
    yield store
    store.close()


def test_seeds_users(store: Store) -> None:
    assert [user.id for user in store.users()] == ["ada", "grace", "linus", "margaret"]


def test_finds_users_by_id(store: Store) -> None:
    assert store.user("ada") == User("ada", "Ada Lovelace")
    for id in ("", "Ada", "nobody"):
        assert store.user(id) is None


def test_keeps_everything_when_opened_again(store: Store) -> None:
    (id,) = store.add_post("ada", "@grace hello", ["grace"]).values()
    store.close()
    store.open()
    assert store.notification("grace", id).body == "@grace hello"


def test_a_post_reaches_each_receiver(store: Store, clock: Clock) -> None:
    ids = store.add_post("ada", "@grace @linus hello", ["grace", "linus"])
    assert list(ids) == ["grace", "linus"]
    inbox = store.inbox("grace")
    assert inbox.unread == 1
    (notification,) = inbox.notifications
    assert notification.id == ids["grace"]
    assert (notification.body, notification.author, notification.at) == ("@grace @linus hello", "ada", clock.now)
    assert (notification.status, notification.read) == ("pending", False)
    assert store.inbox("ada") == Inbox(0, [])


def test_nothing_is_stored_by_halves(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        store.add_post("ada", "@grace @nobody hello", ["grace", "nobody"])
    assert store.inbox("grace") == Inbox(0, [])
    assert store.stats("ada", 7) == Stats(0, 0, 0)
    store.add_post("ada", "@grace hello", ["grace"])  # and the connection is none the worse for it
    assert store.unread("grace") == 1


def test_the_inbox_has_the_newest_and_counts_all(store: Store) -> None:
    for number in range(25):
        store.add_post("ada", f"@grace {number}", ["grace"])
    inbox = store.inbox("grace")
    assert inbox.unread == 25
    assert [notification.body for notification in inbox.notifications] == [f"@grace {n}" for n in range(24, 4, -1)]


def test_marking_read(store: Store) -> None:
    first, second = (store.add_post("ada", f"@grace {n}", ["grace"])["grace"] for n in range(2))
    assert store.mark_read("grace", first).read
    assert store.mark_read("grace", first).read
    assert store.unread("grace") == 1
    assert not store.notification("grace", second).read
    store.mark_all_read("grace")
    assert store.unread("grace") == 0


@pytest.mark.parametrize("receiver", ["linus", "ada", "nobody"])
def test_only_the_receiver_has_a_notification(store: Store, receiver: str) -> None:
    id = store.add_post("ada", "@grace hello", ["grace"])["grace"]
    with pytest.raises(NotFound):
        store.notification(receiver, id)
    with pytest.raises(NotFound):
        store.mark_read(receiver, id)
    with pytest.raises(NotFound):
        store.decide(receiver, id, "approved")
    store.mark_all_read(receiver)
    notification = store.notification("grace", id)
    assert (notification.status, notification.read) == ("pending", False)


def test_ids_that_do_not_exist(store: Store) -> None:
    for id in (0, -1, 1, 2**63 - 1):
        with pytest.raises(NotFound):
            store.mark_read("grace", id)
        with pytest.raises(NotFound):
            store.decide("grace", id, "rejected")


def test_a_decision_is_final_and_reads(store: Store) -> None:
    id = store.add_post("ada", "@grace hello", ["grace"])["grace"]
    decided = store.decide("grace", id, "approved")
    assert (decided.status, decided.read) == ("approved", True)
    assert store.decide("grace", id, "approved") == decided
    with pytest.raises(AlreadyDecided, match="approved"):
        store.decide("grace", id, "rejected")
    assert store.notification("grace", id) == decided


def test_stats_of_the_last_days(store: Store, clock: Clock) -> None:
    ids = store.add_post("ada", "@grace @linus @margaret", ["grace", "linus", "margaret"])
    assert store.stats("ada", 7) == Stats(approved=0, rejected=0, pending=3)
    store.decide("grace", ids["grace"], "approved")
    store.decide("linus", ids["linus"], "rejected")
    assert store.stats("ada", 7) == Stats(approved=1, rejected=1, pending=1)
    assert store.stats("grace", 7) == Stats(0, 0, 0)

    clock.now += 7 * DAY
    store.add_post("ada", "@grace again", ["grace"])
    assert store.stats("ada", 7) == Stats(approved=1, rejected=1, pending=2)
    clock.now += 1
    assert store.stats("ada", 7) == Stats(approved=0, rejected=0, pending=1)
    assert store.stats("ada", 30) == Stats(approved=1, rejected=1, pending=2)


def test_many_threads_at_once(store: Store) -> None:
    def work(number: int) -> None:
        ids = store.add_post("ada", f"@grace @linus {number}", ["grace", "linus"])
        store.decide("grace", ids["grace"], "approved" if number % 2 else "rejected")
        store.mark_read("linus", ids["linus"])
        store.inbox("linus")

    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(work, range(80)):
            pass
    assert store.stats("ada", 7) == Stats(approved=40, rejected=40, pending=80)
    assert store.unread("grace") == store.unread("linus") == 0
