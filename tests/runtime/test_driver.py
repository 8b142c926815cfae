"""One connection: what pauses its reading, what ends it, and what it says to the log."""

from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, JoinRefused, Limits, Reply, incoming
from tests.support import frames
from tests.support.apps import serve
from tests.support.asgi import Client
from tests.support.loops import Journal, on_virtual_time, settle


class SlowChannel(Channel):
    """Handles messages when it is allowed to."""

    journal: Journal
    release: anyio.Event

    async def join(self, payload: Any) -> None:
        if self.subtopic.startswith("slow"):
            self.journal.add("join")
            await self.release.wait()
        if self.subtopic.endswith("refused"):
            raise JoinRefused(reason="no")

    @incoming
    async def slow(self, payload: Any) -> Reply:
        self.journal.add("slow")
        await self.release.wait()
        return Reply.ok(payload)

    @incoming
    def plain(self, payload: Any) -> Reply:
        return Reply.ok(payload)


def slow_channel() -> type[SlowChannel]:
    class RoomChannel(SlowChannel):
        journal = Journal()
        release = anyio.Event()

    return RoomChannel


def send_many(client: Client, event: str, count: int, *, topic: str = "room:a", start: int = 0) -> list[Any]:
    """Send so many messages: the replies that they will get."""
    for n in range(start, start + count):
        client.send_nowait(["1", str(n), topic, event, {"n": n}])
    return [frames.reply("1", str(n), topic, {"n": n}) for n in range(start, start + count)]


@pytest.mark.parametrize("event", ["slow", "plain"])
async def test_a_busy_channel_pauses_reading_and_nothing_is_lost(event: str) -> None:
    room = slow_channel()
    async with serve(room, limits=Limits(inbound_messages=4)) as (_, server):
        client, other = await server.joined("room:a"), await server.joined("room:a")
        replies = send_many(client, "slow", 1) + send_many(client, event, 30, start=1)
        await settle()
        # One is being handled, four wait in the channel; the application does not ask for more.
        assert client.unread == 31 - 5
        await other.heartbeat()
        # What the others do reaches it all the same.
        other.send_nowait(["1", "1", "room:a", "plain", {}])
        assert await other.receive() == frames.reply("1", "1", "room:a")
        room.release.set()
        assert await client.receive_many(31) == replies
        assert client.unread == 0
        await client.heartbeat()


async def test_all_channels_of_a_connection_share_the_bound() -> None:
    room = slow_channel()
    async with serve(room, limits=Limits(inbound_messages=4)) as (_, server):
        client = await server.joined("room:a")
        await client.join("room:b", ref="1")
        for n in range(10):
            client.send_nowait(["1", f"a{n}", "room:a", "slow", {}])
            client.send_nowait(["1", f"b{n}", "room:b", "slow", {}])
        await settle()
        assert client.unread == 20 - 6
        room.release.set()
        received = await client.receive_many(20)
        for topic in "ab":
            own = [frame for frame in received if frame[2] == f"room:{topic}"]
            assert own == [frames.reply("1", f"{topic}{n}", f"room:{topic}") for n in range(10)]


async def test_large_messages_pause_reading_before_there_are_many() -> None:
    """What waits is bounded in bytes too, for a join and in the channels."""
    room, padding = slow_channel(), 400 * "x"
    async with serve(room, limits=Limits(inbound_bytes=1000)) as (_, server):
        client, joining = await server.joined("room:a"), await server.connect()
        joining.send_nowait(["1", "1", "room:slow", "phx_join", {}])
        for n in range(10):
            client.send_nowait(["1", str(n), "room:a", "slow", padding])
            joining.send_nowait(["1", str(n), "room:slow", "slow", padding])
        await settle()
        assert client.unread == 10 - 4
        assert joining.unread == 10 - 3
        room.release.set()
        assert await client.receive_many(10) == [frames.reply("1", str(n), "room:a", padding) for n in range(10)]
        assert await joining.receive() == frames.reply("1", "1", "room:slow")
        assert await joining.receive_many(10) == [frames.reply("1", str(n), "room:slow", padding) for n in range(10)]
        # A single message larger than the bound passes: it has to go some way.
        assert await client.call("1", "11", "room:a", "slow", 2000 * "x") == frames.reply(
            "1", "11", "room:a", 2000 * "x"
        )


