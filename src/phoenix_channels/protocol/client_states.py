"""The states of a client, as tables: of its connection, and of each of its channels.

Theory
------

A client has **one connection** over any number of transports, one at a time.  What is wanted (``connect``,
``disconnect``) and what there is (``opened``, ``closed``) meet in these states::

    IDLE        no transport, and none is wanted
    CONNECTING  a transport is being opened
    OPEN        messages flow
    CLOSING     the transport is being closed, and then none is wanted
    REOPENING   the transport is being closed, and then the next one is opened at once
    RESTARTING  the transport is being closed because nothing came back, and then the ladder decides
    WAITING     no transport until the ladder's next step

Every transport that was asked for ends in exactly one ``CLOSED``, whoever ended it, and only then is there a next one.
A close that we did not ask for is followed by the ladder, whatever its code (P-145).  In ``CONNECTION`` a missing row
is a :class:`LocalProtocolError`: the driver has reported what cannot be.

A **channel** is joined again and again, until it is left or the server says ``phx_close``::

    NEW      not joined yet
    JOINING  the join is sent, or will be when the connection is open
    JOINED   messages flow
    ERRORED  the join failed, or ended; it will be repeated
    LEAVING  the leave is sent
    CLOSED   the end

Three kinds of input move it: what its owner commands, what the server sends for its present join, and what time and
transport bring.  In ``CHANNEL`` a missing row is a :class:`LocalProtocolError` for a command; for everything else it
means that this is not the time for it, and nothing happens.

A push is buffered before the join and tracked after it.  It outlives a state that stands in ``KEEPS_BUFFERED``, or
``KEEPS_SENT``, and is lost in the others.  So whatever was sent over a join is lost with it: no reply can come any
more.  (phoenix.js lets its owner wait for the timeout.)

Three states belong to a transport: in JOINED and LEAVING it is open, and a join that is sent has not lost it.  That is
all that the two tables know of each other: ``LOST`` goes to every channel when a transport is given up (P-146).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class ConnectionState(IntEnum):
    """Where the connection stands."""

    IDLE = 0
    CONNECTING = 1
    OPEN = 2
    CLOSING = 3
    REOPENING = 4
    RESTARTING = 5
    WAITING = 6


class ConnectionInput(IntEnum):
    """What moves the connection."""

    CONNECT = 0
    DISCONNECT = 1
    OPENED = 2
    CLOSED = 3
    DEAF = 4
    """A heartbeat was not answered in time (P-137)."""
    RETRY = 5
    """The ladder's next step."""
    MESSAGE = 6
    """From the server; once we have begun to close, unheard."""


class ChannelState(IntEnum):
    """Where a channel stands."""

    NEW = 0
    JOINING = 1
    JOINED = 2
    ERRORED = 3
    LEAVING = 4
    CLOSED = 5


class ChannelInput(IntEnum):
    """What moves a channel."""

    JOIN = 0
    PUSH = 1
    LEAVE = 2
    """So far the commands of its owner."""
    ACCEPTED = 3
    """The reply ``ok`` to the join."""
    REFUSED = 4
    """Any other reply to the join."""
    MESSAGE = 5
    LEFT = 6
    """Any reply to the leave."""
    CLOSE = 7
    """``phx_close``"""
    ERROR = 8
    """``phx_error``"""
    TIMEOUT = 9
    """Neither the join nor the leave was answered in time."""
    REJOIN = 10
    LOST = 11
    """The transport is gone."""


COMMANDS = frozenset({ChannelInput.JOIN, ChannelInput.PUSH, ChannelInput.LEAVE})

