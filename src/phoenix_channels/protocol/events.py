"""What :meth:`Connection.receive` tells its driver: the parts of a message that need user code or a log."""

from __future__ import annotations

from typing import Any, Generic, TypeAlias, TypeVar, final

from msgspec import Struct

from phoenix_channels.protocol.messages import Message, Payload, Ref
from phoenix_channels.protocol.states import State

T = TypeVar("T")


@final
class Entry(Generic[T]):
    """One join of one topic, from its ``phx_join`` to its end: the handle for every command about it.

    Two joins of the same topic on the same connection are two entries, so a late command for the first can never
    touch the second.
    """

    __slots__ = ("join_ref", "ref", "replaces", "state", "subtopic", "target", "topic", "waiting")

    def __init__(self, topic: str, target: T, subtopic: str, join_ref: Ref, ref: Ref) -> None:
        self.topic = topic
        self.target = target
        self.subtopic = subtopic
        self.join_ref = join_ref
        self.ref = ref
        self.state = State.JOINING
        self.waiting: list[Message] = []
        self.replaces: Entry[T] | None = None

    @property
    def push_join_ref(self) -> Ref:
        """The join_ref of pushes and replies: the join's ref stands in for a null one (P-032, P-056)."""
        return self.ref if self.join_ref is None else self.join_ref

    def __repr__(self) -> str:
        return f"<Entry {self.topic!r} join_ref={self.join_ref!r} {self.state.name}>"


@final
class JoinRequested(Struct, Generic[T], frozen=True):
    """Run the join, then ``accept_join`` or ``refuse_join``.

    When ``entry.replaces`` is set, that older join of the same topic has to be brought to its end first (P-057); it
    is already detached: nothing it does reaches the wire any more.
    """

    entry: Entry[T]
    payload: Payload


@final
class MessageReceived(Struct, Generic[T], frozen=True):
    """A push for a joined channel.  ``event`` may be any JSON term; only strings have handlers (P-031)."""

    entry: Entry[T]
    event: Any
    payload: Payload
    ref: Ref


@final
class LeaveRequested(Struct, Generic[T], frozen=True):
    """The client leaves: after what came before it, reply ok with this ref, then ``close_channel`` (P-064)."""

    entry: Entry[T]
    ref: Ref


@final
class RejoinWaiting(Struct, Generic[T], frozen=True):
    """A new join of the topic waits for the end of this entry, which should not take for ever (P-059)."""

    entry: Entry[T]


@final
class UnmatchedTopic(Struct, frozen=True):
    """A join of a topic that no route matches; answered already, worth a warning (P-051)."""

    topic: Any


@final
class TooManyChannels(Struct, frozen=True):
    """A join beyond the limit of the connection; answered already, worth an error in the log (P-051)."""

    topic: str
    limit: int


Event: TypeAlias = (
    JoinRequested[T] | MessageReceived[T] | LeaveRequested[T] | RejoinWaiting[T] | UnmatchedTopic | TooManyChannels
)
