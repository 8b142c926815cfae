"""The code of the guide to the client."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from examples import tour
from examples.quickstart import replies
from examples.quickstart.guides import client as guide
from phoenix_channels import Channel, Endpoint, Socket, incoming
from phoenix_channels.client import connect
from tests.client.app import make_endpoint, restartable, these
from tests.support.clients import connect_to, connected, serving
from tests.support.loops import Journal, settle, soon
from tests.transports.app import eventually


class FeedChannel(Channel):
    posts: list[int] = []

    async def join(self, payload: Any) -> Any:
        return {"missed": [number for number in self.posts if number > payload["since"]]}

    @incoming
    def post(self, payload: Any) -> None:
        self.posts.append(payload["id"])
        self.broadcast("post", payload)


def feed() -> Endpoint:
    class FeedSocket(Socket):
        channels = {"feed": FeedChannel}

    FeedChannel.posts = [1, 2]
    endpoint = Endpoint()
    endpoint.socket("/socket", FeedSocket)
    return endpoint


async def test_the_first_client(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(replies.app) as port:
        await soon(guide.main(f"ws://127.0.0.1:{port}/socket"))
    assert capsys.readouterr().out == "unread: 3\nunread: 2\n"


async def test_replies(capsys: pytest.CaptureFixture[str]) -> None:
    async with connected(replies.app) as socket:
        channel = await socket.join("notifications:ada")
        assert await guide.mark_read(channel, 2) == 2
        assert await guide.mark_read(channel, 2) is None
    assert capsys.readouterr().out == "refused: not found\n"


async def test_messages_of_somebody_with_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    async def log_in() -> str:
        asked.append("ada")
        return "ada's token"

    async with serving(tour.endpoint) as port, anyio.create_task_group() as group:
        group.start_soon(guide.watch, f"ws://127.0.0.1:{port}/socket", log_in)
        async with connect(f"ws://127.0.0.1:{port}/socket", params={"token": "ada's token"}) as socket:
            channel = await socket.join("notifications:21")
            await eventually(lambda: tour.endpoint.statistics().channels == 2)
            tour.notify("21", "hello")
            tour.endpoint.broadcast("notifications:21", "something else", {"n": 1})
            assert [(await soon(anext(channel))).event for _ in range(2)] == ["new_notification", "something else"]
        await settle()
        group.cancel_scope.cancel()
    assert capsys.readouterr().out == "hello\nsomething else {'n': 1}\n"
    assert asked == ["ada"]


async def test_every_post_once(capsys: pytest.CaptureFixture[str]) -> None:
    follower = guide.Follower()
    async with serving(feed()) as port, connect_to(port) as socket, anyio.create_task_group() as group:
        group.start_soon(follower.follow, socket)
        async with connect_to(port) as author:
            channel = await author.join("feed", {"since": 0})
            channel.push_nowait("post", {"id": 3})
            await eventually(lambda: follower.last == 3)
        group.cancel_scope.cancel()
    assert capsys.readouterr().out == "post 1\npost 2\npost 3\n"


async def test_every_post_once_after_a_rejoin(capsys: pytest.CaptureFixture[str]) -> None:
    follower = guide.Follower()
    endpoint = feed()
    async with (
        restartable(endpoint) as server,
        connect_to(server.port) as socket,
        anyio.create_task_group() as group,
    ):
        group.start_soon(follower.follow, socket)
        await eventually(lambda: follower.last == 2)
        await server.stop()
        FeedChannel.posts.append(3)
        await server.start()
        await eventually(lambda: follower.last == 3)
        endpoint.broadcast("feed", "post", {"id": 4})
        await eventually(lambda: follower.last == 4)
        group.cancel_scope.cancel()
    assert capsys.readouterr().out == "post 1\npost 2\npost 3\npost 4\n"


async def test_status(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []

    def said(line: str, times: int = 1) -> bool:
        lines.extend(capsys.readouterr().out.splitlines())
        return lines.count(line) == times

    async with (
        restartable(make_endpoint(Journal())) as server,
        connect_to(server.port) as socket,
        anyio.create_task_group() as group,
    ):
        group.start_soon(guide.print_status, socket)
        await socket.join("room:a")
        await eventually(lambda: said("room:a is joined"))
        await server.stop()
        await eventually(lambda: said("disconnected: 1001"))
        await server.start()
        await eventually(lambda: said("room:a is joined", 2))
        group.cancel_scope.cancel()
    assert lines[:4] == ["connected", "room:a is joined", "disconnected: 1001", "room:a is not joined any more"]


async def test_presence(capsys: pytest.CaptureFixture[str]) -> None:
    async with connected(make_endpoint(Journal())) as socket, anyio.create_task_group() as group:
        channel = await socket.join("room:a")
        group.start_soon(guide.print_presence, channel)
        here, there = {"metas": [{"phx_ref": "1"}]}, {"metas": [{"phx_ref": "2"}]}
        await channel.push("say", these(("presence_state", {"ada": here})))
        for diff in (
            {"joins": {"grace": here}, "leaves": {}},
            {"joins": {"ada": there}, "leaves": {}},
            {"joins": {}, "leaves": {"grace": here}},
        ):
            await channel.push("say", these(("presence_diff", diff)))
        await settle()
        group.cancel_scope.cancel()
    assert capsys.readouterr().out.splitlines() == [
        "here: ada",
        "ada is here",
        "grace is here",
        "ada has 2 windows open",
        "grace has left",
    ]
