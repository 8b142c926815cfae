"""The rules of a mock server: to which messages it does something else than to answer that all is well.

A rule is what :meth:`Rules.on_push` and its like return; its methods say, in order, what is done.  Of the rules for a
kind of message the first that fits is taken.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Self, final

from msgspec import Struct

from phoenix_channels.definitions import DefinitionError, check_count, check_seconds
from phoenix_channels.protocol.close_codes import may_be_sent
from phoenix_channels.protocol.messages import EMPTY, PHX_JOIN, PHX_LEAVE
from phoenix_channels.protocol.payloads import encode_payload, encode_term
from phoenix_channels.protocol.topics import TopicPattern
from phoenix_channels.testing.matching import ANYTHING, shown
from phoenix_channels.testing.mock.book import Book, Entry
from phoenix_channels.testing.mock.steps import (
    Answer,
    Close,
    CloseChannel,
    Crash,
    Delay,
    Drop,
    Event,
    Refuse,
    Silence,
    Step,
)


class Rule:
    """What to do about some messages; every method returns the rule itself."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        # The method behind which nothing can be done any more.
        self._last: str | None = None

    def __repr__(self) -> str:
        return self._entry.name

    def times(self, number: int) -> Self:
        """Use the rule for so many messages; those that come later are for the rules below it.

        Raises:
            DefinitionError: no positive int, or said twice.
        """
        check_count(f"{self}.times(...)", number)
        if self._entry.left is not None:
            raise DefinitionError(f"{self}: times(...) is said once")
        self._entry.left = number
        return self

    def delay(self, seconds: float) -> Self:
        """Do what follows, or what is done without a rule, so many seconds later.

        Other messages of the client do not wait for it, unless they need a join to be over.

        Raises:
            DefinitionError: no positive number of seconds.
        """
        check_seconds(f"{self}.delay(...)", seconds)
        return self._add("delay", Delay(float(seconds)))

    def _add(self, method: str, step: Step, *, last: bool = False) -> Self:
        if self._last is not None:
            raise DefinitionError(f"{self}: nothing follows {self._last}(...), so not {method}(...) either")
        self._entry.add(step)
        if last:
            self._last = method
        return self


class _EndsConnection(Rule):
    """A rule about a connection that is open."""

    def drop(self) -> Self:
        """End the TCP connection without a close frame, behind what was sent before: the client sees code 1006."""
        return self._add("drop", Drop(), last=True)

    def close(self, code: int) -> Self:
        """Close the connection with this code, behind what was sent before.

        Raises:
            DefinitionError: no code that may be sent (RFC 6455, 7.4).
        """
        check_close_code(f"{self}.close(...)", code)
        return self._add("close", Close(code), last=True)


class _Talks(_EndsConnection):
    """A rule about a topic."""

    def push(self, event: str, payload: object) -> Self:
        """Send an event to this client; a message that is not answered yet is answered first, as without a rule.

        Raises:
            DefinitionError: the event is no string.
            EncodeError: the payload is neither an object nor bytes.
        """
        return self._tell("push", event, payload, to_all=False)

    def broadcast(self, event: str, payload: object) -> Self:
        """As :meth:`push`, but to every client that has joined the topic."""
        return self._tell("broadcast", event, payload, to_all=True)

    def crash(self) -> Self:
        """Crash the channel: ``phx_error``, and the client joins again (P-142).

        A join that is not answered yet is answered with ``{"reason": "join crashed"}`` instead.
        """
        return self._add("crash", Crash(), last=True)

    def close_channel(self) -> Self:
        """End the channel: ``phx_close``, and the client stays away (P-142)."""
        return self._add("close_channel", CloseChannel(), last=True)

    def _tell(self, method: str, event: str, payload: object, *, to_all: bool) -> Self:
        if not isinstance(event, str):
            raise DefinitionError(f"{self}.{method}(...): an event is a string, not {event!r:.200}")
        return self._add(method, Event(event, encode_payload(payload), to_all))


@final
class ConnectRule(Rule):
    """What to do about connections; without more they are let in."""

    def refuse(self, status: int = 403) -> Self:
        """Refuse with a status of HTTP, from 300 to 599."""
        if type(status) is not int or not 300 <= status <= 599:
            raise DefinitionError(
                f"{self}.refuse(...) takes a status of HTTP from 300 to 599, such as {HTTPStatus.FORBIDDEN.value}, "
                f"not {status!r}"
            )
        return self._add("refuse", Refuse(status), last=True)

    def silent(self) -> Self:
        """Never answer the request."""
        return self._add("silent", Silence(), last=True)


