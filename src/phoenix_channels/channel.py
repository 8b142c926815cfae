"""The channel: one topic that one client has joined."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, ParamSpec, Protocol, final

from phoenix_channels.backpressure import Policy, SlowConsumer, check_slow_consumer
from phoenix_channels.definitions import DefinitionError, check_level, check_seconds
from phoenix_channels.handlers import HandlerTable, check_callback, keep_namespace, marked_methods
from phoenix_channels.results import Reply, Stop
from phoenix_channels.socket import Socket

if sys.version_info >= (3, 13):
    from typing import TypeVar
else:
    from typing_extensions import TypeVar

if TYPE_CHECKING:
    from phoenix_channels.endpoint import Endpoint

SocketT_co = TypeVar("SocketT_co", bound=Socket, default=Socket, covariant=True)
P = ParamSpec("P")

_logger = logging.getLogger("phoenix_channels")


@final
class ReplyRef:
    """The right to answer one message later, from any task or thread, any number of times (P-062)."""

    __slots__ = ("_reply",)

    def __init__(self, reply: Callable[[Reply], None]) -> None:
        self._reply = reply

    def reply(self, reply: Reply) -> None:
        """Send a ``phx_reply`` with the ref of that message; nothing happens once the connection is gone.

        Raises:
            BroadcastQueueFull: called from another thread, and the event loop has not kept up.
            EncodeError: the payload of the reply has no wire form.
        """
        if not isinstance(reply, Reply):
            raise TypeError(f"a ReplyRef takes Reply.ok(...), Reply.error(...) or Reply(status, ...), not {reply!r}")
        self._reply(reply)


class Timer(Protocol):
    """A message that ``send_after`` has under way."""

    def cancel(self) -> None:
        """Do not send it; nothing happens when it has been sent already."""
        ...


class ChannelContext(Protocol):
    """What the runtime does for one channel instance; the methods of :class:`Channel` explain each."""

    @property
    def topic(self) -> str: ...
    @property
    def subtopic(self) -> str: ...
    @property
    def join_ref(self) -> Any: ...
    @property
    def socket(self) -> Socket: ...
    def push(self, event: str, payload: object) -> None: ...
    def broadcast(self, event: str, payload: object, *, to_self: bool) -> None: ...
    def send(self, message: object) -> None: ...
    def send_after(self, seconds: float, message: object) -> Timer: ...
    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None: ...
    def reply_later(self) -> ReplyRef: ...
    async def subscribe(self, topic: str) -> None: ...
    async def unsubscribe(self, topic: str) -> None: ...


class Channel(Generic[SocketT_co]):
    """One topic that one client has joined; subclass it, and keep per-join state in attributes.

    Callbacks never overlap and run in the order in which their messages arrived (P-060).  Each may be ``def``, which
    runs on the event loop and must not block, or ``async def``.  An exception in one ends this channel only: the
    client gets ``phx_error`` and joins again (P-066).

    Options of the route, ``channel(MyChannel, period=7)``, are passed to ``__init__``.  ``topic``, ``subtopic``,
    ``socket`` and ``endpoint`` are there already when it runs, so it has no ``super().__init__()`` to call.
    """

    shutdown: ClassVar[float] = 5.0
    """Seconds that a running callback, and after it ``terminate``, may take when the channel ends."""
    join_timeout: ClassVar[float] = 30.0
    """Seconds that ``join`` may take; then it has crashed."""
    log_join: ClassVar[int | Literal[False]] = logging.INFO
    """The level of ``logging`` at which joins are logged, or False for not at all."""
    log_handle_in: ClassVar[int | Literal[False]] = logging.DEBUG
    """The level at which handled messages of the client are logged, or False for not at all."""
    slow_consumer: ClassVar[SlowConsumer] = "disconnect"
    """What is done with pushes and broadcasts of this channel when its client does not keep up with them.

    ``"disconnect"`` closes the connection with 1013, on which phoenix.js comes back and joins again: nothing is lost
    unnoticed.  ``"drop_newest"`` drops what does not fit any more, ``"drop_oldest"`` what has waited longest, and of
    ``"latest"`` only the newest of each event waits, or of each key of a :class:`Latest`.  Replies are never dropped.
    """

    _context: ChannelContext

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        check_seconds(f"{cls.__qualname__}.shutdown", cls.shutdown)
        check_seconds(f"{cls.__qualname__}.join_timeout", cls.join_timeout)
        check_level(f"{cls.__qualname__}.log_join", cls.log_join)
        check_level(f"{cls.__qualname__}.log_handle_in", cls.log_handle_in)
        check_slow_consumer(f"{cls.__qualname__}.slow_consumer", cls.slow_consumer)
        incoming, intercepts = marked_methods(cls, Channel)
        check_callback(cls, "after_join")
        check_callback(cls, "handle_in", "event", "payload")
        check_callback(cls, "handle_info", "message")
        check_callback(cls, "terminate", "reason")
        keep_namespace(cls, ["join", *incoming.values(), *intercepts.values()])

    @property
    def topic(self) -> str:
        """The topic that was joined, such as ``"notifications:21"``."""
        return self._context.topic

    @property
    def subtopic(self) -> str:
        """What the ``*`` of the route matched, such as ``"21"``; ``""`` for an exact route."""
        return self._context.subtopic

    @property
    def join_ref(self) -> Any:
        """The ref that the client gave to this join, any JSON term; for a null one the ref of the message (P-056)."""
        return self._context.join_ref

    @property
    def socket(self) -> SocketT_co:
        """The connection's socket."""
        socket: SocketT_co = self._context.socket  # type: ignore[assignment]  # the route puts the two together
        return socket

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that the connection came through."""
        return self._context.socket.endpoint

    # Callbacks

    def join(self, payload: Any) -> object:
        """Decide whether the client may join; the result is the join's reply (None: ``{}``), any encodable term.

        ``push``, ``broadcast`` and ``reply_later`` are not possible yet (P-055): use :meth:`after_join`.

        Raises:
            JoinRefused: to refuse.  Any other exception answers ``{"reason": "join crashed"}`` (P-052).
        """
        return None

    def after_join(self) -> Awaitable[Stop | None] | Stop | None:
        """The first callback after a successful join, once its reply is on its way."""
        return None

    def handle_in(self, event: str, payload: Any) -> Awaitable[Reply | Stop | None] | Reply | Stop | None:
        """Handle an event that no ``@incoming`` method takes; the default crashes the channel (P-066)."""
        known = ", ".join(map(repr, marked_methods(type(self), Channel)[0])) or "none"
        raise LookupError(
            f"{type(self).__qualname__} has no handler for the event {event!r:.200}; there are handlers for: {known}.  "
            "Others can be taken by overriding handle_in"
        )

    def handle_info(self, message: Any) -> Awaitable[Stop | None] | Stop | None:
        """Handle a message of ``send`` or ``send_after``, or a :class:`Broadcast` of a topic of ``subscribe``.

        The default logs a warning (P-069).
        """
        _logger.warning("%s has no handle_info, but got the message %.200r", type(self).__qualname__, message)
        return None

    def terminate(self, reason: Any) -> Awaitable[None] | None:
        """Clean up; runs once for every channel whose join succeeded, however it ends (P-067).

        ``reason`` is the reason of a :class:`Stop`, the exception of a crash, or ``("shutdown", why)`` with ``why``
        one of ``"left"``, ``"closed"`` (the connection ended), ``"disconnected"``, ``"duplicate_join"``,
        ``"inactive"`` (nobody polls any more, P-102) and ``"draining"``.  It may take ``shutdown`` seconds, then it is
        cut off.
        """
        return None

    # What a channel can do; nothing of this blocks

    def push(self, event: str, payload: object) -> None:
        """Send an event to this client (P-063).  The payload is an object (dict, Struct, ...) or ``bytes``.

        Raises:
            EncodeError: the payload has no wire form.
            RuntimeError: the join has not succeeded yet, or this is not the channel's event loop.
        """
        self._context.push(event, payload)

    def broadcast(self, event: str, payload: object) -> None:
        """Send an event to every subscriber of this channel's topic, this client included (P-072).

        Raises: as :meth:`push`.
        """
        self._context.broadcast(event, payload, to_self=True)

    def broadcast_from(self, event: str, payload: object) -> None:
        """Send an event to every other subscriber of this channel's topic (P-072).  Raises: as :meth:`push`."""
        self._context.broadcast(event, payload, to_self=False)

    def send(self, message: object) -> None:
        """Have :meth:`handle_info` called with this message, after what is queued already; from any thread.

        Raises:
            MailboxFull: the channel has not kept up with its messages.  Called from another thread it may notice only
                later; then the channel crashes.
            BroadcastQueueFull: called from another thread, and the event loop has not kept up.
        """
        self._context.send(message)

    def send_after(self, seconds: float, message: object) -> Timer:
        """``send`` later; the timer ends with the channel."""
        return self._context.send_after(seconds, message)

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run ``await function(*args)`` beside the callbacks.

        An exception in it crashes the channel.  When the channel ends, it is cancelled once ``terminate`` is over.
        """
        self._context.start_soon(function, *args)

    def reply_later(self) -> ReplyRef:
        """The right to answer the message that is being handled, after the handler has returned ``None`` (P-062).

        Raises:
            RuntimeError: no message with a ref is being handled.
        """
        return self._context.reply_later()

    async def subscribe(self, topic: str) -> None:
        """Have broadcasts of another topic sent to :meth:`handle_info`, each as a :class:`Broadcast` (P-069).

        Every call adds a delivery (P-077); all end with the channel.
        """
        await self._context.subscribe(topic)

    async def unsubscribe(self, topic: str) -> None:
        """End all of this channel's subscriptions to that topic (P-077)."""
        await self._context.unsubscribe(topic)


