"""The end of an event loop, with and without manners."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import anyio
import pytest

from tests.transports.app import Journal, RoomChannel, eventually, make_endpoint
from tests.transports.clients import connect
from tests.transports.servers import (
    KINDS,
    Serve,
    asyncio_server,
    fast_server,
    running_fast,
    running_uvicorn,
    trio_server,
    uvicorn_server,
)

CLOSED = ("shutdown", "closed")


@pytest.mark.parametrize("serve", [fast_server, uvicorn_server, asyncio_server])
def test_nothing_is_pending_when_the_loop_closes(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)

    async def main() -> None:
        async with serve(endpoint) as port, connect(port) as client:
            await client.join("room:a")

    # Not asyncio.run: that would cancel what is left.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
        assert asyncio.all_tasks(loop) == set()
    finally:
        loop.close()
    gc.collect()
    assert journal.terminated == [("room:a", CLOSED)]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("kind", ["fast", "fast-uvloop", "uvicorn", "websockets", "websockets-trio"])
def test_one_endpoint_on_one_event_loop_after_another(kind: str) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    backend, serve = KINDS[kind]
    name, options = (backend, {}) if isinstance(backend, str) else backend

    async def main() -> None:
        async with serve(endpoint) as port, connect(port) as client:
            await client.join("room:a")
            endpoint.broadcast("room:a", "again", {})
            assert (await client.receive())[3] == "again"

    for number in (1, 2):
        anyio.run(main, backend=name, backend_options=options)
        assert len(journal.terminated) == number
        endpoint.broadcast("room:a", "between", {})
    assert endpoint.statistics().connections == endpoint.statistics().topics == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("running", "reason"),
    [(running_uvicorn, CLOSED), (running_fast, ("shutdown", "draining"))],
    ids=["uvicorn", "fast"],
)
async def test_uvicorn_runs_out_of_patience(
    caplog: pytest.LogCaptureFixture, running: Any, reason: tuple[str, str]
) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    before = asyncio.all_tasks()
    async with running(endpoint, timeout_graceful_shutdown=0.05) as (server, port), connect(port) as client:
        await client.join("room:a")
        await client.push("room:a", "hang")
        await eventually(lambda: journal.received == ["hang"])
        server.should_exit = True
        assert await client.close_code() == 1012
    # It has cancelled the connection's task; the handler still had its seconds, and `terminate` its turn: the
    # application's shutdown waits for them.
    assert "timeout graceful shutdown exceeded" in caplog.text
    assert journal.terminated == [("room:a", reason)]
    await eventually(lambda: asyncio.all_tasks() <= before)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("serve", [fast_server, uvicorn_server])
async def test_uvicorn_waits_without_a_lifespan(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    # More than uvicorn waits in any case.
    monkeypatch.setattr(RoomChannel, "shutdown", 0.4)
    journal = Journal()
    async with serve(make_endpoint(journal), lifespan="off") as port, connect(port) as client:
        await client.join("room:a")
        await client.push("room:a", "hang")
        await eventually(lambda: journal.received == ["hang"])
    # The handler had its seconds, then `terminate` ran.
    assert journal.terminated == [("room:a", CLOSED)]


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_cancels_the_server(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    async with anyio.create_task_group() as group:

        async def serve(*, task_status: anyio.abc.TaskStatus[int]) -> None:
            async with trio_server(endpoint) as port:
                task_status.started(port)
                await anyio.sleep_forever()

        async with connect(await group.start(serve)) as client:
            await client.join("room:a")
            await client.push("room:a", "hang")
            await eventually(lambda: journal.received == ["hang"])
            group.cancel_scope.cancel()
    # Not in a task of the server, so it is not cut: it needs only that the event loop goes on.
    await eventually(lambda: journal.terminated == [("room:a", CLOSED)])
