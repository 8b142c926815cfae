"""The socket: one connection of one client, before and around its channels."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, final

from msgspec import Struct

from phoenix_channels.handlers import DefinitionError, check_callback, check_seconds
from phoenix_channels.protocol.topics import Routes

if TYPE_CHECKING:
    from phoenix_channels.channel import Channel, ChannelRoute
    from phoenix_channels.endpoint import Endpoint


@final
class ConnectInfo(Struct, frozen=True):
    """What ``connect`` may know of the request besides its params.

    Cookies and arbitrary headers are deliberately absent: a browser sends them for any page, so a decision based on
    them could be made for an attacker (P-022).
    """

    transport: str
    """``"websocket"``."""
    uri: str
    """The URI of the request, with scheme, host and query string."""
    peer: tuple[str, int] | None = None
    """Address and port of the TCP peer, where the server knows them."""
    user_agent: str | None = None
    """The ``user-agent`` header."""


class Socket:
    """One connection of one client; subclass it, and keep per-connection state in attributes.

    ``channels`` maps topic patterns to channel classes, or to :func:`channel` with options.  The first pattern that
    matches a topic wins, in declaration order (P-050)::

        class UserSocket(Socket):
            channels = {"room:lobby": LobbyChannel, "room:*": RoomChannel}
    """

    channels: ClassVar[Mapping[str, type[Channel[Any]] | ChannelRoute]] = {}
    max_channels: ClassVar[int] = 100
    """How many channels one connection may have joined (P-051)."""

    connect_timeout: ClassVar[float] = 30.0
    """Seconds that ``connect`` may take; then the client is answered with HTTP 500."""

    endpoint: Endpoint
    """The endpoint this connection came through; bound before ``connect``."""
    transport: str
    """``"websocket"``; bound before ``connect``."""

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if not isinstance(cls.channels, Mapping):
            raise DefinitionError(f"{cls.__qualname__}.channels maps topic patterns to channel classes")
        try:
            Routes(cls.channels.items())
        except (TypeError, ValueError) as error:
            raise DefinitionError(f"{cls.__qualname__}.channels: {error}") from error
        check_seconds(f"{cls.__qualname__}.connect_timeout", cls.connect_timeout)
        check_callback(cls, "connect", "params", "info")
        check_callback(cls, "id")
        if type(cls.max_channels) is not int or cls.max_channels < 1:
            raise DefinitionError(f"{cls.__qualname__}.max_channels is a positive int, not {cls.max_channels!r}")

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> Awaitable[None] | None:
        """Authenticate the connection, before it exists; ``def`` or ``async def`` (P-025).

        ``params`` is the decoded query string: strings, nested dicts and lists, ``vsn`` included (P-006).  Return to
        accept; the default accepts everybody.

        Raises:
            ConnectRefused: to refuse the client with HTTP 403.  Any other exception answers 500.
        """

    def id(self) -> str | None:
        """A topic that identifies this connection, such as ``"users_socket:21"``, or None (P-026).

        ``await endpoint.disconnect(id)`` closes every connection that has it.
        """
        return None
