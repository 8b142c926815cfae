"""Channels from their client's side: joins, pushes, replies, broadcasts."""

from __future__ import annotations

import anyio
import pytest

from phoenix_channels import EncodeError, Limits, Reply
from phoenix_channels.testing import ConnectedSocket, JoinedChannel, JoinRefused, connect, subscribe
from tests.testing.app import RoomChannel, Shout, UserSocket, make_endpoint


async def test_a_join(socket: ConnectedSocket[UserSocket]) -> None:
    channel = await socket.join("room:1", {"since": 7}, channel_class=RoomChannel)
    assert channel.topic == "room:1"
    assert channel.reply == {"room": "1", "payload": {"since": 7}}
    assert isinstance(channel.server, RoomChannel)
    assert (channel.server.topic, channel.server.join_ref) == ("room:1", channel.join_ref)
    assert channel.server.socket is socket.server


async def test_refused_joins(socket: ConnectedSocket[UserSocket]) -> None:
    with pytest.raises(JoinRefused, match=r"refuses to join 'room:secret': \{'reason': 'unauthorized'\}") as refused:
        await socket.join("room:secret")
    assert (refused.value.topic, refused.value.response) == ("room:secret", {"reason": "unauthorized"})
    with pytest.raises(JoinRefused) as refused:
        await socket.join("hall:1")
    assert refused.value.response == {"reason": "unmatched topic"}


async def test_a_join_that_has_no_wire_form_leaves_nothing_behind(socket: ConnectedSocket[UserSocket]) -> None:
    room = await socket.join("room:1")
    with pytest.raises(EncodeError):
        await socket.join("room:2", object())
    # Its reply is none to a join, although it has the ref that the join would have had.
    await room.push("echo").assert_reply()
    socket.endpoint.broadcast("room:1", "news", {})
    await room.assert_push("news")
    assert socket.endpoint.statistics().topics == 1


async def test_a_join_of_another_class(socket: ConnectedSocket[UserSocket]) -> None:
    class OtherChannel(RoomChannel): ...

    with pytest.raises(AssertionError, match=r"'room:1' is routed to RoomChannel, not to .*OtherChannel"):
        await socket.join("room:1", channel_class=OtherChannel)


async def test_a_join_that_takes_its_time(socket: ConnectedSocket[UserSocket]) -> None:
    channel = await socket.join("room:slow", timeout=21)
    assert channel.reply["room"] == "slow"


async def test_a_join_that_takes_too_long(socket: ConnectedSocket[UserSocket]) -> None:
    with pytest.raises(AssertionError, match="no reply to 'phx_join' on 'room:slow' within 1 s"):
        await socket.join("room:slow")


async def test_a_channel_that_ends_with_its_join(socket: ConnectedSocket[UserSocket]) -> None:
    channel = await socket.join("room:fleeting", channel_class=RoomChannel)
    await channel.assert_closed()
    assert channel.server.fleeting
    assert channel.server.ended == "normal"


async def test_what_is_pushed_arrives_in_the_next_turn(room: JoinedChannel[RoomChannel]) -> None:
    room.push("answer_later")
    assert not hasattr(room.server, "later")
    await anyio.sleep(0.1)
    assert hasattr(room.server, "later")


@pytest.mark.parametrize("payload", [{}, {"a": [1, None]}, [1, 2], "text", 7, None, True, b"\x00\xff"])
async def test_payloads_of_every_kind(room: JoinedChannel[RoomChannel], payload: object) -> None:
    assert await room.push("echo", payload).assert_reply("ok", payload) == payload


async def test_a_struct_is_pushed_as_what_it_is_encoded_to(room: JoinedChannel[RoomChannel]) -> None:
    assert await room.push("echo", Shout("hi")).assert_reply("ok", Shout("hi")) == {"body": "hi", "loud": False}
    with pytest.raises(EncodeError):
        room.push("echo", object())
    # Nothing was sent, and no ref is lost.
    await room.push("echo", 1).assert_reply("ok", 1)


async def test_asserts_take_the_first_that_matches_and_leave_the_others(room: JoinedChannel[RoomChannel]) -> None:
    for number in (1, 2, 3):
        room.push("tell", {"event": "number", "payload": {"n": number}})
    room.push("tell", {"event": "other", "payload": {}})
    await room.assert_push("other")
    assert await room.assert_push("number", {"n": lambda n: n > 1}) == {"n": 2}
    assert await room.assert_push("number") == {"n": 1}
    assert await room.assert_push("number") == {"n": 3}
    await room.refute_push()


async def test_equal_messages_are_taken_one_by_one(room: JoinedChannel[RoomChannel]) -> None:
    for _ in range(2):
        room.push("tell", {"event": "same", "payload": {"n": 1}})
    await room.assert_push("same", {"n": 1})
    await room.assert_push("same", {"n": 1})
    await room.refute_push("same")


async def test_replies_belong_to_their_pushes(room: JoinedChannel[RoomChannel]) -> None:
    one, two = room.push("echo", 1), room.push("echo", 2)
    assert one.ref != two.ref
    await two.assert_reply("ok", 2)
    await one.refute_reply("ok", 2)
    await one.assert_reply("ok", 1)
    await one.refute_reply()
    await room.push("status", "accepted").assert_reply("accepted", {"status": "accepted"})
    await room.push("nothing").refute_reply()


async def test_a_message_may_be_answered_later_and_often(room: JoinedChannel[RoomChannel]) -> None:
    pushed = room.push("answer_later")
    await pushed.refute_reply()
    room.server.later.reply(Reply.ok({"part": 1}))
    room.server.later.reply(Reply.error({"part": 2}))
    await pushed.assert_reply("error", {"part": 2})
    await pushed.assert_reply("ok", {"part": 1})


