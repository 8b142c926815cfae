"""The book of a mock server: for which messages there are rules, and what they say."""

from __future__ import annotations

from typing import Literal, TypeAlias, final

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.protocol.topics import TopicPattern
from phoenix_channels.testing.matching import ANYTHING, check_pattern, mismatch
from phoenix_channels.testing.mock.steps import Step, Steps

Subject: TypeAlias = Literal["connect", "join", "push", "heartbeat"]
"""What a rule may be about."""


@final
class Entry:
    """One rule: to which messages it applies, how often, and what is done.

    Args:
        name: what errors and the log call it.
        pattern: what the payload, or the params, have to match.
        topic: None where there are no topics.
        event: None for any.

    Raises:
        DefinitionError: a pattern that no payload could match.
    """

    def __init__(
        self, name: str, pattern: object = ANYTHING, *, topic: TopicPattern | None = None, event: str | None = None
    ) -> None:
        try:
            check_pattern(pattern)
        except TypeError as error:
            raise DefinitionError(f"{name}: {error}") from error
        self._topic = topic
        self._event = event
        self._pattern = pattern
        self._steps: list[Step] = []
        self.name = name
        self.left: int | None = None
        """To how many messages it still applies; None for any number."""

    @property
    def steps(self) -> Steps:
        """What is done, in order."""
        return tuple(self._steps)

    def add(self, step: Step) -> None:
        self._steps.append(step)

    def take(self, payload: object, topic: str, event: str) -> bool:
        """Does it apply?  Then that counts."""
        if (
            self.left == 0
            or (self._topic is not None and self._topic.match(topic) is None)
            or (self._event is not None and self._event != event)
            or mismatch(self._pattern, payload) is not None
        ):
            return False
        if self.left is not None:
            self.left -= 1
        return True


@final
class Book:
    """All rules, by what they are about, in the order in which they were made."""

    def __init__(self) -> None:
        self._entries: dict[Subject, list[Entry]] = {"connect": [], "join": [], "push": [], "heartbeat": []}

    def add(self, subject: Subject, entry: Entry) -> None:
        self._entries[subject].append(entry)

    def take(self, subject: Subject, payload: object = None, *, topic: str = "", event: str = "") -> Entry | None:
        """The first rule that applies to a message; None without one."""
        return next((entry for entry in self._entries[subject] if entry.take(payload, topic, event)), None)
