"""What users do, and who hears of it.

Everything here blocks for as long as SQLite does, so it runs in worker threads: a plain ``def`` view of FastAPI is in
one already, a channel goes through ``anyio.to_thread``. ``endpoint.broadcast`` may be called from all of them.

Each function holds the store's lock from its transaction until its broadcasts are handed over: news travels in the
order of the commits, and the last count that a reader hears of is the true one.
"""

import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from phoenix_channels import BroadcastQueueFull, Endpoint
from phoenix_channels.token import TokenError, sign, verify

from .mentions import mentions
from .store import Inbox, Notification, Store, User, Verdict

logger = logging.getLogger(__name__)

store = Store(Path(__file__).with_name("notifications.db"))
# It signs logins and long-poll sessions. Given from outside it outlasts a restart, and every worker has the same.
endpoint = Endpoint(secret_key_base=os.environ.get("SECRET_KEY_BASE") or secrets.token_urlsafe(48))


@dataclass(frozen=True, slots=True)
class Published:
    """Who heard of a post, and which of the mentioned names nobody has."""

    notified: list[str]
    unknown: list[str]


class NobodyToNotify(Exception):
    """A post mentions no known user besides its author."""

    def __init__(self, unknown: list[str]) -> None:
        super().__init__("Mention someone who is here, someone other than yourself.")
        self.unknown = unknown


def log_in(user: User) -> str:
    """A token that says who somebody is, for a day; nothing is stored."""
    return sign(endpoint, "login", user.id)


def logged_in(token: object) -> User | None:
    """The user whom a token was made for; None for whatever else a client sends."""
    try:
        return store.user(verify(endpoint, "login", token))
    except TokenError:
        return None


def publish(author: str, text: str) -> Published:
    """Store a post and notify everyone whom it mentions."""
    known = {user.id for user in store.users()}
    names = mentions(text)
    unknown = [name for name in names if name not in known]
    notified = [name for name in names if name in known and name != author]
    if not notified:
        raise NobodyToNotify(unknown)
    with store.lock:
        for receiver, id in store.add_post(author, text, notified).items():
            news = {"id": id, "body": text, "author": author, "unread": store.unread(receiver)}
            tell(f"notifications:{receiver}", "new_notification", news)
        tell(f"user_approval_stats:{author}", "stats", {})
    return Published(notified, unknown)


def mark_read(receiver: str, id: int) -> int:
    """Mark one notification as read; return how many are left."""
    with store.lock:
        return tell_change(receiver, store.mark_read(receiver, id))


def mark_all_read(receiver: str) -> int:
    with store.lock:
        store.mark_all_read(receiver)
        tell(f"notifications:{receiver}", "unread", {"unread": 0})
    return 0


def decide(receiver: str, id: int, verdict: Verdict) -> int:
    """Approve or reject a notification; return how many are left unread."""
    with store.lock:
        notification = store.decide(receiver, id, verdict)
        tell(f"user_approval_stats:{notification.author}", "stats", {})
        return tell_change(receiver, notification)


def catch_up(receiver: str, seen: Inbox) -> None:
    """Tell what changed after a joining channel read the inbox and before it was subscribed."""
    with store.lock:
        inbox = store.inbox(receiver)
        if inbox != seen:
            tell(f"notifications:{receiver}", "inbox", inbox)


def tell_change(receiver: str, notification: Notification) -> int:
    unread = store.unread(receiver)
    tell(f"notifications:{receiver}", "changed", notification)
    tell(f"notifications:{receiver}", "unread", {"unread": unread})
    return unread


def tell(topic: str, event: str, payload: Mapping[str, object] | Inbox | Notification) -> None:
    """Broadcast what is already committed: without room for the news the deed stands, and the next join reads it."""
    try:
        endpoint.broadcast(topic, event, payload)
    except BroadcastQueueFull:
        logger.warning("no room to broadcast %s on %s", event, topic)
