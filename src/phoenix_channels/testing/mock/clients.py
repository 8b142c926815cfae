"""A client of a mock server: what it does, and what is done about it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, final

import anyio

from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.messages import HEARTBEAT, PHOENIX_TOPIC, PHX_JOIN, PHX_LEAVE, Message, Opcode
from phoenix_channels.protocol.payloads import decode_payload, encode_term
from phoenix_channels.results import ConnectRefused
from phoenix_channels.runtime.driver import Driver
from phoenix_channels.socket import BaseSocket, Socket
from phoenix_channels.testing.mock.book import Entry
from phoenix_channels.testing.mock.listeners import abort
from phoenix_channels.testing.mock.log import Kind, Received
from phoenix_channels.testing.mock.steps import Answer, Close, Delay, Drop, Refuse, Silence, Steps, with_answer

if TYPE_CHECKING:
    from phoenix_channels.testing.mock.listeners import AnyConnection
    from phoenix_channels.testing.mock.server import Server

_logger = logging.getLogger("phoenix_channels")

_ABNORMAL: Final = 1006


@final
class Client:
    """One connection to the mock, from its request on."""

    socket: Socket
    """Bound before it is decided about."""

    def __init__(self, server: Server, number: int, connection: AnyConnection, headers: Mapping[str, str]) -> None:
        self.server = server
        self.number = number
        self.connection = connection
        self.headers = headers
        self.gone = anyio.Event()
        """Set when the connection is over, or about to be: nobody waits for what is delayed any more."""
        # What to do about joins that the channels have not begun with, by topic and join_ref.
        self._joins: dict[tuple[str, str], Steps] = {}

    # What it does

    async def connect(self, socket: Socket, params: Mapping[str, Any], auth_token: str | None) -> None:
        """Decide about the connection.

        Raises:
            ConnectRefused: a rule says so.
        """
        self.socket = socket
        self._log("connect", payload=params, headers=self.headers, auth_token=auth_token)
        for step in self._steps(self.server.book.take("connect", params)):
            match step:
                case Delay(seconds):
                    await self.sleep(seconds)
                case Refuse(status):
                    raise ConnectRefused(status)
                case _:
                    await self.gone.wait()
                    raise ConnectRefused

    def hear(self, data: str | bytes) -> bool:
        """A message has arrived; False when it is to be lost."""
        opcode = Opcode.TEXT if isinstance(data, str) else Opcode.BINARY
        try:
            message = self.socket.serializer.decode(data, opcode)
            payload = decode_payload(message.payload)
        except RemoteProtocolError:
            self._log("malformed", payload=data)
            return True
        kind = _kind_of(message)
        self._log(
            kind,
            topic=message.topic,
            event=message.event,
            payload=payload,
            join_ref=message.join_ref,
            ref=message.ref,
        )
        if kind == "heartbeat":
            return self._hear_heartbeat(data, opcode)
        if kind == "join" and isinstance(message.topic, str):
            return self._hear_join(message, payload)
        if kind == "leave" and isinstance(message.topic, str):
            self.server.left(self, message.topic, message.join_ref)
        return True

    def _hear_join(self, message: Message, payload: object) -> bool:
        steps = self._steps(self.server.book.take("join", payload, topic=message.topic))
        if any(isinstance(step, Silence) for step in steps):
            # Lost here, and not held by a channel: what the client does when its join has timed out finds the topic
            # free, as behind a message that never came.
            return False
        join_ref = message.ref if message.join_ref is None else message.join_ref
        self._joins[message.topic, repr(join_ref)] = steps
        return True

    def _hear_heartbeat(self, data: str | bytes, opcode: Opcode) -> bool:
        steps = self._steps(self.server.book.take("heartbeat"))
        if not steps:
            return True
        self.server.endpoint.hub.current_lane().loop.spawn(self._handle_heartbeat, steps, data, opcode)
        return False

    async def _handle_heartbeat(self, steps: Steps, data: str | bytes, opcode: Opcode) -> None:
        for step in steps:
            match step:
                case Delay(seconds):
                    await self.sleep(seconds)
                case Drop():
                    self.drop()
                    return
                case Close(code):
                    self.close(code)
                    return
                case _:
                    return
        driver = self._driver
        if driver is not None:
            driver.receive(data, opcode)

    def ended(self) -> None:
        """The connection is over."""
        self.gone.set()
        code = self.connection.close_code
        self._log("close", code=_ABNORMAL if code is None else code)

    # What is done about it

    def join_steps(self, topic: str, join_ref: Any) -> Steps:
        """What to do about a join; once."""
        return self._joins.pop((topic, repr(join_ref)), ())

    def push_steps(self, topic: str, event: str, payload: object) -> Steps:
        """What to do about a push."""
        steps = self._steps(self.server.book.take("push", payload, topic=topic, event=event))
        return with_answer(steps, Answer("ok", encode_term(payload)))

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds, or until the connection is over."""
        with anyio.move_on_after(seconds):
            await self.gone.wait()

    def close(self, code: int) -> None:
        """Close the connection, behind what was sent."""
        driver = self._driver
        if driver is not None:
            driver.close(code)
        self.gone.set()

    def drop(self) -> None:
        """End the TCP connection without a close frame, behind what was sent."""
        connection = self.connection

        async def end(*_: object) -> None:
            await abort(connection)

        driver = self._driver
        if driver is None:
            self.server.endpoint.hub.current_lane().loop.spawn(end)
        else:
            # In the place of the library's closing handshake, so that it happens when that would have begun: on asyncio
            # it is called close, on trio aclose.
            connection.close = connection.aclose = end  # type: ignore[method-assign, union-attr]
            driver.close(CloseCode.INTERNAL_ERROR)
        self.gone.set()

    @property
    def _driver(self) -> Driver[BaseSocket] | None:
        """The driver of the open connection."""
        drivers = self.server.endpoint.hub.drivers
        return next((driver for driver in drivers if driver.socket is self.socket), None)

    def _steps(self, rule: Entry | None) -> Steps:
        if rule is None:
            return ()
        _logger.debug("client %s: %s applies", self.number, rule.name)
        return rule.steps

    def _log(self, kind: Kind, **fields: Any) -> None:
        self.server.log.add(Received(kind=kind, client=self.number, **fields))


ARRIVING: ContextVar[Client] = ContextVar("ARRIVING")
"""Whose request is being handled: ``connect``, and the handler of the connection, are called in its context."""


def _kind_of(message: Message) -> Kind:
    if message.topic == PHOENIX_TOPIC and message.event == HEARTBEAT:
        return "heartbeat"
    return "join" if message.event == PHX_JOIN else "leave" if message.event == PHX_LEAVE else "push"
