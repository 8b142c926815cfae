"""Two joins of one topic: duplicate joins, and leaves with a join right behind (P-057 to P-059)."""

import logging
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, JoinRefused, Reply, ReplyRef, Stop, incoming
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import Journal, settle


@pytest.mark.feature("C04")
async def test_the_new_reply_comes_before_the_old_close() -> None:
    """P-057."""
    journal = Journal()

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> object:
            self.name = payload
            journal.add(("join", payload))
            return payload

        async def after_join(self) -> None:
            self.push("welcome", {"name": self.name})

        @incoming
        async def ok(self, payload: Any) -> Reply:
            return Reply.ok(self.name)

        async def terminate(self, reason: object) -> None:
            journal.add(("terminate", self.name, reason))
            # Nobody sees what a replaced instance still says.
            self.push("bye", {})

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.connect()
        client.send_nowait(["30", "30", "room:b", "phx_join", "old"])
        assert await client.receive_many(2) == [
            frames.reply("30", "30", "room:b", "old"), frames.push("30", "room:b", "welcome", {"name": "old"}),
        ]  # fmt: skip
        client.send_nowait(["33", "33", "room:b", "phx_join", "new"])
        assert await client.receive_many(3) == [
            frames.reply("33", "33", "room:b", "new"),
            frames.closed("30", "room:b"),
            frames.push("33", "room:b", "welcome", {"name": "new"}),
        ]
        # The old one was over before the new one began.
        assert journal.entries == [
            ("join", "old"), ("terminate", "old", ("shutdown", "duplicate_join")), ("join", "new"),
        ]  # fmt: skip
        client.send_nowait(["30", "34", "room:b", "ok", {}])  # stale: dropped without a reply
        assert await client.call("33", "35", "room:b", "ok") == frames.reply("33", "35", "room:b", "new")
        assert endpoint.statistics().channels == 1
        endpoint.broadcast("room:b", "once", {})
        assert await client.receive() == frames.broadcast("room:b", "once")
        await client.receive_nothing()


async def test_what_the_old_instance_still_does_is_not_seen() -> None:
    """Its running handler finishes; its replies, late ones included, and pushes are muted; its queue is dropped."""
    journal, release = Journal(), anyio.Event()
    refs: list[ReplyRef] = []

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            self.name = payload
            journal.add(("join", payload))

        @incoming
        async def slow(self, payload: Any) -> Reply:
            refs.append(self.reply_later())
            journal.add("slow")
            await release.wait()
            self.push("muted", {})
            journal.add("finished")
            return Reply.ok("muted")

        @incoming
        async def queued(self, payload: Any) -> None:
            journal.add("queued")

        async def terminate(self, reason: object) -> None:
            refs[0].reply(Reply.ok("muted"))
            journal.add(("terminate", self.name))

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.connect()
        await client.join("room:b", "old")
        client.send_nowait(["1", "2", "room:b", "slow", {}])
        client.send_nowait(["1", "3", "room:b", "queued", {}])
        await journal.wait_for("slow")
        client.send_nowait(["5", "5", "room:b", "phx_join", "new"])
        client.send_nowait(["5", "6", "room:b", "queued", {}])
        await settle()
        endpoint.broadcast("room:b", "between", {})  # nobody is joined right now
        release.set()
        assert await client.receive_many(2) == [frames.reply("5", "5", "room:b"), frames.closed("1", "room:b")]
        await journal.wait_for("queued")
        refs[0].reply(Reply.ok("muted"))
        await client.receive_nothing()
        assert journal.entries == [
            ("join", "old"), "slow", "finished", ("terminate", "old"), ("join", "new"), "queued",
        ]  # fmt: skip


