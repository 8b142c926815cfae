"""The first server with the real phoenix.js, the tour, the steps of the tutorial and the code of the guides."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import websockets.sync.server
from anyio import to_thread
from websockets.exceptions import InvalidStatus

from examples import tour
from examples.quickstart import mentions, replies
from examples.quickstart.guides import background_work, broadcasting, intercept_and_info, sans_io, typed_payloads
from phoenix_channels import BroadcastQueueFull, Endpoint
from tests.examples.programs import Node, line_of, running
from tests.transports.clients import Client, connect, on_trio
from tests.transports.servers import asyncio_server, trio_server, uvicorn_server

ROOT = Path(__file__).parents[2]


def serve(endpoint: Endpoint) -> AbstractAsyncContextManager[int]:
    """Serve the endpoint on the loop of the test, by a server of ``websockets``; the value is the port."""
    return trio_server(endpoint) if on_trio() else asyncio_server(endpoint)


def query(**params: str) -> str:
    return urlencode({"vsn": "2.0.0", **params})


@asynccontextmanager
async def connected(endpoint: Endpoint, **params: str) -> AsyncGenerator[Client]:
    """A client of the endpoint."""
    async with serve(endpoint) as port, connect(port, query=query(**params)) as client:
        yield client


async def refusal(port: int, **params: str) -> int:
    """The HTTP status that a connection is refused with."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(port, query=query(**params)):
            pass
    return refused.value.response.status_code


async def answer(client: Client, topic: str, event: str, payload: Any) -> tuple[str, Any]:
    """Push; return the status and the response of the reply."""
    ref = await client.push(topic, event, payload)
    _, reply_ref, _, name, reply = await client.receive()
    assert (reply_ref, name) == (ref, "phx_reply")
    return reply["status"], reply["response"]


async def event(client: Client) -> tuple[str, Any]:
    """The name and the payload of what comes next, which is no reply."""
    _, ref, _, name, payload = await client.receive()
    assert ref is None
    return name, payload


# The first server and its client


def test_server_and_client(node: Node) -> None:
    server = [sys.executable, "-m", "uvicorn", "examples.quickstart.server:app", "--port", "0"]
    with running(*server, cwd=ROOT) as serving:
        port = line_of(serving, r"running on http://127\.0\.0\.1:(\d+)")[1]
        with node.running("client.mjs", int(port)) as printing:
            line_of(printing, r"^Hello from phoenix\.js$")


# The steps of the tutorial


async def test_replies() -> None:
    async with connected(replies.app) as client:
        assert await answer(client, "notifications:", "phx_join", {}) == (
            "error",
            {"reason": "whose notifications?"},
        )
        topic = "notifications:ada"
        assert await client.join(topic) == {"unread": 3}
        assert await answer(client, topic, "mark_read", {"id": 2}) == ("ok", {"unread": 2})
        assert await answer(client, topic, "mark_read", {"id": 2}) == ("error", {"reason": "not found"})
        status, response = await answer(client, topic, "mark_read", {"id": "2"})
        assert status == "error"
        assert response == {"reason": "invalid payload", "detail": "Expected `int`, got `str` - at `$.id`"}


async def test_tour() -> None:
    async with connected(tour.endpoint, token="ada's token") as client:
        assert await client.join("notifications:21") == "Joined Notification:21"
        assert await client.join("user_approval_stats:21") == {"approved": 0, "rejected": 0, "days": 7}
        refused = await answer(client, "notifications:22", "phx_join", {})
        assert refused == ("error", {"reason": "unauthorized"})

        await client.push("notifications:21", "new_notification", {"body": "from the client"})
        assert await event(client) == ("new_notification", {"body": "from the client"})
        await to_thread.run_sync(tour.notify, "21", "from a thread")
        assert await event(client) == ("new_notification", {"body": "from a thread"})

        await tour.endpoint.disconnect("users_socket:21")
        assert await client.close_code() == 1001


async def test_tour_refuses_strangers() -> None:
    async with serve(tour.endpoint) as port:
        assert await refusal(port) == 403
        assert await refusal(port, token="nobody's") == 403


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_mentions() -> None:
    async with uvicorn_server(mentions.app) as port, connect(port, query=query(token="grace's token")) as client:
        await client.join("notifications:22")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            posted = await http.post("/posts", params={"text": "@grace look at this"})
        assert (posted.status_code, posted.json()) == (201, ["grace"])
        assert await event(client) == ("new_notification", {"body": "@grace look at this"})


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
    ("debug", [1], ("ok", {"type": "list"})),
]


async def test_typed_payloads() -> None:
    async with connected(typed_payloads.endpoint) as client:
        topic = "game:1"
        refused = await answer(client, topic, "phx_join", {"sound": "loud"})
        assert refused[1] == {"reason": "invalid payload", "detail": "Expected `bool`, got `str` - at `$.sound`"}
        assert await client.join(topic, {"sound": False}) == {"sound": False}
        for name, payload, (status, expected) in GAME:
            response = {"reason": "invalid payload", "detail": expected} if status == "error" else expected
            assert await answer(client, topic, name, payload) == (status, response)
        await client.push(topic, "rename", {"name": "chess"})
        assert await event(client) == ("renamed", {"name": "chess"})

        await client.connection.send(b"\x00\x00\x01\x06\x079game:1picture" + bytes(1000))
        status, response = (await client.receive())[4].values()
        assert (status, response) == ("ok", {"size": 1000})


