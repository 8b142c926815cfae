"""The driver of one connection: between its pure :class:`Connection`, its channels, and its transport."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Iterable
from typing import Protocol, final

import anyio

from phoenix_channels.channel import ChannelSpec
from phoenix_channels.protocol._states import State
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
from phoenix_channels.protocol.messages import EncodedBroadcast, Frame, Opcode, Payload, Ref
from phoenix_channels.protocol.serializers import Serializer
from phoenix_channels.protocol.topics import Routes
from phoenix_channels.pubsub.local import Subscription
from phoenix_channels.runtime.channel_server import ChannelServer
from phoenix_channels.runtime.hub import Hub
from phoenix_channels.runtime.lane import Lane
from phoenix_channels.runtime.tasks import AsyncFunction, Task
from phoenix_channels.socket import Socket

_logger = logging.getLogger("phoenix_channels")

SLOW_CONSUMER = 1013
"""The close code where one side does not keep up: "try again later", on which phoenix.js comes back."""


class Sink(Protocol):
    """Where a driver writes; what a transport has to offer.  No call blocks or raises."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the client, of which :meth:`Driver.written` will be told when they become fewer."""
        ...

    def write(self, frame: Frame) -> None:
        """Send a frame, after those written before."""
        ...

    def close(self, code: int) -> None:
        """Close the connection after what was written; further frames are ignored."""
        ...