@final
class JoinRule(_Talks):
    """What to do about joins; without more they are answered with ``ok`` and ``{}``."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry)
        # By which method the join is answered, or taken to be.
        self._answered: str | None = None

    def reply(self, response: object = EMPTY) -> Self:
        """Let the client in with this response, which may be anything that has a JSON form, or bytes."""
        self._check_open("reply")
        return self._add("reply", Answer("ok", encode_term(response)))

    def refuse(self, response: object = EMPTY) -> Self:
        """Refuse with this response, such as ``{"reason": "unauthorized"}``: the client tries again (P-141)."""
        self._check_open("refuse")
        return self._add("refuse", Answer("error", encode_term(response)), last=True)

    def silent(self) -> Self:
        """Never answer, as if the message had been lost: the client's join times out."""
        self._check_open("silent")
        return self._add("silent", Silence(), last=True)

    def _check_open(self, method: str) -> None:
        if self._answered is not None:
            raise DefinitionError(
                f"{self}: {method}(...) comes before {self._answered}(...), which has answered the join"
            )

    def _add(self, method: str, step: Step, *, last: bool = False) -> Self:
        super()._add(method, step, last=last)
        if not isinstance(step, Delay):
            self._answered = self._answered or method
        return self


@final
class PushRule(_Talks):
    """What to do about pushes; without more they are answered with ``ok`` and their own payload."""

    def reply(self, response: object = EMPTY, *, status: str = "ok") -> Self:
        """Answer with this response, which may be anything that has a JSON form, or bytes.

        Said again, it is answered again.
        """
        if not isinstance(status, str):
            raise DefinitionError(f"{self}.reply(...): a status is a string such as 'ok' or 'error', not {status!r}")
        self._check_none(Silence, "reply", "silent")
        return self._add("reply", Answer(status, encode_term(response)))

    def silent(self) -> Self:
        """Do not answer: the client's push times out.  Events may follow all the same."""
        self._check_none(Answer, "silent", "reply")
        return self._add("silent", Silence())

    def _check_none(self, kind: type[Struct], method: str, other: str) -> None:
        if any(isinstance(step, kind) for step in self._entry.steps):
            raise DefinitionError(f"{self}: {method}(...) contradicts {other}(...)")


@final
class HeartbeatRule(_EndsConnection):
    """What to do about heartbeats; without more they are answered."""

    def silent(self) -> Self:
        """Do not answer: the client takes the connection for lost (P-137)."""
        return self._add("silent", Silence(), last=True)


class Rules:
    """Where rules are made, to be kept in a book."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def on_connect(self, params: object = ANYTHING) -> ConnectRule:
        """Begin a rule for connections, here those whose params match a pattern.

        Raises:
            DefinitionError: a pattern that no params could match.
        """
        entry = Entry(_named("on_connect", params), params)
        self._book.add("connect", entry)
        return ConnectRule(entry)

    def on_join(self, topic: str, payload: object = ANYTHING) -> JoinRule:
        """Begin a rule for the joins of a topic, or of a pattern such as ``"room:*"``.

        ``payload`` is a pattern as the asserts of the testing kit have it: a dict matches partially.

        Raises:
            DefinitionError: a pattern of topics that routes could not have either, or of payloads that none matches.
        """
        name = _named("on_join", payload, topic)
        entry = Entry(name, payload, topic=_topic(name, topic))
        self._book.add("join", entry)
        return JoinRule(entry)

    def on_push(self, topic: str, event: str | None = None, payload: object = ANYTHING) -> PushRule:
        """Begin a rule for the pushes to a topic, or to a pattern such as ``"room:*"``; None for any event.

        Raises: as :meth:`on_join`.
        """
        name = _named("on_push", payload, topic, event)
        if event is not None and not isinstance(event, str):
            raise DefinitionError(f"{name}: an event is a string, or None for any, not {event!r:.200}")
        if event in (PHX_JOIN, PHX_LEAVE):
            raise DefinitionError(f"{name}: {event!r} is no push; rules for joins are made by on_join")
        entry = Entry(name, payload, topic=_topic(name, topic), event=event)
        self._book.add("push", entry)
        return PushRule(entry)

    def on_heartbeat(self) -> HeartbeatRule:
        """Begin a rule for heartbeats."""
        entry = Entry("on_heartbeat()")
        self._book.add("heartbeat", entry)
        return HeartbeatRule(entry)


def check_close_code(where: str, code: object) -> None:
    """Refuse what no server may send.

    Raises:
        DefinitionError: naming the place.
    """
    if not may_be_sent(code):
        raise DefinitionError(
            f"{where}: a close code is one of 1000 to 1003, 1007 to 1013 and 3000 to 4999, not {code!r}"
        )


def _topic(name: str, topic: str) -> TopicPattern:
    try:
        return TopicPattern.parse(topic)
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"{name}: {error}") from error


def _named(method: str, pattern: object, *arguments: object) -> str:
    words = [repr(argument) for argument in arguments if argument is not None]
    if pattern is not ANYTHING:
        words.append(f"{shown(pattern):.200}")
    return f"{method}({', '.join(words)})"
