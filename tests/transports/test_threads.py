"""What another thread does to an endpoint happens on the loop as if the loop had done it, whatever the thread runs."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

import anyio
import anyio.to_thread
import pytest

from phoenix_channels import Channel, ConnectInfo, Endpoint, Socket, intercept
from phoenix_channels.runtime.limits import Limits
from tests.transports.app import eventually
from tests.transports.clients import connect, connect_raw
from tests.transports.servers import KINDS

somebody = contextvars.ContextVar("somebody", default="nobody")


class SecretChannel(Channel):
    @intercept("secret")
    async def secret(self, payload: Any) -> None:
        with anyio.fail_after(5):
            await anyio.sleep(0)
        self.push("secret", {"as": somebody.get()})


class SecretSocket(Socket):
    channels = {"room:*": SecretChannel}

    async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        somebody.set("connect")

    def id(self) -> str:
        return "users:ada"


def join(thread: threading.Thread) -> None:
    thread.start()
    thread.join()


async def plain_thread(function: Callable[[], None]) -> None:
    join(threading.Thread(target=function))


async def thread_that_runs(backend: str, function: Callable[[], None]) -> None:
    async def main() -> None:
        function()

    join(threading.Thread(target=anyio.run, args=[main], kwargs={"backend": backend}))


async def thread_that_runs_asyncio(function: Callable[[], None]) -> None:
    await thread_that_runs("asyncio", function)


async def thread_that_runs_trio(function: Callable[[], None]) -> None:
    await thread_that_runs("trio", function)


async def worker_thread(function: Callable[[], None]) -> None:
    """Where the plain ``def`` views of FastAPI and Starlette run."""
    await anyio.to_thread.run_sync(function)


async def same_thread(function: Callable[[], None]) -> None:
    function()


HOW = [plain_thread, thread_that_runs_asyncio, thread_that_runs_trio, worker_thread, same_thread]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def anyio_backend(kind: str) -> Any:
    return KINDS[kind][0]


@pytest.fixture(scope="module")
def endpoint(kind: str) -> Endpoint:
    endpoint = Endpoint(limits=Limits(outbox_bytes=1000))
    endpoint.socket("/socket", SecretSocket)
    return endpoint


@pytest.fixture(scope="module")
async def port(endpoint: Endpoint, kind: str) -> AsyncGenerator[int]:
    async with KINDS[kind][1](endpoint) as port:
        yield port


@pytest.mark.parametrize("how", HOW)
async def test_intercepted_broadcasts_and_disconnects(
    port: int, endpoint: Endpoint, how: Callable[[Callable[[], None]], Awaitable[None]]
) -> None:
    async with connect(port) as client:
        await client.send("1", "1", "room:a", "phx_join", {})
        await client.receive()
        somebody.set("the caller")
        await how(lambda: endpoint.broadcast("room:a", "secret", {}))
        assert await client.receive() == ["1", None, "room:a", "secret", {"as": "connect"}]
        await how(lambda: endpoint.broadcast("users:ada", "disconnect", {}))
        assert await client.close_code() == 1001
        await eventually(lambda: endpoint.statistics().connections == endpoint.statistics().channels == 0)


@pytest.mark.parametrize("how", HOW)
async def test_a_client_that_is_found_too_slow(
    port: int, endpoint: Endpoint, how: Callable[[Callable[[], None]], Awaitable[None]]
) -> None:
    async with connect_raw(port, receive_buffer=4096) as client:
        await client.send("1", "1", "room:a", "phx_join", {})
        await client.receive_frame()

        def flood() -> None:
            for _ in range(100):
                endpoint.broadcast("room:a", "chunk", {"text": "x" * 100_000})

        await how(flood)
        await eventually(lambda: endpoint.statistics().connections == endpoint.statistics().channels == 0)
        assert await client.close_code() == 1013
