"""A driver for one ClientConnection: a clock that is turned by hand, and what it has been told."""

import json
from typing import Any

from phoenix_channels.protocol.client import ClientConnection
from phoenix_channels.protocol.client_events import ClientChannel, ClientEvent, JoinParams
from phoenix_channels.protocol.client_states import ChannelState
from phoenix_channels.protocol.messages import EMPTY, Opcode, Payload
from phoenix_channels.protocol.payloads import decode_payload, encode_term
from phoenix_channels.protocol.serializers import V2JSONSerializer


def raw(term: Any) -> Payload:
    """One JSON term, or bytes, encoded."""
    return encode_term(term)


class ClientDriver:
    def __init__(self, **options: Any) -> None:
        self.client = ClientConnection(**options)
        self.now = 100.0

    # The transport

    def open(self) -> list[ClientEvent]:
        """Connect, and the transport opens."""
        return self.client.connect(self.now) + self.client.opened(self.now)

    def close(self, code: int | None = None, *, refused: bool = False) -> list[ClientEvent]:
        return self.client.closed(code, self.now, refused=refused)

    def hear(self, join_ref: str | None, ref: str | None, topic: str, event: str, payload: Any) -> list[ClientEvent]:
        """The server sends this text."""
        text = json.dumps([join_ref, ref, topic, event, payload])
        return self.client.receive(text, Opcode.TEXT, self.now)

    def hear_reply(self, ref: str, topic: str, status: str = "ok", response: Any = None) -> list[ClientEvent]:
        """The server answers, with the join_ref that the topic's channel has."""
        join_ref = next((channel.join_ref for channel in self.client.channels if channel.topic == topic), None)
        payload = {"status": status, "response": {} if response is None else response}
        return self.hear(join_ref, ref, topic, "phx_reply", payload)

    def sent(self) -> list[tuple[Any, ...]]:
        """What the server has got since the last call: (join_ref, ref, topic, event, payload) each."""
        messages = [V2JSONSerializer().decode(frame.data, frame.opcode) for frame in self.client.frames_to_send()]
        return [(m.join_ref, m.ref, m.topic, m.event, decode_payload(m.payload)) for m in messages]

    # Time

    def wait(self, seconds: float) -> list[ClientEvent]:
        """Time passes, and everything is done when it is due."""
        end, events = self.now + seconds, list[ClientEvent]()
        while (deadline := self.client.next_deadline()) is not None and deadline <= end + 1e-9:
            self.now = max(self.now, deadline)
            events += self.client.handle_timeout(self.now)
        self.now = end
        return events

    def next(self) -> float | None:
        """In how many seconds something is due."""
        deadline = self.client.next_deadline()
        return None if deadline is None else round(deadline - self.now, 6)

    # Channels

    def join(self, topic: str = "room:1", params: JoinParams = EMPTY) -> ClientChannel:
        """A channel that waits for its join."""
        channel = self.client.channel(topic, params)
        self.client.join(channel, self.now)
        return channel

    def joined(self, topic: str = "room:1") -> ClientChannel:
        """A channel whose join was answered; what was sent for that is taken out."""
        channel = self.join(topic)
        assert channel.join_ref is not None
        self.hear_reply(channel.join_ref, topic)
        self.sent()
        assert channel.state is ChannelState.JOINED
        return channel


def opened(**options: Any) -> ClientDriver:
    driver = ClientDriver(**options)
    driver.open()
    return driver


def join(ref: str, topic: str = "room:1", params: Any = None) -> tuple[Any, ...]:
    return (ref, ref, topic, "phx_join", {} if params is None else params)


def leave(join_ref: str, ref: str, topic: str = "room:1") -> tuple[Any, ...]:
    return (join_ref, ref, topic, "phx_leave", {})
