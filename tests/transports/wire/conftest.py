"""Tests over the wire run once for every server; those of one module share one server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from phoenix_channels import Endpoint
from tests.transports.app import Journal, make_endpoint
from tests.transports.servers import KINDS, Serve


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def anyio_backend(kind: str) -> Any:
    return KINDS[kind][0]


@pytest.fixture
def serve(kind: str) -> Serve:
    """Starts a server of its own: ``async with serve(endpoint) as port``."""
    return KINDS[kind][1]


@pytest.fixture(scope="module")
def journal(kind: str) -> Journal:
    return Journal()


@pytest.fixture(scope="module")
def endpoint(journal: Journal) -> Endpoint:
    return make_endpoint(journal)


@pytest.fixture(scope="module")
async def port(endpoint: Endpoint, kind: str) -> AsyncGenerator[int]:
    """The port of the module's server."""
    async with KINDS[kind][1](endpoint) as port:
        yield port
