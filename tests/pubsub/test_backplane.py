"""Endpoints on several nodes: interest is asked for in time, counted, and given back (P-072, P-079)."""

from typing import Any

import anyio
import pytest

from phoenix_channels import (
    Broadcast,
    BroadcastQueueFull,
    Channel,
    Endpoint,
    JoinRefused,
    Reply,
    Socket,
    incoming,
    intercept,
)
from tests.support import frames
from tests.support.apps import serve
from tests.support.asgi import serving
from tests.support.backplane import Broker
from tests.support.loops import Journal, settle, soon


class RoomChannel(Channel):
    async def join(self, payload: Any) -> None:
        if payload == "refuse":
            raise JoinRefused
        if payload == "crash":
            raise RuntimeError

    @incoming
    async def shout(self, payload: Any) -> None:
        self.broadcast("shout", payload)

    @incoming
    async def shout_from(self, payload: Any) -> None:
        self.broadcast_from("shout", payload)

    @incoming
    async def listen(self, payload: Any) -> Reply:
        await self.subscribe(payload)
        return Reply.ok()

    @intercept("out")
    async def out(self, payload: Any) -> None:
        self.push("out", payload)

    async def handle_info(self, message: object) -> None:
        assert isinstance(message, Broadcast)
        self.push("heard", message.payload)


async def test_a_broadcast_reaches_every_node_once() -> None:
    broker = Broker()
    here, there = broker.node(), broker.node()
    async with (
        serve(RoomChannel, pubsub=here) as (endpoint, server),
        serve(RoomChannel, pubsub=there, alone=False) as (other_endpoint, other_server),
        other_endpoint.subscribe("room:a") as broadcasts,
    ):
        local, remote = await server.joined("room:a"), await other_server.joined("room:a")

        async def expect(event: str, *, at: tuple[Any, ...]) -> None:
            for client in (local, remote):
                if client in at:
                    assert await client.receive() == frames.broadcast("room:a", event, {"n": 1})
                await client.receive_nothing()

        endpoint.broadcast("room:a", "broadcast", {"n": 1})
        await expect("broadcast", at=(local, remote))
        await endpoint.abroadcast("room:a", "abroadcast", {"n": 1})
        await expect("abroadcast", at=(local, remote))
        endpoint.local_broadcast("room:a", "local_broadcast", {"n": 1})
        await expect("local_broadcast", at=(local,))
        await anyio.to_thread.run_sync(endpoint.broadcast, "room:a", "thread", {"n": 1})
        await expect("thread", at=(local, remote))
        local.send_nowait(["1", "2", "room:a", "shout", {"n": 1}])
        await expect("shout", at=(local, remote))
        # Only the one who says it is left out, wherever the others are.
        local.send_nowait(["1", "3", "room:a", "shout_from", {"n": 1}])
        await expect("shout", at=(remote,))
        endpoint.broadcast("room:a", "out", {"n": 1})
        for client in (local, remote):
            assert await client.receive() == frames.push("1", "room:a", "out", {"n": 1})
        events = [(await soon(anext(broadcasts))).event for _ in range(6)]
        assert events == ["broadcast", "abroadcast", "thread", "shout", "shout", "out"]


async def test_a_disconnect_reaches_every_node() -> None:
    broker = Broker()
    here, there = broker.node(), broker.node()
    async with (
        serve(RoomChannel, pubsub=here, socket_id="user:1") as (endpoint, server),
        serve(RoomChannel, pubsub=there, socket_id="user:1", alone=False) as (_, other_server),
    ):
        clients = [await server.connect(), await other_server.connect()]
        await endpoint.disconnect("user:1")
        for client in clients:
            assert await client.receive_close() == 1001
            await client.wait_ended()
    assert not here.interests
    assert not there.interests


async def test_interest_is_asked_for_before_the_first_message_and_given_back_at_the_end() -> None:
    """P-026: the socket's id first. Every way out gives back exactly what was asked for."""
    node = Broker().node()
    async with serve(RoomChannel, pubsub=node, socket_id="user:1") as (endpoint, server):
        client = await server.connect()
        client.send_nowait(["1", "1", "room:a", "phx_join", {}])
        assert await client.receive() == frames.reply("1", "1", "room:a")
        assert node.asked == ["user:1", "room:a"]
        assert await client.call("2", "2", "room:b", "phx_join", "refuse") == frames.error("2", "2", "room:b")
        assert await client.call("3", "3", "room:c", "phx_join", "crash") == frames.join_crashed("3", "room:c")
        for _ in range(2):
            await client.call("1", "4", "room:a", "listen", "users:1")
        assert dict(node.interests) == {"user:1": 1, "room:a": 1, "users:1": 2}
        assert await client.call("5", "5", "room:a", "phx_join") == frames.reply("5", "5", "room:a")
        assert await client.receive() == frames.closed("1", "room:a")
        assert dict(node.interests) == {"user:1": 1, "room:a": 1}
        assert await client.call("5", "6", "room:a", "unknown") == frames.crashed("5", "room:a")
        await settle()
        assert dict(node.interests) == {"user:1": 1}
        await client.join("room:a", ref="7")
        async with endpoint.subscribe("room:a"):
            assert node.interests["room:a"] == 2
        await client.call("7", "8", "room:a", "listen", "users:1")
        await client.close()
    assert not node.interests


