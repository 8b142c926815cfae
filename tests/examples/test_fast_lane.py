"""The code of the page on the fast lane."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from examples.quickstart.guides import fast_lane
from tests.examples.programs import line_of, running
from tests.transports.clients import connect
from tests.transports.fast import on_loops
from tests.transports.servers import fast_server


@on_loops
async def test_prices(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "phoenix_channels")
    async with fast_server(fast_lane.endpoint) as port, connect(port) as client:
        await client.join("prices:gold")
        await client.push("prices:gold", "price", 1.5)
        assert (await client.receive())[3:] == ["price", {"is": 1.5}]
    assert "UserSocket: its client is on the fast lane" in caplog.messages


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("workers", [1, 2])
async def test_it_is_served_by_several_workers_if_so_wanted(workers: int) -> None:
    command = [sys.executable, "-m", "examples.quickstart.guides.fast_lane"]
    with running(*command, PORT="0", WORKERS=str(workers)) as serving:
        port = int(line_of(serving, r"running on http://127\.0\.0\.1:(\d+)")[1])
        async with connect(port) as client:
            await client.join("prices:gold")
            os.kill(serving.pid, signal.SIGTERM)
            assert await client.close_code() == 1012
        serving.communicate(timeout=10)