@pytest.mark.parametrize("result", [Stop("normal"), Stop("failed"), RuntimeError("crash"), "wrong"])
async def test_however_the_old_handler_ends_its_instance_has_been_replaced(result: Any) -> None:
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        @incoming
        async def slow(self, payload: Any) -> Any:
            journal.add("slow")
            await release.wait()
            if isinstance(result, Exception):
                raise result
            return result

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:b")
        client.send_nowait(["1", "2", "room:b", "slow", {}])
        await journal.wait_for("slow")
        client.send_nowait(["3", "3", "room:b", "phx_join", {}])
        await settle()
        release.set()
        assert await client.receive_many(2) == [frames.reply("3", "3", "room:b"), frames.closed("1", "room:b")]
        await client.receive_nothing()
        assert journal.entries == ["slow", ("shutdown", "duplicate_join")]


async def test_a_handler_that_hangs_is_cut_off_before_the_new_join() -> None:
    journal = Journal()

    class RoomChannel(Channel):
        shutdown = 0.01

        async def join(self, payload: Any) -> None:
            journal.add("join")

        @incoming
        async def hang(self, payload: Any) -> None:
            journal.add("hang")
            try:
                await anyio.sleep_forever()
            finally:
                journal.add("cancelled")

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:b")
        client.send_nowait(["1", "2", "room:b", "hang", {}])
        await journal.wait_for("hang")
        client.send_nowait(["3", "3", "room:b", "phx_join", {}])
        assert await client.receive_many(2) == [frames.reply("3", "3", "room:b"), frames.closed("1", "room:b")]
        assert journal.entries == ["join", "hang", "cancelled", ("shutdown", "duplicate_join"), "join"]


@pytest.mark.parametrize("crashes", [True, False])
async def test_the_old_channel_is_gone_also_when_the_new_join_fails(crashes: bool) -> None:
    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            if payload == "no":
                raise RuntimeError if crashes else JoinRefused(reason="no")

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:b")
        client.send_nowait(["3", "3", "room:b", "phx_join", "no"])
        response = frames.JOIN_CRASHED if crashes else {"reason": "no"}
        assert await client.receive_many(2) == [
            frames.error("3", "3", "room:b", response), frames.closed("1", "room:b"),
        ]  # fmt: skip
        assert await client.call("1", "4", "room:b", "x") == frames.unmatched("4", "room:b")
        await settle()
        assert endpoint.statistics().channels == 0


async def test_many_joins_in_a_row_end_one_after_the_other() -> None:
    journal = Journal()

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            self.name = payload
            await anyio.lowlevel.checkpoint()

        async def terminate(self, reason: object) -> None:
            journal.add((self.name, reason))

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.connect()
        for n in range(5):
            client.send_nowait([f"{n}", f"{n}", "room:b", "phx_join", n])
        expected = [frames.reply("0", "0", "room:b")]
        for n in range(1, 5):
            expected += [frames.reply(f"{n}", f"{n}", "room:b"), frames.closed(f"{n - 1}", "room:b")]
        assert await client.receive_many(9) == expected
        assert endpoint.statistics().channels == 1
        await client.close()
    duplicate = ("shutdown", "duplicate_join")
    assert journal.entries == [
        (0, duplicate),
        (1, duplicate),
        (2, duplicate),
        (3, duplicate),
        (4, ("shutdown", "closed")),
    ]


async def test_the_client_goes_while_the_old_instance_ends() -> None:
    """The new instance never begins; the old one ends once."""
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            journal.add("join")

        async def terminate(self, reason: object) -> None:
            journal.add(("terminate", reason))
            await release.wait()

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:b")
        client.send_nowait(["3", "3", "room:b", "phx_join", {}])
        await journal.wait_length(2)
        client.close_nowait()
        await settle()
        release.set()
        await client.wait_ended()
    assert journal.entries == ["join", ("terminate", ("shutdown", "duplicate_join"))]


