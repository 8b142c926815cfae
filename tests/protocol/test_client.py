"""The connection of a client: transports that come and go, heartbeats, and reports that cannot be."""

import math
from typing import Any

import pytest
from msgspec import Raw

from phoenix_channels.protocol.client import RECONNECT_AFTER, REJOIN_AFTER, ClientConnection, ladder
from phoenix_channels.protocol.client_events import (
    ChannelErrored,
    CloseConnection,
    Closed,
    OpenConnection,
    Opened,
)
from phoenix_channels.protocol.client_states import ChannelState, ConnectionState
from phoenix_channels.protocol.errors import LocalProtocolError, RemoteProtocolError
from phoenix_channels.protocol.messages import Opcode
from tests.protocol.client_driver import ClientDriver, opened

HEARTBEAT: tuple[Any, ...] = (None, "1", "phoenix", "heartbeat", {})


def heartbeat_answered(driver: ClientDriver, ref: str) -> None:
    assert driver.hear(None, ref, "phoenix", "phx_reply", {"status": "ok", "response": {}}) == []


# What is wanted


def test_to_connect_is_to_ask_for_a_transport_and_to_be_told_that_it_is_open() -> None:
    driver = ClientDriver()
    states = [driver.client.state]
    assert driver.client.connect(0) == [OpenConnection()]
    states.append(driver.client.state)
    assert driver.client.opened(0) == [Opened()]
    states.append(driver.client.state)
    assert states == [ConnectionState.IDLE, ConnectionState.CONNECTING, ConnectionState.OPEN]
    assert driver.sent() == []


def test_who_is_connected_already_asks_for_no_second_transport() -> None:
    driver = ClientDriver()
    assert driver.client.connect(0) == [OpenConnection()]
    assert driver.client.connect(0) == []
    driver.client.opened(0)
    assert driver.client.connect(0) == []
    driver.close(1012)
    assert driver.client.connect(0) == []


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4000, "done")])
def test_to_disconnect_is_to_close_and_to_stay_away(code: int, reason: str) -> None:
    driver = opened()
    assert driver.client.disconnect(driver.now, code, reason) == [CloseConnection(code, reason)]
    assert driver.client.disconnect(driver.now) == []
    assert driver.close(code) == [Closed(code)]
    assert driver.client.state is ConnectionState.IDLE
    assert driver.client.next_deadline() is None
    assert driver.client.disconnect(driver.now) == []


def test_a_transport_that_is_not_open_yet_is_given_up_even_if_it_opens_after_all() -> None:
    driver = ClientDriver()
    driver.client.connect(0)
    assert driver.client.disconnect(0) == [CloseConnection(1000, "")]
    assert driver.client.opened(0) == []
    assert driver.close(None) == [Closed(None)]
    assert driver.client.state is ConnectionState.IDLE


def test_to_disconnect_while_waiting_ends_the_waiting() -> None:
    driver = opened()
    driver.close()
    assert driver.client.disconnect(driver.now) == []
    assert (driver.client.state, driver.next()) == (ConnectionState.IDLE, None)


def test_to_connect_while_closing_opens_the_next_transport_when_the_last_one_is_closed() -> None:
    driver = opened()
    driver.client.disconnect(driver.now)
    assert driver.client.connect(driver.now) == []
    assert driver.close(1000) == [Closed(1000), OpenConnection()]


def test_of_disconnect_and_connect_the_last_one_counts() -> None:
    driver = opened()
    driver.client.disconnect(driver.now)
    driver.client.connect(driver.now)
    assert driver.client.disconnect(driver.now) == []
    assert driver.close(1000) == [Closed(1000)]
    assert driver.next() is None


# The ladder


def test_the_ladders_are_those_of_phoenix_js_p137() -> None:
    reconnects = [0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1, 2, 5, 5, 5]
    assert [RECONNECT_AFTER(tries) for tries in range(1, 13)] == reconnects
    assert [REJOIN_AFTER(tries) for tries in range(1, 7)] == [1, 2, 5, 10, 10, 10]
    assert [ladder(7)(tries) for tries in (1, 2)] == [7, 7]


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 4000, None])
def test_a_close_that_was_not_asked_for_is_followed_by_the_next_transport_whatever_its_code_p145(
    code: int | None,
) -> None:
    driver = opened()
    assert driver.close(code) == [Closed(code)]
    assert (driver.client.state, driver.next()) == (ConnectionState.WAITING, 0.01)
    assert driver.wait(0.009) == []
    assert driver.wait(0.001) == [OpenConnection()]


def test_each_transport_that_does_not_open_is_a_step_of_the_ladder_and_one_that_does_begins_it_anew() -> None:
    driver = ClientDriver(reconnect_after=lambda tries: 10 * tries)
    driver.client.connect(driver.now)
    for step in (10, 20, 30):
        assert driver.close(None) == [Closed(None)]
        assert driver.next() == step
        assert driver.wait(step) == [OpenConnection()]
    driver.client.opened(driver.now)
    driver.close(None)
    assert driver.next() == 10


