"""The socket: one connection of one client, before and around its channels."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from phoenix_channels.connect_info import ConnectInfo
from phoenix_channels.definitions import DefinitionError, check_count, check_level, check_seconds
from phoenix_channels.handlers import check_callback
from phoenix_channels.protocol.serializers import Serializer
from phoenix_channels.protocol.topics import Routes

if TYPE_CHECKING:
    from phoenix_channels.channel import Channel, ChannelRoute
    from phoenix_channels.endpoint import Endpoint


class BaseSocket:
    """What every kind of socket has: it authenticates its connection, and may give it a name."""

    connect_timeout: ClassVar[float] = 30.0
    """Seconds that ``connect`` may take; then the client is answered with HTTP 500."""
    log: ClassVar[int | Literal[False]] = logging.INFO
    """The level of ``logging`` at which connects are logged, or False for not at all."""

    endpoint: Endpoint
    """The endpoint this connection came through; bound before ``connect``."""
    transport: Literal["websocket", "longpoll"]
    """``"websocket"`` or ``"longpoll"``; bound before ``connect``."""
    subprotocol: str | None
    """What was chosen from ``WebSocketOptions(subprotocols=...)``, None without; bound before ``connect`` (P-017)."""

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        check_seconds(f"{cls.__qualname__}.connect_timeout", cls.connect_timeout)
        check_level(f"{cls.__qualname__}.log", cls.log)
        check_callback(cls, "connect", "params", "info")
        check_callback(cls, "id")
        if inspect.iscoroutinefunction(inspect.unwrap(cls.id)):
            raise DefinitionError(f"{cls.__qualname__}.id is a plain `def`: what it needs is learned in connect")

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> Awaitable[None] | None:
        """Authenticate the connection, before it exists; ``def`` or ``async def`` (P-025).

        ``params`` is the decoded query string: strings, nested dicts and lists, ``vsn`` included (P-006), and the
        variables of the mount's path (P-003).  Return to accept; the default accepts everybody.

        Raises:
            ConnectRefused: to refuse the client with HTTP 403, or with what the mount's ``error_handler`` makes of
                the reason.  Any other exception answers 500.
        """

    def id(self) -> str | None:
        """A topic that identifies this connection, such as ``"users_socket:21"``, or None (P-026).

        ``await endpoint.disconnect(id)`` closes every connection that has it.
        """
        return None


class Socket(BaseSocket):
    """One connection of one client; subclass it, and keep per-connection state in attributes.

    ``channels`` maps topic patterns to channel classes, or to :func:`channel` with options.  The first pattern that
    matches a topic wins, in declaration order (P-050)::

        class UserSocket(Socket):
            channels = {"room:lobby": LobbyChannel, "room:*": RoomChannel}
    """

    channels: ClassVar[Mapping[str, type[Channel[Any]] | ChannelRoute]] = {}
    serializer: Serializer
    """The version of the protocol that the client speaks; bound before ``connect`` (P-025)."""
    max_channels: ClassVar[int] = 100
    """How many channels one connection may have joined (P-051)."""

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if not isinstance(cls.channels, Mapping):
            raise DefinitionError(f"{cls.__qualname__}.channels maps topic patterns to channel classes")
        try:
            Routes(cls.channels.items())
        except (TypeError, ValueError) as error:
            raise DefinitionError(f"{cls.__qualname__}.channels: {error}") from error
        check_count(f"{cls.__qualname__}.max_channels", cls.max_channels)