@final
class Driver:
    """One connection, from its acceptance to the end of its last channel."""

    def __init__(
        self,
        hub: Hub,
        lane: Lane,
        socket: Socket,
        routes: Routes[ChannelSpec],
        serializer: Serializer,
        *,
        socket_id: str | None,
        timeout: float | None,
    ) -> None:
        self.hub = hub
        self.lane = lane
        self.limits = hub.limits
        self.socket = socket
        self.serializer = serializer
        self.timeout = timeout
        self.closed = False
        self.inbound = 0
        self.inbound_bytes = 0
        self.context = contextvars.copy_context()
        self.sink: Sink
        self.on_close: Callable[[], None] | None = None
        """Called once, when the connection begins to end."""
        self._connection = Connection(
            serializer, routes, max_channels=socket.max_channels, max_waiting=hub.limits.waiting_messages
        )
        self._servers: dict[Entry[ChannelSpec], ChannelServer] = {}
        self._latest: dict[str, ChannelServer] = {}
        self._now = lane.loop.now
        self._last_received = self._now()
        self._readable: anyio.Event | None = None
        self._channels_ended = anyio.Event()
        self._transport_ended = anyio.Event()
        self._id_interest = False
        self._id_subscription = None if socket_id is None else Subscription(socket_id, self._receive_on_id)

    # What the transport calls

    async def start(self, sink: Sink) -> None:
        """The connection is open; before its first message."""
        self.sink = sink
        if self._id_subscription is not None:
            # P-026: before any message of the client.
            await self.hub.pubsub.subscribe(self._id_subscription.topic)
            self._id_interest = True
            self.lane.registry.subscribe(self._id_subscription)
        self._last_received = self._now()
        self.lane.add(self)
        if self.lane.draining:
            self.close(1012, "draining")

    def receive(self, data: str | bytes, opcode: Opcode) -> None:
        """A whole message has arrived.  Then :attr:`reading_paused` says whether to read on."""
        if self.closed:
            return
        self._last_received = self._now()
        try:
            events = self._connection.receive(data, opcode)
        except RemoteProtocolError as error:
            _logger.warning("%s sent a malformed message, closing: %s", self._name, error.reason)
            self.close(error.close_code)
            return
        self._flush()
        self.handle(events)
        if self.reading_paused:
            self.lane.idle_changed(self)

    @property
    def reading_paused(self) -> bool:
        """True while so much waits to be handled that the transport should not read any further."""
        connection, limits = self._connection, self.limits
        return not self.closed and (
            connection.reading_paused
            or self.inbound >= limits.inbound_messages
            or self.sink.queued_bytes >= limits.outbox_high_water
            or self.inbound_bytes + connection.waiting_bytes >= limits.inbound_bytes
            # Channels that still terminate hold no topic any more, but what a client leaves behind is bounded too.
            or len(self._servers) - connection.channels >= self.socket.max_channels
        )

    async def wait_readable(self) -> None:
        """Return when :attr:`reading_paused` is false."""
        while self.reading_paused:
            self._readable = anyio.Event()
            await self._readable.wait()

    def close(self, code: int | None, why: str = "closed") -> None:
        """End the connection: close it with this code, or None when it is gone already.

        Every channel ends with the reason ``("shutdown", why)`` and without a frame (P-068).
        """
        if self.closed:
            return
        self.closed = True
        self.lane.closing(self)
        if self._id_subscription is not None and self._id_interest:
            self.lane.registry.unsubscribe(self._id_subscription)
            self.hub.pubsub.unsubscribe(self._id_subscription.topic)
        for server in tuple(self._servers.values()):
            server.connection_ended(("shutdown", why))
        if code is not None:
            self.sink.close(code)
        if self.on_close is not None:
            self.on_close()
        self._resume_reading()
        self._check_channels_ended()

    def written(self) -> None:
        """The sink has fewer bytes queued than before."""
        self._resume_reading()

    def overflow(self, dropped: int) -> None:
        """The client does not read; ``dropped`` frames that waited for it are lost."""
        self.hub.dropped_frames += dropped
        # Before the log: what listens to it may broadcast, and come back here.
        self.close(SLOW_CONSUMER)
        _logger.warning(
            "%s is too slow: closing it with %s, %s frames dropped",
            self._name,
            SLOW_CONSUMER,
            dropped,
        )

    async def finish(self) -> None:
        """The transport has nothing more to do for this connection: its last call, the connection is gone.

        Returns when the last channel has ended, so that a server that waits for its own task waits for them too.
        """
        self.close(None)
        try:
            await self._channels_ended.wait()
        finally:
            self._transport_ended.set()
            if self._channels_ended.is_set():
                self.lane.ended(self)

    async def wait_ended(self) -> None:
        """Return when the transport has finished and the last channel has ended."""
        await self._transport_ended.wait()
        await self._channels_ended.wait()

    # What the lane calls

    @property
    def idle_deadline(self) -> float:
        """When to close the connection if nothing changes until then.

        While it is not read the client cannot help its silence: then only the channels have a deadline.
        """
        if self.reading_paused:
            return self._last_received + self.limits.paused_seconds
        return float("inf") if self.timeout is None else self._last_received + self.timeout

    def idle(self) -> None:
        """The deadline has passed: the client is silent (P-081), or its channels have got stuck."""
        if self.reading_paused:
            _logger.error(
                "%s: nothing of what waits has moved for %s s (channels or client), closing with %s",
                self._name,
                self.limits.paused_seconds,
                SLOW_CONSUMER,
            )
            self.close(SLOW_CONSUMER)
        else:
            self.close(1002)

    # What the channels call

    @property
    def channels(self) -> int:
        return len(self._servers)

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
                    self._name,
                    event.topic,
                    ", ".join(map(repr, self.socket.channels)) or "none",
                )
            else:
                _logger.error(
                    "%s: no more than %s channels on one connection, refusing %.200r",
                    self._name,
                    event.limit,
                    event.topic,
                )

    def accept_join(self, entry: Entry[ChannelSpec], response: Payload) -> list[Event[ChannelSpec]]:
        """Send the join's reply; the events that waited for it.  Closes the connection when it cannot (P-054)."""
        try:
            events = self._connection.accept_join(entry, response)
        except EncodeError as error:
            _logger.warning("the reply of a join on %.200r cannot be sent, closing: %s", entry.topic, error)
            self.close(1011)
            return []
        self._flush()
        return events

    def refuse_join(self, entry: Entry[ChannelSpec], response: Payload) -> None:
        try:
            events = self._connection.refuse_join(entry, response)
        except EncodeError as error:
            _logger.warning("the refusal of a join on %.200r cannot be sent, closing: %s", entry.topic, error)
            self.close(1011)
            return
        self._flush()
        self.handle(events)

    def push(self, entry: Entry[ChannelSpec], event: str, payload: Payload) -> None:
        self._connection.push(entry, event, payload)
        self._flush()

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
        self._check_channels_ended()
        self._resume_reading()

    def add_inbound(self, count: int, size: int) -> None:
        """So many more, or fewer, messages and bytes of the client wait in its channels."""
        self.inbound += count
        self.inbound_bytes += size
        if count < 0:
            self._resume_reading()

    def spawn(self, function: AsyncFunction, *args: object, on_done: Callable[[], None] | None = None) -> Task:
        """Start a task of this connection, in a copy of the context that its server and ``connect`` made."""
        return self.lane.loop.spawn(function, *args, on_done=on_done, context=self.context.copy())

    # Help

    @property
    def _name(self) -> str:
        return type(self.socket).__qualname__

    def _join(self, entry: Entry[ChannelSpec], payload: Payload) -> None:
        old = self._latest.get(entry.topic)
        server = self._servers[entry] = self._latest[entry.topic] = ChannelServer(self, entry)
        if entry.replaces is not None:
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

    def _receive_on_id(self, broadcast: EncodedBroadcast) -> None:
        # P-079: other events on this topic mean nothing to the connection.
        if broadcast.event == "disconnect":
            self.close(1001, "disconnected")

    def _resume_reading(self) -> None:
        if self._readable is not None and not self.reading_paused:
            self._last_received = self._now()
            self._readable.set()
            self._readable = None
            self.lane.idle_changed(self)

    def _check_channels_ended(self) -> None:
        if self.closed and not self._servers:
            self._channels_ended.set()
            if self._transport_ended.is_set():
                self.lane.ended(self)

    def _flush(self) -> None:
        for frame in self._connection.frames_to_send():
            self.sink.write(frame)
        # Whatever made frames may also have taken what waited.
        self._resume_reading()
