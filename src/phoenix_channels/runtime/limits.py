"""How much of anything may wait, and how long; every queue of the library is bounded by one of these."""

from __future__ import annotations

from typing import final

from msgspec import Struct


class MailboxFull(Exception):
    """A channel does not keep up with its messages; this one was not delivered."""


@final
class Limits(Struct, frozen=True, kw_only=True):
    """The bounds of one endpoint; the defaults suit most servers."""

    outbox_bytes: int = 1024 * 1024
    """Encoded frames that wait for one client, in bytes.

    Beyond it frames of channels whose ``slow_consumer`` says so are dropped; if there are none, the client is closed
    with 1013.  Nobody is slow before the loop has turned: until then it may be ``burst_bytes``, which is not held
    against the client afterwards.
    """
    outbox_high_water: int = 64 * 1024
    """Bytes that wait for one client at which the connection is not read any further, until they are fewer."""
    waiting_messages: int = 128
    """Messages of one connection that wait for a join or a leave.  At it the connection is not read any further."""
    inbound_messages: int = 64
    """Messages of one connection that wait in its channels.  At it the connection is not read any further."""
    inbound_bytes: int = 4 * 1024 * 1024
    """Payload bytes of one connection that wait, for a join or in its channels.  At it it is not read any further."""
    mailbox_messages: int = 1024
    """All that waits in one channel: ``send`` beyond it raises, a broadcast to be handled beyond it crashes it."""
    subscription_messages: int = 1024
    """Broadcasts that wait in one ``endpoint.subscribe``.  Beyond it dropped and counted."""
    broadcast_queue_bytes: int = 16 * 1024 * 1024
    """Broadcasts from other threads that wait for one event loop.  Beyond it BroadcastQueueFull in the caller."""
    longpoll_sessions: int = 10_000
    """Long-poll sessions on one node.  Beyond it new ones are answered with HTTP 503."""

    longpoll_body_bytes: int = 64 * 1024 * 1024
    """Bodies of long-poll requests that are being read or handled on one node, without the first 64 KiB of each.

    Beyond it a large body is answered with HTTP 503.
    """

    paused_seconds: float = 60.0
    """How long a connection may stay unread, because its channels or the client itself do not keep up.

    Then it is closed with 1013.
    """

    @property
    def burst_bytes(self) -> int:
        """What may wait for a client that is not known to be slow: nothing is sent before the loop has turned."""
        return 16 * self.outbox_bytes

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value, kind = getattr(self, name), float if name.endswith("_seconds") else int
            if isinstance(value, bool) or not isinstance(value, int | kind) or not value > 0:
                raise ValueError(f"Limits({name}=...) is a positive {kind.__name__}, not {value!r}")
