"""The user's channel object: made, asked to join, given time, terminated, and spoken of in the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, final

import anyio

from phoenix_channels import telemetry
from phoenix_channels.channel import Channel, ChannelSpec
from phoenix_channels.protocol.events import Entry
from phoenix_channels.protocol.messages import Payload
from phoenix_channels.results import Reply, Stop
from phoenix_channels.runtime.context import Context
from phoenix_channels.runtime.endings import quiet
from phoenix_channels.runtime.mailbox import Mailbox, is_awaitable, is_user_error
from phoenix_channels.socket import Socket

if TYPE_CHECKING:
    from phoenix_channels.runtime.channels_driver import ChannelsDriver

_logger = logging.getLogger("phoenix_channels")


@final
class Instance:
    """One instance of a channel class, behind the rules that hold whatever its author wrote."""

    __slots__ = ("_driver", "channel", "channel_class", "joined", "topic")

    def __init__(self, driver: ChannelsDriver, entry: Entry[ChannelSpec]) -> None:
        self._driver = driver
        self.channel_class = entry.target.route.channel_class
        self.topic = entry.topic
        self.channel: Channel[Any] | None = None
        self.joined = False
        """``join`` has returned: whatever becomes of the join, ``terminate`` is due."""

    @property
    def name(self) -> str:
        return self.channel_class.__qualname__

    @property
    def socket(self) -> Socket:
        return self._driver.socket

    @property
    def shutdown(self) -> float:
        return self.channel_class.shutdown

    async def join(self, spec: ChannelSpec, context: Context, payload: Payload) -> object:
        """Make the instance and run its ``join``: the payload of the reply.

        Raises: what ``join`` raises, and TypeError for a result that is no payload.
        """
        self.channel = spec.route.make(context)
        result = spec.table.join(self.channel, payload)
        if is_awaitable(result):
            result = await result
        if isinstance(result, Reply | Stop | BaseException | bool):
            # Encoded it would be a fine join reply: a refusal that lets the client in.
            what = str(result) if isinstance(result, bool) else f"a {type(result).__name__}"
            raise TypeError(
                f"join returned {what}; it returns the payload of the reply (None for none), and refuses by "
                "raise JoinRefused(reason=...)"
            )
        self.joined = True
        return {} if result is None else result

    async def terminate(self, reason: object) -> None:
        """Run ``terminate``, if it is due; never raises, and takes no longer than twice ``shutdown``."""
        if self.channel is not None and self.joined:
            # A mailbox of its own: bounded and cancelled as every other callback is.  Its time runs from its first
            # step, or a loop that is held up could cut it off before it has begun.
            mailbox, begun = Mailbox(self._driver.spawn), anyio.Event()
            mailbox.put(self._terminate, self.channel, reason, mailbox, begun)
            await begun.wait()
            await self.quiet(mailbox)

    async def _terminate(self, channel: Channel[Any], reason: object, mailbox: Mailbox, begun: anyio.Event) -> None:
        begun.set()
        try:
            result: Any = channel.terminate(reason)
            if is_awaitable(result):
                await result
        except BaseException as error:
            if not is_user_error(error, mailbox):
                raise
            self.tell_crash("terminate", error)

    async def quiet(self, mailbox: Mailbox) -> None:
        """Let what runs finish, for ``shutdown`` seconds; then cancel it, and leave it behind if it resists that."""
        await quiet(mailbox, self.shutdown, self._driver.hub, f"{self.name} on {self.topic!r:.200}")

    def tell_crash(self, what: str, error: BaseException) -> None:
        """Log an error of user code with its traceback, and tell telemetry."""
        _logger.error("%s: %s on %.200r crashed", self.name, what, self.topic, exc_info=error)
        metadata = {
            "socket": self.socket,
            "channel": self.channel_class,
            "topic": self.topic,
            "callback": what,
            "error": error,
        }
        telemetry.execute(telemetry.CHANNEL_CRASHED, {}, metadata)

    def tell_stop(self, reason: object) -> None:
        """Log that the channel stops for a reason that is a failure (P-065)."""
        _logger.error("%s on %.200r stops: %.200r", self.name, self.topic, reason)
