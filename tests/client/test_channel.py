"""Joining, pushing, and what arrives."""

from __future__ import annotations

import gc
import weakref

import anyio
import msgspec
import pytest

from phoenix_channels import EncodeError, Endpoint
from phoenix_channels.client import (
    BufferFull,
    Channel,
    ChannelClosed,
    ChannelState,
    Errored,
    Joined,
    JoinRefused,
    JoinTimeout,
    Left,
    Message,
    PushLost,
    PushRefused,
    PushTimeout,
    Socket,
    UnexpectedPayload,
    ladder,
)
from phoenix_channels.protocol.frames import FIN, server_frame
from tests.client.app import deaf_server, many, restartable, these
from tests.support.clients import connect_to, connected, serving, until
from tests.support.loops import Journal, settle, soon


class Point(msgspec.Struct):
    x: int
    y: int


# Joining


async def test_a_join_has_params_and_a_reply(socket: Socket) -> None:
    channel = await socket.join("room:a", Point(1, 2))
    assert channel.reply == {"you sent": {"x": 1, "y": 2}}
    assert (channel.topic, channel.state, channel.joined) == ("room:a", ChannelState.JOINED, True)
    assert repr(channel) == "<Channel 'room:a' JOINED>"


async def test_a_refused_join_is_not_repeated(endpoint: Endpoint, journal: Journal) -> None:
    async with connected(endpoint, rejoin_after=ladder(0)) as socket:
        with pytest.raises(JoinRefused) as raised:
            await socket.join("room:forbidden")
        assert raised.value.response == {"reason": "unauthorized"}
        # Time for a rejoin.
        await (await socket.join("room:b")).leave()
        assert journal.count(("room:forbidden", "join", {})) == 1


async def test_a_topic_that_there_is_not_is_refused(socket: Socket) -> None:
    with pytest.raises(JoinRefused) as raised:
        await socket.join("nothing:a")
    assert raised.value.response == {"reason": "unmatched topic"}


async def test_a_join_without_an_answer_is_given_up(socket: Socket) -> None:
    with pytest.raises(JoinTimeout):
        await socket.join("room:slow", timeout=0.01)
    assert isinstance((await until(socket, Left))[-1], Left)


async def test_a_join_is_given_up_also_without_a_connection(endpoint: Endpoint, journal: Journal) -> None:
    async with (
        restartable(endpoint) as server,
        connect_to(server.port, reconnect_after=ladder(3600)) as socket,
        anyio.create_task_group() as group,
    ):

        async def join() -> None:
            with pytest.raises(JoinTimeout):
                await socket.join("room:slow", timeout=0.1)

        group.start_soon(join)
        await journal.wait_for(("room:slow", "join", {}))
        await server.stop()


async def test_what_was_left_is_forgotten(socket: Socket) -> None:
    channel = await socket.join("room:a")
    await channel.leave()
    await until(socket, Left)
    reference = weakref.ref(channel)
    del channel
    gc.collect()
    assert reference() is None


async def test_params_that_cannot_be_encoded_are_an_error(socket: Socket) -> None:
    for topic, params in (("room:a", object()), ("room:\ud800", {}), ("room:" + 300 * "a", b"binary")):
        with pytest.raises(EncodeError):
            await socket.join(topic, params)


async def test_who_joins_last_has_the_topic(socket: Socket) -> None:
    first = await socket.join("room:a")
    second = await socket.join("room:a")
    assert [message async for message in first] == []
    with pytest.raises(ChannelClosed):
        await first.push("echo")
    assert await second.push("echo") == {}


async def test_who_joins_last_has_it_also_when_the_other_one_would_come_back(endpoint: Endpoint) -> None:
    async with restartable(endpoint) as server, connect_to(server.port, rejoin_after=ladder(3600)) as socket:
        first = await socket.join("room:a")
        first.push_nowait("crash")
        await until(socket, Errored)
        second = await socket.join("room:a", {"n": 2})
        assert first.state is ChannelState.CLOSED
        await server.stop()
        await server.start()
        await until(socket, Joined, Errored, Joined)
        assert second.joined
        assert await second.push("echo") == {}


# Pushing


async def test_a_push_is_answered(channel: Channel) -> None:
    assert await channel.push("echo", {"a": [1, None, "ü"]}) == {"a": [1, None, "ü"]}
    assert await channel.push("echo") == {}
    # P-031
    assert await channel.push("echo", ["any", "term", 7]) == ["any", "term", 7]


