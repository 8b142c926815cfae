"""The server side of one client connection, as a pure state machine.

Feed what the client sends to :meth:`Connection.receive`, act on the events, answer with commands, and after either
always send what :meth:`Connection.frames_to_send` returns.  Heartbeats, unmatched topics, stale messages and leaves
of unknown topics are answered here, in the order of ``socket.ex`` handle_in/4 (P-048).
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar, final

import msgspec

from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.errors import LocalProtocolError, RemoteProtocolError
from phoenix_channels.protocol.events import (
    Entry,
    Event,
    JoinRequested,
    LeaveRequested,
    MessageReceived,
    RejoinWaiting,
    TooManyChannels,
    UnmatchedTopic,
)
from phoenix_channels.protocol.messages import (
    EMPTY,
    HEARTBEAT,
    PHOENIX_TOPIC,
    PHX_CLOSE,
    PHX_ERROR,
    PHX_JOIN,
    PHX_LEAVE,
    Frame,
    Message,
    Opcode,
    Payload,
    Ref,
    payload_size,
)
from phoenix_channels.protocol.serializers import Serializer
from phoenix_channels.protocol.states import CLIENT, COMMAND, Action, Command, Input, State
from phoenix_channels.protocol.topics import Routes

T = TypeVar("T")

UNMATCHED_TOPIC: Final = msgspec.Raw(b'{"reason":"unmatched topic"}')
TOO_MANY_CHANNELS: Final = msgspec.Raw(b'{"reason":"too many channels joined"}')
CHANNEL_CRASH: Final = msgspec.Raw(b'{"reason":"channel_crash"}')

_INPUTS = {PHX_JOIN: Input.JOIN, PHX_LEAVE: Input.LEAVE}
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def same_ref(left: Ref, right: Ref) -> bool:
    """Equal in type and value, all the way down: ``3`` is not ``"3"``, and ``1`` is neither ``True`` nor ``1.0``."""
    if type(left) is not type(right):
        return False
    if isinstance(left, str):
        return bool(left == right)
    return _encode_sorted(left) == _encode_sorted(right)


@final
class Connection(Generic[T]):
    """One client connection: many topics, each with its states, and one stream of frames out.

    Args:
        serializer: the version of the protocol that this client speaks.
        routes: topic patterns to targets; a target is opaque here and comes back in ``entry.target``.
        max_channels: how many topics may be joined, joining or leaving at a time (P-051).
        max_waiting: how many messages may wait for a join or a leave before :attr:`reading_paused` is set.
    """

    __slots__ = (
        "_entries",
        "_frames",
        "_max_channels",
        "_max_waiting",
        "_routes",
        "_serializer",
        "waiting_bytes",
        "waiting_messages",
    )

    def __init__(
        self, serializer: Serializer, routes: Routes[T], *, max_channels: int = 100, max_waiting: int = 128
    ) -> None:
        self._serializer = serializer
        self._routes = routes
        self._max_channels = max_channels
        self._max_waiting = max_waiting
        self._entries: dict[str, Entry[T]] = {}
        self._frames: list[Frame] = []
        self.waiting_messages = 0
        """How many messages wait for a join or a leave."""
        self.waiting_bytes = 0
        """Payload bytes of what waits for a join or a leave."""

    @property
    def entries(self) -> list[Entry[T]]:
        """The entries that hold a topic (JOINING, JOINED or LEAVING), for a driver that keeps no list of its own."""
        return list(self._entries.values())

    @property
    def channels(self) -> int:
        """How many topics are JOINING, JOINED or LEAVING."""
        return len(self._entries)

    @property
    def reading_paused(self) -> bool:
        """True while so much waits that the driver should stop reading from this client; nothing is ever dropped."""
        return self.waiting_messages >= self._max_waiting

    @property
    def has_frames(self) -> bool:
        """Is there anything for :meth:`frames_to_send`?"""
        return bool(self._frames)

    def frames_to_send(self) -> list[Frame]:
        """The frames made since the last call, in the order in which they have to reach the client."""
        frames, self._frames = self._frames, []
        return frames

    # What the client sends

    def receive(self, data: str | bytes, opcode: Opcode = Opcode.TEXT) -> list[Event[T]]:
        """Take one whole message of the client.

        Raises:
            RemoteProtocolError: the message is malformed; close the connection with its code (P-046).
        """
        return self._handle(self._serializer.decode(data, opcode))

    def _handle(self, message: Message) -> list[Event[T]]:
        topic = message.topic
        # P-048 1: whatever else is in the frame; the join_ref of the answer is null.
        if topic == PHOENIX_TOPIC and message.event == HEARTBEAT:
            self._reply(None, message.ref, topic, "ok", EMPTY)
            return []
        # P-031: a topic that is no string matches nothing (and may not even be hashable).
        entry = self._entries.get(topic) if isinstance(topic, str) else None
        if entry is None:
            return self._handle_unjoined(message)
        event = message.event
        action = CLIENT[entry.state][_INPUTS.get(event, Input.PUSH) if isinstance(event, str) else Input.PUSH]
        if action is Action.WAIT or entry.waiting:
            return self._wait(entry, message)
        if action is Action.REPLACE:
            return self._replace(entry, message)
        # P-049: null or strictly equal, else dropped without a word.
        stale = message.join_ref is not None and not same_ref(message.join_ref, entry.join_ref)
        if action is Action.DROP or stale:
            return []
        if action is Action.LEAVE:
            entry.state = COMMAND[entry.state][Command.STOP]
            return [LeaveRequested(entry, message.ref)]
        return [MessageReceived(entry, event, message.payload, message.ref)]

    def _handle_unjoined(self, message: Message) -> list[Event[T]]:
        # P-048 3
        if message.event == PHX_JOIN:
            return self._join(message)
        if message.event == PHX_LEAVE:
            self._reply(message.join_ref, message.ref, message.topic, "ok", EMPTY)
        else:
            self._reply(None, message.ref, message.topic, "error", UNMATCHED_TOPIC)
        return []

    def _join(self, message: Message) -> list[Event[T]]:
        topic = message.topic
        if isinstance(topic, dict):
            # An object as topic of a join is the one shape that ends a Phoenix connection (its warning about the
            # unmatched topic cannot be written); seen in the recording `bad_field_types`.
            raise RemoteProtocolError("a join whose topic is an object", close_code=CloseCode.INTERNAL_ERROR)
        route = self._routes.match(topic) if isinstance(topic, str) else None
        if route is None:
            # P-051 1, also at the limit.
            self._reply(None, message.ref, topic, "error", UNMATCHED_TOPIC)
            return [UnmatchedTopic(topic)]
        if len(self._entries) >= self._max_channels:
            # P-051 2
            self._reply(message.join_ref, message.ref, topic, "error", TOO_MANY_CHANNELS)
            return [TooManyChannels(topic, self._max_channels)]
        entry = Entry(topic, route.target, route.subtopic, message.join_ref, message.ref)
        self._entries[topic] = entry
        return [JoinRequested(entry, message.payload)]

    def _replace(self, old: Entry[T], message: Message) -> list[Event[T]]:
        # P-057; legal at the limit too, since the entry is taken over (P-051).
        old.state = COMMAND[old.state][Command.REPLACED]
        entry = Entry(old.topic, old.target, old.subtopic, message.join_ref, message.ref)
        entry.replaces = old
        self._entries[old.topic] = entry
        return [JoinRequested(entry, message.payload)]

    def _wait(self, entry: Entry[T], message: Message) -> list[Event[T]]:
        first = not entry.waiting
        entry.waiting.append(message)
        self.waiting_messages += 1
        self.waiting_bytes += payload_size(message.payload)
        return [RejoinWaiting(entry)] if first and entry.state is State.LEAVING else []

    def _look_again(self, entry: Entry[T]) -> list[Event[T]]:
        """Handle what waited for this entry, as if it had arrived now."""
        messages, entry.waiting = entry.waiting, []
        self.waiting_messages -= len(messages)
        self.waiting_bytes -= sum(payload_size(message.payload) for message in messages)
        return [event for message in messages for event in self._handle(message)]

    # What the driver decides

    def accept_join(self, entry: Entry[T], response: Payload = EMPTY) -> list[Event[T]]:
        """The join succeeded: reply ok, and return what waited for it.

        The reply is the first frame of this entry (P-053); the ``phx_close`` of the entry it replaced, if any,
        follows it (P-057).

        Raises:
            EncodeError: the reply does not fit the serializer; the connection is lost (P-054).
        """
        self._command(entry, Command.ACCEPT)
        self._answer_join(entry, "ok", response)
        return self._look_again(entry)

    def refuse_join(self, entry: Entry[T], response: Payload) -> list[Event[T]]:
        """The join was refused or crashed: reply error, forget the entry, and return what waited for it (P-052)."""
        self._command(entry, Command.REFUSE)
        self._answer_join(entry, "error", response)
        return self._forget(entry)

    def push(self, entry: Entry[T], event: str, payload: Payload) -> None:
        """Send an event to this client only (P-063); legal from the join's reply to the end of ``terminate``."""
        self._command(entry, Command.PUSH)
        self._frames.append(self._serializer.encode_push(entry.push_join_ref, entry.topic, event, payload))

    def reply(self, entry: Entry[T], ref: Ref, status: str, response: Payload = EMPTY) -> None:
        """Answer a message that this entry received; also late, and any number of times (P-062)."""
        self._command(entry, Command.REPLY)
        self._reply(entry.push_join_ref, ref, entry.topic, status, response)

    def stop_channel(self, entry: Entry[T]) -> None:
        """The channel is ending: from now on its messages are dropped and a new join of its topic waits (P-066)."""
        self._command(entry, Command.STOP)

    def close_channel(self, entry: Entry[T]) -> list[Event[T]]:
        """``phx_close``: the channel ended as it should, and the client is to stay away (P-064, P-065)."""
        self._command(entry, Command.CLOSE)
        self._end(entry, PHX_CLOSE, EMPTY)
        return self._forget(entry)

    def crash_channel(self, entry: Entry[T]) -> list[Event[T]]:
        """``phx_error``: the channel failed, and the client is to join again (P-066)."""
        self._command(entry, Command.CRASH)
        self._end(entry, PHX_ERROR, CHANNEL_CRASH)
        return self._forget(entry)

    def terminated(self, entry: Entry[T]) -> None:
        """``terminate`` of a closed channel is over: nothing more may be pushed."""
        self._command(entry, Command.TERMINATED)

    def _command(self, entry: Entry[T], command: Command) -> None:
        state = COMMAND[entry.state].get(command)
        if state is None:
            raise LocalProtocolError(f"{command.name} is not legal for {entry!r}")
        entry.state = state

    def _answer_join(self, entry: Entry[T], status: str, response: Payload) -> None:
        self._reply(entry.join_ref, entry.ref, entry.topic, status, response)
        old, entry.replaces = entry.replaces, None
        if old is not None:
            self._end(old, PHX_CLOSE, EMPTY)

    def _forget(self, entry: Entry[T]) -> list[Event[T]]:
        del self._entries[entry.topic]
        return self._look_again(entry)

    def _end(self, entry: Entry[T], event: str, payload: Payload) -> None:
        self._frames.append(self._serializer.encode_end(entry.join_ref, entry.ref, entry.topic, event, payload))

    def _reply(self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload) -> None:
        self._frames.append(self._serializer.encode_reply(join_ref, ref, topic, status, response))
