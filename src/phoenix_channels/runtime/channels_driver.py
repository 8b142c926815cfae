"""The driver of a connection with channels: between its pure :class:`Connection`, its channels, and its transport."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, final

from phoenix_channels.channel import Channel, ChannelSpec
from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.connection import Connection
from phoenix_channels.protocol.errors import EncodeError, RemoteProtocolError
from phoenix_channels.protocol.events import (
    Entry,
    Event,
    JoinRequested,
    LeaveRequested,
    MessageReceived,
    RejoinWaiting,
    UnmatchedTopic,
)
from phoenix_channels.protocol.messages import EncodedBroadcast, Opcode, Payload, Ref
from phoenix_channels.protocol.serializers import Serializer
from phoenix_channels.protocol.states import State
from phoenix_channels.protocol.topics import Routes
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.runtime.channel_server import ChannelServer
from phoenix_channels.runtime.context import Context
from phoenix_channels.runtime.driver import Driver, Terms
from phoenix_channels.runtime.hub import Hub
from phoenix_channels.runtime.lane import Lane
from phoenix_channels.socket import Socket

_logger = logging.getLogger("phoenix_channels")


@final
class ChannelsDriver(Driver[Socket]):
    """One connection and its channels; to the registry, the outlet of their subscriptions."""

    __slots__ = ("_connection", "_latest", "_servers", "fastlanes", "inbound", "inbound_bytes", "serializer")

    def __init__(
        self,
        hub: Hub,
        lane: Lane,
        socket: Socket,
        routes: Routes[ChannelSpec],
        serializer: Serializer,
        *,
        socket_id: str | None,
        terms: Terms,
    ) -> None:
        super().__init__(hub, lane, socket, socket_id=socket_id, terms=terms)
        self.serializer = serializer
        self.fastlanes: list[Subscription] = []
        """What is broadcast on these topics goes straight to the client."""
        self.inbound = 0
        self.inbound_bytes = 0
        self._connection = Connection(
            serializer, routes, max_channels=socket.max_channels, max_waiting=hub.limits.waiting_messages
        )
        self._servers: dict[Entry[ChannelSpec], ChannelServer] = {}
        self._latest: dict[str, ChannelServer] = {}

    # What the base asks for

    def _receive(self, data: str | bytes, opcode: Opcode) -> None:
        try:
            events = self._connection.receive(data, opcode)
        except RemoteProtocolError as error:
            _logger.warning("%s sent a malformed message, closing: %s", self.name, error.reason)
            self.close(error.close_code)
            return
        except Exception:
            # A serializer of the application, which must not raise anything else (P-082: a crash in the transport).
            _logger.exception("%s: %r failed on a message, closing", self.name, self.serializer)
            self.close(CloseCode.INTERNAL_ERROR)
            return
        self._flush()
        self.handle(events)

    @property
    def _busy(self) -> bool:
        connection, limits = self._connection, self.limits
        return (
            connection.reading_paused
            or self.inbound >= limits.inbound_messages
            or self.inbound_bytes + connection.waiting_bytes >= limits.inbound_bytes
            # Channels that still terminate hold no topic any more, but what a client leaves behind is bounded too.
            or len(self._servers) - connection.channels >= self.socket.max_channels
        )

    def _end(self, reason: object) -> None:
        for server in tuple(self._servers.values()):
            server.connection_ended(reason)

    @property
    def _finished(self) -> bool:
        return not self._servers

    @property
    def channels(self) -> int:
        return len(self._servers)

    def list_channels(self) -> list[tuple[Entry[ChannelSpec], Channel[Any] | None]]:
        """The channels, also those that still end, each with its instance if there is one yet; from any thread."""
        return [(entry, server.channel) for entry, server in tuple(self._servers.items())]

    async def wait_over(self, entry: Entry[ChannelSpec]) -> None:
        """Return when a channel is over, ``terminate`` included."""
        server = self._servers.get(entry)
        if server is not None:
            await server.wait_over()

    @property
    def waiting(self) -> tuple[int, int]:
        connection = self._connection
        return self.inbound + connection.waiting_messages, self.inbound_bytes + connection.waiting_bytes

    @property
    def mailboxes(self) -> int:
        return sum(server.queued for server in tuple(self._servers.values()))

    def dropped(self, source: Subscription, count: int) -> None:
        super().dropped(source, count)
        if isinstance(source.owner, Context):
            source.owner.dropped(count)

    # What the channels call

    def handle(self, events: Iterable[Event[ChannelSpec]]) -> None:
        """Act on what the core says."""
        for event in events:
            if self.closed:
                # Also half way: nothing may begin on a connection that is over.
                return
            if isinstance(event, MessageReceived):
                self._servers[event.entry].receive(event.event, event.payload, event.ref)
            elif isinstance(event, JoinRequested):
                self._join(event.entry, event.payload)
            elif isinstance(event, LeaveRequested):
                self._servers[event.entry].leave(event.ref)
            elif isinstance(event, RejoinWaiting):
                self._servers[event.entry].hurry()
            elif isinstance(event, UnmatchedTopic):
                _logger.warning(
                    "%s has no channel for the topic %.200r; its patterns are %s",
                    self.name,
                    event.topic,
                    ", ".join(map(repr, self.socket.channels)) or "none",
                )
            else:
                _logger.error(
                    "%s: no more than %s channels on one connection, refusing %.200r",
                    self.name,
                    event.limit,
                    event.topic,
                )

    def accept_join(self, entry: Entry[ChannelSpec], response: Payload) -> list[Event[ChannelSpec]]:
        """Send the join's reply; the events that waited for it.  Closes the connection when it cannot (P-054)."""
        try:
            events = self._connection.accept_join(entry, response)
        except EncodeError as error:
            _logger.warning("the reply of a join on %.200r cannot be sent, closing: %s", entry.topic, error)
            self.close(CloseCode.INTERNAL_ERROR)
            return []
        self._flush()
        return events

    def refuse_join(self, entry: Entry[ChannelSpec], response: Payload) -> None:
        try:
            events = self._connection.refuse_join(entry, response)
        except EncodeError as error:
            _logger.warning("the refusal of a join on %.200r cannot be sent, closing: %s", entry.topic, error)
            self.close(CloseCode.INTERNAL_ERROR)
            return
        self._flush()
        self.handle(events)

    def push(self, entry: Entry[ChannelSpec], event: str, payload: Payload, source: Subscription) -> None:
        self._catch_up()
        self._connection.push(entry, event, payload)
        # Before it, the frames of whoever is just catching up, and has called us by that.
        *earlier, frame = self._connection.frames_to_send()
        for other in earlier:
            self.sink.write(other)
        if source.policy is not None:
            frame.message = EncodedBroadcast(entry.topic, event, payload)
        self.sink.write(frame, source)

    def reply(self, entry: Entry[ChannelSpec], ref: Ref, status: str, response: Payload) -> None:
        self._connection.reply(entry, ref, status, response)
        self._flush()

    def stop_channel(self, entry: Entry[ChannelSpec]) -> None:
        self._connection.stop_channel(entry)

    def close_channel(self, entry: Entry[ChannelSpec]) -> list[Event[ChannelSpec]]:
        events = self._connection.close_channel(entry)
        self._flush()
        return events

    def crash_channel(self, entry: Entry[ChannelSpec]) -> list[Event[ChannelSpec]]:
        events = self._connection.crash_channel(entry)
        self._flush()
        return events

    def ended(self, entry: Entry[ChannelSpec]) -> None:
        """A channel is over; its server is forgotten."""
        if entry.state is State.TERMINATING:
            self._connection.terminated(entry)
        server = self._servers.pop(entry, None)
        if self._latest.get(entry.topic) is server:
            del self._latest[entry.topic]
        self._check_ended()
        self._resume_reading()

    def add_inbound(self, count: int, size: int) -> None:
        """So many more, or fewer, messages and bytes of the client wait in its channels."""
        self.inbound += count
        self.inbound_bytes += size
        if count < 0:
            self._resume_reading()

    # Help

    def _join(self, entry: Entry[ChannelSpec], payload: Payload) -> None:
        old = self._latest.get(entry.topic)
        server = self._servers[entry] = self._latest[entry.topic] = ChannelServer(self, entry)
        if entry.replaces is not None:
            _logger.debug("%s: a new join of %.200r takes the place of the channel", self.name, entry.topic)
            self._servers[entry.replaces].detach()
        if old is None:
            server.join(payload)
        else:
            self.spawn(self._join_after, old, server, payload)

    @staticmethod
    async def _join_after(old: ChannelServer, new: ChannelServer, payload: Payload) -> None:
        # P-057, P-059: one instance of a topic is over, terminate included, before the next begins.
        await old.wait_over()
        new.join(payload)

    def _catch_up(self) -> None:
        # P-071: what was broadcast before comes before.
        self.lane.registry.catch_up(self)

    def _flush(self) -> None:
        if self._connection.has_frames:
            self._catch_up()
            for frame in self._connection.frames_to_send():
                self.sink.write(frame)
        # Whatever made frames may also have taken what waited.
        self._resume_reading()
