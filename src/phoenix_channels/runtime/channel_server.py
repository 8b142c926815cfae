"""One joined channel at run time: its callbacks, one at a time, and the ways it can end.

Every instance whose ``join`` returned ends in exactly one ``terminate``, in a task of its own.  What differs is what
the client sees, and when:

* it stops or leaves: ``phx_close``, then ``terminate`` (P-064, P-065);
* it crashes: ``terminate``, then ``phx_error`` (P-066);
* its connection ends, or a new join takes its place: nothing of it is seen any more.  What runs has ``shutdown``
  seconds to finish, then it is cancelled, then ``terminate`` runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, final

import anyio

from phoenix_channels.channel import Channel, ChannelSpec
from phoenix_channels.logger import Result
from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.errors import EncodeError
from phoenix_channels.protocol.events import Entry
from phoenix_channels.protocol.messages import EMPTY, Broadcast, EncodedBroadcast, Payload, Ref, payload_size
from phoenix_channels.protocol.payloads import decode_payload, encode_term
from phoenix_channels.results import JoinRefused, Reply, Stop, sole
from phoenix_channels.runtime.context import NO_MESSAGE, Context
from phoenix_channels.runtime.instance import Instance
from phoenix_channels.runtime.mailbox import Mailbox, is_awaitable, is_user_error
from phoenix_channels.schemas import InvalidPayload

if TYPE_CHECKING:
    from phoenix_channels.runtime.channels_driver import ChannelsDriver

_JOIN_CRASHED: Final = {"reason": "join crashed"}


@final
class ChannelServer:
    """Runs one channel instance, from its join to its end."""

    __slots__ = (
        "_context", "_crashed_early", "_driver", "_ending", "_entry", "_event", "_inbound", "_inbound_bytes",
        "_instance", "_interested", "_leave_ref", "_mailbox", "_over", "_reason", "_reason_open", "_released",
    )  # fmt: skip

    def __init__(self, driver: ChannelsDriver, entry: Entry[ChannelSpec]) -> None:
        self._driver = driver
        self._entry = entry
        self._mailbox = Mailbox(driver.spawn)
        self._context = Context(
            driver,
            entry,
            self._mailbox,
            handle_info=self._handle_info,
            handle_out=self._handle_out,
            crash=self._crash,
        )
        self._instance = Instance(driver, entry)
        self._crashed_early: BaseException | None = None
        self._interested = False
        self._inbound = 0
        self._inbound_bytes = 0
        self._over: anyio.Event | None = None
        self._released = False
        self._leave_ref: Ref = None
        self._event: Any = None
        self._ending = False
        self._reason: object = None
        # The connection has ended, but what still runs may end the channel for a reason of its own.
        self._reason_open = False

    # What the driver calls

    @property
    def channel(self) -> Channel[Any] | None:
        """The user's object; None before its join runs."""
        return self._instance.channel

    @property
    def queued(self) -> int:
        """How much waits in its mailbox."""
        return len(self._mailbox)

    def join(self, payload: Payload) -> None:
        """Run the join; the driver learns the outcome."""
        self._mailbox.put(self._join, payload)

    def receive(self, event: Any, payload: Payload, ref: Ref) -> None:
        """Handle a message of the client."""
        size = payload_size(payload)
        self._inbound += 1
        self._inbound_bytes += size
        self._driver.add_inbound(1, size)
        self._mailbox.put_now(self._handle_in, event, payload, ref)

    def leave(self, ref: Ref) -> None:
        """Leave, after what came before (P-064)."""
        self._leave_ref = ref
        self._mailbox.put_now(self._leave, ref)

    def hurry(self) -> None:
        """A new join of the topic waits: what runs has ``shutdown`` seconds left (P-059)."""
        self._driver.spawn(self._hurry)

    def connection_ended(self, reason: object) -> None:
        """The connection is gone (P-068); what came before is still handled, within ``shutdown`` seconds."""
        if not self._ending:
            self._begin_ending(reason)
            self._reason_open = True
            self._unsubscribe()
            self._driver.spawn(self._end)

    def detach(self) -> None:
        """A new join takes this one's place: from now on nothing of it is seen any more (P-057)."""
        self._context.muted = True
        self._begin_ending(("shutdown", "duplicate_join"))
        self._drop_queued()
        self._unsubscribe()
        self._driver.spawn(self._end)

    async def wait_over(self) -> None:
        """Return when ``terminate`` is over and nothing of the channel is left."""
        if not self._released:
            if self._over is None:
                self._over = anyio.Event()
            await self._over.wait()

    # Callbacks, run by the mailbox

    async def _join(self, payload: Payload) -> None:
        spec = self._entry.target
        tell = self._driver.hub.logger.joining(self._instance, payload)
        reply: object = None
        try:
            # Not fail_after: the same, at half the price.
            deadline = self._driver.lane.loop.now() + spec.route.channel_class.join_timeout
            with anyio.CancelScope(deadline=deadline) as scope:
                reply = await self._instance.join(spec, self._context, payload)
                if not self._context.released:
                    await self._driver.hub.pubsub.subscribe(self._entry.topic)
                    self._interested = True
            if scope.cancel_called:
                # Code that shields itself from cancellation comes late all the same.
                raise TimeoutError
            if self._crashed_early is not None:
                raise self._crashed_early
        except BaseException as raised:
            error = sole(raised)
            if isinstance(error, JoinRefused):
                self._refuse(error.response, error, tell)
            elif isinstance(error, InvalidPayload):
                self._refuse(_invalid_payload(error), error, tell)
            elif is_user_error(raised, self._mailbox):
                if error is not self._crashed_early:
                    self._instance.tell_crash("join", error)
                self._refuse(_JOIN_CRASHED, error, None)
            else:
                raise
        else:
            await self._accept(reply, tell)

    async def _accept(self, reply: object, tell: Callable[[Result], None] | None) -> None:
        driver = self._driver
        if self._context.released:
            # It outlived its connection and all patience; what it has set up is cleaned up all the same.
            await self._terminate()
            return
        response = self._encode_join(reply)
        if response is None or driver.closed:
            return
        # One synchronous step: the reply goes out, and the first broadcast after it reaches the client (P-053).
        waited = driver.accept_join(self._entry, response)
        if driver.closed:
            return
        self._context.joined = True
        driver.lane.registry.subscribe(self._context.subscription)
        driver.handle(waited)
        if tell is not None:
            tell("ok")
        if self._entry.target.after_join and self._instance.channel is not None and not self._ending:
            awaitable = self._run(self._instance.channel.after_join)
            if awaitable is not None:
                await awaitable

    def _refuse(self, refusal: object, error: BaseException, tell: Callable[[Result], None] | None) -> None:
        response = None if self._ending else self._encode_join(refusal)
        if response is not None:
            # The reason of a terminate that runs only when join itself had returned.
            self._begin_ending(error)
            self._drop_queued()
            self._driver.refuse_join(self._entry, response)
            self._driver.spawn(self._end)
            if tell is not None:
                tell("error")

    def _encode_join(self, reply: object) -> Payload | None:
        try:
            return encode_term(reply)
        except EncodeError as error:
            # P-054: an answer to a join that cannot be encoded is the failure of the connection, not of the channel.
            self._instance.tell_crash("the reply of join", error)
            self._driver.close(CloseCode.INTERNAL_ERROR)
            return None

    def _handle_in(self, event: Any, payload: Payload, ref: Ref) -> Awaitable[None] | None:
        size = payload_size(payload)
        self._inbound -= 1
        self._inbound_bytes -= size
        self._driver.add_inbound(-1, -size)
        self._context.ref = ref
        self._event = event
        tell = self._driver.hub.logger.handling(self._instance, event, payload, ref)
        handler = self._entry.target.table.incoming.get(event) if isinstance(event, str) else None
        result: Any
        try:
            if handler is not None:
                result = handler(self._instance.channel, payload)
            elif isinstance(event, str) and self._instance.channel is not None:
                result = self._instance.channel.handle_in(event, decode_payload(payload))
            else:
                raise TypeError(f"an event is a string, not {event!r:.200}")
        except InvalidPayload as error:
            result = Reply.error(_invalid_payload(error))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._crash(error)
            result = tell = None
        return self._take(result, ref, tell)

    def _handle_out(self, broadcast: EncodedBroadcast) -> Awaitable[None] | None:
        handler = self._entry.target.table.intercepts[broadcast.event]
        return self._run(lambda: handler(self._instance.channel, broadcast.payload))

    def _handle_info(self, message: object) -> Awaitable[None] | None:
        if isinstance(message, EncodedBroadcast):
            # Every consumer decodes a copy of its own.
            message = Broadcast(message.topic, message.event, decode_payload(message.payload))
        channel = self._instance.channel
        return None if channel is None else self._run(lambda: channel.handle_info(message))

    def _leave(self, ref: Ref) -> None:
        self._driver.reply(self._entry, ref, "ok", EMPTY)
        self._close(("shutdown", "left"))

    def _run(self, callback: Callable[[], Any]) -> Awaitable[None] | None:
        """Call a callback that nobody waits to have answered."""
        try:
            result = callback()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # A cancellation too: a plain ``def`` got it from somewhere else and let it through (P-066).
            self._crash(error)
            return None
        return self._take(result, NO_MESSAGE)

    def _take(self, result: Any, ref: Ref, tell: Callable[[], None] | None = None) -> Awaitable[None] | None:
        if is_awaitable(result):
            return self._finish(result, ref, tell)
        self._act(result, ref, tell)
        return None

    async def _finish(self, awaitable: Awaitable[Any], ref: Ref, tell: Callable[[], None] | None) -> None:
        try:
            result = await awaitable
        except BaseException as error:
            self._context.ref = NO_MESSAGE
            if not is_user_error(error, self._mailbox):
                raise
            self._crash(error)
        else:
            self._act(result, ref, tell)

    def _act(self, result: object, ref: Ref, tell: Callable[[], None] | None) -> None:
        """Do what a callback's result says (P-061, P-065)."""
        if tell is not None:
            tell()
        self._context.ref = NO_MESSAGE
        try:
            reply = result.reply if isinstance(result, Stop) else result
            if reply is not None:
                if not isinstance(reply, Reply) or ref is NO_MESSAGE:
                    raise TypeError(self._illegal(result, ref))
                self._context.reply(ref, reply.status, encode_term(reply.payload))
            graceful = isinstance(result, Stop) and result.graceful
        except Exception as error:
            self._crash(error)
            return
        if graceful and isinstance(result, Stop):
            self._close(result.reason)
        elif isinstance(result, Stop):
            self._instance.tell_stop(result.reason)
            self._fail(result.reason)

    def _illegal(self, result: object, ref: Ref) -> str:
        name = self._instance.name
        if ref is NO_MESSAGE:
            return f"{name}: a callback returned a {type(result).__name__}; legal are None, and Stop without a reply"
        return (
            f"{name}: the handler of {self._event!r:.200} returned a {type(result).__name__}; to answer the push "
            "return Reply.ok(...), Reply.error(...) or Reply(status, ...), else None, or Stop"
        )

    # Endings

    def _close(self, reason: object) -> None:
        if self._may_end(reason):
            self._unsubscribe()
            waited = self._driver.close_channel(self._entry)
            self._driver.spawn(self._end)
            self._driver.handle(waited)

    def _crash(self, error: BaseException) -> None:
        if self._context.joined:
            self._fail(error)
        else:
            # The join still runs: it will be refused.
            self._crashed_early = error
        # Afterwards: what listens to the log may broadcast, and come back here.
        self._instance.tell_crash("a callback", error)

    def _fail(self, reason: object) -> None:
        if self._may_end(reason):
            self._driver.stop_channel(self._entry)
            self._driver.spawn(self._end_failed)

    def _may_end(self, reason: object) -> bool:
        """Begin the end for this reason, unless it has begun; either way nothing more is handled."""
        if not self._ending:
            self._begin_ending(reason)
            self._drop_queued()
            return True
        if self._reason_open:
            self._reason, self._reason_open = reason, False
            self._drop_queued()
        return False

    def _begin_ending(self, reason: object) -> None:
        self._ending = True
        self._reason = reason
        self._mailbox.close()

    def _drop_queued(self) -> None:
        self._mailbox.clear()
        self._driver.add_inbound(-self._inbound, -self._inbound_bytes)
        self._inbound = self._inbound_bytes = 0

    async def _end(self) -> None:
        try:
            await self._instance.quiet(self._mailbox)
            await self._terminate()
        finally:
            self._release()

    async def _end_failed(self) -> None:
        try:
            await self._instance.quiet(self._mailbox)
            await self._terminate()
        finally:
            self._unsubscribe()
            waited = self._driver.crash_channel(self._entry)
            self._release()
            self._driver.handle(waited)

    async def _hurry(self) -> None:
        await self._instance.quiet(self._mailbox)
        if not self._ending:
            self._leave(self._leave_ref)

    async def _terminate(self) -> None:
        self._reason_open = False
        self._context.joined = self._context.joined or self._instance.joined
        await self._instance.terminate(self._reason)
        await self._context.end_tasks(self._instance.shutdown)

    def _release(self) -> None:
        self._released = True
        self._context.release()
        if self._interested:
            self._driver.hub.end_interest(self._entry.topic)
        self._drop_queued()
        self._driver.ended(self._entry)
        if self._over is not None:
            self._over.set()

    def _unsubscribe(self) -> None:
        if self._context.joined:
            self._driver.lane.registry.unsubscribe(self._context.subscription)


def _invalid_payload(error: InvalidPayload) -> dict[str, str]:
    return {"reason": "invalid payload", "detail": str(error)}
