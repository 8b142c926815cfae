"""One test and all that it opens (A142)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, final, overload

from phoenix_channels.endpoint import Endpoint
from phoenix_channels.protocol.params import Param
from phoenix_channels.socket import Socket
from phoenix_channels.testing.crashes import ChannelCrashed, Crash
from phoenix_channels.testing.handshakes import ConnectOptions
from phoenix_channels.testing.observers import Observer, close_observer, subscribe
from phoenix_channels.testing.opening import Opening
from phoenix_channels.testing.sockets import ConnectedSocket, abandon_socket, close_socket, connect, make_socket

SocketT = TypeVar("SocketT", bound=Socket)
T = TypeVar("T")


@final
class ChannelCase:
    """An endpoint under test; what the fixture ``phoenix`` is.

    ``async with ChannelCase(endpoint) as phoenix`` closes at its end what is still open, in reverse order, and fails
    when a channel has crashed and nobody has expected or noticed it.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._sockets: list[ConnectedSocket[Any]] = []
        self._observers: list[Observer] = []

    @overload
    def connect(
        self,
        params: Mapping[str, Param] | None = None,
        *,
        socket_class: type[SocketT],
        **options: Unpack[ConnectOptions],
    ) -> Opening[ConnectedSocket[SocketT]]: ...
    @overload
    def connect(
        self,
        params: Mapping[str, Param] | None = None,
        *,
        socket_class: None = None,
        **options: Unpack[ConnectOptions],
    ) -> Opening[ConnectedSocket[Any]]: ...
    def connect(
        self,
        params: Mapping[str, Param] | None = None,
        *,
        socket_class: type[Any] | None = None,
        **options: Unpack[ConnectOptions],
    ) -> Opening[ConnectedSocket[Any]]:
        """As :func:`connect`: ``socket = await phoenix.connect({"token": token})``."""
        opening = connect(self.endpoint, params, socket_class=socket_class, **options)
        return _into(self._sockets, opening, close_socket)

    def make_socket(
        self, socket_class: type[SocketT], *, id: str | None = None, path: str | None = None, **attributes: object
    ) -> Opening[ConnectedSocket[SocketT]]:
        """As :func:`make_socket`."""
        opening = make_socket(self.endpoint, socket_class, id=id, path=path, **attributes)
        return _into(self._sockets, opening, close_socket)

    def subscribe(self, topic: str) -> Opening[Observer]:
        """As :func:`subscribe`."""
        return _into(self._observers, subscribe(self.endpoint, topic), close_observer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        crashes: list[Crash] = []
        try:
            for socket in reversed(self._sockets):
                try:
                    await socket.close()
                except ChannelCrashed as crashed:
                    crashes.extend(crashed.crashes)
        finally:
            # Of a test that is cancelled nothing is waited for any more, and yet nothing stays.
            for socket in self._sockets:
                abandon_socket(socket)
            for observer in self._observers:
                observer.unsubscribe()
        if crashes and error is None:
            raise ChannelCrashed(crashes)


def _into(
    things: list[Any], opening: Opening[T], close_it: Callable[[T, BaseException | None], Awaitable[None]]
) -> Opening[T]:
    """The same, but what it opens is put into the list, too."""

    async def open_it() -> T:
        thing = await opening
        things.append(thing)
        return thing

    return Opening(open_it, close_it)
