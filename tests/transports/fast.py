"""Clients of the fast lane that ask for an upgrade, and do not wait for the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest

from tests.support.loops import DEADLINE
from tests.transports.clients import RawClient, Response, request_bytes
from tests.transports.servers import UVLOOP

on_loops = pytest.mark.parametrize("anyio_backend", ["asyncio", UVLOOP], ids=["asyncio", "uvloop"], scope="module")


@asynccontextmanager
async def asking(port: int, target: str, *more: bytes, **headers: str | None) -> AsyncGenerator[RawClient]:
    """A client that has asked for an upgrade, and has sent more without waiting for the answer."""
    named = {name.replace("_", "-").title().replace("Websocket", "WebSocket"): value for name, value in headers.items()}
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(request_bytes(target, named))
        for data in more:
            # A segment of its own: what comes with the request is lost in uvicorn's HTTP protocols.
            await anyio.wait_all_tasks_blocked()
            await stream.send(data)
        yield RawClient(stream)


async def answer(client: RawClient) -> Response:
    """The head of the response; what comes after it stays with the client."""
    with anyio.fail_after(DEADLINE):
        while b"\r\n\r\n" not in client.data:
            client.data += await client.stream.receive()
    head, _, client.data = client.data.partition(b"\r\n\r\n")
    return Response(head + b"\r\n\r\n")


async def rest(client: RawClient) -> bytes:
    """All that comes until the server hangs up."""
    with anyio.fail_after(DEADLINE):
        try:
            while True:
                client.data += await client.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return client.data
