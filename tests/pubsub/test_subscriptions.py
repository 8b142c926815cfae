"""Broadcasts that a channel handles itself: intercepted ones, and those of further topics (P-069, P-076, P-077)."""

from typing import Any

import anyio
import pytest
from msgspec import Struct

from phoenix_channels import Broadcast, Channel, Reply, Stop, incoming, intercept
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import Journal, settle


class Joined(Struct):
    name: str


async def test_an_intercepted_event_goes_to_the_channel_instead_of_its_client() -> None:
    """The push carries the channel's join_ref, other events pass by, and each channel has a copy of its own."""
    journal = Journal()

    class RoomChannel(Channel):
        @intercept("user_joined")
        async def joined(self, payload: Any) -> None:
            payload["seen_by"].append(self.socket.transport)
            journal.add(payload)
            self.push("user_joined", payload)

        @intercept("typed")
        def typed(self, payload: Joined) -> None:
            self.push("typed", Joined(payload.name.upper()))

        @intercept("data")
        def data(self, payload: bytes) -> None:
            self.push("data", payload[::-1])

        @intercept("nothing")
        def nothing(self, payload: Any) -> None:
            journal.add("nothing")

    async with serve(RoomChannel) as (endpoint, server):
        clients = [await server.joined("room:a") for _ in range(2)]
        payload: dict[str, Any] = {"seen_by": []}
        endpoint.broadcast("room:a", "user_joined", payload)
        endpoint.broadcast("room:a", "typed", {"name": "ada"})
        endpoint.broadcast("room:a", "data", b"\x01\x02")
        endpoint.broadcast("room:a", "nothing", {})
        for client in clients:
            assert await client.receive_many(3) == [
                frames.push("1", "room:a", "user_joined", {"seen_by": ["websocket"]}),
                frames.push("1", "room:a", "typed", {"name": "ADA"}),
                b"\x00\x01\x06\x041room:adata\x02\x01",
            ]
            await client.receive_nothing()
        endpoint.broadcast("room:a", "other", {})
        assert await clients[0].receive() == frames.broadcast("room:a", "other")
    first, second = (entry for entry in journal.entries if entry != "nothing")
    assert first == second
    assert first is not second
    assert payload == {"seen_by": []}