async def test_a_response_is_decoded_as_the_type_that_is_asked_for(channel: Channel) -> None:
    point = await channel.push("echo", {"x": 1, "y": 2}, type=Point)
    assert point == Point(1, 2)
    with pytest.raises(UnexpectedPayload, match=r"Expected `int`, got `str` - at `\$.y`"):
        await channel.push("echo", {"x": 1, "y": "2"}, type=Point)
    with pytest.raises(UnexpectedPayload, match="binary"):
        await channel.push("echo", b"\x00", type=Point)
    assert await channel.push("echo", b"\x00\x01", type=bytes) == b"\x00\x01"


async def test_another_status_than_ok_is_an_error(channel: Channel) -> None:
    with pytest.raises(PushRefused, match=r"'refuse' to 'room:a': error, \{'reason': 'no'\}") as raised:
        await channel.push("refuse")
    assert (raised.value.status, raised.value.response) == ("error", {"reason": "no"})


async def test_a_push_without_a_reply_times_out(channel: Channel) -> None:
    with pytest.raises(PushTimeout, match="push_nowait"):
        await channel.push("note", {}, timeout=0.01)
    assert await channel.push("echo") == {}


async def test_who_waits_for_no_reply_goes_on(channel: Channel, journal: Journal) -> None:
    channel.push_nowait("note", {"n": 1})
    await soon(journal.wait_for(("room:a", "note", {"n": 1})))


async def test_nothing_is_pushed_behind_a_leave(channel: Channel) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(channel.leave)
        while channel.joined:
            await anyio.sleep(0)
        with pytest.raises(ChannelClosed):
            channel.push_nowait("note")


async def test_what_was_sent_is_bounded_no_more(endpoint: Endpoint) -> None:
    async with connected(endpoint, max_buffered_bytes=600) as socket:
        channel = await socket.join("room:a")
        for _ in range(5):
            await channel.push("echo", {"text": 500 * "x"})


async def test_a_push_that_was_cancelled_harms_no_other(channel: Channel) -> None:
    with anyio.move_on_after(0):
        await channel.push("echo", {"n": 1})
    assert await channel.push("echo", {"n": 2}) == {"n": 2}


async def test_a_payload_that_cannot_be_encoded_is_an_error(channel: Channel) -> None:
    with pytest.raises(EncodeError):
        await channel.push("echo", {"a": object()})
    with pytest.raises(EncodeError):
        channel.push_nowait("\ud800")


async def test_bytes_go_both_ways(channel: Channel) -> None:
    channel.push_nowait("throw", b"\x00\xff")
    message = await soon(anext(channel))
    assert (message.event, message.payload, message.decode(bytes)) == ("caught", b"\x00\xff", b"\x00\xff")
    assert message.payload is message.payload


async def test_what_no_server_reads_is_bounded() -> None:
    reply = b'["1","1","room:a","phx_reply",{"status":"ok","response":{}}]'
    async with (
        deaf_server(server_frame(FIN | 1, reply)) as port,
        connect_to(port, close_timeout=0.01, max_buffered_bytes=1000) as socket,
    ):
        channel = await socket.join("room:a")

        def push_until_full() -> None:
            for _ in range(1000):
                channel.push_nowait("note", b"x" * 500_000)

        with pytest.raises(BufferFull, match="does not read"):
            push_until_full()


# What arrives


async def test_messages_come_in_order_and_can_be_matched(channel: Channel) -> None:
    await channel.push("say", these(("a", {"n": 1}), ("b", {"n": 2}), ("c", {"x": 3, "y": 4})))
    match await soon(anext(channel)):
        case Message("a", {"n": n}):
            assert n == 1
        case other:
            raise AssertionError(other)
    assert repr(await soon(anext(channel))) == "Message('b', {'n': 2})"
    assert (await soon(anext(channel))).decode(Point) == Point(3, 4)


async def test_a_message_that_is_not_of_the_type_is_an_error(channel: Channel) -> None:
    await channel.push("say", these(("a", {"x": 1})))
    message = await soon(anext(channel))
    with pytest.raises(UnexpectedPayload, match="missing required field `y`"):
        message.decode(Point)


async def test_messages_end_when_the_channel_is_left(channel: Channel, journal: Journal) -> None:
    await channel.push("say", these(("a", {})))
    await soon(channel.leave())
    await soon(channel.leave())
    assert [message.event async for message in channel] == ["a"]
    assert channel.state is ChannelState.CLOSED
    await soon(journal.wait_for(("room:a", "terminate", ("shutdown", "left"))))
    with pytest.raises(ChannelClosed):
        await channel.push("echo")


