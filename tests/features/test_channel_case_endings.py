"""How channels end in a test (B110 to B112, B116, B119 to B121)."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from phoenix_channels import Endpoint
from phoenix_channels.testing import ChannelCase, ChannelCrashed, ConnectedSocket, JoinedChannel, fake_clock
from tests.features.channel_case import RoomChannel, make_endpoint

Room = JoinedChannel[RoomChannel]


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return fake_clock(request.param)


@pytest.fixture
def phoenix_endpoint() -> Endpoint:
    return make_endpoint()


@pytest.fixture
async def socket(phoenix: ChannelCase) -> ConnectedSocket:
    return await phoenix.connect()


@pytest.fixture
async def room(socket: ConnectedSocket) -> Room:
    return await socket.join("room:1", channel_class=RoomChannel)


@pytest.mark.feature("B110")
async def test_a_crash_terminates_and_is_told_and_is_no_graceful_close(room: Room) -> None:
    room.push("crash")
    with pytest.raises(ChannelCrashed) as crashed:
        await room.refute_push("phx_close")
    await room.assert_errored()
    await room.refute_push("phx_close")
    assert room.server.ended == [crashed.value.__cause__]


@pytest.mark.feature("B111")
async def test_a_stop_is_a_graceful_close_and_later_pushes_are_harmless(room: Room) -> None:
    room.push("stop")
    await room.assert_closed()
    assert room.server.ended == ["normal"]
    await room.push("reply").assert_reply("error", {"reason": "unmatched topic"})


@pytest.mark.feature("B112")
@pytest.mark.parametrize("response", [None, {"foo": "bar"}])
async def test_a_stop_may_reply_before(room: Room, response: object) -> None:
    pushed = room.push("stop_with_reply", response)
    await pushed.assert_reply("ok", lambda got: got == (response or {}))
    await room.assert_closed()
    assert room.server.ended == ["shutdown"]


@pytest.mark.feature("B116")
async def test_an_intercepted_broadcast_stops_the_channel(room: Room) -> None:
    room.broadcast_from("intercepted", {"stop": True})
    await room.assert_closed()
    assert room.server.ended == ["shutdown"]


@pytest.mark.feature("B116")
async def test_a_message_stops_the_channel(room: Room) -> None:
    room.server.send("stop")
    await room.assert_closed()
    assert room.server.ended == ["shutdown"]


@pytest.mark.feature("B119")
async def test_a_leave_is_answered_and_leaving_again_is_harmless(room: Room) -> None:
    await room.leave().assert_reply("ok", lambda response: response == {})
    await room.assert_closed()
    assert room.server.ended == [("shutdown", "left")]
    await room.leave().assert_reply()
    assert len(room.server.ended) == 1


@pytest.mark.feature("B120")
async def test_a_close_terminates_and_again_is_harmless(socket: ConnectedSocket, room: Room) -> None:
    await socket.close()
    assert room.server.ended == [("shutdown", "closed")]
    await room.refute_push("phx_close")
    await socket.close()
    assert len(room.server.ended) == 1


@pytest.mark.feature("B121")
async def test_a_close_waits_no_longer_than_the_channel_may_take(socket: ConnectedSocket) -> None:
    room = await socket.join("room:hanging", channel_class=RoomChannel)
    room.push("hang")
    await anyio.sleep(1)
    start = anyio.current_time()
    await socket.close()
    # For the handler, and then for terminate, which is begun all the same.
    assert anyio.current_time() - start == pytest.approx(2 * RoomChannel.shutdown)
    assert room.server.ended == [("shutdown", "closed")]
    assert socket.endpoint.statistics().cut_callbacks == 2
