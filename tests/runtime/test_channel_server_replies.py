"""Replies that come later, from anywhere (P-062)."""

import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest

from phoenix_channels import Channel, EncodeError, Reply, ReplyRef, incoming
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import Journal, LoopThread, settle


class LateChannel(Channel):
    """Hands the right to reply to the test."""

    refs: list[ReplyRef]

    @incoming
    async def later(self, payload: Any) -> None:
        self.refs.append(self.reply_later())

    @incoming("plain_later")
    def plain(self, payload: Any) -> None:
        self.refs.append(self.reply_later())


def late_channel() -> type[LateChannel]:
    class RoomChannel(LateChannel):
        refs: list[ReplyRef] = []

    return RoomChannel


@pytest.mark.feature("B073", "B074")
@pytest.mark.parametrize("event", ["later", "plain_later"])
async def test_a_reply_may_come_later_and_more_than_once(event: str) -> None:
    room = late_channel()
    async with serve(room) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "5", "room:a", event, {}])
        client.send_nowait(["1", 6, "room:a", event, {}])
        await client.receive_nothing()
        first, second = room.refs
        second.reply(Reply.ok({"n": 2}))
        first.reply(Reply.error("no"))
        first.reply(Reply("again", b"\x01"))
        first.reply(Reply.ok())
        assert await client.receive_many(4) == [
            frames.reply("1", 6, "room:a", {"n": 2}),
            frames.error("1", "5", "room:a", "no"),
            b"\x01\x01\x01\x06\x0515room:aagain\x01",
            frames.reply("1", "5", "room:a"),
        ]


async def test_replies_from_worker_threads_keep_their_order() -> None:
    room = late_channel()
    async with serve(room) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "5", "room:a", "later", {}])
        await settle()

        def reply_often() -> None:
            for n in range(100):
                room.refs[0].reply(Reply.ok(n))

        await anyio.to_thread.run_sync(reply_often)
        assert await client.receive_many(100) == [
            ["1", "5", "room:a", "phx_reply", {"status": "ok", "response": n}] for n in range(100)
        ]


async def test_a_reply_from_a_task_of_the_channel() -> None:
    class RoomChannel(Channel):
        @incoming
        async def later(self, payload: Any) -> None:
            self.start_soon(self.answer, self.reply_later())

        async def answer(self, ref: ReplyRef) -> None:
            await anyio.lowlevel.checkpoint()
            ref.reply(Reply.ok("done"))

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        assert await client.call("1", "5", "room:a", "later") == frames.reply("1", "5", "room:a", "done")


@pytest.mark.parametrize("ending", ["phx_leave", "crash"])
@pytest.mark.parametrize("from_thread", [True, False])
async def test_a_reply_after_the_end_of_its_channel_still_arrives(ending: str, from_thread: bool) -> None:
    room = late_channel()
    async with serve(room) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "5", "room:a", "later", {}])
        client.send_nowait(["1", "6", "room:a", ending, {}])
        await client.receive_many(2 if ending == "phx_leave" else 1)
        await settle()
        if from_thread:
            await anyio.to_thread.run_sync(room.refs[0].reply, Reply.ok())
        else:
            room.refs[0].reply(Reply.ok())
        assert await client.receive() == frames.reply("1", "5", "room:a")


@pytest.mark.parametrize("from_thread", [True, False])
async def test_a_reply_after_the_end_of_its_connection_is_harmless(from_thread: bool) -> None:
    room = late_channel()
    async with serve(room) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "5", "room:a", "later", {}])
        await settle()
        await client.close()
        if from_thread:
            await anyio.to_thread.run_sync(room.refs[0].reply, Reply.ok())
        else:
            room.refs[0].reply(Reply.ok())
        await client.receive_nothing()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_reply_after_the_end_of_its_loop_is_harmless(backend: str) -> None:
    room = late_channel()

    async def main(stop: anyio.Event) -> None:
        async with serve(room) as (_, server):
            client = await server.joined("room:a")
            client.send_nowait(["1", "5", "room:a", "later", {}])
            await settle()

    thread = LoopThread(backend, main)
    thread.start()
    thread.join()
    for _ in range(3):
        room.refs[0].reply(Reply.ok())


async def test_what_cannot_be_replied_raises_where_it_is_tried() -> None:
    room = late_channel()
    async with serve(room) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "5", "room:a", "later", {}])
        await settle()
        ref = room.refs[0]
        with pytest.raises(EncodeError):
            ref.reply(Reply.ok(object()))
        with pytest.raises(EncodeError, match="status"):
            ref.reply(Reply(256 * "s", b""))
        with pytest.raises(EncodeError):
            await anyio.to_thread.run_sync(ref.reply, Reply.ok(object()))
        with pytest.raises(TypeError, match=r"Reply\.ok"):
            ref.reply({"status": "ok"})  # type: ignore[arg-type]
        ref.reply(Reply.ok("the channel is as it was"))
        assert await client.receive() == frames.reply("1", "5", "room:a", "the channel is as it was")


@pytest.mark.feature("B075")
async def test_the_right_to_reply_belongs_to_a_message_with_a_ref_that_is_being_handled() -> None:
    """After a handler has ended, its ref is gone."""
    journal = Journal()

    class RoomChannel(Channel):
        def _try(self, where: str) -> None:
            try:
                self.reply_later()
            except RuntimeError:
                journal.add((where, False))
            else:
                journal.add((where, True))

        async def join(self, payload: Any) -> None:
            self._try("join")

        async def after_join(self) -> None:
            self._try("after_join")

        @incoming
        async def handler(self, payload: Any) -> None:
            self._try("begin")
            await anyio.lowlevel.checkpoint()
            self._try("end")
            self.send("message")

        @incoming
        def crash(self, payload: Any) -> None:
            raise RuntimeError

        async def handle_info(self, message: object) -> None:
            self._try("handle_info")

        async def terminate(self, reason: object) -> None:
            self._try("terminate")

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "5", "room:a", "handler", {}])
        await settle()
        client.send_nowait(["1", None, "room:a", "handler", {}])
        await settle()
        assert await client.call("1", "7", "room:a", "crash") == frames.crashed("1", "room:a")
    assert journal.entries == [
        ("join", False), ("after_join", False),
        ("begin", True), ("end", True), ("handle_info", False),
        ("begin", False), ("end", False), ("handle_info", False),
        ("terminate", False),
    ]  # fmt: skip


async def test_pushes_and_broadcasts_of_a_channel_belong_to_its_loop() -> None:
    """From a worker thread they raise, and say what to use instead."""

    class RoomChannel(Channel):
        @incoming
        async def work(self, payload: Any) -> Reply:
            errors = []
            for function in (self.push, self.broadcast, self.broadcast_from):
                try:
                    await anyio.to_thread.run_sync(function, "event", {})
                except RuntimeError as error:
                    errors.append(f"{threading.current_thread() is threading.main_thread()} {error}")
            await anyio.to_thread.run_sync(self.endpoint.broadcast, self.topic, "event", {})
            return Reply.ok(len(errors))

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        assert await client.call("1", "5", "room:a", "work") == frames.broadcast("room:a", "event")
        assert await client.receive() == frames.reply("1", "5", "room:a", 3)
