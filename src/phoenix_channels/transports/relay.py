"""The relay: requests for a session that lives on another event loop or node travel as broadcasts (P-109).

A session listens on a topic of its own, and each request on another for the answer.  What travels::

    on  phx:lp:<session>         poll {ref}    post {ref, messages}    withdraw {ref}
    on  phx:lp:reply:<ref>       ack {}        answer {status, messages}

The ``ack`` says that the session is there: without one in time it counts as gone.  Both names are random, and long
enough that nobody finds them by guessing.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol, final

import anyio
import msgspec
from msgspec import Struct

from phoenix_channels.protocol.longpoll import Posted
from phoenix_channels.protocol.messages import EncodedBroadcast, Opcode
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.runtime.driver import Driver
from phoenix_channels.runtime.hub import Hub
from phoenix_channels.runtime.lane import Lane
from phoenix_channels.socket import BaseSocket
from phoenix_channels.transports.options import LongPollOptions

_logger = logging.getLogger("phoenix_channels")


@final
class Polled(Struct, frozen=True):
    """What a request was answered: a poll 200 with messages or 204 with none, a POST its status alone (P-093)."""

    status: int
    messages: Sequence[bytes] = ()


class Served(Protocol):
    """The session itself, on the event loop where it lives."""

    driver: Driver[BaseSocket]
    options: LongPollOptions

    def start_poll(self, on_answer: Any) -> Any: ...
    def expire(self, poll: Any) -> None: ...
    def give_up(self, poll: Any) -> None: ...
    def posting(self) -> AbstractContextManager[bool]: ...
    async def post(self, messages: Sequence[Posted]) -> int: ...


class _Poll(Struct, frozen=True):
    ref: str


class _Post(Struct, frozen=True):
    ref: str
    # Bytes travel as base64: a body is not known to be UTF-8.
    messages: list[tuple[int, bytes]]


_decode_poll = msgspec.json.Decoder(_Poll).decode
_decode_post = msgspec.json.Decoder(_Post).decode
_decode_answer = msgspec.json.Decoder(Polled).decode

_MAX_SEEN: Final = 256
"""Requests of a session that are remembered."""
_NO_REPLY: Final = Polled(204, ())


def _session_topic(name: str) -> str:
    return f"phx:lp:{name}"


def _reply_topic(ref: str) -> str:
    return f"phx:lp:reply:{ref}"


@final
class RelayedSession:
    """The ear of a session for requests that arrive elsewhere."""

    __slots__ = ("_hub", "_interested", "_lane", "_polls", "_seen", "_session", "_subscription")

    def __init__(self, hub: Hub, lane: Lane, name: str, session: Served) -> None:
        self._hub = hub
        self._lane = lane
        self._session = session
        self._polls: dict[str, tuple[Any, anyio.Event]] = {}
        self._seen: dict[str, None] = {}
        self._interested = False
        self._subscription = Subscription(_session_topic(name), self._receive)

    async def start(self) -> None:
        await self._hub.subscribe(self._lane, self._subscription)
        self._interested = True

    def stop(self) -> None:
        if self._interested:
            self._interested = False
            self._hub.unsubscribe(self._lane, self._subscription)

    def _is_new(self, ref: str) -> bool:
        """Some backplanes deliver again what they are not sure of."""
        if ref in self._seen:
            return False
        self._seen[ref] = None
        if len(self._seen) > _MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        return True

    def _receive(self, broadcast: EncodedBroadcast) -> None:
        driver = self._session.driver
        try:
            if broadcast.event == "poll" and self._is_new(ref := _decode_poll(broadcast.payload).ref):
                # First the poll: every broadcast lets in what is queued behind it, which may be its withdrawal.
                self._poll(ref)
                self._reply(ref, "ack", {})
            elif broadcast.event == "post" and self._is_new((post := _decode_post(broadcast.payload)).ref):
                self._reply(post.ref, "ack", {})
                driver.spawn(self._post, post)
            elif broadcast.event == "withdraw":
                self._withdraw(_decode_poll(broadcast.payload).ref)
        except msgspec.MsgspecError:
            _logger.warning("what arrives on %r is no request for a session", broadcast.topic)

    def _poll(self, ref: str) -> None:
        # Here and now, not in a task: its withdrawal may be the next thing that arrives.
        answered = anyio.Event()

        def on_answer(polled: Polled) -> None:
            self._polls.pop(ref, None)
            answered.set()
            self._reply(ref, "answer", polled)

        poll = self._session.start_poll(on_answer)
        if not poll.answered:
            self._polls[ref] = (poll, answered)
            self._session.driver.spawn(self._expire, ref, answered)

    async def _expire(self, ref: str, answered: anyio.Event) -> None:
        with anyio.move_on_after(self._session.options.window):
            await answered.wait()
        if ref in self._polls:
            self._session.expire(self._polls[ref][0])

    def _withdraw(self, ref: str) -> None:
        if ref in self._polls:
            poll, answered = self._polls.pop(ref)
            self._session.give_up(poll)
            answered.set()

    async def _post(self, post: _Post) -> None:
        messages: list[Posted] = [(data, Opcode(opcode)) for opcode, data in post.messages]
        with self._session.posting() as may_post:
            self._reply(post.ref, "answer", Polled(await self._session.post(messages) if may_post else 408))

    def _reply(self, ref: str, event: str, payload: object) -> None:
        try:
            self._hub.broadcast(_reply_topic(ref), event, payload)
        except Exception:
            # Whatever the backplane raises: this may be in the middle of the end of the session.
            _logger.exception("a request for a long-poll session cannot be answered")


@final
class RemoteSession:
    """A session that lives elsewhere, or nowhere any more."""

    __slots__ = ("_hub", "_name", "_options")

    def __init__(self, hub: Hub, name: str, options: LongPollOptions) -> None:
        self._hub = hub
        self._name = name
        self._options = options

    async def poll(self) -> Polled | None:
        """Wait for messages; None when nobody knows the session."""
        ref = secrets.token_urlsafe(16)
        request = _Request(self._hub, ref, self._options)
        answer: Polled | None = None
        try:
            answer = await request.run(_session_topic(self._name), "poll", _Poll(ref), windows=1)
        finally:
            if answer is None:
                self._withdraw(ref)
        if answer is None:
            return None if not request.acknowledged else _NO_REPLY
        return answer

    @contextmanager
    def posting(self) -> Generator[bool]:
        """Where it lives, its POSTs are counted."""
        yield True

    def _withdraw(self, ref: str) -> None:
        """An expired poll must not take later messages (P-097)."""
        try:
            self._hub.broadcast(_session_topic(self._name), "withdraw", _Poll(ref))
        except Exception:
            # It must not stand in the place of what ended the poll.
            _logger.exception("a poll of a long-poll session cannot be withdrawn")

    async def post(self, messages: Sequence[Posted]) -> int:
        """Hand messages over: what the session says, or 410 when nobody knows it."""
        ref = secrets.token_urlsafe(16)
        request = _Request(self._hub, ref, self._options)
        post = _Post(
            ref, [(int(opcode), data if isinstance(data, bytes) else data.encode()) for data, opcode in messages]
        )
        answer = await request.run(_session_topic(self._name), "post", post, windows=1 + len(messages))
        if answer is None:
            return 408 if request.acknowledged else 410
        return answer.status


@final
class _Request:
    """One question, and the wait for its answer."""

    __slots__ = ("_ack", "_answer", "_answered", "_hub", "_options", "_subscription")

    def __init__(self, hub: Hub, ref: str, options: LongPollOptions) -> None:
        self._hub = hub
        self._options = options
        self._ack = anyio.Event()
        self._answered = anyio.Event()
        self._answer: Polled | None = None
        self._subscription = Subscription(_reply_topic(ref), self._receive)

    @property
    def acknowledged(self) -> bool:
        return self._ack.is_set()

    async def run(self, topic: str, event: str, payload: object, *, windows: int) -> Polled | None:
        """Ask, and wait; None when nobody has answered within so many windows."""
        lane = self._hub.current_lane()
        await self._hub.subscribe(lane, self._subscription)
        try:
            self._hub.broadcast(topic, event, payload)
            with anyio.move_on_after(self._options.pubsub_timeout):
                await self._ack.wait()
            if self.acknowledged:
                with anyio.move_on_after(windows * self._options.window + self._options.pubsub_timeout):
                    await self._answered.wait()
        finally:
            self._hub.unsubscribe(lane, self._subscription)
        return self._answer

    def _receive(self, broadcast: EncodedBroadcast) -> None:
        if broadcast.event == "answer":
            try:
                self._answer = _decode_answer(broadcast.payload)
            except msgspec.MsgspecError:
                _logger.warning("what arrives on %r is no answer of a session", broadcast.topic)
                return
            # Whatever the order in which another node's broadcasts arrive.
            self._ack.set()
            self._answered.set()
        elif broadcast.event == "ack":
            self._ack.set()
