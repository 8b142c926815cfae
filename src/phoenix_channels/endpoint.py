"""The endpoint: where sockets are mounted, broadcasts begin, and servers come in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Unpack, final

from msgspec import Struct

from phoenix_channels.channel import Channel
from phoenix_channels.debug import Debug
from phoenix_channels.definitions import check_bool
from phoenix_channels.logger import EventLogger
from phoenix_channels.parameters import DEFAULT_TERMS, Keep, ParameterFilter
from phoenix_channels.pubsub.base import PubSub
from phoenix_channels.pubsub.local import LocalPubSub
from phoenix_channels.raw_socket import RawSocket
from phoenix_channels.runtime.drain import drain
from phoenix_channels.runtime.hub import Hub
from phoenix_channels.runtime.limits import Limits
from phoenix_channels.runtime.subscriber import Subscriber
from phoenix_channels.socket import BaseSocket
from phoenix_channels.transports.asgi import asgi
from phoenix_channels.transports.mounts import Mount, Mounts
from phoenix_channels.transports.options import MountOptions
from phoenix_channels.transports.origin import CheckOrigin, OriginPolicy
from phoenix_channels.transports.sessions import Sessions


@final
class Statistics(Struct, frozen=True, kw_only=True):
    """A snapshot of one endpoint, over all event loops of the process."""

    connections: int
    channels: int
    topics: int
    """Topics with at least one subscriber."""
    longpoll_sessions: int
    """Connections that are long-poll sessions."""
    longpoll_body_bytes: int
    """Bodies of long-poll requests that are held, without the first 64 KiB of each."""
    outbox_bytes: int
    """Encoded frames that wait for clients, where the endpoint itself keeps them."""
    waiting_messages: int
    """Messages of clients that wait to be handled."""
    waiting_bytes: int
    """Their payloads."""
    mailbox_messages: int
    """All that waits in the mailboxes of channels and raw sockets."""
    waiting_broadcasts: int
    """Broadcasts that wait in an ``endpoint.subscribe``."""
    queued_broadcast_bytes: int
    """Broadcasts from other threads that wait for an event loop."""
    dropped_frames: int
    """Frames not handed to the server because their client did not keep up.

    It was closed with 1013, or their channel has a ``slow_consumer`` that drops.
    """
    dropped_broadcasts: int
    """Broadcasts lost because an ``endpoint.subscribe`` did not keep up, or an event loop was at rest for too long."""
    skipped_deliveries: int
    """Deliveries left out because the client's version of the protocol cannot carry the payload."""
    cut_callbacks: int
    """Callbacks that were cut off because they did not end in time."""


@final
class Health(Struct, frozen=True, kw_only=True):
    """Can this endpoint do its work?"""

    ok: bool
    """True when it takes connections."""
    draining: bool
    """True from the beginning of :meth:`Endpoint.drain`."""