@final
class ChannelRoute:
    """A channel class and the options that its instances are made with."""

    __slots__ = ("args", "channel_class", "options")

    def __init__(self, channel_class: type[Channel[Any]], args: tuple[Any, ...], options: Mapping[str, Any]) -> None:
        if not (isinstance(channel_class, type) and issubclass(channel_class, Channel)):
            raise DefinitionError(f"a route leads to a subclass of Channel, not to {channel_class!r}")
        signature = inspect.signature(channel_class)
        try:
            signature.bind(*args, **options)
        except TypeError as error:
            raise DefinitionError(
                f"channel({channel_class.__qualname__}, ...): {error}; its options are "
                f"{channel_class.__qualname__}{signature}"
            ) from error
        self.channel_class = channel_class
        self.args = args
        self.options = options

    def make(self, context: ChannelContext) -> Channel[Any]:
        """A new instance for one join; bound to its context before ``__init__`` runs."""
        channel: Channel[Any] = self.channel_class.__new__(self.channel_class)
        channel._context = context  # pyright: ignore[reportPrivateUsage]
        channel.__init__(*self.args, **self.options)  # type: ignore[misc]
        return channel


def channel(channel_class: Callable[P, Channel[Any]], /, *args: P.args, **options: P.kwargs) -> ChannelRoute:
    """Route to a channel class with options for its ``__init__``: ``channel(StatsChannel, period=7)``.

    Raises:
        DefinitionError: not a channel class, or options that its ``__init__`` does not take.
    """
    return ChannelRoute(channel_class, args, options)  # type: ignore[arg-type]


@final
class ChannelSpec:
    """A route that is ready to serve: the channel class and the decoders of its payloads."""

    __slots__ = ("after_join", "policy", "route", "table")

    def __init__(self, target: object) -> None:
        """Resolve a value of ``Socket.channels``.

        Raises:
            DefinitionError: it is no channel class, or an annotation of it cannot be resolved or decoded.
        """
        self.route = target if isinstance(target, ChannelRoute) else ChannelRoute(target, (), {})  # type: ignore[arg-type]
        channel_class = self.route.channel_class
        self.table = HandlerTable.of(channel_class, Channel)
        self.policy = Policy.of(channel_class.slow_consumer)
        self.after_join = channel_class.after_join is not Channel.after_join
