"""A client that polls, without a network."""

import base64
import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import anyio

from phoenix_channels import Channel, Endpoint, LongPollOptions
from phoenix_channels.socket import BaseSocket, Socket
from tests.support import frames
from tests.support.asgi import Run, Server, serving
from tests.support.backplane import Broker
from tests.support.loops import soon

PATH = "/socket/longpoll"
SECRET = "a secret that all nodes share"
NDJSON = "application/x-ndjson"
TOKEN_HEADER = "x-phoenix-longpoll-token"

Headers = Iterable[tuple[str, str]]


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def envelope(self) -> dict[str, Any]:
        """The body of an answer of the protocol (P-092)."""
        assert self.status == 200
        assert self.headers["content-type"] == "application/json; charset=utf-8"
        assert self.headers["cache-control"] == "no-store"
        assert self.headers["access-control-allow-origin"] == "*"
        envelope: dict[str, Any] = json.loads(self.body)
        return envelope


async def answer_of(run: Run) -> Answer:
    """Wait for the response to a request."""
    await run.wait_ended()
    start, body = run.outgoing.take(), run.outgoing.take()
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], headers, body["body"])


async def ask(server: Server, method: str, path: str = PATH, **options: Any) -> Answer:
    """One request and its response; the keywords are those of :meth:`Server.start_request`."""
    return await answer_of(server.start_request(method, path, **options))


def batch(*messages: object) -> bytes:
    """The body of a POST: bytes as base64, text as it is, all else as JSON (P-099)."""
    lines = [
        base64.b64encode(message)
        if isinstance(message, bytes)
        else (message if isinstance(message, str) else json.dumps(message)).encode()
        for message in messages
    ]
    return b"\n".join(lines)


def shown(messages: Iterable[str]) -> list[Any]:
    """The frames of an answer: JSON inside JSON."""
    return [json.loads(message) for message in messages]


class Poller:
    """One session of one client; ``server`` may be changed on the way, as by a load balancer."""

    def __init__(self, server: Server, *, path: str = PATH, query: str = "vsn=2.0.0", headers: Headers = ()) -> None:
        self.server = server
        self.path = path
        self.query = query
        self.headers = list(headers)
        self.token: str | None = None

    def _with_token(self) -> str:
        return f"{self.query}&" if self.token is None else f"{self.query}&token={self.token}"

    async def open(self) -> "Poller":
        """Have the session made (P-095)."""
        envelope = (await self.get()).envelope
        self.token = envelope["token"]
        assert self.token
        assert envelope == {"status": 410, "token": self.token, "messages": []}
        return self

    # Polls

    def start_get(self) -> Run:
        """Begin to poll."""
        return self.server.start_request("GET", self.path, query=self._with_token(), headers=self.headers)

    async def get(self) -> Answer:
        return await answer_of(self.start_get())

    async def poll(self) -> tuple[int, list[Any]]:
        """Poll: the status, and the frames."""
        return self.polled(await self.get())

    async def result(self, run: Run) -> tuple[int, list[Any]]:
        """What a poll that has begun is answered."""
        return self.polled(await answer_of(run))

    def polled(self, answer: Answer) -> tuple[int, list[Any]]:
        envelope = answer.envelope
        assert envelope.keys() == {"status", "token", "messages"}
        assert envelope["status"] in (200, 204, 410)
        assert (envelope["token"] == self.token) == (envelope["status"] != 410)
        assert bool(envelope["messages"]) == (envelope["status"] == 200)
        return envelope["status"], shown(envelope["messages"])

    # Posts

    def start_post(self, *messages: object, content_type: str = NDJSON) -> Run:
        """Begin to post a batch."""
        return self.start_post_body(batch(*messages), content_type)

    def start_post_body(self, body: bytes, content_type: str | None = NDJSON) -> Run:
        headers = self.headers if content_type is None else [*self.headers, ("content-type", content_type)]
        return self.server.start_request("POST", self.path, query=self._with_token(), headers=headers, body=body)

    async def post(self, *messages: object) -> int:
        """Post a batch: the status."""
        return posted(await answer_of(self.start_post(*messages)))

    async def post_body(self, body: bytes, content_type: str | None = NDJSON) -> int:
        return posted(await answer_of(self.start_post_body(body, content_type)))

    # Conversations

    async def call(self, *message: object) -> list[Any]:
        """Post one message: all frames of the next poll."""
        assert await self.post(list(message)) == 200
        status, received = await self.poll()
        assert status == 200
        return received

    async def join(self, topic: str, payload: object = None, *, ref: str = "1") -> None:
        (reply,) = await self.call(ref, ref, topic, "phx_join", {} if payload is None else payload)
        assert reply == frames.reply(ref, ref, topic, reply[4]["response"])

    async def heartbeat(self) -> None:
        """The session lives, and had nothing else for us."""
        assert await self.call(None, "h", "phoenix", "heartbeat", {}) == [frames.reply(None, "h", "phoenix")]

    async def gone(self) -> None:
        """The session is over: a POST learns nothing but that (P-093)."""
        assert await self.post([None, "h", "phoenix", "heartbeat", {}]) == 410


