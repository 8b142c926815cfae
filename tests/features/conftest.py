"""Over the network on asyncio, on the fast lane with uvloop, and without a network on trio; both versions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.features.clients import Serve, over_network, serve_in_memory
from tests.features.longpoll import ServeNodes, serve_nodes
from tests.transports.servers import KINDS

SERVERS: dict[str, tuple[Any, Serve]] = {
    "asyncio": (KINDS["uvicorn"][0], over_network(KINDS["uvicorn"][1])),
    "fast": (KINDS["fast-uvloop"][0], over_network(KINDS["fast-uvloop"][1])),
    "trio": ("trio", serve_in_memory),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        # Polls are plain HTTP: what the fast lane has of its own are WebSockets.
        without = {"node", "nodes"} & set(metafunc.fixturenames) or "serve" not in metafunc.fixturenames
        metafunc.parametrize("server", [name for name in SERVERS if name != "fast" or not without], scope="module")


@pytest.fixture(scope="module")
def anyio_backend(server: str) -> Any:
    return SERVERS[server][0]


@pytest.fixture
def serve(server: str) -> Serve:
    """Starts a server: ``async with serve(endpoint) as server``."""
    return SERVERS[server][1]


@pytest.fixture(params=[1, 2], ids=["V1", "V2"])
def version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def node(serve: Serve) -> ServeNodes:
    """Starts a server that is polled: ``async with node(SocketClass) as nodes``."""
    return serve_nodes(serve, 1)


@pytest.fixture(params=[1, 2], ids=["one node", "two nodes"])
def nodes(serve: Serve, request: pytest.FixtureRequest) -> ServeNodes:
    """Also starts two, and sessions of one are reached through the other."""
    return serve_nodes(serve, request.param)
