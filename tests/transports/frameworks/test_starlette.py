"""Starlette: the endpoint as a mount, with and without its lifespan, under middleware, and under a root path."""

from __future__ import annotations

import warnings
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from phoenix_channels import Endpoint
from tests.transports.app import Journal, eventually
from tests.transports.clients import ask, connect
from tests.transports.servers import Run, Serve


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"hello from {request.scope['root_path'] or '/'}")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


def application(endpoint: Endpoint, at: str, **options: Any) -> Starlette:
    routes = [Route("/hello", hello), WebSocketRoute("/echo", echo), Mount(at, endpoint)]
    return Starlette(routes=routes, **options)


@pytest.mark.parametrize("with_lifespan", [True, False])
@pytest.mark.parametrize(("at", "path"), [("/", "/socket/websocket"), ("/ws", "/ws/socket/websocket")])
async def test_mounted(
    *,
    endpoint: Endpoint,
    journal: Journal,
    http: httpx.AsyncClient,
    at: str,
    path: str,
    with_lifespan: bool,
    run: Run,
    stopped: tuple[str, str],
) -> None:
    app = application(endpoint, at, lifespan=endpoint.lifespan if with_lifespan else None)
    async with run(app) as (server, port), connect(port, path=path) as client:
        await client.join("room:a")
        await client.push("room:a", "shout", {"n": 1})
        assert await client.receive() == [None, None, "room:a", "shout", {"n": 1}]
        endpoint.broadcast("room:a", "outside", {})
        assert (await client.receive())[3] == "outside"
        # Its own routes are still there.
        assert (await http.get(f"http://127.0.0.1:{port}/hello")).text == "hello from /"
        async with connect(port, path="/echo") as other:
            await other.connection.send("echo")
            assert await other.connection.recv() == "echo"
        # And what is the endpoint's, but no socket, is refused by it.
        for target, status in ((path.removesuffix("/websocket"), 404), (f"{path}?connect=refuse", 403)):
            assert (await ask(port, target)).status == status
            assert (await http.get(f"http://127.0.0.1:{port}{target}")).status_code == status
        assert (await http.get(f"http://127.0.0.1:{port}{path}")).status_code == 400
        # The client is still there when the server stops.
        server.should_exit = True
        assert await client.close_code() == 1012
    assert journal.terminated == [("room:a", stopped)]
    # On the fast lane uvicorn asks the connections themselves.
    assert endpoint.health().draining is (with_lifespan or stopped == ("shutdown", "draining"))


async def test_the_path_without_the_mount_is_not_the_endpoints(endpoint: Endpoint, serve: Serve) -> None:
    async with serve(application(endpoint, "/ws")) as port:
        assert (await ask(port, "/socket/websocket")).status in (403, 404)
        assert (await ask(port, "/ws/socket/websocket")).status == 101
        assert (await ask(port, "/ws/ws/socket/websocket")).status == 404


async def test_mounted_in_a_mount(endpoint: Endpoint, serve: Serve) -> None:
    app = Starlette(routes=[Mount("/api", routes=[Mount("/{version}", endpoint)])])
    async with serve(app) as port, connect(port, path="/api/v1/socket/websocket") as client:
        await client.join("room:a")


@pytest.mark.parametrize("at", ["/", "/ws"])
async def test_under_a_root_path(endpoint: Endpoint, http: httpx.AsyncClient, at: str, serve: Serve) -> None:
    # As behind a proxy that strips the prefix.
    app = application(endpoint, at)
    async with serve(app, root_path="/prefix") as port:
        path = f"{at.rstrip('/')}/socket/websocket"
        async with connect(port, path=path) as client:
            await client.join("room:a")
        assert (await http.get(f"http://127.0.0.1:{port}/hello")).text == "hello from /prefix"
        assert (await ask(port, f"/prefix{path}")).status in (403, 404)


async def test_under_middleware(endpoint: Endpoint, http: httpx.AsyncClient, serve: Serve) -> None:
    class Stamp(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            response = await call_next(request)
            response.headers["x-stamp"] = "was here"
            return response

    middleware = [
        Middleware(Stamp),
        Middleware(GZipMiddleware, minimum_size=1),
        Middleware(CORSMiddleware, allow_origins=["*"]),
    ]
    async with serve(application(endpoint, "/", middleware=middleware)) as port:
        async with connect(port) as client:
            await client.join("room:a")
        for target, status in (("/hello", 200), ("/socket/websocket", 400), ("/nowhere", 404)):
            response = await http.get(f"http://127.0.0.1:{port}{target}")
            assert (response.status_code, response.headers["x-stamp"]) == (status, "was here")


def test_the_test_client_of_starlette(endpoint: Endpoint, journal: Journal) -> None:
    with warnings.catch_warnings():
        # It would rather have another HTTP client than the one that these tests use.
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient

    app = application(endpoint, "/", lifespan=endpoint.lifespan)
    for _ in range(2):  # each on an event loop of its own
        with TestClient(app) as client, client.websocket_connect("/socket/websocket?vsn=2.0.0") as socket:
            socket.send_json(["1", "1", "room:a", "phx_join", {}])
            assert socket.receive_json() == ["1", "1", "room:a", "phx_reply", {"status": "ok", "response": {}}]
            endpoint.broadcast("room:a", "thread", {"n": 1})
            assert socket.receive_json() == [None, None, "room:a", "thread", {"n": 1}]
    assert journal.terminated == [("room:a", ("shutdown", "closed"))] * 2


async def test_terminate_is_waited_for_without_a_lifespan(endpoint: Endpoint, journal: Journal, serve: Serve) -> None:
    async with serve(application(endpoint, "/"), lifespan="off") as port, connect(port) as client:
        await client.join("room:a")
        await client.push("room:a", "hang")
        await eventually(lambda: journal.received == ["hang"])
    # The handler had its `shutdown` seconds, then `terminate` ran; the server waited for both.
    assert journal.terminated == [("room:a", ("shutdown", "closed"))]