def posted(answer: Answer) -> int:
    """The status of a POST, which has nothing else in its body (P-093)."""
    envelope = answer.envelope
    assert envelope.keys() == {"status"}
    status: int = envelope["status"]
    return status


def disconnect(run: Run) -> None:
    """The client of a request goes away."""
    run.incoming.put({"type": "http.disconnect"})


def socket_of(channels: "type[Channel[Any]]", *, name: str | None = None, most: int = 100) -> type[Socket]:
    """A socket class with one channel class at ``room:*``."""
    given = channels

    class UserSocket(Socket):
        channels = {"room:*": given}
        max_channels = most

        def id(self) -> str | None:
            return name

    return UserSocket


OPTIONS = ("path", "window", "pubsub_timeout", "max_age")


def mounted(
    socket_class: type[BaseSocket], *, limits: Any = None, pubsub: Any = None, secret: str = SECRET, **options: Any
) -> Endpoint:
    """An endpoint with a socket class at ``/socket``; the options are those of the mount and of long polling."""
    endpoint = Endpoint(secret_key_base=secret, limits=limits, pubsub=pubsub)
    longpoll = LongPollOptions(**{name: options.pop(name) for name in OPTIONS if name in options})
    endpoint.socket("/socket", socket_class, longpoll=longpoll, **options)
    return endpoint


@asynccontextmanager
async def served(endpoint: Endpoint, *, alone: bool = True) -> AsyncGenerator[Server]:
    """Serve an endpoint; at the end no session may be left, nor anything of one."""
    async with serving(endpoint, alone=alone) as server:
        yield server
        # A client that has gone is only missed after a while.
        await soon(endpoint.drain())


@asynccontextmanager
async def polled(socket_class: type[BaseSocket], **options: Any) -> AsyncGenerator[tuple[Endpoint, Server]]:
    """Serve a socket class; the keywords are those of :func:`mounted`."""
    endpoint = mounted(socket_class, **options)
    async with served(endpoint) as server:
        yield endpoint, server


class Cluster(NamedTuple):
    """Nodes of one application on one event loop."""

    broker: Broker
    endpoints: list[Endpoint]
    servers: list[Server]

    async def opened(self, **options: Any) -> Poller:
        """A session on the first node, whose client asks the second from now on."""
        poller = await Poller(self.servers[0], **options).open()
        poller.server = self.servers[1]
        return poller

    @property
    def interests(self) -> int:
        """What the nodes have asked the broker for, and not given back."""
        return sum(sum(node.interests.values()) for node in self.broker.nodes)


@asynccontextmanager
async def cluster(socket_class: type[BaseSocket], *, number: int = 2, **options: Any) -> AsyncGenerator[Cluster]:
    """Serve a socket class on several nodes; the keywords are those of :func:`mounted`."""
    broker = Broker()
    endpoints = [mounted(socket_class, pubsub=broker.node(), **options) for _ in range(number)]
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(served(endpoint, alone=False)) for endpoint in endpoints]
        yield Cluster(broker, endpoints, servers)
        for endpoint in endpoints:
            with anyio.fail_after(5):
                await endpoint.drain()
    assert all(not node.interests for node in broker.nodes)
