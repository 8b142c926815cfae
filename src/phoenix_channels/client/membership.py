"""One channel, as the driver tells of it, and whoever waits for that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeAlias, final

import anyio

from phoenix_channels.client.answer import Answer
from phoenix_channels.client.driver import Driver
from phoenix_channels.client.errors import ChannelClosed, ClientError, JoinRefused, JoinTimeout, PushLost, PushTimeout
from phoenix_channels.client.inbox import Inbox
from phoenix_channels.client.message import Message
from phoenix_channels.client.presence import Roster
from phoenix_channels.protocol import client_events as core
from phoenix_channels.protocol.client_messages import check_message
from phoenix_channels.protocol.client_states import ChannelState
from phoenix_channels.protocol.messages import PHX_JOIN, Payload, payload_size
from phoenix_channels.protocol.payloads import decode_payload, encode_term

_logger = logging.getLogger("phoenix_channels")

_OVER: Final = frozenset({ChannelState.LEAVING, ChannelState.CLOSED})

ChannelEvent: TypeAlias = (
    core.JoinSucceeded
    | core.JoinFailed
    | core.JoinTimedOut
    | core.MessageReceived
    | core.ChannelClosed
    | core.ReplyReceived
    | core.PushTimedOut
    | core.PushLost
)


@final
class AskedParams:
    """The params of a join that a function of the user returns.

    Raises:
        EncodeError: of the first join, they have no wire form; or whatever the function raises.
    """

    def __init__(self, topic: str, ask: Callable[[], object]) -> None:
        self._topic = topic
        self._ask = ask
        self._latest = encode_term(ask())
        self._asked = True

    def __call__(self) -> Payload:
        """Those of the join that is sent now.  Never raises: a rejoin has nobody whom it could tell."""
        if not self._asked:
            try:
                latest = encode_term(self._ask())
                check_message(self._topic, PHX_JOIN, latest)
                self._latest = latest
            except Exception:
                _logger.exception("%r is joined with its last params: those for a rejoin cannot be had", self._topic)
        self._asked = False
        return self._latest


@final
class Membership:
    """One channel, from its join to its end."""

    def __init__(
        self,
        driver: Driver,
        handle: core.ClientChannel,
        *,
        max_messages: int,
        rejoins: bool,
    ) -> None:
        self.handle = handle
        self.reply: Any = None
        """The decoded response to the last join that has succeeded."""
        self.messages = Inbox[Message](max_messages, self._fell_behind)
        self.max_messages = max_messages
        self.roster = Roster()
        self._driver = driver
        self._rejoins = rejoins
        self._joined = Answer[None]()
        self._closed = anyio.Event()
        self._answers: dict[core.ClientPush, Answer[tuple[str, Payload]]] = {}

    # What its user wants

    async def join(self, timeout: float) -> None:
        """Return when it is joined for the first time; if that fails it is left."""
        try:
            self._driver.join(self.handle, timeout)
            # The core's time begins anew with every connection, and stands still without.
            with anyio.move_on_after(timeout):
                await self._joined.wait()
                return
            raise JoinTimeout(self.handle.topic)
        except BaseException:
            self._driver.leave(self.handle)
            raise

    def send(self, event: str, payload: object, timeout: float | None, *, reply: bool) -> core.ClientPush:
        if self._closed.is_set() or self.handle.state in _OVER:
            raise ChannelClosed(self.handle.topic)
        return self._driver.push(self.handle, event, encode_term(payload), timeout, reply=reply)

    async def call(self, event: str, payload: object, timeout: float | None) -> tuple[str, Payload]:
        """Send, and wait for status and response."""
        push = self.send(event, payload, timeout, reply=True)
        answer = self._answers[push] = Answer[tuple[str, Payload]]()
        try:
            return await answer.wait()
        finally:
            del self._answers[push]
            # Who is cancelled does not want it to be sent any more.
            self._driver.forget(push)

    async def leave(self, timeout: float | None) -> None:
        self._driver.leave(self.handle, timeout)
        await self._closed.wait()

    # What happens to it

    def happened(self, event: ChannelEvent) -> None:
        if isinstance(event, core.MessageReceived):
            self.messages.put(Message(event.event, event.payload), payload_size(event.payload) + len(event.event))
            self.roster.receive(event.event, event.payload, event.join_ref)
        elif isinstance(event, core.ReplyReceived):
            self._answer(event.push).give((event.status, event.response))
        elif isinstance(event, core.PushTimedOut):
            self._answer(event.push).fail(PushTimeout(self.handle.topic, event.push.event))
        elif isinstance(event, core.PushLost):
            over = self.handle.state in _OVER
            topic, name = self.handle.topic, event.push.event
            self._answer(event.push).fail(ChannelClosed(topic) if over else PushLost(topic, name))
        elif isinstance(event, core.JoinSucceeded):
            self.reply = decode_payload(event.response)
            if self._joined.given and self._rejoins:
                self.messages.put(Message(PHX_JOIN, event.response), payload_size(event.response))
            self._joined.give(None)
        elif isinstance(event, core.JoinFailed):
            self._fail(JoinRefused(self.handle.topic, decode_payload(event.response)))
        elif isinstance(event, core.JoinTimedOut):
            self._fail(JoinTimeout(self.handle.topic))
        else:
            self.end()

    def end(self) -> None:
        """It is closed: nobody waits for it in vain."""
        closed = ChannelClosed(self.handle.topic)
        self._joined.fail(closed)
        for answer in self._answers.values():
            answer.fail(closed)
        self.messages.close()
        self.roster.close()
        self._closed.set()

    def _fail(self, error: ClientError) -> None:
        """The first join has failed, and is not repeated; what becomes of a rejoin is the core's business."""
        if not self._joined.given:
            self._joined.fail(error)
            # Now: a rejoin may be due before who waits has a turn.
            self._driver.leave(self.handle)

    def _answer(self, push: core.ClientPush) -> Answer[tuple[str, Payload]]:
        # For one that nobody waits for it does no harm.
        return self._answers.get(push) or Answer()

    def _fell_behind(self) -> None:
        _logger.warning(
            "%r: messages are dropped, the oldest first: %s wait to be taken (max_messages), or 16 MiB of them",
            self.handle.topic,
            self.max_messages,
        )
