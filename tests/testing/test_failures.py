"""What a failing assert says: what was wanted, and what arrived instead."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from textwrap import dedent

import pytest

from phoenix_channels.testing import ConnectedSocket, JoinedChannel, connect
from tests.testing.app import Shout, UserSocket, make_endpoint


@pytest.fixture
async def socket() -> AsyncGenerator[ConnectedSocket[UserSocket]]:
    async with connect(make_endpoint(), {"user": "21"}, socket_class=UserSocket) as socket:
        yield socket


@pytest.fixture
async def room(socket: ConnectedSocket[UserSocket]) -> JoinedChannel:
    return await socket.join("room:1")


def tell(room: JoinedChannel, event: str, payload: object) -> None:
    room.push("tell", {"event": event, "payload": payload})


def text_of(failure: pytest.ExceptionInfo[AssertionError]) -> str:
    return str(failure.value)


async def test_a_push_that_does_not_come(room: JoinedChannel) -> None:
    tell(room, "unread", {"unread": 3})
    tell(room, "news", {"body": "ho", "id": 1})
    tell(room, "news", {"body": "hi", "id": "2"})
    with pytest.raises(AssertionError) as failure:
        await room.assert_push("news", {"body": "hi", "id": int}, timeout=30)
    assert text_of(failure) == dedent(
        """\
        no push 'news' on 'room:1' within 30 s
          wanted: {'body': 'hi', 'id': int}
          arrived instead, newest last:
            'unread' {'unread': 3}
            'news' {'body': 'ho', 'id': 1}  <- $.body is 'ho', not 'hi'
            'news' {'body': 'hi', 'id': '2'}  <- $.id is '2', no int"""
    )


async def test_nothing_at_all_comes(room: JoinedChannel) -> None:
    with pytest.raises(AssertionError) as failure:
        await room.assert_push("news", timeout=0.5)
    assert text_of(failure) == "no push 'news' on 'room:1' within 0.5 s\n  nothing arrived instead"


async def test_what_was_asserted_before_is_not_there_any_more(room: JoinedChannel) -> None:
    tell(room, "news", {})
    await room.assert_push("news")
    with pytest.raises(AssertionError) as failure:
        await room.assert_push("news", Shout("hi"))
    assert text_of(failure) == dedent(
        """\
        no push 'news' on 'room:1' within 1 s
          wanted: Shout(body='hi', loud=False)
          nothing arrived instead (what came before, 1, was asserted)"""
    )


async def test_much_and_long_is_cut(room: JoinedChannel) -> None:
    for number in range(25):
        tell(room, "n", {"n": number, "pad": "x" * 1000})
    with pytest.raises(AssertionError) as failure:
        await room.assert_push("news")
    lines = text_of(failure).splitlines()
    assert lines[1:3] == ["  arrived instead, newest last:", "    ... 5 more, and then"]
    assert lines[3].startswith("    'n' {'n': 5, 'pad': 'xxx")
    assert lines[3].endswith("x...")
    assert len(lines) == 23
    assert max(map(len, lines)) < 600


async def test_a_reply_that_does_not_come(room: JoinedChannel) -> None:
    pushed = room.push("status", "busy")
    with pytest.raises(AssertionError) as failure:
        await pushed.assert_reply("ok", {"id": int})
    assert text_of(failure) == dedent(
        """\
        no reply 'ok' to 'status' on 'room:1' within 1 s
          wanted: {'id': int}
          arrived instead, newest last:
            'busy' {'status': 'busy'}"""
    )


async def test_a_broadcast_that_does_not_come(socket: ConnectedSocket[UserSocket], room: JoinedChannel) -> None:
    socket.endpoint.broadcast("users:21", "hello", b"\x01")
    with pytest.raises(AssertionError) as failure:
        await socket.assert_broadcast("disconnect")
    assert text_of(failure) == dedent(
        """\
        no broadcast 'disconnect' on 'users:21' within 1 s
          arrived instead, newest last:
            'hello' b'\\x01'"""
    )
    with pytest.raises(AssertionError, match="no broadcast 'news' on 'room:1' within 1 s"):
        await room.assert_broadcast("news")


async def test_something_comes_that_was_refuted(socket: ConnectedSocket[UserSocket], room: JoinedChannel) -> None:
    tell(room, "news", {"id": 1})
    with pytest.raises(AssertionError) as failure:
        await room.refute_push("news", {"id": int})
    assert text_of(failure) == "a push on 'room:1' that was refuted: 'news' {'id': 1}\n  refuted: {'id': int}"
    with pytest.raises(AssertionError) as failure:
        await room.refute_push()
    assert text_of(failure) == "a push on 'room:1' that was refuted: 'news' {'id': 1}"
    pushed = room.push("echo", 7)
    with pytest.raises(AssertionError, match="a reply to 'echo' on 'room:1' that was refuted: 'ok' 7"):
        await pushed.refute_reply()
    room.push("remind", 5)
    with pytest.raises(AssertionError, match="that was refuted: 'info' "):
        await room.refute_push("info", timeout=10)
    socket.endpoint.broadcast("room:1", "hello", {})
    with pytest.raises(AssertionError, match=r"a broadcast on 'room:1' that was refuted: 'hello' {}"):
        await room.refute_broadcast()


async def test_a_channel_that_does_not_end(room: JoinedChannel) -> None:
    with pytest.raises(AssertionError, match=r"the channel on 'room:1' has not closed \(no 'phx_close'\) within 1 s"):
        await room.assert_closed()
    room.leave()
    with pytest.raises(
        AssertionError, match=r"the channel on 'room:1' has not errored \(no 'phx_error'\) within 1 s"
    ) as failure:
        await room.assert_errored()
    assert "    'phx_close' {}" in text_of(failure)


async def test_an_end_that_takes_too_long(socket: ConnectedSocket[UserSocket]) -> None:
    """Longer than the assert waits, and shorter than a channel may take."""
    room, other = await socket.join("room:slow end"), await socket.join("room:1")
    room.leave()
    with pytest.raises(
        AssertionError, match=r"^the channel on 'room:slow end' has closed, but terminate is not over within 1 s$"
    ):
        await room.assert_closed()
    await socket.join("room:slow end", timeout=3)
    await socket.endpoint.disconnect("users:21")
    with pytest.raises(AssertionError, match="connection with 1001, but not all channels are over within 1 s"):
        await socket.assert_closed(1001)
    await socket.assert_closed(1001, timeout=2)
    with pytest.raises(
        AssertionError, match=r"the channel on 'room:1' has not closed \(no 'phx_close'\) because the server has closed"
    ):
        await other.assert_closed()


async def test_a_connection_that_is_over_brings_nothing_more_and_nobody_waits(
    socket: ConnectedSocket[UserSocket], room: JoinedChannel
) -> None:
    with pytest.raises(AssertionError, match=r"^the server has not closed the connection within 1 s$"):
        await socket.assert_closed()
    tell(room, "last", {})
    await socket.endpoint.disconnect("users:21")
    with pytest.raises(AssertionError) as failure:
        await room.assert_push("news", timeout=float("inf"))
    assert text_of(failure).splitlines()[0] == (
        "no push 'news' on 'room:1' because the server has closed the connection with 1001"
    )
    with pytest.raises(AssertionError, match="no reply to 'phx_join' on 'room:2' because the server has closed"):
        await socket.join("room:2", timeout=float("inf"))
    await room.refute_push("news", timeout=float("inf"))
    # Of broadcasts one may still hear.
    with pytest.raises(AssertionError, match="no broadcast 'news' on 'room:1' within 1 s"):
        await room.assert_broadcast("news")


async def test_the_test_itself_has_closed_the_connection(
    socket: ConnectedSocket[UserSocket], room: JoinedChannel
) -> None:
    await socket.close()
    with pytest.raises(AssertionError, match="not closed the connection: the test has closed the connection"):
        await socket.assert_closed()
    with pytest.raises(
        AssertionError, match=r"the channel on 'room:1' has not closed \(no 'phx_close'\) because the test has closed"
    ):
        await room.assert_closed(timeout=float("inf"))


async def test_a_pattern_that_can_match_nothing_is_an_error_before_anything_arrives(room: JoinedChannel) -> None:
    with pytest.raises(TypeError, match="the pattern Shout matches nothing"):
        await room.assert_push("news", {"in": Shout})
    with pytest.raises(TypeError, match="the pattern Shout matches nothing"):
        await room.refute_push("news", Shout)