async def test_an_intercepted_payload_of_the_wrong_shape_is_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for an answer, and the one who broadcasts it is the application itself."""

    class RoomChannel(Channel):
        @intercept("typed")
        async def typed(self, payload: Joined) -> None:
            raise AssertionError

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        endpoint.broadcast("room:a", "typed", {"name": 1})
        assert await client.receive() == frames.crashed("1", "room:a")
    assert "Expected `str`" in caplog.text


async def test_a_channel_that_broadcasts_intercepts_its_own() -> None:
    class RoomChannel(Channel):
        @incoming
        async def shout(self, payload: Any) -> Reply:
            self.broadcast("out", {})
            self.broadcast_from("out", {})
            return Reply.ok()

        @intercept("out")
        async def out(self, payload: Any) -> None:
            self.push("out", {})

    async with serve(RoomChannel) as (_, server):
        own, other = await server.joined("room:a"), await server.joined("room:a")
        # Its own copy waits in its mailbox, behind the handler that runs.
        assert await own.call("1", "2", "room:a", "shout") == frames.reply("1", "2", "room:a")
        assert await own.receive() == frames.push("1", "room:a", "out")
        assert await other.receive_many(2) == [frames.push("1", "room:a", "out"), frames.push("1", "room:a", "out")]
        await own.receive_nothing()


class ListenChannel(Channel):
    """Listens to what its client names, and pushes what it hears."""

    @incoming
    async def listen(self, payload: Any) -> Reply:
        await self.subscribe(payload)
        return Reply.ok()

    @incoming
    async def stop_listening(self, payload: Any) -> Reply:
        await self.unsubscribe(payload)
        return Reply.ok()

    async def handle_info(self, message: object) -> None:
        assert isinstance(message, Broadcast)
        self.push("heard", {"topic": message.topic, "event": message.event, "payload": message.payload})


def heard(topic: str, event: str) -> list[Any]:
    return frames.push("1", "room:a", "heard", {"topic": topic, "event": event, "payload": {"n": 1}})


async def test_broadcasts_of_further_topics_reach_handle_info() -> None:
    async with serve(ListenChannel) as (endpoint, server):
        client = await server.joined("room:a")
        for topic in ("users:1", "users:2", "room:a"):
            assert await client.call("1", "2", "room:a", "listen", topic) == frames.reply("1", "2", "room:a")
        endpoint.broadcast("users:1", "one", {"n": 1})
        endpoint.broadcast("users:2", "two", {"n": 1})
        endpoint.broadcast("users:3", "three", {"n": 1})
        assert await client.receive_many(2) == [heard("users:1", "one"), heard("users:2", "two")]
        # Its own topic reaches both, the client and handle_info.
        endpoint.broadcast("room:a", "own", {"n": 1})
        assert await client.receive_many(2) == [frames.broadcast("room:a", "own", {"n": 1}), heard("room:a", "own")]
        assert await client.call("1", "3", "room:a", "stop_listening", "users:1") == frames.reply("1", "3", "room:a")
        endpoint.broadcast("users:1", "one", {"n": 1})
        endpoint.broadcast("users:2", "two", {"n": 1})
        assert await client.receive() == heard("users:2", "two")
        # To stop what was never begun is harmless.
        assert await client.call("1", "4", "room:a", "stop_listening", "users:9") == frames.reply("1", "4", "room:a")


async def test_every_subscription_is_a_delivery_and_one_call_ends_them_all() -> None:
    """P-077."""
    async with serve(ListenChannel) as (endpoint, server):
        client = await server.joined("room:a")
        for _ in range(3):
            await client.call("1", "2", "room:a", "listen", "users:1")
        endpoint.broadcast("users:1", "one", {"n": 1})
        assert await client.receive_many(3) == 3 * [heard("users:1", "one")]
        await client.call("1", "3", "room:a", "stop_listening", "users:1")
        endpoint.broadcast("users:1", "one", {"n": 1})
        await client.receive_nothing()
        assert endpoint.statistics().topics == 1


@pytest.mark.parametrize("ending", ["phx_leave", "crash", "close"])
async def test_subscriptions_end_with_the_channel(ending: str) -> None:
    async with serve(ListenChannel) as (endpoint, server):
        client = await server.joined("room:a")
        await client.call("1", "2", "room:a", "listen", "users:1")
        assert endpoint.statistics().topics == 2
        if ending == "close":
            await client.close()
        else:
            await client.call("1", "3", "room:a", ending)
        await settle()
        assert endpoint.statistics().topics == 0


async def test_a_topic_is_a_string() -> None:
    async with serve(ListenChannel) as (_, server):
        client = await server.joined("room:a")
        assert await client.call("1", "2", "room:a", "listen", 7) == frames.crashed("1", "room:a")


async def test_join_may_subscribe_and_misses_nothing_from_then_on() -> None:
    release = anyio.Event()

    class RoomChannel(ListenChannel):
        async def join(self, payload: Any) -> None:
            await self.subscribe("users:1")
            await release.wait()

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.connect()
        client.send_nowait(["1", "1", "room:a", "phx_join", {}])
        await settle()
        endpoint.broadcast("users:1", "while joining", {"n": 1})
        await client.receive_nothing()
        release.set()
        assert await client.receive_many(2) == [frames.reply("1", "1", "room:a"), heard("users:1", "while joining")]


async def test_a_stop_in_handle_out_and_in_handle_info() -> None:
    journal = Journal()

    class RoomChannel(Channel):
        async def after_join(self) -> None:
            await self.subscribe("elsewhere")

        @intercept("out")
        async def out(self, payload: Any) -> Stop:
            return Stop("shutdown")

        async def handle_info(self, message: object) -> Stop:
            return Stop("shutdown")

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel) as (endpoint, server):
        for topic, event in (("room:a", "out"), ("elsewhere", "event")):
            client = await server.joined("room:a")
            await settle()
            endpoint.broadcast(topic, event, {})
            assert await client.receive() == frames.closed("1", "room:a")
    assert journal.entries == ["shutdown", "shutdown"]
