"""The client of this library, for every test that wants a second end and does not care for its frames."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from phoenix_channels import Endpoint
from phoenix_channels.client import Closed, Socket, SocketEvent, connect, ladder
from tests.support.loops import DEADLINE, on_trio, soon
from tests.transports.servers import asyncio_server, trio_server

QUICK = ladder(0.001)
NEVER = ladder(3600.0)


def serving(endpoint: Endpoint, port: int = 0, **options: Any) -> AbstractAsyncContextManager[int]:
    """Serve it on the loop of the test; the value is the port, the options are those of ``websockets``."""
    return (trio_server if on_trio() else asyncio_server)(endpoint, port=port, **options)


def connect_to(port: int, *, scheme: str = "ws", **options: Any) -> AbstractAsyncContextManager[Socket]:
    """A client that waits for nothing longer than it must."""
    quick: dict[str, Any] = {"reconnect_after": QUICK, "rejoin_after": QUICK, "timeout": DEADLINE}
    return connect(f"{scheme}://127.0.0.1:{port}/socket", **quick | options)


def connect_once(port: int, **options: Any) -> AbstractAsyncContextManager[Socket]:
    """A client that does not come back, for servers that end."""
    return connect_to(port, reconnect_after=NEVER, **options)


@asynccontextmanager
async def connected(endpoint: Endpoint, **options: Any) -> AsyncGenerator[Socket]:
    async with serving(endpoint) as port, connect_to(port, **options) as socket:
        yield socket


async def until(socket: Socket, *kinds: type[SocketEvent]) -> list[SocketEvent]:
    """What happens to the socket until something of each kind has happened, in this order."""
    seen: list[SocketEvent] = []
    for kind in kinds:
        while True:
            seen.append(await soon(anext(socket)))
            if isinstance(seen[-1], kind):
                break
    return seen


async def close_code(socket: Socket) -> int | None:
    """The code with which the server closes the connection next; None when it just hangs up."""
    event = (await until(socket, Closed))[-1]
    assert isinstance(event, Closed)
    assert event.error is None
    return event.code