async def test_channels_that_a_client_leaves_behind_are_bounded_too() -> None:
    """They hold no topic any more, and still run their terminate: joining and leaving on and on has to wait."""
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        async def terminate(self, reason: object) -> None:
            journal.add(self.topic)
            await release.wait()

    async with serve(RoomChannel, max_channels=3) as (endpoint, server):
        client = await server.connect()
        for n in range(20):
            client.send_nowait([f"{n}", f"{n}", f"room:{n}", "phx_join", {}])
            client.send_nowait([f"{n}", "l", f"room:{n}", "phx_leave", {}])
            await settle()
        assert client.unread > 20
        assert endpoint.statistics().channels <= 2 * 3
        await server.joined("room:other")
        release.set()
        await settle()
        assert client.unread == 0
        assert endpoint.statistics().channels == 1
        received = await client.receive_many(len(client.outgoing))
        assert sum(frame[3] == "phx_reply" for frame in received) == 40


@pytest.mark.parametrize("answer", ["accepted", "refused"])
async def test_a_slow_join_pauses_reading_and_nothing_is_lost(answer: str) -> None:
    room, topic = slow_channel(), f"room:slow {answer}"
    async with serve(room, limits=Limits(waiting_messages=3, inbound_messages=4)) as (_, server):
        client = await server.connect()
        client.send_nowait(["1", "j", topic, "phx_join", {}])
        replies = send_many(client, "plain", 20, topic=topic)
        client.send_nowait([None, "h", "phoenix", "heartbeat", {}])
        await settle()
        assert client.unread == 21 - 3
        room.release.set()
        if answer == "accepted":
            expected = [frames.reply("1", "j", topic), *replies]
        else:
            unmatched = [frames.unmatched(str(n), topic) for n in range(20)]
            expected = [frames.error("1", "j", topic, {"reason": "no"}), *unmatched]
        received = await client.receive_many(22)
        received.remove(frames.reply(None, "h", "phoenix"))
        assert received == expected


async def test_reading_goes_on_also_when_what_waited_is_dropped() -> None:
    """Stale messages, and those behind a leave, wait for nobody."""
    room = slow_channel()
    async with serve(room, limits=Limits(waiting_messages=4)) as (_, server):
        client = await server.connect()
        client.send_nowait(["1", "1", "room:slow", "phx_join", {}])
        client.send_nowait(["stale", "2", "room:slow", "plain", {}])
        for ref, event in (("3", "phx_leave"), ("4", "plain"), ("5", "plain")):
            client.send_nowait(["1", ref, "room:slow", event, {}])
        client.send_nowait([None, "h", "phoenix", "heartbeat", {}])
        await settle()
        assert client.unread == 1
        room.release.set()
        received = await client.receive_many(4)
        received.remove(frames.reply(None, "h", "phoenix"))
        assert received == [
            frames.reply("1", "1", "room:slow"), frames.reply("1", "3", "room:slow"), frames.closed("1", "room:slow"),
        ]  # fmt: skip


async def test_a_crash_gives_back_what_was_queued_before_terminate_is_over() -> None:
    """Whoever cleans up slowly holds up its own topic only."""
    journal, crash, release = Journal(), anyio.Event(), anyio.Event()

    class RoomChannel(Channel):
        @incoming
        async def crash(self, payload: Any) -> None:
            await crash.wait()
            raise RuntimeError

        async def terminate(self, reason: object) -> None:
            journal.add("terminate")
            await release.wait()

    async with serve(RoomChannel, limits=Limits(inbound_messages=4)) as (_, server):
        client = await server.joined("room:a")
        send_many(client, "crash", 10)
        client.send_nowait([None, "h", "phoenix", "heartbeat", {}])
        await settle()
        assert client.unread == 6
        crash.set()
        await journal.wait_for("terminate")
        assert await client.receive() == frames.reply(None, "h", "phoenix")
        release.set()
        assert await client.receive() == frames.crashed("1", "room:a")


async def test_a_paused_connection_can_be_ended() -> None:
    room = slow_channel()
    async with serve(room, limits=Limits(inbound_messages=1), socket_id="user:1") as (endpoint, server):
        client = await server.joined("room:a")
        send_many(client, "slow", 5)
        await settle()
        assert client.unread > 0
        await endpoint.disconnect("user:1")
        room.release.set()
        assert await client.receive_close() == 1001
        await client.wait_ended()


