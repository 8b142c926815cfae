"""A channel that answers.  Run it: ``uvicorn examples.quickstart.replies:app``."""

from typing import Any

from msgspec import Struct

from phoenix_channels import Channel, Endpoint, JoinRefused, Reply, Socket, incoming


class MarkRead(Struct):
    id: int


class NotificationChannel(Channel):
    async def join(self, payload: Any) -> dict[str, int]:
        if not self.subtopic:
            raise JoinRefused(reason="whose notifications?")
        self.unread = {1, 2, 3}
        return {"unread": len(self.unread)}

    @incoming
    async def mark_read(self, payload: MarkRead) -> Reply:
        if payload.id not in self.unread:
            return Reply.error({"reason": "not found"})
        self.unread.remove(payload.id)
        return Reply.ok({"unread": len(self.unread)})


class UserSocket(Socket):
    channels = {"notifications:*": NotificationChannel}


app = Endpoint()
app.socket("/socket", UserSocket)
