"""The client side of the protocol, as a pure state machine: it behaves as Socket and Channel of phoenix.js 1.8.16.

Say what is wanted, report what happens to the transport, and call :meth:`ClientConnection.handle_timeout` when it is
time.  After each call first send what :meth:`ClientConnection.frames_to_send` returns, then act on the events in their
order.  Heartbeats, reconnects, rejoins, refs, buffers and timeouts are dealt with here (P-137, P-139 to P-146).
"""

from __future__ import annotations

from typing import Final, final

from phoenix_channels.protocol.client_channels import Channels, Clock, Wire
from phoenix_channels.protocol.client_events import (
    ClientChannel,
    ClientEvent,
    ClientPush,
    CloseConnection,
    Closed,
    JoinParams,
    Ladder,
    OpenConnection,
    Opened,
)
from phoenix_channels.protocol.client_messages import decode_message
from phoenix_channels.protocol.client_states import CONNECTION, LIVE, ConnectionInput, ConnectionState
from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.errors import LocalProtocolError
from phoenix_channels.protocol.messages import EMPTY, HEARTBEAT, PHOENIX_TOPIC, Frame, Opcode, Payload


def ladder(*steps: float) -> Ladder:
    """These pauses in seconds, one after the other; then the last one again and again."""
    return lambda tries: steps[min(tries, len(steps)) - 1]


RECONNECT_AFTER: Final = ladder(0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0)
"""When phoenix.js opens the next transport (P-137)."""

REJOIN_AFTER: Final = ladder(1.0, 2.0, 5.0, 10.0)
"""When phoenix.js repeats a join (P-137)."""


