"""Over the network on asyncio, without one on trio; both versions of the protocol."""

from __future__ import annotations

import pytest

from tests.features.clients import Serve, serve_in_memory, serve_over_network
from tests.features.longpoll import ServeNodes, serve_nodes


@pytest.fixture
def serve(anyio_backend_name: str) -> Serve:
    """Starts a server: ``async with serve(endpoint) as server``."""
    return serve_over_network if anyio_backend_name == "asyncio" else serve_in_memory


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
