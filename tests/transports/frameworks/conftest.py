"""Applications that an endpoint is mounted in or beside, each behind a real uvicorn."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest

from phoenix_channels import Endpoint
from tests.transports.app import Journal, make_endpoint


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"  # uvicorn's


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
