"""What becomes of a channel's pushes and broadcasts while its client does not keep up (architecture: backpressure)."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Hashable
from typing import Any, Final, Literal, TypeAlias, final

from phoenix_channels.definitions import DefinitionError, Options
from phoenix_channels.protocol.messages import EncodedBroadcast, Frame
from phoenix_channels.protocol.payloads import decode_payload

_logger = logging.getLogger("phoenix_channels")


@final
class Latest(Options, frozen=True, eq=False):
    """Of the pushes and broadcasts of one key only the latest waits for a client that is behind.

    ::

        slow_consumer = Latest(key=lambda event, payload: (event, payload["id"]))

    ``key`` is given the event and a decoded copy of the payload, and returns anything hashable.  It is called on the
    event loop, once for each frame that has to wait.
    """

    key: Callable[[str, Any], Hashable]

    def __post_init__(self) -> None:
        if not callable(self.key) or inspect.iscoroutinefunction(self.key):
            raise DefinitionError(f"Latest(key=...) is a plain function of (event, payload), not {self.key!r:.200}")


SlowConsumer: TypeAlias = Literal["disconnect", "drop_newest", "drop_oldest", "latest"] | Latest
"""``"latest"`` is :class:`Latest` with the event as key."""


def check_slow_consumer(where: str, value: object) -> None:
    """Refuse what is no :data:`SlowConsumer`.

    Raises:
        DefinitionError: naming the place, and what is legal.
    """
    if not isinstance(value, Latest) and not (isinstance(value, str) and value in _POLICIES):
        legal = ", ".join(f'"{name}"' for name in _POLICIES)
        raise DefinitionError(f"{where} is {legal} or Latest(key=...), not {value!r:.200}")


@final
class Policy:
    """A way to drop frames of a channel, as the runtime wants to know it."""

    __slots__ = ("_failed", "_latest", "keyed", "makes_room", "name")

    def __init__(self, name: str, *, makes_room: bool, keyed: bool = False, latest: Latest | None = None) -> None:
        self.name = name
        """For telemetry and the log."""
        self.makes_room = makes_room
        """A frame that does not fit displaces older ones; else it is dropped itself."""
        self.keyed = keyed
        """A frame takes the place of the one that has the same :meth:`key`."""
        self._latest = latest
        self._failed = False

    @classmethod
    def of(cls, slow_consumer: SlowConsumer) -> Policy | None:
        """The policy of a channel class; None when nothing of it is ever dropped."""
        if isinstance(slow_consumer, Latest):
            return cls("latest", makes_room=True, keyed=True, latest=slow_consumer)
        return _POLICIES[slow_consumer]

    def key(self, frame: Frame) -> Hashable:
        """What the frame is the latest of: computed once, also when a thousand clients are behind; never raises."""
        message, latest = frame.message, self._latest
        if message is None:
            # Nobody knows what it says: it is like no other.
            return frame
        if latest is None:
            return message.event
        if frame.keys is None:
            frame.keys = {}
        elif latest in frame.keys:
            return frame.keys[latest]
        key = frame.keys[latest] = self._compute(latest, message)
        return key

    def _compute(self, latest: Latest, message: EncodedBroadcast) -> Hashable:
        try:
            key = latest.key(message.event, decode_payload(message.payload))
            hash(key)
        except Exception:
            if not self._failed:
                # Once: it would fail for the next thousand as well.
                self._failed = True
                _logger.exception(
                    "the key function %.200r failed for %.200r on %.200r; where it fails the key is the event",
                    latest.key,
                    message.event,
                    message.topic,
                )
            return _NO_KEY, message.event
        return key


_NO_KEY: Final = object()
"""So that an event is not taken for a key that the application has made."""

_POLICIES: Final[dict[str, Policy | None]] = {
    "disconnect": None,
    "drop_newest": Policy("drop_newest", makes_room=False),
    "drop_oldest": Policy("drop_oldest", makes_room=True),
    "latest": Policy("latest", makes_room=True, keyed=True),
}
