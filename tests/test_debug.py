"""Looking into a running endpoint (A170)."""

import threading
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, Endpoint, Socket, Stop, incoming
from phoenix_channels.debug import ChannelInfo
from phoenix_channels.raw_socket import RawSocket
from tests.support import frames
from tests.support.asgi import serving
from tests.support.loops import settle


class RoomChannel(Channel):
    pass


class SlowChannel(Channel):
    """Takes until it is told to go on, both in and out."""

    go_on: anyio.Event

    async def join(self, payload: Any) -> None:
        self.go_on = anyio.Event()
        await self.go_on.wait()

    @incoming
    def stop(self, payload: Any) -> Stop:
        return Stop("normal")

    async def terminate(self, reason: Any) -> None:
        self.go_on = anyio.Event()
        await self.go_on.wait()


class UserSocket(Socket):
    channels = {"room:*": RoomChannel, "slow:*": SlowChannel}

    def connect(self, params: Any, info: Any) -> None:
        self.name = params.get("name")

    def id(self) -> str | None:
        return self.name and f"users:{self.name}"


class EchoSocket(RawSocket):
    def handle_in(self, data: str | bytes) -> str | bytes:
        return data


def make_endpoint() -> Endpoint:
    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket)
    endpoint.socket("/echo", EchoSocket)
    return endpoint


@pytest.mark.feature("B148")
async def test_connections_are_listed() -> None:
    endpoint = make_endpoint()
    debug = endpoint.debug
    assert debug.sockets() == []
    async with serving(endpoint) as server:
        ada = await server.connect(query="vsn=2.0.0&name=ada")
        await ada.join("room:a")
        await ada.join("room:b")
        await server.connect()
        first, second = debug.sockets()
        assert isinstance(first.socket, UserSocket)
        assert first.socket.name == "ada"
        assert (first.socket_class, first.id, first.transport, first.channels) == (
            UserSocket,
            "users:ada",
            "websocket",
            2,
        )
        assert (second.id, second.channels) == (None, 0)
        await ada.close()
        assert debug.sockets() == [second]
    assert debug.sockets() == []


@pytest.mark.feature("B148")
async def test_the_channels_of_a_connection_are_listed() -> None:
    endpoint = make_endpoint()
    debug = endpoint.debug
    async with serving(endpoint) as server:
        client = await server.connect()
        [info] = debug.sockets()
        assert debug.channels(info.socket) == []
        await client.join("room:a")
        [room] = debug.channels(info.socket)
        assert (room.topic, room.status) == ("room:a", "joined")
        assert isinstance(room.channel, RoomChannel)
        assert room.channel.topic == "room:a"
        assert room.channel.socket is info.socket
        assert await client.call("1", "2", "room:a", "phx_leave") == frames.reply("1", "2", "room:a")
        assert await client.receive() == frames.closed("1", "room:a")
        await settle()
        assert debug.channels(info.socket) == []


async def test_a_channel_is_listed_on_its_way_in_and_out() -> None:
    endpoint = make_endpoint()
    debug = endpoint.debug

    async with serving(endpoint) as server:
        client = await server.connect()
        [info] = debug.sockets()

        def only() -> tuple[str, SlowChannel]:
            [found] = debug.channels(info.socket)
            assert isinstance(found.channel, SlowChannel)
            return found.status, found.channel

        client.send_nowait(["1", "1", "slow:a", "phx_join", {}])
        await settle()
        status, channel = only()
        assert status == "joining"
        channel.go_on.set()
        assert await client.receive() == frames.reply("1", "1", "slow:a")
        assert only() == ("joined", channel)
        client.send_nowait(["1", "2", "slow:a", "stop", {}])
        assert await client.receive() == frames.closed("1", "slow:a")
        await settle()
        assert only() == ("leaving", channel)
        assert debug.sockets()[0].channels == 1

        # The next one waits for its end.
        client.send_nowait(["3", "3", "slow:a", "phx_join", {}])
        await settle()
        assert debug.channels(info.socket) == [
            ChannelInfo(topic="slow:a", channel=channel, status="leaving"),
            ChannelInfo(topic="slow:a", channel=None, status="joining"),
        ]
        channel.go_on.set()
        await settle()
        status, second = only()
        assert (status, second is channel) == ("joining", False)
        second.go_on.set()
        assert await client.receive() == frames.reply("3", "3", "slow:a")
        client.close_nowait()
        await settle()
        second.go_on.set()


async def test_a_raw_socket_has_no_channels() -> None:
    endpoint = make_endpoint()
    debug = endpoint.debug
    async with serving(endpoint) as server:
        await server.connect("/echo/websocket")
        [info] = debug.sockets()
        assert (info.socket_class, info.channels) == (EchoSocket, 0)
        assert debug.channels(info.socket) == []


@pytest.mark.feature("B148")
async def test_what_is_not_connected_here_is_an_error() -> None:
    endpoint, other = make_endpoint(), make_endpoint()
    debug = endpoint.debug
    async with serving(endpoint) as server:
        client = await server.connect()
        [info] = debug.sockets()
        with pytest.raises(LookupError, match=r"UserSocket object .* is not connected to this endpoint, or no more"):
            other.debug.channels(info.socket)
        with pytest.raises(LookupError):
            debug.channels(UserSocket())
        await client.close()
        with pytest.raises(LookupError):
            debug.channels(info.socket)


@pytest.mark.feature("B148")
@pytest.mark.parametrize("wrong", [None, "users:ada", UserSocket, RoomChannel])
def test_what_is_no_socket_is_an_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"channels takes a socket, such as those of sockets\(\), not"):
        make_endpoint().debug.channels(wrong)


async def test_another_thread_may_look() -> None:
    endpoint = make_endpoint()
    debug = endpoint.debug
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        seen: list[Any] = []
        thread = threading.Thread(target=lambda: seen.extend(debug.channels(debug.sockets()[0].socket)))
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        assert [channel.topic for channel in seen] == ["room:a"]
        await client.heartbeat()
