"""Joins that crash, and joins whose answer cannot be sent (P-052, P-054)."""

import asyncio
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, JoinRefused, Reply, Stop
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import Journal, resist, settle


class BrokenInit(Channel):
    def __init__(self) -> None:
        raise RuntimeError("no instance")


class BrokenJoin(Channel):
    async def join(self, payload: Any) -> None:
        raise RuntimeError("no join")


class BrokenPlainJoin(Channel):
    def join(self, payload: Any) -> None:
        raise RuntimeError("no join")


class HungJoin(Channel):
    join_timeout = 0.01

    async def join(self, payload: Any) -> None:
        await anyio.sleep_forever()


class PushInJoin(Channel):
    async def join(self, payload: Any) -> None:
        self.push("early", {})


class BroadcastInJoin(Channel):
    async def join(self, payload: Any) -> None:
        self.broadcast("early", {})


class BroadcastFromInJoin(Channel):
    async def join(self, payload: Any) -> None:
        self.broadcast_from("early", {})


class ReplyLaterInJoin(Channel):
    async def join(self, payload: Any) -> None:
        self.reply_later()


class RefusalReturnedByJoin(Channel):
    async def join(self, payload: Any) -> object:
        return Reply.error({"reason": "unauthorized"})


class ExceptionReturnedByJoin(Channel):
    async def join(self, payload: Any) -> object:
        return JoinRefused(reason="unauthorized")


class StopReturnedByJoin(Channel):
    async def join(self, payload: Any) -> object:
        return Stop()


class FalseReturnedByJoin(Channel):
    async def join(self, payload: Any) -> object:
        return self.subtopic != "a"


class UnencodableBroadcastInJoin(Channel):
    async def join(self, payload: Any) -> None:
        self.endpoint.broadcast("anything", "event", ["no object"])


@pytest.mark.parametrize(
    "channel_class",
    [
        BrokenInit, BrokenJoin, BrokenPlainJoin, HungJoin, PushInJoin, BroadcastInJoin, BroadcastFromInJoin,
        ReplyLaterInJoin, UnencodableBroadcastInJoin,
        RefusalReturnedByJoin, ExceptionReturnedByJoin, StopReturnedByJoin, FalseReturnedByJoin,
    ],
)  # fmt: skip
async def test_a_join_that_crashes_is_answered_so(
    channel_class: type[Channel[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    terminated: list[object] = []

    class RoomChannel(channel_class):  # type: ignore[valid-type, misc]
        async def terminate(self, reason: object) -> None:
            terminated.append(reason)

    async with serve({"room:*": RoomChannel, "other:*": Channel}) as (endpoint, server):
        client = await server.connect()
        await client.join("other:a", ref="0")
        assert await client.call("1", "1", "room:a", "phx_join") == frames.join_crashed("1", "room:a")
        await settle()
        assert endpoint.statistics().channels == 1
        # The topic is free again, and nobody else has noticed.
        assert await client.call("2", "2", "room:a", "phx_join") == frames.join_crashed("2", "room:a")
        await client.heartbeat()
    assert terminated == []
    assert "crashed" in caplog.text
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("by_cancelling", [True, False])
async def test_a_stray_cancellation_in_join_is_a_crash(by_cancelling: bool) -> None:
    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            if by_cancelling:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)
            raise asyncio.CancelledError

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        assert await client.call("1", "1", "room:a", "phx_join") == frames.join_crashed("1", "room:a")


class UnencodableReply(Channel):
    async def join(self, payload: Any) -> object:
        return object()


class BinaryRefForTooLong(Channel):
    async def join(self, payload: Any) -> object:
        return b"data"


class UnencodableRefusal(Channel):
    async def join(self, payload: Any) -> object:
        raise JoinRefused(object())


class BinaryRefusal(Channel):
    async def join(self, payload: Any) -> object:
        raise JoinRefused(b"data")


@pytest.mark.feature("C09")
@pytest.mark.parametrize(
    ("channel_class", "topic", "terminates"),
    [
        (UnencodableReply, "room:a", True),
        (BinaryRefForTooLong, "room:" + 251 * "a", True),
        (UnencodableRefusal, "room:a", False),
        (BinaryRefusal, "room:" + 251 * "a", False),
    ],
)
async def test_an_answer_without_a_wire_form_ends_the_connection(
    channel_class: type[Channel[Any]], topic: str, terminates: bool
) -> None:
    """P-054: the failure is the connection's; an instance whose join has returned still ends in terminate."""
    journal = Journal()

    class RoomChannel(channel_class):  # type: ignore[valid-type, misc]
        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve({"room:*": RoomChannel, "other:*": Channel}) as (_, server):
        client, other = await server.connect(), await server.joined("other:a")
        client.send_nowait(["1", "1", topic, "phx_join", {}])
        assert await client.receive_close() == 1011
        await client.wait_ended()
        await other.heartbeat()
    assert journal.entries == ([("shutdown", "closed")] if terminates else [])


@pytest.mark.parametrize("refusal", [JoinRefused(reason="no"), RuntimeError()])
async def test_a_refusal_in_a_task_group_is_still_a_refusal(refusal: Exception) -> None:
    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(self._check)
                group.start_soon(anyio.sleep_forever)

        async def _check(self) -> None:
            async with anyio.create_task_group():
                raise refusal

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        response = {"reason": "no"} if isinstance(refusal, JoinRefused) else frames.JOIN_CRASHED
        assert await client.call("1", "1", "room:a", "phx_join") == frames.error("1", "1", "room:a", response)


async def test_a_join_that_shields_itself_comes_too_late_all_the_same() -> None:
    """It has returned, so what it has set up is cleaned up."""
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        join_timeout = 0.01

        async def join(self, payload: Any) -> None:
            with anyio.CancelScope(shield=True):
                await release.wait()

        async def terminate(self, reason: object) -> None:
            journal.add(type(reason))

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        client.send_nowait(["1", "1", "room:a", "phx_join", {}])
        await anyio.sleep(0.02)
        await client.heartbeat()
        release.set()
        assert await client.receive() == frames.join_crashed("1", "room:a")
        await journal.wait_length(1)
    assert journal.entries == [TimeoutError]


async def test_a_join_that_outlives_its_connection_is_cleaned_up_when_it_returns() -> None:
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        shutdown = 0.01

        async def join(self, payload: Any) -> None:
            journal.add("join")
            await resist(release)

        async def after_join(self) -> None:
            raise AssertionError

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.connect()
        client.send_nowait(["1", "1", "room:a", "phx_join", {}])
        await journal.wait_for("join")
        await client.close()
        assert endpoint.statistics().channels == 0
        assert endpoint.statistics().cut_callbacks == 1
        assert journal.entries == ["join"]
        release.set()
        await journal.wait_length(2)
        await settle()
    assert journal.entries == ["join", ("shutdown", "closed")]
