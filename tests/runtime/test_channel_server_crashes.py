"""What crashes a channel, and how it ends then (P-066)."""

import asyncio
import sys
import traceback
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, Reply, Socket, Stop, incoming, intercept, telemetry
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import Journal, settle


class Custom(BaseException):
    """No error of a kind that `except Exception` knows."""


class CrashChannel(Channel):
    """Every way to crash is an event."""

    def after_join(self) -> None:
        self.start_soon(self.wait_to_crash)

    async def wait_to_crash(self) -> None:
        self.crash = anyio.Event()
        await self.crash.wait()
        raise RuntimeError("a task")

    @incoming
    def plain(self, payload: Any) -> None:
        raise RuntimeError("plain")

    @incoming("async")
    async def asynchronous(self, payload: Any) -> None:
        await anyio.lowlevel.checkpoint()
        raise RuntimeError("async")

    @incoming
    def exits(self, payload: Any) -> None:
        sys.exit("no")

    @incoming
    async def exits_slowly(self, payload: Any) -> None:
        await anyio.lowlevel.checkpoint()
        sys.exit("no")

    @incoming
    def generator_exit(self, payload: Any) -> None:
        raise GeneratorExit

    @incoming
    async def custom(self, payload: Any) -> None:
        raise Custom

    @incoming
    async def status(self, payload: Any) -> Reply:
        return Reply(200)  # type: ignore[arg-type]

    @incoming
    async def exit_info(self, payload: Any) -> None:
        self.send(SystemExit())

    @incoming
    async def exit_task(self, payload: Any) -> None:
        self.start_soon(self.exits_slowly, payload)

    @incoming
    async def group(self, payload: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self.asynchronous, payload)

    @incoming
    async def timeout(self, payload: Any) -> None:
        with anyio.fail_after(0):
            await anyio.sleep_forever()

    @incoming
    async def result(self, payload: Any) -> Any:
        return "neither None nor Reply nor Stop"

    @incoming
    async def truth(self, payload: Any) -> Any:
        return False

    @incoming
    async def push_list(self, payload: Any) -> None:
        self.push("event", ["no object"])

    @incoming
    async def push_object(self, payload: Any) -> None:
        self.push("event", {"x": object()})

    @incoming
    async def push_number(self, payload: Any) -> None:
        self.push(1, {})  # type: ignore[arg-type]

    @incoming
    async def push_long_binary(self, payload: Any) -> None:
        self.push(256 * "e", b"")

    @incoming
    async def broadcast_list(self, payload: Any) -> None:
        self.broadcast("event", ["no object"])

    @incoming
    async def broadcast_long_binary(self, payload: Any) -> None:
        self.broadcast(256 * "e", b"")

    @incoming
    async def broadcast_from_text(self, payload: Any) -> None:
        self.broadcast_from("event", "no object")

    @incoming
    async def broadcast_number(self, payload: Any) -> None:
        self.broadcast(2, {})  # type: ignore[arg-type]

    @incoming
    async def reply_object(self, payload: Any) -> Reply:
        return Reply.ok(object())

    @incoming
    async def reply_long_binary(self, payload: Any) -> Reply:
        return Reply(256 * "s", b"")

    @incoming
    async def stop_with_object(self, payload: Any) -> Stop:
        return Stop("normal", reply=Reply.ok(object()))

    @incoming
    async def info(self, payload: Any) -> None:
        self.send(RuntimeError("message"))

    @incoming
    async def out(self, payload: Any) -> None:
        self.broadcast("out", {})

    @incoming
    async def task(self, payload: Any) -> None:
        self.crash.set()

    def handle_info(self, message: Any) -> None:
        raise message

    @intercept("out")
    def handle_out(self, payload: Any) -> None:
        raise RuntimeError("handle_out")


WAYS = [
    "plain", "async", "exits", "exits_slowly", "generator_exit", "custom", "status", "exit_info", "exit_task", "group",
    "timeout", "result", "truth", "push_list", "push_object", "push_number", "push_long_binary", "broadcast_list",
    "broadcast_long_binary", "broadcast_from_text", "broadcast_number", "reply_object", "reply_long_binary",
    "stop_with_object", "info", "out", "task", "no such handler",
]  # fmt: skip


