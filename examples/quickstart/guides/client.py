"""Clients in Python.

Run the first one beside ``uvicorn examples.quickstart.replies:app``: ``python -m examples.quickstart.guides.client``.
"""

import sys
from collections.abc import Awaitable, Callable

import anyio
from msgspec import Struct

from phoenix_channels.client import (
    Channel,
    Closed,
    Errored,
    Joined,
    Message,
    Opened,
    PresenceJoined,
    PresenceLeft,
    PushRefused,
    Socket,
    connect,
)


# Start: first
async def main(url: str) -> None:
    async with connect(url) as socket:
        channel = await socket.join("notifications:ada")
        print("unread:", channel.reply["unread"])
        response = await channel.push("mark_read", {"id": 3})
        print("unread:", response["unread"])


# End: first


# Start: messages
class Notification(Struct):
    body: str


async def print_notifications(channel: Channel) -> None:
    async for message in channel:
        match message.event:
            case "new_notification":
                print(message.decode(Notification).body)
            case _:
                print(message.event, message.payload)


# End: messages


# Start: replies
class Unread(Struct):
    unread: int


async def mark_read(channel: Channel, notification: int) -> int | None:
    try:
        answer = await channel.push("mark_read", {"id": notification}, type=Unread, timeout=5)
    except PushRefused as refused:
        print("refused:", refused.response["reason"])
        return None
    return answer.unread


# End: replies


# Start: token
async def watch(url: str, log_in: Callable[[], Awaitable[str]]) -> None:
    async with connect(url, params=lambda: token_params(log_in), jitter=0.5, retry=True) as socket:
        await print_notifications(await socket.join("notifications:21"))


async def token_params(log_in: Callable[[], Awaitable[str]]) -> dict[str, str]:
    return {"token": await log_in()}


# End: token


# Start: since
class Follower:
    """Sees every post of a feed once, whatever happens to the connection."""

    def __init__(self) -> None:
        self.last = 0

    async def follow(self, socket: Socket) -> None:
        channel = await socket.join("feed", lambda: {"since": self.last}, rejoins=True)
        self.take(channel.reply["missed"])
        async for message in channel:
            match message:
                case Message("phx_join", {"missed": missed}):
                    self.take(missed)
                case Message("post", {"id": number}):
                    self.take([number])
                case _:
                    pass

    def take(self, numbers: list[int]) -> None:
        for number in numbers:
            if number > self.last:
                self.last = number
                print("post", number)


# End: since


# Start: status
async def print_status(socket: Socket) -> None:
    async for event in socket:
        match event:
            case Opened():
                print("connected")
            case Closed(code=code, error=error):
                print("disconnected:", error or code)
            case Errored(channel=channel):
                print(channel.topic, "is not joined any more")
            case Joined(channel=channel):
                print(channel.topic, "is joined")
            case _:
                pass


# End: status


# Start: presence
async def print_presence(channel: Channel) -> None:
    async with channel.presence() as presence:
        await presence.synced()
        print("here:", ", ".join(presence.list()) or "nobody")
        async for change in presence:
            match change:
                case PresenceJoined(key=user, before=None):
                    print(user, "is here")
                case PresenceLeft(key=user, after={"metas": []}):
                    print(user, "has left")
                case _:
                    print(change.key, "has", len(presence.list()[change.key]["metas"]), "windows open")


# End: presence

if __name__ == "__main__":
    anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8000/socket")
