"""The application that rows B100 to B127 are tested with, by the testing kit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
from msgspec import Struct

from phoenix_channels import (
    Broadcast,
    Channel,
    ConnectInfo,
    ConnectRefused,
    Endpoint,
    JoinRefused,
    Reply,
    ReplyRef,
    Socket,
    Stop,
    channel,
    incoming,
    intercept,
)


class Point(Struct):
    x: int
    y: int


class RoomChannel(Channel["UserSocket"]):
    """Does what its events say; ``greeting`` is of its route."""

    def __init__(self, *, greeting: str = "hello") -> None:
        self.greeting = greeting
        self.ended: list[Any] = []

    async def join(self, payload: Any) -> object:
        if self.subtopic == "refused":
            raise JoinRefused(reason="unauthorized")
        if self.subtopic == "crash":
            raise RuntimeError("no such room")
        if self.subtopic == "push":
            self.push("too_early", {})
        await self.subscribe("external")
        self.payload = payload
        return {"greeting": self.greeting, "keys": sorted(payload)}

    # Replies

    @incoming
    def noreply(self, payload: Any) -> None:
        self.push("noreply", payload)

    @incoming
    def reply(self, payload: Any) -> Reply:
        return Reply.ok() if payload is None else Reply.ok({"resp": payload})

    @incoming
    def point(self, payload: Any) -> Reply:
        return Reply.ok({"at": Point(1, 2), "of": {1: [{"n": 1}]}})

    @incoming
    def async_reply(self, payload: Any) -> None:
        self.start_soon(self.answer, self.reply_later(), payload)

    async def answer(self, ref: ReplyRef, payload: Any) -> None:
        await anyio.sleep(0.5)
        ref.reply(Reply.ok({"async": payload}))

    # Broadcasts

    @incoming
    def broadcast_event(self, payload: Any) -> None:
        self.broadcast_from("broadcast", payload)

    @intercept("intercepted")
    def intercepted(self, payload: Any) -> Stop | None:
        if payload.get("stop"):
            return Stop("shutdown")
        self.push("intercepted", {"seen": payload})
        return None

    # Messages

    def handle_info(self, message: Any) -> Stop | None:
        match message:
            case "stop":
                return Stop("shutdown")
            case ("push", payload):
                self.push("info", payload)
            case ("broadcast", payload):
                self.broadcast("info", payload)
            case Broadcast(topic="external"):
                self.push("external", message.payload)
            case _:
                super().handle_info(message)
        return None

    # Ends

    @incoming
    async def crash(self, payload: Any) -> None:
        raise ValueError("crashed")

    @incoming
    def stop(self, payload: Any) -> Stop:
        return Stop("normal")

    @incoming
    def stop_with_reply(self, payload: Any) -> Stop:
        return Stop("shutdown", reply=Reply.ok() if payload is None else Reply.ok(payload))

    @incoming
    async def hang(self, payload: Any) -> None:
        await anyio.sleep(3_600)

    async def terminate(self, reason: Any) -> None:
        self.ended.append(reason)
        if self.subtopic == "hanging":
            await anyio.sleep(3_600)
            self.ended.append("over")


class UserSocket(Socket):
    channels = {
        "room:*": RoomChannel,
        "foyer": channel(RoomChannel, greeting="welcome"),
    }
    user_id: str | None = None
    connected = False

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        self.connected = True
        if "reject" in params:
            raise ConnectRefused
        self.user_id = params.get("user_id")

    def id(self) -> str | None:
        return self.user_id and f"users_socket:{self.user_id}"


def make_endpoint() -> Endpoint:
    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket)
    return endpoint
