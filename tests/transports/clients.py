"""Clients: the one of the ``websockets`` library, on either event loop, and bare TCP for what it would never do.

They are for tests of what the client of this library hides, or would never do: handshakes, exact frames and refs, bytes
on the wire, data that nobody reads, ends without a goodbye, unix sockets.  Other tests use that client, by
``tests/support/clients.py``.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import websockets.asyncio.client
import websockets.trio.client
from websockets.exceptions import ConnectionClosed

from tests.support.loops import DEADLINE, on_trio

V2 = "vsn=2.0.0"


class Client:
    """One connection that speaks V2."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._ref = 0
        self._join_refs: dict[str, str] = {}

    async def send(self, *message: Any) -> None:
        await self.connection.send(json.dumps(message, ensure_ascii=False))

    async def receive(self) -> Any:
        """The next message, decoded unless it is binary."""
        with anyio.fail_after(DEADLINE):
            data = await self.connection.recv()
        return json.loads(data) if isinstance(data, str) else data

    async def push(self, topic: str, event: str, payload: Any = None) -> str:
        """Send a push; the result is its ref."""
        self._ref += 1
        await self.send(self._join_refs.get(topic), str(self._ref), topic, event, {} if payload is None else payload)
        return str(self._ref)

    async def call(self, topic: str, event: str, payload: Any = None) -> Any:
        """Send a push whose reply comes next; the result is its response."""
        ref = await self.push(topic, event, payload)
        join_ref, reply_ref, *reply = await self.receive()
        assert (reply_ref, *reply[:2], reply[2]["status"]) == (ref, topic, "phx_reply", "ok")
        assert join_ref == self._join_refs.get(topic)
        return reply[2]["response"]

    async def join(self, topic: str, payload: Any = None) -> Any:
        self._join_refs[topic] = str(self._ref + 1)
        return await self.call(topic, "phx_join", payload)

    async def leave(self, topic: str) -> None:
        join_ref = self._join_refs[topic]
        assert await self.call(topic, "phx_leave") == {}
        assert await self.receive() == [join_ref, join_ref, topic, "phx_close", {}]

    async def close_code(self) -> int:
        """The code with which the server closes, after whatever comes before."""
        with anyio.fail_after(DEADLINE):
            try:
                while True:
                    await self.connection.recv()
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd is not None else 1006

    async def close(self, code: int = 1000) -> None:
        trio_close = getattr(self.connection, "aclose", None)
        await (trio_close or self.connection.close)(code)


@asynccontextmanager
async def connect(
    port: int, path: str = "/socket/websocket", query: str = V2, *, scheme: str = "ws", **options: Any
) -> AsyncGenerator[Client]:
    """A client of the ``websockets`` library; the options are its own."""
    library = websockets.trio.client if on_trio() else websockets.asyncio.client
    settings: dict[str, Any] = {"compression": None, "ping_interval": None, "proxy": None, "max_size": None}
    opening = library.connect(f"{scheme}://127.0.0.1:{port}{path}?{query}", **settings | options)
    async with opening as connection:
        yield Client(connection)


@asynccontextmanager
async def connect_unix(path: Path) -> AsyncGenerator[Client]:
    """A client on a unix socket, on asyncio."""
    opening = websockets.asyncio.client.unix_connect(str(path), f"ws://localhost/socket/websocket?{V2}")
    async with opening as connection:
        yield Client(connection)


# Bare TCP


class Response:
    """An HTTP response, head and body."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def __repr__(self) -> str:
        return f"<{self.status} {self.headers} {self.body!r}>"


UPGRADE = {
    "Host": "localhost",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def request_bytes(target: str, headers: dict[str, str | None], method: str = "GET") -> bytes:
    """A request for an upgrade; a header that is None is left out."""
    lines = [f"{name}: {value}\r\n" for name, value in (UPGRADE | headers).items() if value is not None]
    return f"{method} {target} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


async def ask(port: int, target: str, *, method: str = "GET", **headers: str | None) -> Response:
    """Ask for an upgrade and read the whole answer; header names are written with underscores."""
    named = {name.replace("_", "-").title().replace("Websocket", "WebSocket"): value for name, value in headers.items()}
    with anyio.fail_after(DEADLINE):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request_bytes(target, {**named}, method))
            data = b""
            try:
                while not (b"\r\n\r\n" in data and is_whole(data, method)):
                    data += await stream.receive()
            except anyio.EndOfStream:
                pass
    return Response(data)


def is_whole(data: bytes, method: str) -> bool:
    response = Response(data)
    length = response.headers.get("content-length")
    return response.status == 101 or method == "HEAD" or (length is not None and len(response.body) >= int(length))


def masked(opcode: int, data: bytes, *, fin: bool = True) -> bytes:
    """One WebSocket frame of a client."""
    head = bytes([fin << 7 | opcode])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 65536:
        head += bytes([0x80 | 126]) + struct.pack("!H", len(data))
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", len(data))
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))


class RawClient:
    """A WebSocket connection over bare TCP; it reads only when it is told to."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self.stream = stream
        self.data = b""

    @staticmethod
    def text(*message: Any) -> bytes:
        return masked(1, json.dumps(message).encode())

    async def send(self, *message: Any) -> None:
        await self.stream.send(self.text(*message))

    async def send_frame(self, opcode: int, data: bytes, *, fin: bool = True) -> None:
        await self.stream.send(masked(opcode, data, fin=fin))

    async def receive_frame(self) -> tuple[int, bytes]:
        """The next frame: its opcode and its data; the opcode is 0 at the end of the stream."""
        with anyio.fail_after(DEADLINE):
            try:
                _, opcode = divmod((await self.take(1))[0], 16)
                (size,) = await self.take(1)
                if size == 126:
                    (size,) = struct.unpack("!H", await self.take(2))
                elif size == 127:
                    (size,) = struct.unpack("!Q", await self.take(8))
                return opcode, await self.take(size)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return 0, b""

    async def take(self, size: int) -> bytes:
        while len(self.data) < size:
            self.data += await self.stream.receive()
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    async def close_code(self) -> int:
        """The code with which the server closes; 1006 when it just hangs up."""
        opcode, data = 1, b""
        while opcode not in (0, 8):
            opcode, data = await self.receive_frame()
        return int.from_bytes(data[:2], "big") if data else 1006

    async def abort(self) -> None:
        """Vanish as a crashed machine's kernel does it: with a reset, without a close frame."""
        raw = self.stream.extra(anyio.abc.SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.stream.aclose()


@asynccontextmanager
async def connect_raw(
    port: int, path: str = "/socket/websocket", query: str = V2, *, receive_buffer: int | None = None
) -> AsyncGenerator[RawClient]:
    with anyio.fail_after(DEADLINE):
        bare = socket.socket()
        if receive_buffer is not None:
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        bare.connect(("127.0.0.1", port))
        stream = await anyio.abc.SocketStream.from_socket(bare)
    async with stream:
        client = RawClient(stream)
        await stream.send(request_bytes(f"{path}?{query}", {}))
        with anyio.fail_after(DEADLINE):
            while b"\r\n\r\n" not in client.data:
                client.data += await stream.receive()
        head, _, client.data = client.data.partition(b"\r\n\r\n")
        assert Response(head).status == 101, head
        yield client
