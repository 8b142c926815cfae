"""Leaving: what comes before it, after it, and in which order (P-049, P-064)."""

from typing import Any

import anyio
import pytest

from phoenix_channels import Broadcast, Channel, Reply, incoming
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import Journal, settle


async def test_a_leave_is_answered_then_closed_then_terminate_runs() -> None:
    """What terminate pushes comes after phx_close."""
    journal = Journal()

    class RoomChannel(Channel):
        async def handle_in(self, event: str, payload: Any) -> None:
            journal.add(event)

        async def terminate(self, reason: object) -> None:
            journal.add(reason)
            self.push("bye", {})

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.connect()
        await client.join("room:a", ref="20")
        client.send_nowait(["20", "21", "room:a", "phx_leave", {"ignored": True}])
        assert await client.receive_many(3) == [
            frames.reply("20", "21", "room:a"), frames.closed("20", "room:a"), frames.push("20", "room:a", "bye"),
        ]  # fmt: skip
        await settle()
        assert (endpoint.statistics().channels, endpoint.statistics().topics) == (0, 0)
        # The topic is not joined any more; leaving again is harmless.
        assert await client.call("20", "22", "room:a", "x") == frames.unmatched("22", "room:a")
        assert await client.call("20", "23", "room:a", "phx_leave") == frames.reply("20", "23", "room:a")
    assert journal.entries == [("shutdown", "left")]


@pytest.mark.parametrize("join_ref", [None, "1"])
async def test_who_may_leave(join_ref: object) -> None:
    """Null or the very join_ref."""
    async with serve(Channel) as (_, server):
        client = await server.joined("room:a")
        for stale in ("2", 1, True, "", ["1"]):
            client.send_nowait([stale, "9", "room:a", "phx_leave", {}])
        await client.receive_nothing()
        assert await client.call(join_ref, "3", "room:a", "phx_leave") == frames.reply("1", "3", "room:a")
        assert await client.receive() == frames.closed("1", "room:a")


async def test_who_may_push() -> None:
    """A stale push is dropped without a word."""

    class RoomChannel(Channel):
        @incoming
        def ok(self, payload: Any) -> Reply:
            return Reply.ok()

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        await client.call(1, 1, "room:a", "phx_join")
        for stale in ("1", 1.0, True, [1], {"1": 1}, "", "null"):
            client.send_nowait([stale, "9", "room:a", "ok", {}])
        await client.receive_nothing()
        # Elements after the fifth are ignored.
        client.send_nowait([1, {"id": [7]}, "room:a", "ok", {}, "sixth"])
        assert await client.receive() == frames.reply(1, {"id": [7]}, "room:a")
        assert await client.call(None, 8, "room:a", "ok") == frames.reply(1, 8, "room:a")


@pytest.mark.feature("C07")
async def test_a_leave_waits_for_what_came_before_and_drops_what_comes_after() -> None:
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        @incoming
        async def slow(self, payload: Any) -> Reply:
            journal.add("slow")
            await release.wait()
            return Reply.ok("slow")

        @incoming
        async def queued(self, payload: Any) -> Reply:
            return Reply.ok("queued")

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        for ref, event in enumerate(("slow", "queued", "phx_leave", "queued", "phx_leave"), 2):
            client.send_nowait(["1", str(ref), "room:a", event, {}])
        await journal.wait_for("slow")
        await client.heartbeat()
        endpoint.broadcast("room:a", "still subscribed", {})
        assert await client.receive() == frames.broadcast("room:a", "still subscribed")
        release.set()
        assert await client.receive_many(4) == [
            frames.reply("1", "2", "room:a", "slow"),
            frames.reply("1", "3", "room:a", "queued"),
            frames.reply("1", "4", "room:a"),
            frames.closed("1", "room:a"),
        ]
        await client.receive_nothing()
        endpoint.broadcast("room:a", "left", {})
        await client.receive_nothing()
    assert journal.entries == ["slow", ("shutdown", "left")]


async def test_messages_that_arrived_behind_the_leave_are_not_delivered() -> None:
    journal = Journal()

    class RoomChannel(Channel):
        async def after_join(self) -> None:
            await self.subscribe("elsewhere")

        async def handle_info(self, message: object) -> None:
            assert isinstance(message, Broadcast)
            journal.add(message.event)

        async def terminate(self, reason: object) -> None:
            self.send("to itself")
            self.endpoint.broadcast("elsewhere", "from terminate", {})
            await anyio.lowlevel.checkpoint()

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        await settle()
        endpoint.broadcast("elsewhere", "before", {})
        await client.call("1", "2", "room:a", "phx_leave")
        endpoint.broadcast("elsewhere", "after", {})
        await settle()
    assert journal.entries == ["before"]


async def test_a_channel_may_talk_to_nobody_after_its_end() -> None:
    """Its object may live on in user code: nothing it does has an effect, nothing raises but what starts tasks."""
    instances: list[Channel] = []

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            instances.append(self)

        async def handle_info(self, message: object) -> None:
            raise AssertionError

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        await client.call("1", "2", "room:a", "phx_leave")
        assert await client.receive() == frames.closed("1", "room:a")
        await settle()
        (room,) = instances
        room.push("event", {})
        room.send("message")
        await room.subscribe("elsewhere")
        await room.unsubscribe("elsewhere")
        with pytest.raises(RuntimeError, match="has ended"):
            room.start_soon(anyio.sleep, 0)
        with pytest.raises(RuntimeError, match="has ended"):
            room.send_after(0, "message")
        await client.receive_nothing()
        assert endpoint.statistics().topics == 0
        # A broadcast is a word to others.
        await client.join("room:a", ref="3")
        room.broadcast("event", {})
        assert await client.receive() == frames.broadcast("room:a", "event")
