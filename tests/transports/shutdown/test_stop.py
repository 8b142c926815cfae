"""Stopping a server: every channel terminates, once, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import trio

from phoenix_channels.runtime.limits import Limits
from tests.support.loops import on_trio
from tests.transports.app import Journal, eventually, make_endpoint
from tests.transports.clients import Client, connect, connect_raw
from tests.transports.servers import KINDS, Serve

CLOSED = ("shutdown", "closed")
DRAINING = ("shutdown", "draining")


# Under uvloop uvicorn stops as it does without, in as many tenths of a second.
KINDS_HERE = [kind for kind in KINDS if kind not in ("fast-uvloop", "uvicorn-uvloop")]


@pytest.fixture(scope="module", params=KINDS_HERE)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def anyio_backend(kind: str) -> Any:
    return KINDS[kind][0]


@pytest.fixture
def serve(kind: str) -> Serve:
    return KINDS[kind][1]


def told(kind: str) -> tuple[str, str]:
    """The reason that channels get when their server stops: the fast lane knows that it does."""
    return DRAINING if kind.startswith("fast") else CLOSED


def tasks() -> int:
    """How many tasks live on the event loop."""
    return trio.lowlevel.current_statistics().tasks_living if on_trio() else len(asyncio.all_tasks())


@pytest.fixture
async def nothing_is_left(caplog: pytest.LogCaptureFixture) -> AsyncGenerator[None]:
    """The test adds no task that outlives it, and nothing complains."""
    before = tasks()
    yield
    await eventually(lambda: tasks() <= before, seconds=1)
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@asynccontextmanager
async def three_clients(port: int) -> AsyncGenerator[list[Client]]:
    async with connect(port) as one, connect(port) as two, connect(port) as idle:
        for client in (one, two):
            await client.join("room:a")
            await client.join("room:b")
        yield [one, two, idle]


@pytest.mark.usefixtures("nothing_is_left")
async def test_with_open_connections(serve: Serve, kind: str) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    codes: list[int] = []
    async with anyio.create_task_group() as group:

        async def stay(ready: Callable[[], None]) -> None:
            async with three_clients(port) as clients:
                ready()
                codes.extend([await client.close_code() for client in clients])

        async with serve(endpoint) as port:
            connected = anyio.Event()
            group.start_soon(stay, connected.set)
            await connected.wait()
    # What a server says when it stops by itself; `drain` before would have made it 1012 everywhere.
    assert codes == [1001 if kind.startswith("websockets") else 1012] * 3
    assert sorted(journal.terminated) == [("room:a", told(kind))] * 2 + [("room:b", told(kind))] * 2
    assert endpoint.statistics().connections == endpoint.statistics().channels == endpoint.statistics().topics == 0


@pytest.mark.usefixtures("nothing_is_left")
async def test_drained_first(serve: Serve) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    async with serve(endpoint) as port, three_clients(port) as clients:
        async with endpoint.lifespan():
            pass
        assert sorted(journal.terminated) == [("room:a", DRAINING)] * 2 + [("room:b", DRAINING)] * 2
        assert [await client.close_code() for client in clients] == [1012] * 3
        assert endpoint.health().draining


@pytest.mark.usefixtures("nothing_is_left")
async def test_after_clients_that_have_left(serve: Serve) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    async with serve(endpoint) as port:
        async with three_clients(port):
            pass
        await eventually(lambda: len(journal.terminated) == 4)


async def test_with_a_handler_that_does_not_end(serve: Serve, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    before = tasks()
    async with anyio.create_task_group() as group:

        async def stay(ready: Callable[[], None]) -> None:
            async with connect(port) as client:
                await client.join("room:a")
                await client.push("room:a", "hang")
                await eventually(lambda: journal.received == ["hang"])
                ready()
                await client.close_code()

        async with serve(endpoint) as port:
            connected = anyio.Event()
            group.start_soon(stay, connected.set)
            await connected.wait()
    assert journal.terminated == [("room:a", told(kind))]
    assert endpoint.statistics().cut_callbacks == 1
    assert "is cut off after 0.1 s" in caplog.text
    await eventually(lambda: tasks() <= before, seconds=1)


async def test_with_a_connection_that_is_not_read(serve: Serve, kind: str) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal, limits=Limits(paused_seconds=0.2))
    async with serve(endpoint) as port, connect_raw(port) as client:
        notes = b"".join(client.text("1", "3", "room:a", "note", {}) for _ in range(300))
        await client.stream.send(
            client.text("1", "1", "room:a", "phx_join", {}) + client.text("1", "2", "room:a", "hang", {}) + notes
        )
        await eventually(lambda: journal.received == ["hang"])
        await client.abort()
        # A server that reads nothing learns nothing. Its stop ends the pause, or the limit does.
    assert journal.terminated == [("room:a", told(kind))]
    assert endpoint.statistics().connections == endpoint.statistics().channels == 0
