"""What a channel does besides answering: messages to itself, timers, tasks, further topics (P-069, P-077)."""

import contextvars
from typing import Any

import anyio
import anyio.to_thread
import pytest

from phoenix_channels import (
    Broadcast,
    Channel,
    Endpoint,
    Reply,
    Socket,
    Stop,
    Timer,
    incoming,
)
from tests.support import frames
from tests.support.apps import serve
from tests.support.asgi import serving
from tests.support.loops import Journal, on_virtual_time, settle


class InfoChannel(Channel):
    """Keeps its instances and messages for the test."""

    journal: Journal
    instances: list[Any]

    async def join(self, payload: Any) -> None:
        self.instances.append(self)

    async def handle_info(self, message: Any) -> None:
        self.journal.add(message)


def info_channel() -> type[InfoChannel]:
    class RoomChannel(InfoChannel):
        journal = Journal()
        instances: list[Any] = []

    return RoomChannel


# send and send_after


async def test_messages_from_anywhere_arrive_in_order() -> None:
    """P-069: from callbacks, from other tasks, from worker threads."""
    room = info_channel()
    async with serve(room) as (_, server):
        await server.joined("room:a")
        (channel,) = room.instances
        for n in range(10):
            channel.send(n)
        await settle()

        def from_thread() -> None:
            for n in range(10, 20):
                channel.send(n)

        await anyio.to_thread.run_sync(from_thread)
        await room.journal.wait_length(20)
    assert room.journal.entries == list(range(20))


async def test_a_message_that_nobody_handles_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:

    class RoomChannel(Channel):
        @incoming
        async def send_it(self, payload: Any) -> None:
            self.send("who takes me?")

        @incoming
        def echo(self, payload: Any) -> Reply:
            return Reply.ok()

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "send_it", {}])
        assert await client.call("1", "3", "room:a", "echo") == frames.reply("1", "3", "room:a")
        await settle()
    assert "who takes me?" in caplog.text


@on_virtual_time()
async def test_timers_come_when_they_are_due_and_can_be_cancelled() -> None:
    room = info_channel()
    async with serve(room) as (_, server):
        await server.joined("room:a")
        (channel,) = room.instances
        timers: dict[str, Timer] = {name: channel.send_after(seconds, name) for name, seconds in (
            ("late", 20), ("early", 10.5), ("cancelled", 15), ("now", 0),
        )}  # fmt: skip
        await anyio.sleep(11)
        timers["cancelled"].cancel()
        await anyio.sleep(20)
        assert room.journal.entries == ["now", "early", "late"]
        for timer in timers.values():
            timer.cancel()


@pytest.mark.parametrize("seconds", [-1, float("nan"), "1", True, None])
async def test_a_timer_waits_for_a_number_of_seconds(seconds: Any) -> None:
    room = info_channel()
    async with serve(room) as (_, server):
        await server.joined("room:a")
        with pytest.raises(ValueError, match="number of seconds"):
            room.instances[0].send_after(seconds, "message")


@pytest.mark.parametrize("ending", ["phx_leave", "stop", "crash", "close", "rejoin", "drain"])
async def test_tasks_and_timers_end_with_their_channel(ending: str) -> None:
    """Once terminate is over: it may still use what they keep."""
    journal = Journal()

    class RoomChannel(Channel):
        async def after_join(self) -> None:
            self.start_soon(self.work, "argument")
            self.send_after(0.01, "too late")

        async def work(self, argument: str) -> None:
            journal.add(argument)
            try:
                await anyio.sleep_forever()
            finally:
                journal.add("task ends")

        async def handle_info(self, message: object) -> None:
            journal.add(message)

        @incoming
        async def stop(self, payload: Any) -> Stop:
            return Stop()

        async def terminate(self, reason: object) -> None:
            await anyio.sleep(0.02)
            journal.add("terminate")

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        await journal.wait_for("argument")
        if ending == "close":
            await client.close()
        elif ending == "drain":
            await endpoint.drain()
        elif ending == "rejoin":
            assert await client.call("2", "2", "room:a", "phx_join") == frames.reply("2", "2", "room:a")
        else:
            await client.call("1", "2", "room:a", ending)
        await journal.wait_for("task ends")
        assert journal.entries[:3] == ["argument", "terminate", "task ends"]


# start_soon


