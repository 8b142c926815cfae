"""Channels of a client: joins that are repeated, messages, leaving, and two channels of one topic."""

import pytest
from msgspec import Raw

from phoenix_channels.protocol.client import ladder
from phoenix_channels.protocol.client_events import (
    ChannelClosed,
    ChannelErrored,
    Closed,
    JoinFailed,
    JoinSucceeded,
    JoinTimedOut,
    MessageReceived,
    OpenConnection,
    Opened,
    PushLost,
)
from phoenix_channels.protocol.client_states import ChannelState
from phoenix_channels.protocol.errors import EncodeError, LocalProtocolError
from phoenix_channels.protocol.messages import EMPTY
from tests.protocol.client_driver import ClientDriver, join, leave, opened, raw

# Joining


def test_a_join_is_sent_with_its_ref_as_join_ref_and_succeeds_with_the_reply_ok_p139_p141() -> None:
    driver = opened()
    channel = driver.join("room:1", raw({"since": 7}))
    assert (channel.state, channel.join_ref) == (ChannelState.JOINING, "1")
    assert driver.sent() == [join("1", params={"since": 7})]
    assert driver.hear_reply("1", "room:1", "ok", [1]) == [JoinSucceeded(channel, Raw(b"[1]"))]
    assert channel.state is ChannelState.JOINED
    assert driver.client.channels == [channel]
    assert driver.next() == 30


def test_the_params_may_be_bytes() -> None:
    driver = opened()
    driver.join("room:1", b"\1\2")
    assert driver.sent() == [join("1", params=b"\1\2")]


def test_a_join_before_there_is_a_connection_is_sent_when_it_opens() -> None:
    driver = ClientDriver()
    channels = [driver.join("a"), driver.join("b")]
    assert driver.sent() == []
    assert driver.open() == [OpenConnection(), Opened()]
    assert driver.sent() == [join("1", "a"), join("2", "b")]
    assert driver.hear_reply("2", "b") == [JoinSucceeded(channels[1], EMPTY)]


def test_each_join_sends_the_params_of_its_time() -> None:
    driver, asked = ClientDriver(), iter(range(1, 4))
    channel = driver.join("room:1", lambda: raw({"since": next(asked)}))
    # Who asks is told what is true when the join is sent.
    assert next(asked) == 1
    driver.open()
    assert driver.sent() == [join("1", params={"since": 2})]
    driver.hear_reply("1", channel.topic)
    driver.hear("1", "1", "room:1", "phx_error", {})
    driver.wait(1)
    assert driver.sent() == [join("2", params={"since": 3})]


def test_params_that_cannot_be_sent_are_refused_at_once_p040() -> None:
    driver = opened()
    with pytest.raises(EncodeError, match="topic of a binary message is at most 255 bytes"):
        driver.client.channel("x" * 256, b"")
    with pytest.raises(EncodeError, match="without lone surrogates"):
        driver.client.channel("\ud800")


def test_a_channel_is_joined_once() -> None:
    driver = opened()
    channel = driver.join()
    with pytest.raises(LocalProtocolError, match=r"JOIN is not legal for .*room:1.* JOINING>; legal: PUSH, LEAVE"):
        driver.client.join(channel, driver.now)
    driver.client.leave(channel, driver.now)
    driver.hear_reply("2", "room:1")
    with pytest.raises(LocalProtocolError, match=r"JOIN is not legal for .* CLOSED>; legal: LEAVE"):
        driver.client.join(channel, driver.now)


# Joining again


@pytest.mark.parametrize("status", ["error", "timeout", "no"])
def test_a_join_that_is_refused_is_repeated_for_ever_p141(status: str) -> None:
    driver = opened()
    channel = driver.join()
    driver.sent()
    for ref, pause in (("1", 1), ("2", 2), ("3", 5), ("4", 10), ("5", 10)):
        events = driver.hear_reply(ref, "room:1", status, {"reason": "full"})
        assert events == [JoinFailed(channel, status, Raw(b'{"reason": "full"}'))]
        assert (channel.state, channel.join_ref) == (ChannelState.ERRORED, None)
        assert driver.next() == pause
        assert driver.wait(pause) == []
        assert driver.sent() == [join(str(int(ref) + 1))]


