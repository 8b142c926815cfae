"""The client's end of a connection without a network: frames go in and out as a transport would carry them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, final

import anyio

from phoenix_channels import telemetry
from phoenix_channels.channel import Channel, ChannelSpec
from phoenix_channels.protocol.client_messages import ServerMessage, decode_message, encode_message
from phoenix_channels.protocol.events import Entry
from phoenix_channels.protocol.messages import PHX_JOIN, PHX_REPLY, Frame, FrameBatch, Opcode
from phoenix_channels.protocol.payloads import decode_payload, encode_term
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.runtime.channels_driver import ChannelsDriver
from phoenix_channels.testing.crashes import Crash
from phoenix_channels.testing.inbox import Feed, Inbox


@final
class Wire:
    """A transport in memory: the :class:`Sink` of a driver, and how the client's frames get to it.

    What the client sends arrives in the next turn of the event loop: as from a network, and never while it is sent.
    Its client is a fast reader: nothing ever waits here.
    """

    queued_bytes = 0

    def __init__(self, driver: ChannelsDriver, receive: Callable[[Frame], None], closed: Callable[[int], None]) -> None:
        self._driver = driver
        self._receive = receive
        self._closed = closed
        self._over = False
        self._queue: deque[Frame] = deque()
        self._scheduled = False
        # The driver does not want to be read any further, and will call.
        self._held = False
        self._read: anyio.Event | None = None

    def send(self, frame: Frame) -> None:
        """Send a frame of the client."""
        self._queue.append(frame)
        self._schedule()

    async def wait_read(self) -> None:
        """Return when the server has read all that was sent, or reads no more."""
        while self._queue and not self._over:
            if self._read is None:
                self._read = anyio.Event()
            await self._read.wait()

    def _tell_read(self) -> None:
        if self._read is not None:
            self._read.set()
            self._read = None

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._driver.lane.loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._scheduled = False
        self._driver.context.copy().run(self._hand_over_each)

    def _hand_over_each(self) -> None:
        while self._queue and not self._held:
            frame = self._queue.popleft()
            data = frame.text if frame.opcode is Opcode.TEXT else frame.data
            self._held = not self._driver.receive(data, frame.opcode)
        self._tell_read()

    # The sink

    def write(self, frames: Frame | FrameBatch, source: Subscription | None = None) -> None:
        for frame in frames.frames:
            if not self._over:
                self._receive(frame)

    def ping(self, payload: bytes) -> bool:
        return True

    def close(self, code: int) -> None:
        self._over = True
        self._tell_read()
        self._closed(code)
        self._driver.connection_lost()

    def resume_reading(self) -> None:
        self._held = False
        self._schedule()


@final
class Client:
    """The client at the end of a wire: refs, and which message is for whom (P-139 to P-141)."""

    def __init__(self, driver: ChannelsDriver) -> None:
        self.driver = driver
        self.feed = Feed()
        self.close_code: int | None = None
        """The code with which the server has closed the connection."""
        self._wire = Wire(driver, self._receive, self._closed)
        self._refs = 0
        # By ref, by the ref of the join, and the join that holds each topic.
        self._replies: dict[str, Inbox] = {}
        self._pushes: dict[str, Inbox] = {}
        self._joined: dict[str, str] = {}
        self._channels: dict[str, tuple[Entry[ChannelSpec], Channel[Any]]] = {}

    async def start(self) -> bool:
        """Begin; False when the connection could not, and is closed."""
        telemetry.attach(telemetry.CHANNEL_CRASHED, self._crashed)
        return await self.driver.start(self._wire)

    def join(self, topic: str, payload: object) -> tuple[str, Inbox, Inbox]:
        """Send a ``phx_join``: its ref, where its reply comes to, and where the channel's pushes come to.

        Raises: as :meth:`push`.
        """
        ref, replies = self.push(None, topic, PHX_JOIN, payload)
        pushes = self._pushes[ref] = Inbox(self.feed, "push", f"on {topic!r}")
        return ref, replies, pushes

    def push(self, join_ref: str | None, topic: str, event: str, payload: object) -> tuple[str, Inbox]:
        """Send an event: its ref, and where its replies come to; the ``join_ref`` of a join is its own ref (P-139).

        Raises:
            EncodeError: the payload has no wire form; then nothing was sent, and the ref is still to be had.
        """
        ref = str(self._refs + 1)
        frame = encode_message(ref if join_ref is None else join_ref, ref, topic, event, encode_term(payload))
        self._refs += 1
        replies = self._replies[ref] = Inbox(self.feed, "reply", f"to {event!r} on {topic!r}")
        self._wire.send(frame)
        return ref, replies

    def channel(self, join_ref: str) -> Channel[Any]:
        """The server's instance of a join that has succeeded."""
        return self._channels[join_ref][1]

    async def wait_over(self, join_ref: str, seconds: float) -> bool:
        """Wait until the channel of a join is over, ``terminate`` included; False when it takes longer."""
        with anyio.move_on_after(seconds):
            await self.driver.wait_over(self._channels[join_ref][0])
            return True
        return False

    async def wait_ended(self, seconds: float) -> bool:
        """Wait until nothing of the connection runs any more; False when it takes longer."""
        with anyio.move_on_after(seconds):
            await self.driver.wait_ended()
            return True
        return False

    async def close(self) -> None:
        """Go away, and wait until nothing of the connection runs any more.

        What the client has sent before arrives before, as from a network.
        """
        try:
            try:
                await self._wire.wait_read()
            finally:
                self._end("the test has closed the connection")
                self.driver.connection_lost()
            await self.driver.wait_ended()
        finally:
            telemetry.detach(telemetry.CHANNEL_CRASHED, self._crashed)

    def abandon(self) -> None:
        """Go away without waiting: the connection did not begin, or nobody may wait any more."""
        self.driver.connection_lost()
        telemetry.detach(telemetry.CHANNEL_CRASHED, self._crashed)

    # What comes from the server

    def _receive(self, frame: Frame) -> None:
        message = decode_message(frame.data, frame.opcode)
        if message.event == PHX_REPLY and message.status is not None:
            self._reply(message, message.status)
            return
        # P-140: without a join_ref it is for whoever has joined the topic.
        join_ref = self._joined.get(message.topic) if message.join_ref is None else message.join_ref
        pushes = None if join_ref is None else self._pushes.get(join_ref)
        if pushes is not None:
            pushes.put(message.event, decode_payload(message.payload))

    def _reply(self, message: ServerMessage, status: str) -> None:
        ref = message.ref
        if ref is None or ref not in self._replies:
            return
        if ref in self._pushes and status == "ok":
            # Now, because it may be over in a moment.
            self._joined[message.topic] = ref
            for entry, channel in self.driver.list_channels():
                if entry.ref == ref and channel is not None:
                    self._channels[ref] = (entry, channel)
        self._replies[ref].put(status, decode_payload(message.payload))

    def _closed(self, code: int) -> None:
        self.close_code = code
        self._end(f"the server has closed the connection with {code}")

    def _end(self, why: str) -> None:
        if self.feed.over is None:
            self.feed.over = why
            self.feed.tell()

    def _crashed(self, event: str, measurements: object, metadata: Any) -> None:
        if metadata["socket"] is self.driver.socket:
            crash = Crash(metadata["channel"], metadata["topic"], metadata["callback"], metadata["error"])
            self.feed.crashes.add(crash)
            self.feed.tell()
