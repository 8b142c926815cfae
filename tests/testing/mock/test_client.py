"""The client of this library against a mock: what a test of a client looks like."""

from __future__ import annotations

import pytest

from phoenix_channels.client import (
    Closed,
    ConnectFailed,
    Errored,
    Joined,
    JoinRefused,
    JoinTimeout,
    Left,
    Opened,
    PushLost,
    PushRefused,
    PushTimeout,
    SocketEvent,
)
from phoenix_channels.testing.mock import MockPhoenix
from tests.support.clients import connect_to, until
from tests.support.loops import soon


async def test_a_refused_connect_names_its_status(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_connect({"token": "bad"}).refuse(401)
    with pytest.raises(ConnectFailed) as failed:
        async with connect_to(phoenix_mock.port, params={"token": "bad"}):
            pass
    assert failed.value.status == 401
    async with connect_to(phoenix_mock.port, params={"token": "good"}, auth_token="secret"):
        pass
    await phoenix_mock.wait_for("connect")
    assert (await phoenix_mock.wait_for("connect", payload={"token": "good"})).auth_token == "secret"


async def test_joins_are_refused_time_out_and_succeed(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:1").refuse({"reason": "full"}).times(1)
    phoenix_mock.on_join("room:1").silent().times(1)
    phoenix_mock.on_join("room:1").reply({"n": 1})
    async with connect_to(phoenix_mock.port) as socket:
        with pytest.raises(JoinRefused) as refused:
            await socket.join("room:1")
        assert refused.value.response == {"reason": "full"}
        with pytest.raises(JoinTimeout):
            await socket.join("room:1", timeout=0.05)
        assert (await socket.join("room:1")).reply == {"n": 1}


async def test_pushes_are_answered_refused_and_lost(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_push("room:1", "no").reply({"reason": "no"}, status="error")
    phoenix_mock.on_push("room:1", "silent").silent()
    phoenix_mock.on_push("room:1", "drop").drop()
    async with connect_to(phoenix_mock.port) as socket:
        channel = await socket.join("room:1")
        assert await channel.push("echo", {"n": 1}) == {"n": 1}
        assert await channel.push("echo", b"\0\xff") == b"\0\xff"
        with pytest.raises(PushRefused, match="error"):
            await channel.push("no")
        with pytest.raises(PushTimeout):
            await channel.push("silent", timeout=0.01)
        with pytest.raises(PushLost):
            await channel.push("drop")


async def test_messages_arrive(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:1").push("hello", {"n": 1})
    async with connect_to(phoenix_mock.port) as socket:
        channel = await socket.join("room:1")
        await phoenix_mock.push("room:1", "blob", b"\0")
        await phoenix_mock.broadcast("room:1", "news", {"n": 2})
        messages = [await soon(anext(channel)) for _ in range(3)]
    assert [(message.event, message.payload) for message in messages] == [
        ("hello", {"n": 1}),
        ("blob", b"\0"),
        ("news", {"n": 2}),
    ]


async def test_a_crashed_channel_joins_again_and_a_closed_one_does_not(phoenix_mock: MockPhoenix) -> None:
    async with connect_to(phoenix_mock.port) as socket:
        channel = await socket.join("room:1")
        await phoenix_mock.crash_channels("room:1")
        await until(socket, Joined, Errored, Joined)
        await phoenix_mock.close_channels("room:1")
        await until(socket, Left)
        assert not channel.joined
    joins = [entry for entry in phoenix_mock.received if entry.kind == "join"]
    assert len(joins) == 2


async def test_a_lost_connection_comes_back_with_its_channels(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_connect().times(1)
    phoenix_mock.on_connect().refuse(503).times(2)
    async with connect_to(phoenix_mock.port) as socket:
        channel = await socket.join("room:1", {"as": "ann"})
        phoenix_mock.drop_all()
        assert (await until(socket, Joined, Closed))[-1] == Closed(None, None)
        await until(socket, Opened, Joined)
        assert await channel.push("ping", {"n": 1}) == {"n": 1}
        phoenix_mock.close_all(1012)
        assert (await until(socket, Closed))[-1] == Closed(1012, None)
        await until(socket, Opened, Joined)
    joins = [entry for entry in phoenix_mock.received if entry.kind == "join"]
    assert [(entry.client, entry.payload) for entry in joins] == [(n, {"as": "ann"}) for n in (1, 4, 5)]


@pytest.mark.parametrize("end", ["drop", "close", "crash", "restart", "rule"])
async def test_a_push_is_for_who_has_come_back(phoenix_mock: MockPhoenix, end: str) -> None:
    phoenix_mock.on_push("room:1", "crash").silent().crash()
    async with connect_to(phoenix_mock.port) as socket:
        channel = await socket.join("room:1")
        match end:
            case "drop":
                phoenix_mock.drop_all()
            case "close":
                phoenix_mock.close_all()
            case "crash":
                await phoenix_mock.crash_channels("room:1")
            case "restart":
                await phoenix_mock.restart()
            case _:
                with pytest.raises(PushLost):
                    await channel.push("crash")
        assert await phoenix_mock.push("room:1", "news", {"n": 1}) == 1
        assert (await soon(anext(channel))).payload == {"n": 1}
        assert phoenix_mock.clients == 1


async def test_a_server_that_restarts_is_found_again(phoenix_mock: MockPhoenix) -> None:
    async with connect_to(phoenix_mock.port) as socket:
        channel = await socket.join("room:1")
        async with phoenix_mock.offline():
            failed: list[SocketEvent] = []
            while len(failed) < 2:
                failed += [event for event in await until(socket, Closed) if isinstance(event, Closed) and event.error]
        await until(socket, Opened, Joined)
        assert await channel.push("ping", {"n": 1}) == {"n": 1}


async def test_a_server_that_answers_no_heartbeat_is_left(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_heartbeat().silent().times(1)
    async with connect_to(phoenix_mock.port, heartbeat_interval=0.01, heartbeat_timeout=0.05) as socket:
        await socket.join("room:1")
        await until(socket, Closed, Opened, Joined)
    assert (await phoenix_mock.wait_for("heartbeat")).client == 1
