"""Pushes of a client: each is sent, now or later, and comes to exactly one end."""

import pytest
from msgspec import Raw

from phoenix_channels.protocol.client_events import (
    ChannelClosed,
    ChannelErrored,
    Closed,
    JoinSucceeded,
    JoinTimedOut,
    PushLost,
    PushTimedOut,
    ReplyReceived,
)
from phoenix_channels.protocol.errors import EncodeError, LocalProtocolError, PushBufferFull
from phoenix_channels.protocol.messages import EMPTY
from tests.protocol.client_driver import ClientDriver, opened, raw


def test_a_push_of_a_joined_channel_is_sent_at_once_and_answered_by_its_ref_p141() -> None:
    driver = opened()
    channel = driver.joined()
    first = driver.client.push(channel, "a", raw({"x": 1}), driver.now)
    second = driver.client.push(channel, "b", b"\1", driver.now)
    assert driver.sent() == [("1", "2", "room:1", "a", {"x": 1}), ("1", "3", "room:1", "b", b"\1")]
    assert driver.hear_reply("3", "room:1", "error", [1]) == [ReplyReceived(second, "error", Raw(b"[1]"))]
    assert driver.hear_reply("2", "room:1") == [ReplyReceived(first, "ok", EMPTY)]
    assert driver.hear_reply("2", "room:1") == []
    assert driver.next() == 30


def test_a_reply_with_a_null_join_ref_is_a_reply_p141() -> None:
    driver = opened()
    pushed = driver.client.push(driver.joined(), "a", EMPTY, driver.now)
    payload = {"status": "error", "response": {"reason": "unmatched topic"}}
    [reply] = driver.hear(None, "2", "room:1", "phx_reply", payload)
    assert reply == ReplyReceived(pushed, "error", Raw(b'{"reason": "unmatched topic"}'))


@pytest.mark.parametrize(
    ("join_ref", "ref", "topic"), [("9", "2", "room:1"), ("1", "2", "room:2"), ("1", "9", "room:1")]
)
def test_a_reply_to_something_else_is_none_to_this_push(join_ref: str, ref: str, topic: str) -> None:
    driver = opened()
    pushed = driver.client.push(driver.joined(), "a", EMPTY, driver.now)
    assert driver.hear(join_ref, ref, topic, "phx_reply", {"status": "ok", "response": {}}) == []
    assert driver.wait(10) == [PushTimedOut(pushed)]


# Before the join


def test_what_is_pushed_before_the_join_is_sent_after_it_in_order() -> None:
    driver = opened()
    channel = driver.join()
    pushed = [driver.client.push(channel, event, EMPTY, driver.now) for event in "abc"]
    assert [push.ref for push in pushed] == [None, None, None]
    driver.sent()
    assert driver.hear_reply("1", "room:1") == [JoinSucceeded(channel, EMPTY)]
    assert driver.sent() == [("1", str(ref), "room:1", event, {}) for ref, event in ((2, "a"), (3, "b"), (4, "c"))]
    assert driver.hear_reply("3", "room:1") == [ReplyReceived(pushed[1], "ok", EMPTY)]


def test_what_is_buffered_survives_errors_of_the_channel_and_the_transport_p146() -> None:
    driver = opened()
    channel = driver.join()
    driver.hear_reply("1", "room:1", "error")
    pushed = driver.client.push(channel, "a", EMPTY, driver.now)
    driver.wait(1)
    driver.close()
    driver.wait(0.01)
    driver.client.opened(driver.now)
    driver.sent()
    driver.hear_reply("3", "room:1")
    assert driver.sent() == [("3", "4", "room:1", "a", {})]
    assert driver.hear_reply("4", "room:1") == [ReplyReceived(pushed, "ok", EMPTY)]


def test_the_timeout_of_a_buffered_push_runs_and_begins_again_when_it_is_sent() -> None:
    driver = opened()
    channel = driver.join()
    late = driver.client.push(channel, "late", EMPTY, driver.now, 3)
    sent = driver.client.push(channel, "sent", EMPTY, driver.now, 6)
    assert driver.wait(3) == [PushTimedOut(late)]
    driver.wait(2)
    driver.sent()
    driver.hear_reply("1", "room:1")
    assert driver.sent() == [("1", "2", "room:1", "sent", {})]
    assert driver.wait(5.9) == []
    assert driver.wait(0.1) == [PushTimedOut(sent)]


