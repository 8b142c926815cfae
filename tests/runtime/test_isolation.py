"""What goes wrong for one client changes nothing for another, nor for another channel of the same one."""

import threading
from typing import Any

import anyio
import pytest

from phoenix_channels import (
    BroadcastQueueFull,
    Channel,
    ConnectInfo,
    Endpoint,
    Limits,
    Reply,
    Socket,
    incoming,
    intercept,
)
from tests.support import frames
from tests.support.apps import make_endpoint, serve
from tests.support.asgi import Client, Server, serving
from tests.support.loops import Journal, settle


class RoomChannel(Channel):
    """Goes wrong in the way that its subtopic or an event names."""

    shutdown = 0.01
    journal: Journal

    async def join(self, payload: Any) -> None:
        if self.subtopic == "hung join":
            await anyio.sleep_forever()
        if self.subtopic == "crashed join":
            raise RuntimeError

    @incoming
    async def hang(self, payload: Any) -> None:
        await anyio.sleep_forever()

    @incoming
    async def flood(self, payload: Any) -> None:
        for _ in range(1000):
            self.push("flood", {"padding": 1000 * "x"})

    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)

    @incoming
    async def shout(self, payload: Any) -> None:
        self.broadcast("shout", payload)

    async def terminate(self, reason: object) -> None:
        if self.subtopic == "hung terminate":
            await anyio.sleep_forever()


async def is_well(client: Client, topic: str) -> None:
    """Everything works for this one: heartbeat, message, broadcast, a join, a leave."""
    await client.heartbeat()
    assert await client.call(None, "e", topic, "echo", {"n": 1}) == frames.reply("1", "e", topic, {"n": 1})
    assert await client.call(None, "s", topic, "shout", {"n": 2}) == frames.broadcast(topic, "shout", {"n": 2})
    await client.join("room:other", ref="o")
    assert await client.call(None, "l", "room:other", "phx_leave") == frames.reply("o", "l", "room:other")
    assert await client.receive() == frames.closed("o", "room:other")


async def crashed_handler(client: Client) -> None:
    await client.join("room:bad", ref="2")
    assert await client.call("2", "3", "room:bad", "unknown") == frames.crashed("2", "room:bad")


async def hung_handler(client: Client) -> None:
    await client.join("room:bad", ref="2")
    for n in range(20):
        client.send_nowait(["2", str(n), "room:bad", "hang", {}])


async def hung_join(client: Client) -> None:
    client.send_nowait(["2", "2", "room:hung join", "phx_join", {}])
    for n in range(20):
        client.send_nowait(["2", str(n), "room:hung join", "hang", {}])


async def crashed_join(client: Client) -> None:
    frame = await client.call("2", "2", "room:crashed join", "phx_join")
    assert frame == frames.join_crashed("2", "room:crashed join")


async def hung_terminate(client: Client) -> None:
    await client.join("room:hung terminate", ref="2")
    await client.call("2", "3", "room:hung terminate", "phx_leave")
    assert await client.receive() == frames.closed("2", "room:hung terminate")


async def crash_with_a_hung_terminate(client: Client) -> None:
    await client.join("room:hung terminate", ref="2")
    client.send_nowait(["2", "3", "room:hung terminate", "unknown", {}])


async def unknown_topic(client: Client) -> None:
    assert await client.call("2", "2", "nowhere", "phx_join") == frames.unmatched("2", "nowhere")


TROUBLE = [
    crashed_handler, hung_handler, hung_join, crashed_join, hung_terminate, crash_with_a_hung_terminate, unknown_topic,
]  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_trouble_in_one_channel_stays_there(trouble: Any) -> None:
    """Neither another channel of the connection nor another connection notices; heartbeats are answered."""
    async with serve(RoomChannel) as (_, server):
        client, other = await server.joined("room:good"), await server.joined("room:better")
        await trouble(client)
        await settle()
        assert client.unread == 0
        # What trouble there still is may come to its end meanwhile: its frames are not ours.
        await is_well(other, "room:better")
        if trouble is crash_with_a_hung_terminate:
            assert await client.receive() == frames.crashed("2", "room:hung terminate")
        await is_well(client, "room:good")


async def garbage(server: Server) -> None:
    client = await server.joined("room:good")
    client.send_nowait("{garbage")
    assert await client.receive_close() == 1011


async def slow_reader(server: Server) -> None:
    client = await server.joined("room:good")
    client.stop_reading()
    client.send_nowait(["1", "2", "room:good", "flood", {}])
    await settle()
    assert client.sending == 1


async def busy_connection(server: Server) -> None:
    client = await server.joined("room:good")
    for n in range(500):
        client.send_nowait(["1", str(n), "room:good", "hang", {}])
    await settle()
    assert client.unread > 0