def test_a_topic_that_the_server_does_not_know_is_a_refusal_although_its_join_ref_is_null() -> None:
    driver = opened()
    channel = driver.join()
    reply = {"status": "error", "response": {"reason": "unmatched topic"}}
    [failed] = driver.hear(None, "1", "room:1", "phx_reply", reply)
    assert failed == JoinFailed(channel, "error", Raw(b'{"reason": "unmatched topic"}'))


def test_a_join_without_an_answer_is_withdrawn_and_repeated_p051() -> None:
    driver = opened()
    channel = driver.join()
    driver.sent()
    assert driver.wait(9.9) == []
    assert driver.wait(0.1) == [JoinTimedOut(channel)]
    assert driver.sent() == [leave("1", "2")]
    # What the server says about that join now is of no use.
    assert driver.hear("1", "1", "room:1", "phx_reply", {"status": "ok", "response": {}}) == []
    assert driver.hear("1", "2", "room:1", "phx_reply", {"status": "ok", "response": {}}) == []
    assert driver.hear("1", "1", "room:1", "phx_close", {}) == []
    assert driver.wait(1) == []
    assert driver.sent() == [join("3")]
    assert driver.hear_reply("3", "room:1") == [JoinSucceeded(channel, EMPTY)]


def test_the_timeout_of_a_join_is_that_of_every_rejoin() -> None:
    driver = opened()
    channel = driver.client.channel("room:1")
    driver.client.join(channel, driver.now, 3)
    assert driver.wait(3) == [JoinTimedOut(channel)]
    driver.wait(1)
    assert driver.wait(3) == [JoinTimedOut(channel)]


def test_a_join_times_out_without_a_connection_too_and_is_repeated_when_there_is_one() -> None:
    driver = ClientDriver()
    channel = driver.join()
    assert driver.wait(10) == [JoinTimedOut(channel)]
    assert driver.next() is None
    driver.open()
    assert driver.sent() == [join("1")]


def test_after_a_phx_error_the_channel_joins_again_p142() -> None:
    driver = opened()
    channel = driver.joined()
    events = driver.hear("1", "1", "room:1", "phx_error", {"reason": "channel_crash"})
    assert events == [ChannelErrored(channel, Raw(b'{"reason": "channel_crash"}'))]
    assert channel.state is ChannelState.ERRORED
    driver.wait(1)
    assert driver.sent() == [join("2")]
    assert driver.hear_reply("2", "room:1") == [JoinSucceeded(channel, EMPTY)]


def test_a_phx_error_during_the_join_is_an_error_too() -> None:
    driver = opened()
    channel = driver.join()
    assert driver.hear("1", "1", "room:1", "phx_error", {}) == [ChannelErrored(channel, EMPTY)]
    assert driver.next() == 1


@pytest.mark.parametrize("success", ["join", "open"])
def test_a_success_begins_the_ladder_of_rejoins_anew(success: str) -> None:
    driver = opened()
    driver.join()
    driver.hear_reply("1", "room:1", "error")
    driver.wait(1)
    driver.hear_reply("2", "room:1", "error")
    assert driver.next() == 2
    driver.wait(2)
    if success == "join":
        driver.hear_reply("3", "room:1")
        driver.hear("3", "3", "room:1", "phx_error", {})
    else:
        driver.close()
        driver.wait(0.01)
        driver.client.opened(driver.now)
        driver.hear_reply("4", "room:1", "error")
    assert driver.next() == 1


def test_a_new_transport_does_not_wait_for_the_ladder_of_rejoins() -> None:
    driver = ClientDriver(rejoin_after=ladder(1000), reconnect_after=ladder(7))
    driver.open()
    driver.join()
    driver.hear_reply("1", "room:1", "error")
    assert driver.close() == [Closed(None)]
    driver.sent()
    assert driver.wait(7) == [OpenConnection()]
    driver.client.opened(driver.now)
    assert driver.sent() == [join("2")]


