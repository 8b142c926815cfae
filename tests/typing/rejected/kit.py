"""What a test cannot say with the kit."""

from phoenix_channels import Channel, Endpoint, Socket
from phoenix_channels.testing import JoinedChannel, connect, fake_clock, make_socket


class RoomChannel(Channel["UserSocket"]):
    messages: int


class UserSocket(Socket):
    user_id: str


async def test_kit(endpoint: Endpoint) -> None:
    connect(endpoint, {"user": object()})  # error
    connect(endpoint, socket_class=RoomChannel)  # error
    connect(endpoint, cookies={})  # error
    make_socket(endpoint, UserSocket, id=21)  # error
    socket = await connect(endpoint, socket_class=UserSocket)
    socket.server.name  # error
    room = await socket.join("room:1", channel_class=RoomChannel)
    room.server.name  # error
    await room.push("event")  # error
    await room.assert_push()  # error
    await room.assert_push("event", {}, 3)  # error
    room.leave().assert_closed()  # error
    JoinedChannel[UserSocket]  # error
    fake_clock("asyncio", 1)  # error
