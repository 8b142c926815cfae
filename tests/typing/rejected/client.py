"""What a client cannot be asked for."""

from __future__ import annotations

from phoenix_channels.client import Channel, Socket, connect

connect("ws://localhost/socket", {"token": "a"})  # error: options have names
connect("ws://localhost/socket", params={"a": None})  # error
connect("ws://localhost/socket", auth_token=7)  # error
connect("ws://localhost/socket", headers=["a"])  # error
Channel()  # error: join makes them


async def use(socket: Socket, channel: Channel) -> None:
    await socket.join(7)  # error
    await channel.push("event", {}, 5)  # error
    number: int = await channel.push("event", type=str)  # error
    channel.push_nowait("event", type=str)  # error
    print(number)
