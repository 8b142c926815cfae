"""A server that does what its client asks for, and others that do not."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha1
from typing import Any

import anyio
import anyio.abc

from phoenix_channels import (
    Channel,
    ConnectInfo,
    ConnectRefused,
    Endpoint,
    JoinRefused,
    MountOptions,
    Reply,
    Socket,
    Stop,
    channel,
    incoming,
)
from tests.support.clients import serving
from tests.support.loops import Journal, on_trio, soon
from tests.transports.servers import raw_asyncio_server, raw_trio_server


class RoomChannel(Channel["RoomSocket"]):
    shutdown = 0.1

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    async def join(self, payload: Any) -> Any:
        self.journal.add((self.topic, "join", payload))
        if self.subtopic == "forbidden":
            raise JoinRefused(reason="unauthorized")
        if self.subtopic == "slow":
            await anyio.sleep_forever()
        return {"you sent": payload}

    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)

    @incoming
    def refuse(self, payload: Any) -> Reply:
        return Reply.error({"reason": "no"})

    @incoming
    def note(self, payload: Any) -> None:
        self.journal.add((self.topic, "note", payload))

    @incoming
    def say(self, payload: Any) -> Reply:
        """Push these messages, then reply."""
        for event, content in payload["messages"]:
            self.push(event, content)
        return Reply.ok()

    @incoming
    def throw(self, payload: bytes) -> None:
        self.push("caught", payload)

    @incoming
    def crash(self, payload: Any) -> None:
        raise RuntimeError("on purpose")

    @incoming
    def stop(self, payload: Any) -> Stop:
        return Stop()

    async def terminate(self, reason: Any) -> None:
        self.journal.add((self.topic, "terminate", reason))


class RoomSocket(Socket):
    journal: Journal

    async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        self.journal.add(("connect", params, getattr(info, "auth_token", None)))
        self.user = params.get("user")
        if params.get("user") == "nobody":
            raise ConnectRefused(*([params["reason"]] if "reason" in params else []))

    def id(self) -> str | None:
        return self.user and f"users:{self.user}"


def make_endpoint(journal: Journal, **mount: Any) -> Endpoint:
    """Rooms at ``/socket``."""

    class JournalSocket(RoomSocket):
        channels = {"room:*": channel(RoomChannel, journal)}

    JournalSocket.journal = journal
    endpoint = Endpoint()
    options: MountOptions = {**mount}  # type: ignore[typeddict-item]
    endpoint.socket("/socket", JournalSocket, **options)
    return endpoint


def many(count: int) -> dict[str, Any]:
    """Have so many messages pushed."""
    return these(*(("n", {"n": n}) for n in range(count)))


def these(*messages: tuple[str, Any]) -> dict[str, Any]:
    """Have these messages pushed: event and payload."""
    return {"messages": messages}


class Server:
    """A server that stops and starts again, on its port."""

    def __init__(self, endpoint: Endpoint, group: anyio.abc.TaskGroup) -> None:
        self.port = 0
        self._endpoint = endpoint
        self._group = group
        self._stop = self._stopped = anyio.Event()

    async def start(self) -> None:
        self.port = await self._group.start(self._serve)

    async def stop(self) -> None:
        self._stop.set()
        await soon(self._stopped.wait())

    async def _serve(self, *, task_status: anyio.abc.TaskStatus[int]) -> None:
        self._stop, self._stopped = anyio.Event(), anyio.Event()
        async with serving(self._endpoint, self.port) as port:
            task_status.started(port)
            await self._stop.wait()
        self._stopped.set()


@asynccontextmanager
async def restartable(endpoint: Endpoint) -> AsyncGenerator[Server]:
    async with anyio.create_task_group() as group:
        server = Server(endpoint, group)
        await server.start()
        yield server
        await server.stop()


# Servers that are not ours


def raw_server(handler: Callable[[Any], Awaitable[None]], **options: Any) -> AbstractAsyncContextManager[int]:
    """A server of the ``websockets`` library, whose the options are; the handler gets its connections."""
    return (raw_trio_server if on_trio() else raw_asyncio_server)(handler, **options)


@asynccontextmanager
async def deaf_server(answer: bytes | None = None) -> AsyncGenerator[int]:
    """A server that accepts a WebSocket, answers the first message where it has an answer, and never reads again."""

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            request = b""
            while b"\r\n\r\n" not in request:
                request += await stream.receive()
            key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            accept = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            await stream.send(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            if answer is not None:
                await stream.receive()
                await stream.send(answer)
            await anyio.sleep_forever()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        group.cancel_scope.cancel()
