"""What is connected and joined right now, for consoles and debug pages (A170)."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, final

from msgspec import Struct

from phoenix_channels.channel import Channel
from phoenix_channels.protocol.states import State
from phoenix_channels.runtime.channels_driver import ChannelsDriver
from phoenix_channels.runtime.driver import Driver
from phoenix_channels.runtime.hub import Hub
from phoenix_channels.socket import BaseSocket

Status: TypeAlias = Literal["joining", "joined", "leaving"]

_STATUS: Final[dict[State, Status]] = {State.JOINING: "joining", State.JOINED: "joined"}


@final
class SocketInfo(Struct, frozen=True, kw_only=True):
    """One open connection."""

    socket: BaseSocket
    socket_class: type[BaseSocket]
    id: str | None
    """What the socket's ``id()`` returned when it connected."""
    transport: str
    """``"websocket"`` or ``"longpoll"``."""
    channels: int
    """How many channels it has, those included that are on their way in or out."""


@final
class ChannelInfo(Struct, frozen=True, kw_only=True):
    """One channel of a connection."""

    topic: str
    channel: Channel[Any] | None
    """None as long as there is no instance yet: its ``join`` waits for an earlier channel of the topic to end."""
    status: Status
    """``"leaving"`` from the moment that its end has begun, while ``terminate`` runs."""


@final
class Debug:
    """Looks into a running endpoint: ``endpoint.debug``.

    Each answer is a snapshot, over all event loops of the process; from any thread.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def sockets(self) -> list[SocketInfo]:
        """All open connections."""
        return [
            SocketInfo(
                socket=driver.socket,
                socket_class=type(driver.socket),
                id=driver.socket_id,
                transport=driver.socket.transport,
                channels=driver.channels,
            )
            for driver in self._hub.drivers
        ]

    def channels(self, socket: BaseSocket) -> list[ChannelInfo]:
        """The channels of a connection; a raw socket has none.

        Raises:
            LookupError: the socket is not, or no more, connected to this endpoint.
            TypeError: it is no socket.
        """
        if not isinstance(socket, BaseSocket):
            raise TypeError(f"channels takes a socket, such as those of sockets(), not {socket!r:.200}")
        for driver in self._hub.drivers:
            if driver.socket is socket:
                return _channels(driver)
        raise LookupError(f"{socket!r:.200} is not connected to this endpoint, or no more")


def _channels(driver: Driver[BaseSocket]) -> list[ChannelInfo]:
    if not isinstance(driver, ChannelsDriver):
        return []
    return [
        ChannelInfo(topic=entry.topic, channel=channel, status=_STATUS.get(entry.state, "leaving"))
        for entry, channel in driver.list_channels()
    ]
