"""Who subscribes to a topic, and where its frames go."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, final

from phoenix_channels.backpressure import Policy
from phoenix_channels.protocol.messages import EncodedBroadcast, Frame, FrameBatch
from phoenix_channels.protocol.serializers import Serializer

if TYPE_CHECKING:
    from phoenix_channels.pubsub.log import Log

Receiver: TypeAlias = Callable[[EncodedBroadcast], None]


def ignore(_: EncodedBroadcast) -> None:
    """The receiver of an owner that is over."""


ENDED: Final = sys.maxsize
"""The cursor of who takes nothing any more."""


class FrameSink(Protocol):
    """What takes the frames of one client."""

    def write(self, frames: Frame | FrameBatch, source: Subscription | None = None) -> None: ...


class Outlet(Protocol):
    """One client: where its frames go, in which version of the protocol, and what it is subscribed to."""

    @property
    def sink(self) -> FrameSink: ...
    @property
    def serializer(self) -> Serializer: ...
    @property
    def fastlanes(self) -> list[Subscription]: ...


@final
class Subscription:
    """One subscriber of one topic.

    With an ``outlet``, broadcasts are encoded for its serializer and written straight to its client, past the channel
    (P-073); events in ``intercepts``, and everything without an outlet, go to ``receive``.
    """

    # A fan-out walks over thousands of them, and each send in between empties the caches: so what it needs stands here,
    # and not behind the outlet.
    __slots__ = (
        "cursor", "intercepts", "log", "outlet", "owner", "policy", "receive", "serializer", "sink", "topic",
    )  # fmt: skip

    def __init__(
        self,
        topic: str,
        receive: Receiver,
        *,
        outlet: Outlet | None = None,
        intercepts: Collection[str] = (),
        owner: object = None,
        policy: Policy | None = None,
    ) -> None:
        self.topic = topic
        self.owner = owner
        self.receive = receive
        self.intercepts = intercepts
        self.outlet = outlet
        self.sink = None if outlet is None else outlet.sink
        self.serializer = None if outlet is None else outlet.serializer
        self.policy = policy
        """What is done when the client does not keep up; None to close it."""
        self.log: Log | None = None
        """The log of its topic, as long as it is subscribed."""
        self.cursor = ENDED
        """The number of the first entry of that log that it has not got yet."""

    def release(self) -> None:
        """The owner is over: it and the subscription know each other no more, and need no garbage collector."""
        self.receive, self.owner = ignore, None
