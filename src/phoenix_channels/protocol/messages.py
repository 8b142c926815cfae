"""What travels: messages of a client, frames of the wire, broadcasts of a topic.

A payload inside the library is always already encoded: :class:`msgspec.Raw` is one JSON term, :class:`bytes` is a
binary payload (P-042).  So it is encoded once, can be shared by every receiver, and nobody can change it afterwards.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypeAlias, final

from msgspec import Raw, Struct

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

HEARTBEAT = "heartbeat"
PHX_JOIN = "phx_join"
PHX_LEAVE = "phx_leave"
PHX_REPLY = "phx_reply"
PHX_CLOSE = "phx_close"
PHX_ERROR = "phx_error"
PHOENIX_TOPIC = "phoenix"

EMPTY = Raw(b"{}")
"""The empty object: the payload of ``phx_close`` and the response of a bare reply."""


class Opcode(IntEnum):
    """The two kinds of WebSocket data frames, by their number in RFC 6455."""

    TEXT = 1
    BINARY = 2


@final
class Frame:
    """One encoded message on its way out: ``data`` is UTF-8 when the opcode is ``TEXT``.

    The same frame is handed to every receiver of a broadcast, so its other forms are made at most once.
    """

    __slots__ = ("_text", "_wire", "data", "opcode")

    def __init__(self, opcode: Opcode, data: bytes) -> None:
        self.opcode = opcode
        self.data = data
        self._text: str | None = None
        self._wire: bytes | None = None

    @property
    def text(self) -> str:
        """``data`` as a string, for transports that want one."""
        if self._text is None:
            self._text = self.data.decode()
        return self._text

    @property
    def wire(self) -> bytes:
        """The whole WebSocket frame as a server sends it: header and data, unmasked (RFC 6455, 5.2)."""
        if self._wire is None:
            size = len(self.data)
            if size < 126:
                head = bytes([0x80 | self.opcode, size])
            elif size < 65536:
                head = bytes([0x80 | self.opcode, 126]) + size.to_bytes(2, "big")
            else:
                head = bytes([0x80 | self.opcode, 127]) + size.to_bytes(8, "big")
            self._wire = head + self.data
        return self._wire

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"Frame({self.opcode.name}, {self.data!r})"


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
class EncodedBroadcast(Struct, frozen=True):
    """A broadcast inside the library: (topic, event, encoded payload)."""

    topic: str
    event: str
    payload: Payload


@final
class Broadcast(Struct, frozen=True):
    """A broadcast as its consumer sees it: the payload is the consumer's own decoded copy.

    ``payload`` is whatever the JSON object decodes to (a ``dict``), or ``bytes``.
    """

    topic: str
    event: str
    payload: Any
