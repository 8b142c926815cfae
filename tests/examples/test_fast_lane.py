"""The code of the page on the fast lane."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from examples.quickstart.guides import fast_lane
from tests.support.clients import close_code, connect_once, connect_to
from tests.support.loops import soon
from tests.support.processes import running
from tests.transports.fast import on_loops
from tests.transports.servers import fast_server


@on_loops
async def test_prices(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "phoenix_channels")
    async with fast_server(fast_lane.endpoint) as port, connect_to(port) as socket:
        channel = await socket.join("prices:gold")
        channel.push_nowait("price", 1.5)
        assert (await soon(anext(channel))).payload == {"is": 1.5}
    assert "UserSocket: its client is on the fast lane" in caplog.messages


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("workers", [1, 2])
async def test_it_is_served_by_several_workers_if_so_wanted(workers: int) -> None:
    command = [sys.executable, "-m", "examples.quickstart.guides.fast_lane"]
    with running(*command, environment={"PORT": "0", "WORKERS": str(workers)}) as serving:
        async with connect_once(serving.port()) as socket:
            await socket.join("prices:gold")
            os.kill(serving.pid, signal.SIGTERM)
            assert await close_code(socket) == 1012
        serving.end()
