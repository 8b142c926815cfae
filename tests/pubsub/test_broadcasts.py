"""Broadcasts from end to end: who gets them, in which order, and what becomes of their payload (P-072 to P-078)."""

import dataclasses
import threading
from collections import defaultdict
from typing import Any, TypedDict

import anyio
import anyio.to_thread
import pytest
from msgspec import Struct

from phoenix_channels import (
    Broadcast,
    BroadcastQueueFull,
    Channel,
    EncodeError,
    Limits,
    Reply,
    incoming,
)
from tests.support import frames
from tests.support.apps import make_endpoint, serve
from tests.support.asgi import serving
from tests.support.backplane import Broker
from tests.support.loops import settle, soon


class Point(Struct):
    x: int


@dataclasses.dataclass
class Pair:
    left: int
    right: list[int]


class Named(TypedDict):
    name: str


class ShoutChannel(Channel):
    @incoming
    async def shout(self, payload: Any) -> None:
        self.broadcast("shout", payload)

    @incoming
    async def shout_from(self, payload: Any) -> Reply:
        self.broadcast_from("shout", payload)
        return Reply.ok()


@pytest.mark.feature("B070", "B071")
async def test_a_channel_broadcasts_to_its_topic() -> None:
    """P-072."""
    async with serve(ShoutChannel) as (_, server):
        own, other = await server.joined("room:a"), await server.joined("room:a")
        elsewhere = await server.joined("room:b")
        own.send_nowait(["1", "2", "room:a", "shout", {"n": 1}])
        for client in (own, other):
            assert await client.receive() == frames.broadcast("room:a", "shout", {"n": 1})
        assert await own.call("1", "3", "room:a", "shout_from", {"n": 2}) == frames.reply("1", "3", "room:a")
        assert await other.receive() == frames.broadcast("room:a", "shout", {"n": 2})
        for client in (own, other, elsewhere):
            await client.receive_nothing()


async def test_two_channels_of_one_client_are_two_subscribers() -> None:
    """broadcast_from leaves out one subscription, not one connection."""
    async with serve({"room:*": ShoutChannel, "*": ShoutChannel}) as (endpoint, server):
        client = await server.joined("room:a")
        await client.join("room:b", ref="2")
        endpoint.broadcast("room:b", "event", {})
        assert await client.receive() == frames.broadcast("room:b", "event")
        assert await client.call("1", "3", "room:a", "shout_from") == frames.reply("1", "3", "room:a")
        await client.receive_nothing()


async def test_the_endpoint_may_leave_out_a_channel_too() -> None:
    """Its client and its own subscriptions, on whatever topic."""
    channels: list[Channel] = []

    class RoomChannel(Channel):
        async def after_join(self) -> None:
            channels.append(self)
            await self.subscribe("room:a")
            await self.subscribe("room:b")

        async def handle_info(self, message: object) -> None:
            assert isinstance(message, Broadcast)
            assert channels[0] is not self
            self.push(message.event, {"topic": message.topic})

    async with serve(RoomChannel) as (endpoint, server):
        first, second = await server.joined("room:a"), await server.joined("room:a")
        await settle()
        for topic in ("room:a", "room:b"):
            endpoint.broadcast_from(channels[0], topic, "event", {})
        await anyio.to_thread.run_sync(endpoint.broadcast_from, channels[0], "room:b", "from a thread", {})
        assert await second.receive_many(4) == [
            frames.broadcast("room:a", "event"),
            frames.push("1", "room:a", "event", {"topic": "room:a"}),
            frames.push("1", "room:a", "event", {"topic": "room:b"}),
            frames.push("1", "room:a", "from a thread", {"topic": "room:b"}),
        ]
        await first.receive_nothing()


async def test_the_endpoint_may_leave_out_a_channel_on_its_node_only() -> None:
    """P-072: ``local_broadcast_from``."""
    channels: list[Channel] = []

    class RoomChannel(Channel):
        async def after_join(self) -> None:
            channels.append(self)

    broker = Broker()
    async with (
        serve(RoomChannel, pubsub=broker.node()) as (endpoint, server),
        serve(RoomChannel, pubsub=broker.node(), alone=False) as (_, other_server),
    ):
        first, second = await server.joined("room:a"), await server.joined("room:a")
        other = await other_server.joined("room:a")
        await settle()
        endpoint.local_broadcast_from(channels[0], "room:a", "event", {"n": 1})
        await anyio.to_thread.run_sync(endpoint.local_broadcast_from, channels[0], "room:a", "from a thread", {})
        assert await second.receive_many(2) == [
            frames.broadcast("room:a", "event", {"n": 1}),
            frames.broadcast("room:a", "from a thread"),
        ]
        for client in (first, second, other):
            await client.receive_nothing()


@pytest.mark.parametrize(
    ("payload", "encoded"),
    [
        ({"a": {"b": [1, None, "ä"]}}, {"a": {"b": [1, None, "ä"]}}),
        ({}, {}),
        (Point(1), {"x": 1}),
        (Pair(1, [2]), {"left": 1, "right": [2]}),
        (Named(name="x"), {"name": "x"}),
    ],
)
async def test_whatever_becomes_an_object_is_a_payload(payload: object, encoded: object) -> None:
    async with serve(Channel) as (endpoint, server), endpoint.subscribe("room:a") as broadcasts:
        client = await server.joined("room:a")
        for broadcast in (endpoint.broadcast, endpoint.local_broadcast):
            broadcast("room:a", "event", payload)
            assert await client.receive() == frames.broadcast("room:a", "event", encoded)
            assert (await soon(anext(broadcasts))).payload == encoded
        await endpoint.abroadcast("room:a", "event", payload)
        assert await client.receive() == frames.broadcast("room:a", "event", encoded)
        await soon(anext(broadcasts))


