"""FastAPI: the endpoint beside views, and broadcasts from views of both kinds."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI, Request, Response, WebSocket

from phoenix_channels import Endpoint
from tests.transports.app import Journal
from tests.transports.clients import ask, connect
from tests.transports.servers import Serve


def with_views(app: FastAPI, endpoint: Endpoint) -> FastAPI:
    threads: set[int] = set()

    @app.post("/posts/{topic}")
    def post(topic: str) -> dict[str, bool]:
        """A plain ``def`` view runs on a thread of its own."""
        endpoint.broadcast(topic, "post", {"topic": topic})
        return {"on the loop's thread": threading.get_ident() in threads}

    @app.post("/async/{topic}")
    async def async_post(topic: str) -> None:
        threads.add(threading.get_ident())
        await endpoint.abroadcast(topic, "async post", {})

    @app.websocket("/own")
    async def own(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json({"own": True})
        await websocket.close()

    return app


@pytest.mark.parametrize("with_lifespan", [True, False])
@pytest.mark.parametrize("at", ["/", "/ws"])
async def test_mounted(
    *, endpoint: Endpoint, journal: Journal, http: httpx.AsyncClient, at: str, with_lifespan: bool, serve: Serve
) -> None:
    app = with_views(FastAPI(lifespan=endpoint.lifespan if with_lifespan else None), endpoint)
    app.mount(at, endpoint)
    path = f"{at.rstrip('/')}/socket/websocket"
    async with serve(app) as port:
        base = f"http://127.0.0.1:{port}"
        async with connect(port, path=path) as one, connect(port, path=path) as two:
            for client in (one, two):
                await client.join("room:a")
            await http.post(f"{base}/async/room:a")
            response = await http.post(f"{base}/posts/room:a")
            assert response.json() == {"on the loop's thread": False}
            for client in (one, two):
                assert await client.receive() == [None, None, "room:a", "async post", {}]
                assert await client.receive() == [None, None, "room:a", "post", {"topic": "room:a"}]
            assert (await http.get(f"{base}/openapi.json")).status_code == 200
            async with connect(port, path="/own") as own:
                assert await own.receive() == {"own": True}
            assert (await http.get(f"{base}{path}")).status_code == 400
            assert (await ask(port, f"{path}?vsn=9.0.0")).status == 403
    assert journal.terminated == [("room:a", ("shutdown", "closed"))] * 2
    assert endpoint.statistics().connections == 0


async def test_under_middleware(endpoint: Endpoint, journal: Journal, http: httpx.AsyncClient, serve: Serve) -> None:
    app = with_views(FastAPI(), endpoint)

    @app.middleware("http")
    async def stamp(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["x-stamp"] = "was here"
        return response

    app.mount("/", endpoint)
    async with serve(app) as port, connect(port) as client:
        await client.join("room:a")
        response = await http.post(f"http://127.0.0.1:{port}/posts/room:a")
        assert response.headers["x-stamp"] == "was here"
        assert (await client.receive())[3] == "post"


async def test_a_lifespan_of_the_application_around_the_endpoints(
    endpoint: Endpoint, journal: Journal, serve: Serve
) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, str]]:
        async with endpoint.lifespan(app):
            steps.append("up")
            yield {"state": "of the application"}
            steps.append(f"down, {endpoint.statistics().connections} connections")
        steps.append(f"drained: {endpoint.health().draining}")

    app = FastAPI(lifespan=lifespan)
    app.mount("/", endpoint)
    async with serve(app) as port, connect(port) as client:
        await client.join("room:a")
    assert steps == ["up", "down, 0 connections", "drained: True"]


async def test_under_a_root_path(endpoint: Endpoint, http: httpx.AsyncClient, serve: Serve) -> None:
    # As behind a proxy that strips the prefix.
    app = with_views(FastAPI(), endpoint)
    app.mount("/ws", endpoint)
    async with serve(app, root_path="/prefix") as port, connect(port, path="/ws/socket/websocket") as client:
        await client.join("room:a")
        await http.post(f"http://127.0.0.1:{port}/posts/room:a")
        assert (await client.receive())[3] == "post"