async def test_broadcasting(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    original = broadcasting.tell

    def tell(body: str) -> None:
        # The queue is full at the first attempt.
        if not pauses:
            raise BroadcastQueueFull
        original(body)

    async with connected(broadcasting.endpoint) as client:
        await client.join("room:lobby")
        await broadcasting.count_down(0)
        assert await event(client) == ("new_message", {"body": "Go!"})
        monkeypatch.setattr(broadcasting, "tell", tell)
        monkeypatch.setattr(broadcasting, "sleep", pauses.append)
        await to_thread.run_sync(broadcasting.tell_all, ["a", "b"])
        assert [await event(client), await event(client)] == [
            ("new_message", {"body": "a"}),
            ("new_message", {"body": "b"}),
        ]
        assert pauses == [0.01]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_broadcasting_to_an_archive() -> None:
    async with uvicorn_server(broadcasting.app) as port, connect(port) as client:
        await client.join("room:lobby")
        broadcasting.tell("remember me")
        assert await event(client) == ("new_message", {"body": "remember me"})
        assert await client.call("room:lobby", "phx_leave") == {}
    assert broadcasting.archive.messages == ["remember me"]


async def test_intercept() -> None:
    endpoint = intercept_and_info.endpoint
    async with serve(endpoint) as port:
        assert await refusal(port) == 403
    async with connected(endpoint, user="ada", blocked="grace") as client:
        await client.join("room:lobby")
        for user in ("grace", "linus"):
            endpoint.broadcast("room:lobby", "new_message", {"body": "hi", "from": user})
        assert await event(client) == ("new_message", {"body": "hi", "from": "linus"})
        await client.push("room:lobby", "new_message", {"body": "hello"})
        assert await event(client) == ("new_message", {"body": "hello", "from": "ada"})
        for user in ("grace", "ada"):
            await client.push("room:lobby", "kick", {"user": user})
        assert await event(client) == ("kicked", {})
        assert (await client.receive())[3] == "phx_close"


async def test_handle_info(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = intercept_and_info.endpoint
    monkeypatch.setattr(intercept_and_info.DashboardChannel, "every", 3600)
    async with connected(endpoint, user="ada") as client:
        await client.join("dashboard")
        assert await event(client) == ("clock", {"ticks": 1})
        await client.call("dashboard", "watch", "lobby")
        said = {"body": "hi", "from": "grace"}
        endpoint.broadcast("room:lobby", "renamed", {})
        endpoint.broadcast("room:lobby", "new_message", said)
        assert await event(client) == ("said", {"room": "lobby", **said})
        await client.call("dashboard", "unwatch", "lobby")
        endpoint.broadcast("room:lobby", "new_message", said)
        await client.leave("dashboard")

        monkeypatch.setattr(intercept_and_info.DashboardChannel, "every", 0.01)
        await client.join("dashboard")
        assert [await event(client) for _ in range(3)] == [("clock", {"ticks": ticks}) for ticks in (1, 2, 3)]


async def test_background_work() -> None:
    threading.Thread(target=background_work.work, daemon=True).start()
    async with connected(background_work.endpoint) as client:
        await client.join("report")
        ref = await client.push("report", "report", 2)
        assert await event(client) == ("progress", {"page": 1})
        assert await event(client) == ("progress", {"page": 2})
        assert (await client.receive())[1::3] == [ref, {"status": "ok", "response": {"pages": 2}}]
        expected = hashlib.pbkdf2_hmac("sha256", b"text", b"salt", 100_000).hex()
        assert await answer(client, "report", "digest", "text") == ("ok", expected)
        assert await answer(client, "report", "enqueue", "hi") == ("ok", {"shouted": "HI"})


async def test_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    background_work.SAVED.clear()
    async with connected(background_work.endpoint) as client:
        monkeypatch.setattr(background_work.QuizChannel, "seconds", 0.01)
        await client.join("quiz:1")
        assert (await event(client))[0] == "question"
        assert await event(client) == ("over", {"reason": "too late"})
        monkeypatch.setattr(background_work.QuizChannel, "seconds", 3600)
        await client.join("quiz:2")
        assert (await event(client))[0] == "question"
        assert await answer(client, "quiz:2", "answer", "phoenix") == ("ok", {"right": True})
        await client.leave("quiz:2")
    assert background_work.SAVED == [
        ("quiz:2", ("shutdown", "left")),
        ("quiz:1", ("shutdown", "closed")),
    ]


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
    async with connect(echo_port, "/websocket") as client:
        await client.send(None, "1", "phoenix", "heartbeat", {})
        assert (await client.receive())[4] == {"status": "ok", "response": {}}
        assert await answer(client, "other", "phx_join", {}) == ("error", {"reason": "unmatched topic"})
        assert await client.join("echo:1") == {}
        assert await answer(client, "echo:1", "echo", [1, {"a": 2}]) == ("ok", [1, {"a": 2}])
        await client.leave("echo:1")
        await client.join("echo:1")
        await client.push("echo:1", "unknown", {})
        assert (await client.receive())[3:] == ["phx_error", {"reason": "channel_crash"}]
        await client.connection.send("no JSON")
        assert await client.close_code() == 1011


async def test_sans_io_refuses_other_versions(echo_port: int) -> None:
    assert await refusal(echo_port, vsn="3.0.0") == 403


def test_sans_io_runs() -> None:
    with running(sys.executable, "-m", "examples.quickstart.guides.sans_io", cwd=ROOT, PORT="0") as process:
        line_of(process, r"^ws://127\.0\.0\.1:\d+/websocket$")
