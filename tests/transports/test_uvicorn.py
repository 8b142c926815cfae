"""WebSockets that no endpoint answers, beside one on the fast lane: all is as on any uvicorn."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from phoenix_channels.transports.asgi import TAKE_OVER
from tests.transports.app import Journal, eventually, make_endpoint
from tests.transports.clients import RawClient, connect, masked
from tests.transports.fast import answer, asking, on_loops, rest
from tests.transports.servers import FAST, fast_server, running_fast, uvicorn_server

pytestmark = on_loops
STOCK = "websockets-sansio"


def beside(other: Callable[[Any, Any, Any], Awaitable[Any]], journal: Journal | None = None) -> Any:
    """An application that has an endpoint, and answers to other paths by itself."""
    endpoint = make_endpoint(journal or Journal())

    async def app(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] == "websocket" and not scope["path"].endswith("/socket/websocket"):
            return await other(scope, receive, send)
        return await endpoint(scope, receive, send)

    return app


async def echo(scope: Any, receive: Any, send: Any) -> None:
    assert (await receive()) == {"type": "websocket.connect"}
    await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-one", b"1")]})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "end":
            await send({"type": "websocket.close", "code": 4001, "reason": "as you say"})
        else:
            await send({**message, "type": "websocket.send"})


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_it_speaks_with_its_clients_while_the_endpoint_does_with_its_own(http: str) -> None:
    async with (
        fast_server(beside(echo), http=http) as port,
        connect(port, "/echo", subprotocols=["a", "b"]) as other,
        connect(port) as client,
    ):
        assert other.connection.subprotocol == "b"
        assert other.connection.response.headers["x-one"] == "1"
        await client.join("room:a")
        for data in ("text", b"bytes", "", "x" * 100_000):
            await other.connection.send(data)
            assert await other.connection.recv() == data
        await other.connection.send("end")
        assert await other.close_code() == 4001
        assert other.connection.close_reason == "as you say"
        assert await client.call("room:a", "echo", 1) == 1


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("root_path", ["", "/prefix"])
@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/echo", {}),
        ("/a%20b/%C3%A4%2Fc?q=%20x&q=2", {}),
        ("/echo?", {"x_latin": "\xe4", "x_empty": "", "x_colon": "a: b: c"}),
        ("/echo", {"sec_websocket_protocol": "a, b,c", "origin": "http://localhost"}),
    ],
)
async def test_its_scope_is_that_of_uvicorn(http: str, root_path: str, target: str, headers: dict[str, str]) -> None:
    scopes: list[dict[str, Any]] = []

    async def note(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.close"})

    for ws in (STOCK, FAST):
        server = uvicorn_server(beside(note), ws=ws, http=http, root_path=root_path)
        async with server as port, asking(port, target, **headers) as client:
            assert (await answer(client)).status == 403
    stock, fast = scopes
    assert fast["extensions"].pop(TAKE_OVER) is not None
    for scope in scopes:
        assert scope.pop("client")[0] == scope.pop("server")[0] == "127.0.0.1"
    assert fast == stock


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """Forgets to answer."""


async def raising(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("on purpose")


async def raising_later(scope: Any, receive: Any, send: Any) -> None:
    await echo(scope, receive, send_first(send))


def send_first(send: Any) -> Any:
    async def once(message: Any) -> None:
        await send(message)
        raise RuntimeError("on purpose")

    return once


async def returning(scope: Any, receive: Any, send: Any) -> object:
    await receive()
    await send({"type": "websocket.accept"})
    return "something"


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    # Nobody has to ask what it is about.
    await send({"type": "websocket.close"})


async def denying(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.http.response.start", "status": 418, "headers": [(b"x-one", b"1")]})
    await send({"type": "websocket.http.response.body", "body": b"tea", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"pot"})


async def nonsense(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.nonsense"})


async def closing_at_once(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 3000})


def steady(text: str) -> list[str]:
    """What a server says or logs, without dates, ports, and places in the code."""
    return sorted(re.sub(r"\d\d:\d\d:\d\d GMT|127\.0\.0\.1:\d+", "", line) for line in text.splitlines() if line)


APPS = [silent, raising, raising_later, returning, refusing, denying, nonsense, closing_at_once]


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.__name__)
async def test_whatever_it_does_is_answered_and_logged_as_by_uvicorn(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answers, logs = [], []
    for ws in (STOCK, FAST):
        caplog.clear()
        caplog.set_level("INFO", "uvicorn.error")
        async with uvicorn_server(beside(app), ws=ws, lifespan="off") as port, asking(port, "/other") as client:
            # Who has opened it closes it, too.
            await answer(client)
            await client.send_frame(8, b"")
            answers.append(steady((await rest(client)).decode("latin-1")))
        logs.append([(record.levelname, steady(record.getMessage())) for record in caplog.records])
    assert answers[0] == answers[1]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_websocket_key": None},
        {"sec_websocket_key": "short"},
        {"sec_websocket_version": "12"},
        {"sec_websocket_version": None},
        {"sec_websocket_protocol": "a/b="},
    ],
)
async def test_a_bad_handshake_is_refused_in_uvicorns_words(
    headers: dict[str, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    answers = []
    for ws in (STOCK, FAST):
        async with uvicorn_server(beside(echo), ws=ws) as port, asking(port, "/other", **headers) as client:
            response = await answer(client)
            answers.append((response.status, response.headers.get("connection"), await rest(client)))
    assert answers[0] == answers[1]
    assert "Exception in ASGI application" not in caplog.text


class Slow:
    """An application that accepts when it is told to."""

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self.go_on = anyio.Event()
        self.received: list[Any] = []
        self.failure: BaseException | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.set()
        await self.go_on.wait()
        try:
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                self.received.append(message.get("text"))
            self.received.append(message["code"])
        except BaseException as error:
            self.failure = error
            raise


async def test_frames_that_come_before_the_answer_are_not_lost() -> None:
    app = Slow()
    frames = [masked(1, str(number).encode()) for number in range(100)]
    async with fast_server(beside(app)) as port, asking(port, "/other", b"".join(frames[:50]), frames[50]) as client:
        await app.asked.wait()
        app.go_on.set()
        assert (await answer(client)).status == 101
        await client.stream.send(b"".join(frames[51:]) + masked(8, b"\x03\xe8"))
        await eventually(lambda: app.received == [*map(str, range(100)), 1000])


async def send_on(client: RawClient) -> None:
    while True:
        await client.stream.send(b"x" * 10_000)


async def test_a_client_that_does_not_stop_before_it_is_answered_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    app = Slow()
    async with running_fast(beside(app)) as (server, port), asking(port, "/other") as client:
        await app.asked.wait()
        with pytest.raises(anyio.BrokenResourceError), anyio.fail_after(5):
            await send_on(client)
        await eventually(lambda: not server.server_state.connections)
        app.go_on.set()
        await eventually(lambda: not server.server_state.tasks)
    assert app.received == []
    assert "ERROR" not in caplog.text


async def test_a_client_that_goes_away_before_it_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    app = Slow()
    async with running_fast(beside(app)) as (server, port):
        async with asking(port, "/other") as client:
            await app.asked.wait()
            await client.abort()
            await eventually(lambda: not server.server_state.connections)
        app.go_on.set()
        await eventually(lambda: not server.server_state.tasks)
    assert app.received == []
    assert "ERROR" not in caplog.text


async def test_a_server_that_ends_before_the_application_has_answered() -> None:
    app = Slow()
    async with (
        running_fast(beside(app), timeout_graceful_shutdown=0.05) as (server, port),
        asking(port, "/o") as client,
    ):
        await app.asked.wait()
        server.should_exit = True
        response = await answer(client)
        assert 500 <= response.status < 504
        await rest(client)


async def test_a_shutdown_closes_it_with_1012() -> None:
    async with (
        running_fast(beside(echo)) as (server, port),
        connect(port, "/echo", subprotocols=["b"]) as other,
        connect(port) as client,
    ):
        await client.join("room:a")
        server.should_exit = True
        assert await other.close_code() == await client.close_code() == 1012


async def test_options_of_uvicorn_about_websockets_hold_there_and_those_of_the_mount_for_the_endpoint() -> None:
    asked: dict[str, Any] = {"compression": "deflate", "subprotocols": ["b"]}
    async with (
        fast_server(beside(echo), ws_max_size=10, ws_per_message_deflate=True) as port,
        connect(port, "/echo", **asked) as other,
        connect(port, **asked | {"subprotocols": None}) as client,
    ):
        assert "permessage-deflate" in other.connection.response.headers["sec-websocket-extensions"]
        assert "sec-websocket-extensions" not in client.connection.response.headers
        assert await client.join("room:a", "longer than that") == "longer than that"
        await other.connection.send("longer than that")
        assert await other.close_code() == 1009