def test_a_buffer_that_is_full_takes_nothing_more_until_there_is_room() -> None:
    driver = opened(max_buffered_bytes=2000)
    channel = driver.join()
    driver.client.push(channel, "a", b"x" * 5000, driver.now, 1)
    with pytest.raises(PushBufferFull, match="5513 bytes wait for the join of 'room:1' already"):
        driver.client.push(channel, "b", EMPTY, driver.now)
    # Each channel has a buffer of its own.
    driver.client.push(driver.join("room:2"), "c", EMPTY, driver.now)
    driver.wait(1)
    pushed = [driver.client.push(channel, "d", EMPTY, driver.now) for _ in range(4)]
    with pytest.raises(PushBufferFull):
        driver.client.push(channel, "e", EMPTY, driver.now)
    driver.hear_reply("1", "room:1")
    assert all(push.ref for push in pushed)
    assert channel.buffered_bytes == 0


def test_what_cannot_be_encoded_is_refused_at_the_call_whether_it_is_sent_or_buffered() -> None:
    driver = opened()
    joined, joining = driver.joined("a"), driver.join("b")
    driver.sent()
    for channel in (joined, joining):
        with pytest.raises(EncodeError, match="event of a binary message is at most 255 bytes"):
            driver.client.push(channel, "x" * 256, b"", driver.now)
        with pytest.raises(EncodeError, match="without lone surrogates"):
            driver.client.push(channel, "\ud800", EMPTY, driver.now)
    assert driver.sent() == []
    assert (len(joining.buffer), len(joined.sent)) == (0, 0)


# Ends


def test_a_push_without_an_answer_times_out_and_a_late_answer_is_ignored() -> None:
    driver = opened()
    channel = driver.joined()
    short = driver.client.push(channel, "a", EMPTY, driver.now, 2)
    long = driver.client.push(channel, "b", EMPTY, driver.now)
    assert driver.wait(2) == [PushTimedOut(short)]
    assert driver.hear_reply("2", "room:1") == []
    assert driver.wait(8) == [PushTimedOut(long)]
    assert driver.next() == 20


def test_the_default_timeout_is_that_of_the_join() -> None:
    driver = opened()
    channel = driver.client.channel("room:1")
    driver.client.join(channel, driver.now, 3)
    driver.hear_reply("1", "room:1")
    pushed = driver.client.push(channel, "a", EMPTY, driver.now)
    assert driver.wait(3) == [PushTimedOut(pushed)]


@pytest.mark.parametrize("end", ["phx_error", "phx_close", "lost", "disconnect"])
def test_what_was_sent_over_a_join_is_lost_when_it_ends(end: str) -> None:
    driver = opened()
    channel = driver.joined()
    pushed = driver.client.push(channel, "a", EMPTY, driver.now)
    match end:
        case "lost":
            events = driver.close()
            news = [Closed(None), ChannelErrored(channel, None)]
        case "disconnect":
            events = driver.client.disconnect(driver.now)
            news = [events[0], ChannelErrored(channel, None)]
        case event:
            events = driver.hear("1", "1", "room:1", event, {})
            news = [ChannelErrored(channel, EMPTY) if event == "phx_error" else ChannelClosed(channel)]
    assert events == [*news, PushLost(pushed)]
    assert pushed not in [event.push for event in driver.wait(20) if isinstance(event, PushTimedOut | PushLost)]


def test_what_was_sent_before_the_leave_may_still_be_answered_p064() -> None:
    driver = opened()
    channel = driver.joined()
    answered = driver.client.push(channel, "a", EMPTY, driver.now)
    lost = driver.client.push(channel, "b", EMPTY, driver.now)
    assert driver.client.leave(channel, driver.now) == []
    assert driver.hear_reply("2", "room:1") == [ReplyReceived(answered, "ok", EMPTY)]
    assert driver.hear_reply("4", "room:1") == [ChannelClosed(channel), PushLost(lost)]


