"""The tables themselves; what they do is tested with the connection."""

from phoenix_channels.protocol.states import CLIENT, COMMAND, Action, Command, Input, State

HOLDS_ITS_TOPIC = {State.JOINING, State.JOINED, State.LEAVING}


def test_every_input_of_a_client_has_an_answer_in_every_state_that_holds_a_topic() -> None:
    assert set(CLIENT) == HOLDS_ITS_TOPIC
    for row in CLIENT.values():
        assert set(row) == set(Input)


def test_every_state_has_its_commands() -> None:
    assert set(COMMAND) == set(State)
    assert {command for row in COMMAND.values() for command in row} == set(Command)


def test_nothing_is_lost_while_a_join_is_being_decided() -> None:
    assert set(CLIENT[State.JOINING].values()) == {Action.WAIT}


def test_a_joined_channel_never_drops_and_never_waits() -> None:
    assert set(CLIENT[State.JOINED].values()) == {Action.REPLACE, Action.LEAVE, Action.DELIVER}


def test_a_leaving_channel_answers_nothing_but_a_new_join_waits_p059_p064() -> None:
    assert CLIENT[State.LEAVING] == {Input.JOIN: Action.WAIT, Input.LEAVE: Action.DROP, Input.PUSH: Action.DROP}


def test_a_join_is_decided_once() -> None:
    deciding = {Command.ACCEPT, Command.REFUSE}
    assert set(COMMAND[State.JOINING]) == deciding
    for state in set(State) - {State.JOINING}:
        assert not deciding & set(COMMAND[state])


def test_no_way_leads_back() -> None:
    for state, row in COMMAND.items():
        assert all(following >= state for following in row.values())


def test_neither_a_push_nor_a_reply_moves_anything_p062_p063() -> None:
    for state, row in COMMAND.items():
        for command in (Command.PUSH, Command.REPLY):
            assert row.get(command, state) is state


def reachable(start: State) -> set[State]:
    reached, new = set[State](), {start}
    while new:
        reached |= new
        new = {following for state in new for following in COMMAND[state].values()} - reached
    return reached


def test_every_state_is_reached_and_every_one_can_end() -> None:
    assert reachable(State.JOINING) == set(State)
    for state in State:
        assert reachable(state) & {State.CLOSED, State.REFUSED}


def test_after_the_end_only_late_replies_and_none_for_a_refused_join_p062() -> None:
    assert set(COMMAND[State.CLOSED]) == {Command.REPLY}
    assert set(COMMAND[State.REFUSED]) == set()


def test_only_a_close_leaves_terminate_something_to_push_p064_p066() -> None:
    ways = {(state, command) for state, row in COMMAND.items() for command in row if row[command] is State.TERMINATING}
    ways = {(state, command) for state, command in ways if state is not State.TERMINATING}
    assert ways == {(State.JOINED, Command.CLOSE), (State.LEAVING, Command.CLOSE)}
