"""The states of a joined topic, as tables.

Theory
------

A connection carries many topics.  Each ``phx_join`` that finds a route makes an *entry*, and the entry lives through
these states; a topic without entry is simply not joined::

    JOINING      user code decides whether the join is accepted
    JOINED       the channel is live
    LEAVING      the channel is on its way out (its leave is queued, or it crashed and terminates)
    TERMINATING  phx_close is out, the topic is free again, terminate may still push (P-064)
    CLOSED       the end; only replies to messages of its lifetime may still go out (P-062)
    REFUSED      the join was refused or crashed: there was no lifetime

Two kinds of input move an entry.  What the **client** sends finds the entry that holds the topic, which is in one of
the first three states; ``CLIENT`` says what to do with it.  What the **driver** commands names its entry and is legal
only where ``COMMAND`` has a row; a missing row *is* the :class:`LocalProtocolError`.

Two rules explain every cell of ``CLIENT``:

* Nothing that a client sends is lost while a join is being decided: it waits, in order, and is handled as if it had
  arrived after the decision.  (Phoenix blocks the whole connection instead; P-051.)
* A channel on its way out answers nothing more (P-064, P-066), but a new join of its topic is a new life: it waits
  for the end of the old one, and so does everything behind it (P-059).

This file knows nothing of messages, refs or frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class State(IntEnum):
    """Where an entry stands."""

    JOINING = 0
    JOINED = 1
    LEAVING = 2
    TERMINATING = 3
    CLOSED = 4
    REFUSED = 5


class Input(IntEnum):
    """What a client can send to a topic that has an entry."""

    JOIN = 0
    LEAVE = 1
    PUSH = 2


class Action(IntEnum):
    """What to do with it."""

    WAIT = 0
    """Keep it until the state changes, then look again."""
    REPLACE = 1
    """Detach this entry and start a new one (P-057)."""
    LEAVE = 2
    """Ask the channel to leave, after what it still has to do (P-064)."""
    DELIVER = 3
    """Hand it to the channel."""
    DROP = 4
    """Drop it without an answer (P-064, P-066)."""


class Command(IntEnum):
    """What the driver can decide about an entry."""

    ACCEPT = 0
    REFUSE = 1
    PUSH = 2
    REPLY = 3
    STOP = 4
    CLOSE = 5
    CRASH = 6
    TERMINATED = 7
    REPLACED = 8


CLIENT: Mapping[State, Mapping[Input, Action]] = {
    State.JOINING: {Input.JOIN: Action.WAIT, Input.LEAVE: Action.WAIT, Input.PUSH: Action.WAIT},
    State.JOINED: {Input.JOIN: Action.REPLACE, Input.LEAVE: Action.LEAVE, Input.PUSH: Action.DELIVER},
    State.LEAVING: {Input.JOIN: Action.WAIT, Input.LEAVE: Action.DROP, Input.PUSH: Action.DROP},
}

COMMAND: Mapping[State, Mapping[Command, State]] = {
    State.JOINING: {
        Command.ACCEPT: State.JOINED,
        Command.REFUSE: State.REFUSED,
    },
    State.JOINED: {
        Command.PUSH: State.JOINED,
        Command.REPLY: State.JOINED,
        Command.STOP: State.LEAVING,
        Command.CLOSE: State.TERMINATING,
        Command.CRASH: State.CLOSED,
        Command.REPLACED: State.CLOSED,
    },
    State.LEAVING: {
        Command.PUSH: State.LEAVING,
        Command.REPLY: State.LEAVING,
        Command.STOP: State.LEAVING,
        Command.CLOSE: State.TERMINATING,
        Command.CRASH: State.CLOSED,
    },
    State.TERMINATING: {
        Command.PUSH: State.TERMINATING,
        Command.REPLY: State.TERMINATING,
        Command.TERMINATED: State.CLOSED,
    },
    State.CLOSED: {
        Command.REPLY: State.CLOSED,
    },
    State.REFUSED: {},
}
