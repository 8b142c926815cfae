"""The channels of a client: joins that are repeated, and the pushes that wait for them (P-140 to P-144, P-146)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeAlias, final

from phoenix_channels.protocol.client_events import (
    ChannelClosed,
    ChannelErrored,
    ClientChannel,
    ClientEvent,
    ClientPush,
    JoinFailed,
    JoinSucceeded,
    JoinTimedOut,
    Ladder,
    MessageReceived,
    PushLost,
    PushTimedOut,
    ReplyReceived,
)
from phoenix_channels.protocol.client_messages import ServerMessage, check_message, encode_message
from phoenix_channels.protocol.client_states import (
    CHANNEL,
    COMMANDS,
    KEEPS_BUFFERED,
    KEEPS_SENT,
    ChannelInput,
    ChannelState,
)
from phoenix_channels.protocol.deadlines import Deadlines
from phoenix_channels.protocol.errors import LocalProtocolError, PushBufferFull
from phoenix_channels.protocol.messages import EMPTY, PHX_CLOSE, PHX_ERROR, PHX_JOIN, PHX_LEAVE, Frame, Payload

_HOLDING: Final = frozenset({ChannelState.JOINING, ChannelState.JOINED})


class Clock(IntEnum):
    """What the connection itself waits for."""

    HEARTBEAT = 0
    RECONNECT = 1


Due: TypeAlias = Clock | ClientChannel | ClientPush
"""Whatever has a deadline."""


@final
class Wire:
    """What the connection and its channels share: one counter of refs, one stream of frames, one set of deadlines."""

    __slots__ = ("_ref", "deadlines", "frames", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        self.frames: list[Frame] = []
        self.deadlines = Deadlines[Due]()
        self._ref = 0

    def next_ref(self) -> str:
        # P-139
        self._ref += 1
        return str(self._ref)

    def send(self, join_ref: str | None, ref: str, topic: str, event: str, payload: Payload) -> None:
        """Make a frame for the transport that is open."""
        self.frames.append(encode_message(join_ref, ref, topic, event, payload))


@final
class Channels:
    """The channels of one connection; its public face is :class:`ClientConnection`."""

    __slots__ = ("_by_topic", "_max_buffered_bytes", "_rejoin_after", "_wire", "all")

    def __init__(self, wire: Wire, rejoin_after: Ladder, max_buffered_bytes: float) -> None:
        self._wire = wire
        self._rejoin_after = rejoin_after
        self._max_buffered_bytes = max_buffered_bytes
        self.all: dict[ClientChannel, None] = {}
        """From their join to their end, in the order in which they were joined."""
        self._by_topic: dict[str, list[ClientChannel]] = {}
        """More than one only while the others are being left, or have no join (P-143)."""

    # What their owner commands

    def join(self, channel: ClientChannel, now: float, timeout: float) -> list[ClientEvent]:
        self._check(channel, ChannelInput.JOIN)
        channel.timeout = timeout
        self.all[channel] = None
        self._by_topic.setdefault(channel.topic, []).append(channel)
        return self._join(channel, ChannelInput.JOIN, now)

    def push(self, push: ClientPush, now: float) -> None:
        channel = push.channel
        self._check(channel, ChannelInput.PUSH)
        if channel.state is ChannelState.JOINED:
            self._send_push(push, now)
            return
        check_message(channel.topic, push.event, push.payload)
        if channel.buffered_bytes >= self._max_buffered_bytes:
            raise PushBufferFull(f"{channel.buffered_bytes} bytes wait for the join of {channel.topic!r} already")
        channel.buffer[push] = None
        channel.buffered_bytes += push.size
        self._wire.deadlines.set(push, now + push.timeout)

    def leave(self, channel: ClientChannel, now: float, timeout: float) -> list[ClientEvent]:
        if self._check(channel, ChannelInput.LEAVE) is channel.state:
            return []
        self._step(channel, ChannelInput.LEAVE)
        if channel.state is ChannelState.CLOSED:
            return self._ended(channel, now, ChannelClosed(channel))
        if not self._wire.is_open:
            # There is nobody to tell.
            return self._end(channel, ChannelInput.LOST, now, ChannelClosed(channel))
        channel.leave_ref = self._send(channel, PHX_LEAVE, EMPTY)
        self._wire.deadlines.set(channel, now + timeout)
        return self._lose_pushes(channel)

    # What the server sends

    def take(self, message: ServerMessage, now: float) -> list[ClientEvent]:
        channels = list(self._by_topic.get(message.topic, ()))
        return [event for channel in channels for event in self._take(channel, message, now)]

    def _take(self, channel: ClientChannel, message: ServerMessage, now: float) -> list[ClientEvent]:
        # P-140
        join_ref, payload = channel.join_ref, message.payload
        if join_ref is None or message.join_ref not in (None, join_ref):
            return []
        if message.status is not None:
            return self._take_reply(channel, message.ref, message.status, payload, now)
        if message.event == PHX_CLOSE:
            return self._end(channel, ChannelInput.CLOSE, now, ChannelClosed(channel))
        if message.event == PHX_ERROR:
            return self._end(channel, ChannelInput.ERROR, now, ChannelErrored(channel, payload))
        # P-053: before the reply to its join nothing is sent to a channel; what comes then was for another.
        heard = self._step(channel, ChannelInput.MESSAGE)
        return [MessageReceived(channel, message.event, payload, join_ref)] if heard else []

    def _take_reply(
        self, channel: ClientChannel, ref: str | None, status: str, response: Payload, now: float
    ) -> list[ClientEvent]:
        # P-141
        if ref is None:
            return []
        if ref == channel.leave_ref:
            return self._end(channel, ChannelInput.LEFT, now, ChannelClosed(channel))
        if ref == channel.join_ref:
            if status == "ok":
                return self._accept(channel, response, now)
            return self._end(channel, ChannelInput.REFUSED, now, JoinFailed(channel, status, response))
        push = channel.sent.pop(ref, None)
        if push is None:
            return []
        self._wire.deadlines.cancel(push)
        return [ReplyReceived(push, status, response)]

    def _accept(self, channel: ClientChannel, response: Payload, now: float) -> list[ClientEvent]:
        if not self._step(channel, ChannelInput.ACCEPTED):
            return []
        channel.tries = 0
        self._wire.deadlines.cancel(channel)
        pushes, channel.buffer, channel.buffered_bytes = channel.buffer, {}, 0
        for push in pushes:
            self._send_push(push, now)
        return [JoinSucceeded(channel, response)]

    # What transport and time bring

    def opened(self, now: float) -> list[ClientEvent]:
        """Send the joins that wait, then repeat those that have failed."""
        channels, events = list(self.all), list[ClientEvent]()
        for channel in channels:
            channel.tries = 0
            if channel.state is ChannelState.JOINING:
                self._send_join(channel)
        for channel in channels:
            if channel.state is ChannelState.ERRORED:
                events += self._join(channel, ChannelInput.REJOIN, now)
        return events

    def lost(self, now: float) -> list[ClientEvent]:
        """No join outlives its transport (P-146)."""
        events: list[ClientEvent] = []
        for channel in list(self.all):
            # Also of one that has errored before: it no longer waits for the ladder but for the next transport.
            self._wire.deadlines.cancel(channel)
            events += self._end(channel, ChannelInput.LOST, now, ChannelErrored(channel, None))
        return events

    def channel_due(self, channel: ClientChannel, now: float) -> list[ClientEvent]:
        if channel.state is ChannelState.ERRORED:
            channel.tries += 1
            return self._join(channel, ChannelInput.REJOIN, now)
        if channel.state is ChannelState.JOINING and self._wire.is_open:
            # The server may still accept, and nobody would hear of it (P-051).
            self._send(channel, PHX_LEAVE, EMPTY)
        return self._end(channel, ChannelInput.TIMEOUT, now, JoinTimedOut(channel))

    def push_due(self, push: ClientPush) -> list[ClientEvent]:
        self.forget(push)
        return [PushTimedOut(push)]

    def forget(self, push: ClientPush) -> None:
        channel = push.channel
        if push in channel.buffer:
            del channel.buffer[push]
            channel.buffered_bytes -= push.size
        elif push.ref is not None:
            channel.sent.pop(push.ref, None)
        self._wire.deadlines.cancel(push)

    # Their states

    def _check(self, channel: ClientChannel, command: ChannelInput) -> ChannelState:
        """What the command makes of the channel."""
        state = CHANNEL[channel.state].get(command)
        if state is None:
            legal = ", ".join(known.name for known in CHANNEL[channel.state] if known in COMMANDS)
            raise LocalProtocolError(f"{command.name} is not legal for {channel!r}; legal: {legal}")
        return state

    def _step(self, channel: ClientChannel, input_: ChannelInput) -> bool:
        """Is it the time for this?  Then it moves the channel."""
        state = CHANNEL[channel.state].get(input_)
        if state is None:
            return False
        channel.state = state
        return True

    def _join(self, channel: ClientChannel, input_: ChannelInput, now: float) -> list[ClientEvent]:
        # P-143: who joins last has the topic.
        others = [other for other in self._by_topic[channel.topic] if other.state in _HOLDING]
        events = [event for other in others for event in self.leave(other, now, other.timeout)]
        self._step(channel, input_)
        self._wire.deadlines.set(channel, now + channel.timeout)
        if self._wire.is_open:
            self._send_join(channel)
        return events

    def _end(self, channel: ClientChannel, input_: ChannelInput, now: float, news: ClientEvent) -> list[ClientEvent]:
        """The channel errors or closes, if it is the time for this."""
        return self._ended(channel, now, news) if self._step(channel, input_) else []

    def _ended(self, channel: ClientChannel, now: float, news: ClientEvent) -> list[ClientEvent]:
        channel.join_ref = channel.leave_ref = None
        self._wire.deadlines.cancel(channel)
        if channel.state is ChannelState.CLOSED:
            # Whatever ends a channel that is being left, it was wanted.
            news = ChannelClosed(channel)
            self._forget(channel)
        elif self._wire.is_open:
            self._wire.deadlines.set(channel, now + self._rejoin_after(channel.tries + 1))
        return [news, *self._lose_pushes(channel)]

    def _forget(self, channel: ClientChannel) -> None:
        # One that was never joined is not known.
        self.all.pop(channel, None)
        others = [other for other in self._by_topic.pop(channel.topic, ()) if other is not channel]
        if others:
            self._by_topic[channel.topic] = others

    def _lose_pushes(self, channel: ClientChannel) -> list[ClientEvent]:
        lost: list[ClientPush] = []
        if channel.state not in KEEPS_SENT:
            lost += channel.sent.values()
            channel.sent = {}
        if channel.state not in KEEPS_BUFFERED:
            lost += channel.buffer
            channel.buffer, channel.buffered_bytes = {}, 0
        for push in lost:
            self._wire.deadlines.cancel(push)
        return [PushLost(push) for push in lost]

    # Their frames

    def _send_join(self, channel: ClientChannel) -> None:
        # P-139: the ref of the join is the join_ref of all that follows.
        params = channel.params() if callable(channel.params) else channel.params
        ref = channel.join_ref = self._wire.next_ref()
        self._wire.send(ref, ref, channel.topic, PHX_JOIN, params)

    def _send(self, channel: ClientChannel, event: str, payload: Payload) -> str:
        ref = self._wire.next_ref()
        self._wire.send(channel.join_ref, ref, channel.topic, event, payload)
        return ref

    def _send_push(self, push: ClientPush, now: float) -> None:
        push.ref = self._send(push.channel, push.event, push.payload)
        if push.reply:
            push.channel.sent[push.ref] = push
            self._wire.deadlines.set(push, now + push.timeout)
        else:
            self._wire.deadlines.cancel(push)