def test_after_a_transport_was_closed_for_what_it_brought_the_ladder_goes_on_until_a_heartbeat_is_answered() -> None:
    driver = opened(reconnect_after=lambda tries: 10 * tries)
    for step in (10, 20, 30):
        # The same message is waiting for us each time.
        driver.close(1007, refused=True)
        assert driver.next() == step
        assert driver.wait(step) == [OpenConnection()]
        driver.client.opened(driver.now)
        driver.hear(None, None, "room:1", "news", {})
    driver.close(1012)
    assert driver.next() == 40
    driver.wait(40)
    driver.client.opened(driver.now)
    driver.wait(30)
    heartbeat_answered(driver, "1")
    for step in (10, 10):
        driver.close(1012)
        assert driver.next() == step
        driver.wait(step)
        driver.client.opened(driver.now)


def test_who_disconnects_begins_the_ladder_anew() -> None:
    driver = ClientDriver(reconnect_after=lambda tries: 10 * tries)
    driver.client.connect(driver.now)
    driver.close(None)
    driver.wait(10)
    driver.close(None)
    assert driver.next() == 20
    driver.client.disconnect(driver.now)
    driver.client.connect(driver.now)
    driver.client.opened(driver.now)
    driver.close(None, refused=True)
    assert driver.next() == 10
    driver.client.disconnect(driver.now)
    driver.client.connect(driver.now)
    driver.client.opened(driver.now)
    driver.close(None)
    driver.wait(10)
    driver.client.opened(driver.now)
    driver.close(None)
    assert driver.next() == 10


# Heartbeats


def test_a_heartbeat_follows_the_opening_and_the_answer_to_the_last_one_p137() -> None:
    driver = opened()
    assert driver.wait(29.9) == []
    assert driver.sent() == []
    driver.wait(0.1)
    assert driver.sent() == [HEARTBEAT]
    driver.wait(20)
    heartbeat_answered(driver, "1")
    driver.wait(29)
    assert driver.sent() == []
    driver.wait(1)
    assert driver.sent() == [(None, "2", "phoenix", "heartbeat", {})]


def test_other_messages_are_no_answer_to_a_heartbeat() -> None:
    driver = opened()
    driver.wait(30)
    driver.hear(None, None, "room:1", "news", {})
    heartbeat_answered(driver, "7")
    assert driver.wait(30) == [CloseConnection(1000, "heartbeat timeout")]


def test_without_an_answer_the_transport_is_closed_and_another_one_opened_p137() -> None:
    driver = opened()
    channel = driver.joined()
    driver.wait(30)
    assert driver.wait(29.9) == []
    assert driver.wait(0.1) == [CloseConnection(1000, "heartbeat timeout"), ChannelErrored(channel, None)]
    assert (driver.client.state, driver.next()) == (ConnectionState.RESTARTING, None)
    assert driver.close(1000) == [Closed(1000)]
    assert driver.next() == 0.01


def test_a_late_answer_to_a_heartbeat_starts_nothing() -> None:
    driver = opened()
    driver.wait(60)
    heartbeat_answered(driver, "1")
    assert driver.next() is None
    driver.close()
    driver.wait(0.01)
    driver.client.opened(driver.now)
    heartbeat_answered(driver, "1")
    assert driver.next() == 30


def test_each_transport_has_heartbeats_of_its_own() -> None:
    driver = opened()
    driver.wait(30)
    driver.close()
    driver.wait(0.01)
    driver.client.opened(driver.now)
    driver.sent()
    assert driver.wait(30) == []
    assert driver.sent() == [(None, "2", "phoenix", "heartbeat", {})]


def test_there_are_no_heartbeats_without_a_transport() -> None:
    driver = opened()
    driver.client.disconnect(driver.now)
    assert driver.next() is None
    driver.close(1000)
    assert driver.wait(100) == []
    assert driver.sent() == []


def test_both_times_of_the_heartbeat_are_options() -> None:
    driver = opened(heartbeat_interval=5, heartbeat_timeout=2)
    assert driver.wait(6.9) == []
    assert driver.sent() == [HEARTBEAT]
    assert driver.wait(0.1) == [CloseConnection(1000, "heartbeat timeout")]


# Messages and frames


@pytest.mark.parametrize("topic", ["room:1", "phoenix", ""])
def test_messages_for_nobody_are_ignored(topic: str) -> None:
    driver = opened()
    assert driver.hear(None, None, topic, "news", {}) == []
    assert driver.hear("1", "1", topic, "phx_reply", {"status": "ok", "response": {}}) == []
    assert driver.hear("1", "1", topic, "phx_close", {}) == []


def test_a_malformed_message_is_an_error_that_says_how_to_close() -> None:
    driver = opened()
    with pytest.raises(RemoteProtocolError) as caught:
        driver.client.receive("[", Opcode.TEXT, driver.now)
    assert caught.value.close_code == 1007
    assert driver.close(1007) == [Closed(1007)]
    assert driver.next() == 0.01


