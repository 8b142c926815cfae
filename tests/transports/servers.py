"""Real servers on free ports of this machine, in the process and on the event loop of the test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import trio
import uvicorn
import websockets.asyncio.server
import websockets.trio.server

from phoenix_channels import Endpoint
from phoenix_channels.transports.websockets import WebSocketsTransport

FAST = "phoenix_channels.transports.uvicorn:WebSocketProtocol"
Handler = Callable[..., Awaitable[None]]
Serve = Callable[..., AbstractAsyncContextManager[int]]
Run = Callable[..., AbstractAsyncContextManager[tuple["UvicornServer", int]]]

UVICORN: dict[str, Any] = {
    "ws": "websockets-sansio",
    "ws_ping_interval": None,
    "ws_per_message_deflate": False,
    "ws_max_size": 10_000_000,
    "log_config": None,
}
WEBSOCKETS: dict[str, Any] = {"compression": None, "ping_interval": None, "max_size": 10_000_000}


class UvicornServer(uvicorn.Server):
    """A server that says when it accepts connections, and looks more often whether it should stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running_uvicorn(app: Any, **options: Any) -> AsyncGenerator[tuple[UvicornServer, int]]:
    """A running uvicorn and its port; stopped as by a signal at the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    # asyncio sets it for listeners of its own making only; without it, the body of a response waits 40 ms for its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = listener.getsockname()[1]
    server = UvicornServer(uvicorn.Config(app, **UVICORN | options))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    ready = asyncio.create_task(server.ready.wait())
    await asyncio.wait([serving, ready], return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    try:
        yield server, port
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def uvicorn_server(app: Any, **options: Any) -> AsyncGenerator[int]:
    async with running_uvicorn(app, **options) as (_, port):
        yield port


def running_fast(app: Any, **options: Any) -> AbstractAsyncContextManager[tuple[UvicornServer, int]]:
    """A running uvicorn with the fast lane."""
    return running_uvicorn(app, **{"ws": FAST} | options)


def fast_server(app: Any, **options: Any) -> AbstractAsyncContextManager[int]:
    return uvicorn_server(app, **{"ws": FAST} | options)


def both_halves(endpoint: Endpoint) -> tuple[Handler, dict[str, Any]]:
    transport = WebSocketsTransport(endpoint)
    return transport.handler, {"process_request": transport.process_request}


@asynccontextmanager
async def raw_asyncio_server(handler: Handler, *, port: int = 0, **options: Any) -> AsyncGenerator[int]:
    """A server of the ``websockets`` library for anything; the options are its own."""
    async with websockets.asyncio.server.serve(handler, "127.0.0.1", port, **options) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def raw_trio_server(handler: Handler, *, port: int = 0, **options: Any) -> AsyncGenerator[int]:
    async def serve(task_status: trio.TaskStatus[websockets.trio.server.Server]) -> None:
        await websockets.trio.server.serve(handler, port, host="127.0.0.1", task_status=task_status, **options)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve)
        async with server:
            yield server.listeners[0].socket.getsockname()[1]


def asyncio_server(endpoint: Endpoint, *, port: int = 0, **options: Any) -> AbstractAsyncContextManager[int]:
    handler, halves = both_halves(endpoint)
    return raw_asyncio_server(handler, port=port, **WEBSOCKETS | halves | options)


def trio_server(endpoint: Endpoint, *, port: int = 0, **options: Any) -> AbstractAsyncContextManager[int]:
    handler, halves = both_halves(endpoint)
    return raw_trio_server(handler, port=port, **WEBSOCKETS | halves | options)


UVLOOP = ("asyncio", {"use_uvloop": True})
KINDS: dict[str, tuple[Any, Serve]] = {
    "fast": ("asyncio", fast_server),
    "fast-uvloop": (UVLOOP, fast_server),
    "uvicorn": ("asyncio", uvicorn_server),
    "uvicorn-uvloop": (UVLOOP, uvicorn_server),
    "websockets": ("asyncio", asyncio_server),
    "websockets-uvloop": (UVLOOP, asyncio_server),
    "websockets-trio": ("trio", trio_server),
}
"""Every server that the library has a binding to: the event loop it needs, and how to start it."""
BLIND = [kind for kind in KINDS if kind.startswith("uvicorn")]
"""Where the endpoint has messages only: no control frames, and no frame by itself."""
SEEING = [kind for kind in KINDS if kind not in BLIND]
