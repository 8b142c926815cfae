"""What travels: messages of a client, frames of the wire, broadcasts of a topic.

A payload inside the library is always already encoded: :class:`msgspec.Raw` is one JSON term, :class:`bytes` is a
binary payload (P-042).  So it is encoded once, can be shared by every receiver, and nobody can change it afterwards.
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import IntEnum
from typing import Any, Final, TypeAlias, final

from msgspec import Raw, Struct

from phoenix_channels.protocol.deflate import compress
from phoenix_channels.protocol.frames import FIN, server_frame

Payload: TypeAlias = Raw | bytes
"""An encoded payload: ``Raw`` for one JSON term, plain ``bytes`` for a binary payload.

Ask ``isinstance(payload, Raw)``, never for ``bytes``: type checkers take ``Raw`` for a kind of ``bytes``, though it is
none.
"""


def payload_size(payload: Payload) -> int:
    """The size of an encoded payload in bytes."""
    return memoryview(payload).nbytes


Ref: TypeAlias = Any
"""A ``ref`` or ``join_ref``: any JSON term, echoed with type and value unchanged, never interpreted (P-031)."""

_OVERHEAD: Final = 512

HEARTBEAT = "heartbeat"
PHX_JOIN = "phx_join"
PHX_LEAVE = "phx_leave"
PHX_REPLY = "phx_reply"
PHX_CLOSE = "phx_close"
PHX_ERROR = "phx_error"
PHOENIX_TOPIC = "phoenix"

PRESENCE_STATE = "presence_state"
PRESENCE_DIFF = "presence_diff"

EMPTY = Raw(b"{}")
"""The empty object: the payload of ``phx_close`` and the response of a bare reply."""


class Opcode(IntEnum):
    """The two kinds of WebSocket data frames, by their number in RFC 6455."""

    TEXT = 1
    BINARY = 2


@final
class EncodedBroadcast(Struct, frozen=True):
    """A broadcast inside the library: (topic, event, encoded payload)."""

    topic: str
    event: str
    payload: Payload

    @property
    def size(self) -> int:
        """What it costs in bytes while it waits somewhere, about."""
        return len(self.topic) + len(self.event) + payload_size(self.payload) + _OVERHEAD


@final
class Frame:
    """One encoded message on its way out: ``data`` is UTF-8 when the opcode is ``TEXT``.

    The same frame is handed to every receiver of a broadcast, so its other forms are made at most once.
    """

    __slots__ = ("_deflated", "data", "keys", "message", "opcode", "text", "wire")

    text: str
    """``data`` as a string, for transports that want one."""
    wire: bytes
    """The whole WebSocket frame as a server sends it: header and data, unmasked (RFC 6455, 5.2)."""

    def __init__(self, opcode: Opcode, data: bytes) -> None:
        self.opcode = opcode
        self.data = data
        self.message: EncodedBroadcast | None = None
        """What it says, where a policy for slow clients may want to know."""
        self.keys: dict[object, Hashable] | None = None
        """By what such policies compare it with other frames, by who computes that."""
        self._deflated: dict[int, bytes] | None = None

    def __getattr__(self, name: str) -> Any:
        # Asked once for each form: then the slot is filled, and a thousand receivers read it at the price of a slot.
        if name == "wire":
            self.wire = server_frame(FIN | self.opcode, self.data)
            return self.wire
        if name == "text":
            self.text = self.data.decode()
            return self.text
        raise AttributeError(f"a Frame has no {name!r}")

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Itself, as the one frame of a :class:`FrameBatch` would be."""
        return (self,)

    def deflated(self, window_bits: int) -> bytes:
        """:attr:`wire` for those who have negotiated compression with this window (RFC 7692)."""
        if self._deflated is None:
            self._deflated = {}
        found = self._deflated.get(window_bits)
        if found is None:
            found = self._deflated[window_bits] = compress(self.opcode, self.data, window_bits)
        return found

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"Frame({self.opcode.name}, {self.data!r})"


@final
class FrameBatch:
    """Frames that go out together, in order; shared by all receivers, like a frame."""

    __slots__ = ("_deflated", "_size", "frames", "wire")

    wire: bytes
    """All of them as they stand on the wire: what one write sends."""

    def __init__(self, frames: tuple[Frame, ...]) -> None:
        self.frames = frames
        self._size = sum(map(len, frames))
        self._deflated: dict[int, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        if name == "wire":
            self.wire = b"".join([frame.wire for frame in self.frames])
            return self.wire
        raise AttributeError(f"a FrameBatch has no {name!r}")

    def deflated(self, window_bits: int) -> bytes:
        """:attr:`wire` for those who have negotiated compression with this window (RFC 7692)."""
        found = self._deflated.get(window_bits)
        if found is None:
            found = b"".join([frame.deflated(window_bits) for frame in self.frames])
            self._deflated[window_bits] = found
        return found

    def __len__(self) -> int:
        return self._size


@final
class Message(Struct, frozen=True, gc=False):
    """One decoded message of a client.

    ``topic`` and ``event`` are strings in every message that a client library sends, but nothing on the wire forces
    them to be; any other type matches nothing (P-031).
    """

    join_ref: Ref
    ref: Ref
    topic: Any
    event: Any
    payload: Payload

    def __repr__(self) -> str:
        # Of the payload its size alone: whoever prints a message does not know which of it is secret.
        return (
            f"Message(join_ref={self.join_ref!r:.200}, ref={self.ref!r:.200}, topic={self.topic!r:.200}, "
            f"event={self.event!r:.200}, payload=<{payload_size(self.payload)} bytes>)"
        )


@final
class Broadcast(Struct, frozen=True):
    """A broadcast as its consumer sees it: the payload is the consumer's own decoded copy.

    ``payload`` is whatever the JSON object decodes to (a ``dict``), or ``bytes``.
    """

    topic: str
    event: str
    payload: Any