async def test_a_join_waits_until_the_broker_will_deliver() -> None:
    """P-053: no broadcast of another node after the reply is lost; heartbeats go on meanwhile."""
    broker, release = Broker(), anyio.Event()
    here, there = broker.node(), broker.node()
    async with (
        serve(RoomChannel, pubsub=here) as (_, server),
        serve(RoomChannel, pubsub=there, alone=False) as (other_endpoint, _),
    ):
        client = await server.connect()
        here.on_subscribe = lambda _: release.wait()
        client.send_nowait(["1", "1", "room:a", "phx_join", {}])
        await settle()
        await client.heartbeat()
        other_endpoint.broadcast("room:a", "too early", {})
        release.set()
        assert await client.receive() == frames.reply("1", "1", "room:a")
        other_endpoint.broadcast("room:a", "event", {})
        assert await client.receive() == frames.broadcast("room:a", "event")


async def test_a_broker_that_fails_crashes_the_join() -> None:
    """Its join has returned: terminate runs."""
    journal, node = Journal(), Broker().node()

    class OwnChannel(RoomChannel):
        async def terminate(self, reason: object) -> None:
            self.push("nobody hears it", {})
            self.broadcast("nobody listens", {})
            journal.add(type(reason))

    def fail(topic: str) -> None:
        raise ConnectionError

    async with serve(OwnChannel, pubsub=node) as (_, server):
        client = await server.connect()
        node.on_subscribe = fail
        assert await client.call("1", "1", "room:a", "phx_join") == frames.join_crashed("1", "room:a")
        await journal.wait_for(ConnectionError)
        node.on_subscribe = None
        await client.join("room:a", ref="2")
    assert not node.interests


async def test_a_broker_that_hangs_crashes_the_join() -> None:
    node = Broker().node()

    class OwnChannel(RoomChannel):
        join_timeout = 0.01

    async with serve(OwnChannel, pubsub=node) as (_, server):
        client = await server.connect()
        node.on_subscribe = lambda _: anyio.sleep_forever()
        assert await client.call("1", "1", "room:a", "phx_join") == frames.join_crashed("1", "room:a")
    assert not node.interests


async def test_a_broker_that_hangs_over_the_id_of_a_connection_closes_it(caplog: pytest.LogCaptureFixture) -> None:
    """P-026: nothing of a client is read before; it is not left to wait, and comes back."""
    node = Broker().node()

    class UserSocket(Socket):
        channels = {"room:*": RoomChannel}
        connect_timeout = 0.01

        def id(self) -> str:
            return "user:1"

    endpoint = Endpoint(pubsub=node)
    endpoint.socket("/socket", UserSocket)
    async with serving(endpoint) as server:
        node.on_subscribe = lambda _: anyio.sleep_forever()
        client = await server.connect()
        assert await client.receive_close() == 1011
        await client.wait_ended()
        assert endpoint.statistics().connections == 0
        assert "does not take the id of a connection" in caplog.text
        node.on_subscribe = None
        await (await server.connect()).heartbeat()
    assert not node.interests


def fail(topic: str) -> None:
    raise ConnectionError(f"the broker is away from {topic}")


@pytest.mark.parametrize("end", ["leave", "close", "disconnect", "drain", "silence"])
async def test_a_broker_that_fails_to_end_an_interest_holds_nothing_up(
    end: str, caplog: pytest.LogCaptureFixture
) -> None:
    journal, node = Journal(), Broker().node()

    class OwnChannel(RoomChannel):
        async def after_join(self) -> None:
            await self.subscribe("elsewhere")

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    timeout = 0.05 if end == "silence" else None
    async with serve(OwnChannel, pubsub=node, socket_id="user:1", timeout=timeout) as (endpoint, server):
        client = await server.joined("room:a")
        await settle()
        node.on_unsubscribe = fail
        match end:
            case "leave":
                assert await client.call("1", "2", "room:a", "phx_leave") == frames.reply("1", "2", "room:a")
                assert await client.receive() == frames.closed("1", "room:a")
                await client.heartbeat()
            case "close":
                client.close_nowait()
            case "disconnect":
                await endpoint.disconnect("user:1")
            case "drain":
                await soon(endpoint.drain())
        await journal.wait_length(1)
        if end != "leave":
            await client.wait_ended()
            assert endpoint.statistics().connections == 0
        assert endpoint.statistics().channels == 0
        assert "failed to end an interest in 'elsewhere'" in caplog.text
    assert "failed to end an interest in 'user:1'" in caplog.text
    assert len(journal.entries) == 1


