"""What reaches a channel besides its client: broadcasts of its topic, of other topics, messages to itself."""

from collections.abc import Mapping
from typing import Any

from phoenix_channels import (
    Broadcast,
    Channel,
    ConnectInfo,
    ConnectRefused,
    Endpoint,
    Reply,
    Socket,
    Stop,
    incoming,
    intercept,
)


# Start: intercept
class RoomChannel(Channel["UserSocket"]):
    @intercept("new_message")
    def filter_message(self, payload: dict[str, Any]) -> None:
        if payload["from"] not in self.socket.blocked:
            self.push("new_message", payload)

    @intercept("kicked")
    def leave_if_kicked(self, payload: dict[str, Any]) -> Stop | None:
        if payload["user"] != self.socket.user_id:
            return None
        self.push("kicked", {})
        return Stop()

    # End: intercept

    @incoming
    def new_message(self, payload: dict[str, Any]) -> None:
        self.broadcast("new_message", {"body": payload["body"], "from": self.socket.user_id})

    @incoming
    def kick(self, payload: dict[str, Any]) -> None:
        self.broadcast("kicked", {"user": payload["user"]})


# Start: info
class DashboardChannel(Channel["UserSocket"]):
    """Shows several rooms, and a clock, on one topic."""

    every = 1.0

    async def after_join(self) -> None:
        self.ticks = 0
        self.send("tick")

    @incoming
    async def watch(self, payload: str) -> Reply:
        await self.subscribe(f"room:{payload}")
        return Reply.ok()

    @incoming
    async def unwatch(self, payload: str) -> Reply:
        await self.unsubscribe(f"room:{payload}")
        return Reply.ok()

    def handle_info(self, message: object) -> None:
        match message:
            case "tick":
                self.ticks += 1
                self.push("clock", {"ticks": self.ticks})
                self.send_after(self.every, "tick")
            case Broadcast(topic=topic, event="new_message", payload=payload):
                self.push("said", {"room": topic.removeprefix("room:"), **payload})
            case _:
                pass


# End: info


class UserSocket(Socket):
    channels = {"room:*": RoomChannel, "dashboard": DashboardChannel}

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        if "user" not in params:
            raise ConnectRefused
        self.user_id: str = params["user"]
        self.blocked: set[str] = set(params.get("blocked", "").split(","))


endpoint = Endpoint()
endpoint.socket("/socket", UserSocket)
