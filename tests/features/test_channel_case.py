"""What a test does with sockets and joins, pushes and replies (B100 to B109, B113 to B117, B123 to B127)."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from phoenix_channels import Endpoint
from phoenix_channels.testing import ChannelCase, ChannelCrashed, JoinedChannel, JoinRefused, Refused, fake_clock
from tests.features.channel_case import Point, RoomChannel, UserSocket, make_endpoint

Room = JoinedChannel[RoomChannel]


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return fake_clock(request.param)


@pytest.fixture
def phoenix_endpoint() -> Endpoint:
    return make_endpoint()


@pytest.fixture
async def room(phoenix: ChannelCase) -> Room:
    return await (await phoenix.connect({"user_id": "21"})).join("room:1", channel_class=RoomChannel)


# Sockets


@pytest.mark.feature("B100")
async def test_a_socket_is_made_without_being_connected(phoenix: ChannelCase) -> None:
    plain = await phoenix.make_socket(UserSocket)
    assert (plain.id, plain.server.user_id) == (None, None)
    assert plain.server.endpoint is phoenix.endpoint
    known = await phoenix.make_socket(UserSocket, id="users_socket:7", user_id="7")
    assert (known.id, known.server.user_id) == ("users_socket:7", "7")
    assert not plain.server.connected
    assert not known.server.connected


@pytest.mark.feature("B100")
async def test_a_socket_is_made_by_another_task_for_the_test(phoenix: ChannelCase) -> None:
    sockets = []

    async def make() -> None:
        sockets.append(await phoenix.make_socket(UserSocket, user_id="7"))

    async with anyio.create_task_group() as group:
        group.start_soon(make)
    room = await sockets[0].join("room:1")
    await room.push("reply", 1).assert_reply()


@pytest.mark.feature("B114")
async def test_a_connect_is_let_in_with_its_id_or_refused(phoenix: ChannelCase) -> None:
    socket = await phoenix.connect({"user_id": 21})
    assert (socket.id, socket.server.user_id, socket.server.connected) == ("users_socket:21", "21", True)
    assert (await socket.join("foyer")).reply == {"greeting": "welcome", "keys": []}
    with pytest.raises(Refused) as refused:
        await phoenix.connect({"reject": True})
    assert refused.value.response.status == 403


@pytest.mark.feature("B114")
async def test_a_connect_by_another_task(phoenix: ChannelCase) -> None:
    async with anyio.create_task_group() as group:

        async def connect() -> None:
            room = await (await phoenix.connect()).join("room:1")
            await room.push("reply", 1).assert_reply()

        group.start_soon(connect)


@pytest.mark.feature("B125")
async def test_a_connect_subscribes_the_test_to_the_topic_of_the_id(phoenix: ChannelCase) -> None:
    socket = await phoenix.connect({"user_id": "21"})
    await socket.refute_broadcast("disconnect")
    await phoenix.endpoint.disconnect("users_socket:21")
    await socket.assert_broadcast("disconnect", {})
    await socket.assert_closed(1001)


# Joins


@pytest.mark.feature("B101")
async def test_a_join_makes_a_channel_with_what_the_socket_knows(phoenix: ChannelCase) -> None:
    socket = await phoenix.connect({"user_id": "21"}, socket_class=UserSocket)
    room = await socket.join("room:1", {"since": 7}, channel_class=RoomChannel)
    assert room.reply == {"greeting": "hello", "keys": ["since"]}
    assert (room.server.topic, room.server.subtopic, room.server.join_ref) == ("room:1", "1", room.join_ref)
    assert room.server.socket is socket.server
    assert room.server.payload == {"since": 7}


@pytest.mark.feature("B101")
async def test_a_channel_is_joined_only_once_its_join_has_returned(phoenix: ChannelCase, room: Room) -> None:
    socket = await phoenix.connect()
    too_early = r"push\(\) is not possible before the join"
    with socket.expect_crash(RuntimeError, match=too_early), pytest.raises(JoinRefused):
        await socket.join("room:push")
    room.server.push("now", {})
    await room.assert_push("now")


@pytest.mark.feature("B101")
async def test_a_channel_is_linked_to_its_test(room: Room) -> None:
    room.push("crash")
    with pytest.raises(ChannelCrashed):
        await room.assert_push("anything")


@pytest.mark.feature("B102")
async def test_a_join_by_another_task(phoenix: ChannelCase) -> None:
    socket = await phoenix.connect()
    rooms: list[JoinedChannel] = []

    async def join() -> None:
        rooms.append(await socket.join("room:1"))

    async with anyio.create_task_group() as group:
        group.start_soon(join)
    await rooms[0].push("reply", 1).assert_reply("ok", {"resp": 1})


@pytest.mark.feature("B103")
async def test_a_join_that_is_refused(phoenix: ChannelCase) -> None:
    with pytest.raises(JoinRefused) as refused:
        await (await phoenix.connect()).join("room:refused")
    assert refused.value.response == {"reason": "unauthorized"}


@pytest.mark.feature("B104")
async def test_a_join_that_crashes(phoenix: ChannelCase) -> None:
    socket = await phoenix.connect()
    with socket.expect_crash(RuntimeError, match="no such room"), pytest.raises(JoinRefused) as refused:
        await socket.join("room:crash")
    assert refused.value.response == {"reason": "join crashed"}


@pytest.mark.feature("B126")
async def test_the_route_of_a_channel_has_options(phoenix: ChannelCase) -> None:
    foyer = await (await phoenix.connect()).join("foyer", channel_class=RoomChannel)
    assert foyer.server.greeting == "welcome"


@pytest.mark.feature("B127")
async def test_the_keys_of_a_payload_are_strings_when_they_arrive(phoenix: ChannelCase) -> None:
    room = await (await phoenix.connect()).join("room:1", {1: {2: [{3: 4}]}}, channel_class=RoomChannel)
    assert room.server.payload == {"1": {"2": [{"3": 4}]}}


# Asserts, pushes and replies


@pytest.mark.feature("B105")
async def test_patterns_may_have_conditions(room: Room) -> None:
    for number in (1, 2, 3):
        room.push("noreply", {"n": number})
    assert await room.assert_push("noreply", {"n": lambda n: n > 1}) == {"n": 2}
    assert await room.push("reply", {"n": 4}).assert_reply("ok", {"resp": {"n": int}}) == {"resp": {"n": 4}}
    room.push("broadcast_event", {"n": 5})
    assert await room.assert_broadcast("broadcast", lambda payload: payload["n"] == 5) == {"n": 5}
    with pytest.raises(AssertionError, match="not as <lambda> wants it"):
        await room.assert_push("noreply", {"n": lambda n: n > 3})


@pytest.mark.feature("B106")
async def test_a_handler_pushes_and_does_not_reply(room: Room) -> None:
    pushed = room.push("noreply", {"req": "foo"})
    await room.assert_push("noreply", {"req": "foo"})
    await pushed.refute_reply()


@pytest.mark.feature("B107")
async def test_a_handler_replies_and_does_not_push(room: Room) -> None:
    await room.push("reply", None).assert_reply("ok", lambda response: response == {})
    await room.push("reply", {"req": "foo"}).assert_reply("ok", {"resp": {"req": "foo"}})
    await room.refute_push()


@pytest.mark.feature("B108")
async def test_payloads_are_what_their_wire_form_says(room: Room) -> None:
    await room.push("reply", {"deep": [{"list": [1, {"n": None}]}]}).assert_reply(
        "ok", {"resp": {"deep": [{"list": [1, {"n": None}]}]}}
    )
    # A Struct stands for its fields, and keys are strings.
    await room.push("point").assert_reply("ok", {"at": Point(1, 2), "of": {"1": [{"n": 1}]}})
    await room.push("reply", Point(3, 4)).assert_reply("ok", {"resp": {"x": 3, "y": 4}})


@pytest.mark.feature("B109")
async def test_a_task_replies_later(room: Room) -> None:
    pushed = room.push("async_reply", {"req": "foo"})
    await pushed.refute_reply()
    await pushed.assert_reply("ok", {"async": {"req": "foo"}})


# Broadcasts


@pytest.mark.feature("B113")
async def test_what_a_channel_broadcasts_to_others_the_test_hears(room: Room) -> None:
    await room.refute_broadcast("broadcast")
    room.push("broadcast_event", {"foo": "bar"})
    await room.assert_broadcast("broadcast", {"foo": "bar"})
    await room.refute_push("broadcast")


@pytest.mark.feature("B115")
async def test_broadcasts_are_pushed(room: Room) -> None:
    room.broadcast_from("default", {"foo": "bar"})
    await room.assert_push("default", {"foo": "bar"})
    room.broadcast_from("intercepted", {"foo": "bar"})
    await room.assert_push("intercepted", {"seen": {"foo": "bar"}})

    async def broadcast() -> None:
        room.server.endpoint.broadcast("room:1", "default", {"from": "a task"})

    async with anyio.create_task_group() as group:
        group.start_soon(broadcast)
    await room.assert_push("default", {"from": "a task"})


@pytest.mark.feature("B117")
async def test_a_message_makes_the_channel_push_and_broadcast(room: Room) -> None:
    room.server.send(("push", {"foo": "bar"}))
    await room.assert_push("info", {"foo": "bar"})
    await room.refute_broadcast("info")
    room.server.send(("broadcast", {"foo": "bar"}))
    await room.assert_broadcast("info", {"foo": "bar"})


@pytest.mark.feature("B123")
async def test_broadcasts_of_another_topic_come_as_messages(room: Room) -> None:
    room.server.endpoint.broadcast("external", "news", {"n": 1})
    await room.assert_push("external", {"n": 1})
    await room.refute_broadcast()


@pytest.mark.feature("B124")
async def test_a_message_that_nobody_handles_is_a_warning(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    room.server.send("what is this")
    await room.push("reply", 1).assert_reply()
    assert "RoomChannel has no handle_info, but got the message 'what is this'" in caplog.messages