@final
class ClientConnection:
    """One client: a connection over any number of transports, and its channels.

    ``now`` is everywhere the driver's clock in seconds, which never goes back.

    Args:
        timeout: how long a join, a leave or a push waits for its reply where nothing else is said, in seconds.
        heartbeat_interval: from the opening, or from the answer to a heartbeat, to the next one, in seconds.
        heartbeat_timeout: how long the server has to answer a heartbeat, in seconds; then the transport is replaced.
        reconnect_after: the pauses before the next transport.
        rejoin_after: the pauses before the next join of a channel while the connection is open.
        max_buffered_bytes: once so much waits for the join of a channel, a push raises.

    Raises:
        ValueError: a number that is not positive.
    """

    __slots__ = (
        "_channels",
        "_heartbeat_interval",
        "_heartbeat_ref",
        "_heartbeat_timeout",
        "_reconnect_after",
        "_refusing",
        "_state",
        "_timeout",
        "_tries",
        "_wire",
    )

    def __init__(
        self,
        *,
        timeout: float = 10.0,
        heartbeat_interval: float = 30.0,
        heartbeat_timeout: float = 30.0,
        reconnect_after: Ladder = RECONNECT_AFTER,
        rejoin_after: Ladder = REJOIN_AFTER,
        max_buffered_bytes: int = 1 << 20,
    ) -> None:
        self._timeout = _positive("timeout", timeout)
        self._heartbeat_interval = _positive("heartbeat_interval", heartbeat_interval)
        self._heartbeat_timeout = _positive("heartbeat_timeout", heartbeat_timeout)
        self._reconnect_after = reconnect_after
        self._state = ConnectionState.IDLE
        self._wire = Wire()
        self._channels = Channels(self._wire, rejoin_after, _positive("max_buffered_bytes", max_buffered_bytes))
        self._heartbeat_ref: str | None = None
        """Of the heartbeat that waits for its answer."""
        self._tries = 0
        """How many transports the ladder has counted since the last one that opened."""
        self._refusing = False
        """Has a transport been closed for what it brought, and has none lasted since?"""

    @property
    def state(self) -> ConnectionState:
        return self._state

    @property
    def channels(self) -> list[ClientChannel]:
        """Those that were joined and are not closed, in the order of their joins."""
        return list(self._channels.all)

    def frames_to_send(self) -> list[Frame]:
        """The frames made since the last call, in their order, for the transport that is open."""
        frames, self._wire.frames = self._wire.frames, []
        return frames

    # What is wanted

    def connect(self, now: float) -> list[ClientEvent]:
        """Open a connection and keep it open; nothing changes where that is so already."""
        return self._turn(ConnectionInput.CONNECT, now)

    def disconnect(self, now: float, code: int = CloseCode.NORMAL, reason: str = "") -> list[ClientEvent]:
        """Close the connection and do not come back before :meth:`connect`, which joins again what was joined."""
        self._tries, self._refusing = 0, False
        self._wire.deadlines.cancel(Clock.RECONNECT)
        return self._turn(ConnectionInput.DISCONNECT, now, CloseConnection(code, reason))

    def channel(self, topic: str, params: JoinParams = EMPTY) -> ClientChannel:
        """A new channel; nothing is sent before it is joined.

        Args:
            topic: such as ``"room:lobby"``.
            params: encoded, or a function that is asked for them whenever a join is sent.

        Raises:
            EncodeError: the topic has lone surrogates or, with bytes as params, more than 255 bytes (P-040).
        """
        return ClientChannel(topic, params, self._timeout)

    def join(self, channel: ClientChannel, now: float, timeout: float | None = None) -> list[ClientEvent]:
        """Join a new channel, as soon as there is a connection, and again whenever that is needed.

        Another channel that holds its topic is left first (P-143).

        Args:
            channel: one that was neither joined nor left before.
            now: the time.
            timeout: how long this join, every later one, and what is pushed then wait for their reply, in seconds.

        Raises:
            LocalProtocolError: it was joined or left before.
            ValueError: the timeout is not positive.
        """
        return self._channels.join(channel, now, self._timeout if timeout is None else _positive("timeout", timeout))

    def push(
        self,
        channel: ClientChannel,
        event: str,
        payload: Payload,
        now: float,
        timeout: float | None = None,
        *,
        reply: bool = True,
    ) -> ClientPush:
        """Send to the channel's other side, now or when the join has succeeded.

        Args:
            channel: one that was joined and is neither left nor closed.
            event: any name; those that begin with ``phx_`` mean something to the server.
            payload: a JSON object or bytes, encoded.
            now: the time.
            timeout: in seconds, where not the channel's; it begins again when a push that was buffered is sent.
            reply: False: nobody waits for a reply, and once it is sent nothing more is heard of the push.

        Raises:
            LocalProtocolError: the channel is not joined, or it was left or closed.
            PushBufferFull: too much waits for the join already.
            EncodeError: as of ``encode_message``, also if the push has to wait.
            ValueError: the timeout is not positive.
        """
        seconds = channel.timeout if timeout is None else _positive("timeout", timeout)
        push = ClientPush(channel, event, payload, seconds, reply=reply)
        self._channels.push(push, now)
        return push

    def forget(self, push: ClientPush) -> None:
        """Nobody cares any more: what has not been sent is not, and no event follows."""
        self._channels.forget(push)

    def leave(self, channel: ClientChannel, now: float, timeout: float | None = None) -> list[ClientEvent]:
        """Leave a channel, which closes with the reply, or without one in time (P-143).

        It closes at once where no server has to be told, and nothing happens where it was left or closed before.

        Args:
            channel: any.
            now: the time.
            timeout: how long to wait for the reply, in seconds, where not the channel's.

        Raises:
            ValueError: the timeout is not positive.
        """
        return self._channels.leave(channel, now, channel.timeout if timeout is None else _positive("timeout", timeout))

    # What happens to the transport

    def opened(self, now: float) -> list[ClientEvent]:
        """The transport that was asked for is open.

        Raises:
            LocalProtocolError: none was asked for, or it is open already.
        """
        self._turn(ConnectionInput.OPENED, now)
        if self._state is not ConnectionState.OPEN:
            return []
        if not self._refusing:
            self._tries = 0
        self._wire.is_open = True
        self._wire.deadlines.set(Clock.HEARTBEAT, now + self._heartbeat_interval)
        return [Opened(), *self._channels.opened(now)]

    def closed(self, code: int | None, now: float, *, refused: bool = False) -> list[ClientEvent]:
        """The transport is closed, whoever wanted it, or could not be opened.

        Args:
            code: of the close frame; None if there was none.
            now: the time.
            refused: it was closed for what the server had sent.  The server will most likely send it again: so the
                ladder goes on where it was, until a heartbeat is answered, and does not begin anew with each opening.

        Raises:
            LocalProtocolError: there is no transport.
        """
        self._refusing = self._refusing or refused
        events = self._turn(ConnectionInput.CLOSED, now)
        return [Closed(code), *events]

    def receive(self, data: str | bytes, opcode: Opcode, now: float) -> list[ClientEvent]:
        """Take one whole message of the server.

        Raises:
            RemoteProtocolError: it is malformed; close the transport with the error's code, and report it as refused.
            LocalProtocolError: no transport is open.
        """
        self._turn(ConnectionInput.MESSAGE, now)
        if self._state is not ConnectionState.OPEN:
            return []
        message = decode_message(data, opcode)
        if message.ref is not None and message.ref == self._heartbeat_ref:
            self._heartbeat_ref = None
            self._wire.deadlines.set(Clock.HEARTBEAT, now + self._heartbeat_interval)
            self._tries, self._refusing = 0, False
            return []
        return self._channels.take(message, now)

    # What happens with time

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` has to be called next; None: not before something else has happened."""
        return self._wire.deadlines.next()

    def handle_timeout(self, now: float) -> list[ClientEvent]:
        """Do all that is due."""
        events: list[ClientEvent] = []
        for due in self._wire.deadlines.due(now):
            if isinstance(due, ClientChannel):
                events += self._channels.channel_due(due, now)
            elif isinstance(due, ClientPush):
                events += self._channels.push_due(due)
            elif due is Clock.HEARTBEAT:
                events += self._heartbeat_due(now)
            else:
                self._tries += 1
                events += self._turn(ConnectionInput.RETRY, now)
        return events

    def _heartbeat_due(self, now: float) -> list[ClientEvent]:
        # P-137
        if self._heartbeat_ref is not None:
            return self._turn(ConnectionInput.DEAF, now, CloseConnection(CloseCode.NORMAL, "heartbeat timeout"))
        self._heartbeat_ref = self._wire.next_ref()
        self._wire.send(None, self._heartbeat_ref, PHOENIX_TOPIC, HEARTBEAT, EMPTY)
        self._wire.deadlines.set(Clock.HEARTBEAT, now + self._heartbeat_timeout)
        return []

    def _turn(self, input_: ConnectionInput, now: float, order: CloseConnection | None = None) -> list[ClientEvent]:
        """Move the connection; ``order`` is for the transport, where there is one to be given up."""
        old, events = self._state, list[ClientEvent]()
        new = CONNECTION[old].get(input_)
        if new is None:
            legal = ", ".join(known.name for known in CONNECTION[old])
            raise LocalProtocolError(f"{input_.name} cannot be while the connection is {old.name}; {legal} can")
        self._state = new
        if old in LIVE and new not in LIVE:
            if order is not None:
                events.append(order)
            events += self._lose_transport(now)
        if new is not old and new is ConnectionState.CONNECTING:
            events.append(OpenConnection())
        elif new is not old and new is ConnectionState.WAITING:
            self._wire.deadlines.set(Clock.RECONNECT, now + self._reconnect_after(self._tries + 1))
        return events

    def _lose_transport(self, now: float) -> list[ClientEvent]:
        self._wire.is_open = False
        self._wire.frames = []
        self._wire.deadlines.cancel(Clock.HEARTBEAT)
        self._heartbeat_ref = None
        return self._channels.lost(now)


def _positive(name: str, value: float) -> float:
    if value > 0:
        return value
    raise ValueError(f"{name} is a positive number, not {value!r}")
