"""What a client is told, and its handles: a channel, and a push that waits to be sent or answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, final

from msgspec import Struct

from phoenix_channels.protocol.client_messages import check_message
from phoenix_channels.protocol.client_states import ChannelState
from phoenix_channels.protocol.messages import EMPTY, PHX_JOIN, Payload, payload_size

Ladder: TypeAlias = Callable[[int], float]
"""How many seconds to wait before the first, second, ... try since the last success: called with 1, 2, ...

Never negative.  Jitter, if there is to be any, is in here.
"""

JoinParams: TypeAlias = Payload | Callable[[], Payload]
"""What a join sends, or who is asked for it when one is sent: a function that never raises, and whose result fits.

What does not fit is bytes for a topic of more than 255 (P-040): then the call that was about to join raises.
"""

_OVERHEAD: Final = 512


@final
class ClientChannel:
    """One channel of a client, through all its joins: the handle for every command and event about it.

    It is joined once, and from then on again whenever its join ends, until it is closed.  A closed one stays closed:
    for the same topic there can be another.
    """

    __slots__ = (
        "buffer",
        "buffered_bytes",
        "join_ref",
        "leave_ref",
        "params",
        "sent",
        "state",
        "timeout",
        "topic",
        "tries",
    )

    def __init__(self, topic: str, params: JoinParams, timeout: float) -> None:
        check_message(topic, PHX_JOIN, EMPTY if callable(params) else params)
        self.topic = topic
        self.params = params
        self.timeout = timeout
        """Of each join, and of pushes and the leave where nothing else is said, in seconds."""
        self.state = ChannelState.NEW
        self.join_ref: str | None = None
        """Of the present join: from when it is sent until it has ended."""
        self.leave_ref: str | None = None
        self.tries = 0
        """How many rejoins the ladder has counted since the last success."""
        self.buffer: dict[ClientPush, None] = {}
        """What waits for the join, oldest first."""
        self.buffered_bytes = 0
        self.sent: dict[str, ClientPush] = {}
        """What waits for its reply, by ref."""

    def __repr__(self) -> str:
        return f"<ClientChannel {self.topic!r} join_ref={self.join_ref!r} {self.state.name}>"


@final
class ClientPush:
    """One push: the handle for the one event that ends it.

    That is :class:`ReplyReceived`, :class:`PushTimedOut` or :class:`PushLost`; of one without ``reply`` only the
    latter two, and only while it is buffered.
    """

    __slots__ = ("channel", "event", "payload", "ref", "reply", "timeout")

    def __init__(self, channel: ClientChannel, event: str, payload: Payload, timeout: float, *, reply: bool) -> None:
        self.channel = channel
        self.event = event
        self.payload = payload
        self.timeout = timeout
        self.reply = reply
        """Does anybody wait for the reply?"""
        self.ref: str | None = None
        """None until it is sent."""

    @property
    def size(self) -> int:
        """What it costs in bytes while it is buffered, about."""
        return len(self.event) + payload_size(self.payload) + _OVERHEAD

    def __repr__(self) -> str:
        # Without the payload: whoever prints it does not know what in it is secret.
        return f"<ClientPush {self.event!r} on {self.channel.topic!r} ref={self.ref!r}>"


# Orders to the driver


@final
class OpenConnection(Struct, frozen=True):
    """Open a transport now; then ``opened``, or ``closed`` if it cannot be."""


@final
class CloseConnection(Struct, frozen=True):
    """Close the transport, or give up opening it; then ``closed``, after a bounded time even if the peer is silent."""

    code: int
    reason: str


# News


@final
class Opened(Struct, frozen=True):
    """Messages flow.  Joins are sent and repeated without further ado."""


@final
class Closed(Struct, frozen=True):
    """The transport is gone, or could not be opened.

    Unless we asked for it the next one is opened after a pause, whatever the code (P-145).
    """

    code: int | None
    """None: there was no closing handshake."""


@final
class JoinSucceeded(Struct, frozen=True):
    """The channel is joined, or joined again; what was buffered is sent."""

    channel: ClientChannel
    response: Payload


@final
class JoinFailed(Struct, frozen=True):
    """The server refused the join; it is repeated after a pause, for ever, until the channel is left (P-141)."""

    channel: ClientChannel
    status: str
    response: Payload


@final
class JoinTimedOut(Struct, frozen=True):
    """The join was not answered in time, or there was no connection; it is repeated (P-051)."""

    channel: ClientChannel


@final
class MessageReceived(Struct, frozen=True):
    """A push or a broadcast, for a joined channel."""

    channel: ClientChannel
    event: str
    payload: Payload
    join_ref: str
    """Of the join that was the present one: the channel may have another when somebody looks at the message."""


@final
class ChannelErrored(Struct, frozen=True):
    """The join ended and is repeated: the server's channel failed (P-142), or the transport is gone (P-146)."""

    channel: ClientChannel
    reason: Payload | None
    """The payload of ``phx_error``; None: the transport."""


@final
class ChannelClosed(Struct, frozen=True):
    """The end of a channel: it was left, another one took its topic (P-143), or the server closed it (P-142)."""

    channel: ClientChannel


@final
class ReplyReceived(Struct, frozen=True):
    """The server has answered a push."""

    push: ClientPush
    status: str
    response: Payload


@final
class PushTimedOut(Struct, frozen=True):
    """A push was not answered in time, or not sent in time.  A later reply is ignored."""

    push: ClientPush


@final
class PushLost(Struct, frozen=True):
    """The join over which the push was sent has ended, or none will come for it any more: no reply can come.

    If it was sent (:attr:`ClientPush.ref`), the server may have acted on it or not.
    """

    push: ClientPush


ClientEvent: TypeAlias = (
    OpenConnection
    | CloseConnection
    | Opened
    | Closed
    | JoinSucceeded
    | JoinFailed
    | JoinTimedOut
    | MessageReceived
    | ChannelErrored
    | ChannelClosed
    | ReplyReceived
    | PushTimedOut
    | PushLost
)
