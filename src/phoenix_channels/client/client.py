"""One client: its driver, its channels, and what is told of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeAlias, final

from anyio.abc import TaskGroup

from phoenix_channels.client import events
from phoenix_channels.client.address import Address
from phoenix_channels.client.answer import Answer
from phoenix_channels.client.channel import Channel
from phoenix_channels.client.connection import TransportOptions
from phoenix_channels.client.driver import Driver
from phoenix_channels.client.errors import ChannelClosed, ConnectFailed, shown
from phoenix_channels.client.inbox import Inbox
from phoenix_channels.client.membership import AskedParams, Membership
from phoenix_channels.protocol import client_events as core
from phoenix_channels.protocol.client import ClientConnection
from phoenix_channels.protocol.client_states import ConnectionState
from phoenix_channels.protocol.messages import Payload, payload_size
from phoenix_channels.protocol.payloads import decode_payload, encode_term

_logger = logging.getLogger("phoenix_channels")

ChannelNews: TypeAlias = (
    core.JoinSucceeded
    | core.JoinFailed
    | core.JoinTimedOut
    | core.MessageReceived
    | core.ChannelErrored
    | core.ChannelClosed
    | core.ReplyReceived
    | core.PushTimedOut
    | core.PushLost
)

_PUSH_EVENTS: Final = (core.ReplyReceived, core.PushTimedOut, core.PushLost)


@final
class Client:
    """What a :class:`Socket` is the face of; the driver's owner."""

    def __init__(
        self,
        address: Address,
        connection: ClientConnection,
        options: TransportOptions,
        *,
        retry: bool,
        timeout: float,
        max_messages: int,
        max_buffered_bytes: int,
    ) -> None:
        """``retry``: the first try may fail, too."""
        self.events = Inbox[events.SocketEvent](max_messages, self._fell_behind)
        self._name = address.shown
        self._core = connection
        self._driver = Driver(connection, address, options, max_buffered_bytes, self)
        self._retry = retry
        self._timeout = timeout
        self._max_messages = max_messages
        self._members: dict[core.ClientChannel, tuple[Membership, Channel]] = {}
        self._latest: dict[str, core.ClientChannel] = {}
        self._opened = Answer[None]()
        self._ended = False
        self._failing = False

    # What its user wants

    @property
    def state(self) -> ConnectionState:
        return self._core.state

    async def open(self, group: TaskGroup) -> None:
        """Run in the group; return when there is a connection.

        Raises:
            ConnectFailed: the first try has failed; or whatever a function of the user has raised.
        """
        self._driver.start(group)
        await self._opened.wait()

    async def close(self) -> None:
        """Close the connection, in bounded time."""
        self.end()
        await self._driver.stop()

    def end(self) -> None:
        """Nobody waits for anything any more, and nothing can be begun."""
        self._ended = True
        for membership, _ in self._members.values():
            membership.end()
        self.events.close()

    async def join(
        self,
        topic: str,
        params: object | Callable[[], object],
        *,
        timeout: float | None,
        max_messages: int | None,
        rejoins: bool,
    ) -> Channel:
        handle = self._core.channel(topic, AskedParams(topic, params) if callable(params) else encode_term(params))
        if self._ended:
            raise ChannelClosed(topic)
        most = self._max_messages if max_messages is None else max_messages
        membership = Membership(self._driver, handle, max_messages=most, rejoins=rejoins)
        channel = Channel(membership)
        if topic in self._latest:
            # The core leaves one that is joined; one that waits for its rejoin would take the topic back some day.
            self._driver.leave(self._latest[topic])
        self._members[handle], self._latest[topic] = (membership, channel), handle
        await membership.join(self._timeout if timeout is None else timeout)
        return channel

    # What the driver tells

    def happened(self, event: core.ClientEvent) -> None:
        if isinstance(event, core.Opened):
            _logger.info("%s: connected", self._name)
            self._opened.give(None)
            self.events.put(event)
        elif isinstance(event, core.Closed):
            self._closed(event.code, self._driver.failure)
        elif not isinstance(event, core.OpenConnection | core.CloseConnection):
            handle = event.push.channel if isinstance(event, _PUSH_EVENTS) else event.channel
            if handle in self._members:
                self._told(event, *self._members[handle])

    def _closed(self, code: int | None, error: Exception | None) -> None:
        if error is not None and not self._retry:
            self._opened.fail(error)
        if error is None:
            _logger.info("%s: the connection is closed, code %s", self._name, code)
        elif isinstance(error, ConnectFailed):
            _logger.info("%s: %s", self._name, error)
        else:
            # The first of a row with its traceback; the others are most likely the same.
            _logger.error("%s: no params or token: %r", self._name, error, exc_info=None if self._failing else error)
        self._failing = error is not None
        self.events.put(events.Closed(code, error))

    def _told(self, event: ChannelNews, membership: Membership, channel: Channel) -> None:
        if isinstance(event, core.ChannelErrored):
            reason = None if event.reason is None else decode_payload(event.reason)
            why = "the connection is lost" if event.reason is None else shown(reason)
            _logger.info("%s: %r is not joined any more: %s", self._name, channel.topic, why)
            self.events.put(events.Errored(channel, reason), _size(event.reason))
            return
        if isinstance(event, core.JoinFailed):
            failed = events.JoinFailed(channel, decode_payload(event.response))
            self.events.put(failed, _size(event.response))
        elif isinstance(event, core.JoinTimedOut):
            self.events.put(events.JoinFailed(channel, None))
        membership.happened(event)
        if isinstance(event, core.JoinSucceeded):
            self.events.put(events.Joined(channel, membership.reply), _size(event.response))
        elif isinstance(event, core.ChannelClosed):
            del self._members[membership.handle]
            if self._latest.get(channel.topic) is membership.handle:
                del self._latest[channel.topic]
            self.events.put(events.Left(channel))

    def _fell_behind(self) -> None:
        _logger.warning("%s: events of the socket are dropped, the oldest first", self._name)


def _size(payload: Payload | None) -> int:
    return 0 if payload is None else payload_size(payload)
