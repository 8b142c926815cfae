"""What the tests of the client share."""

from collections.abc import AsyncIterator

import pytest

from phoenix_channels import Endpoint
from phoenix_channels.client import Channel, Socket
from tests.client.app import make_endpoint
from tests.support.clients import connected
from tests.support.loops import Journal


@pytest.fixture
async def journal() -> Journal:
    return Journal()


@pytest.fixture
async def endpoint(journal: Journal) -> Endpoint:
    return make_endpoint(journal)


@pytest.fixture
async def socket(endpoint: Endpoint) -> AsyncIterator[Socket]:
    async with connected(endpoint) as socket:
        yield socket


@pytest.fixture
async def channel(socket: Socket) -> Channel:
    return await socket.join("room:a")
