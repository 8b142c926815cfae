"""One endpoint behind several servers at once: a broadcast reaches the clients of all."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager

import anyio
import pytest

from phoenix_channels import Endpoint
from tests.transports.app import Journal, eventually, make_endpoint
from tests.transports.clients import connect
from tests.transports.servers import KINDS, Serve, asyncio_server, fast_server, uvicorn_server


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_on_one_event_loop() -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    async with (
        uvicorn_server(endpoint) as first,
        asyncio_server(endpoint) as second,
        fast_server(endpoint) as third,
        connect(first) as one,
        connect(second) as two,
        connect(third) as three,
        endpoint.subscribe("room:a") as broadcasts,
    ):
        clients = {"one": one, "two": two, "three": three}
        for client in clients.values():
            await client.join("room:a")
        for name, client in clients.items():
            await client.push("room:a", "shout", {"from": name})
        for client in clients.values():
            assert {(await client.receive())[4]["from"] for _ in clients} == clients.keys()
        assert {(await anext(broadcasts)).payload["from"] for _ in clients} == clients.keys()
        assert endpoint.statistics().connections == 3


@contextmanager
def thread_with(kind: str, endpoint: Endpoint) -> Generator[int]:
    """A server on an event loop of its own, in a thread of its own; the value is its port."""
    backend, serve = KINDS[kind]
    name, options = (backend, {}) if isinstance(backend, str) else backend
    ready: list[int] = []
    started, stop = threading.Event(), threading.Event()

    async def main(serve: Serve) -> None:
        async with serve(endpoint) as port:
            ready.append(port)
            started.set()
            await anyio.to_thread.run_sync(stop.wait)

    def run() -> None:
        anyio.run(main, serve, backend=name, backend_options=options)

    thread = threading.Thread(target=run, name=kind)
    thread.start()
    try:
        assert started.wait(10)
        yield ready[0]
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    "kinds",
    [
        ("fast", "fast-uvloop"),
        ("fast-uvloop", "websockets-trio"),
        ("uvicorn", "websockets-trio"),
        ("uvicorn", "websockets"),
        ("websockets-uvloop", "websockets-trio"),
    ],
    ids="+".join,
)
async def test_on_two_event_loops(kinds: tuple[str, str]) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    with thread_with(kinds[0], endpoint) as first, thread_with(kinds[1], endpoint) as second:
        async with (
            connect(first, query="vsn=2.0.0&user=ada") as one,
            connect(second, query="vsn=2.0.0&user=ada") as two,
        ):
            for client in (one, two):
                await client.join("room:a")
            for number in range(100):
                endpoint.broadcast("room:a", "n", {"n": number})
            for client in (one, two):
                assert [(await client.receive())[4]["n"] for _ in range(100)] == list(range(100))
            for sender, other in ((one, two), (two, one)):
                await sender.push("room:a", "shout", {"to": "all"})
                assert (await sender.receive())[3] == (await other.receive())[3] == "shout"
                assert await sender.call("room:a", "tell_others", {}) == {}
                assert (await other.receive())[3] == "shout"
            assert endpoint.statistics().connections == 2
            await endpoint.disconnect("users:ada")
            assert [await one.close_code(), await two.close_code()] == [1001, 1001]
        await eventually(lambda: journal.terminated == [("room:a", ("shutdown", "disconnected"))] * 2)
    # Both event loops are over; a broadcast meets nobody, and no error.
    endpoint.broadcast("room:a", "late", {})
    assert endpoint.statistics().connections == 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_draining_one_event_loop_leaves_the_other_alone() -> None:
    endpoint = make_endpoint(Journal())
    with thread_with("websockets-trio", endpoint) as far:
        async with AsyncExitStack() as stack:
            near = await stack.enter_async_context(asyncio_server(endpoint))
            here = await stack.enter_async_context(connect(near))
            there = await stack.enter_async_context(connect(far))
            await there.join("room:a")
            await endpoint.drain()
            assert await here.close_code() == 1012
            assert await there.call("room:a", "echo", 1) == 1
