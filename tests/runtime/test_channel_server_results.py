"""What a callback's result does (P-061, P-065), and in which order frames leave (P-063, P-071)."""

from typing import Any

import anyio
import pytest

from phoenix_channels import Broadcast, Channel, Reply, Stop, incoming, intercept
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import Journal, settle


class ResultChannel(Channel):
    """Returns what the test wants, from a plain and from an async handler."""

    result: Any = None

    @incoming
    def plain(self, payload: Any) -> Any:
        return self.result

    @incoming("async")
    async def asynchronous(self, payload: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return self.result

    async def handle_in(self, event: str, payload: Any) -> Any:
        assert event == "other"
        return self.result


EVENTS = pytest.mark.parametrize("event", ["plain", "async", "other"])


@EVENTS
@pytest.mark.parametrize(
    ("reply", "status", "response"),
    [
        (Reply.ok(), "ok", {}),
        (Reply.ok({"a": 1}), "ok", {"a": 1}),
        (Reply.error(), "error", {}),
        (Reply.error("why"), "error", "why"),
        (Reply.ok(None), "ok", None),
        (Reply.error(None), "error", None),
        (Reply("ok"), "ok", {}),
        (Reply("teapot", [None]), "teapot", [None]),
        (Reply("ok", None), "ok", None),
        (Reply("", 1.5), "", 1.5),
    ],
)
async def test_a_reply_has_the_ref_of_its_message(event: str, reply: Reply, status: str, response: object) -> None:
    class RoomChannel(ResultChannel):
        result = reply

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        for ref in ("7", 8, None, {"x": 1}, 1.0, True):
            frame = await client.call("1", ref, "room:a", event)
            assert frame == ["1", ref, "room:a", "phx_reply", {"status": status, "response": response}]
            assert type(frame[1]) is type(ref)


@EVENTS
async def test_none_is_no_reply(event: str) -> None:
    async with serve(ResultChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", event, {}])
        await client.receive_nothing()


async def test_replies_and_pushes_may_be_binary() -> None:
    class RoomChannel(Channel):
        @incoming
        async def mirror(self, payload: bytes) -> Reply:
            self.push("pushed", payload)
            self.push("pushed", bytearray(payload))
            return Reply.ok(payload[::-1])

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(frames.binary_push("1", "2", "room:a", "mirror", b"\x00\xff"))
        pushed = b"\x00\x01\x06\x061room:apushed\x00\xff"
        assert await client.receive_many(3) == [pushed, pushed, b"\x01\x01\x01\x06\x0212room:aok\xff\x00"]


REASONS = pytest.mark.parametrize(
    ("reason", "graceful"),
    [
        ("normal", True),
        ("shutdown", True),
        (("shutdown", "because"), True),
        (("shutdown", {"any": "thing"}), True),
        (("shutdown",), False),
        (["shutdown", 1], False),
        ("stopped by its client", False),
        (None, False),
        (ValueError("no"), False),
    ],
)


@pytest.mark.feature("C08")
@EVENTS
@REASONS
async def test_a_stop_closes_before_terminate_or_fails_after_it(event: str, reason: object, graceful: bool) -> None:
    """P-065."""
    journal = Journal()

    class RoomChannel(ResultChannel):
        result = Stop(reason)

        async def terminate(self, reason: object) -> None:
            journal.add(reason)
            self.push("terminating", {})

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", event, {}])
        ending = [frames.closed("1", "room:a")] if graceful else [frames.crashed("1", "room:a")]
        terminating = [frames.push("1", "room:a", "terminating")]
        assert await client.receive_many(2) == (ending + terminating if graceful else terminating + ending)
        await client.receive_nothing()
        assert endpoint.statistics().channels == 0
        assert endpoint.statistics().topics == 0
        await client.join("room:a", ref="5")
    assert journal.entries == [reason, ("shutdown", "closed")]


@pytest.mark.parametrize(
    ("reason", "frame"), [("shutdown", frames.closed("1", "room:a")), ("x", frames.crashed("1", "room:a"))]
)
async def test_a_stop_may_reply_first(reason: object, frame: object) -> None:

    class RoomChannel(ResultChannel):
        result = Stop(reason, reply=Reply.ok({"a": 1}))

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        assert await client.call("1", "2", "room:a", "plain") == frames.reply("1", "2", "room:a", {"a": 1})
        assert await client.receive() == frame


async def test_messages_behind_a_stop_get_no_answer() -> None:
    journal = Journal()

    class RoomChannel(Channel):
        @incoming
        async def stop(self, payload: Any) -> Stop:
            await anyio.lowlevel.checkpoint()
            return Stop()

        @incoming
        async def more(self, payload: Any) -> Reply:
            journal.add("more")
            return Reply.ok()

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        for ref, event in enumerate(("stop", "more", "more", "phx_leave"), 2):
            client.send_nowait(["1", str(ref), "room:a", event, {}])
        assert await client.receive() == frames.closed("1", "room:a")
        await client.receive_nothing()
    assert journal.entries == []


class HookChannel(Channel):
    """The callbacks that nobody waits to have answered."""

    hook = ""
    result: Any = None

    def _result(self, hook: str) -> Any:
        return self.result if hook == self.hook else None

    async def after_join(self) -> Any:
        return self._result("after_join")

    async def handle_info(self, message: object) -> Any:
        return self._result("handle_info")

    @incoming
    def send_yourself(self, payload: Any) -> None:
        self.send("message")

    @intercept("out")
    async def handle_out(self, payload: Any) -> Any:
        return self._result("intercept")


@pytest.mark.parametrize("hook_name", ["after_join", "handle_info", "intercept"])
@pytest.mark.parametrize(
    ("hook_result", "expected"),
    [
        (Stop(), frames.closed("1", "room:a")),
        (Stop(("shutdown", 1)), frames.closed("1", "room:a")),
        (Stop("failed"), frames.crashed("1", "room:a")),
        (Reply.ok(), frames.crashed("1", "room:a")),
        (Stop("normal", reply=Reply.ok()), frames.crashed("1", "room:a")),
        ("anything else", frames.crashed("1", "room:a")),
    ],
)
async def test_the_results_of_the_other_callbacks(hook_name: str, hook_result: object, expected: object) -> None:
    """P-069, P-076: they may stop, and reply to nobody."""

    class RoomChannel(HookChannel):
        hook = hook_name
        result = hook_result

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        if hook_name == "handle_info":
            client.send_nowait(["1", "2", "room:a", "send_yourself", {}])
        elif hook_name == "intercept":
            endpoint.broadcast("room:a", "out", {})
        assert await client.receive() == expected


async def test_frames_leave_in_the_order_in_which_the_channel_made_them() -> None:
    """P-071 (1) and (3): its broadcasts too, and what others intercept is not in their way."""

    class RoomChannel(Channel):
        @incoming
        async def all(self, payload: Any) -> Reply:
            ref = self.reply_later()
            for n in range(3):
                self.push("push", {"n": n})
                self.broadcast("broadcast", {"n": n})
                ref.reply(Reply.ok({"n": n}))
                self.endpoint.broadcast(self.topic, "endpoint", {"n": n})
                if n:
                    await anyio.lowlevel.checkpoint()
            return Reply.ok("last")

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "all", {}])
        expected = []
        for n in range(3):
            expected += [
                frames.push("1", "room:a", "push", {"n": n}),
                frames.broadcast("room:a", "broadcast", {"n": n}),
                frames.reply("1", "2", "room:a", {"n": n}),
                frames.broadcast("room:a", "endpoint", {"n": n}),
            ]
        assert await client.receive_many(13) == [*expected, frames.reply("1", "2", "room:a", "last")]


