"""The driver of one connection: between its transport and whatever answers the client."""

from __future__ import annotations

import contextvars
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Generic, Literal, Protocol, TypeAlias, TypeVar

import anyio
from msgspec import Struct

from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.messages import EncodedBroadcast, Frame, FrameBatch, Opcode
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.runtime.drain import DrainerOption
from phoenix_channels.runtime.hub import Hub
from phoenix_channels.runtime.lane import Lane
from phoenix_channels.runtime.tasks import AsyncFunction, Task
from phoenix_channels.socket import BaseSocket

_logger = logging.getLogger("phoenix_channels")


Control: TypeAlias = Literal["ping", "pong"]

SocketT_co = TypeVar("SocketT_co", bound=BaseSocket, covariant=True)


class Sink(Protocol):
    """Where a driver writes; what a transport has to offer.  No call blocks or raises."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the client, of which :meth:`Driver.written` will be told when they become fewer."""
        ...

    def write(self, frames: Frame | FrameBatch, source: Subscription | None = None) -> None:
        """Send frames, after those written before.

        ``source`` is the channel's subscription, whose policy says what may be dropped; without it nothing may be.
        """
        ...

    def ping(self, payload: bytes) -> bool:
        """Send a ping; False where that is not possible."""
        ...

    def close(self, code: int) -> None:
        """Close the connection after what was written; further frames are ignored."""
        ...

    def resume_reading(self) -> None:
        """:attr:`Driver.reading_paused` is false again; for who has no task that waits in ``wait_readable``."""
        ...


class _Nowhere:
    """The sink of a connection that is over."""

    __slots__ = ()

    queued_bytes = 0

    def write(self, frames: Frame | FrameBatch, source: Subscription | None = None) -> None: ...

    def ping(self, payload: bytes) -> bool:
        return True

    def close(self, code: int) -> None: ...

    def resume_reading(self) -> None: ...


NOWHERE: Final = _Nowhere()


class Terms(Struct, frozen=True, kw_only=True):
    """What its mount lays down for a connection."""

    timeout: float | None = None
    """Seconds without a sign of life after which the connection ends; None for never."""
    polled: bool = False
    """The client reads by requests of its own: it can give a sign of life also while it is not read."""
    max_frame_size: int | None = None
    """Bytes of the largest message that is accepted."""
    drainer: DrainerOption = False
    """How the connection is drained."""


