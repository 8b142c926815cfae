"""A client that does not read costs a bounded amount of memory, delays nobody else, and is closed."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from phoenix_channels import Endpoint
from phoenix_channels.runtime.limits import Limits
from tests.transports.app import Journal, eventually, make_endpoint
from tests.transports.clients import Client, RawClient, connect, connect_raw
from tests.transports.servers import Serve

LIMIT = 256 * 1024
CHUNK = {"text": "x" * 64 * 1024}


@asynccontextmanager
async def stuck(serve: Serve) -> AsyncGenerator[tuple[RawClient, Client, Endpoint, Journal]]:
    """A client that has stopped reading and has just been given up, and one that reads."""
    journal = Journal()
    endpoint = make_endpoint(journal, limits=Limits(outbox_bytes=LIMIT))
    async with serve(endpoint) as port, connect_raw(port, receive_buffer=4096) as slow, connect(port) as fast:
        await slow.send("1", "1", "room:all", "phx_join", {})
        await slow.receive_frame()
        await fast.join("room:all")
        # What the kernel hides comes first, megabytes of it.
        for number in range(1000):
            endpoint.broadcast("room:all", "chunk", CHUNK | {"n": number})
            assert (await fast.receive())[4]["n"] == number
            if endpoint.statistics().connections == 1:
                break
        yield slow, fast, endpoint, journal


async def test_it_is_closed_with_1013_and_the_others_go_on(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async with stuck(serve) as (slow, fast, endpoint, journal):
        assert endpoint.statistics().connections == 1
        assert endpoint.statistics().dropped_frames >= 1
        await eventually(lambda: journal.terminated == [("room:all", ("shutdown", "closed"))])
        records = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert ["1013" in record.getMessage() for record in records] == [True]
        # It comes back to life.
        assert await slow.close_code() == 1013
        assert await fast.call("room:all", "echo", 1) == 1


async def test_a_frame_larger_than_the_limit_reaches_a_client_that_reads(serve: Serve) -> None:
    endpoint = make_endpoint(Journal(), limits=Limits(outbox_bytes=1000))
    async with serve(endpoint) as port, connect(port) as client:
        await client.join("room:a")
        endpoint.broadcast("room:a", "text", {"text": "x" * 100_000})
        assert (await client.receive())[3] == "text"
