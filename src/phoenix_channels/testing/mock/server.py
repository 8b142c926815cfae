"""What a mock server is made of: an endpoint of this library with one channel for every topic, which asks the rules.

What the wire shows is therefore what the library does.  Two things cannot be done from a channel, and are done where
the messages come in: to lose a message (a join or heartbeat that is never answered), and to know of every message.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast, final

import anyio
from msgspec import Raw
from websockets.http11 import Request as HTTPRequest
from websockets.http11 import Response as HTTPResponse

from phoenix_channels.channel import Channel, ReplyRef
from phoenix_channels.connect_info import ConnectInfo
from phoenix_channels.endpoint import Endpoint
from phoenix_channels.protocol.messages import EMPTY
from phoenix_channels.results import JoinRefused, Reply, Stop
from phoenix_channels.socket import Socket
from phoenix_channels.testing.mock.book import Book
from phoenix_channels.testing.mock.clients import ARRIVING, Client
from phoenix_channels.testing.mock.listeners import Listener, listen
from phoenix_channels.testing.mock.log import Log
from phoenix_channels.testing.mock.steps import Answer, Close, CloseChannel, Crash, Delay, Drop, Event, Steps
from phoenix_channels.transports.http import Request, Response
from phoenix_channels.transports.options import WebSocketOptions
from phoenix_channels.transports.websockets import WebSocketsTransport

if TYPE_CHECKING:
    from phoenix_channels.testing.mock.listeners import AnyConnection

_OK: Final = Answer("ok", EMPTY)
_CRASHED: Final = Stop("a rule crashes the channel")
_JOIN_CRASHED: Final = Answer("error", Raw(b'{"reason":"join crashed"}'))
"""P-052"""


@final
class MockChannel(Channel["MockSocket"]):
    """One topic that one client has joined."""

    # A rule decides how long a join takes.
    join_timeout = math.inf

    _rest: Steps = ()

    async def join(self, payload: Any) -> object:
        client = self.socket.client
        steps = client.join_steps(self.topic, self.join_ref)
        delays = 0
        while delays < len(steps) and isinstance(delay := steps[delays], Delay):
            await client.sleep(delay.seconds)
            delays += 1
        answer, self._rest = _OK, steps[delays:]
        match self._rest[:1]:
            case [Answer() as answer]:
                self._rest = self._rest[1:]
            case [Crash()]:
                answer = _JOIN_CRASHED
            case [Drop()]:
                client.drop()
            case [Close(code)]:
                client.close(code)
            case _:
                pass
        if answer.status != "ok":
            raise JoinRefused(answer.payload)
        return answer.payload

    def after_join(self) -> Stop | None:
        self.socket.client.server.add_channel(self)
        return self._follow(self._rest, None)

    def handle_in(self, event: str, payload: Any) -> Stop | None:
        steps = self.socket.client.push_steps(self.topic, event, payload)
        try:
            reply = self.reply_later()
        except RuntimeError:
            # Without a ref: nobody waits for an answer.
            reply = None
        return self._follow(steps, reply)

    def handle_info(self, message: object) -> Stop | None:
        return message if isinstance(message, Stop) else None

    def terminate(self, reason: Any) -> None:
        self.socket.client.server.remove_channel(self)

    def _follow(self, steps: Steps, reply: ReplyRef | None) -> Stop | None:
        """Do what the steps say, at once; what is delayed, in a task."""
        for number, step in enumerate(steps):
            match step:
                case Delay(seconds):
                    self.start_soon(self._follow_later, seconds, steps[number + 1 :], reply)
                    return None
                case Answer(status, payload):
                    if reply is not None:
                        reply.reply(Reply(status, payload))
                case Event(name, payload, to_all):
                    (self.broadcast if to_all else self.push)(name, payload)
                case Crash():
                    return self._ending(_CRASHED)
                case CloseChannel():
                    return self._ending(Stop())
                case Drop():
                    self.socket.client.drop()
                case Close(code):
                    self.socket.client.close(code)
                case _:
                    # Silence: nothing to do.
                    pass
        return None

    async def _follow_later(self, seconds: float, steps: Steps, reply: ReplyRef | None) -> None:
        await anyio.sleep(seconds)
        stop = self._follow(steps, reply)
        if stop is not None:
            self.end(stop)

    def end(self, stop: Stop) -> None:
        """End the channel, from elsewhere than a callback."""
        self.send(self._ending(stop))

    def _ending(self, stop: Stop) -> Stop:
        # Before its client knows of it: what is pushed from now on is for the channel that it joins then.
        self.socket.client.server.remove_channel(self)
        return stop


@final
class MockSocket(Socket):
    """One connection."""

    channels = {"*": MockChannel}
    # A rule decides how long a connect takes.
    connect_timeout = math.inf
    client: Client

    async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        self.client = ARRIVING.get()
        await self.client.connect(self, params, info.auth_token)


def _refusal(_: Request, status: object) -> Response:
    return Response(cast("int", status))


@final
class Server:
    """One life of the mock: what a restart ends, and makes anew.

    Args:
        book, log: what the lives of one mock share.
        path: where the socket is mounted.
        number: gives each client its number.
    """

    def __init__(self, book: Book, log: Log, *, path: str, number: Callable[[], int]) -> None:
        self.book = book
        self.log = log
        self.endpoint = Endpoint(check_origin=False)
        self.endpoint.socket(path, MockSocket, auth_token=True, websocket=WebSocketOptions(error_handler=_refusal))
        self.clients: dict[int, Client] = {}
        """Those that are connected."""
        self._number = number
        self._transport = WebSocketsTransport(self.endpoint)
        self._arriving: set[Client] = set()
        self._channels: dict[str, dict[MockChannel, None]] = {}
        self._joined = anyio.Event()
        self._listener: Listener | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen: the port.

        Raises:
            OSError: it cannot be listened on.
        """
        self._listener = await listen(self._handle, self._process_request, host, port)
        return self._listener.port

    async def stop(self) -> None:
        """End as a process that is killed."""
        if self._listener is not None:
            for client in self._arriving:
                client.gone.set()
            await self._listener.close()
            await self.endpoint.drain()

    async def _process_request(self, connection: AnyConnection, request: HTTPRequest) -> HTTPResponse | None:
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        client = Client(self, self._number(), connection, headers)
        ARRIVING.set(client)
        self._arriving.add(client)
        try:
            return await self._transport.process_request(connection, request)
        finally:
            self._arriving.discard(client)

    async def _handle(self, connection: AnyConnection) -> None:
        client = ARRIVING.get()
        receive = connection.recv

        async def recv() -> str | bytes:
            try:
                while True:
                    data = await receive()
                    if client.hear(data):
                        return data
            except BaseException:
                # Before the channels are told: one that waits in a join ends with its client.
                client.ended()
                raise

        connection.recv = recv  # type: ignore[method-assign, assignment]
        self.clients[client.number] = client
        try:
            await self._transport.handler(connection)
        finally:
            del self.clients[client.number]

    # Who has joined what

    def add_channel(self, channel: MockChannel) -> None:
        self._channels.setdefault(channel.topic, {})[channel] = None
        self._joined.set()
        self._joined = anyio.Event()

    def remove_channel(self, channel: MockChannel) -> None:
        """Forget a channel, unless that has happened already."""
        channels = self._channels.get(channel.topic, {})
        channels.pop(channel, None)
        if not channels:
            self._channels.pop(channel.topic, None)

    def left(self, client: Client, topic: str, join_ref: Any) -> None:
        """A client leaves a topic; without a join_ref whichever channel it has there (P-049)."""
        for channel in tuple(self._channels.get(topic, ())):
            if channel.socket.client is client and (join_ref is None or channel.join_ref == join_ref):
                self.remove_channel(channel)

    async def channels(self, topic: str, timeout: float) -> list[MockChannel]:
        """The channels of a topic, now or within so many seconds.

        Raises:
            AssertionError: nobody has joined it.
        """
        with anyio.move_on_after(timeout):
            while not (channels := [*filter(_is_connected, self._channels.get(topic, ()))]):
                await self._joined.wait()
            return channels
        joined = ", ".join(repr(topic) for topic, found in self._channels.items() if any(map(_is_connected, found)))
        raise AssertionError(f"nobody has joined {topic!r} within {timeout:g} s; what is joined: {joined or 'nothing'}")


def _is_connected(channel: MockChannel) -> bool:
    # Of a connection that is over the channels end a little later.
    return not channel.socket.client.gone.is_set()
