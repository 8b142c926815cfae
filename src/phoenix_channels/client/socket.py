"""The way in: :func:`connect`, and the socket that it gives."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import uniform
from ssl import SSLContext
from typing import Literal, Self, final

import anyio

from phoenix_channels.client.address import Address, Params
from phoenix_channels.client.channel import Channel
from phoenix_channels.client.client import Client
from phoenix_channels.client.connection import TransportOptions
from phoenix_channels.client.events import SocketEvent
from phoenix_channels.definitions import check_count, check_seconds
from phoenix_channels.protocol.client import RECONNECT_AFTER, REJOIN_AFTER, ClientConnection
from phoenix_channels.protocol.client_events import Ladder
from phoenix_channels.protocol.client_states import ConnectionState
from phoenix_channels.protocol.messages import EMPTY


@final
class Socket:
    """A connection to the server, made by :func:`connect`, that comes back whenever it is lost.

    ``async for event in socket`` yields what happens to it and to its channels, from the first connection on: for a
    status line, or to fetch what was missed.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def state(self) -> ConnectionState:
        """Where it stands."""
        return self._client.state

    @property
    def connected(self) -> bool:
        """Is there a connection?"""
        return self.state is ConnectionState.OPEN

    async def join(
        self,
        topic: str,
        params: object | Callable[[], object] = EMPTY,
        *,
        timeout: float | None = None,
        max_messages: int | None = None,
        rejoins: bool = False,
    ) -> Channel:
        """Join a topic, and return when the server has accepted; another channel of the topic is left first (P-143).

        Args:
            topic: such as ``"room:lobby"``.
            params: a dict, a Struct, a dataclass, ...; or a function that returns one: it is asked before each rejoin.
            timeout: for the answer, and for that of pushes and of later joins, in seconds; as the socket's.
            max_messages: how many messages wait to be taken; as the socket's.
            rejoins: whenever it was joined again, have a message ``phx_join`` whose payload is the reply.  What was
                sent between the messages before it and those behind it was missed.

        Raises:
            JoinRefused: the server has refused.
            JoinTimeout: it has not answered, or there is no connection.
            ChannelClosed: the channel was closed meanwhile, or the socket is.
            EncodeError: topic or params have no wire form.
        """
        return await self._client.join(topic, params, timeout=timeout, max_messages=max_messages, rejoins=rejoins)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SocketEvent:
        return await self._client.events.take()

    def __repr__(self) -> str:
        return f"<Socket {self.state.name}>"


@asynccontextmanager
async def connect(
    url: str,
    *,
    params: Params | Callable[[], Params | Awaitable[Params]] | None = None,
    auth_token: str | Callable[[], str | Awaitable[str]] | None = None,
    headers: Mapping[str, str] | None = None,
    path: str = "/websocket",
    retry: bool = False,
    timeout: float = 10.0,
    heartbeat_interval: float = 30.0,
    heartbeat_timeout: float = 30.0,
    reconnect_after: Ladder = RECONNECT_AFTER,
    rejoin_after: Ladder = REJOIN_AFTER,
    jitter: float = 0.0,
    open_timeout: float = 10.0,
    close_timeout: float = 2.0,
    max_messages: int = 1000,
    max_buffered_bytes: int = 1 << 20,
    max_size: int = 10_000_000,
    compress: bool = False,
    ssl: SSLContext | None = None,
    proxy: str | Literal[True] | None = None,
) -> AsyncGenerator[Socket]:
    """A connection to a server of Phoenix Channels, on asyncio or trio.

    For ``async with``: all tasks of the client end with the block.  An error in the block comes out as it is, in no
    group.

    Args:
        url: of the mount, as for phoenix.js: ``wss://host/socket``; ``path`` is added to it.
        params: for the server's ``connect``; or a function, plain or async, that is asked before each try.
        auth_token: likewise, for a mount with ``auth_token=True``; it does not appear in the URL (P-019).
        headers: for the handshake.
        path: of the transport: what the mount has as ``WebSocketOptions(path=...)``; empty if it is in the URL.
        retry: go on trying if the first try fails.  Later ones always go on, for ever.
        timeout: how long joins and pushes wait for their replies, in seconds.
        heartbeat_interval: from one heartbeat's answer to the next heartbeat, in seconds.
        heartbeat_timeout: how long the server has to answer one, in seconds, before the connection is replaced.
        reconnect_after: how many seconds to wait before the first, second, ... try since there was a connection.
        rejoin_after: likewise before the first, second, ... rejoin of a channel.
        jitter: by which part these are made longer or shorter at random, 0 to 1: so that not all clients of a server
            that restarts come back at once.
        open_timeout: for the handshake, in seconds.
        close_timeout: for the server to answer a close, in seconds.
        max_messages: how many messages of one channel wait to be taken.  When there are more, or 16 MiB of them, the
            oldest are dropped.
        max_buffered_bytes: of pushes that wait, for a join or a server that does not read; beyond it they raise.
        max_size: of a message of the server, in bytes; a larger one closes the connection.
        compress: offer ``permessage-deflate``.
        ssl: for ``wss``, where the default is not right.
        proxy: the URL of a proxy; True takes that of the environment.

    Raises:
        ConnectFailed: the server cannot be reached or refuses (unless ``retry``).
        ValueError: an argument is not legal; the text says what is.
        TypeError: likewise.
    """
    address = Address(url, path, params, auth_token)
    if not 0 <= jitter <= 1:
        raise ValueError(f"jitter is between 0 and 1, not {jitter!r}")
    check_seconds("connect(open_timeout=...)", open_timeout)
    check_seconds("connect(close_timeout=...)", close_timeout)
    check_count("connect(max_messages=...)", max_messages)
    check_count("connect(max_size=...)", max_size)
    if ssl is not None and not address.secure:
        raise ValueError("ssl is for a URL that begins with wss://")
    client = Client(
        address,
        ClientConnection(
            timeout=timeout,
            heartbeat_interval=heartbeat_interval,
            heartbeat_timeout=heartbeat_timeout,
            reconnect_after=_jittered("reconnect_after", reconnect_after, jitter),
            rejoin_after=_jittered("rejoin_after", rejoin_after, jitter),
            max_buffered_bytes=max_buffered_bytes,
        ),
        TransportOptions(
            headers=list((headers or {}).items()),
            ssl=ssl,
            proxy=proxy,
            compress=compress,
            max_size=max_size,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
        ),
        retry=retry,
        timeout=timeout,
        max_messages=max_messages,
        max_buffered_bytes=max_buffered_bytes,
    )
    raised: BaseException | None = None
    async with anyio.create_task_group() as group:
        try:
            await client.open(group)
            yield Socket(client)
        except anyio.get_cancelled_exc_class():
            # Not ours to keep; and no time to be polite.
            raise
        except BaseException as error:
            raised = error
        finally:
            client.end()
        await client.close()
        group.cancel_scope.cancel()
    if raised is not None:
        raise raised


def _jittered(name: str, ladder: Ladder, jitter: float) -> Ladder:
    # Asked now, and not first when a connection is lost.
    first: object = ladder(1)
    if isinstance(first, bool) or not isinstance(first, int | float) or not 0 <= first < math.inf:
        raise ValueError(f"{name}(1) is a number of seconds from 0 on, not {first!r}")
    return lambda tries: ladder(tries) * uniform(1 - jitter, 1 + jitter)  # noqa: S311 - no secret
