"""On both event loops, with the clock that the kit has for tests."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from phoenix_channels.testing import ConnectedSocket, JoinedChannel, connect, fake_clock
from tests.testing.app import RoomChannel, UserSocket, make_endpoint


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return fake_clock(request.param)


@pytest.fixture
async def socket() -> AsyncGenerator[ConnectedSocket[UserSocket]]:
    async with connect(make_endpoint(), socket_class=UserSocket) as socket:
        yield socket


@pytest.fixture
async def room(socket: ConnectedSocket[UserSocket]) -> JoinedChannel[RoomChannel]:
    return await socket.join("room:1", channel_class=RoomChannel)
