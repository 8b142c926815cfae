"""Long polling, without the HTTP: the bodies that travel, and who gets what was written (P-092 to P-100).

Theory
------

A session is a buffer of encoded frames and a set of waiting polls, of which at most one is the *receiver*: the newest
one, as long as nothing has answered it (P-097).  All else follows from two invariants:

* While there is a receiver, the buffer is empty: a write answers the receiver at once, a poll that finds something
  buffered is answered at once.  So messages leave in the order in which they came, each in one answer (P-098).
* A poll that a newer one has replaced never becomes the receiver again.  All that is left to it is its 204: at its
  deadline, or earlier when too many wait.  So no message goes to a request that its client has given up.

The session has no clock: the driver tells the time, and calls :meth:`Session.handle_timeout` at
:meth:`Session.next_deadline`.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Hashable, Sequence
from itertools import islice
from typing import Generic, TypeAlias, TypeVar, final

import msgspec
from msgspec import Struct

from phoenix_channels.protocol.errors import LocalProtocolError, ProtocolError
from phoenix_channels.protocol.messages import Opcode

P = TypeVar("P", bound=Hashable)

NDJSON = "application/x-ndjson"
"""The media type of a batch of messages, one per line (P-099)."""

MAX_BODY_BYTES = 8_000_000
"""What a POST may bring (P-092)."""

MAX_ENTRIES = 100
"""How many messages of one POST are taken (P-099)."""

Posted: TypeAlias = tuple[str | bytes, Opcode]
"""One message of a POST, for :meth:`Serializer.decode`."""

_encode_json = msgspec.json.Encoder().encode
# From the first byte of a line that is not blank to its end.  The white space before it, blank lines included, is
# skipped by the search itself: millions of them make no match and no object.
_find_entries = re.compile(rb"[^ \t\r\n][^\n]*").finditer


@final
class BadBody(ProtocolError):
    """A body that is no batch of messages: answered with HTTP 400, and the session lives on (P-092, P-099)."""


def decode_body(content_type: str | None, body: bytes) -> list[Posted]:
    """The messages of a POST, in order, for :meth:`Serializer.decode`.

    Of a batch at most the first 100 are taken, the rest is not looked at (P-099).  Either all of them are returned or
    none: whoever posts something broken does not have half of it processed.

    Raises:
        BadBody: the body is too long, or a line is neither JSON text nor base64.
    """
    if len(body) > MAX_BODY_BYTES:
        raise BadBody(f"a body of more than {MAX_BODY_BYTES} bytes")
    # P-100, recommended: the parameters of the media type do not matter.
    if content_type is None or content_type.partition(";")[0].strip(" \t").lower() != NDJSON:
        return [(body, Opcode.TEXT)]
    return [_decode_entry(found[0].rstrip(b" \t\r")) for found in islice(_find_entries(body), MAX_ENTRIES)]


def _decode_entry(entry: bytes) -> tuple[bytes, Opcode]:
    # P-100, recommended: version 1 of the protocol has objects.
    if entry.startswith((b"[", b"{")):
        return entry, Opcode.TEXT
    try:
        frame = a2b_base64(entry, strict_mode=True)
    except Base64Error as error:
        raise BadBody(f"a line that is neither JSON text nor base64: {error}") from error
    # Even the strict mode of some versions of Python takes any number of "=" behind a complete text.
    if len(entry) != (len(frame) + 2) // 3 * 4:
        raise BadBody("a line that is neither JSON text nor base64: Excess padding")
    return frame, Opcode.BINARY


def encode_answer(status: int, token: str | None = None, messages: Sequence[bytes] | None = None) -> bytes:
    """The body of an answer: the status alone (POST, refusals), or with the token and its messages (P-093).

    Each message is the UTF-8 text of one frame and becomes a JSON string: JSON inside JSON.
    """
    if token is None:
        return _encode_json({"status": status})
    texts = [message.decode() for message in messages or ()]
    return _encode_json({"status": status, "token": token, "messages": texts})


@final
class Answer(Struct, Generic[P], frozen=True):
    """What a poll is answered: 200 with messages, or 204 with none."""

    poll: P
    status: int
    messages: list[bytes]


@final
class Session(Generic[P]):
    """What one client has yet to fetch, and its polls that wait for it.

    A poll is whatever the driver knows a request by; every one is answered exactly once, unless it is withdrawn.
    The buffer has no bound of its own: whoever writes asks for :attr:`buffered_bytes`.

    Args:
        window: how many seconds a poll waits before it is answered 204 (P-096).
        max_polls: how many polls may wait; one more, and the oldest is answered 204 before its time.
    """

    __slots__ = ("_buffer", "_buffered_bytes", "_deadlines", "_ended", "_max_polls", "_receiving", "_window")

    def __init__(self, *, window: float, max_polls: int = 16) -> None:
        if max_polls < 1:
            raise ValueError(f"max_polls is at least 1, not {max_polls!r}")
        self._window = window
        self._max_polls = max_polls
        self._deadlines: dict[P, float] = {}
        """Of every waiting poll, oldest poll first."""
        self._receiving = False
        """Whether the newest of them is the receiver; the others are not."""
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self._ended = False

    @property
    def buffered_bytes(self) -> int:
        """How many bytes wait for a poll."""
        return self._buffered_bytes

    @property
    def buffered(self) -> int:
        """How many messages wait for a poll."""
        return len(self._buffer)

    @property
    def waiting(self) -> int:
        """How many polls wait for their answer."""
        return len(self._deadlines)

    def write(self, *messages: bytes) -> list[Answer[P]]:
        """Hand the messages, after all that is buffered, to the receiver, or keep them for the next poll."""
        if self._ended or not messages:
            return []
        self._buffer.extend(messages)
        self._buffered_bytes += sum(map(len, messages))
        if not self._receiving:
            return []
        poll, _ = self._deadlines.popitem()
        self._receiving = False
        return [self._flush(poll)]

    def poll(self, poll: P, now: float) -> list[Answer[P]]:
        """Answer the poll with what is buffered, or let it wait as the receiver in the place of any older one.

        Raises:
            LocalProtocolError: this very poll waits already.
        """
        if poll in self._deadlines:
            raise LocalProtocolError(f"the poll {poll!r} waits already")
        if self._ended:
            return [Answer(poll, 204, [])]
        if self._buffer:
            return [self._flush(poll)]
        self._deadlines[poll] = now + self._window
        self._receiving = True
        if len(self._deadlines) <= self._max_polls:
            return []
        return [self._expire(next(iter(self._deadlines)))]

    def withdraw(self, poll: P) -> None:
        """Forget a poll whose client is gone; one that does not wait (any more) is none of our business.

        If it was the receiver there is none until the next poll: an older one that still waits has been replaced, and
        its client no longer reads what it would get (P-097).
        """
        if poll in self._deadlines:
            self._receiving = self._receiving and poll != next(reversed(self._deadlines))
            del self._deadlines[poll]

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` has to be called next; None while no poll waits."""
        return min(self._deadlines.values(), default=None)

    def handle_timeout(self, now: float) -> list[Answer[P]]:
        """Answer 204 to every poll whose window has passed."""
        return [self._expire(poll) for poll, deadline in list(self._deadlines.items()) if deadline <= now]

    def end(self) -> list[Answer[P]]:
        """End the session: whoever waits gets 204, what is buffered is forgotten, and nothing is taken any more."""
        self._ended = True
        self._buffer = []
        self._buffered_bytes = 0
        return [self._expire(poll) for poll in list(self._deadlines)]

    def _flush(self, poll: P) -> Answer[P]:
        messages, self._buffer, self._buffered_bytes = self._buffer, [], 0
        return Answer(poll, 200, messages)

    def _expire(self, poll: P) -> Answer[P]:
        self.withdraw(poll)
        return Answer(poll, 204, [])
