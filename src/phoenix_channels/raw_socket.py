"""The raw socket: a connection without channels, for protocols of one's own on the same transports (P-087)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

from phoenix_channels.definitions import check_seconds
from phoenix_channels.handlers import check_callback
from phoenix_channels.protocol.close_codes import may_be_sent
from phoenix_channels.results import Stop
from phoenix_channels.socket import BaseSocket

RawResult: TypeAlias = "str | bytes | Stop | None"
"""What a callback returns: a message for the client, the end of the connection, or nothing."""


class RawSocketContext(Protocol):
    """What the runtime does for one raw socket; the methods of :class:`RawSocket` explain each."""

    def push(self, data: str | bytes) -> None: ...
    def ping(self, payload: bytes) -> None: ...
    def send(self, message: object) -> None: ...
    def end(self, code: int) -> None: ...
    async def subscribe(self, topic: str) -> None: ...
    async def unsubscribe(self, topic: str) -> None: ...


class RawSocket(BaseSocket):
    """One connection of one client that speaks a protocol of the application's own; subclass it.

    Callbacks never overlap and run in order of arrival; each may be ``def``, which must not block, or ``async def``.
    What one returns as ``str`` or ``bytes`` goes to the client; :class:`Stop` closes the connection, with 1000, or
    1011 when its reason is a failure.  An exception closes it with 1011 (P-082).

    Over long polling messages to the client are text only.
    """

    shutdown: ClassVar[float] = 5.0
    """Seconds that a running callback, and after it ``terminate``, may take when the connection ends."""

    _context: RawSocketContext | None = None

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        check_seconds(f"{cls.__qualname__}.shutdown", cls.shutdown)
        check_callback(cls, "init")
        check_callback(cls, "handle_in", "data")
        check_callback(cls, "handle_control", "payload", "opcode")
        check_callback(cls, "handle_info", "message")
        check_callback(cls, "terminate", "reason")

    # Callbacks

    def init(self) -> Awaitable[RawResult] | RawResult:
        """The first callback, once the connection is open."""
        return None

    def handle_in(self, data: str | bytes) -> Awaitable[RawResult] | RawResult:
        """Handle a message of the client: ``str`` for a text frame, ``bytes`` for a binary one."""
        return None

    def handle_control(self, payload: bytes, opcode: Literal["ping", "pong"]) -> Awaitable[RawResult] | RawResult:
        """A control frame has arrived, on servers that let it be seen; a ping has been answered already (P-084)."""
        return None

    def handle_info(self, message: Any) -> Awaitable[RawResult] | RawResult:
        """Handle a message of :meth:`send`, or a :class:`Broadcast` of a topic of :meth:`subscribe`."""
        return None

    def terminate(self, reason: Any) -> Awaitable[None] | None:
        """Clean up; runs once for every connection that was accepted, however it ends.

        ``reason`` is the reason of a :class:`Stop`, the exception of a crash, or ``("shutdown", why)`` with ``why``
        one of ``"closed"``, ``"disconnected"``, ``"inactive"`` and ``"draining"`` (P-068).
        """
        return None

    # What a raw socket can do, once the connection is open; nothing of this blocks

    def push(self, data: str | bytes) -> None:
        """Send a text (``str``) or a binary message (``bytes``) to the client.

        Raises:
            EncodeError: binary over long polling, or text with lone surrogates.
        """
        self._opened().push(data)

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping of at most 125 bytes; its pong comes to :meth:`handle_control`.

        Raises:
            RuntimeError: this transport or server cannot: long polling, and ASGI without the fast lane.
        """
        self._opened().ping(payload)

    def send(self, message: object) -> None:
        """Have :meth:`handle_info` called with this message, after what is queued already; from any thread.

        Raises:
            MailboxFull: the socket has not kept up with its messages.  Called from another thread it may notice only
                later; then the connection is closed.
            BroadcastQueueFull: called from another thread, and the event loop has not kept up.
        """
        self._opened().send(message)

    async def subscribe(self, topic: str) -> None:
        """Have broadcasts of a topic sent to :meth:`handle_info`, each as a :class:`Broadcast` (P-077).

        Every call adds a delivery; all end with the connection.
        """
        await self._opened().subscribe(topic)

    async def unsubscribe(self, topic: str) -> None:
        """End all of this socket's subscriptions to that topic (P-077)."""
        await self._opened().unsubscribe(topic)

    def close(self, code: int = 1000) -> None:
        """Close the connection after what was sent.

        Raises:
            ValueError: the code is none that an application may send (RFC 6455, 7.4).
        """
        if not may_be_sent(code):
            raise ValueError(f"a close code is 1000, 1001, ..., 1013 or from 3000 to 4999, not {code!r}")
        self._opened().end(code)

    def _opened(self) -> RawSocketContext:
        if self._context is None:
            raise RuntimeError("not possible in connect: the connection does not exist yet; use init")
        return self._context
