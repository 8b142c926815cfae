"""Callbacks that do not come to an end: cut off in time, counted, and left behind when they resist."""

import asyncio
import time
from typing import Any

import anyio
import pytest
import trio

from phoenix_channels import Channel, Reply, incoming
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import Journal, on_trio, resist


@pytest.mark.parametrize("does_resist", [False, True])
async def test_a_terminate_that_hangs_is_cut_off_and_counted(
    does_resist: bool, caplog: pytest.LogCaptureFixture
) -> None:
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        shutdown = 0.01

        async def terminate(self, reason: object) -> None:
            journal.add("begin")
            try:
                await (resist(release) if does_resist else release.wait())
            finally:
                journal.add("end")

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        await client.close()
        assert endpoint.statistics().cut_callbacks == 1
        assert endpoint.statistics().channels == 0
        assert journal.count("end") == (0 if does_resist else 1)
        release.set()
        await journal.wait_for("end")
    assert journal.entries == ["begin", "end"]
    assert ("left behind" in caplog.text) is does_resist
    assert "cut off after 0.01 s" in caplog.text


async def test_terminate_runs_also_when_the_loop_is_held_up() -> None:
    """Its time begins when it does: somebody's blocking call does not use it up."""
    journal = Journal()

    class RoomChannel(Channel):
        shutdown = 0.001

        async def terminate(self, reason: object) -> None:
            journal.add(self.topic)

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        topics = [f"room:{n}" for n in range(30)]
        for topic in topics:
            await client.join(topic)
        client.close_nowait()
        while not client.ended.is_set():
            time.sleep(0.002)
            await anyio.lowlevel.checkpoint()
    assert sorted(journal.entries) == sorted(topics)


async def test_cleaning_up_behind_a_shield_is_bounded_too() -> None:
    """A shield holds on trio, where the callback is left behind; asyncio's own cancellation passes through it."""
    release = anyio.Event()

    class RoomChannel(Channel):
        shutdown = 0.01

        async def terminate(self, reason: object) -> None:
            with anyio.CancelScope(shield=True):
                await release.wait()

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        await client.close()
        assert endpoint.statistics().cut_callbacks == 1
        release.set()


async def test_a_handler_that_resists_its_cancellation_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        shutdown = 0.01

        @incoming
        async def stay(self, payload: Any) -> Reply:
            journal.add("begin")
            await resist(release)
            journal.add("end")
            return Reply.ok()

        async def terminate(self, reason: object) -> None:
            journal.add("terminate")

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "stay", {}])
        await journal.wait_for("begin")
        await client.close()
        assert journal.entries == ["begin", "terminate"]
        assert endpoint.statistics().cut_callbacks == 1
        assert endpoint.statistics().channels == 0
        release.set()
        await journal.wait_for("end")
    assert "left behind" in caplog.text


async def test_a_task_that_resists_its_cancellation_is_left_behind_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        shutdown = 0.01

        async def after_join(self) -> None:
            self.start_soon(self.stay)

        async def stay(self) -> None:
            journal.add("begin")
            await resist(release)
            journal.add("end")

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        await journal.wait_for("begin")
        await client.close()
        assert endpoint.statistics().cut_callbacks == 1
        assert endpoint.statistics().channels == 0
        release.set()
        await journal.wait_for("end")
    assert "left behind" in caplog.text


async def test_cutting_off_a_task_group_is_no_crash(caplog: pytest.LogCaptureFixture) -> None:
    """On trio a cancelled nursery may raise a group of cancellations."""
    journal = Journal()

    class RoomChannel(Channel):
        shutdown = 0.01

        @incoming
        async def hang(self, payload: Any) -> None:
            journal.add("begin")
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(anyio.sleep_forever)

        @incoming
        async def native(self, payload: Any) -> None:
            journal.add("begin")
            if on_trio():
                async with trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(trio.sleep_forever)
            else:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(3):
                        tasks.create_task(asyncio.sleep(3600))

        async def terminate(self, reason: object) -> None:
            journal.add(reason)
            if reason == ("shutdown", "closed"):
                await self.hang(None)

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        await client.join("room:b", ref="2")
        client.send_nowait(["1", "3", "room:a", "hang", {}])
        client.send_nowait(["2", "4", "room:b", "native", {}])
        await journal.wait_for("begin", 2)
        await client.close()
        assert endpoint.statistics().cut_callbacks == 4
    assert journal.count(("shutdown", "closed")) == 2
    assert "crashed" not in caplog.text
    assert "left behind" not in caplog.text


async def test_a_hurried_handler_is_counted_once() -> None:
    """A leave waits behind one that resists, and a join behind the leave: it is cut off for all of them together."""
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        shutdown = 0.01

        @incoming
        async def stay(self, payload: Any) -> None:
            journal.add("begin")
            await resist(release)

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "stay", {}])
        await journal.wait_for("begin")
        client.send_nowait(["1", "3", "room:a", "phx_leave", {}])
        client.send_nowait(["4", "4", "room:a", "phx_join", {}])
        assert await client.receive_many(3) == [
            frames.reply("1", "3", "room:a"),
            frames.closed("1", "room:a"),
            frames.reply("4", "4", "room:a"),
        ]
        await journal.wait_for(("shutdown", "left"))
        assert endpoint.statistics().cut_callbacks == 1
        release.set()
