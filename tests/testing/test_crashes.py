"""A channel that crashes fails its test, unless that expects it."""

from __future__ import annotations

import anyio
import pytest

from phoenix_channels import Limits, telemetry
from phoenix_channels.testing import ChannelCrashed, ConnectedSocket, JoinedChannel, JoinRefused, connect
from tests.testing.app import RoomChannel, UserSocket, make_endpoint


async def test_the_assert_that_waits_tells_of_it(room: JoinedChannel[RoomChannel]) -> None:
    pushed = room.push("crash", "oh no")
    with pytest.raises(ChannelCrashed) as crashed:
        await pushed.assert_reply(timeout=float("inf"))
    assert str(crashed.value) == (
        "RoomChannel: a callback on 'room:1' crashed: ValueError('oh no')\n"
        "(a test that wants this says `with channel.expect_crash(ValueError):`)"
    )
    assert isinstance(crashed.value.__cause__, ValueError)
    (crash,) = crashed.value.crashes
    assert (crash.channel_class, crash.topic, crash.error) == (RoomChannel, "room:1", crashed.value.__cause__)
    # Once: from now on the test knows.
    await room.assert_errored()


@pytest.mark.parametrize(
    "assertion",
    ["assert_push", "refute_push", "assert_broadcast", "refute_broadcast"],
)
async def test_every_assert_tells_of_it(room: JoinedChannel[RoomChannel], assertion: str) -> None:
    room.push("tell", {"event": "event", "payload": {}})
    room.push("crash", "oh no")
    await anyio.sleep(1)
    with pytest.raises(ChannelCrashed):
        await getattr(room, assertion)("event")


async def test_so_does_the_assert_of_another_channel(
    socket: ConnectedSocket[UserSocket], room: JoinedChannel[RoomChannel]
) -> None:
    other = await socket.join("room:2")
    room.push("crash", "oh no")
    with pytest.raises(ChannelCrashed):
        await other.assert_push("event")


async def test_so_does_the_end_of_the_connection() -> None:
    async def crash() -> None:
        async with connect(make_endpoint()) as socket:
            (await socket.join("room:1")).push("crash", "oh no")
            await anyio.sleep(1)

    with pytest.raises(ChannelCrashed, match="oh no"):
        await crash()


async def test_a_crash_at_the_very_end_is_one() -> None:
    socket = await connect(make_endpoint())
    await socket.join("room:bitter end")
    with pytest.raises(ChannelCrashed, match="RoomChannel: terminate on 'room:bitter end' crashed: ValueError"):
        await socket.close()
    await socket.close()


async def test_where_the_test_has_failed_already_it_is_a_note() -> None:
    async def crash() -> None:
        async with connect(make_endpoint()) as socket:
            (await socket.join("room:1")).push("crash", "oh no")
            await anyio.sleep(1)
            raise KeyError("the test")

    with pytest.raises(KeyError) as failed:
        await crash()
    (note,) = failed.value.__notes__
    assert "ValueError('oh no')" in note


async def test_a_join_that_crashes(socket: ConnectedSocket[UserSocket]) -> None:
    with pytest.raises(ChannelCrashed, match="RoomChannel: join on 'room:broken' crashed: RuntimeError"):
        await socket.join("room:broken")
    with socket.expect_crash(RuntimeError, match="no join today"), pytest.raises(JoinRefused) as refused:
        await socket.join("room:broken")
    assert refused.value.response == {"reason": "join crashed"}


async def test_a_crash_that_is_expected(room: JoinedChannel[RoomChannel]) -> None:
    with room.expect_crash(ValueError, match="^oh ") as crash:
        with pytest.raises(
            LookupError, match="a crash of the channel on 'room:1' by ValueError that says '\\^oh ' has not"
        ):
            crash.error  # noqa: B018
        room.push("crash", "oh no")
        await room.assert_errored()
    assert isinstance(crash.error, ValueError)
    assert crash.error.args == ("oh no",)
    assert room.server.ended is crash.error


async def test_an_exception_alone_in_its_group_is_expected_by_itself(room: JoinedChannel[RoomChannel]) -> None:
    with room.expect_crash(ValueError, match="oh no") as crash:
        room.push("crash_in_a_group", "oh no")
        await room.assert_errored()
    assert isinstance(crash.error, ValueError)


