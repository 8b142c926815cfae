"""Litestar: the endpoint as a mounted ASGI application."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from litestar import Litestar, asgi, get, post
from litestar.types import Receive, Scope, Send

from phoenix_channels import Endpoint
from tests.transports.app import Journal
from tests.transports.clients import ask, connect
from tests.transports.servers import Run, Serve


def application(endpoint: Endpoint, at: str, **options: Any) -> Litestar:
    @asgi(at, is_mount=True, copy_scope=True)
    async def channels(scope: Scope, receive: Receive, send: Send) -> None:
        await endpoint(scope, receive, send)

    @get("/hello", sync_to_thread=False)
    def hello() -> str:
        return "hello"

    @post("/posts", sync_to_thread=True)
    def create() -> None:
        endpoint.broadcast("room:a", "post", {})

    # It would set up logging for the whole process, and for the tests that come after these.
    return Litestar([channels, hello, create], openapi_config=None, logging_config=None, **options)


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
    app = application(endpoint, at, lifespan=[endpoint.lifespan] if with_lifespan else None)
    async with run(app) as (server, port):
        base = f"http://127.0.0.1:{port}"
        async with connect(port, path=path) as client:
            await client.join("room:a")
            assert (await http.post(f"{base}/posts")).status_code == 201
            assert await client.receive() == [None, None, "room:a", "post", {}]
            assert (await http.get(f"{base}/hello")).text == "hello"
            assert (await ask(port, f"{path}?connect=refuse")).status == 403
            assert (await http.get(f"{base}{path}")).status_code == 400
            server.should_exit = True
            assert await client.close_code() == 1012
    assert journal.terminated == [("room:a", stopped)]
    # On the fast lane uvicorn asks the connections themselves.
    assert endpoint.health().draining is (with_lifespan or stopped == ("shutdown", "draining"))


async def test_under_a_root_path(endpoint: Endpoint, serve: Serve) -> None:
    app = application(endpoint, "/ws")
    async with serve(app, root_path="/prefix") as port, connect(port, path="/ws/socket/websocket") as client:
        await client.join("room:a")