@final
class Endpoint:
    """Sockets, broadcasts and servers of one application; itself an ASGI application.

    Args:
        host: the public host name, such as ``"example.com"``.  Pages of other hosts are refused.  Without it, a page
            has to come from the host of the request's ``Host`` header.
        secret_key_base: the secret that signs the tokens of long-poll sessions, and those of
            :mod:`phoenix_channels.token`, at least 20 bytes, the same on all nodes.  Without it a random one is made
            for the sessions, with a warning; with several workers that is an error.
        check_origin: which pages may connect, where a mount does not say (P-014).
        pubsub: what carries broadcasts to other nodes; by default there are none.
        limits: the bounds of every queue.
        filter_parameters: which parameters are not shown in logs: those whose names contain one of these words, or
            with :class:`Keep` all but those (A166, A167).
        logger: write the log lines about connections, joins and messages (A168).
    """

    def __init__(
        self,
        *,
        host: str | None = None,
        secret_key_base: str | None = None,
        check_origin: CheckOrigin | None = None,
        pubsub: PubSub | None = None,
        limits: Limits | None = None,
        filter_parameters: Sequence[str] | Keep = DEFAULT_TERMS,
        logger: bool = True,
    ) -> None:
        if host is not None and (not isinstance(host, str) or not host or "/" in host or ":" in host):
            raise ValueError(f"host is a bare host name such as 'example.com', not {host!r}")
        if limits is not None and not isinstance(limits, Limits):
            raise TypeError(f"limits is a Limits(...), not {limits!r:.200}")
        if pubsub is not None and not isinstance(pubsub, PubSub):
            raise TypeError(f"pubsub is a PubSub adapter, not {pubsub!r:.200}")
        if secret_key_base is not None and not isinstance(secret_key_base, str):
            raise TypeError(f"secret_key_base is a string, not a {type(secret_key_base).__name__}")
        check_bool("Endpoint(logger=...)", logger)
        OriginPolicy.of(True if check_origin is None else check_origin, "Endpoint(check_origin=...)")
        self.host = host
        self._check_origin: CheckOrigin | None = check_origin
        self._secret_key_base = secret_key_base
        self.hub = Hub(
            pubsub if pubsub is not None else LocalPubSub(),
            limits if limits is not None else Limits(),
            logger=EventLogger(ParameterFilter.of(filter_parameters), enabled=logger),
        )
        self.debug = Debug(self.hub)
        """What is connected and joined right now."""
        self.mounts = Mounts()
        self.sessions = Sessions(self, secret_key_base)
        config = {"host": host, "check_origin": check_origin, "pubsub": self.hub.pubsub, "limits": self.hub.limits}
        self.hub.logger.endpoint_init(self, config)

    @property
    def secret_key_base(self) -> str | None:
        """The secret, which also :mod:`phoenix_channels.token` signs with; None without one."""
        return self._secret_key_base

    def socket(self, path: str, socket_class: type[BaseSocket], **options: Unpack[MountOptions]) -> None:
        """Mount a socket class: its WebSocket answers at ``<path>/websocket`` (P-001).

        The path may have variables, ``/ws/:user_id``, which ``connect`` finds among its params (P-003).  The options
        are those of :class:`~phoenix_channels.transports.options.MountOptions`.

        Raises:
            DefinitionError: an unknown or wrong option, or a channel class that is not put together right.
        """
        mount = Mount(path, socket_class, options, check_origin=self._check_origin)
        if mount.longpoll is not None:
            self.sessions.require_secret()
        self.mounts.add(mount)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application.

        The arguments are Any because frameworks type ASGI in ways that exclude each other.
        """
        await asgi(self, scope, receive, send)

    # Broadcasts

    def broadcast(self, topic: str, event: str, payload: object) -> None:
        """Send an event to every subscriber of a topic, on every node; from any thread, never blocks (P-072).

        The payload, an object (dict, Struct, dataclass, ...) or ``bytes``, is encoded here and now: later changes to
        it do not matter.  To clients it goes at the end of the event loop's turn.

        Raises:
            BroadcastQueueFull: threads broadcast faster than the event loop delivers.
            EncodeError: the payload has no wire form.
            TypeError: topic or event is no string.
        """
        self.hub.broadcast(topic, event, payload)

    async def abroadcast(self, topic: str, event: str, payload: object) -> None:
        """As :meth:`broadcast`, but return only when the backplane has accepted the broadcast, or raise."""
        await self.hub.abroadcast(topic, event, payload)

    def broadcast_from(self, sender: Channel[Any] | RawSocket, topic: str, event: str, payload: object) -> None:
        """As :meth:`broadcast`, but leave out the sender: its client, and its own subscriptions (P-072)."""
        self.hub.broadcast(topic, event, payload, exclude=sender._context)  # pyright: ignore[reportPrivateUsage]

    def local_broadcast_from(self, sender: Channel[Any] | RawSocket, topic: str, event: str, payload: object) -> None:
        """As :meth:`broadcast_from`, but on this node only (P-072)."""
        exclude = sender._context  # pyright: ignore[reportPrivateUsage]
        self.hub.broadcast(topic, event, payload, exclude=exclude, local=True)

    def local_broadcast(self, topic: str, event: str, payload: object) -> None:
        """As :meth:`broadcast`, but on this node only (P-072)."""
        self.hub.broadcast(topic, event, payload, local=True)

    def subscribe(self, topic: str) -> Subscriber:
        """Subscribe code that is no channel to the broadcasts of a topic.

        For example::

            async with endpoint.subscribe("notifications:21") as broadcasts:
                async for broadcast in broadcasts:
                    print(broadcast.event, broadcast.payload)
        """
        return Subscriber(self.hub, topic)

    async def disconnect(self, socket_id: str) -> None:
        """Close every connection whose socket has this id, on every node, with 1001 (P-079).  Clients reconnect."""
        await self.abroadcast(socket_id, "disconnect", {})

    # Life

    async def drain(self) -> None:
        """Close every connection on this event loop with 1012, in rounds, and end its channels (P-088).

        How many in a round, and when, is the ``drainer`` of each mount.  Returns when all is over.  Meanwhile, and
        afterwards, new connections are refused with 503.  Those of mounts with ``drainer=False`` stay open.
        """
        await drain(self.hub.current_lane())

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """For applications that the endpoint is mounted in: ``FastAPI(lifespan=endpoint.lifespan)``.

        Drains at the end.  Without it everything works too, except that nobody waits for the last ``terminate``.
        """
        self.hub.current_lane().draining = False
        try:
            yield
        finally:
            await self.drain()

    def statistics(self) -> Statistics:
        """What there is now, and what was lost since the start; from any thread."""
        lanes = self.hub.lanes
        live = self.hub.drivers
        waiting = [driver.waiting for driver in live]
        return Statistics(
            connections=len(live),
            channels=sum(driver.channels for driver in live)
            + sum(driver.channels for lane in lanes for driver in tuple(lane.ending)),
            longpoll_sessions=len(self.sessions),
            longpoll_body_bytes=self.sessions.body_bytes,
            outbox_bytes=sum(driver.sink.queued_bytes for driver in live),
            waiting_messages=sum(messages for messages, _ in waiting),
            waiting_bytes=sum(size for _, size in waiting),
            mailbox_messages=sum(driver.mailboxes for driver in live),
            waiting_broadcasts=sum(lane.waiting_broadcasts for lane in lanes),
            topics=sum(lane.registry.topics for lane in lanes),
            queued_broadcast_bytes=sum(lane.queued_bytes for lane in lanes),
            dropped_frames=self.hub.dropped_frames,
            dropped_broadcasts=self.hub.dropped_broadcasts + sum(lane.dropped for lane in lanes),
            skipped_deliveries=self.hub.skipped + sum(lane.registry.skipped for lane in lanes),
            cut_callbacks=self.hub.cut,
        )

    def health(self) -> Health:
        """Whether a load balancer should send clients here; from any thread."""
        draining = any(lane.draining for lane in self.hub.lanes)
        return Health(ok=not draining, draining=draining)
