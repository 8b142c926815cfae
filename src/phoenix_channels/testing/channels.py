"""Channels as their client sees them, and what it asserts about them (A132 to A141)."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import EllipsisType
from typing import Any, Generic, cast, final

import anyio

from phoenix_channels.channel import Channel
from phoenix_channels.protocol.messages import PHX_CLOSE, PHX_ERROR, PHX_LEAVE
from phoenix_channels.testing.crashes import ExpectedCrash
from phoenix_channels.testing.inbox import ASSERT_TIMEOUT, REFUTE_TIMEOUT, Inbox
from phoenix_channels.testing.matching import ANYTHING, Pattern
from phoenix_channels.testing.observers import Observer
from phoenix_channels.testing.wire import Client

if sys.version_info >= (3, 13):
    from typing import TypeVar
else:
    from typing_extensions import TypeVar

ChannelT_co = TypeVar("ChannelT_co", bound=Channel[Any], default=Any, covariant=True)


@final
class Pushed:
    """A message that the client has sent, and the replies to it."""

    def __init__(self, ref: str, replies: Inbox) -> None:
        self.ref = ref
        """The message's ref."""
        self._replies = replies

    async def assert_reply(
        self, status: str = "ok", pattern: Pattern = ANYTHING, *, timeout: float = ASSERT_TIMEOUT
    ) -> Any:
        """Take the first reply of this status that matches the pattern; its response.

        Raises:
            AssertionError: none comes within ``timeout`` seconds.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        return await self._replies.expect(status, pattern, timeout)

    async def refute_reply(
        self, status: str | EllipsisType = ANYTHING, pattern: Pattern = ANYTHING, *, timeout: float = REFUTE_TIMEOUT
    ) -> None:
        """No reply of this status, or none at all, that matches the pattern is here or comes.

        Raises:
            AssertionError: one does, within ``timeout`` seconds.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        await self._replies.refute(status, pattern, timeout)


@final
class JoinedChannel(Generic[ChannelT_co]):
    """A topic that the client of a test has joined."""

    def __init__(self, client: Client, join_ref: str, reply: Any, pushes: Inbox, observer: Observer) -> None:
        self.reply = reply
        """The reply of the join, decoded."""
        self.join_ref = join_ref
        self._client = client
        self._pushes = pushes
        self._observer = observer
        # What it is, the join has checked.
        self._server = cast("ChannelT_co", client.channel(join_ref))

    @property
    def topic(self) -> str:
        return self._observer.topic

    @property
    def server(self) -> ChannelT_co:
        """The channel itself, on the server: its attributes are those of your class."""
        return self._server

    def push(self, event: str, payload: object = {}) -> Pushed:
        """Send an event to the channel, which gets it in the next turn of the event loop (A134).

        The payload is any JSON term (dict, Struct, ...), or ``bytes``.

        Raises:
            EncodeError: it has no wire form.
        """
        return Pushed(*self._client.push(self.join_ref, self.topic, event, payload))

    def leave(self) -> Pushed:
        """Leave the topic (A135); its reply comes when what was pushed before has been handled."""
        return self.push(PHX_LEAVE)

    def broadcast_from(self, event: str, payload: object) -> None:
        """Broadcast on the topic, to everybody but the test: :meth:`assert_broadcast` does not see it (A137).

        Raises: as ``endpoint.broadcast``.
        """
        self._observer.broadcast_from(event, payload)

    async def assert_push(self, event: str, pattern: Pattern = ANYTHING, *, timeout: float = ASSERT_TIMEOUT) -> Any:
        """Take the first push of this event that matches the pattern; its payload (A138).

        A push is what the client gets as an event: by ``self.push``, or as a broadcast on the topic.

        Raises:
            AssertionError: none comes within ``timeout`` seconds.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        return await self._pushes.expect(event, pattern, timeout)

    async def refute_push(
        self, event: str | EllipsisType = ANYTHING, pattern: Pattern = ANYTHING, *, timeout: float = REFUTE_TIMEOUT
    ) -> None:
        """No push of this event, or none at all, that matches the pattern is here or comes.

        Raises:
            AssertionError: one does, within ``timeout`` seconds.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        await self._pushes.refute(event, pattern, timeout)

    async def assert_broadcast(
        self, event: str, pattern: Pattern = ANYTHING, *, timeout: float = ASSERT_TIMEOUT
    ) -> Any:
        """Take the first broadcast on the topic, whoever gets it, of this event that matches; its payload (A140).

        The test hears the topic from just before the join until the connection is closed.

        Raises:
            AssertionError: none comes within ``timeout`` seconds.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        return await self._observer.assert_broadcast(event, pattern, timeout=timeout)

    async def refute_broadcast(
        self, event: str | EllipsisType = ANYTHING, pattern: Pattern = ANYTHING, *, timeout: float = REFUTE_TIMEOUT
    ) -> None:
        """No broadcast on the topic of this event, or none at all, that matches the pattern is here or comes.

        Raises:
            AssertionError: one does, within ``timeout`` seconds.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        await self._observer.refute_broadcast(event, pattern, timeout=timeout)

    async def assert_closed(self, *, timeout: float = ASSERT_TIMEOUT) -> None:
        """The channel ends as it should: it is left, stops, or another join takes its place (``phx_close``).

        Returns when ``terminate`` is over, too.

        Raises:
            AssertionError: it does not within ``timeout`` seconds.
            ChannelCrashed: a channel of the connection crashed.
        """
        __tracebackhide__ = True
        await self._assert_over(PHX_CLOSE, "closed", timeout)

    async def assert_errored(self, *, timeout: float = ASSERT_TIMEOUT) -> None:
        """The channel fails: it crashes, or stops with a reason that is a failure (``phx_error``).

        Raises: as :meth:`assert_closed`.
        """
        __tracebackhide__ = True
        await self._assert_over(PHX_ERROR, "errored", timeout)

    async def _assert_over(self, event: str, state: str, timeout: float) -> None:
        __tracebackhide__ = True
        deadline = anyio.current_time() + timeout
        missing = f"the channel on {self.topic!r} has not {state} (no {event!r})"
        await self._pushes.expect(event, ANYTHING, timeout, missing=missing)
        # P-064: the client hears of the end first.
        if not await self._client.wait_over(self.join_ref, deadline - anyio.current_time()):
            raise AssertionError(
                f"the channel on {self.topic!r} has {state}, but terminate is not over within {timeout:g} s"
            )
        self._client.feed.crashes.check()

    def expect_crash(
        self, error: type[BaseException] = Exception, *, match: str | None = None
    ) -> AbstractContextManager[ExpectedCrash]:
        """The channel has to crash in this block, by such an exception; any other crash fails the test (A141).

        For example::

            with channel.expect_crash(ValueError, match="no such page") as crash:
                channel.push("turn", {"page": -1})
                await channel.assert_errored()
            assert crash.error.args == ("no such page: -1",)

        Args:
            error: the class of the exception.
            match: a regular expression that is found in its text.
        """
        return self._client.feed.crashes.expect(error, match, self.topic)