@on_virtual_time()
@pytest.mark.parametrize("timeout", [20.0, None])
async def test_a_connection_that_is_not_read_for_too_long_is_closed(
    timeout: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Its channels are stuck; the idle timeout, which is about the client, has no say meanwhile."""
    room = slow_channel()
    limits = Limits(inbound_messages=2, paused_seconds=100.0)
    async with serve(room, timeout=timeout, limits=limits) as (_, server):
        client = await server.joined("room:a")
        send_many(client, "slow", 6)
        await anyio.sleep(99)
        assert not client.ended.is_set()
        assert client.unread > 0
        await anyio.sleep(2)
        assert await client.receive_close() == 1013
        await client.wait_ended()
    assert "has moved for 100.0 s" in caplog.text


async def test_nothing_begins_on_a_connection_that_is_over() -> None:
    """The answer of a join is the frame too many: the join that waits behind it does not run."""
    room = slow_channel()
    async with serve(room, limits=Limits(outbox_bytes=300)) as (endpoint, server):
        client = await server.connect()
        for ref in ("1", "2"):
            client.send_nowait([ref, ref, "room:slow refused", "phx_join", {}])
        await settle()
        client.stop_reading()
        for _ in range(4):
            client.send_nowait([None, "h", "phoenix", "heartbeat", {}])
            # Each in a turn of its own: what comes in one is not held against the client.
            await settle()
        assert endpoint.statistics().connections == 1
        room.release.set()
        await settle()
        assert endpoint.statistics().connections == 0
        assert endpoint.statistics().channels == 0
        assert room.journal.entries == ["join"]


# The id


async def test_a_disconnect_on_the_id_closes_every_such_connection() -> None:
    """P-026, P-079; other events on that topic mean nothing."""
    async with serve(slow_channel(), socket_id="users_socket:1") as (endpoint, server):
        clients = [await server.connect() for _ in range(3)]
        endpoint.broadcast("users_socket:1", "event", {})
        await endpoint.disconnect("users_socket:2")
        for client in clients:
            await client.heartbeat()
        endpoint.broadcast("users_socket:1", "disconnect", {"ignored": True})
        for client in clients:
            assert await client.receive_close() == 1001
            await client.wait_ended()
        assert endpoint.statistics().topics == 0


# The log


async def test_unknown_topics_and_too_many_channels_are_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A rejoin is allowed at the limit, and an unknown topic is called that also there."""
    async with serve(slow_channel(), max_channels=2) as (_, server):
        client = await server.connect()
        assert await client.call("5", "6", "nowhere", "phx_join") == frames.unmatched("6", "nowhere")
        assert "nowhere" in caplog.text
        await client.join("room:1", ref="1")
        await client.join("room:2", ref="2")
        assert await client.call("3", "4", "room:3", "phx_join") == frames.error(
            "3", "4", "room:3", {"reason": "too many channels joined"}
        )
        assert "room:3" in caplog.text
        assert await client.call("5", "7", "nowhere", "phx_join") == frames.unmatched("7", "nowhere")
        assert await client.call("8", "8", "room:2", "phx_join") == frames.reply("8", "8", "room:2")
        assert await client.receive() == frames.closed("2", "room:2")
        assert await client.call("1", "9", "room:1", "phx_leave") == frames.reply("1", "9", "room:1")
        assert await client.receive() == frames.closed("1", "room:1")
        await client.join("room:3", ref="10")


@pytest.mark.parametrize(
    "frame",
    [
        ["1", "2", "room:a", 70_000 * "e", {}], ["1", 70_000 * "2", "room:a", "plain", {}],
        ["1", "2", 70_000 * "t", "plain", {}],
        "", "garbage", "[]", '["1","2","room:a","plain"]', '{"topic":"room:a"}', '["1","2","room:a","plain",1e400]',
        b"", b"\x01", b"\x00\xff", 1000 * "[",
    ],
)  # fmt: skip
async def test_garbage_closes_with_1011(frame: object, caplog: pytest.LogCaptureFixture) -> None:
    """P-046; what came before it is handled, and nothing after it."""
    async with serve(slow_channel()) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "plain", {}])
        client.send_nowait(frame)
        client.send_nowait(["1", "3", "room:a", "plain", {}])
        assert await client.receive() == frames.reply("1", "2", "room:a")
        assert await client.receive_close() == 1011
        await client.receive_nothing()
    assert "malformed" in caplog.text
