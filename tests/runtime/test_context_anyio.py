"""Callbacks use anyio and asyncio as they like: groups, timeouts, threads."""

import asyncio
from typing import Any

import anyio
import anyio.to_thread
import pytest

from phoenix_channels import Channel, Reply, incoming
from tests.support import frames
from tests.support.apps import serve


async def test_handlers_use_anyio_as_they_like() -> None:
    class RoomChannel(Channel):
        @incoming
        async def group(self, payload: Any) -> Reply:
            results = []

            async def work(n: int) -> None:
                await anyio.lowlevel.checkpoint()
                results.append(n)

            async with anyio.create_task_group() as group:
                for n in range(3):
                    group.start_soon(work, n)
            return Reply.ok(sorted(results))

        @incoming
        async def timeout(self, payload: Any) -> Reply:
            with anyio.move_on_after(0.001) as scope:
                await anyio.sleep_forever()
            try:
                with anyio.fail_after(0.001):
                    await anyio.sleep_forever()
            except TimeoutError:
                return Reply.ok(scope.cancelled_caught)
            return Reply.error()

        @incoming
        async def thread(self, payload: Any) -> Reply:
            return Reply.ok(
                await anyio.to_thread.run_sync(lambda: anyio.from_thread.run_sync(lambda: "there and back"))
            )

        @incoming
        async def cancel(self, payload: Any) -> Reply:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            return Reply.ok(group.cancel_scope.cancel_called)

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        for event, result in (("group", [0, 1, 2]), ("timeout", True), ("thread", "there and back"), ("cancel", True)):
            assert await client.call("1", event, "room:a", event) == frames.reply("1", event, "room:a", result)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_handlers_use_asyncio_as_they_like() -> None:
    class RoomChannel(Channel):
        @incoming
        async def work(self, payload: Any) -> Reply:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(asyncio.sleep(0, "task"))
            try:
                async with asyncio.timeout(0.001):
                    await anyio.sleep_forever()
            except TimeoutError:
                return Reply.ok([task.result(), await asyncio.wait_for(asyncio.sleep(0, "wait_for"), 1)])
            return Reply.error()

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        assert await client.call("1", "2", "room:a", "work") == frames.reply("1", "2", "room:a", ["task", "wait_for"])
