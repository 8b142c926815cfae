"""Applications that an endpoint is mounted in or beside, each behind a real uvicorn, with the fast lane and without."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest

from phoenix_channels import Endpoint
from tests.transports.app import Journal, make_endpoint
from tests.transports.servers import Run, Serve, fast_server, running_fast, running_uvicorn, uvicorn_server


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's


@pytest.fixture(params=["fast", "uvicorn"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def serve(kind: str) -> Serve:
    """Starts a server: ``async with serve(app) as port``."""
    return fast_server if kind == "fast" else uvicorn_server


@pytest.fixture
def run(kind: str) -> Run:
    """Starts a server that the test can stop: ``async with run(app) as (server, port)``."""
    return running_fast if kind == "fast" else running_uvicorn


@pytest.fixture
def stopped(kind: str) -> tuple[str, str]:
    """The reason that channels get when their server stops."""
    return ("shutdown", "draining" if kind == "fast" else "closed")


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def endpoint(journal: Journal) -> Endpoint:
    return make_endpoint(journal)


@pytest.fixture
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client
