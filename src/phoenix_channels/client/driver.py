"""Between the pure client and the world: its transport, its clock, and whoever wants to know."""

from __future__ import annotations

import logging
import math
from typing import Protocol, final

import anyio
from anyio.abc import TaskGroup

from phoenix_channels.client.address import Address, Target
from phoenix_channels.client.connection import NEVER_OPEN, Connection, Ending, TransportOptions, open_connection
from phoenix_channels.client.errors import BufferFull, ConnectFailed
from phoenix_channels.protocol.client import ClientConnection
from phoenix_channels.protocol.client_events import (
    ClientChannel,
    ClientEvent,
    ClientPush,
    CloseConnection,
    OpenConnection,
)
from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.errors import PushBufferFull, RemoteProtocolError
from phoenix_channels.protocol.messages import Opcode, Payload

_logger = logging.getLogger("phoenix_channels")


class Owner(Protocol):
    """Who is told what the driver does not deal with itself."""

    def happened(self, event: ClientEvent) -> None:
        """Take an event.  It may leave the channel that the event is about, and nothing else.

        Raises:
            RecursionError: it is nested too deeply; nothing else.
        """
        ...


@final
class Driver:
    """Runs one client in a task group: one task keeps the time, another one runs the transport while there is one."""

    def __init__(
        self,
        core: ClientConnection,
        address: Address,
        options: TransportOptions,
        max_buffered_bytes: int,
        owner: Owner,
    ) -> None:
        self._core = core
        self._address = address
        self._options = options
        self._max_buffered_bytes = max_buffered_bytes
        self._owner = owner
        self._group: TaskGroup
        self._alarm = anyio.CancelScope()
        self._connection: Connection | None = None
        self._idle = anyio.Event()
        self.failure: Exception | None = None
        """Why the last try has failed; None when it has not."""

    # What the owner wants

    def start(self, group: TaskGroup) -> None:
        self._group = group
        group.start_soon(self._keep_time)
        self._perform(self._core.connect(anyio.current_time()))

    async def stop(self) -> None:
        """Close the connection as the protocol has it, in bounded time; then nothing more is sent or received."""
        self._perform(self._core.disconnect(anyio.current_time()))
        if self._connection is not None:
            await self._idle.wait()

    def join(self, channel: ClientChannel, timeout: float | None) -> None:
        """Join it, now or when there is a connection."""
        self._perform(self._core.join(channel, anyio.current_time(), timeout))

    def leave(self, channel: ClientChannel, timeout: float | None = None) -> None:
        self._perform(self._core.leave(channel, anyio.current_time(), timeout))

    def push(
        self, channel: ClientChannel, event: str, payload: Payload, timeout: float | None, *, reply: bool
    ) -> ClientPush:
        """Send, now or when the channel is joined.

        Raises:
            BufferFull: too much waits already.
            EncodeError: event or topic cannot be sent.
        """
        if self._connection is not None and self._connection.queued_bytes >= self._max_buffered_bytes:
            raise BufferFull(f"{self._connection.queued_bytes} bytes wait to be sent to a server that does not read")
        try:
            push = self._core.push(channel, event, payload, anyio.current_time(), timeout, reply=reply)
        except PushBufferFull as error:
            raise BufferFull(str(error)) from None
        self._perform([])
        return push

    def forget(self, push: ClientPush) -> None:
        self._core.forget(push)
        self._perform([])

    # What happens

    def _perform(self, events: list[ClientEvent]) -> None:
        """What follows every call of the core."""
        frames = self._core.frames_to_send()
        if self._connection is not None:
            for frame in frames:
                self._connection.send(frame)
        if self._deadline != self._alarm.deadline:
            self._alarm.deadline = self._deadline
        for event in events:
            if isinstance(event, OpenConnection):
                self._group.start_soon(self._run_transport)
            elif isinstance(event, CloseConnection):
                # One that is being opened is given up with the group: nobody disconnects before that.
                if self._connection is not None:
                    self._connection.close(event.code, event.reason)
            else:
                self._owner.happened(event)

    @property
    def _deadline(self) -> float:
        deadline = self._core.next_deadline()
        return math.inf if deadline is None else deadline

    async def _keep_time(self) -> None:
        while True:
            self._alarm = anyio.CancelScope(deadline=self._deadline)
            with self._alarm:
                await anyio.sleep_forever()
            self._perform(self._core.handle_timeout(anyio.current_time()))

    async def _run_transport(self) -> None:
        ending = NEVER_OPEN
        try:
            target = await self._address.resolve()
        except Exception as error:
            # Whatever a function of the user raises is for the user.
            self.failure = error
        else:
            ending = await self._connect(target)
        self._perform(self._core.closed(ending.code, anyio.current_time(), refused=ending.refused))

    async def _connect(self, target: Target) -> Ending:
        try:
            async with open_connection(target, self._options) as connection:
                self._connection, self.failure, self._idle = connection, None, anyio.Event()
                self._perform(self._core.opened(anyio.current_time()))
                return await connection.run(self._receive)
        except ConnectFailed as error:
            self.failure = error
            return NEVER_OPEN
        finally:
            self._connection = None
            self._idle.set()

    def _receive(self, data: str | bytes, opcode: Opcode) -> None:
        try:
            self._perform(self._core.receive(data, opcode, anyio.current_time()))
        except RemoteProtocolError as error:
            self._refuse(error.close_code, error)
        except RecursionError as error:
            # Just not nested too deeply for the core's look at it, and then for ours, further down the stack.
            self._refuse(CloseCode.INVALID_DATA, error)

    def _refuse(self, code: int, error: Exception) -> None:
        _logger.warning("closing a connection with %s: %s", code, error)
        if self._connection is not None:
            self._connection.refuse(code)