def test_without_a_transport_nothing_is_joined_again() -> None:
    driver = opened(reconnect_after=ladder(1000))
    channel = driver.join()
    driver.hear_reply("1", "room:1", "error")
    driver.close()
    assert driver.wait(999) == []
    assert channel.state is ChannelState.ERRORED


def test_a_transport_that_does_not_open_errors_the_joins_that_wait_for_it() -> None:
    driver = ClientDriver()
    channel = driver.join()
    driver.client.connect(driver.now)
    assert driver.close() == [Closed(None), ChannelErrored(channel, None)]
    driver.wait(0.01)
    driver.client.opened(driver.now)
    assert driver.sent() == [join("1")]


# Messages


def test_a_joined_channel_hears_its_pushes_and_the_broadcasts_of_its_topic_p140() -> None:
    driver = opened()
    channel = driver.joined()
    assert driver.hear("1", None, "room:1", "news", {"a": 1}) == [
        MessageReceived(channel, "news", Raw(b'{"a": 1}'), "1")
    ]
    assert driver.hear(None, None, "room:1", "news", {}) == [MessageReceived(channel, "news", EMPTY, "1")]
    assert driver.hear(None, None, "room:2", "news", {}) == []


def test_what_bears_another_join_ref_is_for_another_join_p140() -> None:
    driver = opened()
    channel = driver.joined()
    driver.hear("1", "1", "room:1", "phx_error", {})
    driver.wait(1)
    driver.hear_reply("2", "room:1")
    for event in ("news", "phx_error", "phx_close"):
        assert driver.hear("1", "1", "room:1", event, {}) == []
    assert channel.state is ChannelState.JOINED


def test_before_the_reply_to_its_join_nothing_is_meant_for_a_channel_p053() -> None:
    driver = opened()
    driver.join()
    assert driver.hear(None, None, "room:1", "news", {}) == []
    assert driver.hear("1", None, "room:1", "news", {}) == []


def test_between_two_joins_a_channel_hears_nothing() -> None:
    driver = opened()
    driver.joined()
    driver.hear("1", "1", "room:1", "phx_error", {})
    for event in ("news", "phx_error", "phx_close"):
        assert driver.hear(None, None, "room:1", event, {}) == []


def test_a_second_reply_to_a_join_is_ignored() -> None:
    driver = opened()
    channel = driver.joined()
    assert driver.hear_reply("1", "room:1") == []
    assert driver.hear_reply("1", "room:1", "error") == []
    assert driver.hear("1", None, "room:1", "phx_reply", {"status": "ok", "response": {}}) == []
    assert channel.state is ChannelState.JOINED


def test_a_phx_close_is_the_end_p142() -> None:
    driver = opened()
    channel = driver.joined()
    assert driver.hear("1", "1", "room:1", "phx_close", {}) == [ChannelClosed(channel)]
    assert (channel.state, driver.client.channels) == (ChannelState.CLOSED, [])
    assert driver.client._channels._by_topic == {}
    assert driver.hear(None, None, "room:1", "news", {}) == []
    assert driver.wait(20) == []
    assert driver.sent() == []


# Leaving


@pytest.mark.parametrize("end", ["ok", "error", "close", "phx_error", "timeout", "lost"])
def test_a_leave_is_sent_and_the_channel_closes_with_whatever_comes_first_p143(end: str) -> None:
    driver = opened()
    channel = driver.joined()
    assert driver.client.leave(channel, driver.now) == []
    assert driver.sent() == [leave("1", "2")]
    assert channel.state is ChannelState.LEAVING
    match end:
        case "close":
            events = driver.hear("1", "1", "room:1", "phx_close", {})
        case "phx_error":
            events = driver.hear("1", "1", "room:1", "phx_error", {})
        case "timeout":
            assert driver.wait(9.9) == []
            events = driver.wait(0.1)
        case "lost":
            events = driver.close()[1:]
        case status:
            events = driver.hear_reply("2", "room:1", status)
    assert events == [ChannelClosed(channel)]
    assert driver.client.channels == []
    # Nothing new about it can come.
    if end != "lost":
        assert driver.hear("1", "1", "room:1", "phx_close", {}) == []