async def test_a_broadcast_does_not_wait_for_a_busy_channel() -> None:
    """P-071 (3): neither for a handler nor for a join on another topic."""
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            if self.subtopic == "slow":
                await release.wait()

        @incoming
        async def slow(self, payload: Any) -> Reply:
            journal.add("slow")
            await release.wait()
            return Reply.ok()

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "slow", {}])
        client.send_nowait(["3", "3", "room:slow", "phx_join", {}])
        await journal.wait_for("slow")
        endpoint.broadcast("room:a", "now", {})
        assert await client.receive() == frames.broadcast("room:a", "now")
        release.set()
        both = await client.receive_many(2)
        assert frames.reply("1", "2", "room:a") in both
        assert frames.reply("3", "3", "room:slow") in both


async def test_callbacks_of_one_channel_never_overlap_and_keep_their_order() -> None:
    """P-060, for every kind of callback at once."""
    journal = Journal()

    class RoomChannel(Channel):
        async def after_join(self) -> None:
            await self.subscribe("elsewhere")

        async def _run(self, name: object) -> None:
            journal.add(("begin", name))
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            journal.add(("end", name))

        @incoming
        async def slow(self, payload: Any) -> None:
            await self._run(payload["n"])

        @incoming
        def fast(self, payload: Any) -> None:
            journal.add(("begin", payload["n"]))
            journal.add(("end", payload["n"]))

        @intercept("out")
        async def out(self, payload: Any) -> None:
            await self._run(payload["n"])

        async def handle_info(self, message: object) -> None:
            await self._run(message.payload["n"] if isinstance(message, Broadcast) else message)

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        await settle()
        for n in range(0, 40, 4):
            client.send_nowait(["1", None, "room:a", "slow", {"n": n}])
            client.send_nowait(["1", None, "room:a", "fast", {"n": n + 1}])
            await client.heartbeat()
            endpoint.broadcast("room:a", "out", {"n": n + 2})
            endpoint.broadcast("elsewhere", "info", {"n": n + 3})
        await journal.wait_length(80)
    assert journal.entries == [(what, n) for n in range(40) for what in ("begin", "end")]


async def test_channels_of_one_connection_run_at_the_same_time() -> None:
    """P-060: two handlers that wait for each other both come to their end."""
    events = {"room:a": anyio.Event(), "room:b": anyio.Event()}

    class RoomChannel(Channel):
        @incoming
        async def meet(self, payload: Any) -> Reply:
            events[self.topic].set()
            await events["room:b" if self.subtopic == "a" else "room:a"].wait()
            return Reply.ok()

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        await client.join("room:b", ref="2")
        client.send_nowait(["1", "3", "room:a", "meet", {}])
        client.send_nowait(["2", "4", "room:b", "meet", {}])
        replies = await client.receive_many(2)
        assert frames.reply("1", "3", "room:a") in replies
        assert frames.reply("2", "4", "room:b") in replies
