"""Clients that do not read, or slowly, on the fast lane: what is kept for them, what is dropped, and who is closed."""

from __future__ import annotations

import json
import random
import socket
import ssl
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import anyio
import anyio.abc
import pytest
from anyio.streams.tls import TLSStream

from phoenix_channels import Channel, Endpoint, Limits, RawSocket, Reply, Socket, WebSocketOptions, incoming
from phoenix_channels.backpressure import Latest, SlowConsumer
from tests.transports.app import eventually
from tests.transports.clients import V2, RawClient, connect, masked, request_bytes
from tests.transports.fast import answer, on_loops
from tests.transports.servers import fast_server

Way: TypeAlias = Literal["plain", "tls", "compressed"]

pytestmark = [on_loops, pytest.mark.parametrize("way", get_args(Way))]
PEM = str(Path(__file__).with_name("localhost.pem"))
LIMIT = 200_000
# Which is as long when it is compressed, nearly.
TEXT = "".join(random.Random(0).choices("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", k=200_000))
PAD = TEXT[:5_000]
MOST = 10_000
"""More broadcasts than the buffers of any kernel take."""


def by_parity(event: str, payload: Any) -> int:
    parity: int = payload["n"] % 2
    return parity


def endpoint_of(policy: SlowConsumer, handled: list[Any] | None = None, **limits: int) -> Endpoint:
    class RoomChannel(Channel):
        slow_consumer = policy

        @incoming
        def echo(self, payload: Any) -> Reply:
            if handled is not None:
                handled.append(payload)
            return Reply.ok(payload)

    class RoomSocket(Socket):
        channels = {"room:*": RoomChannel}

    endpoint = Endpoint(limits=Limits(**{"outbox_bytes": LIMIT, **limits}))
    endpoint.socket("/socket", RoomSocket, websocket=WebSocketOptions(compress=True))
    return endpoint


class SlowClient(RawClient):
    """Reads when it is told to, and what it reads it can inflate."""

    async def receive_frame(self) -> tuple[int, bytes]:
        opcode, data = await super().receive_frame()
        if opcode == 1 and not data.startswith(b"["):
            data = zlib.decompressobj(-15).decompress(data + b"\x00\x00\xff\xff")
        return opcode, data


@asynccontextmanager
async def slow_stream(port: int, way: Way) -> AsyncGenerator[Any]:
    bare = socket.socket()
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    bare.connect(("127.0.0.1", port))
    stream: Any = await anyio.abc.SocketStream.from_socket(bare)
    if way == "tls":
        context = ssl.create_default_context(cafile=PEM)
        stream = await TLSStream.wrap(stream, hostname="localhost", ssl_context=context, standard_compatible=False)
    async with stream:
        yield stream


@asynccontextmanager
async def connect_slow(port: int, way: Way) -> AsyncGenerator[SlowClient]:
    async with slow_stream(port, way) as stream:
        client = SlowClient(stream)
        offer: dict[str, str | None] = {}
        if way == "compressed":
            offer["Sec-WebSocket-Extensions"] = "permessage-deflate"
        await stream.send(request_bytes(f"/socket/websocket?{V2}", offer))
        response = await answer(client)
        assert response.status == 101
        assert ("sec-websocket-extensions" in response.headers) is (way == "compressed")
        yield client


@asynccontextmanager
async def two_clients(endpoint: Endpoint, way: Way) -> AsyncGenerator[tuple[RawClient, Any]]:
    """One that does not read, and one that does, in the same room."""
    options: dict[str, Any] = {"ssl_certfile": PEM} if way == "tls" else {}
    asked: dict[str, Any] = {"ssl": ssl.create_default_context(cafile=PEM), "scheme": "wss"} if way == "tls" else {}
    if way == "compressed":
        asked["compression"] = "deflate"
    async with (
        fast_server(endpoint, **options) as port,
        connect_slow(port, way) as slow,
        connect(port, **asked) as fast,
    ):
        await slow.send("1", "1", "room:a", "phx_join", {})
        await slow.receive_frame()
        await fast.join("room:a")
        yield slow, fast


async def broadcast(endpoint: Endpoint, fast: Any, number: int, event: str = "n") -> None:
    """Broadcast, and have it read by whoever reads."""
    endpoint.broadcast("room:a", event, {"n": number, "pad": PAD})
    assert (await fast.receive())[4]["n"] == number


async def fill(endpoint: Endpoint, fast: Any, until: Any, event: str = "n") -> int:
    """Broadcast until something becomes true; how many that were."""
    for number in range(MOST):
        if until():
            return number
        await broadcast(endpoint, fast, number, event)
    raise AssertionError("it did not become true")


