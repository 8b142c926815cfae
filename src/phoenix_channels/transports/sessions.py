"""Long-poll sessions: each lives on the event loop that made it, and can be reached from every other (P-108, P-109)."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias, final

import anyio
import msgspec
from msgspec import Struct

from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.longpoll import Answer, Posted, Session
from phoenix_channels.protocol.messages import Frame, FrameBatch, Opcode
from phoenix_channels.pubsub.local import LocalPubSub
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.runtime.driver import Driver, Terms
from phoenix_channels.socket import BaseSocket
from phoenix_channels.token.signing import derive_key, sign, verify
from phoenix_channels.transports.handshake import Accepted, make_driver
from phoenix_channels.transports.mounts import Mount
from phoenix_channels.transports.options import LongPollOptions
from phoenix_channels.transports.relay import Polled, RelayedSession, RemoteSession

if TYPE_CHECKING:
    from phoenix_channels.endpoint import Endpoint

_logger = logging.getLogger("phoenix_channels")

_INACTIVE: Final = 1.5
"""Windows without a poll after which a session ends (P-102)."""
_MAX_POSTS: Final = 128
"""POSTs of a session at a time; old clients send one for each message, new ones one at all (P-148)."""
_SMALL_BODY: Final = 64 * 1024
_TOKEN_VERSION: Final = 1

OnAnswer: TypeAlias = Callable[[Polled], None]


@final
class Poll:
    """One request that waits for messages; known by its identity."""

    __slots__ = ("answered", "deadline", "on_answer")

    def __init__(self, on_answer: OnAnswer, deadline: float) -> None:
        self.on_answer = on_answer
        self.deadline = deadline
        self.answered = False


@final
class LocalSession:
    """A session on this event loop: the :class:`Sink` of its driver, and what its requests ask."""

    __slots__ = ("_forget", "_lock", "_pending", "_pending_bytes", "_posts", "_session", "died", "driver", "options")

    def __init__(self, driver: Driver[BaseSocket], options: LongPollOptions, forget: Callable[[], None]) -> None:
        self.driver = driver
        self.options = options
        self.died = False
        """The session has ended by a failure, and not because somebody wanted it to."""
        self._forget = forget
        self._session: Session[Poll] = Session(window=options.window)
        # What was written in this turn of the loop goes out in one answer, if a poll waits for it.
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._lock = anyio.Lock()
        self._posts = 0

    # The sink

    @property
    def queued_bytes(self) -> int:
        return self._pending_bytes + self._session.buffered_bytes

    def write(self, frames: Frame | FrameBatch, source: Subscription | None = None) -> None:
        for number, frame in enumerate(frames.frames):
            if not self.driver.closed:
                self._write(frame, behind=len(frames.frames) - number - 1)

    def _write(self, frame: Frame, *, behind: int) -> None:
        """Write one frame; so many more of its batch are lost with it when it is one too many."""
        queued, limits = self.queued_bytes, self.driver.limits
        # Who waits for a frame is not slow.  One that is larger than the bound passes through an empty buffer: it has
        # to go some way.
        most = limits.burst_bytes if self._session.waiting else limits.outbox_bytes
        if queued and queued + len(frame) > most:
            self._write_pending()
            self.driver.overflow(self._session.buffered + 1 + behind)
        elif self._pending:
            self._keep(frame)
        elif self._session.waiting:
            self._keep(frame)
            self.driver.spawn(self._flush)
        else:
            self._session.write(frame.data)

    def ping(self, payload: bytes) -> bool:
        return False

    def resume_reading(self) -> None:
        """Nothing to do: POSTs wait by themselves."""

    def close(self, code: int) -> None:
        self.died = code in (CloseCode.INTERNAL_ERROR, CloseCode.TOO_BIG)
        self._forget()
        self._write_pending()
        # A poll is not left to wait for its window: there is nothing to wait for (P-090).
        self._answer(self._session.end())
        self.driver.connection_lost()

    def _keep(self, frame: Frame) -> None:
        self._pending.append(frame.data)
        self._pending_bytes += len(frame)

    async def _flush(self) -> None:
        self._write_pending()

    def _write_pending(self) -> None:
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        self._answer(self._session.write(*pending))

    # What its requests ask

    def start_poll(self, on_answer: OnAnswer) -> Poll:
        """Begin to wait; ``on_answer`` is called at once when there is something, at the latest by :meth:`expire`."""
        self.driver.heard()
        now = self.driver.lane.loop.now()
        poll = Poll(on_answer, now + self.options.window)
        self._write_pending()
        self._answer(self._session.poll(poll, now))
        return poll

    def expire(self, poll: Poll) -> None:
        """The window of a poll has passed (P-096)."""
        # A timer may be early by less than the clock can tell.
        self._answer(self._session.handle_timeout(max(poll.deadline, self.driver.lane.loop.now())))

    def give_up(self, poll: Poll) -> None:
        """The client of a poll has gone: it gets nothing any more (P-097)."""
        self._session.withdraw(poll)
        self.driver.heard()

    def _answer(self, answers: Sequence[Answer[Poll]]) -> None:
        for answer in answers:
            answer.poll.answered = True
            self.driver.heard()
            answer.poll.on_answer(Polled(answer.status, answer.messages))
        if answers:
            self.driver.written()

    async def poll(self) -> Polled | None:
        """Wait for messages (P-096)."""
        polled: list[Polled] = []
        arrived = anyio.Event()

        def on_answer(answer: Polled) -> None:
            polled.append(answer)
            arrived.set()

        poll = self.start_poll(on_answer)
        try:
            with anyio.move_on_after(self.options.window):
                await arrived.wait()
            if not poll.answered:
                self.expire(poll)
        finally:
            if not poll.answered:
                self.give_up(poll)
        return polled[0] if polled else None

    @contextmanager
    def posting(self) -> Generator[bool]:
        """While a POST is under way; False when too many are."""
        if self._posts >= _MAX_POSTS:
            yield False
            return
        self._posts += 1
        try:
            yield True
        finally:
            self._posts -= 1

    async def post(self, messages: Sequence[Posted]) -> int:
        """Hand messages over, in order; 200 when the socket has taken them all, else 408 (P-099, P-101)."""
        with anyio.move_on_after(self.options.window) as waiting:
            await self._lock.acquire()
        if waiting.cancelled_caught:
            return 408
        try:
            for data, opcode in messages:
                if not await self._take(data, opcode):
                    return 408
        finally:
            self._lock.release()
        return 200

    async def _take(self, data: str | bytes, opcode: Opcode) -> bool:
        """Have the socket take one message within the window; False when it does not, or dies on it (P-047)."""
        with anyio.move_on_after(self.options.window):
            await self.driver.wait_readable()
            if self.driver.closed:
                return False
            self.driver.receive(data, opcode)
            await self.driver.wait_handled()
            return not self.died
        return False


class _Claims(Struct, frozen=True, array_like=True):
    """What a token says."""

    version: int
    node: str
    session: str
    issued: int
    """Seconds since the epoch."""


_encode_claims = msgspec.json.Encoder().encode
_decode_claims = msgspec.json.Decoder(_Claims).decode


@final
class Sessions:
    """All long-poll sessions that live on this node, and the way to those that do not."""

    __slots__ = ("_endpoint", "_making", "_node", "_removed", "_secret", "_sessions", "body_bytes")

    def __init__(self, endpoint: Endpoint, secret: str | None) -> None:
        self._endpoint = endpoint
        self._secret = secret
        if secret is not None:
            try:
                derive_key(secret, "")
            except ValueError as error:
                raise ValueError(f"Endpoint(secret_key_base=...): {error}") from error
        self._node = secrets.token_urlsafe(9)
        self._sessions: dict[str, LocalSession] = {}
        self._removed = 0
        self._making = 0
        self.body_bytes = 0
        """What is held of bodies, without the first of each."""

    def __len__(self) -> int:
        return len(self._sessions)

    def require_secret(self) -> None:
        """Long polling is mounted: without a secret, make one that lasts as long as the process.

        Raises:
            ValueError: other processes would have to know it.
        """
        if self._secret is not None:
            return
        if not isinstance(self._endpoint.hub.pubsub, LocalPubSub) or os.environ.get("WEB_CONCURRENCY", "1") != "1":
            raise ValueError(
                "long polling with several workers needs Endpoint(secret_key_base=...), the same for all of them: "
                "each signs its sessions, and has to believe the others"
            )
        self._secret = secrets.token_urlsafe(48)
        _logger.warning(
            "Endpoint(secret_key_base=...) is not set: long-poll sessions are signed with a random secret, and no "
            "other process knows it"
        )

    @contextmanager
    def reading(self) -> Generator[Callable[[int], bool]]:
        """While a body is read and handled: asks whether there is room for so many more bytes of it.

        For what clients usually send there always is: large bodies only compete with each other.
        """
        size = held = 0

        def take(more: int) -> bool:
            nonlocal size, held
            size += more
            wanted = max(0, size - _SMALL_BODY) - held
            if wanted and self.body_bytes + wanted > self._endpoint.hub.limits.longpoll_body_bytes:
                return False
            held += wanted
            self.body_bytes += wanted
            return True

        try:
            yield take
        finally:
            self.body_bytes -= held

    @contextmanager
    def making(self) -> Generator[bool]:
        """While a session is being made it counts as one; False when there are too many already."""
        most = self._endpoint.hub.limits.longpoll_sessions
        if len(self._sessions) + self._making >= most:
            self._forget_dead()
        if len(self._sessions) + self._making >= most:
            yield False
            return
        self._making += 1
        try:
            yield True
        finally:
            self._making -= 1

    async def open(self, accepted: Accepted) -> str:
        """Begin a session; its token (P-095)."""
        mount, hub = accepted.match.mount, self._endpoint.hub
        options = mount.longpoll
        if options is None:
            raise TypeError("this mount has no long polling")
        terms = Terms(timeout=_INACTIVE * options.window, polled=True, drainer=mount.drainer)
        name = secrets.token_urlsafe(16)
        driver = make_driver(self._endpoint, accepted, terms)
        relayed: RelayedSession

        def forget() -> None:
            self._sessions.pop(name, None)
            relayed.stop()

        session = LocalSession(driver, options, forget)
        relayed = RelayedSession(hub, driver.lane, name, session)
        self._sessions[name] = session
        started = False
        try:
            with anyio.fail_after(accepted.socket.connect_timeout):
                await relayed.start()
            if not await driver.start(session):
                raise RuntimeError("the session could not begin")
            started = True
        finally:
            if not started:
                forget()
                driver.connection_lost()
        claims = _Claims(_TOKEN_VERSION, self._node, name, int(time.time()))
        return sign(self._key(mount), _encode_claims(claims))

    def find(self, mount: Mount, token: str | None) -> LocalSession | RemoteSession | None:
        """The session of a token that was made for this mount; None also when it is known to be gone (P-108)."""
        options, hub = mount.longpoll, self._endpoint.hub
        payload = None if token is None else verify(self._key(mount), token)
        if payload is None or options is None:
            return None
        try:
            claims = _decode_claims(payload)
        except msgspec.MsgspecError:
            return None
        if claims.version != _TOKEN_VERSION or claims.issued + options.max_age < time.time():
            return None
        if claims.node == self._node:
            session = self._sessions.get(claims.session)
            if session is None or session.driver.lane is hub.current_lane():
                return session
            if not session.driver.lane.loop.alive:
                self._forget_dead()
                return None
        elif isinstance(hub.pubsub, LocalPubSub):
            # No other node can be reached: the session was another process's, which may be this one's predecessor.
            return None
        return RemoteSession(hub, claims.session, options)

    def _forget_dead(self) -> None:
        """Forget the sessions of loops that ended without a word: nobody else can end them any more."""
        hub = self._endpoint.hub
        lanes = hub.lanes
        if hub.removed == self._removed:
            # No loop has gone since the last time, and there may be very many sessions.
            return
        self._removed = hub.removed
        for name, session in tuple(self._sessions.items()):
            if session.driver.lane not in lanes:
                del self._sessions[name]

    def _key(self, mount: Mount) -> bytes:
        if self._secret is None:
            raise RuntimeError("require_secret() comes first")
        # Bound to its mount: another may have another socket, and other rules (P-108).
        path = "" if mount.longpoll is None else mount.longpoll.path
        return derive_key(self._secret, f"phoenix_channels longpoll {mount.path} {path}")