class Driver(ABC, Generic[SocketT_co]):
    """One connection, from its acceptance to the end of all that it has begun."""

    __slots__ = (
        "_id_interest", "_id_subscription", "_last_heard", "_now", "_over", "_paused", "_readable", "_transport_ended",
        "closed", "context", "hub", "lane", "limits", "on_close", "sink", "socket", "socket_id", "terms",
    )  # fmt: skip

    def __init__(self, hub: Hub, lane: Lane, socket: SocketT_co, *, socket_id: str | None, terms: Terms) -> None:
        self.hub = hub
        self.lane = lane
        self.limits = hub.limits
        self.socket = socket
        self.socket_id = socket_id
        self.terms = terms
        self.closed = False
        self.context = contextvars.copy_context()
        self.sink: Sink
        self.on_close: Callable[[], None] | None = None
        """Called once, when the connection begins to end."""
        self._now = lane.loop.now
        self._last_heard = self._now()
        # Somebody was told that reading is paused, and will want to hear when it is not.
        self._paused = False
        self._readable: anyio.Event | None = None
        self._transport_ended = False
        self._over: anyio.Event | None = None
        self._id_interest = False
        self._id_subscription = None if socket_id is None else Subscription(socket_id, self._receive_on_id)

    # What the transport calls

    async def start(self, sink: Sink) -> bool:
        """The connection is open; before its first message.  False when it could not begin, and is closed."""
        self.sink = sink
        if self._id_subscription is not None:
            # P-026: before any message of the client.
            try:
                with anyio.fail_after(self.socket.connect_timeout):
                    await self.hub.subscribe(self.lane, self._id_subscription)
                self._id_interest = True
            except Exception:
                _logger.exception("%s: the backplane does not take the id of a connection, closing", self.name)
                self.close(CloseCode.INTERNAL_ERROR)
                return False
            if self.closed:
                # Lost meanwhile.
                self.hub.unsubscribe(self.lane, self._id_subscription)
                return False
        self.heard()
        self.lane.add(self)
        if self.lane.draining:
            self.close(CloseCode.SERVICE_RESTART, "draining")
        else:
            self._started()
        return True

    def heard(self) -> None:
        """The client has given a sign of life: its silence begins anew (P-081)."""
        self._last_heard = self._now()

    def receive(self, data: str | bytes, opcode: Opcode) -> bool:
        """A whole message has arrived; as :meth:`keep_reading`."""
        if self.closed:
            return True
        most = self.terms.max_frame_size
        # UTF-8 has at most four bytes for a character: encoding only to count is for the rare case.
        if most is not None and len(data) * 4 > most:
            size = len(data) if isinstance(data, bytes) else len(data.encode(errors="replace"))
            if size > most:
                _logger.warning("%s sent a message of %s bytes, over the limit of %s", self.name, size, most)
                self.close(CloseCode.TOO_BIG)
                return True
        self._receive(data, opcode)
        return self.keep_reading()

    def keep_reading(self) -> bool:
        """Whether to read on.  If not, the sink is told as soon as it is."""
        if not self.reading_paused:
            return True
        self._paused = True
        self.lane.idle_changed(self)
        return False

    def control(self, payload: bytes, opcode: Control) -> None:
        """A ping or pong has arrived, where the transport sees them (P-084)."""

    async def wait_handled(self) -> None:
        """Return when what was received last has been handled, if the connection handles one message at a time."""

    @property
    def reading_paused(self) -> bool:
        """True while so much waits to be handled that the transport should not read any further."""
        return not self.closed and (self.sink.queued_bytes >= self.limits.outbox_high_water or self._busy)

    async def wait_readable(self) -> None:
        """Return when :attr:`reading_paused` is false."""
        while self.reading_paused:
            self._paused = True
            if self._readable is None:
                self._readable = anyio.Event()
            await self._readable.wait()

    def close(self, code: int | None, why: str = "closed") -> None:
        """End the connection: close it with this code, or None when it is gone already.

        What answers the client ends with the reason ``("shutdown", why)`` and without a frame (P-068).
        """
        self._close(code, ("shutdown", why))

    def written(self) -> None:
        """The sink has fewer bytes queued than before."""
        if self._paused:
            if not self.terms.polled and not self._busy:
                # It is the client that is waited for, and it moves: however slowly, it has not got stuck.
                self.heard()
            self._resume_reading()

    def dropped(self, source: Subscription, count: int) -> None:
        """So many frames of the channel with this subscription were dropped, as its policy for slow clients says."""
        self.hub.dropped_frames += count

    def overflow(self, dropped: int) -> None:
        """The client does not read; ``dropped`` frames that waited for it are lost."""
        self.hub.dropped_frames += dropped
        # Before the log: what listens to it may broadcast, and come back here.
        self.close(CloseCode.TRY_AGAIN_LATER)
        self.hub.logger.client_overflowed(self.socket, dropped)
        _logger.warning(
            "%s is too slow: closing it with %s, %s frames dropped",
            self.name,
            CloseCode.TRY_AGAIN_LATER,
            dropped,
        )

    def connection_lost(self) -> None:
        """The transport has nothing more to do for this connection: its last call."""
        self.close(None)
        self._transport_ended = True
        self._check_ended()

    async def wait_ended(self) -> None:
        """Return when the transport has finished and nothing of the connection runs any more."""
        while not self.over:
            if self._over is None:
                self._over = anyio.Event()
            await self._over.wait()

    # What the lane calls

    @property
    def idle_deadline(self) -> float:
        """When to close the connection if nothing changes until then.

        While it is not read the client cannot help its silence: then only what it waits for has a deadline.
        """
        if self._paused and self._stuck:
            return self._last_heard + self.limits.paused_seconds
        return float("inf") if self.terms.timeout is None else self._last_heard + self.terms.timeout

    def idle(self) -> None:
        """The deadline has passed: the client is silent (P-081), or what it waits for has got stuck."""
        if self._paused and self._stuck:
            self.close(CloseCode.TRY_AGAIN_LATER)
            _logger.error(
                "%s: nothing of what waits has moved for %s s (handlers or client), closed with %s",
                self.name,
                self.limits.paused_seconds,
                CloseCode.TRY_AGAIN_LATER,
            )
        else:
            self.close(CloseCode.PROTOCOL_ERROR, "inactive" if self.terms.polled else "closed")

    @property
    @abstractmethod
    def channels(self) -> int:
        """How many channels of this connection live, or still end."""

    @property
    @abstractmethod
    def waiting(self) -> tuple[int, int]:
        """How many messages of the client wait to be handled, and their bytes."""

    @property
    @abstractmethod
    def mailboxes(self) -> int:
        """How much waits in the mailboxes of this connection: those messages that are past the core, and all others."""

    # What answers the client calls

    def spawn(
        self, function: AsyncFunction, *args: object, on_done: Callable[[], None] | None = None, eager: bool = False
    ) -> Task:
        """Start a task of this connection, in a copy of the context that its server and ``connect`` made."""
        return self.lane.loop.spawn(function, *args, on_done=on_done, context=self.context.copy(), eager=eager)

    @property
    def name(self) -> str:
        return type(self.socket).__qualname__

    # What a kind of driver adds

    def _started(self) -> None:
        """The connection is open and registered."""

    @abstractmethod
    def _receive(self, data: str | bytes, opcode: Opcode) -> None:
        """Handle a message of the client."""

    @property
    @abstractmethod
    def _busy(self) -> bool:
        """Does so much wait that the client should not be read any further?"""

    @abstractmethod
    def _end(self, reason: object) -> None:
        """The connection is over: begin the end of all that it has begun."""

    @property
    @abstractmethod
    def _finished(self) -> bool:
        """Is that end reached?"""

    def _catch_up(self) -> None:
        """Write what waits elsewhere for this client."""

    # Help

    @property
    def _stuck(self) -> bool:
        return self.reading_paused and not self.terms.polled

    def _close(self, code: int | None, reason: object) -> None:
        if self.closed:
            return
        if code is not None:
            self._catch_up()
            if self.closed:
                return
        self.closed = True
        self.lane.closing(self)
        if self._id_subscription is not None and self._id_interest:
            self.hub.unsubscribe(self.lane, self._id_subscription)
        self._end(reason)
        if code is not None:
            self.sink.close(int(code))
        if self.on_close is not None:
            self.on_close()
        self._resume_reading()
        self._check_ended()

    def _receive_on_id(self, broadcast: EncodedBroadcast) -> None:
        # P-079: other events on this topic mean nothing to the connection.
        if broadcast.event == "disconnect":
            self.close(CloseCode.GOING_AWAY, "disconnected")

    def _resume_reading(self) -> None:
        if self._paused and not self.reading_paused:
            self._paused = False
            if not self.terms.polled:
                self.heard()
            if self._readable is not None:
                self._readable.set()
                self._readable = None
            self.lane.idle_changed(self)
            self.sink.resume_reading()

    @property
    def over(self) -> bool:
        """Has the transport finished, and does nothing of the connection run any more?"""
        return self.closed and self._transport_ended and self._finished

    def _check_ended(self) -> None:
        if self.over:
            self.lane.ended(self)
            # It knows us: what is left of a connection should need no garbage collector.
            self.sink, self.on_close = NOWHERE, None
            if self._id_subscription is not None:
                self._id_subscription.release()
            if self._over is not None:
                self._over.set()
