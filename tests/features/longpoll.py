"""A client that polls."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from phoenix_channels import Endpoint, LongPollOptions
from phoenix_channels.socket import BaseSocket
from tests.features.clients import Headers, Response, Serve, Server, with_vsn
from tests.features.messages import Messages
from tests.support import frames
from tests.support.backplane import Broker
from tests.support.loops import soon

NDJSON = "application/x-ndjson"
TOKEN_HEADER = "x-phoenix-longpoll-token"


class Session(Messages):
    """One session: it is made on the first of its servers, and all further requests go to the last."""

    def __init__(self, *servers: Server, version: int, path: str = "/socket/longpoll", query: str = "") -> None:
        super().__init__(version)
        self._servers = servers
        self._path = path
        self._query = with_vsn(version, query)
        self.token: str | None = None

    # Requests

    async def get(self, headers: Headers = ()) -> dict[str, Any]:
        """Poll once: the envelope."""
        first = self.token is None
        envelope = envelope_of(await self._request("GET", headers))
        if first and envelope["status"] == 410:
            self.token = envelope["token"]
        elif envelope["status"] in (200, 204):
            assert envelope["token"] == self.token
        return envelope

    async def open(self, headers: Headers = ()) -> None:
        """Have the session made."""
        envelope = await self.get(headers)
        assert envelope == {"status": 410, "token": self.token, "messages": []}

    async def post_body(self, body: bytes, content_type: str | None = NDJSON) -> int:
        """Post something: the status of the envelope."""
        headers = [] if content_type is None else [("content-type", content_type)]
        envelope = envelope_of(await self._request("POST", headers, body))
        assert envelope.keys() == {"status"}
        status: int = envelope["status"]
        return status

    async def post(self, *messages: str | bytes) -> int:
        """Post messages as clients do: a batch, or one object of version 1."""
        if self.version == 1:
            (message,) = messages
            assert isinstance(message, str)
            return await self.post_body(message.encode(), "application/json")
        return await self.post_body(b"\n".join(map(entry, messages)))

    async def _request(self, method: str, headers: Headers, body: bytes = b"") -> Response:
        server = self._servers[0 if self.token is None else -1]
        query = self._query if self.token is None else f"{self._query}&token={self.token}"
        return await server.request(method, self._path, query, headers, body)

    # Conversations

    async def fetch(self, number: int) -> list[Any]:
        """So many frames, with as many polls as it takes; and no more of them."""
        received: list[Any] = []
        while len(received) < number:
            envelope = await self.get()
            assert envelope["status"] == 200
            assert envelope["messages"]
            received += [self.normalised(json.loads(message)) for message in envelope["messages"]]
        assert len(received) == number
        return received

    async def send(self, topic: str, event: str, payload: object = None) -> str:
        """Post one message; the result is its ref."""
        message, ref = self.encode(topic, event, payload)
        assert await self.post(message) == 200
        return ref

    async def start_join(self, topic: str, payload: object = None) -> str:
        """Post a join; the result is its ref."""
        message, ref = self.encode_join(topic, payload)
        assert await self.post(message) == 200
        return ref

    async def heartbeat(self) -> None:
        """A round trip: nothing else was there to fetch."""
        ref = await self.send("phoenix", "heartbeat")
        assert await self.fetch(1) == [frames.reply(None, ref, "phoenix")]


def envelope_of(response: Response) -> dict[str, Any]:
    """The body of a response; every one has status 200 and the same headers (P-092)."""
    assert response.status == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["access-control-allow-origin"] == "*"
    envelope: dict[str, Any] = json.loads(response.body)
    return envelope


def entry(message: str | bytes) -> bytes:
    """One line of a batch (P-099)."""
    return base64.b64encode(message) if isinstance(message, bytes) else message.encode()


LOBBY = "room:lobby"
SECRET = "a secret that all nodes share, of sixty-four bytes and some more"


class Nodes:
    """The nodes of one application: a session is made on the first, and asked for on the last."""

    def __init__(self, servers: Sequence[Server], endpoints: Sequence[Endpoint]) -> None:
        self.servers = servers
        self.endpoint = endpoints[-1]
        self._endpoints = endpoints

    def session(self, version: int, **options: Any) -> Session:
        return Session(*self.servers, version=version, **options)

    async def opened(self, version: int, *, headers: Headers = (), **options: Any) -> Session:
        session = self.session(version, **options)
        await session.open(headers)
        return session

    @property
    def channels(self) -> int:
        return sum(endpoint.statistics().channels for endpoint in self._endpoints)


ServeNodes = Callable[..., AbstractAsyncContextManager[Nodes]]


def serve_nodes(serve: Serve, number: int) -> ServeNodes:
    @asynccontextmanager
    async def start(socket_class: type[BaseSocket], **options: Any) -> AsyncGenerator[Nodes]:
        """Serve a socket class with long polling; the options are those of :class:`LongPollOptions` and of mounts."""
        names = {"window", "pubsub_timeout", "max_age"}
        longpoll = LongPollOptions(**{name: options.pop(name) for name in names & options.keys()})
        broker = Broker()
        endpoints = [Endpoint(secret_key_base=SECRET, pubsub=broker.node()) for _ in range(number)]
        async with AsyncExitStack() as stack:
            servers = []
            for endpoint in endpoints:
                endpoint.socket("/socket", socket_class, longpoll=longpoll, **options)
                servers.append(await stack.enter_async_context(serve(endpoint)))
            yield Nodes(servers, endpoints)
            # A client that has gone is only missed after a while.
            for endpoint in endpoints:
                await endpoint.drain()

    return start


async def enter(nodes: Nodes, session: Session, topic: str = LOBBY) -> None:
    """Join, and fetch what ``after_join`` sends, in one poll."""
    async with nodes.endpoint.subscribe(topic) as broadcasts:
        ref = await session.start_join(topic, {"user": "ada"})
        assert (await soon(anext(broadcasts))).event == "user_entered"
    envelope = await session.get()
    assert envelope["status"] == 200
    assert [session.normalised(json.loads(message)) for message in envelope["messages"]] == [
        frames.reply(session.join_ref(topic), ref, topic, {"status": "connected"}),
        frames.broadcast(topic, "user_entered", {"user": "ada"}),
        frames.push(session.join_ref(topic), topic, "joined", {"user": "ada"}),
    ]