async def test_leave_and_join_in_one_go() -> None:
    """P-059 (a): leave reply, close, join reply; pushes behind the join belong to it."""
    journal = Journal()

    class RoomChannel(Channel):
        @incoming
        async def ok(self, payload: Any) -> Reply:
            return Reply.ok()

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:b")
        for frame in (
            ["1", "2", "room:b", "ok", {}], ["1", "3", "room:b", "phx_leave", {}], ["4", "4", "room:b", "phx_join", {}],
            ["4", "5", "room:b", "ok", {}],
        ):  # fmt: skip
            client.send_nowait(frame)
        assert await client.receive_many(5) == [
            frames.reply("1", "2", "room:b"),
            frames.reply("1", "3", "room:b"),
            frames.closed("1", "room:b"),
            frames.reply("4", "4", "room:b"),
            frames.reply("4", "5", "room:b"),
        ]
        await client.close()
    assert journal.entries == [("shutdown", "left"), ("shutdown", "closed")]


@pytest.mark.parametrize("ends", [True, False])
async def test_a_leave_behind_a_slow_handler_does_not_hold_up_the_next_join_for_ever(ends: bool) -> None:
    """The waiting join hurries the old instance: what runs has `shutdown` seconds, then it is cut off."""
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        shutdown = 5.0 if ends else 0.01

        @incoming
        async def slow(self, payload: Any) -> Reply:
            journal.add("slow")
            await release.wait()
            return Reply.ok("slow")

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:b")
        client.send_nowait(["1", "2", "room:b", "slow", {}])
        await journal.wait_for("slow")
        client.send_nowait(["1", "3", "room:b", "phx_leave", {}])
        client.send_nowait(["4", "4", "room:b", "phx_join", {}])
        await client.heartbeat()
        if ends:
            release.set()
            assert await client.receive() == frames.reply("1", "2", "room:b", "slow")
        assert await client.receive_many(3) == [
            frames.reply("1", "3", "room:b"),
            frames.closed("1", "room:b"),
            frames.reply("4", "4", "room:b"),
        ]
        await client.receive_nothing()
        assert journal.entries == ["slow", ("shutdown", "left")]


async def test_a_duplicate_join_is_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """P-058: unless the client has left before."""
    caplog.set_level(logging.DEBUG, "phoenix_channels")

    class RoomChannel(Channel):
        pass

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "phx_leave", {}])
        client.send_nowait(["3", "3", "room:a", "phx_join", {}])
        await client.receive_many(3)
        line = "UserSocket: a new join of 'room:a' takes the place of the channel"
        assert line not in caplog.messages
        client.send_nowait(["4", "4", "room:a", "phx_join", {}])
        await client.receive_many(2)
        assert [r.levelno for r in caplog.records if r.getMessage().endswith(line)] == [logging.DEBUG]


async def test_a_join_while_a_crashed_instance_terminates_waits_for_its_error() -> None:
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            journal.add("join")

        async def terminate(self, reason: object) -> None:
            journal.add("terminate")
            await release.wait()

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:b")
        client.send_nowait(["1", "2", "room:b", "unknown", {}])
        await journal.wait_for("terminate")
        client.send_nowait(["1", "3", "room:b", "dropped", {}])
        client.send_nowait(["4", "4", "room:b", "phx_join", {}])
        await client.receive_nothing()
        assert journal.entries == ["join", "terminate"]
        release.set()
        assert await client.receive_many(2) == [frames.crashed("1", "room:b"), frames.reply("4", "4", "room:b")]


async def test_a_join_while_a_stopped_instance_terminates_waits_for_it() -> None:
    """phx_close has freed the topic, but one instance of it is over before the next begins."""
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        @incoming
        async def stop(self, payload: Any) -> Stop:
            return Stop()

        async def terminate(self, reason: object) -> None:
            journal.add(reason)
            if reason == "normal":
                await release.wait()
                self.push("late", {})

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:b")
        assert await client.call("1", "2", "room:b", "stop") == frames.closed("1", "room:b")
        await journal.wait_for("normal")
        client.send_nowait(["3", "3", "room:b", "phx_join", {}])
        await client.heartbeat()
        await client.receive_nothing()
        release.set()
        assert await client.receive_many(2) == [frames.push("1", "room:b", "late"), frames.reply("3", "3", "room:b")]
