"""No framework at all: the endpoint is the application."""

from __future__ import annotations

import logging

import httpx
import pytest

from phoenix_channels import Endpoint
from tests.transports.app import Journal
from tests.transports.clients import ask, connect
from tests.transports.servers import Run, Serve


@pytest.mark.parametrize("lifespan", ["on", "off"])
async def test_the_endpoint_is_the_application(
    endpoint: Endpoint, journal: Journal, lifespan: str, run: Run, stopped: tuple[str, str]
) -> None:
    async with run(endpoint, lifespan=lifespan) as (server, port), connect(port) as client:
        await client.join("room:a")
        server.should_exit = True
        assert await client.close_code() == 1012
    assert journal.terminated == [("room:a", stopped)]
    # On the fast lane uvicorn asks the connections themselves.
    assert endpoint.health().draining is (lifespan == "on" or stopped == ("shutdown", "draining"))


@pytest.mark.parametrize("root_path", ["/prefix", "/a/b", "/socket"])
async def test_under_a_root_path(endpoint: Endpoint, http: httpx.AsyncClient, root_path: str, serve: Serve) -> None:
    # As behind a proxy that strips the prefix.
    async with serve(endpoint, root_path=root_path) as port:
        async with connect(port) as client:
            await client.join("room:a")
        assert (await ask(port, f"{root_path}/socket/websocket")).status == 404
        assert (await http.get(f"http://127.0.0.1:{port}/socket/websocket")).status_code == 400
        assert (await http.get(f"http://127.0.0.1:{port}/elsewhere")).status_code == 404


async def test_a_refusal_is_no_error_of_the_server(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture, serve: Serve
) -> None:
    async with serve(endpoint) as port:
        assert (await ask(port, "/socket/websocket?connect=refuse")).status == 403
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
