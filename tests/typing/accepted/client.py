"""A client as a user writes it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, assert_type

from msgspec import Struct

from phoenix_channels.client import (
    Channel,
    ChannelState,
    Closed,
    ConnectFailed,
    ConnectionState,
    Errored,
    Joined,
    JoinFailed,
    Left,
    Message,
    Opened,
    PresenceJoined,
    PresenceLeft,
    PushRefused,
    Socket,
    SocketEvent,
    connect,
    ladder,
)


class Unread(Struct):
    unread: int


async def token() -> str:
    return "token"


async def params() -> Mapping[str, str]:
    return {"token": "token"}


def nested() -> dict[str, int]:
    return {"n": 1}


async def main() -> None:
    async with connect("ws://localhost:4000/socket") as socket:
        assert_type(socket, Socket)
        assert_type(socket.state, ConnectionState)
        assert_type(socket.connected, bool)
        channel = await socket.join("room:lobby", {"since": 7}, timeout=5, max_messages=10, rejoins=True)
        assert_type(channel, Channel)
        assert_type(channel.state, ChannelState)
        assert_type(await channel.push("event"), Any)
        assert_type(await channel.push("event", {"id": 1}, timeout=1), Any)
        assert_type(await channel.push("event", {"id": 1}, type=Unread), Unread)
        assert_type(await channel.push("event", b"bytes", type=bytes), bytes)
        channel.push_nowait("event", Unread(1))
        async for message in channel:
            assert_type(message, Message)
            assert_type(message.decode(Unread), Unread)
            assert_type(message.event, str)
        assert_type(await anext(channel), Message)
        async with channel.presence() as presence:
            async for change in presence:
                assert_type(change, PresenceJoined | PresenceLeft)
        await channel.leave()
        await socket.join("room:lobby", lambda: Unread(1))
    async with connect(
        "wss://localhost/socket",
        params={"a": 1, "b": {"c": [True, "d"]}},
        auth_token=token,
        headers={"Origin": "https://localhost"},
        reconnect_after=ladder(0.1, 1, 5),
        rejoin_after=lambda tries: tries / 10,
        ssl=ssl.create_default_context(),
        proxy=True,
    ):
        pass
    for source in (params, nested):
        async with connect("wss://localhost/socket", params=source, auth_token=lambda: "token"):
            pass


async def watch(socket: Socket) -> str:
    async for event in socket:
        assert_type(event, SocketEvent)
        match event:
            case Closed(code=code, error=error):
                assert_type(code, int | None)
                assert_type(error, Exception | None)
            case Joined(channel=channel) | Errored(channel=channel) | Left(channel=channel):
                assert_type(channel, Channel)
            case JoinFailed(response=response):
                assert_type(response, Any)
            case Opened():
                pass
    return "closed"


def explain(error: Exception) -> str:
    if isinstance(error, ConnectFailed):
        assert_type(error.status, int | None)
        assert_type(error.body, bytes)
    if isinstance(error, PushRefused):
        assert_type(error.status, str)
    return str(error)
