"""The application that the channels of the inventory are tested with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phoenix_channels import (
    Channel,
    ConnectInfo,
    ConnectRefused,
    Endpoint,
    JoinRefused,
    Reply,
    Socket,
    Stop,
    channel,
    incoming,
    intercept,
)
from tests.support.loops import Journal


class RoomChannel(Channel["UserSocket"]):
    """Greets who comes, tells everybody, and notes down its end."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    async def join(self, payload: Any) -> object:
        self.user = payload.get("user", "anonymous")
        if self.user == "nobody":
            raise JoinRefused(reason="unauthorized")
        return {"status": "connected"}

    async def after_join(self) -> None:
        self.broadcast("user_entered", {"user": self.user})
        self.push("joined", {"user": self.user})

    @incoming("new_msg")
    async def tell_everybody(self, payload: Any) -> None:
        self.broadcast("new_msg", payload)

    @intercept("new_msg")
    async def pass_on(self, payload: Any) -> None:
        self.push("new_msg", {**payload, "transport": self.socket.transport})

    @incoming
    async def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)

    @incoming
    async def note(self, payload: Any) -> None:
        self.journal.add(payload)

    @incoming
    async def boom(self, payload: Any) -> None:
        raise RuntimeError("boom")

    @incoming
    async def stop(self, payload: Any) -> Stop:
        return Stop()

    @incoming
    async def binary(self, payload: bytes) -> Reply:
        self.push("binary_push", payload + b"pushed")
        return Reply.ok(payload + b"replied")

    @incoming
    async def measure(self, payload: Any) -> None:
        self.push("measured", {"size": len(payload), "binary": isinstance(payload, bytes)})

    async def terminate(self, reason: Any) -> None:
        self.push("you_left", {"message": "bye"})
        self.journal.add(("terminated", self.topic, reason))


class UserSocket(Socket):
    """Its id is the param ``user``; the param ``reject`` refuses it, with its value as the reason if it has one."""

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        self.user = params.get("user")
        if "reject" in params:
            raise ConnectRefused(params["reject"] or None)

    def id(self) -> str | None:
        return self.user and f"users:{self.user}"


def socket_class(journal: Journal) -> type[UserSocket]:
    class RoomSocket(UserSocket):
        channels = {"room:*": channel(RoomChannel, journal)}

    return RoomSocket


def make_endpoint(journal: Journal, path: str = "/socket", **options: Any) -> Endpoint:
    """An endpoint with the application at a path; the options are those of :meth:`Endpoint.socket`."""
    endpoint = Endpoint()
    endpoint.socket(path, socket_class(journal), **options)
    return endpoint


class CuriousSocket(Socket):
    """Keeps what it has learned."""

    infos: list[ConnectInfo]

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        self.infos.append(info)


class Curious:
    """An endpoint whose sockets keep what they learn; the options are those of :meth:`Endpoint.socket`."""

    def __init__(self, **options: Any) -> None:
        class RoomSocket(CuriousSocket):
            infos: list[ConnectInfo] = []

        self.infos = RoomSocket.infos
        self.endpoint = Endpoint()
        self.endpoint.socket("/socket", RoomSocket, **options)
