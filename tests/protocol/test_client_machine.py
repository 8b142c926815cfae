"""A pure client against a pure server: whatever the network, the application and the clock do between them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from phoenix_channels.protocol.client import ClientConnection
from phoenix_channels.protocol.client_events import (
    ChannelClosed,
    ChannelErrored,
    ClientChannel,
    ClientEvent,
    ClientPush,
    CloseConnection,
    Closed,
    JoinFailed,
    JoinSucceeded,
    JoinTimedOut,
    MessageReceived,
    OpenConnection,
    PushLost,
    PushTimedOut,
    ReplyReceived,
)
from phoenix_channels.protocol.client_states import ChannelState, ConnectionState
from phoenix_channels.protocol.errors import LocalProtocolError
from phoenix_channels.protocol.messages import EMPTY
from phoenix_channels.protocol.payloads import decode_payload, encode_term
from tests.protocol.client_world import TOPICS, Transport, no_messages

T = TypeVar("T")

PICK = st.integers(0, 5)
A_TOPIC = st.sampled_from(["a", "a", "a", "b"])
MAX_CHANNELS = 6
WANTING = set(ConnectionState) - {ConnectionState.IDLE, ConnectionState.CLOSING}
PUSHABLE = {ChannelState.JOINING, ChannelState.JOINED, ChannelState.ERRORED}
HOLDING = {ChannelState.JOINING, ChannelState.JOINED}


def choose(candidates: Sequence[T], pick: int) -> T:
    """The latest for 0: what happens to it is what examples should shrink to."""
    return candidates[-1 - pick % len(candidates)]


class ClientMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.client = ClientConnection(
            timeout=4,
            heartbeat_interval=6,
            heartbeat_timeout=5,
            reconnect_after=self.ladder,
            rejoin_after=self.ladder,
            max_buffered_bytes=3000,
        )
        self.now = 0
        self.transport: Transport | None = None
        self.channels: list[ClientChannel] = []
        self.live: dict[ClientChannel, str] = {}
        """What the owner takes for joined, and by which join_ref."""
        self.closed: set[ClientChannel] = set()
        self.pushes: dict[ClientPush, int] = {}
        """With their numbers."""
        self.ends: Counter[ClientPush] = Counter()
        self.forgotten: set[ClientPush] = set()
        self.sent = no_messages()
        self.received: dict[str, list[int]] = defaultdict(list)
        self.messages = 0

    def ladder(self, tries: int) -> float:
        assert tries >= 1
        return min(tries, 3)

    # What the driver of a client does

    def act(self, events: Sequence[ClientEvent]) -> None:
        frames = self.client.frames_to_send()
        if frames:
            assert self.transport is not None
            assert self.transport.is_open
            assert not self.transport.closing
            self.transport.to_server += frames
        # Of a channel that has to leave because another one takes its topic, only its state tells at first.
        self.live = {channel: ref for channel, ref in self.live.items() if channel.state is ChannelState.JOINED}
        for event in events:
            self.hear(event)

    def hear(self, event: ClientEvent) -> None:
        match event:
            case OpenConnection():
                assert self.transport is None
                self.transport = Transport(self.sent)
            case CloseConnection():
                assert self.transport is not None
                assert not self.transport.closing
                self.transport.closing = True
            case JoinSucceeded(channel, response):
                assert channel not in self.live
                assert decode_payload(response) == {"join_ref": channel.join_ref}
                assert channel.join_ref is not None
                self.live[channel] = channel.join_ref
            case JoinFailed(channel) | JoinTimedOut(channel):
                assert channel not in self.live
                assert channel not in self.closed
            case ChannelErrored(channel):
                assert channel not in self.closed
                self.live.pop(channel, None)
            case ChannelClosed(channel):
                assert channel not in self.closed
                self.closed.add(channel)
                self.live.pop(channel, None)
            case MessageReceived(channel, "news", payload, join_ref):
                assert self.live[channel] == join_ref
                self.received[join_ref].append(decode_payload(payload)["n"])
            case ReplyReceived(push, "ok", response):
                assert decode_payload(response) == {"n": self.pushes[push]}
                self.ends[push] += 1
            case ReplyReceived(push, "error", response):
                # To a channel of the server that is gone, while its end was on the way to us.
                assert decode_payload(response) == {"reason": "unmatched topic"}
                self.ends[push] += 1
            case PushTimedOut(push) | PushLost(push):
                self.ends[push] += 1
            case _:
                assert type(event).__name__ in {"Opened", "Closed"}

    # The owner

    @initialize()
    def one_channel_waits(self) -> None:
        self.join("a")
        self.act(self.client.connect(self.now))

    def join(self, topic: str) -> None:
        channel = self.client.channel(topic)
        self.channels.append(channel)
        self.act(self.client.join(channel, self.now))

    @rule(wanted=st.sampled_from([True, True, False]))
    def owner_connects_or_disconnects(self, wanted: bool) -> None:
        self.act(self.client.connect(self.now) if wanted else self.client.disconnect(self.now))

    @precondition(lambda self: len(self.channels) < MAX_CHANNELS)
    @rule(topic=A_TOPIC)
    def owner_joins(self, topic: str) -> None:
        self.join(topic)

    def pushable(self) -> list[ClientChannel]:
        return [channel for channel in self.channels if channel.state in PUSHABLE and channel.buffered_bytes < 3000]

    @precondition(lambda self: self.pushable())
    @rule(pick=PICK, timeout=st.none() | st.integers(1, 20), reply=st.sampled_from([True, True, False]))
    def owner_pushes(self, pick: int, timeout: int | None, reply: bool) -> None:
        number = len(self.pushes)
        channel, payload = choose(self.pushable(), pick), encode_term({"n": number})
        push = self.client.push(channel, "shout", payload, self.now, timeout, reply=reply)
        self.pushes[push] = number
        self.act([])

    @precondition(lambda self: self.pushes)
    @rule(pick=PICK)
    def owner_forgets_a_push(self, pick: int) -> None:
        push = choose(list(self.pushes), pick)
        self.client.forget(push)
        if push not in self.ends:
            self.forgotten.add(push)
        self.act([])

    @rule(pick=PICK, timeout=st.none() | st.integers(1, 20))
    def owner_leaves(self, pick: int, timeout: int | None) -> None:
        self.act(self.client.leave(choose(self.channels, pick), self.now, timeout))

    @rule(pick=PICK)
    def owner_tries_what_is_illegal(self, pick: int) -> None:
        channel = choose(self.channels, pick)
        with pytest.raises(LocalProtocolError):
            self.client.join(channel, self.now)
        if channel not in self.pushable():
            with pytest.raises(LocalProtocolError):
                self.client.push(channel, "shout", EMPTY, self.now)
        self.act([])

    # The network

    @precondition(lambda self: self.transport is not None)
    @rule(what=st.sampled_from(["open", "open", "open", "close"]), code=st.sampled_from([None, 1000, 1012]))
    def transport_opens_or_closes(self, what: str, code: int | None) -> None:
        assert self.transport is not None
        if what == "open" and not self.transport.is_open:
            self.transport_opens()
        elif what == "close" or self.transport.closing:
            self.transport_closes(code)

    def transport_opens(self) -> None:
        assert self.transport is not None
        self.transport.is_open = True
        self.act(self.client.opened(self.now))

    def transport_closes(self, code: int | None) -> None:
        self.transport = None
        events = self.client.closed(code, self.now)
        assert events[0] == Closed(code)
        self.act(events)

    def flowing(self) -> Transport | None:
        return self.transport if self.transport is not None and self.transport.is_open else None

    @precondition(lambda self: self.flowing())
    @rule(count=st.integers(1, 5), up=st.booleans())
    def network_delivers(self, count: int, up: bool) -> None:
        transport = self.flowing()
        assert transport is not None
        for _ in range(count):
            if up and transport.to_server:
                transport.deliver()
            elif not up and transport.to_client:
                self.deliver(transport)

    def deliver(self, transport: Transport) -> None:
        frame = transport.to_client.popleft()
        self.act(self.client.receive(frame.data, frame.opcode, self.now))

    # The application of the server

    @precondition(lambda self: self.transport is not None and self.transport.deciding)
    @rule(pick=PICK, accepted=st.sampled_from([True, True, False]))
    def server_decides(self, pick: int, accepted: bool) -> None:
        assert self.transport is not None
        self.transport.decide(choose(self.transport.deciding, pick), accepted=accepted)

    @precondition(lambda self: self.transport is not None and self.transport.joined())
    @rule(pick=PICK, broadcast=st.booleans())
    def server_sends_a_message(self, pick: int, broadcast: bool) -> None:
        assert self.transport is not None
        self.messages += 1
        self.transport.push(choose(self.transport.joined(), pick), self.messages, broadcast=broadcast)

    @precondition(lambda self: self.transport is not None and self.transport.received)
    @rule(pick=PICK)
    def server_replies_perhaps_late_and_perhaps_twice(self, pick: int) -> None:
        assert self.transport is not None
        self.transport.reply(*choose(self.transport.received, pick))

    @precondition(lambda self: self.transport is not None and self.transport.live())
    @rule(pick=PICK, crash=st.booleans())
    def server_ends_a_channel(self, pick: int, crash: bool) -> None:
        assert self.transport is not None
        self.transport.end(choose(self.transport.live(), pick), crash=crash)

    @precondition(lambda self: self.transport is not None and self.transport.leaves)
    @rule(pick=PICK)
    def server_lets_a_channel_leave(self, pick: int) -> None:
        assert self.transport is not None
        self.transport.finish_leave(*choose(self.transport.leaves, pick))

    # Time

    @rule(seconds=st.integers(1, 12))
    def time_passes_and_the_driver_is_late(self, seconds: int) -> None:
        self.now += seconds
        self.timeout()

    @precondition(lambda self: self.client.next_deadline() is not None)
    @rule()
    def something_is_due(self) -> None:
        self.now = max(self.now, int(self.client.next_deadline() or 0))
        self.timeout()

    def timeout(self) -> None:
        self.act(self.client.handle_timeout(self.now))
        deadline = self.client.next_deadline()
        assert deadline is None or deadline > self.now

    # Do they come together when nothing stands in the way?

    @precondition(lambda self: self.client.state in WANTING)
    @rule()
    def all_goes_well_for_a_while(self) -> None:
        for _ in range(50):
            self.settle()
            if self.client.state is ConnectionState.OPEN and {c.state for c in self.client.channels} <= {
                ChannelState.JOINED
            }:
                break
            self.now = int(self.client.next_deadline() or self.now)
            self.timeout()
        else:
            pytest.fail(f"not joined: {self.client.channels}")
        for channel in self.client.channels:
            assert (channel.buffer, channel.sent, channel.buffered_bytes) == ({}, {}, 0)

    def settle(self) -> None:
        """All that needs no time."""
        while self.transport is not None and (self.transport.closing or not self.transport.is_open):
            if self.transport.closing:
                self.transport_closes(1000)
            else:
                self.transport_opens()
        transport = self.flowing()
        while transport is not None and transport.busy():
            transport.behave()
            while transport.to_client:
                self.deliver(transport)

    # What always holds

    @invariant()
    def the_owner_knows_what_is_joined(self) -> None:
        assert self.live == {c: c.join_ref for c in self.channels if c.state is ChannelState.JOINED}
        assert self.closed == {c for c in self.channels if c.state is ChannelState.CLOSED}
        assert set(self.client.channels) == set(self.channels) - self.closed

    @invariant()
    def a_topic_has_one_channel_at_a_time_p143(self) -> None:
        for topic in TOPICS:
            assert sum(channel.topic == topic and channel.state in HOLDING for channel in self.channels) <= 1

    @invariant()
    def every_message_arrives_in_order_at_the_join_for_which_it_was_sent(self) -> None:
        for join_ref, numbers in self.received.items():
            assert self.sent[join_ref][: len(numbers)] == numbers
        transport = self.flowing()
        if transport is not None and not transport.to_client:
            for join_ref in self.live.values():
                assert self.received[join_ref] == self.sent[join_ref]

    @invariant()
    def no_push_ends_twice(self) -> None:
        assert set(self.ends.values()) <= {1}
        assert not self.forgotten & set(self.ends)
        for push in self.pushes:
            waits = push in push.channel.buffer or push in push.channel.sent.values()
            over = push in self.ends or push in self.forgotten or (not push.reply and push.ref is not None)
            assert waits is not over

    def teardown(self) -> None:
        """All is left, and time brings the rest to its end."""
        self.act(self.client.disconnect(self.now))
        if self.transport is not None:
            self.transport_closes(1000)
        for channel in self.channels:
            self.act(self.client.leave(channel, self.now))
        assert self.client.next_deadline() is None
        assert self.client.channels == []
        for push in self.pushes:
            assert push in self.ends or push in self.forgotten or not push.reply


# Long runs: much of what can go wrong needs a join, its end, and another join.
ClientMachine.TestCase.settings = settings(stateful_step_count=80)
TestClientMachine = ClientMachine.TestCase
