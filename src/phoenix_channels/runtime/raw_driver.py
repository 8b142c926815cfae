"""The driver of a raw socket: its callbacks one at a time, and no protocol between it and the wire (P-087)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, final

import anyio

from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.errors import EncodeError
from phoenix_channels.protocol.messages import Broadcast, EncodedBroadcast, Frame, Opcode
from phoenix_channels.protocol.payloads import decode_payload
from phoenix_channels.raw_socket import RawSocket
from phoenix_channels.results import Stop
from phoenix_channels.runtime.driver import Control, Driver, Terms
from phoenix_channels.runtime.endings import quiet
from phoenix_channels.runtime.hub import Hub
from phoenix_channels.runtime.lane import Lane
from phoenix_channels.runtime.limits import MailboxFull
from phoenix_channels.runtime.mailbox import Mailbox, is_awaitable, is_user_error
from phoenix_channels.runtime.tasks import LoopEnded
from phoenix_channels.runtime.topics import Topics

_logger = logging.getLogger("phoenix_channels")


@final
class RawDriver(Driver[RawSocket]):
    """One connection of a raw socket, and the :class:`RawSocketContext` of it."""

    __slots__ = ("_idle", "_inbound", "_inbound_bytes", "_mailbox", "_terminated", "_topics")

    def __init__(self, hub: Hub, lane: Lane, socket: RawSocket, *, socket_id: str | None, terms: Terms) -> None:
        super().__init__(hub, lane, socket, socket_id=socket_id, terms=terms)
        self._mailbox = Mailbox(self.spawn)
        self._topics = Topics(hub, lane, self, self._receive_subscribed)
        self._inbound = 0
        self._inbound_bytes = 0
        self._idle: anyio.Event | None = None
        self._terminated = False
        socket._context = self  # pyright: ignore[reportPrivateUsage]

    # What the socket can do

    def push(self, data: str | bytes) -> None:
        self._check_loop("push")
        if isinstance(data, str):
            try:
                frame = Frame(Opcode.TEXT, data.encode())
            except UnicodeEncodeError as error:
                raise EncodeError(f"text has no lone surrogates: {error}") from error
        elif isinstance(data, bytes):
            if self.socket.transport == "longpoll":
                raise EncodeError("long polling carries text only to the client (P-106)")
            frame = Frame(Opcode.BINARY, data)
        else:
            raise TypeError(f"a raw socket sends str or bytes, not {type(data).__name__}")
        if not self.closed:
            self.sink.write(frame)

    def ping(self, payload: bytes) -> None:
        self._check_loop("ping")
        if len(payload) > 125:
            raise ValueError("the payload of a ping is at most 125 bytes")
        if not self.closed and not self.sink.ping(payload):
            raise RuntimeError(f"no pings can be sent over this {self.socket.transport} (P-084)")

    def end(self, code: int) -> None:
        self._check_loop("close")
        self.close(code)

    async def subscribe(self, topic: str) -> None:
        self._check_loop("subscribe")
        await self._topics.subscribe(topic)

    async def unsubscribe(self, topic: str) -> None:
        self._check_loop("unsubscribe")
        self._topics.unsubscribe(topic)

    def _receive_subscribed(self, broadcast: EncodedBroadcast) -> None:
        self._put(Broadcast(broadcast.topic, broadcast.event, decode_payload(broadcast.payload)))

    def _put(self, message: object) -> None:
        if len(self._mailbox) < self.limits.mailbox_messages:
            self._mailbox.put(self._call, self.socket.handle_info, message)
        else:
            # Dropping one would leave the client with a wrong picture that nobody knows of: let it connect anew.
            self._crash(MailboxFull(f"{len(self._mailbox)} messages wait; one more cannot be delivered"))

    def _check_loop(self, what: str) -> None:
        if not self.lane.loop.running:
            raise RuntimeError(f"{what}() belongs to the socket's event loop; from elsewhere use send")

    def send(self, message: object) -> None:
        if len(self._mailbox) >= self.limits.mailbox_messages:
            raise MailboxFull(
                f"{len(self._mailbox)} messages wait for {self.name}; "
                f"the limit is Limits(mailbox_messages={self.limits.mailbox_messages})"
            )
        if self.lane.loop.running:
            self._put(message)
        else:
            with suppress(LoopEnded):
                self.lane.call(lambda: self._put(message))

    # What the base asks for

    @property
    def channels(self) -> int:
        return 0

    @property
    def waiting(self) -> tuple[int, int]:
        return self._inbound, self._inbound_bytes

    @property
    def mailboxes(self) -> int:
        return len(self._mailbox)

    def control(self, payload: bytes, opcode: Control) -> None:
        # Nobody waits for its end, so it does not pause the reading: what a client floods with pings is bounded here.
        if not self.closed and len(self._mailbox) < self.limits.inbound_messages:
            self._mailbox.put_now(self._call, self.socket.handle_control, payload, opcode)

    async def wait_handled(self) -> None:
        while self._inbound:
            if self._idle is None:
                self._idle = anyio.Event()
            await self._idle.wait()

    def _started(self) -> None:
        self._mailbox.put_now(self._call, self.socket.init)

    def _receive(self, data: str | bytes, opcode: Opcode) -> None:
        size = len(data) if isinstance(data, bytes) else len(data.encode(errors="replace"))
        if opcode is Opcode.TEXT and isinstance(data, bytes):
            try:
                data = data.decode()
            except UnicodeDecodeError:
                _logger.warning("%s sent text that is not UTF-8, closing", self.name)
                self.close(CloseCode.INTERNAL_ERROR)
                return
        self._inbound += 1
        self._inbound_bytes = size
        self._mailbox.put_now(self._handle_in, data)

    @property
    def _busy(self) -> bool:
        # One message at a time, as a transport of Phoenix does.
        return self._inbound > 0

    def _end(self, reason: object) -> None:
        self._mailbox.close()
        self._mailbox.clear()
        self._inbound = self._inbound_bytes = 0
        self._tell_handled()
        self._topics.release()
        self.spawn(self._finish, reason)

    @property
    def _finished(self) -> bool:
        return self._terminated

    # Callbacks

    def _handle_in(self, data: str | bytes) -> Awaitable[None] | None:
        awaitable = self._call(self.socket.handle_in, data)
        if awaitable is None:
            self._handled()
            return None
        return self._handle_later(awaitable)

    async def _handle_later(self, awaitable: Awaitable[None]) -> None:
        try:
            await awaitable
        finally:
            self._handled()

    def _handled(self) -> None:
        if not self.closed:
            self._inbound -= 1
            self._inbound_bytes = 0
            self._tell_handled()
            self._resume_reading()

    def _tell_handled(self) -> None:
        if self._idle is not None:
            self._idle.set()
            self._idle = None

    def _call(self, callback: Callable[..., Any], *args: object) -> Awaitable[None] | None:
        try:
            result = callback(*args)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._crash(error)
            return None
        if is_awaitable(result):
            return self._await(result)
        self._act(result)
        return None

    async def _await(self, awaitable: Awaitable[Any]) -> None:
        try:
            result = await awaitable
        except BaseException as error:
            if not is_user_error(error, self._mailbox):
                raise
            self._crash(error)
        else:
            self._act(result)

    def _act(self, result: object) -> None:
        try:
            if isinstance(result, Stop):
                if result.reply is not None:
                    raise TypeError("a raw socket has no replies: return str or bytes, and Stop without a reply")
                self._close(CloseCode.NORMAL if result.graceful else CloseCode.INTERNAL_ERROR, result.reason)
            elif isinstance(result, str | bytes):
                self.push(result)
            elif result is not None:
                raise TypeError(
                    f"{self.name}: a callback returned a {type(result).__name__}; legal are str and bytes for the "
                    "client, Stop, and None"
                )
        except Exception as error:
            self._crash(error)

    def _crash(self, error: BaseException) -> None:
        self._close(CloseCode.INTERNAL_ERROR, error)
        # Afterwards: what listens to the log may broadcast, and come back here.
        _logger.error("%s: a callback crashed", self.name, exc_info=error)

    async def _finish(self, reason: object) -> None:
        try:
            await quiet(self._mailbox, self.socket.shutdown, self.hub, self.name)
            mailbox, begun = Mailbox(self.spawn), anyio.Event()
            mailbox.put(self._terminate, reason, mailbox, begun)
            # Its time runs from its first step.
            await begun.wait()
            await quiet(mailbox, self.socket.shutdown, self.hub, self.name)
        finally:
            self._terminated = True
            self._check_ended()

    async def _terminate(self, reason: object, mailbox: Mailbox, begun: anyio.Event) -> None:
        begun.set()
        try:
            result: Any = self.socket.terminate(reason)
            if is_awaitable(result):
                await result
        except BaseException as error:
            if not is_user_error(error, mailbox):
                raise
            _logger.exception("%s: terminate crashed", self.name)
