"""What is left of a connection on the fast lane when it is over: nothing that only the garbage collector would find.

With ten thousand clients that come and go it would be a million objects, and a pause for everybody to look at them.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anyio
import pytest

from phoenix_channels import (
    BaseSocket,
    Channel,
    Endpoint,
    Reply,
    Socket,
    Stop,
    incoming,
    intercept,
)
from tests.transports.app import eventually
from tests.transports.clients import RawClient, ask, connect_raw, masked
from tests.transports.fast import on_loops, rest
from tests.transports.servers import running_fast

pytestmark = on_loops
CLOSE, PING = 8, 9


class RoomChannel(Channel["RoomSocket"]):
    """Has everything that a channel may have."""

    shutdown = 0.1

    async def after_join(self) -> None:
        await self.subscribe("elsewhere")
        self.start_soon(anyio.sleep_forever)
        self.timer = self.send_after(60, "a timer")

    async def handle_info(self, message: Any) -> None:
        self.push("info", {})

    @intercept("changed")
    def changed(self, payload: Any) -> None:
        self.push("changed", payload)

    @incoming
    def change(self, payload: Any) -> None:
        self.broadcast("changed", {})

    @incoming
    async def later(self, payload: Any) -> Reply:
        await anyio.lowlevel.checkpoint()
        return Reply.ok()

    @incoming
    def keep(self, payload: Any) -> None:
        self.ref = self.reply_later()

    @incoming
    def stop(self, payload: Any) -> Stop:
        return Stop()

    async def terminate(self, reason: Any) -> None:
        await anyio.lowlevel.checkpoint()


class RoomSocket(Socket):
    channels = {"room:*": RoomChannel}

    def connect(self, params: Mapping[str, Any], info: object) -> None:
        self.user = params["user"]

    def id(self) -> str:
        return f"users:{self.user}"


def is_ours(thing: object) -> bool:
    # By type: isinstance would ask proxies, which may be half dead.
    kind = type(thing)
    return kind.__module__.startswith("phoenix_channels") or issubclass(kind, Channel | BaseSocket)


@contextmanager
def garbage() -> Iterator[Counter[str]]:
    """What the collector finds of what was thrown away meanwhile; filled at the end."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    found: Counter[str] = Counter()
    try:
        yield found
        gc.collect()
        found.update(type(thing).__name__ for thing in gc.garbage if is_ours(thing))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


# What a client does before it is gone, and how it goes


async def hangs_up(endpoint: Endpoint, client: RawClient) -> None:
    pass


async def vanishes(endpoint: Endpoint, client: RawClient) -> None:
    await client.abort()


async def closes(endpoint: Endpoint, client: RawClient) -> None:
    await client.send_frame(CLOSE, b"\x03\xe8")
    await rest(client)


async def leaves(endpoint: Endpoint, client: RawClient) -> None:
    await client.send("1", "9", "room:a", "phx_leave", {})
    await until(client, "phx_close")


async def joins_again(endpoint: Endpoint, client: RawClient) -> None:
    await client.send("9", "9", "room:a", "phx_join", {})
    await until(client, "phx_close")


async def is_stopped(endpoint: Endpoint, client: RawClient) -> None:
    await client.send("1", "9", "room:a", "stop", {})
    await until(client, "phx_close")


async def is_told_things(endpoint: Endpoint, client: RawClient) -> None:
    for event in ("change", "later", "keep"):
        await client.send("1", event, "room:a", event, {})
    await until(client, "changed")
    endpoint.broadcast("elsewhere", "something", {})
    await until(client, "info")
    endpoint.broadcast("room:a", "and then", {})
    await until(client, "and then")


async def is_closed(endpoint: Endpoint, client: RawClient) -> None:
    await endpoint.disconnect("users:ada")
    assert await client.close_code() == 1001
    await client.send_frame(CLOSE, b"\x03\xe9")
    await rest(client)


async def is_behind(endpoint: Endpoint, client: RawClient) -> None:
    while endpoint.statistics().outbox_bytes < 100_000:
        endpoint.broadcast("room:a", "large", {"pad": "x" * 100_000})
        await anyio.lowlevel.checkpoint()
    await client.stream.send(masked(PING, b"unanswered") + client.text("1", "9", "room:a", "later", {}))


async def breaks_the_rules(endpoint: Endpoint, client: RawClient) -> None:
    await client.send_frame(3, b"")
    assert await client.close_code() == 1002


async def talks_nonsense(endpoint: Endpoint, client: RawClient) -> None:
    await client.send_frame(1, b"nonsense")
    assert await client.close_code() == 1011


async def until(client: RawClient, event: str) -> None:
    while f'"{event}"'.encode() not in (await client.receive_frame())[1]:
        pass


Visit = Callable[[Endpoint, RawClient], Awaitable[None]]
VISITS: list[Visit] = [
    hangs_up,
    vanishes,
    closes,
    leaves,
    joins_again,
    is_stopped,
    is_told_things,
    is_closed,
    is_behind,
    breaks_the_rules,
    talks_nonsense,
]


@pytest.mark.parametrize("visit", VISITS, ids=[visit.__name__ for visit in VISITS])
async def test_a_client_with_a_channel_leaves_no_garbage(visit: Visit) -> None:
    endpoint = Endpoint()
    endpoint.socket("/socket", RoomSocket)
    async with running_fast(endpoint) as (server, port):

        async def come_and_go() -> None:
            async with connect_raw(port, query="vsn=2.0.0&user=ada", receive_buffer=4096) as client:
                await client.send("1", "1", "room:a", "phx_join", {})
                await client.receive_frame()
                await visit(endpoint, client)
            await eventually(lambda: not endpoint.statistics().channels and not server.server_state.connections)

        # What is made once stays.
        await come_and_go()
        with garbage() as found:
            for _ in range(3):
                await come_and_go()
        assert found == {}


async def test_a_client_that_is_refused_leaves_no_garbage() -> None:
    endpoint = Endpoint()
    endpoint.socket("/socket", RoomSocket)
    async with running_fast(endpoint) as (server, port):

        async def come_and_go() -> None:
            response = await ask(port, "/socket/websocket?vsn=9.0.0")
            assert response.status == 403
            await eventually(lambda: not server.server_state.connections)

        await come_and_go()
        with garbage() as found:
            for _ in range(3):
                await come_and_go()
        assert found == {}