async def test_messages_end_when_the_server_closes_the_channel(socket: Socket, channel: Channel) -> None:
    channel.push_nowait("stop")
    assert [message async for message in channel] == []
    assert isinstance((await until(socket, Left))[-1], Left)


async def test_the_oldest_are_dropped_when_nobody_takes_them(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(endpoint, max_messages=5) as socket:
        channel = await socket.join("room:a")
        await channel.push("say", many(20))
        assert channel.dropped == 15
        assert [(await soon(anext(channel))).payload["n"] for _ in range(5)] == [15, 16, 17, 18, 19]
        assert "dropped" not in caplog.text
        # Now there is somebody who takes them, and does not keep up.
        for _ in range(2):
            await channel.push("say", many(7))
        assert channel.dropped == 15 + 2 + 7
        assert caplog.text.count("'room:a': messages are dropped") == 1
        silent = await socket.join("room:b", max_messages=0)
        await silent.push("say", many(3))
        assert silent.dropped == 3


async def test_who_takes_them_at_once_misses_none_of_a_burst(endpoint: Endpoint) -> None:
    async with connected(endpoint, max_messages=5) as socket, anyio.create_task_group() as group:
        channel = await socket.join("room:a")

        async def take() -> None:
            assert [message.payload["n"] async for message in channel] == list(range(500))

        group.start_soon(take)
        await channel.push("say", many(500))
        assert channel.dropped == 0
        await channel.leave()


# Crashes


async def test_a_crashed_channel_is_joined_again(socket: Socket, channel: Channel, journal: Journal) -> None:
    channel.push_nowait("crash")
    errored = (await until(socket, Joined, Errored))[-1]
    assert isinstance(errored, Errored)
    assert (errored.channel, errored.reason) == (channel, {"reason": "channel_crash"})
    joined = (await until(socket, Joined))[-1]
    assert isinstance(joined, Joined)
    assert joined.reply == channel.reply == {"you sent": {}}
    assert await channel.push("echo", {"n": 1}) == {"n": 1}
    assert journal.count(("room:a", "join", {})) == 2


async def test_the_params_of_a_rejoin_are_asked_for(
    socket: Socket, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    last = iter([1, 2])
    once = iter([1])
    await socket.join("room:b", lambda: {"once": next(once)})
    channel = await socket.join("room:a", lambda: {"since": next(last)})
    for _ in range(2):
        channel.push_nowait("crash")
        await until(socket, Errored, Joined)
    # The third time there was nothing to be had.
    joins = [entry[2] for entry in journal.entries if entry[:2] == ("room:a", "join")]
    assert joins == [{"since": 1}, {"since": 2}, {"since": 2}]
    assert "'room:a' is joined with its last params: those for a rejoin cannot be had" in caplog.text
    assert "room:b" not in caplog.text


async def test_a_rejoin_may_be_a_message(socket: Socket) -> None:
    channel = await socket.join("room:a", {"n": 1}, rejoins=True)
    await channel.push("say", these(("before", {})))
    channel.push_nowait("crash")
    await until(socket, Errored, Joined)
    await channel.push("say", these(("after", {})))
    seen = [await soon(anext(channel)) for _ in range(3)]
    assert [message.event for message in seen] == ["before", "phx_join", "after"]
    assert seen[1].payload == {"you sent": {"n": 1}}


async def test_a_push_is_lost_with_the_channel_that_crashes(channel: Channel) -> None:
    async with anyio.create_task_group() as group:

        async def call() -> None:
            with pytest.raises(PushLost, match="'note' to 'room:a' is lost"):
                await channel.push("note")

        group.start_soon(call)
        await settle()
        channel.push_nowait("crash")


async def test_what_is_pushed_meanwhile_waits_for_the_rejoin(endpoint: Endpoint, journal: Journal) -> None:
    async with connected(endpoint, max_buffered_bytes=600) as socket:
        channel = await socket.join("room:a")
        channel.push_nowait("crash")
        await until(socket, Errored)
        assert not channel.joined
        channel.push_nowait("note", {"text": "x" * 600})
        with pytest.raises(BufferFull, match="wait for the join"):
            channel.push_nowait("note")
        await until(socket, Joined)
        await soon(journal.wait_for(("room:a", "note", {"text": "x" * 600})))


async def test_an_errored_channel_can_be_left(endpoint: Endpoint, journal: Journal) -> None:
    async with serving(endpoint) as port, connect_to(port, rejoin_after=ladder(3600)) as socket:
        channel = await socket.join("room:a")
        channel.push_nowait("crash")
        await until(socket, Errored)
        await soon(channel.leave())
        assert [message async for message in channel] == []
        assert journal.count(("room:a", "join", {})) == 1