async def test_time_passes_for_channels_and_asserts_alike(room: JoinedChannel[RoomChannel]) -> None:
    room.push("remind", 3_600)
    await room.refute_push("info", timeout=3_599)
    await room.assert_push("info", {"message": "reminder"}, timeout=2)
    await room.push("sleep", 5).assert_reply(timeout=6)


async def test_the_test_hears_broadcasts_of_the_topics_it_joins(room: JoinedChannel[RoomChannel]) -> None:
    await room.refute_broadcast()
    room.push("shout", {"body": "hi"})
    assert await room.assert_broadcast("shout", {"body": "hi"}) == {"body": "hi", "loud": False}
    # As every other subscriber does, and its client too.
    await room.assert_push("shout", {"body": "hi"})
    room.push("whisper", {"n": 1})
    await room.assert_broadcast("whisper", {"n": 1})
    await room.refute_push("whisper")
    room.server.endpoint.broadcast("room:1", "censored", {})
    await room.assert_broadcast("censored")
    await room.refute_push("censored")


async def test_a_broadcast_from_the_test_is_for_all_others(room: JoinedChannel[RoomChannel]) -> None:
    async with subscribe(room.server.endpoint, "room:1") as observer:
        room.broadcast_from("news", {"n": 1})
        await room.assert_push("news", {"n": 1})
        await observer.assert_broadcast("news", {"n": 1})
        await room.refute_broadcast("news")
        observer.broadcast_from("more", {})
        await room.assert_broadcast("more")
        await observer.refute_broadcast()


async def test_an_observer_hears_from_beginning_to_end() -> None:
    endpoint = make_endpoint()
    endpoint.broadcast("topic", "before", {})
    async with subscribe(endpoint, "topic") as observer:
        assert observer.topic == "topic"
        endpoint.broadcast("topic", "binary", b"\x01")
        assert await observer.assert_broadcast("binary", bytes) == b"\x01"
    endpoint.broadcast("topic", "after", {})
    await observer.refute_broadcast()
    observer.unsubscribe()
    assert endpoint.statistics().topics == 0


async def test_leaving_is_answered_after_what_came_before(room: JoinedChannel[RoomChannel]) -> None:
    slow = room.push("sleep", 2)
    left = room.leave()
    await left.refute_reply(timeout=1.9)
    await left.assert_reply()
    await slow.assert_reply()
    await room.assert_closed()
    assert room.server.ended == ("shutdown", "left")
    await room.leave().assert_reply()
    await room.push("echo").assert_reply("error", {"reason": "unmatched topic"})


async def test_a_second_join_takes_the_place_of_the_first(
    socket: ConnectedSocket[UserSocket], room: JoinedChannel[RoomChannel]
) -> None:
    again = await socket.join("room:1", channel_class=RoomChannel)
    await room.assert_closed()
    assert again.server is not room.server
    assert room.server.ended == ("shutdown", "duplicate_join")
    again.push("shout", {"body": "hi"})
    await again.assert_push("shout")
    await room.refute_push()
    # The test has heard it twice, for each has ears of its own.
    await again.assert_broadcast("shout")
    await room.assert_broadcast("shout")


async def test_a_channel_that_is_closed_gets_no_broadcasts(socket: ConnectedSocket[UserSocket]) -> None:
    room = await socket.join("room:1")
    room.push("stop", "normal")
    await room.assert_closed()
    socket.endpoint.broadcast("room:1", "news", {})
    await room.assert_broadcast("news")
    await room.refute_push("news")


@pytest.mark.parametrize("reason", ["normal", "shutdown"])
async def test_a_channel_that_stops_is_closed(room: JoinedChannel[RoomChannel], reason: str) -> None:
    room.push("stop", reason)
    await room.assert_closed()
    assert room.server.ended == reason


async def test_a_channel_that_stops_by_failure_has_errored(room: JoinedChannel[RoomChannel]) -> None:
    room.push("stop", "out of paper")
    await room.assert_errored()
    assert room.server.ended == "out of paper"


async def test_a_client_that_is_not_read_loses_nothing() -> None:
    endpoint = make_endpoint(Limits(inbound_messages=2, waiting_messages=2))
    async with connect(endpoint) as socket:
        room = await socket.join("room:1")
        pushes = [room.push("sleep", 1) for _ in range(20)]
        for pushed in pushes:
            await pushed.assert_reply(timeout=1.5)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio", ("asyncio", {"use_uvloop": True})])
async def test_without_a_fake_clock_everything_takes_its_time() -> None:
    async with connect(make_endpoint()) as socket:
        room = await socket.join("room:1")
        await room.push("sleep", 0.02).assert_reply()
        room.push("remind", 0.02)
        await room.assert_push("info")
        await room.refute_push("info", timeout=0.02)
        with pytest.raises(AssertionError, match=r"no push 'info' on 'room:1' within 0\.02 s"):
            await room.assert_push("info", timeout=0.02)


@pytest.mark.parametrize("timeout", [-1, True, "1", None])
async def test_a_timeout_is_a_number_of_seconds(room: JoinedChannel[RoomChannel], timeout: object) -> None:
    with pytest.raises(ValueError, match="a timeout is a number of seconds from 0 on, not"):
        await room.assert_push("x", timeout=timeout)  # type: ignore[arg-type]


async def test_a_topic_is_a_string() -> None:
    with pytest.raises(TypeError, match="a topic is a string, not 7"):
        await subscribe(make_endpoint(), 7)  # type: ignore[arg-type]
