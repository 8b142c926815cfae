"""What happens to a socket and to its channels: what ``async for event in socket`` yields."""

from __future__ import annotations

from typing import Any, TypeAlias, final

from msgspec import Struct

from phoenix_channels.client.channel import Channel
from phoenix_channels.protocol.client_events import Opened


@final
class Closed(Struct, frozen=True):
    """The connection is lost, or a try to open one has failed; another try follows.

    ``code`` is that of the server's close frame (1012: it restarts), None when there was none; ``error`` is what a try
    has failed with, None when there was a connection.
    """

    code: int | None
    error: Exception | None


@final
class Joined(Struct, frozen=True):
    """A channel is joined, for the first time or again; ``reply`` is the decoded response.

    What was sent to the topic since the channel errored is lost to it.
    """

    channel: Channel
    reply: Any


@final
class JoinFailed(Struct, frozen=True):
    """A join was refused, with a decoded response, or not answered in time: then it is None.

    Another try follows, unless it was the first: that is given up, and raises.
    """

    channel: Channel
    response: Any


@final
class Errored(Struct, frozen=True):
    """A channel is not joined any more, and will be joined again.

    ``reason`` is the decoded payload of ``phx_error``, None when the connection is lost.
    """

    channel: Channel
    reason: Any


@final
class Left(Struct, frozen=True):
    """A channel is closed, for good: it was left, another took its topic, or the server has closed it."""

    channel: Channel


SocketEvent: TypeAlias = Opened | Closed | Joined | JoinFailed | Errored | Left
