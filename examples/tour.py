"""A tour of the API: two channels, a socket that knows its user, a broadcast from anywhere."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from phoenix_channels import Channel, ConnectInfo, ConnectRefused, Endpoint, JoinRefused, Socket, channel, incoming

TOKENS = {"ada's token": "21", "grace's token": "22"}


def verify(token: Any) -> str | None:
    """The user whom a token belongs to.  A real one is signed, or a row in a database."""
    return TOKENS.get(token) if isinstance(token, str) else None


class NewNotification(Struct):
    body: str


class NotificationChannel(Channel["UserSocket"]):
    """One user's notifications, topic ``notifications:<user id>``."""

    async def join(self, payload: Any) -> str:
        if self.subtopic != self.socket.user_id:
            raise JoinRefused(reason="unauthorized")
        return f"Joined Notification:{self.subtopic}"

    @incoming
    async def new_notification(self, payload: NewNotification) -> None:
        self.broadcast("new_notification", payload)


class UserApprovalStatsChannel(Channel["UserSocket"]):
    """What became of a user's posts in the last days, topic ``user_approval_stats:<user id>``."""

    def __init__(self, *, period: int) -> None:
        self.period = period

    async def join(self, payload: Any) -> dict[str, int]:
        if self.subtopic != self.socket.user_id:
            raise JoinRefused(reason="unauthorized")
        return {"approved": 0, "rejected": 0, "days": self.period}


class UserSocket(Socket):
    channels = {
        "notifications:*": NotificationChannel,
        "user_approval_stats:*": channel(UserApprovalStatsChannel, period=7),
    }
    user_id: str

    async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        user_id = verify(params.get("token"))
        if user_id is None:
            raise ConnectRefused
        self.user_id = user_id

    def id(self) -> str | None:
        return f"users_socket:{self.user_id}"


endpoint = Endpoint()
endpoint.socket("/socket", UserSocket)
app = endpoint


def notify(user_id: str, body: str) -> None:
    """From any thread, never blocks."""
    endpoint.broadcast(f"notifications:{user_id}", "new_notification", {"body": body})