async def test_silence_is_watched_also_after_a_broker_has_failed() -> None:
    node = Broker().node()
    async with serve(RoomChannel, pubsub=node, socket_id="user:1", timeout=0.05) as (_, server):
        node.on_unsubscribe = fail
        for _ in range(2):
            client = await server.connect()
            assert await client.receive_close() == 1002
            await client.wait_ended()


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_client_that_goes_while_the_broker_is_asked(leaves: bool) -> None:
    journal, node, release = Journal(), Broker().node(), anyio.Event()

    class OwnChannel(RoomChannel):
        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(OwnChannel, pubsub=node) as (_, server):
        client = await server.connect()
        node.on_subscribe = lambda _: release.wait()
        client.send_nowait(["1", "1", "room:a", "phx_join", {}])
        if leaves:
            client.send_nowait(["1", "2", "room:a", "phx_leave", {}])
            await settle()
            release.set()
            assert await client.receive_many(3) == [
                frames.reply("1", "1", "room:a"), frames.reply("1", "2", "room:a"), frames.closed("1", "room:a"),
            ]  # fmt: skip
        else:
            await settle()
            client.close_nowait()
            await settle()
            release.set()
            await client.wait_ended()
        await journal.wait_length(1)
    assert journal.entries == [("shutdown", "left" if leaves else "closed")]
    assert not node.interests


async def test_a_channel_that_ends_while_it_subscribes_keeps_no_interest() -> None:
    node, release = Broker().node(), anyio.Event()

    class OwnChannel(RoomChannel):
        async def after_join(self) -> None:
            self.start_soon(self.listen_in_the_background)

        async def listen_in_the_background(self) -> None:
            with anyio.CancelScope(shield=True):
                await self.subscribe("elsewhere")

    async with serve(OwnChannel, pubsub=node) as (endpoint, server):
        node.on_subscribe = lambda topic: release.wait() if topic == "elsewhere" else None
        client = await server.joined("room:a")
        await settle()
        assert await client.call("1", "2", "room:a", "phx_leave") == frames.reply("1", "2", "room:a")
        await settle()
        release.set()
        await settle()
        assert endpoint.statistics().topics == 0
    assert not node.interests


@pytest.mark.parametrize("failure", [ConnectionError("broker away"), BroadcastQueueFull("buffer full")])
async def test_what_the_backplane_does_not_take_is_raised_and_delivered_here(failure: Exception) -> None:
    node = Broker().node()
    async with serve(RoomChannel, pubsub=node) as (endpoint, server):
        client = await server.joined("room:a")
        node.failure = failure
        with pytest.raises(type(failure)):
            await endpoint.abroadcast("room:a", "event", {"n": 1})
        assert await client.receive() == frames.broadcast("room:a", "event", {"n": 1})
        with pytest.raises(type(failure)):
            endpoint.broadcast("room:a", "event", {"n": 2})
        assert await client.receive() == frames.broadcast("room:a", "event", {"n": 2})
        endpoint.local_broadcast("room:a", "event", {"n": 3})
        assert await client.receive() == frames.broadcast("room:a", "event", {"n": 3})


async def test_a_connection_that_ends_while_the_broker_is_asked_for_its_id() -> None:
    node = Broker().node()
    async with serve(RoomChannel, pubsub=node, socket_id="user:1") as (endpoint, server):
        node.on_subscribe = lambda _: anyio.sleep_forever()
        client = await server.connect()
        await settle()
        client.kill()
        await client.wait_ended()
        assert endpoint.statistics().connections == 0
    assert not node.interests


async def test_a_subscriber_that_is_cancelled_while_the_broker_is_asked() -> None:
    node = Broker().node()
    node.on_subscribe = lambda _: anyio.sleep_forever()
    async with serve(RoomChannel, pubsub=node) as (endpoint, _):
        with anyio.move_on_after(0.001):
            async with endpoint.subscribe("topic"):
                raise AssertionError
        assert endpoint.statistics().topics == 0
    assert not node.interests
