"""An application as a user writes it, with everything the API offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict, assert_type

from msgspec import Struct
from websockets.asyncio.server import serve
from websockets.trio.server import serve as trio_serve

from phoenix_channels import (
    Broadcast,
    Channel,
    ConnectInfo,
    ConnectRefused,
    Endpoint,
    JoinRefused,
    Latest,
    Limits,
    Reply,
    ReplyRef,
    SlowConsumer,
    Socket,
    Statistics,
    Stop,
    Timer,
    WebSocketOptions,
    channel,
    incoming,
    intercept,
)
from phoenix_channels.transports.websockets import WebSocketsTransport


class NewNotification(Struct):
    body: str


@dataclass
class MarkRead:
    id: int


class Typing(TypedDict):
    typing: bool


class NotificationChannel(Channel["UserSocket"]):
    shutdown = 2
    slow_consumer = "drop_oldest"

    async def join(self, payload: Any) -> str:
        assert_type(self.socket, UserSocket)
        assert_type(self.endpoint, Endpoint)
        if self.subtopic != self.socket.user_id:
            raise JoinRefused(reason="unauthorized")
        return f"Joined Notification:{self.subtopic}"

    async def after_join(self) -> None:
        self.push("welcome", {"topic": self.topic})
        await self.subscribe("news")

    @incoming
    async def new_notification(self, payload: NewNotification) -> None:
        self.broadcast("new_notification", payload)

    @incoming
    def mark_read(self, payload: MarkRead) -> Reply:
        return Reply.ok({"unread": payload.id})

    @incoming("typing-changed")
    async def typing_changed(self, payload: Typing) -> Reply | Stop | None:
        self.broadcast_from("typing", payload)
        return Stop("normal", reply=Reply("later")) if payload["typing"] else None

    @incoming
    async def picture(self, payload: bytes) -> None:
        ref = self.reply_later()
        assert_type(ref, ReplyRef)
        self.start_soon(self.develop, ref, payload)
        timer: Timer = self.send_after(1.5, "tick")
        timer.cancel()

    async def develop(self, ref: ReplyRef, picture: bytes) -> None:
        ref.reply(Reply.ok(picture))

    @intercept("secret")
    async def on_secret(self, payload: dict[str, Any]) -> None:
        self.push("secret", {**payload, "for": self.socket.user_id})

    @intercept("farewell")
    def on_farewell(self, payload: Any) -> Stop:
        return Stop(("shutdown", "farewell"))

    async def handle_in(self, event: str, payload: Any) -> Reply | None:
        return Reply.error({"reason": f"no event {event}"})

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Broadcast):
            self.push(message.event, message.payload)

    def terminate(self, reason: object) -> None:
        print(reason)


def by_title(event: str, payload: Any) -> tuple[str, str]:
    return event, payload["title"]


class StatsChannel(Channel["UserSocket"]):
    slow_consumer = Latest(key=by_title)

    def __init__(self, period: int, *, unit: str = "days") -> None:
        self.title = f"{self.topic}: {period} {unit}"

    def join(self, payload: NewNotification | bytes) -> dict[str, str]:
        return {"title": self.title}


class LobbyChannel(Channel):
    """Without a type argument the socket is a plain one."""

    slow_consumer: ClassVar[SlowConsumer] = Latest(key=lambda event, payload: event + payload["id"])

    def handle_info(self, message: str) -> Stop | None:
        assert_type(self.socket, Socket)
        return None


class UserSocket(Socket):
    channels = {
        "notifications:*": NotificationChannel,
        "stats:*": channel(StatsChannel, period=7),
        "yearly:*": channel(StatsChannel, 1, unit="years"),
        "lobby": LobbyChannel,
    }
    max_channels = 10
    user_id: str

    async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        user_id = params.get("token")
        if user_id is None or info.user_agent is None:
            raise ConnectRefused("no token")
        self.user_id = user_id

    def id(self) -> str:
        return f"users_socket:{self.user_id}"


class OpenSocket(Socket):
    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        print(info.peer_data.address, info.uri.path)


endpoint = Endpoint(host="example.com", limits=Limits(outbox_bytes=2_000_000))
endpoint.socket("/socket", UserSocket)
endpoint.socket(
    "/open",
    OpenSocket,
    check_origin=False,
    connect_info=["peer_data", "uri"],
    websocket=WebSocketOptions(timeout=None),
)
endpoint.broadcast("notifications:21", "new_notification", {"body": "hi"})
endpoint.broadcast("notifications:21", "picture", b"\x00")
endpoint.local_broadcast("lobby", "hello", NewNotification("hi"))
assert_type(endpoint.statistics(), Statistics)


async def main() -> None:
    await endpoint.abroadcast("lobby", "hello", {})
    async with endpoint.subscribe("notifications:21") as broadcasts:
        async for broadcast in broadcasts:
            assert_type(broadcast, Broadcast)
            print(broadcast.event, broadcasts.dropped)
    await endpoint.disconnect("users_socket:21")
    async with endpoint.lifespan():
        pass
    transport = WebSocketsTransport(endpoint)
    async with serve(transport.handler, "127.0.0.1", 0, process_request=transport.process_request):
        await endpoint.drain()


async def trio_main() -> None:
    transport = WebSocketsTransport(endpoint)
    await trio_serve(transport.handler, 0, process_request=transport.process_request)
