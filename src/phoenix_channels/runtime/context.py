"""What one channel instance can do: the runtime's side of the methods of :class:`Channel`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, final

import anyio

from phoenix_channels.channel import Channel, ChannelSpec, ReplyRef, Timer
from phoenix_channels.protocol.events import Entry
from phoenix_channels.protocol.messages import EncodedBroadcast, Payload, Ref, payload_size
from phoenix_channels.protocol.payloads import encode_payload, encode_term
from phoenix_channels.protocol.states import State
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.results import Reply
from phoenix_channels.runtime.limits import MailboxFull
from phoenix_channels.runtime.mailbox import Callback, Mailbox, is_user_error
from phoenix_channels.runtime.tasks import AsyncFunction, LoopEnded, Task
from phoenix_channels.runtime.topics import Topics
from phoenix_channels.socket import Socket

if TYPE_CHECKING:
    from phoenix_channels.runtime.channels_driver import ChannelsDriver

_logger = logging.getLogger("phoenix_channels")


def _not_handled(*_: object) -> None:
    """Nobody handles anything for a channel that is over."""


def _not_told(_: object) -> None:
    """Nobody is told."""


_REACHABLE: Final = (State.JOINED, State.LEAVING, State.TERMINATING)
NO_MESSAGE: Final = object()
"""Stands for the ref where no message of the client is being handled."""


@final
class Context:
    """The :class:`ChannelContext` of one instance: pushes, broadcasts, messages to itself, tasks, subscriptions.

    Args:
        driver: the connection.
        entry: the join.
        mailbox: where messages to the channel go.
        handle_info, handle_out: the callbacks for messages, and for intercepted broadcasts.
        crash: what to do about an exception that no callback raised.
    """

    __slots__ = (
        "_behind", "_crash", "_driver", "_entry", "_handle_info", "_handle_out", "_mailbox", "_tasks", "_topics",
        "joined", "muted", "ref", "released", "subscription",
    )  # fmt: skip

    def __init__(
        self,
        driver: ChannelsDriver,
        entry: Entry[ChannelSpec],
        mailbox: Mailbox,
        *,
        handle_info: Callback,
        handle_out: Callback,
        crash: Callable[[BaseException], None],
    ) -> None:
        self._driver = driver
        self._entry = entry
        self._mailbox = mailbox
        self._handle_info = handle_info
        self._handle_out = handle_out
        self._crash = crash
        self._behind = False
        self._tasks: set[Task] = set()
        self._topics = Topics(driver.hub, driver.lane, self, self._receive_subscribed)
        self.subscription = Subscription(
            entry.topic,
            self._receive_intercepted,
            outlet=driver,
            intercepts=entry.target.table.intercepts,
            owner=self,
            policy=entry.target.policy,
        )
        self.released = False
        """The channel is over."""
        self.joined = False
        """The join has succeeded."""
        self.muted = False
        """A new join has taken this one's place: nothing of it is seen any more (P-057)."""
        self.ref: Ref = NO_MESSAGE
        """The ref of the message that is being handled."""

    @property
    def topic(self) -> str:
        return self._entry.topic

    @property
    def subtopic(self) -> str:
        return self._entry.subtopic

    @property
    def channel_class(self) -> type[Channel[Any]]:
        return self._entry.target.route.channel_class

    @property
    def join_ref(self) -> Ref:
        return self._entry.push_join_ref

    @property
    def socket(self) -> Socket:
        return self._driver.socket

    # To the client and to the topic

    def push(self, event: str, payload: object) -> None:
        if not isinstance(event, str):
            raise TypeError(f"an event is a string, not {event!r}")
        encoded = encode_payload(payload)
        self._check_joined("push")
        # Outside these states (terminate of a join that came to nothing, a channel that has ended) it reaches nobody
        # any more, as one whose client has gone.
        if not self.muted and self._entry.state in _REACHABLE:
            self._driver.push(self._entry, event, encoded, self.subscription)

    def broadcast(self, event: str, payload: object, *, to_self: bool) -> None:
        self._check_joined("broadcast")
        exclude = None if to_self else self
        self._driver.hub.broadcast(self._entry.topic, event, payload, exclude=exclude)

    def reply_later(self) -> ReplyRef:
        self._check_joined("reply_later")
        ref = self.ref
        if ref is NO_MESSAGE or ref is None:
            raise RuntimeError("reply_later() needs a message with a ref that is being handled right now (P-062)")
        return ReplyRef(lambda reply: self._reply(ref, reply))

    def _reply(self, ref: Ref, reply: Reply) -> None:
        payload = encode_term(reply.payload)
        if self._driver.lane.loop.running:
            self.reply(ref, reply.status, payload)
        else:
            # P-062: once the loop is over, a reply is as harmless as after the end of the connection.
            with suppress(LoopEnded):
                self._driver.lane.call(lambda: self.reply(ref, reply.status, payload), payload_size(payload))

    def reply(self, ref: Ref, status: str, response: Payload) -> None:
        """Answer a message, however long ago it came (P-062)."""
        if not self.muted:
            self._driver.reply(self._entry, ref, status, response)

    def _check_joined(self, what: str) -> None:
        if not self.joined:
            raise RuntimeError(f"{what}() is not possible before the join has succeeded; use after_join (P-055)")
        if not self._driver.lane.loop.running:
            raise RuntimeError(f"{what}() belongs to the channel's event loop; from elsewhere use endpoint.broadcast")

    # To the channel itself

    def send(self, message: object) -> None:
        if len(self._mailbox) >= self._driver.limits.mailbox_messages:
            raise MailboxFull(
                f"{len(self._mailbox)} messages wait for the channel on {self.topic!r:.200}; "
                f"the limit is Limits(mailbox_messages={self._driver.limits.mailbox_messages})"
            )
        lane = self._driver.lane
        if lane.loop.running:
            self._mailbox.put(self._handle_info, message)
        else:
            with suppress(LoopEnded):
                lane.call(lambda: self._put(self._handle_info, message))

    def send_after(self, seconds: float, message: object) -> Timer:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
            raise ValueError(f"send_after waits a number of seconds from 0 on, not {seconds!r}")

        async def send_later() -> None:
            await anyio.sleep(seconds)
            self._put(self._handle_info, message)

        return self._spawn(send_later)

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        if not callable(function):
            raise TypeError(f"start_soon takes a function and its arguments: start_soon(f, 1), not {function!r:.200}")

        async def run() -> None:
            try:
                await function(*args)
            except BaseException as error:
                if self.released or not is_user_error(error, self._mailbox):
                    raise
                self._crash(error)

        self._spawn(run)

    def _spawn(self, function: AsyncFunction) -> Task:
        if not self._driver.lane.loop.running:
            raise RuntimeError("tasks and timers of a channel are started on its event loop; from elsewhere use send")
        if self.released:
            raise RuntimeError(f"the channel on {self.topic!r:.200} has ended")
        task = self._driver.spawn(function, on_done=lambda: self._tasks.discard(task))
        self._tasks.add(task)
        return task

    # Topics

    async def subscribe(self, topic: str) -> None:
        await self._topics.subscribe(topic)

    async def unsubscribe(self, topic: str) -> None:
        self._topics.unsubscribe(topic)

    def _receive_intercepted(self, broadcast: EncodedBroadcast) -> None:
        self._put(self._handle_out, broadcast)

    def _receive_subscribed(self, broadcast: EncodedBroadcast) -> None:
        self._put(self._handle_info, broadcast)

    def _put(self, callback: Callback, message: object) -> None:
        if len(self._mailbox) < self._driver.limits.mailbox_messages:
            self._mailbox.put(callback, message)
        else:
            # Dropping one would leave the client with a wrong picture that nobody knows of: let it join anew.
            self._crash(MailboxFull(f"{len(self._mailbox)} messages wait; one more cannot be delivered"))

    def dropped(self, count: int) -> None:
        """So many frames of this channel were dropped: its client does not keep up, and its class has it so."""
        policy = self.subscription.policy
        if policy is not None:
            first, self._behind = not self._behind, True
            self._driver.hub.logger.frames_dropped(self, policy.name, count, first=first)

    # The end

    async def end_tasks(self, seconds: float) -> None:
        """Cancel tasks and timers, and wait at most so many seconds for them; those that resist are left behind."""
        self.released = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        with anyio.move_on_after(seconds):
            for task in tasks:
                await task.wait()
            return
        self._driver.hub.cut += 1
        _logger.error("%.200r: tasks of the channel resist their cancellation and are left behind", self._entry.topic)

    def release(self) -> None:
        """The channel is over: its subscriptions end with it."""
        self.released = True
        self._topics.release()
        self.subscription.release()
        # Whoever knows us and whom we know lets go: what is left of a channel should need no garbage collector.
        self._handle_info = self._handle_out = _not_handled
        self._crash = _not_told
