"""What the clients of a mock server have sent: a bounded log, and a way to wait for an entry of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, final, get_args

import anyio
import msgspec
from msgspec import Struct

from phoenix_channels.definitions import DefinitionError

Kind: TypeAlias = Literal["connect", "join", "push", "leave", "heartbeat", "malformed", "close"]
"""What a client may do: ``malformed`` is a message that cannot be decoded, ``close`` the end of a connection."""

KINDS: Final = get_args(Kind)
_SHOWN: Final = 20
"""Entries in a failure."""
_CUT: Final = 200
"""Characters of a payload in a line."""


@final
class Received(Struct, frozen=True, kw_only=True):
    """One thing that a client has done; ``str()`` is a line about it."""

    kind: Kind
    client: int
    """The number of the connection, counted from 1; a client that reconnects gets another."""
    topic: Any = None
    """Of a message; a string in every message of a client library."""
    event: Any = None
    payload: Any = None
    """The decoded payload; of a connect its params, of what is malformed the text or bytes."""
    join_ref: Any = None
    ref: Any = None
    headers: Mapping[str, str] = {}
    """Of a connect: the headers of the request, by their names in lower case."""
    auth_token: str | None = None
    """Of a connect: the token of the client's option ``authToken``."""
    code: int | None = None
    """Of a close: the code of the close frame; 1006 where there was none."""

    def __str__(self) -> str:
        return self.line(_CUT)

    def line(self, most: int | None = None) -> str:
        """A line about it, with at most so many characters of the payload."""
        words = [f"client {self.client}", self.kind]
        if self.kind in ("join", "push", "leave"):
            words.append(_shown(self.topic, most))
        if self.kind == "push":
            words.append(_shown(self.event, most))
        if self.kind == "close":
            words.append(str(self.code))
        if self.kind in ("connect", "join", "push", "malformed"):
            words.append(_shown_payload(self.payload, most))
        return " ".join(words)


def _shown(name: object, most: int | None) -> str:
    # As it is where that fits on a line; clients choose it.
    text = name if isinstance(name, str) and name.isprintable() and name else repr(name)
    return _cut(text, most)


def _shown_payload(payload: object, most: int | None) -> str:
    text = repr(payload) if isinstance(payload, bytes) else msgspec.json.encode(payload).decode()
    return _cut(text, most)


def _cut(text: str, most: int | None) -> str:
    return text if most is None or len(text) <= most else f"{text[:most]}…"


@final
class Log:
    """What was received, in order.

    Args:
        keep: how many entries, the newest.
        on_received: called with each.
    """

    def __init__(self, keep: int, on_received: Callable[[Received], object] | None) -> None:
        self._entries: deque[Received] = deque(maxlen=keep)
        # Those that nobody has waited for yet.
        self._untaken: deque[Received] = deque(maxlen=keep)
        self._on_received = on_received
        self._added = anyio.Event()

    @property
    def entries(self) -> tuple[Received, ...]:
        return tuple(self._entries)

    def add(self, entry: Received) -> None:
        self._entries.append(entry)
        self._untaken.append(entry)
        self._added.set()
        self._added = anyio.Event()
        if self._on_received is not None:
            self._on_received(entry)

    async def take(self, fits: Callable[[Received], bool], what: str, timeout: float) -> Received:
        """The first entry that fits and was not taken before, now or within so many seconds.

        Raises:
            AssertionError: there was none.
        """
        with anyio.move_on_after(timeout):
            while True:
                for entry in self._untaken:
                    if fits(entry):
                        self._untaken.remove(entry)
                        return entry
                await self._added.wait()
        arrived = [f"  {entry}" for entry in self._untaken][-_SHOWN:] or ["  nothing"]
        raise AssertionError(
            "\n".join([f"no {what} within {timeout:g} s; what arrived instead, newest last:", *arrived])
        )


def check_kind(kind: object) -> None:
    """Refuse what no client can do.

    Raises:
        DefinitionError: naming the legal kinds.
    """
    if kind not in KINDS:
        raise DefinitionError(f"what a client does is one of {', '.join(KINDS)}, not {kind!r:.200}")