async def test_a_payload_is_encoded_at_the_call() -> None:
    """Later changes do not matter, and neither does who is there to listen."""
    async with serve(Channel) as (endpoint, server):
        client = await server.joined("room:a")
        payload: dict[str, Any] = {"list": [1]}
        thread = threading.Thread(target=endpoint.broadcast, args=("room:a", "event", payload))
        thread.start()
        thread.join()
        payload["list"].append(2)
        assert await client.receive() == frames.broadcast("room:a", "event", {"list": [1]})
        with pytest.raises(EncodeError):
            endpoint.broadcast("nobody is here", "event", {"x": object()})
        with pytest.raises(EncodeError):
            await anyio.to_thread.run_sync(endpoint.broadcast, "nobody is here", "event", [1])


async def test_one_text_is_made_for_all_clients() -> None:
    """P-073: the very same object reaches every server's send."""
    async with serve(Channel) as (endpoint, server):
        clients = [await server.joined("room:a") for _ in range(20)]
        endpoint.broadcast("room:a", "event", {})
        messages = [await soon(client.outgoing.get()) for client in clients]
        assert len({id(message["text"]) for message in messages}) == 1


async def test_bytes_reach_clients_that_can_take_them() -> None:
    """P-045, deviation 6: a client of version 1 is skipped and counted; nobody else notices."""
    async with serve(Channel) as (endpoint, server):
        new = await server.joined("room:a")
        old = await server.connect(query="")
        old.send_nowait({"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"})
        reply = {"status": "ok", "response": {}}
        assert await old.receive() == {"topic": "room:a", "event": "phx_reply", "payload": reply, "ref": "1"}
        endpoint.broadcast("room:a", "data", b"\x00\xff")
        endpoint.broadcast("room:a", "text", {"n": 1})
        assert await new.receive() == b"\x02\x06\x04room:adata\x00\xff"
        assert await new.receive() == frames.broadcast("room:a", "text", {"n": 1})
        assert await old.receive() == {"topic": "room:a", "event": "text", "payload": {"n": 1}, "ref": None}
        assert endpoint.statistics().skipped_deliveries == 1


# Order


async def test_broadcasts_of_many_sources_keep_their_own_order_and_none_is_lost() -> None:
    """P-078: four threads and the loop, all at once."""
    threads, each = 4, 25_000
    limits = Limits(subscription_messages=10**6, outbox_bytes=10**9, broadcast_queue_bytes=10**9)
    async with serve(Channel, limits=limits) as (endpoint, server), endpoint.subscribe("room:a") as broadcasts:
        client = await server.joined("room:a")

        def broadcast_all(source: int) -> None:
            for n in range(each):
                endpoint.broadcast("room:a", "event", {"source": source, "n": n})

        async def broadcast_on_the_loop() -> None:
            for n in range(1000):
                endpoint.broadcast("room:a", "event", {"source": threads, "n": n})
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            for source in range(threads):
                group.start_soon(anyio.to_thread.run_sync, broadcast_all, source)
            group.start_soon(broadcast_on_the_loop)
        order = []
        with anyio.fail_after(10):
            async for broadcast in broadcasts:
                order.append((broadcast.payload["source"], broadcast.payload["n"]))
                if len(order) == threads * each + 1000:
                    break
        numbers: defaultdict[int, list[int]] = defaultdict(list)
        for source, n in order:
            numbers[source].append(n)
        assert [numbers[source] for source in range(5)] == [list(range(each))] * threads + [list(range(1000))]
        # Every subscriber has seen the same order.
        await settle()
        received = [await client.receive() for _ in range(2000)]
        assert [(frame[4]["source"], frame[4]["n"]) for frame in received] == order[:2000]


async def test_what_a_thread_has_broadcast_comes_before_what_the_loop_does_next() -> None:
    async with serve(ShoutChannel) as (endpoint, server):
        client = await server.joined("room:a")
        for n in range(20):
            thread = threading.Thread(target=endpoint.broadcast, args=("room:a", "thread", {"n": n}))
            thread.start()
            thread.join()
            endpoint.broadcast("room:a", "loop", {"n": n})
        assert await client.receive_many(40) == [
            frames.broadcast("room:a", source, {"n": n}) for n in range(20) for source in ("thread", "loop")
        ]


async def test_a_full_queue_is_said_to_the_thread() -> None:
    """The loop is held up: a thread that goes on and on is told so, and what was taken arrives."""
    async with serve(Channel, limits=Limits(broadcast_queue_bytes=5000)) as (endpoint, server):
        client = await server.joined("room:a")
        taken: list[int] = []

        def flood() -> None:
            for n in range(100):
                try:
                    endpoint.broadcast("room:a", "event", {"n": n})
                except BroadcastQueueFull:
                    continue
                taken.append(n)

        thread = threading.Thread(target=flood)
        thread.start()
        thread.join()
        assert 0 < len(taken) < 100
        assert await client.receive_many(len(taken)) == [frames.broadcast("room:a", "event", {"n": n}) for n in taken]
        await client.receive_nothing()


def test_a_broadcast_before_any_loop_is_nobodys() -> None:
    endpoint = make_endpoint(Channel)
    endpoint.broadcast("room:a", "too early", {})

    async def main() -> None:
        async with serving(endpoint) as server:
            await (await server.joined("room:a")).receive_nothing()

    anyio.run(main)
