"""A channel that was joined: what a user holds of it."""

from __future__ import annotations

from typing import Any, Self, TypeVar, final, overload

from phoenix_channels.client.errors import PushRefused
from phoenix_channels.client.membership import Membership
from phoenix_channels.client.message import Message, decode, decode_as
from phoenix_channels.client.presence import Presence
from phoenix_channels.protocol.client_states import ChannelState
from phoenix_channels.protocol.messages import EMPTY

T = TypeVar("T")


@final
class Channel:
    """A channel, made by :meth:`Socket.join`.

    ``async for message in channel`` yields what the server sends, until the channel is closed.  When the server's
    channel crashes, or the connection is lost, it is joined again, as phoenix.js does it; the loop goes on.
    """

    def __init__(self, membership: Membership) -> None:
        self._membership = membership

    @property
    def topic(self) -> str:
        """Which it has joined."""
        return self._membership.handle.topic

    @property
    def state(self) -> ChannelState:
        """Where it stands, as for phoenix.js: joining, joined, errored, leaving or closed."""
        return self._membership.handle.state

    @property
    def joined(self) -> bool:
        """Are messages flowing?"""
        return self.state is ChannelState.JOINED

    @property
    def reply(self) -> Any:
        """The decoded response to the last join that has succeeded."""
        return self._membership.reply

    @property
    def dropped(self) -> int:
        """How many messages nobody took in time; the oldest are dropped first."""
        return self._membership.messages.dropped

    @overload
    async def push(self, event: str, payload: object = EMPTY, *, timeout: float | None = None) -> Any: ...
    @overload
    async def push(self, event: str, payload: object = EMPTY, *, type: type[T], timeout: float | None = None) -> T: ...
    async def push(
        self,
        event: str,
        payload: object = EMPTY,
        *,
        type: type[Any] | None = None,  # noqa: A002 - as in msgspec
        timeout: float | None = None,
    ) -> Any:
        """Send an event and wait for its reply; while the channel is not joined, it waits for that first.

        Who is cancelled while it waits for that has sent nothing.

        Args:
            event: its name.
            payload: a dict, a Struct, a dataclass, ..., any JSON term, or bytes.
            type: what the response is decoded as; plain Python if that is left out.
            timeout: for the reply, in seconds, where it is not that of the join; until a push can be sent it may wait
                as long again.

        Returns:
            The response, if its status is ``ok``.

        Raises:
            PushRefused: the reply has another status.
            PushTimeout: there is none.
            PushLost: there will be none.
            ChannelClosed: the channel is closed, or closes before there is one.
            BufferFull: too much waits to be sent already.
            UnexpectedPayload: the response does not fit the type.
            EncodeError: the payload has no wire form.
        """
        status, response = await self._membership.call(event, payload, timeout)
        if status != "ok":
            raise PushRefused(self.topic, event, status, decode(response))
        return decode(response) if type is None else decode_as(type, response)

    def push_nowait(self, event: str, payload: object = EMPTY, *, timeout: float | None = None) -> None:
        """Send an event that nobody waits to be replied to; it never blocks.

        While the channel is not joined it waits for that, ``timeout`` seconds at most, and is dropped then.

        Raises:
            ChannelClosed: the channel is closed.
            BufferFull: too much waits to be sent already.
            EncodeError: the payload has no wire form.
        """
        self._membership.send(event, payload, timeout, reply=False)

    async def leave(self, *, timeout: float | None = None) -> None:
        """Leave the channel, and return when it is closed: with the server's answer, or without one in time (P-143)."""
        await self._membership.leave(timeout)

    def presence(self) -> Presence:
        """Who is present on the topic: ``async with channel.presence() as presence: ...``."""
        return Presence(self.topic, self._membership.roster, self._membership.max_messages)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        return await self._membership.messages.take()

    def __repr__(self) -> str:
        return f"<Channel {self.topic!r} {self.state.name}>"
