"""What a browser may connect to, join and push."""

from collections.abc import Mapping
from typing import Annotated, Any

from anyio import to_thread
from msgspec import Meta, Struct

from phoenix_channels import (
    Channel,
    ConnectInfo,
    ConnectRefused,
    JoinRefused,
    Reply,
    Socket,
    channel,
    incoming,
    intercept,
)

from . import service
from .service import store
from .store import AlreadyDecided, NotFound, Stats, User, Verdict

Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class NewNotification(Struct):
    body: Annotated[str, Meta(min_length=1, max_length=1000)]


class MarkRead(Struct):
    """``{"id": 7}`` or ``{"all": true}``."""

    id: Id | None = None
    all: bool = False

    def __post_init__(self) -> None:
        if (self.id is None) != self.all:
            raise ValueError("Expected either `id` or `all`")


class Decision(Struct):
    id: Id


class NotificationChannel(Channel["UserSocket"]):
    """One user's notifications, topic ``notifications:<user id>``."""

    async def join(self, payload: Any) -> dict[str, Any]:
        if self.subtopic != self.socket.user.id:
            raise JoinRefused(reason="unauthorized")
        self.joined_with = inbox = await to_thread.run_sync(store.inbox, self.subtopic)
        return {
            "message": f"Joined Notification:{self.subtopic}",
            "unread": inbox.unread,
            "notifications": inbox.notifications,
        }

    async def after_join(self) -> None:
        await to_thread.run_sync(service.catch_up, self.subtopic, self.joined_with)
        del self.joined_with

    @incoming
    async def new_notification(self, payload: NewNotification) -> None:
        self.broadcast("new_notification", payload)

    @incoming
    async def mark_read(self, payload: MarkRead) -> Reply:
        try:
            if payload.id is None:
                unread = await to_thread.run_sync(service.mark_all_read, self.subtopic)
            else:
                unread = await to_thread.run_sync(service.mark_read, self.subtopic, payload.id)
        except NotFound:
            return Reply.error({"reason": "not found"})
        return Reply.ok({"unread": unread})

    @incoming
    async def approve(self, payload: Decision) -> Reply:
        return await self.decide(payload.id, "approved")

    @incoming
    async def reject(self, payload: Decision) -> Reply:
        return await self.decide(payload.id, "rejected")

    async def decide(self, id: int, verdict: Verdict) -> Reply:
        try:
            unread = await to_thread.run_sync(service.decide, self.subtopic, id, verdict)
        except NotFound:
            return Reply.error({"reason": "not found"})
        except AlreadyDecided as error:
            return Reply.error({"reason": f"already {error}"})
        return Reply.ok({"id": id, "status": verdict, "unread": unread})


class UserApprovalStatsChannel(Channel["UserSocket"]):
    """What became of one author's mentions in the last ``period`` days, topic ``user_approval_stats:<user id>``."""

    def __init__(self, *, period: int) -> None:
        self.period = period

    async def join(self, payload: Any) -> Stats:
        if self.subtopic != self.socket.user.id:
            raise JoinRefused(reason="unauthorized")
        self.sent = await self.count()
        return self.sent

    async def after_join(self) -> None:
        if await self.count() != self.sent:
            await self.stats({})

    @intercept("stats")
    async def stats(self, payload: Any) -> None:
        """A broadcast says only that the numbers moved: each channel counts them for its own period."""
        self.sent = await self.count()
        self.push("stats", self.sent)

    async def count(self) -> Stats:
        return await to_thread.run_sync(store.stats, self.subtopic, self.period)


class UserSocket(Socket):
    """One connection of one user."""

    channels = {
        "notifications:*": NotificationChannel,
        "user_approval_stats:*": channel(UserApprovalStatsChannel, period=7),
    }
    user: User

    async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        user = await to_thread.run_sync(service.logged_in, params.get("token"))
        if user is None:
            raise ConnectRefused
        self.user = user

    def id(self) -> str | None:
        return f"users_socket:{self.user.id}"