CONNECTION: Mapping[ConnectionState, Mapping[ConnectionInput, ConnectionState]] = {
    ConnectionState.IDLE: {
        ConnectionInput.CONNECT: ConnectionState.CONNECTING,
        ConnectionInput.DISCONNECT: ConnectionState.IDLE,
    },
    ConnectionState.CONNECTING: {
        ConnectionInput.CONNECT: ConnectionState.CONNECTING,
        ConnectionInput.DISCONNECT: ConnectionState.CLOSING,
        ConnectionInput.OPENED: ConnectionState.OPEN,
        ConnectionInput.CLOSED: ConnectionState.WAITING,
    },
    ConnectionState.OPEN: {
        ConnectionInput.CONNECT: ConnectionState.OPEN,
        ConnectionInput.DISCONNECT: ConnectionState.CLOSING,
        ConnectionInput.CLOSED: ConnectionState.WAITING,
        ConnectionInput.DEAF: ConnectionState.RESTARTING,
        ConnectionInput.MESSAGE: ConnectionState.OPEN,
    },
    # A transport that was asked for may still open while it is being closed.
    ConnectionState.CLOSING: {
        ConnectionInput.CONNECT: ConnectionState.REOPENING,
        ConnectionInput.DISCONNECT: ConnectionState.CLOSING,
        ConnectionInput.OPENED: ConnectionState.CLOSING,
        ConnectionInput.CLOSED: ConnectionState.IDLE,
        ConnectionInput.MESSAGE: ConnectionState.CLOSING,
    },
    ConnectionState.REOPENING: {
        ConnectionInput.CONNECT: ConnectionState.REOPENING,
        ConnectionInput.DISCONNECT: ConnectionState.CLOSING,
        ConnectionInput.OPENED: ConnectionState.REOPENING,
        ConnectionInput.CLOSED: ConnectionState.CONNECTING,
        ConnectionInput.MESSAGE: ConnectionState.REOPENING,
    },
    ConnectionState.RESTARTING: {
        ConnectionInput.CONNECT: ConnectionState.RESTARTING,
        ConnectionInput.DISCONNECT: ConnectionState.CLOSING,
        ConnectionInput.CLOSED: ConnectionState.WAITING,
        ConnectionInput.MESSAGE: ConnectionState.RESTARTING,
    },
    ConnectionState.WAITING: {
        ConnectionInput.CONNECT: ConnectionState.WAITING,
        ConnectionInput.DISCONNECT: ConnectionState.IDLE,
        ConnectionInput.RETRY: ConnectionState.CONNECTING,
    },
}

LIVE = frozenset({ConnectionState.CONNECTING, ConnectionState.OPEN})
"""There is a transport that is not given up: whoever leaves these states has lost it."""

CHANNEL: Mapping[ChannelState, Mapping[ChannelInput, ChannelState]] = {
    ChannelState.NEW: {
        ChannelInput.JOIN: ChannelState.JOINING,
        ChannelInput.LEAVE: ChannelState.CLOSED,
    },
    ChannelState.JOINING: {
        ChannelInput.PUSH: ChannelState.JOINING,
        ChannelInput.LEAVE: ChannelState.LEAVING,
        ChannelInput.ACCEPTED: ChannelState.JOINED,
        ChannelInput.REFUSED: ChannelState.ERRORED,
        ChannelInput.CLOSE: ChannelState.CLOSED,
        ChannelInput.ERROR: ChannelState.ERRORED,
        ChannelInput.TIMEOUT: ChannelState.ERRORED,
        ChannelInput.LOST: ChannelState.ERRORED,
    },
    ChannelState.JOINED: {
        ChannelInput.PUSH: ChannelState.JOINED,
        ChannelInput.LEAVE: ChannelState.LEAVING,
        ChannelInput.MESSAGE: ChannelState.JOINED,
        ChannelInput.CLOSE: ChannelState.CLOSED,
        ChannelInput.ERROR: ChannelState.ERRORED,
        ChannelInput.LOST: ChannelState.ERRORED,
    },
    ChannelState.ERRORED: {
        ChannelInput.PUSH: ChannelState.ERRORED,
        ChannelInput.LEAVE: ChannelState.CLOSED,
        ChannelInput.REJOIN: ChannelState.JOINING,
    },
    # Leaving twice is once: whoever cleans up need not know what the server has done meanwhile.
    ChannelState.LEAVING: {
        ChannelInput.LEAVE: ChannelState.LEAVING,
        ChannelInput.LEFT: ChannelState.CLOSED,
        ChannelInput.CLOSE: ChannelState.CLOSED,
        ChannelInput.ERROR: ChannelState.CLOSED,
        ChannelInput.TIMEOUT: ChannelState.CLOSED,
        ChannelInput.LOST: ChannelState.CLOSED,
    },
    ChannelState.CLOSED: {
        ChannelInput.LEAVE: ChannelState.CLOSED,
    },
}

KEEPS_SENT = frozenset({ChannelState.JOINED, ChannelState.LEAVING})
"""The join lives: what was sent over it may still be answered."""

KEEPS_BUFFERED = frozenset({ChannelState.JOINING, ChannelState.JOINED, ChannelState.ERRORED})
"""A join is to come: what waits for it may still be sent."""