def test_what_waits_for_the_join_is_lost_with_the_leave() -> None:
    driver = opened()
    channel = driver.join()
    pushed = driver.client.push(channel, "a", EMPTY, driver.now)
    assert driver.client.leave(channel, driver.now) == [PushLost(pushed)]
    assert driver.hear_reply("2", "room:1") == [ChannelClosed(channel)]


def test_a_join_that_times_out_loses_nothing() -> None:
    driver = opened()
    channel = driver.join()
    pushed = driver.client.push(channel, "a", EMPTY, driver.now, 30)
    assert driver.wait(10) == [JoinTimedOut(channel)]
    driver.wait(1)
    driver.hear_reply("3", "room:1")
    assert pushed.ref == "4"


# Pushes that want no reply


def test_a_push_that_wants_no_reply_is_forgotten_once_it_is_sent() -> None:
    driver = opened()
    channel = driver.joined()
    driver.client.push(channel, "a", EMPTY, driver.now, reply=False)
    assert driver.sent() == [("1", "2", "room:1", "a", {})]
    assert driver.hear_reply("2", "room:1") == []
    assert driver.wait(20) == []
    assert driver.close() == [Closed(None), ChannelErrored(channel, None)]


def test_a_push_that_wants_no_reply_and_is_never_sent_is_missed() -> None:
    driver = opened()
    channel = driver.join()
    late = driver.client.push(channel, "a", EMPTY, driver.now, 1, reply=False)
    sent = driver.client.push(channel, "b", EMPTY, driver.now, 3, reply=False)
    assert driver.wait(1) == [PushTimedOut(late)]
    driver.hear_reply("1", "room:1")
    assert sent.ref == "2"
    assert driver.wait(9) == []
    other = driver.join("room:2")
    lost = driver.client.push(other, "c", EMPTY, driver.now, reply=False)
    assert driver.client.leave(other, driver.now) == [PushLost(lost)]


def test_what_is_forgotten_is_not_sent_any_more_and_has_no_end() -> None:
    driver = opened(max_buffered_bytes=600)
    channel = driver.join()
    forgotten = driver.client.push(channel, "a", raw("x" * 600), driver.now)
    driver.client.forget(forgotten)
    # Its place is free.
    kept = driver.client.push(channel, "b", EMPTY, driver.now)
    driver.sent()
    driver.hear_reply("1", "room:1")
    assert driver.sent() == [("1", "2", "room:1", "b", {})]
    driver.client.forget(kept)
    assert driver.hear_reply("2", "room:1") == []
    assert driver.wait(10) == []
    driver.client.forget(kept)
    assert driver.close() == [Closed(None), ChannelErrored(channel, None)]


# Commands at the wrong time


def test_nothing_is_pushed_without_a_join() -> None:
    driver = ClientDriver()
    new = driver.client.channel("room:1")
    with pytest.raises(LocalProtocolError, match=r"PUSH is not legal for .* NEW>; legal: JOIN, LEAVE"):
        driver.client.push(new, "a", EMPTY, driver.now)
    driver.open()
    channel = driver.joined()
    driver.client.leave(channel, driver.now)
    with pytest.raises(LocalProtocolError, match=r"PUSH is not legal for .* LEAVING>; legal: LEAVE"):
        driver.client.push(channel, "a", EMPTY, driver.now)
    driver.hear_reply("2", "room:1")
    with pytest.raises(LocalProtocolError, match=r"PUSH is not legal for .* CLOSED>; legal: LEAVE"):
        driver.client.push(channel, "a", EMPTY, driver.now)


def test_handles_say_what_they_are_and_no_secrets() -> None:
    driver = opened()
    channel = driver.join("room:1", raw({"password": "secret"}))
    pushed = driver.client.push(channel, "a", raw({"password": "secret"}), driver.now)
    assert repr(channel) == "<ClientChannel 'room:1' join_ref='1' JOINING>"
    assert repr(pushed) == "<ClientPush 'a' on 'room:1' ref=None>"
