"""What the kit is tested with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
from msgspec import Struct

from phoenix_channels import (
    Channel,
    ConnectInfo,
    ConnectRefused,
    Endpoint,
    JoinRefused,
    Limits,
    Reply,
    ReplyRef,
    Socket,
    Stop,
    incoming,
    intercept,
)


class Shout(Struct):
    body: str
    loud: bool = False


class RoomChannel(Channel["UserSocket"]):
    """Does what its events say."""

    ended: Any = None
    later: ReplyRef

    async def join(self, payload: Any) -> object:
        match self.subtopic:
            case "secret":
                raise JoinRefused(reason="unauthorized")
            case "broken":
                raise RuntimeError("no join today")
            case "slow":
                await anyio.sleep(20)
            case "fleeting":
                self.fleeting = True
        return {"room": self.subtopic, "payload": payload}

    def after_join(self) -> Stop | None:
        return Stop() if self.subtopic == "fleeting" else None

    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)

    @incoming
    def status(self, payload: str) -> Reply:
        return Reply(payload, {"status": payload})

    @incoming
    def tell(self, payload: dict[str, Any]) -> None:
        self.push(payload["event"], payload["payload"])

    @incoming
    def shout(self, payload: Shout) -> None:
        self.broadcast("shout", payload)

    @incoming
    def whisper(self, payload: Any) -> None:
        self.broadcast_from("whisper", payload)

    @intercept("censored")
    def censored(self, payload: Any) -> None:
        """Nobody hears it."""

    @incoming
    def nothing(self, payload: Any) -> None:
        """Nobody hears of it."""

    @incoming
    def remind(self, payload: float) -> None:
        self.send_after(payload, "reminder")

    def handle_info(self, message: Any) -> None:
        self.push("info", {"message": str(message)})

    @incoming
    def answer_later(self, payload: Any) -> None:
        self.later = self.reply_later()

    @incoming
    async def sleep(self, payload: float) -> Reply:
        await anyio.sleep(payload)
        return Reply.ok()

    @incoming
    def crash(self, payload: str) -> None:
        raise ValueError(payload)

    @incoming
    async def crash_in_a_group(self, payload: str) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self.fail, payload)

    async def fail(self, text: str) -> None:
        raise ValueError(text)

    @incoming
    def stop(self, payload: Any) -> Stop:
        return Stop(payload)

    async def terminate(self, reason: Any) -> None:
        self.ended = reason
        if self.subtopic == "bitter end":
            raise ValueError("not like this")
        if self.subtopic == "slow end":
            await anyio.sleep(2)


class UserSocket(Socket):
    channels = {"room:*": RoomChannel}
    user: str | None = None

    async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        self.params = params
        self.info = info
        self.user = params.get("user")
        if self.user == "nobody":
            raise ConnectRefused
        if self.user == "broken":
            raise LookupError("no database")

    def id(self) -> str | None:
        return self.user and f"users:{self.user}"


def make_endpoint(limits: Limits | None = None, **options: Any) -> Endpoint:
    """An endpoint with one mount; the options are those of :meth:`Endpoint.socket`."""
    endpoint = Endpoint(limits=limits)
    endpoint.socket("/socket", UserSocket, **options)
    return endpoint
