"""Tests as a user writes them with the kit."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, assert_type

import anyio
import pytest
from msgspec import Struct

from phoenix_channels import Channel, Endpoint, Response, Socket
from phoenix_channels.testing import (
    ChannelCase,
    ConnectedSocket,
    FakeClockLoop,
    JoinedChannel,
    Observer,
    Pushed,
    Refused,
    connect,
    fake_clock,
    make_socket,
    subscribe,
)


class Note(Struct):
    body: str


class RoomChannel(Channel["UserSocket"]):
    messages: int


class UserSocket(Socket):
    channels = {"room:*": RoomChannel}
    user_id: str


endpoint = Endpoint()
endpoint.socket("/socket", UserSocket)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return fake_clock(request.param, grace=0.1)


@pytest.fixture
async def room(phoenix: ChannelCase) -> JoinedChannel[RoomChannel]:
    socket = await phoenix.connect({"token": "t", "n": 1, "of": {"a": ["x", True]}}, socket_class=UserSocket)
    assert_type(socket, ConnectedSocket[UserSocket])
    assert_type(socket.server.user_id, str)
    return await socket.join("room:1", {"since": 7}, channel_class=RoomChannel, timeout=2)


@pytest.fixture
async def plain() -> AsyncGenerator[ConnectedSocket]:
    async with connect(endpoint, path="/socket", headers={"origin": "x"}, auth_token="t", peer=("::1", 1)) as socket:
        yield socket


async def test_kit(room: JoinedChannel[RoomChannel], plain: ConnectedSocket) -> None:
    assert_type(room.server.messages, int)
    pushed = room.push("event", Note("hi"))
    assert_type(pushed, Pushed)
    response: dict[str, int] = await pushed.assert_reply("ok", {"id": int, "by": lambda name: name != ""})
    await pushed.refute_reply(..., timeout=response["id"])
    await room.assert_push("event", Note)
    await room.refute_push()
    await room.leave().assert_reply()
    with room.expect_crash(ValueError, match="x") as crash:
        pass
    assert_type(crash.error, BaseException)
    assert_type(await plain.assert_closed(), int)
    plain.server.whatever("it", "is")
    other = await plain.join("room:2")
    assert_type(other, JoinedChannel[Any])
    async with subscribe(endpoint, "topic") as observer:
        assert_type(observer, Observer)
    async with make_socket(endpoint, UserSocket, id="x", user_id="21") as made:
        assert_type(made, ConnectedSocket[UserSocket])
    with pytest.raises(Refused) as refused:
        await connect(endpoint)
    assert_type(refused.value.response, Response)


async def test_case() -> None:
    async with ChannelCase(endpoint) as phoenix:
        assert_type(phoenix, ChannelCase)
        anyio.run(test_case, backend_options={"loop_factory": FakeClockLoop})