async def killed(server: Server) -> None:
    client = await server.joined("room:good")
    client.send_nowait(["1", "2", "room:good", "hang", {}])
    await settle()
    client.kill()


async def gone(server: Server) -> None:
    client = await server.joined("room:good")
    client.send_nowait(["1", "2", "room:good", "hang", {}])
    client.close_nowait()


@pytest.mark.parametrize("trouble", [garbage, slow_reader, busy_connection, killed, gone])
async def test_trouble_of_one_connection_stays_there(trouble: Any) -> None:
    async with serve(RoomChannel, limits=Limits(outbox_bytes=10_000)) as (_, server):
        other = await server.joined("room:better")
        await trouble(server)
        await is_well(other, "room:better")
        await settle()
        await is_well(other, "room:better")
        # One that is not read any further learns of no close.
        server.clients[1].kill()


async def test_a_hung_connect_holds_up_nobody() -> None:
    connecting, release = anyio.Event(), anyio.Event()

    class UserSocket(Socket):
        channels = {"room:*": RoomChannel}

        async def connect(self, params: Any, info: ConnectInfo) -> None:
            if "hang" in params:
                connecting.set()
                await release.wait()

    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket)
    async with serving(endpoint) as server:
        hung = server.open(query="vsn=2.0.0&hang=1")
        await connecting.wait()
        await is_well(await server.joined("room:better"), "room:better")
        release.set()
        await server.accepted(hung)
        await hung.heartbeat()


@pytest.mark.feature("C05")
async def test_heartbeats_and_other_joins_go_on_while_a_join_hangs() -> None:
    """The join holds up its own topic only."""
    release = anyio.Event()

    class SlowChannel(Channel):
        async def join(self, payload: Any) -> None:
            await release.wait()

    async with serve({"slow:*": SlowChannel, "room:*": RoomChannel}) as (_, server):
        client = await server.connect()
        client.send_nowait(["1", "1", "slow:a", "phx_join", {}])
        client.send_nowait(["2", "2", "slow:b", "phx_join", {}])
        await client.heartbeat()
        await client.join("room:a", ref="3")
        assert await client.call("3", "4", "room:a", "echo") == frames.reply("3", "4", "room:a")
        await client.receive_nothing()
        release.set()
        assert sorted(await client.receive_many(2)) == [
            frames.reply("1", "1", "slow:a"),
            frames.reply("2", "2", "slow:b"),
        ]


async def test_threads_that_broadcast_without_a_pause_do_not_keep_the_loop() -> None:
    """However fast they are, the loop gets to everything else."""
    endpoint = make_endpoint(RoomChannel, limits=Limits(broadcast_queue_bytes=100_000))
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            try:
                endpoint.broadcast("room:flooded", "event", {})
            except BroadcastQueueFull:
                continue

    async with serving(endpoint) as server:
        threads = [threading.Thread(target=flood) for _ in range(4)]
        try:
            for thread in threads:
                thread.start()
            client = await server.joined("room:a")
            for _ in range(5):
                await client.heartbeat()
                endpoint.broadcast("room:a", "now", {})
                assert await client.receive() == frames.broadcast("room:a", "now")
        finally:
            stop.set()
            for thread in threads:
                thread.join()


@pytest.mark.parametrize("where", ["handler", "message", "out", "task", "join", "terminate"])
async def test_a_generator_exit_ends_nobody_else(where: str) -> None:
    """On trio it would take the whole run with it."""

    class RoomChannel(Channel):
        async def close_oneself(self) -> None:
            await anyio.lowlevel.checkpoint()
            raise GeneratorExit

        async def join(self, payload: Any) -> None:
            if where == "join" and payload:
                await self.close_oneself()

        @incoming
        async def handler(self, payload: Any) -> None:
            await self.close_oneself()

        @incoming
        def message(self, payload: Any) -> None:
            self.send("message")

        @incoming
        def out(self, payload: Any) -> None:
            self.broadcast("out", {})

        @incoming
        def task(self, payload: Any) -> None:
            self.start_soon(self.close_oneself)

        async def handle_info(self, message: object) -> None:
            await self.close_oneself()

        @intercept("out")
        async def handle_out(self, payload: Any) -> None:
            await self.close_oneself()

        async def terminate(self, reason: object) -> None:
            if where == "terminate":
                await self.close_oneself()

    async with serve(RoomChannel) as (_, server):
        client, other = await server.joined("room:a"), await server.joined("room:b")
        if where == "join":
            client.send_nowait(["2", "2", "room:c", "phx_join", {"x": 1}])
        else:
            client.send_nowait(["1", "2", "room:a", "phx_leave" if where == "terminate" else where, {}])
        await settle()
        await other.heartbeat()
        await other.join("room:c", ref="2")