@pytest.mark.parametrize("again", [False, True])
def test_what_comes_while_we_close_is_not_even_read(again: bool) -> None:
    driver = opened()
    driver.joined()
    driver.client.disconnect(driver.now)
    if again:
        driver.client.connect(driver.now)
    assert driver.hear(None, None, "room:1", "news", {}) == []
    assert driver.client.receive("[", Opcode.TEXT, driver.now) == []


def test_frames_that_were_not_fetched_in_time_are_not_for_the_next_transport() -> None:
    driver = opened()
    driver.join()
    driver.close()
    assert driver.sent() == []
    driver.wait(0.01)
    driver.client.opened(driver.now)
    assert [message[:4] for message in driver.sent()] == [("2", "2", "room:1", "phx_join")]


def test_frames_are_fetched_once() -> None:
    driver = opened()
    driver.join()
    assert len(driver.sent()) == 1
    assert driver.sent() == []


# All channels at once


def test_a_lost_transport_errors_every_channel_that_is_or_wants_to_be_joined_p146() -> None:
    driver = opened()
    joined, joining, left = driver.joined("a"), driver.join("b"), driver.join("c")
    driver.client.leave(left, driver.now)
    refused = driver.join("d")
    driver.hear_reply("5", "d", "error")
    events = driver.close(1006)
    assert events[:3] == [Closed(1006), ChannelErrored(joined, None), ChannelErrored(joining, None)]
    states = {channel.topic: channel.state for channel in (joined, joining, left, refused)}
    errored, closed = ChannelState.ERRORED, ChannelState.CLOSED
    assert states == {"a": errored, "b": errored, "c": closed, "d": errored}
    # Nothing is to be done for any of them before there is another transport.
    assert driver.next() == 0.01
    driver.wait(0.01)
    driver.sent()
    driver.client.opened(driver.now)
    assert [message[2:4] for message in driver.sent()] == [("a", "phx_join"), ("b", "phx_join"), ("d", "phx_join")]


def test_to_disconnect_errors_the_channels_which_come_back_with_connect() -> None:
    driver = opened()
    channel = driver.joined()
    assert driver.client.disconnect(driver.now) == [CloseConnection(1000, ""), ChannelErrored(channel, None)]
    driver.close(1000)
    assert driver.wait(1000) == []
    driver.open()
    assert [message[:4] for message in driver.sent()] == [("2", "2", "room:1", "phx_join")]


# What cannot be


def test_a_transport_that_nobody_asked_for_cannot_open() -> None:
    driver = ClientDriver()
    with pytest.raises(LocalProtocolError, match="OPENED cannot be while the connection is IDLE; CONNECT, DISCONNECT"):
        driver.client.opened(0)
    driver.open()
    with pytest.raises(LocalProtocolError, match="OPENED cannot be while the connection is OPEN"):
        driver.client.opened(0)
    driver.close()
    with pytest.raises(LocalProtocolError, match="OPENED cannot be while the connection is WAITING"):
        driver.client.opened(0)


def test_what_is_not_there_cannot_close() -> None:
    driver = ClientDriver()
    with pytest.raises(LocalProtocolError, match="CLOSED cannot be while the connection is IDLE"):
        driver.close()
    driver.open()
    driver.close()
    with pytest.raises(LocalProtocolError, match="CLOSED cannot be while the connection is WAITING"):
        driver.close()
    # The error has changed nothing.
    assert driver.next() == 0.01


def test_no_message_comes_without_a_transport() -> None:
    driver = ClientDriver()
    for _ in range(2):
        with pytest.raises(LocalProtocolError, match="MESSAGE cannot be while the connection is"):
            driver.hear(None, None, "room:1", "news", {})
        driver.client.connect(0)


OPTIONS = ["timeout", "heartbeat_interval", "heartbeat_timeout", "max_buffered_bytes"]


@pytest.mark.parametrize("value", [0, -1, math.nan])
@pytest.mark.parametrize("option", OPTIONS)
def test_times_and_sizes_are_positive(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{option} is a positive number, not {value!r}"):
        ClientConnection(**{option: value})


def test_the_timeout_of_each_command_is_positive_too() -> None:
    driver = opened()
    channel = driver.client.channel("room:1")
    with pytest.raises(ValueError, match="timeout is a positive number, not 0"):
        driver.client.join(channel, driver.now, 0)
    driver.client.join(channel, driver.now)
    with pytest.raises(ValueError, match="timeout is a positive number, not -1"):
        driver.client.push(channel, "e", Raw(b"{}"), driver.now, -1)
    with pytest.raises(ValueError, match="timeout is a positive number, not -1"):
        driver.client.leave(channel, driver.now, -1)
    assert len(driver.sent()) == 1
    assert channel.state is ChannelState.JOINING
