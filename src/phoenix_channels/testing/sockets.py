"""Connections of a test: the real handshake and the real channels, without a server or a network (A130 to A136)."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from types import EllipsisType
from typing import Any, Generic, Unpack, cast, final, overload

import anyio

from phoenix_channels.channel import Channel
from phoenix_channels.client.errors import JoinRefused
from phoenix_channels.endpoint import Endpoint
from phoenix_channels.protocol.client_messages import VSN
from phoenix_channels.protocol.params import Param
from phoenix_channels.runtime.channels_driver import ChannelsDriver
from phoenix_channels.socket import Socket
from phoenix_channels.testing.channels import JoinedChannel
from phoenix_channels.testing.crashes import ChannelCrashed, ExpectedCrash
from phoenix_channels.testing.handshakes import (
    ConnectOptions,
    check_version,
    find_mount,
    in_own_context,
    make_request,
    open_driver,
    shake_hands,
)
from phoenix_channels.testing.inbox import ASSERT_TIMEOUT, REFUTE_TIMEOUT
from phoenix_channels.testing.matching import ANYTHING, Pattern
from phoenix_channels.testing.observers import Observer, observe
from phoenix_channels.testing.opening import Opening
from phoenix_channels.testing.wire import Client
from phoenix_channels.transports.handshake import Accepted, bind_socket

if sys.version_info >= (3, 13):
    from typing import TypeVar
else:
    from typing_extensions import TypeVar

SocketT = TypeVar("SocketT", bound=Socket)
SocketT_co = TypeVar("SocketT_co", bound=Socket, default=Any, covariant=True)
ChannelT = TypeVar("ChannelT", bound=Channel[Any])


@final
class ConnectedSocket(Generic[SocketT_co]):
    """One connection of a test, from its client's side."""

    def __init__(self, endpoint: Endpoint, client: Client, by_id: Observer | None) -> None:
        self.endpoint = endpoint
        self._client = client
        self._by_id = by_id
        self._observers = [] if by_id is None else [by_id]

    @property
    def server(self) -> SocketT_co:
        """The socket on the server: its attributes are those of your class."""
        return cast("SocketT_co", self._client.driver.socket)

    @property
    def id(self) -> str | None:
        """What ``id`` of your class has returned (P-026)."""
        return self._client.driver.socket_id

    @overload
    async def join(
        self, topic: str, payload: object = {}, *, channel_class: type[ChannelT], timeout: float = ASSERT_TIMEOUT
    ) -> JoinedChannel[ChannelT]: ...
    @overload
    async def join(
        self, topic: str, payload: object = {}, *, channel_class: None = None, timeout: float = ASSERT_TIMEOUT
    ) -> JoinedChannel[Any]: ...
    async def join(
        self,
        topic: str,
        payload: object = {},
        *,
        channel_class: type[Channel[Any]] | None = None,
        timeout: float = ASSERT_TIMEOUT,
    ) -> JoinedChannel[Any]:
        """Join a topic, and subscribe the test to it (A132, A133).

        Args:
            topic: routed as ``channels`` of the socket class says.
            payload: any JSON term (dict, Struct, ...), or ``bytes``.
            channel_class: the class that it is routed to, for type checkers to know.
            timeout: seconds until the reply has to be there.

        Raises:
            JoinRefused: with the response; for a topic without a route it is ``{"reason": "unmatched topic"}``.
            EncodeError: the payload has no wire form.
            AssertionError: no reply within ``timeout`` seconds, or another class.
            ChannelCrashed: ``join`` crashed, or another channel of the connection.
        """
        __tracebackhide__ = True
        observer = await observe(self.endpoint, topic, self._client.feed)
        self._observers.append(observer)
        joined = False
        try:
            join_ref, replies, pushes = self._client.join(topic, payload)
            reply = await replies.first(timeout)
            if reply.name != "ok":
                raise JoinRefused(topic, reply.payload)
            channel = self._client.channel(join_ref)
            if channel_class is not None and not isinstance(channel, channel_class):
                raise AssertionError(
                    f"{topic!r} is routed to {type(channel).__qualname__}, not to {channel_class.__qualname__}"
                )
            joined = True
        finally:
            if not joined:
                self._observers.remove(observer)
                observer.unsubscribe()
        return JoinedChannel(self._client, join_ref, reply.payload, pushes, observer)

    async def assert_broadcast(
        self, event: str, pattern: Pattern = ANYTHING, *, timeout: float = ASSERT_TIMEOUT
    ) -> Any:
        """Take the first broadcast on the topic of the socket's id that matches, such as ``"disconnect"`` (A131).

        Raises:
            AssertionError: none comes within ``timeout`` seconds.
            ChannelCrashed: a channel of the connection crashed.
            LookupError: the socket has no id.
        """
        __tracebackhide__ = True
        return await self._id_observer().assert_broadcast(event, pattern, timeout=timeout)

    async def refute_broadcast(
        self, event: str | EllipsisType = ANYTHING, pattern: Pattern = ANYTHING, *, timeout: float = REFUTE_TIMEOUT
    ) -> None:
        """No broadcast on the topic of the socket's id, of this event or at all, that matches is here or comes.

        Raises: as :meth:`assert_broadcast`.
        """
        __tracebackhide__ = True
        await self._id_observer().refute_broadcast(event, pattern, timeout=timeout)

    async def assert_closed(self, code: int | None = None, *, timeout: float = ASSERT_TIMEOUT) -> int:
        """The server closes the connection, with this code if one is given; the code.

        Returns when every channel has terminated, too.

        Raises:
            AssertionError: it does not within ``timeout`` seconds, or with another code.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        client, deadline = self._client, anyio.current_time() + timeout
        found = await client.feed.wait_for(lambda: client.close_code, timeout)
        if found is None:
            why = f" within {timeout:g} s" if client.feed.over is None else f": {client.feed.over}"
            raise AssertionError(f"the server has not closed the connection{why}")
        if code is not None and found != code:
            raise AssertionError(f"the server has closed the connection with {found}, not with {code}")
        if not await client.wait_ended(deadline - anyio.current_time()):
            raise AssertionError(
                f"the server has closed the connection with {found}, but not all channels are over within {timeout:g} s"
            )
        client.feed.crashes.check()
        return found

    def expect_crash(
        self, error: type[BaseException] = Exception, *, match: str | None = None
    ) -> AbstractContextManager[ExpectedCrash]:
        """As :meth:`JoinedChannel.expect_crash`, for any channel of the connection, and for joins (A141)."""
        return self._client.feed.crashes.expect(error, match, None)

    async def close(self) -> None:
        """Go away as a client does whose network is gone, and wait until every channel has terminated (A136).

        What was pushed before is handled before.
        Again, or after the server has closed the connection, it is harmless.

        Raises:
            ChannelCrashed: a channel crashed, and no assert has said so yet.
        """
        __tracebackhide__ = True
        try:
            await self._client.close()
        finally:
            self._unsubscribe()
        self._client.feed.crashes.check()

    def _unsubscribe(self) -> None:
        for observer in self._observers:
            observer.unsubscribe()

    def _id_observer(self) -> Observer:
        if self._by_id is None:
            raise LookupError(f"this {type(self.server).__qualname__} has no id, and so no topic of its own")
        return self._by_id


@overload
def connect(
    endpoint: Endpoint,
    params: Mapping[str, Param] | None = None,
    *,
    socket_class: type[SocketT],
    **options: Unpack[ConnectOptions],
) -> Opening[ConnectedSocket[SocketT]]: ...
@overload
def connect(
    endpoint: Endpoint,
    params: Mapping[str, Param] | None = None,
    *,
    socket_class: None = None,
    **options: Unpack[ConnectOptions],
) -> Opening[ConnectedSocket[Any]]: ...
def connect(
    endpoint: Endpoint,
    params: Mapping[str, Param] | None = None,
    *,
    socket_class: type[Socket] | None = None,
    **options: Unpack[ConnectOptions],
) -> Opening[ConnectedSocket[Any]]:
    """Connect a client to an endpoint in this event loop: the real handshake, and no network (A131).

    For example::

        async with connect(endpoint, {"token": token}) as socket:
            channel = await socket.join("notifications:21")

    or ``socket = await connect(...)``, and ``await socket.close()`` later.

    Args:
        endpoint: the endpoint.
        params: what phoenix.js has as ``params``; like there, numbers and bools arrive as strings.
        socket_class: the class that is mounted there; chooses among several, and type checkers know ``socket.server``.
        options: those of :class:`ConnectOptions`.

    Raises:
        Refused: when it is opened, the client is not let in.
        ValueError: there is no such socket, or more than one; or an auth token beyond Latin-1.
        TypeError: there is no such option, or params or an auth token cannot be sent.
    """
    match = find_mount(endpoint, options.get("path"), socket_class)
    request = make_request(endpoint, match, params or {}, options)
    return _opening(endpoint, lambda: shake_hands(endpoint, match, request))


def make_socket(
    endpoint: Endpoint,
    socket_class: type[SocketT],
    *,
    id: str | None = None,
    path: str | None = None,
    **attributes: object,
) -> Opening[ConnectedSocket[SocketT]]:
    """A connection as :func:`connect` makes it, but without asking ``connect`` and ``id`` of the class (A130).

    For example::

        async with make_socket(endpoint, UserSocket, id="users_socket:21", user_id="21") as socket:
            channel = await socket.join("notifications:21")

    Args:
        endpoint: the endpoint, which has the class mounted.
        socket_class: the class.
        id: what the method ``id`` would return.
        path: where it is mounted, if in several places.
        attributes: what ``connect`` would have set on the socket.

    Raises:
        ValueError: the class is not mounted there, or more than once.
    """
    match = find_mount(endpoint, path, socket_class)

    async def accept() -> Accepted:
        serializer = match.mount.serializers.negotiate(VSN)
        check_version(serializer)
        socket = bind_socket(endpoint, match, serializer, None)
        for name, value in attributes.items():
            setattr(socket, name, value)
        return Accepted(match, socket, serializer, id, None)

    return _opening(endpoint, accept)


def _opening(endpoint: Endpoint, accept: Callable[[], Awaitable[Accepted]]) -> Opening[ConnectedSocket[Any]]:
    async def begin() -> ConnectedSocket[Any]:
        # With its start, as on a server: what connect has set is there for all that the connection does.
        return await _start(endpoint, open_driver(endpoint, await accept()))

    return Opening(lambda: in_own_context(begin), close_socket)


async def _start(endpoint: Endpoint, driver: ChannelsDriver) -> ConnectedSocket[Any]:
    """Open the connection, subscribed to the topic of its id (A131)."""
    client, begun = Client(driver), False
    by_id: Observer | None = None
    try:
        if driver.socket_id is not None:
            by_id = await observe(endpoint, driver.socket_id, client.feed)
        begun = await client.start()
    finally:
        if not begun:
            client.abandon()
            if by_id is not None:
                by_id.unsubscribe()
    if not begun:
        raise RuntimeError("the connection could not begin; the log says why")
    return ConnectedSocket(endpoint, client, by_id)


async def close_socket(socket: ConnectedSocket[Any], error: BaseException | None) -> None:
    """The end of its block, by this exception if there is one.

    Raises:
        ChannelCrashed: as :meth:`ConnectedSocket.close`.
    """
    try:
        await socket.close()
    except ChannelCrashed as crashed:
        if error is None:
            raise
        # The test has failed already, and perhaps because of this.
        error.add_note(str(crashed))


def abandon_socket(socket: ConnectedSocket[Any]) -> None:
    """Go away without waiting for anything; also from a connection that is closed already."""
    socket._client.abandon()  # pyright: ignore[reportPrivateUsage]
    socket._unsubscribe()  # pyright: ignore[reportPrivateUsage]
