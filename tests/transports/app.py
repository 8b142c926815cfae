"""The application that every server here serves, and a journal of what it lived through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio

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
)
from phoenix_channels.transports.options import MountOptions


async def eventually(condition: Callable[[], object], *, seconds: float = 5.0) -> None:
    """Return once the condition holds; fail when it still does not after so many seconds."""
    with anyio.move_on_after(seconds):
        while not condition():
            await anyio.sleep(0.002)
    assert condition(), f"did not come true within {seconds} seconds"


class Journal:
    """What happened on one endpoint."""

    def __init__(self) -> None:
        self.connects: list[tuple[Mapping[str, Any], ConnectInfo]] = []
        self.received: list[Any] = []
        self.terminated: list[tuple[str, Any]] = []

    def reasons(self, topic: str) -> list[Any]:
        """The reasons with which channels of this topic have terminated."""
        return [reason for other, reason in self.terminated if other == topic]


class RoomChannel(Channel["AnySocket"]):
    """Does what its client asks for."""

    shutdown = 0.1

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    async def join(self, payload: Any) -> Any:
        if self.subtopic == "forbidden":
            raise JoinRefused(reason="unauthorized")
        return payload

    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)

    @incoming
    def note(self, payload: Any) -> None:
        self.journal.received.append(payload)

    @incoming
    async def shout(self, payload: Any) -> None:
        self.broadcast("shout", payload)

    @incoming
    async def tell_others(self, payload: Any) -> Reply:
        self.broadcast_from("shout", payload)
        return Reply.ok()

    @incoming
    async def push_me(self, payload: Any) -> None:
        self.push("pushed", payload)

    @incoming
    async def hang(self, payload: Any) -> None:
        self.journal.received.append("hang")
        await anyio.sleep_forever()

    @incoming
    async def crash(self, payload: Any) -> None:
        raise RuntimeError("on purpose")

    @incoming
    async def stop(self, payload: Any) -> Stop:
        return Stop(reply=Reply.ok({"bye": True}))

    async def terminate(self, reason: Any) -> None:
        # A step on the loop: a server that does not wait for it is found out.
        await anyio.sleep(0)
        self.journal.terminated.append((self.topic, reason))


class AnySocket(Socket):
    """Has an id when its client sends ``user``; otherwise does what the param ``connect`` says."""

    journal: Journal

    async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> Any:
        self.journal.connects.append((params, info))
        self.user = params.get("user")
        match params.get("connect"):
            case "refuse":
                raise ConnectRefused
            case "refuse with reason":
                raise ConnectRefused("expired")
            case "crash":
                raise RuntimeError("on purpose")
            case "return":
                return False
            case _:
                return None

    def id(self) -> Any:
        return 7 if self.user == "number" else self.user and "users:" + self.user


def socket_class(journal: Journal) -> type[AnySocket]:
    class RoomSocket(AnySocket):
        channels = {"room:*": channel(RoomChannel, journal)}

    RoomSocket.journal = journal
    return RoomSocket


def make_endpoint(journal: Journal, mount: MountOptions | None = None, **options: Any) -> Endpoint:
    """An endpoint with the application at ``/socket``; the options are those of :class:`Endpoint`."""
    endpoint = Endpoint(**options)
    settings: MountOptions = {"connect_info": ["peer_data", "uri", "user_agent"]}
    endpoint.socket("/socket", socket_class(journal), **settings | (mount or {}))
    return endpoint
