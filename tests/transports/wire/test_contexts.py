"""Context variables: every callback sees what its own connection has set, and nothing of another's."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, Endpoint, RawSocket, Reply, Socket, incoming
from tests.transports.app import eventually
from tests.transports.clients import RawClient, connect_raw, masked
from tests.transports.servers import SEEING, Serve

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")
MANY = 40
"""More messages than are handled without a turn of the loop."""


class UserChannel(Channel["UserSocket"]):
    """Says who it is that it works for."""

    async def join(self, payload: Any) -> None:
        self.socket.channels_of[user.get()] = self

    @incoming
    def plain(self, payload: Any) -> Reply:
        return Reply.ok(user.get())

    @incoming
    async def task(self, payload: Any) -> Reply:
        await anyio.lowlevel.checkpoint()
        return Reply.ok(user.get())

    @incoming
    def become(self, payload: str) -> Reply:
        user.set(payload)
        return Reply.ok(payload)

    @incoming
    def flood(self, payload: str) -> Reply:
        """Push more to somebody else than that one takes."""
        for _ in range(600):
            self.socket.channels_of[payload].push("flood", {"pad": "x" * 10_000})
        return Reply.ok(payload)


class UserSocket(Socket):
    channels = {"room:*": UserChannel}
    channels_of: dict[str, UserChannel]

    def connect(self, params: Mapping[str, Any], info: object) -> None:
        user.set(params["user"])


class UserRawSocket(RawSocket):
    """Likewise."""

    def connect(self, params: Mapping[str, Any], info: object) -> None:
        user.set(params["user"])

    def init(self) -> str:
        return f"init {user.get()}"

    def handle_in(self, data: str | bytes) -> str:
        return f"{data!r} {user.get()}"

    def handle_control(self, payload: bytes, opcode: str) -> str:
        return f"{opcode} {user.get()}"


def query(name: str) -> str:
    return f"vsn=2.0.0&user={name}"


@pytest.fixture
def endpoint() -> Endpoint:
    class OneSocket(UserSocket):
        channels_of = {}

    endpoint = Endpoint()
    endpoint.socket("/socket", OneSocket)
    endpoint.socket("/raw", UserRawSocket)
    return endpoint


async def join(client: RawClient) -> RawClient:
    await client.send("1", "1", "room:a", "phx_join", {})
    await responses(client, 1)
    return client


async def ask(client: RawClient, event: str, *, count: int = 1, payload: Any = None) -> set[str]:
    """Send so many messages in one piece: the different answers."""
    await client.stream.send(b"".join(client.text("1", str(n), "room:a", event, payload) for n in range(count)))
    return await responses(client, count)


async def responses(client: RawClient, count: int) -> set[Any]:
    found: list[Any] = []
    while len(found) < count:
        _, _, _, event, payload = json.loads((await client.receive_frame())[1])
        if event == "phx_reply":
            assert payload["status"] == "ok"
            found.append(str(payload["response"]))
    return set(found)


@pytest.mark.parametrize("event", ["plain", "task"])
async def test_handlers_see_what_connect_has_set(serve: Serve, endpoint: Endpoint, event: str) -> None:
    async with (
        serve(endpoint) as port,
        connect_raw(port, query=query("ada")) as ada,
        connect_raw(port, query=query("bob")) as bob,
    ):
        clients = {"ada": await join(ada), "bob": await join(bob)}
        for count in (1, MANY, 1):
            for name, client in clients.items():
                assert await ask(client, event, count=count) == {name}


@pytest.mark.parametrize("event", ["plain", "task"])
async def test_what_a_handler_sets_nobody_else_sees(serve: Serve, endpoint: Endpoint, event: str) -> None:
    async with (
        serve(endpoint) as port,
        connect_raw(port, query=query("ada")) as ada,
        connect_raw(port, query=query("bob")) as bob,
    ):
        await join(ada)
        await join(bob)
        for count in (1, MANY):
            assert await ask(ada, "become", count=count, payload="admin") == {"admin"}
            assert await ask(bob, event) == {"bob"}
            assert await ask(bob, event, count=MANY) == {"bob"}
        async with connect_raw(port, query=query("eve")) as eve:
            await join(eve)
            assert await ask(eve, event, count=MANY) == {"eve"}


@pytest.mark.parametrize("event", ["plain", "task"])
async def test_a_client_that_is_read_again_for_what_another_one_did_stays_itself(
    serve: Serve, endpoint: Endpoint, event: str
) -> None:
    async with (
        serve(endpoint) as port,
        connect_raw(port, query=query("ada"), receive_buffer=4096) as ada,
        connect_raw(port, query=query("bob")) as bob,
    ):
        await join(ada)
        await join(bob)
        # It is bob's handler that writes to ada, and ada is read again when that is written.
        assert await ask(bob, "flood", payload="ada") == {"ada"}
        await eventually(lambda: endpoint.statistics().outbox_bytes > 64 * 1024)
        await ada.stream.send(b"".join(ada.text("1", str(n), "room:a", event, {}) for n in range(MANY)))
        assert await ask(bob, "plain", count=MANY) == {"bob"}
        assert await responses(ada, MANY) == {"ada"}
        assert await ask(ada, event) == {"ada"}


async def test_callbacks_of_raw_sockets_see_what_connect_has_set(serve: Serve, kind: str, endpoint: Endpoint) -> None:
    async with (
        serve(endpoint) as port,
        connect_raw(port, "/raw/websocket", query=query("ada")) as ada,
        connect_raw(port, "/raw/websocket", query=query("bob")) as bob,
    ):
        for name, client in (("ada", ada), ("bob", bob)):
            assert await client.receive_frame() == (1, f"init {name}".encode())
        for name, client in (("ada", ada), ("bob", bob)):
            for count in (1, MANY):
                await client.stream.send(masked(1, b"text") * count)
                assert {await client.receive_frame() for _ in range(count)} == {(1, f"'text' {name}".encode())}
            if kind in SEEING:
                await client.stream.send(masked(9, b"ping") + masked(10, b"pong"))
                seen = [await client.receive_frame() for _ in range(3)]
                assert seen == [(10, b"ping"), (1, f"ping {name}".encode()), (1, f"pong {name}".encode())]
