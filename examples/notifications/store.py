"""What the example remembers, in SQLite: users, their posts, and who was notified of which."""

import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["approved", "rejected"]
Status = Literal["pending", "approved", "rejected"]

DEMO_USERS = {
    "ada": "Ada Lovelace",
    "grace": "Grace Hopper",
    "linus": "Linus Torvalds",
    "margaret": "Margaret Hamilton",
}

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS posts (
    id INTEGER PRIMARY KEY,
    author TEXT NOT NULL REFERENCES users,
    text TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS notifications (
    id INTEGER PRIMARY KEY,
    post INTEGER NOT NULL REFERENCES posts,
    receiver TEXT NOT NULL REFERENCES users,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'rejected')),
    read INTEGER NOT NULL DEFAULT 0 CHECK (read IN (0, 1)),
    UNIQUE (post, receiver)
);
CREATE VIEW IF NOT EXISTS mentions AS
    SELECT notifications.id, receiver, text AS body, author, status, read, at
    FROM notifications JOIN posts ON posts.id = post;
CREATE INDEX IF NOT EXISTS posts_of ON posts (author, at);
CREATE INDEX IF NOT EXISTS notifications_of ON notifications (receiver, read);
"""


@dataclass(frozen=True, slots=True)
class User:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Notification:
    """One mention, as its receiver sees it."""

    id: int
    body: str
    author: str
    status: Status
    read: bool
    at: float


@dataclass(frozen=True, slots=True)
class Inbox:
    """A user's newest notifications, and how many of all of them are unread."""

    unread: int
    notifications: list[Notification]


@dataclass(frozen=True, slots=True)
class Stats:
    """What became of an author's mentions."""

    approved: int
    rejected: int
    pending: int


class NotFound(LookupError):
    """The receiver has no such notification."""


class AlreadyDecided(Exception):
    """The notification was approved or rejected before; the argument says which."""


def notification(row: tuple[Any, ...]) -> Notification:
    id, body, author, status, read, at = row
    return Notification(id, body, author, status, bool(read), at)


class Store:
    """One SQLite connection, safe to use from any thread.

    Whoever tells others of a change holds ``lock`` from before the change until the news is out: then no count
    overtakes a later one on its way to the readers.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._clock = clock

    def open(self) -> None:
        """Connect to the file, creating and seeding it where it is new."""
        self._db = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(SCHEMA)
        with self._transaction() as db:
            for user, name in DEMO_USERS.items():
                db.execute("INSERT OR IGNORE INTO users (id, name) VALUES (?, ?)", (user, name))

    def close(self) -> None:
        self._db.close()

    def users(self) -> list[User]:
        return [User(*row) for row in self._rows("SELECT id, name FROM users ORDER BY id")]

    def user(self, id: str) -> User | None:
        rows = self._rows("SELECT id, name FROM users WHERE id = ?", id)
        return User(*rows[0]) if rows else None

    def add_post(self, author: str, text: str, receivers: Sequence[str]) -> dict[str, int]:
        """Store a post and one notification for each receiver, all or nothing; return the ids by receiver."""
        with self._transaction() as db:
            insert = "INSERT INTO posts (author, text, at) VALUES (?, ?, ?) RETURNING id"
            (post,) = db.execute(insert, (author, text, self._clock())).fetchone()
            ids: dict[str, int] = {}
            for receiver in receivers:
                insert = "INSERT INTO notifications (post, receiver) VALUES (?, ?) RETURNING id"
                (ids[receiver],) = db.execute(insert, (post, receiver)).fetchone()
        return ids

    def unread(self, receiver: str) -> int:
        return int(self._rows("SELECT count(*) FROM notifications WHERE receiver = ? AND NOT read", receiver)[0][0])

    def inbox(self, receiver: str, limit: int = 20) -> Inbox:
        newest = """SELECT id, body, author, status, read, at FROM mentions
                    WHERE receiver = ? ORDER BY id DESC LIMIT ?"""
        with self.lock:  # the list and the count of one moment
            return Inbox(self.unread(receiver), [notification(row) for row in self._rows(newest, receiver, limit)])

    def notification(self, receiver: str, id: int) -> Notification:
        one = "SELECT id, body, author, status, read, at FROM mentions WHERE receiver = ? AND id = ?"
        rows = self._rows(one, receiver, id)
        if not rows:
            raise NotFound
        return notification(rows[0])

    def mark_read(self, receiver: str, id: int) -> Notification:
        with self._transaction() as db:
            db.execute("UPDATE notifications SET read = 1 WHERE receiver = ? AND id = ?", (receiver, id))
            return self.notification(receiver, id)

    def mark_all_read(self, receiver: str) -> None:
        with self._transaction() as db:
            db.execute("UPDATE notifications SET read = 1 WHERE receiver = ? AND NOT read", (receiver,))

    def decide(self, receiver: str, id: int, verdict: Verdict) -> Notification:
        """Approve or reject a notification, which also reads it; the same again is fine, a change of mind is not."""
        with self._transaction() as db:
            before = self.notification(receiver, id)
            if before.status not in ("pending", verdict):
                raise AlreadyDecided(before.status)
            db.execute("UPDATE notifications SET status = ?, read = 1 WHERE id = ?", (verdict, id))
            return self.notification(receiver, id)

    def stats(self, author: str, days: int) -> Stats:
        """Count what became of the mentions that an author made in the last days."""
        counts = self._rows(
            """SELECT count(*) FILTER (WHERE status = 'approved'),
                      count(*) FILTER (WHERE status = 'rejected'),
                      count(*) FILTER (WHERE status = 'pending')
                 FROM mentions
                WHERE author = ? AND at >= ?""",
            author,
            self._clock() - days * 86_400,
        )
        return Stats(*counts[0])

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self.lock:
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self.lock, self._db:  # the connection commits, or rolls back what raised
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db
