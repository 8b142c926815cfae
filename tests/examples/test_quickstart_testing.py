"""The channels of two guides, as the guide to testing tests them."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from examples.quickstart.guides import background_work, intercept_and_info
from phoenix_channels.testing import ChannelCase, ConnectedSocket, connect, fake_clock, subscribe


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return fake_clock(request.param)


# Start: without
async def test_who_is_blocked_is_not_heard() -> None:
    async with connect(intercept_and_info.endpoint, {"user": "ada", "blocked": "grace"}) as socket:
        room = await socket.join("room:lobby")
        for user in ("grace", "linus"):
            room.broadcast_from("new_message", {"body": "hi", "from": user})
        await room.assert_push("new_message", {"from": "linus"})
        await room.refute_push("new_message")


# End: without


# Start: broadcasts
async def test_a_message_is_for_the_whole_room() -> None:
    endpoint = intercept_and_info.endpoint
    async with connect(endpoint, {"user": "ada"}) as socket, subscribe(endpoint, "room:lobby") as observer:
        room = await socket.join("room:lobby")
        room.push("new_message", {"body": "hello"})
        await room.assert_broadcast("new_message", {"body": "hello", "from": "ada"})
        await observer.assert_broadcast("new_message", {"from": "ada"})


# End: broadcasts


# Start: time
async def test_a_question_is_open_for_ten_seconds() -> None:
    async with connect(background_work.endpoint) as socket:
        quiz = await socket.join("quiz:1")
        await quiz.assert_push("question", {"text": str})
        await quiz.refute_push("over", timeout=9.9)
        await quiz.assert_push("over", {"reason": "too late"}, timeout=0.2)


async def test_an_answer_stops_the_clock() -> None:
    async with connect(background_work.endpoint) as socket:
        quiz = await socket.join("quiz:1")
        await anyio.sleep(9)
        await quiz.push("answer", "phoenix").assert_reply("ok", {"right": True})
        await quiz.refute_push("over", timeout=3600)


# End: time


# Start: crash
async def test_an_event_that_nobody_knows_ends_the_channel() -> None:
    async with connect(background_work.endpoint) as socket:
        quiz = await socket.join("quiz:1")
        with quiz.expect_crash(LookupError, match="no handler for the event 'guess'"):
            quiz.push("guess", {})
            await quiz.assert_errored()


# End: crash


# Start: patterns
async def test_what_a_pattern_may_be() -> None:
    async with connect(background_work.endpoint) as socket:
        report = await socket.join("report")
        pushed = report.push("report", 3)
        await report.assert_push("progress", {"page": 2})
        await report.assert_push("progress", {"page": lambda page: page > 1})
        assert await report.assert_push("progress", {"page": int}) == {"page": 1}
        await pushed.assert_reply("ok", {"pages": 3})


# End: patterns


# Start: terminate
async def test_what_was_answered_is_saved() -> None:
    background_work.SAVED.clear()
    async with connect(background_work.endpoint) as socket:
        quiz = await socket.join("quiz:1", channel_class=background_work.QuizChannel)
        assert quiz.server.timer is not None
        await quiz.leave().assert_reply()
        await quiz.assert_closed()
        await socket.join("quiz:2")
    # The end of the block has waited for this.
    assert background_work.SAVED == [("quiz:1", ("shutdown", "left")), ("quiz:2", ("shutdown", "closed"))]


# End: terminate


async def test_the_dashboard_ticks_and_repeats_what_is_said() -> None:
    endpoint = intercept_and_info.endpoint
    async with connect(endpoint, {"user": "ada"}) as socket:
        dashboard = await socket.join("dashboard")
        await dashboard.push("watch", "lobby").assert_reply()
        said = {"body": "hi", "from": "grace"}
        endpoint.broadcast("room:lobby", "renamed", {})
        endpoint.broadcast("room:lobby", "new_message", said)
        assert await dashboard.assert_push("said") == {"room": "lobby", **said}
        await dashboard.push("unwatch", "lobby").assert_reply()
        endpoint.broadcast("room:lobby", "new_message", said)
        await dashboard.refute_push("said")
        await anyio.sleep(10)
        for ticks in range(1, 11):
            await dashboard.assert_push("clock", {"ticks": ticks})


# Start: own fixture
@pytest.fixture
async def ada() -> Any:
    async with ChannelCase(intercept_and_info.endpoint) as case:
        yield await case.connect({"user": "ada"})


async def test_who_is_kicked_is_gone(ada: ConnectedSocket) -> None:
    room = await ada.join("room:lobby")
    room.push("kick", {"user": "grace"})
    room.push("kick", {"user": "ada"})
    await room.assert_push("kicked")
    await room.assert_closed()


# End: own fixture
