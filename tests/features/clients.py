"""Clients of either version of the protocol, to a server with a network or to one without.

Not the client of this library: a feature is shown frame by frame, refs included, by version 1 as by version 2.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.features.messages import Messages
from tests.support import asgi, frames
from tests.support.asgi import Closed, Refused, serving
from tests.support.loops import DEADLINE
from tests.transports import clients, servers

Headers = Iterable[tuple[str, str]]


class Link(Protocol):
    """One WebSocket connection: messages as they are sent, and JSON decoded as it is received."""

    peer: tuple[str, int]
    """The address of this client, as its server has to know it."""

    async def send(self, data: str | bytes) -> None: ...
    async def receive(self) -> Any: ...
    async def close(self) -> None: ...


class MemoryLink:
    """Without a network."""

    peer = ("127.0.0.1", 50000)

    def __init__(self, client: asgi.Client) -> None:
        self._client = client
        self.receive = client.receive
        self.close = client.close

    async def send(self, data: str | bytes) -> None:
        self._client.send_nowait(data)


class NetworkLink:
    """Over TCP."""

    def __init__(self, client: clients.Client) -> None:
        self._client = client
        self.close = client.close
        self.peer = client.connection.local_address[:2]

    async def send(self, data: str | bytes) -> None:
        await self._client.connection.send(data)

    async def receive(self) -> Any:
        try:
            return await self._client.receive()
        except ConnectionClosed as closed:
            raise Closed(closed.rcvd.code if closed.rcvd is not None else 1006) from closed


class Client(Messages):
    """One WebSocket connection."""

    def __init__(self, link: Link, version: int) -> None:
        super().__init__(version)
        self._link = link
        self.peer = link.peer
        self.send_raw = link.send
        self.close = link.close

    async def send(self, topic: str, event: str, payload: object = None) -> str:
        """Send a message; the result is its ref."""
        message, ref = self.encode(topic, event, payload)
        await self._link.send(message)
        return ref

    async def receive(self) -> Any:
        """The next frame.

        Raises:
            Closed: there is none, the server has closed.
        """
        return self.normalised(await self._link.receive())

    async def receive_many(self, number: int) -> list[Any]:
        return [await self.receive() for _ in range(number)]

    async def receive_close(self) -> int:
        """The code with which the server closes; no frame may come before."""
        try:
            frame = await self.receive()
        except Closed as closed:
            return closed.code
        raise AssertionError(f"instead of a close came {frame!r}")

    async def start_join(self, topic: str, payload: object = None) -> str:
        """Send a join; the result is its ref."""
        message, ref = self.encode_join(topic, payload)
        await self._link.send(message)
        return ref

    async def join(self, topic: str, payload: object = None, response: object = None) -> None:
        """Join a topic that lets us in with this response."""
        ref = await self.start_join(topic, payload)
        assert await self.receive() == frames.reply(self.join_ref(topic), ref, topic, response)

    async def heartbeat(self) -> None:
        """A round trip: nothing else was on its way."""
        ref = await self.send("phoenix", "heartbeat")
        assert await self.receive() == frames.reply(None, ref, "phoenix")


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Server:
    """A running server; its clients go away when it ends."""

    def __init__(
        self,
        authority: tuple[str, int],
        open_link: Callable[[str, str, Headers], AbstractAsyncContextManager[Link]],
        request: Callable[[str, str, str, Headers, bytes], Awaitable[Response]],
    ) -> None:
        self.authority = authority
        """Host and port, as clients know them."""
        self._open_link = open_link
        self._request = request
        self.stack = AsyncExitStack()

    async def connect(
        self, version: int, path: str = "/socket/websocket", query: str = "", headers: Headers = ()
    ) -> Client:
        """Connect; a query that has a ``vsn`` of its own is sent as it is.

        Raises:
            Refused: with the status of the response.
        """
        return Client(await self.open(path, with_vsn(version, query), headers), version)

    async def open(self, path: str = "/socket/websocket", query: str = "", headers: Headers = ()) -> Link:
        """Connect without a protocol of our own."""
        return await self.stack.enter_async_context(self._open_link(path, query, headers))

    async def request(
        self, method: str, path: str, query: str = "", headers: Headers = (), body: bytes = b""
    ) -> Response:
        return await self._request(method, path, query, headers, body)


def with_vsn(version: int, query: str) -> str:
    return query if "vsn=" in query else f"vsn={version}.0.0&{query}".rstrip("&")


Serve = Callable[[Any], AbstractAsyncContextManager[Server]]


def over_network(serve: servers.Serve) -> Serve:
    return partial(_serve_over_network, serve)


@asynccontextmanager
async def _serve_over_network(serve: servers.Serve, app: Any) -> AsyncGenerator[Server]:
    async with serve(app) as port, httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as http:

        @asynccontextmanager
        async def open_link(path: str, query: str, headers: Headers) -> AsyncGenerator[Link]:
            async with AsyncExitStack() as stack:
                opening = clients.connect(port, path, query, additional_headers=list(headers), user_agent_header=None)
                try:
                    client = await stack.enter_async_context(opening)
                except InvalidStatus as refused:
                    raise Refused(refused.response.status_code, bytes(refused.response.body or b"")) from refused
                yield NetworkLink(client)

        async def request(method: str, path: str, query: str, headers: Headers, body: bytes) -> Response:
            url = f"http://127.0.0.1:{port}{path}?{query}"
            response = await http.request(method, url, headers=list(headers), content=body)
            return Response(response.status_code, response.headers, response.content)

        server = Server(("127.0.0.1", port), open_link, request)
        async with server.stack:
            yield server


HANDSHAKE = [("sec-websocket-version", "13"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]


@asynccontextmanager
async def serve_in_memory(app: Any) -> AsyncGenerator[Server]:
    async with serving(app) as memory:

        @asynccontextmanager
        async def open_link(path: str, query: str, headers: Headers) -> AsyncGenerator[Link]:
            yield MemoryLink(await memory.connect(path, query=query, headers=[*HANDSHAKE, *headers]))

        async def request(method: str, path: str, query: str, headers: Headers, body: bytes) -> Response:
            run = memory.start_request(method, path, query=query, headers=headers, body=body)
            await run.wait_ended()
            start, end = run.outgoing.take(), run.outgoing.take()
            named = {name.decode(): value.decode() for name, value in start["headers"]}
            return Response(start["status"], named, end["body"])

        server = Server(("www.example.com", 80), open_link, request)
        async with server.stack:
            yield server
