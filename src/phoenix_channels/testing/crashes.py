"""Crashes of channels: each fails the test in which it happens, unless the test expects it (A141)."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, final

from msgspec import Struct

from phoenix_channels.channel import Channel
from phoenix_channels.results import sole


@final
class Crash(Struct, frozen=True):
    """An exception that nobody handled, and that ended a channel or its join."""

    channel_class: type[Channel[Any]]
    topic: str
    callback: str
    """Which part of the channel it was: ``"join"``, ``"a callback"``, ``"terminate"`` ..."""
    error: BaseException

    def __str__(self) -> str:
        return f"{self.channel_class.__qualname__}: {self.callback} on {self.topic!r} crashed: {sole(self.error)!r}"


class ChannelCrashed(Exception):
    """A channel crashed, and the test did not expect it; the exception of the channel is the ``__cause__``."""

    def __init__(self, crashes: Iterable[Crash]) -> None:
        self.crashes = tuple(crashes)
        lines = "\n".join(map(str, self.crashes))
        error = type(sole(self.crashes[0].error)).__qualname__
        super().__init__(f"{lines}\n(a test that wants this says `with channel.expect_crash({error}):`)")
        self.__cause__ = self.crashes[0].error


@final
class Expectation(Struct, eq=False):
    """Which crash a block of a test wants, and those that have come; a topic or text of None is any."""

    kind: type[BaseException]
    match: str | None
    topic: str | None
    came: list[Crash] = []

    def take(self, crash: Crash) -> bool:
        """Is it this one that was expected?"""
        error = sole(crash.error)
        if (
            (self.topic is not None and crash.topic != self.topic)
            or not isinstance(error, self.kind)
            or (self.match is not None and re.search(self.match, str(error)) is None)
        ):
            return False
        self.came.append(crash)
        return True

    def __str__(self) -> str:
        where = "" if self.topic is None else f" of the channel on {self.topic!r}"
        like = "" if self.match is None else f" that says {self.match!r}"
        return f"a crash{where} by {self.kind.__qualname__}{like}"


@final
class ExpectedCrash:
    """What ``with channel.expect_crash(...) as crash`` gives."""

    def __init__(self, expectation: Expectation) -> None:
        self._expectation = expectation

    @property
    def error(self) -> BaseException:
        """The exception, once it has come.

        Raises:
            LookupError: it has not.
        """
        if not self._expectation.came:
            raise LookupError(f"{self._expectation} has not come yet")
        return sole(self._expectation.came[0].error)


@final
class Crashes:
    """Those of the channels of one connection."""

    def __init__(self) -> None:
        self._unexpected: list[Crash] = []
        self._expected: list[Expectation] = []

    def add(self, crash: Crash) -> None:
        """A channel has crashed; the innermost block that expects it takes it."""
        if not any(expected.take(crash) for expected in reversed(self._expected)):
            self._unexpected.append(crash)

    def check(self) -> None:
        """Tell of crashes that nobody has expected; once.

        Raises:
            ChannelCrashed: there were some.
        """
        if self._unexpected:
            crashes, self._unexpected = self._unexpected, []
            raise ChannelCrashed(crashes)

    @contextmanager
    def expect(self, kind: type[BaseException], match: str | None, topic: str | None) -> Generator[ExpectedCrash]:
        """The block in which a crash has to come.

        Raises:
            ChannelCrashed: another one came.
            AssertionError: none came.
        """
        __tracebackhide__ = True
        self.check()
        expected = Expectation(kind, match, topic)
        self._expected.append(expected)
        try:
            yield ExpectedCrash(expected)
        finally:
            self._expected.remove(expected)
        self.check()
        if not expected.came:
            raise AssertionError(
                f"{expected} was expected, and has not come within the block; await in it what the crash leads to, "
                "such as channel.assert_errored()"
            )