@pytest.mark.feature("C08", "C09")
@pytest.mark.parametrize("way", WAYS)
async def test_a_crash_ends_this_channel_only(way: str, caplog: pytest.LogCaptureFixture) -> None:
    """terminate runs first, with the error, and what it pushes comes before phx_error."""
    journal = Journal()

    class RoomChannel(CrashChannel):
        async def terminate(self, reason: object) -> None:
            journal.add(reason)
            self.push("last words", {})

    async with serve({"room:*": RoomChannel, "other:*": Channel}) as (endpoint, server):
        client, other = await server.connect(), await server.joined("room:a")
        await client.join("other:a", ref="0")
        await client.join("room:a", ref="52")
        client.send_nowait(["52", "53", "room:a", way, {}])
        # Messages that are queued to the crashed channel are lost without a reply.
        client.send_nowait(["52", "54", "room:a", way, {}])
        received = await client.receive_many(2)
        assert received == [frames.push("52", "room:a", "last words"), frames.crashed("52", "room:a")]
        await settle()
        if way != "out":  # a broadcast, and so the end of the other one, too
            await other.receive_nothing()
            assert endpoint.statistics().channels == 2
        await client.receive_nothing()
        assert isinstance(journal.entries[0], BaseException)
        # The client joins again, as phoenix.js does.
        await client.join("room:a", ref="60")
        assert endpoint.statistics().connections == 2
    assert "room:a" in caplog.text
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("event", ["handler", "message"])
def test_ctrl_c_in_a_callback_ends_the_program(backend: str, event: str) -> None:
    """It is meant for the whole, and not for the channel that happens to run."""

    class RoomChannel(Channel):
        @incoming
        def handler(self, payload: Any) -> None:
            raise KeyboardInterrupt

        @incoming
        def message(self, payload: Any) -> None:
            self.broadcast("out", {})

        @intercept("out")
        def handle_out(self, payload: Any) -> None:
            raise KeyboardInterrupt

    async def main() -> None:
        async with serve(RoomChannel, alone=False) as (_, server):
            client = await server.joined("room:a")
            client.send_nowait(["1", "2", "room:a", event, {}])
            await anyio.sleep_forever()

    with pytest.raises(BaseException) as raised:  # noqa: PT011 - trio puts it into groups, and says what it broke
        anyio.run(main, backend=backend)
    assert "KeyboardInterrupt" in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("behind_another", [True, False])
@pytest.mark.parametrize("event", ["raise_plainly", "raise", "cancel_itself", "message", "out", "task"])
async def test_a_stray_cancellation_is_a_crash(event: str, behind_another: bool) -> None:
    """Of asyncio only: a cancelled future's result, or somebody else's cancel, is no business of the connection."""

    class RoomChannel(Channel):
        @incoming
        async def slow(self, payload: Any) -> None:
            await asyncio.sleep(0)

        @incoming
        def raise_plainly(self, payload: Any) -> None:
            raise asyncio.CancelledError

        @incoming("raise")
        async def raise_it(self, payload: Any) -> None:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

        @incoming
        async def cancel_itself(self, payload: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

        @incoming
        def message(self, payload: Any) -> None:
            self.send("message")

        @incoming
        def out(self, payload: Any) -> None:
            self.broadcast("out", {})

        @incoming
        def task(self, payload: Any) -> None:
            self.start_soon(self.raise_it, payload)

        async def handle_info(self, message: object) -> None:
            await self.raise_it(message)

        @intercept("out")
        def handle_out(self, payload: Any) -> None:
            raise asyncio.CancelledError

    async with serve({"room:*": RoomChannel, "other:*": Channel}) as (_, server):
        client = await server.joined("room:a")
        await client.join("other:a", ref="0")
        if behind_another:
            client.send_nowait(["1", "2", "room:a", "slow", {}])
        assert await client.call("1", "3", "room:a", event) == frames.crashed("1", "room:a")
        await client.heartbeat()
        await client.join("room:a", ref="4")


@pytest.mark.parametrize("error", [RuntimeError(), SystemExit(), Custom()])
async def test_whatever_terminate_or_join_raise_hurts_nobody_else(error: BaseException) -> None:
    class RoomChannel(Channel):
        def join(self, payload: Any) -> None:
            if payload == "raise":
                raise error

        def terminate(self, reason: object) -> None:
            raise error

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        assert await client.call("1", "1", "room:a", "phx_join", "raise") == frames.join_crashed("1", "room:a")
        await client.join("room:b", ref="2")
        assert await client.call("2", "3", "room:b", "phx_leave") == frames.reply("2", "3", "room:b")
        assert await client.receive() == frames.closed("2", "room:b")
        await client.join("room:b", ref="4")


async def test_a_crash_in_terminate_is_logged_and_the_end_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class RoomChannel(Channel):
        @incoming
        async def stop(self, payload: Any) -> Stop:
            return Stop(payload)

        def terminate(self, reason: object) -> Any:
            raise RuntimeError("terminate")

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        assert await client.call("1", "2", "room:a", "stop", "normal") == frames.closed("1", "room:a")
        await client.join("room:a", ref="3")
        assert await client.call("3", "4", "room:a", "stop", "failed") == frames.crashed("3", "room:a")
        await settle()
        assert endpoint.statistics().channels == 0
    assert "terminate" in caplog.text


async def test_the_client_goes_while_a_crashed_channel_terminates() -> None:
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        async def terminate(self, reason: object) -> None:
            journal.add(type(reason))
            await release.wait()

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "unknown", {}])
        client.send_nowait(["3", "3", "room:a", "phx_join", {}])
        await journal.wait_for(LookupError)
        client.close_nowait()
        await settle()
        release.set()
        await client.wait_ended()
    assert journal.entries == [LookupError]


async def test_crashes_reach_telemetry() -> None:
    seen = Journal()

    def handler(event: str, measurements: object, metadata: Any) -> None:
        assert isinstance(metadata["socket"], Socket)
        seen.add((metadata["channel"], metadata["topic"], type(metadata["error"])))

    class RoomChannel(Channel):
        pass

    telemetry.attach(telemetry.CHANNEL_CRASHED, handler)
    try:
        async with serve(RoomChannel) as (_, server):
            client = await server.joined("room:a")
            assert await client.call("1", "2", "room:a", "unknown") == frames.crashed("1", "room:a")
    finally:
        telemetry.detach(telemetry.CHANNEL_CRASHED, handler)
    assert seen.entries == [(RoomChannel, "room:a", LookupError)]
