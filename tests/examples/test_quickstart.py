"""The first server with the real phoenix.js, the tour, the steps of the tutorial and the code of the guides."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websockets.sync.server
from anyio import to_thread
from websockets.exceptions import InvalidStatus

from examples import tour
from examples.quickstart import mentions, replies
from examples.quickstart.guides import background_work, broadcasting, intercept_and_info, sans_io, typed_payloads
from phoenix_channels import BroadcastQueueFull
from phoenix_channels.client import (
    Channel,
    ConnectFailed,
    JoinRefused,
    PushLost,
    PushRefused,
    Socket,
    connect,
    ladder,
)
from tests.examples.programs import Node
from tests.support.clients import close_code, connect_to, connected, serving
from tests.support.loops import soon
from tests.support.processes import running
from tests.transports.clients import connect as raw_client
from tests.transports.servers import uvicorn_server


async def refusal(url: str, **params: str) -> int | None:
    """The HTTP status that a connection is refused with."""
    with pytest.raises(ConnectFailed) as refused:
        async with connect(url, params=params):
            pass
    return refused.value.status


async def answer(channel: Channel, name: str, payload: Any) -> tuple[str, Any]:
    """Push; return the status and the response of the reply."""
    try:
        return "ok", await channel.push(name, payload)
    except PushRefused as refused:
        return refused.status, refused.response


async def refused_join(socket: Socket, topic: str, params: object) -> Any:
    """The response of a join that is refused."""
    with pytest.raises(JoinRefused) as refused:
        await socket.join(topic, params)
    return refused.value.response


async def event(channel: Channel) -> tuple[str, Any]:
    """The name and the payload of the next message."""
    message = await soon(anext(channel))
    return message.event, message.payload


# The first server and its client


def test_server_and_client(node: Node) -> None:
    server = [sys.executable, "-m", "uvicorn", "examples.quickstart.server:app", "--port", "0"]
    with running(*server) as process, node.running("client.mjs", process.port()) as printing:
        printing.line(r"^Hello from phoenix\.js$")


# The steps of the tutorial


async def test_replies() -> None:
    async with connected(replies.app) as socket:
        assert await refused_join(socket, "notifications:", {}) == {"reason": "whose notifications?"}
        channel = await socket.join("notifications:ada")
        assert channel.reply == {"unread": 3}
        assert await answer(channel, "mark_read", {"id": 2}) == ("ok", {"unread": 2})
        assert await answer(channel, "mark_read", {"id": 2}) == ("error", {"reason": "not found"})
        status, response = await answer(channel, "mark_read", {"id": "2"})
        assert status == "error"
        assert response == {"reason": "invalid payload", "detail": "Expected `int`, got `str` - at `$.id`"}


async def test_tour() -> None:
    async with connected(tour.endpoint, params={"token": "ada's token"}) as socket:
        channel = await socket.join("notifications:21")
        assert channel.reply == "Joined Notification:21"
        stats = await socket.join("user_approval_stats:21")
        assert stats.reply == {"approved": 0, "rejected": 0, "days": 7}
        assert await refused_join(socket, "notifications:22", {}) == {"reason": "unauthorized"}

        channel.push_nowait("new_notification", {"body": "from the client"})
        assert await event(channel) == ("new_notification", {"body": "from the client"})
        await to_thread.run_sync(tour.notify, "21", "from a thread")
        assert await event(channel) == ("new_notification", {"body": "from a thread"})

        await tour.endpoint.disconnect("users_socket:21")
        assert await close_code(socket) == 1001


async def test_tour_refuses_strangers() -> None:
    async with serving(tour.endpoint) as port:
        assert await refusal(f"ws://127.0.0.1:{port}/socket") == 403
        assert await refusal(f"ws://127.0.0.1:{port}/socket", token="nobody's") == 403


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_mentions() -> None:
    async with (
        uvicorn_server(mentions.app) as port,
        connect_to(port, params={"token": "grace's token"}) as socket,
    ):
        channel = await socket.join("notifications:22")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            posted = await http.post("/posts", params={"text": "@grace look at this"})
        assert (posted.status_code, posted.json()) == (201, ["grace"])
        assert await event(channel) == ("new_notification", {"body": "@grace look at this"})


# The code of the guides


GAME: list[tuple[str, Any, tuple[str, Any]]] = [
    ("turn", {"type": "move", "x": 1, "y": 2}, ("ok", {"at": [1, 2]})),
    ("turn", {"type": "resign"}, ("ok", {"over": "no reason given"})),
    ("turn", {"type": "pass"}, ("error", "Invalid value 'pass' - at `$.type`")),
    ("invite", {"user_id": "21", "unknown": 1}, ("ok", {"invited": "21"})),
    ("invite", {}, ("error", "Object missing required field `user_id`")),
    ("rename", {"name": "", "old": ""}, ("error", "Expected `str` of length >= 1 - at `$.name`")),
    ("rename", {"name": "a", "old": ""}, ("error", "Object contains unknown field `old`")),
    ("chat", ["a", "b"], ("ok", ["a", "b"])),
    ("chat", 1, ("error", "Expected `str | array`, got `int`")),
    ("picture", {}, ("error", "Expected a binary payload")),
    ("picture", bytes(1000), ("ok", {"size": 1000})),
    ("debug", [1], ("ok", {"type": "list"})),
]


async def test_typed_payloads() -> None:
    async with connected(typed_payloads.endpoint) as socket:
        refused = await refused_join(socket, "game:1", {"sound": "loud"})
        assert refused == {"reason": "invalid payload", "detail": "Expected `bool`, got `str` - at `$.sound`"}
        channel = await socket.join("game:1", {"sound": False})
        assert channel.reply == {"sound": False}
        for name, payload, (status, expected) in GAME:
            response = {"reason": "invalid payload", "detail": expected} if status == "error" else expected
            assert await answer(channel, name, payload) == (status, response)
        channel.push_nowait("rename", {"name": "chess"})
        assert await event(channel) == ("renamed", {"name": "chess"})


async def test_broadcasting(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    original = broadcasting.tell

    def tell(body: str) -> None:
        # The queue is full at the first attempt.
        if not pauses:
            raise BroadcastQueueFull
        original(body)

    async with connected(broadcasting.endpoint) as socket:
        channel = await socket.join("room:lobby")
        await broadcasting.count_down(0)
        assert await event(channel) == ("new_message", {"body": "Go!"})
        monkeypatch.setattr(broadcasting, "tell", tell)
        monkeypatch.setattr(broadcasting, "sleep", pauses.append)
        await to_thread.run_sync(broadcasting.tell_all, ["a", "b"])
        assert await event(channel) == ("new_message", {"body": "a"})
        assert await event(channel) == ("new_message", {"body": "b"})
        assert pauses == [0.01]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_broadcasting_to_an_archive() -> None:
    async with uvicorn_server(broadcasting.app) as port, connect_to(port) as socket:
        channel = await socket.join("room:lobby")
        broadcasting.tell("remember me")
        assert await event(channel) == ("new_message", {"body": "remember me"})
        await channel.leave()
    assert broadcasting.archive.messages == ["remember me"]


async def test_rooms_refuse_who_has_no_name() -> None:
    async with serving(intercept_and_info.endpoint) as port:
        assert await refusal(f"ws://127.0.0.1:{port}/socket") == 403


async def test_background_work() -> None:
    threading.Thread(target=background_work.work, daemon=True).start()
    async with connected(background_work.endpoint) as socket:
        channel = await socket.join("report")
        assert await channel.push("report", 2) == {"pages": 2}
        assert await event(channel) == ("progress", {"page": 1})
        assert await event(channel) == ("progress", {"page": 2})
        expected = hashlib.pbkdf2_hmac("sha256", b"text", b"salt", 100_000).hex()
        assert await channel.push("digest", "text") == expected
        assert await channel.push("enqueue", "hi") == {"shouted": "HI"}


@pytest.fixture
def echo_port() -> Iterator[int]:
    """The server of threads, without the signals of its ``main``."""
    server = websockets.sync.server.serve(sans_io.handler, "127.0.0.1", 0, process_request=sans_io.process_request)
    thread = threading.Thread(target=server.serve_forever)
    with server:
        thread.start()
        yield server.socket.getsockname()[1]
    thread.join()


async def test_sans_io(echo_port: int) -> None:
    async with connect(f"ws://127.0.0.1:{echo_port}", heartbeat_interval=0.001, rejoin_after=ladder(0.001)) as socket:
        assert await refused_join(socket, "other", {}) == {"reason": "unmatched topic"}
        channel = await socket.join("echo:1")
        assert await channel.push("echo", [1, {"a": 2}]) == [1, {"a": 2}]
        await channel.leave()
        channel = await socket.join("echo:1")
        with pytest.raises(PushLost):
            await channel.push("unknown")
        assert await channel.push("echo", {}) == {}


async def test_sans_io_ends_a_connection_with_nonsense(echo_port: int) -> None:
    async with raw_client(echo_port, "/websocket") as client:
        await client.connection.send("no JSON")
        assert await client.close_code() == 1011


async def test_sans_io_refuses_other_versions(echo_port: int) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        async with raw_client(echo_port, "/websocket", "vsn=3.0.0"):
            pass


def test_sans_io_runs() -> None:
    with running(sys.executable, "-m", "examples.quickstart.guides.sans_io", environment={"PORT": "0"}) as process:
        process.line(r"^ws://127\.0\.0\.1:\d+/websocket$")