async def numbers(slow: RawClient, last: int) -> list[int]:
    """What a client has got, when it reads at last; up to this number."""
    got: list[int] = []
    while not got or got[-1] != last:
        opcode, data = await slow.receive_frame()
        assert opcode == 1
        got.append(json.loads(data)[4]["n"])
    return got


async def test_one_that_catches_up_has_lost_nothing(way: Way) -> None:
    endpoint = endpoint_of("disconnect")
    async with two_clients(endpoint, way) as (slow, fast):
        count = await fill(endpoint, fast, lambda: endpoint.statistics().outbox_bytes > LIMIT // 2)
        reading = numbers(slow, count - 1)
        assert await reading == list(range(count))
        await eventually(lambda: endpoint.statistics().outbox_bytes == 0)
        await broadcast(endpoint, fast, count)
        assert await numbers(slow, count) == [count]
        assert endpoint.statistics().dropped_frames == 0


async def test_one_that_does_not_is_closed_with_1013_after_what_it_was_sent(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = endpoint_of("disconnect")
    async with two_clients(endpoint, way) as (slow, fast):
        count = await fill(endpoint, fast, lambda: endpoint.statistics().connections == 1)
        await fast.call("room:a", "echo", 1)
        got, frame = 0, await slow.receive_frame()
        while frame[0] == 1:
            assert json.loads(frame[1])[4]["n"] == got
            got, frame = got + 1, await slow.receive_frame()
        assert frame == (8, (1013).to_bytes(2, "big"))
        assert got + endpoint.statistics().dropped_frames == count
    assert "RoomSocket is too slow: closing it with 1013" in caplog.text


async def test_drop_newest(way: Way) -> None:
    endpoint = endpoint_of("drop_newest")
    async with two_clients(endpoint, way) as (slow, fast):
        count = await fill(endpoint, fast, lambda: endpoint.statistics().dropped_frames >= 10)
        await slow.stream.send(masked(1, json.dumps(["1", "2", "room:a", "echo", {"n": -1}]).encode()))
        got: list[int] = []
        while not got or got[-1] != -1:
            message = json.loads((await slow.receive_frame())[1])
            got.append(message[4]["response"]["n"] if message[3] == "phx_reply" else message[4]["n"])
        assert got == [*range(count - endpoint.statistics().dropped_frames), -1]


async def test_drop_oldest(way: Way) -> None:
    endpoint = endpoint_of("drop_oldest")
    async with two_clients(endpoint, way) as (slow, fast):
        count = await fill(endpoint, fast, lambda: endpoint.statistics().dropped_frames >= 10)
        got = await numbers(slow, count - 1)
        assert got == sorted(got)
        assert len(got) + endpoint.statistics().dropped_frames == count
        # What is missing is missing in one piece.
        missing = sorted(set(range(count)) - set(got))
        assert missing == list(range(missing[0], missing[0] + len(missing)))


@pytest.mark.parametrize("policy", ["latest", Latest(key=by_parity)])
async def test_latest(policy: SlowConsumer, way: Way) -> None:
    endpoint = endpoint_of(policy)
    async with two_clients(endpoint, way) as (slow, fast):
        count = await fill(endpoint, fast, lambda: endpoint.statistics().dropped_frames >= 100)
        keys = 1 if policy == "latest" else 2
        got = await numbers(slow, count - 1)
        assert got == sorted(got)
        assert got[-keys:] == list(range(count - keys, count))
        assert len(got) + endpoint.statistics().dropped_frames == count
        # And with nothing but a frame for each key, it is not in the way of anybody.
        assert endpoint.statistics().outbox_bytes == 0
        assert endpoint.statistics().connections == 2


async def test_one_that_does_not_read_is_not_read(way: Way) -> None:
    handled: list[Any] = []
    endpoint = endpoint_of("disconnect", handled, outbox_high_water=10_000)
    async with two_clients(endpoint, way) as (slow, fast):
        count = await fill(endpoint, fast, lambda: endpoint.statistics().outbox_bytes > 20_000)
        await slow.send("1", "2", "room:a", "echo", {"n": -1})
        await slow.send("1", "3", "room:a", "echo", {"n": -2})
        for number in range(3):
            await fast.call("room:a", "echo", number)
        # The first has told the server that it goes too far.
        assert handled in ([0, 1, 2], [{"n": -1}, 0, 1, 2])
        assert await numbers(slow, count - 1) == list(range(count))
        for number in (-1, -2):
            assert json.loads((await slow.receive_frame())[1])[4]["response"] == {"n": number}


async def test_pings_of_one_that_does_not_read_take_no_room(way: Way) -> None:
    endpoint = endpoint_of("disconnect")
    async with two_clients(endpoint, way) as (slow, fast):
        count = await fill(endpoint, fast, lambda: endpoint.statistics().outbox_bytes > 0)
        queued = endpoint.statistics().outbox_bytes
        for number in range(1000):
            await slow.stream.send(masked(9, f"{number:0125}".encode()))
        await fast.call("room:a", "echo", 1)
        assert endpoint.statistics().outbox_bytes <= queued
        pongs: list[int] = []
        seen = 0
        while not pongs or pongs[-1] != 999:
            opcode, data = await slow.receive_frame()
            if opcode == 10:
                pongs.append(int(data))
            else:
                assert json.loads(data)[4]["n"] == seen
                seen += 1
        assert pongs == sorted(pongs)
        assert seen <= count


async def test_a_burst_in_one_turn_of_the_loop_makes_nobody_slow(way: Way) -> None:
    endpoint = endpoint_of("disconnect")
    # Ten times what may wait for somebody who does not read.
    count = 10 * LIMIT // len(PAD)
    async with two_clients(endpoint, way) as (slow, fast):
        for number in range(count):
            endpoint.broadcast("room:a", "n", {"n": number, "pad": PAD})
        assert [(await fast.receive())[4]["n"] for _ in range(count)] == list(range(count))
        assert await numbers(slow, count - 1) == list(range(count))
        assert endpoint.statistics().connections == 2


@pytest.mark.parametrize("seed", range(2))
async def test_frames_of_any_size_arrive_in_order_however_they_are_read(seed: int, way: Way) -> None:
    dice = random.Random(seed)
    endpoint = endpoint_of("disconnect", outbox_bytes=100_000_000)
    async with two_clients(endpoint, way) as (slow, fast):
        sizes: list[int] = []
        read = most_waited = waiting = 0
        while len(sizes) < 1_000:
            # Around what a socket takes at once, and what a transport keeps.
            for size in dice.choices((0, 100, 5_000, 60_000, 200_000), (8, 4, 2, 1, 1), k=dice.randrange(20)):
                endpoint.broadcast("room:a", "n", {"n": len(sizes), "pad": TEXT[:size]})
                sizes.append(size)
            # A turn of the loop, and whatever it takes to answer.
            await read_all(fast)
            waiting = endpoint.statistics().outbox_bytes
            most_waited = max(most_waited, waiting)
            for _ in range(dice.randrange(len(sizes) - read + 1) if waiting else 0):
                await check_next(slow, read, sizes)
                read += 1
        while read < len(sizes):
            await check_next(slow, read, sizes)
            read += 1
        assert most_waited > LIMIT


async def test_one_that_has_not_read_what_it_asked_for_before(way: Way) -> None:
    """Its transport has been congested from before the upgrade, and does not say so again."""
    chunk, answered = b"x" * 6_000_000, anyio.Event()

    class Feed(RawSocket):
        async def init(self) -> None:
            await self.subscribe("feed")

        def handle_info(self, message: Any) -> str:
            return PAD

    endpoint = Endpoint(limits=Limits(outbox_bytes=LIMIT))
    endpoint.socket("/feed", Feed, websocket=WebSocketOptions(compress=True))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await endpoint(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if way == "tls":
            # The first goes on to the transport below.
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": chunk})
        answered.set()

    options: dict[str, Any] = {"ssl_certfile": PEM} if way == "tls" else {}
    async with fast_server(app, **options) as port, slow_stream(port, way) as stream:
        await stream.send(b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await answered.wait()
        offer: dict[str, str | None] = {"Sec-WebSocket-Extensions": "permessage-deflate"} if way == "compressed" else {}
        await stream.send(request_bytes("/feed/websocket", offer))
        await eventually(lambda: endpoint.statistics().topics)
        count = 0
        while endpoint.statistics().connections:
            endpoint.local_broadcast("feed", "n", {})
            await anyio.lowlevel.checkpoint()
            count += 1
            assert count < MOST
        assert count <= 100


async def read_all(fast: Any) -> None:
    """Have the one that reads catch up."""
    ref = await fast.push("room:a", "echo", {})
    while (await fast.receive())[1] != ref:
        pass


async def check_next(slow: RawClient, number: int, sizes: list[int]) -> None:
    _, data = await slow.receive_frame()
    payload = json.loads(data)[4]
    assert payload == {"n": number, "pad": TEXT[: sizes[number]]}