def test_a_channel_that_leaves_hears_nothing_any_more() -> None:
    driver = opened()
    channel = driver.joined()
    driver.client.leave(channel, driver.now)
    assert driver.hear(None, None, "room:1", "news", {}) == []
    assert driver.hear("1", None, "room:1", "news", {}) == []


def test_a_join_that_is_not_answered_yet_can_be_left_and_its_answer_means_nothing() -> None:
    driver = opened()
    channel = driver.join()
    assert driver.client.leave(channel, driver.now) == []
    assert driver.sent() == [join("1"), leave("1", "2")]
    assert driver.hear_reply("1", "room:1") == []
    assert driver.hear_reply("1", "room:1", "error") == []
    assert driver.hear_reply("2", "room:1") == [ChannelClosed(channel)]


def test_where_no_server_has_to_be_told_a_leave_closes_at_once() -> None:
    offline = ClientDriver()
    waiting = offline.join()
    assert offline.client.leave(waiting, offline.now) == [ChannelClosed(waiting)]
    driver = opened()
    new = driver.client.channel("room:1")
    assert driver.client.leave(new, driver.now) == [ChannelClosed(new)]
    errored = driver.join()
    driver.hear_reply("1", "room:1", "error")
    driver.sent()
    assert driver.client.leave(errored, driver.now) == [ChannelClosed(errored)]
    assert driver.sent() == offline.sent() == []
    assert driver.wait(20) == []


def test_to_leave_twice_is_to_leave_once() -> None:
    driver = opened()
    channel = driver.joined()
    driver.client.leave(channel, driver.now)
    assert driver.client.leave(channel, driver.now, 1) == []
    assert driver.sent() == [leave("1", "2")]
    assert driver.wait(9) == []
    driver.hear_reply("2", "room:1")
    assert driver.client.leave(channel, driver.now) == []
    assert driver.next() == 21


def test_the_timeout_of_a_leave_is_the_channels_or_its_own() -> None:
    driver = opened(timeout=4)
    first, second = driver.joined("a"), driver.joined("b")
    driver.client.leave(first, driver.now)
    driver.client.leave(second, driver.now, 6)
    assert driver.wait(4) == [ChannelClosed(first)]
    assert driver.wait(2) == [ChannelClosed(second)]


# Two channels of one topic


def test_who_joins_a_topic_has_it_and_another_channel_leaves_it_first_p143() -> None:
    driver = opened()
    old = driver.joined()
    new = driver.client.channel("room:1")
    assert driver.client.join(new, driver.now) == []
    assert driver.sent() == [leave("1", "2"), join("3")]
    assert (old.state, new.state) == (ChannelState.LEAVING, ChannelState.JOINING)
    assert driver.hear("1", "2", "room:1", "phx_reply", {"status": "ok", "response": {}}) == [ChannelClosed(old)]
    assert driver.hear("1", "1", "room:1", "phx_close", {}) == []
    reply = {"status": "ok", "response": {}}
    assert driver.hear("3", "3", "room:1", "phx_reply", reply) == [JoinSucceeded(new, EMPTY)]
    assert driver.hear(None, None, "room:1", "news", {}) == [MessageReceived(new, "news", EMPTY, "3")]


def test_a_channel_that_waits_for_a_connection_gives_way_at_once() -> None:
    driver = ClientDriver()
    old = driver.join()
    pushed = driver.client.push(old, "e", EMPTY, driver.now)
    new = driver.client.channel("room:1")
    assert driver.client.join(new, driver.now) == [ChannelClosed(old), PushLost(pushed)]
    driver.open()
    assert driver.sent() == [join("1")]
    assert driver.client.channels == [new]


def test_a_channel_that_comes_back_takes_its_topic_from_who_has_it_meanwhile() -> None:
    driver = opened()
    old = driver.join()
    driver.hear_reply("1", "room:1", "error")
    new = driver.client.channel("room:1")
    assert driver.client.join(new, driver.now) == []
    assert old.state is ChannelState.ERRORED
    driver.sent()
    driver.wait(1)
    assert driver.sent() == [leave("2", "3"), join("4")]
    assert (old.state, new.state) == (ChannelState.JOINING, ChannelState.LEAVING)