async def test_any_exception_will_do(room: JoinedChannel[RoomChannel]) -> None:
    with room.expect_crash():
        room.push("crash", "oh no")
        await room.assert_errored()


async def test_an_expected_crash_that_does_not_come(
    socket: ConnectedSocket[UserSocket], room: JoinedChannel[RoomChannel]
) -> None:
    missing = "a crash of the channel on 'room:1' by ValueError was expected, and has not come"
    with pytest.raises(AssertionError, match=missing), room.expect_crash(ValueError):
        room.push("echo")
    with pytest.raises(AssertionError, match=r"^a crash by Exception was expected"), socket.expect_crash():
        pass


@pytest.mark.parametrize(("error", "match"), [(KeyError, None), (ValueError, "oh yes")])
async def test_another_crash_than_the_expected(
    room: JoinedChannel[RoomChannel], error: type[Exception], match: str | None
) -> None:
    async def expect() -> None:
        with room.expect_crash(error, match=match):
            room.push("crash", "oh no")
            await anyio.sleep(1)

    with pytest.raises(ChannelCrashed, match="oh no"):
        await expect()


async def test_the_crash_of_another_channel_than_the_expected(
    socket: ConnectedSocket[UserSocket], room: JoinedChannel[RoomChannel]
) -> None:
    other = await socket.join("room:2")

    async def expect() -> None:
        with room.expect_crash():
            other.push("crash", "oh no")
            await room.assert_errored()

    with pytest.raises(ChannelCrashed, match="'room:2'"):
        await expect()


async def test_an_earlier_crash_is_not_the_expected(room: JoinedChannel[RoomChannel]) -> None:
    room.push("crash", "oh no")
    await anyio.sleep(1)
    with pytest.raises(ChannelCrashed), room.expect_crash():
        pytest.fail("the block is not entered")


async def test_a_failure_within_the_block_is_what_fails(room: JoinedChannel[RoomChannel]) -> None:
    with pytest.raises(KeyError), room.expect_crash():
        raise KeyError


async def test_the_crash_of_another_connection_is_none_of_this(room: JoinedChannel[RoomChannel]) -> None:
    async with connect(room.server.endpoint) as other:
        with other.expect_crash():
            channel = await other.join("room:1")
            channel.push("crash", "oh no")
            await channel.assert_errored()
        await room.push("echo").assert_reply()


async def leave_by_an_error() -> None:
    async with connect(make_endpoint()):
        raise KeyError


async def test_nobody_listens_to_crashes_any_more_when_all_is_closed() -> None:
    async with connect(make_endpoint()):
        assert telemetry.attached(telemetry.CHANNEL_CRASHED)
    assert not telemetry.attached(telemetry.CHANNEL_CRASHED)
    with pytest.raises(KeyError):
        await leave_by_an_error()
    assert not telemetry.attached(telemetry.CHANNEL_CRASHED)


@pytest.mark.parametrize("then_leave", [False, True])
async def test_what_is_pushed_last_is_handled_before_the_end(then_leave: bool) -> None:
    async def crash(text: str) -> None:
        async with connect(make_endpoint()) as socket:
            channel = await socket.join("room:1")
            channel.push("crash", text)
            if then_leave:
                channel.leave()

    # Again and again: trio begins with any task.
    for number in range(10):
        with pytest.raises(ChannelCrashed, match=f"ValueError\\('number {number}'\\)"):
            await crash(f"number {number}")


async def test_all_that_was_pushed_is_handled_before_the_end_also_when_the_server_is_slow_to_read() -> None:
    socket = await connect(make_endpoint(Limits(inbound_messages=2, waiting_messages=2)))
    channel = await socket.join("room:1")
    for _ in range(10):
        channel.push("sleep", 1)
    channel.push("crash", "at last")
    with pytest.raises(ChannelCrashed, match="at last"):
        await socket.close()


async def test_a_close_that_is_cancelled_has_closed() -> None:
    endpoint = make_endpoint(Limits(inbound_messages=2, waiting_messages=2))
    socket = await connect(endpoint)
    channel = await socket.join("room:1")
    for _ in range(10):
        channel.push("sleep", 1)
    with anyio.move_on_after(3) as scope:
        await socket.close()
    assert scope.cancelled_caught
    await anyio.sleep(30)
    assert endpoint.statistics().connections == 0
    assert not telemetry.attached(telemetry.CHANNEL_CRASHED)