async def test_a_task_of_a_channel_runs_beside_its_callbacks() -> None:
    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            self.go = anyio.Event()
            self.start_soon(self.wait)

        async def wait(self) -> None:
            await self.go.wait()
            self.push("went", {})

        @incoming
        async def go_on(self, payload: Any) -> Reply:
            self.go.set()
            await anyio.lowlevel.checkpoint()
            return Reply.ok()

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "go_on", {}])
        received = await client.receive_many(2)
        assert frames.push("1", "room:a", "went") in received
        assert frames.reply("1", "2", "room:a") in received


async def test_a_task_that_crashes_while_the_join_runs_fails_the_join() -> None:
    journal, crash = Journal(), anyio.Event()

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            self.start_soon(self.work)
            await crash.wait()
            await settle()

        async def work(self) -> None:
            crash.set()
            raise RuntimeError

        async def terminate(self, reason: object) -> None:
            journal.add("terminate")

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        assert await client.call("1", "1", "room:a", "phx_join") == frames.join_crashed("1", "room:a")
    # Its join has returned.
    assert journal.entries == ["terminate"]


async def test_a_task_that_fails_at_the_end_fails_nobody() -> None:
    journal = Journal()

    class RoomChannel(Channel):
        async def after_join(self) -> None:
            self.start_soon(self.work)

        async def work(self) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                journal.add("ends")
                raise RuntimeError

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        await settle()
        assert await client.call("1", "2", "room:a", "phx_leave") == frames.reply("1", "2", "room:a")
        assert await client.receive() == frames.closed("1", "room:a")
        await client.receive_nothing()
    assert journal.entries == ["ends"]


async def test_context_variables_are_those_of_the_connection() -> None:
    """What the server, a middleware or connect has set is there in every callback; who happens to wake it is not."""
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")
    journal = Journal()

    class RoomChannel(Channel):
        def _note(self, where: str) -> None:
            journal.add((where, user.get()))
            user.set(f"changed in {where}")

        async def join(self, payload: Any) -> None:
            self._note("join")

        async def after_join(self) -> None:
            self._note("after_join")
            self.start_soon(self.work)
            await self.subscribe("elsewhere")

        async def work(self) -> None:
            self._note("task")
            self.send_after(0, "timer")

        @incoming
        async def handler(self, payload: Any) -> None:
            self._note("handler")

        async def handle_info(self, message: object) -> None:
            self._note(message.event if isinstance(message, Broadcast) else "timer")

        async def terminate(self, reason: object) -> None:
            self._note("terminate")

    class UserSocket(Socket):
        channels = {"room:*": RoomChannel}

        async def connect(self, params: Any, info: object) -> None:
            user.set(params["user"])

    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket)
    user.set("whoever broadcasts")
    async with serving(endpoint) as server:
        client = await server.connect(query="vsn=2.0.0&user=ada")
        await client.join("room:a")
        await journal.wait_length(4)
        client.send_nowait(["1", "2", "room:a", "handler", {}])
        await settle()
        endpoint.broadcast("elsewhere", "broadcast", {})
        await journal.wait_length(6)
        await client.close()
        assert sorted(where for where, _ in journal.entries) == sorted(
            ("join", "after_join", "task", "timer", "handler", "broadcast", "terminate")
        )
        # One task may run several callbacks in a row: those may see what an earlier one has set, and nothing else.
        assert {name for _, name in journal.entries} <= {"ada", "changed in join"}


async def test_tasks_and_timers_are_started_on_the_loop_of_the_channel() -> None:
    room = info_channel()
    async with serve(room) as (_, server):
        await server.joined("room:a")
        (channel,) = room.instances
        with pytest.raises(RuntimeError, match="event loop"):
            await anyio.to_thread.run_sync(channel.start_soon, anyio.sleep, 0)
        with pytest.raises(RuntimeError, match="event loop"):
            await anyio.to_thread.run_sync(channel.send_after, 0, "message")


async def test_start_soon_takes_the_function_and_not_its_coroutine() -> None:
    journal = Journal()

    class RoomChannel(Channel):
        async def work(self) -> None: ...

        async def after_join(self) -> None:
            work = self.work()
            try:
                self.start_soon(work)  # type: ignore[arg-type]
            except TypeError as error:
                journal.add(str(error))
            await work

    async with serve(RoomChannel) as (_, server):
        await server.joined("room:a")
        await settle()
    assert [text.partition(", not")[0] for text in journal.entries] == [
        "start_soon takes a function and its arguments: start_soon(f, 1)"
    ]
