"""The tables of the client themselves; what they do is tested with the client."""

from collections.abc import Mapping
from typing import TypeVar

from phoenix_channels.protocol.client_states import (
    CHANNEL,
    COMMANDS,
    CONNECTION,
    KEEPS_BUFFERED,
    KEEPS_SENT,
    LIVE,
    ChannelInput,
    ChannelState,
    ConnectionInput,
    ConnectionState,
)

S = TypeVar("S")
N = TypeVar("N")

Table = Mapping[S, Mapping[N, S]]

# There is a transport, open or not.
HAVING = LIVE | {ConnectionState.CLOSING, ConnectionState.REOPENING, ConnectionState.RESTARTING}


def reachable(table: Table[S, N], start: S, without: frozenset[N] = frozenset()) -> set[S]:
    reached, new = set[S](), {start}
    while new:
        reached |= new
        new = {after for state in new for input_, after in table[state].items() if input_ not in without} - reached
    return reached


# The connection


def test_the_connection_knows_what_to_do_in_every_state() -> None:
    assert set(CONNECTION) == set(ConnectionState)
    assert {input_ for row in CONNECTION.values() for input_ in row} == set(ConnectionInput)


def test_connecting_and_disconnecting_is_legal_at_any_time_and_twice_is_once() -> None:
    for row in CONNECTION.values():
        for wish in (ConnectionInput.CONNECT, ConnectionInput.DISCONNECT):
            assert CONNECTION[row[wish]][wish] is row[wish]


def test_a_transport_closes_where_there_is_one_and_nowhere_else() -> None:
    assert {state for state, row in CONNECTION.items() if ConnectionInput.CLOSED in row} == HAVING


def test_there_is_one_transport_at_a_time() -> None:
    # One is asked for by entering CONNECTING: from where there is none, or where the last one has just closed.
    for state, row in CONNECTION.items():
        for input_, after in row.items():
            if after is ConnectionState.CONNECTING and state is not after:
                assert state not in HAVING or input_ is ConnectionInput.CLOSED


def test_only_what_is_asked_for_opens() -> None:
    opening = {state for state, row in CONNECTION.items() if ConnectionInput.OPENED in row}
    assert opening == {ConnectionState.CONNECTING, ConnectionState.CLOSING, ConnectionState.REOPENING}
    assert CONNECTION[ConnectionState.CONNECTING][ConnectionInput.OPENED] is ConnectionState.OPEN


def test_a_close_that_nobody_asked_for_is_followed_by_the_ladder_p145() -> None:
    for state in LIVE:
        assert CONNECTION[state][ConnectionInput.CLOSED] is ConnectionState.WAITING


def test_whoever_disconnects_stays_away_until_connect() -> None:
    for row in CONNECTION.values():
        after = reachable(CONNECTION, row[ConnectionInput.DISCONNECT], frozenset({ConnectionInput.CONNECT}))
        assert after <= {ConnectionState.IDLE, ConnectionState.CLOSING}


def test_messages_change_nothing() -> None:
    for state, row in CONNECTION.items():
        assert row.get(ConnectionInput.MESSAGE, state) is state


# Channels


def test_every_input_of_a_channel_is_for_some_state() -> None:
    assert set(CHANNEL) == set(ChannelState)
    assert {input_ for row in CHANNEL.values() for input_ in row} == set(ChannelInput)


def test_a_channel_is_joined_by_its_owner_once() -> None:
    assert [state for state, row in CHANNEL.items() if ChannelInput.JOIN in row] == [ChannelState.NEW]
    for row in CHANNEL.values():
        assert ChannelState.NEW not in row.values()


def test_leaving_is_always_legal_and_twice_is_once() -> None:
    for row in CHANNEL.values():
        after = row[ChannelInput.LEAVE]
        assert after in {ChannelState.LEAVING, ChannelState.CLOSED}
        assert CHANNEL[after][ChannelInput.LEAVE] is after


def test_a_channel_that_is_left_comes_to_its_end() -> None:
    assert reachable(CHANNEL, ChannelState.LEAVING) == {ChannelState.LEAVING, ChannelState.CLOSED}
    assert reachable(CHANNEL, ChannelState.CLOSED) == {ChannelState.CLOSED}


def test_what_ends_a_join_is_an_error_for_who_wants_to_stay_and_the_end_for_who_leaves_p142_p146() -> None:
    for input_ in (ChannelInput.ERROR, ChannelInput.LOST):
        after = {state: CHANNEL[state][input_] for state in ChannelState if input_ in CHANNEL[state]}
        assert after == {
            ChannelState.JOINING: ChannelState.ERRORED,
            ChannelState.JOINED: ChannelState.ERRORED,
            ChannelState.LEAVING: ChannelState.CLOSED,
        }


def test_a_close_is_the_end_of_every_join_p142() -> None:
    for state in (ChannelState.JOINING, ChannelState.JOINED, ChannelState.LEAVING):
        assert CHANNEL[state][ChannelInput.CLOSE] is ChannelState.CLOSED


def test_only_a_joined_channel_hears_messages() -> None:
    assert [state for state, row in CHANNEL.items() if ChannelInput.MESSAGE in row] == [ChannelState.JOINED]


def test_an_errored_channel_joins_again_and_waits_for_nothing_else_from_outside() -> None:
    assert set(CHANNEL[ChannelState.ERRORED]) - COMMANDS == {ChannelInput.REJOIN}


def test_pushes_are_taken_where_one_can_be_sent_or_kept_and_move_nothing() -> None:
    assert {state for state, row in CHANNEL.items() if ChannelInput.PUSH in row} == KEEPS_BUFFERED
    for state in KEEPS_BUFFERED:
        assert CHANNEL[state][ChannelInput.PUSH] is state


def test_what_was_sent_is_kept_as_long_as_its_join_lives() -> None:
    # Whoever keeps what was sent came from JOINED without the end of the join.
    assert {ChannelState.JOINED, ChannelState.LEAVING} == KEEPS_SENT


def test_every_state_is_reached() -> None:
    assert reachable(CHANNEL, ChannelState.NEW) == set(ChannelState)
    assert reachable(CONNECTION, ConnectionState.IDLE) == set(ConnectionState)
