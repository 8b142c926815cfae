"""Who is present, as a client knows it from ``presence_state`` and ``presence_diff`` (P-111 to P-115, P-150).

Theory
------

A presence is an object with a list ``metas``, one for each time that somebody is there under its key, and whatever
else the server adds.  A meta is known by its ``phx_ref``.  A diff joins first and then leaves, so an update, which is
both for one key, never empties it in between.  A state is turned into the diff that leads to it, and so there is one
way for news to arrive.

After each join the server sends a state and diffs in no certain order (P-115).  Until the state of the present join is
there, diffs wait; then they are applied to it.  What the state had already in it does no harm, because metas are told
apart by their refs.

No presence is changed in place: whoever was given one keeps it as it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, final

from msgspec import Struct, ValidationError, convert

from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.messages import Payload, payload_size
from phoenix_channels.protocol.payloads import decode_payload

Meta: TypeAlias = Mapping[str, Any]
"""JSON as the server sent it, with ``phx_ref``."""

PresenceEntry: TypeAlias = Mapping[str, Any]
"""JSON as the server sent it, with ``metas``, a list of :data:`Meta`; oldest first, as far as the server says."""

Presences: TypeAlias = Mapping[str, PresenceEntry]
"""By key, in the order of the frames."""


@final
class PresenceJoined(Struct, frozen=True):
    """Somebody came: a key that was not there, or another meta of one that was."""

    key: str
    before: PresenceEntry | None
    """As it was known before; None: it was not there."""
    joined: PresenceEntry
    """With the new metas alone."""


@final
class PresenceLeft(Struct, frozen=True):
    """Somebody went."""

    key: str
    after: PresenceEntry
    """With the metas that remain; with none, the key is gone."""
    left: PresenceEntry
    """With those that are gone."""


PresenceEvent: TypeAlias = PresenceJoined | PresenceLeft

News: TypeAlias = list[PresenceEvent]
"""In the order in which it happened."""

MAX_WAITING_BYTES: Final = 1 << 20
"""How much waits for a state; beyond that the oldest diffs are forgotten, and the state has those in it already."""


class _Meta(Struct):
    phx_ref: str


class _Presence(Struct):
    metas: list[_Meta]


class _Diff(Struct):
    joins: dict[str, _Presence]
    leaves: dict[str, _Presence]


@final
class PresenceSync:
    """The presences of one channel, through all its joins.

    Args:
        max_waiting_bytes: how much of diffs is kept for a state that has not come yet; the last one always is.
    """

    __slots__ = ("_join_ref", "_max_waiting_bytes", "_presences", "_waiting", "_waiting_bytes")

    def __init__(self, *, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self._max_waiting_bytes = max_waiting_bytes
        self._presences: dict[str, PresenceEntry] = {}
        self._join_ref: str | None = None
        """Of the join that the last state came with."""
        self._waiting = deque[tuple[Presences, Presences, int]]()
        """Joins, leaves and size of each diff."""
        self._waiting_bytes = 0

    def list(self) -> dict[str, PresenceEntry]:
        """Who is there, by key, as far as is known: after a rejoin that is the past, until its state comes."""
        return dict(self._presences)

    def state(self, payload: Payload, join_ref: str) -> News:
        """Take a ``presence_state``.

        Args:
            payload: presences by key.
            join_ref: of the join that it came with.

        Returns:
            The news, also of the diffs that have waited.

        Raises:
            RemoteProtocolError: these are no presences.
        """
        state = _decode(payload, dict[str, _Presence])
        self._join_ref = join_ref
        news = self._apply(*self._changes(state))
        while self._waiting:
            joins, leaves, _ = self._waiting.popleft()
            news += self._apply(joins, leaves)
        self._waiting_bytes = 0
        return news

    def diff(self, payload: Payload, join_ref: str) -> News | None:
        """Take a ``presence_diff``.

        Args:
            payload: ``{"joins": ..., "leaves": ...}``, each presences by key.
            join_ref: of the join that it came with.

        Returns:
            The news; None: they have to wait for the state of this join.

        Raises:
            RemoteProtocolError: this is no diff.
        """
        diff = _decode(payload, _Diff)
        if join_ref == self._join_ref:
            return self._apply(diff["joins"], diff["leaves"])
        self._wait(diff["joins"], diff["leaves"], payload_size(payload))
        return None

    def _wait(self, joins: Presences, leaves: Presences, size: int) -> None:
        self._waiting.append((joins, leaves, size))
        self._waiting_bytes += size
        while self._waiting_bytes > self._max_waiting_bytes and len(self._waiting) > 1:
            self._waiting_bytes -= self._waiting.popleft()[2]

    def _changes(self, state: Presences) -> tuple[Presences, Presences]:
        """The diff, joins and leaves, that leads to this state."""
        joins: dict[str, PresenceEntry] = {}
        leaves = {key: left for key, left in self._presences.items() if key not in state}
        for key, new in state.items():
            if key not in self._presences:
                joins[key] = new
                continue
            current = self._presences[key]
            joined = _without(new["metas"], current["metas"])
            left = _without(current["metas"], new["metas"])
            if joined:
                joins[key] = {**new, "metas": joined}
            if left:
                leaves[key] = {**current, "metas": left}
        return joins, leaves

    def _apply(self, joins: Presences, leaves: Presences) -> News:
        """All who join, then all who leave."""
        news = News()
        for key, joined in joins.items():
            before = self._presences.get(key)
            # The new value counts, with the old metas before the new ones.
            kept = [] if before is None else _without(before["metas"], joined["metas"])
            self._presences[key] = {**joined, "metas": [*kept, *joined["metas"]]}
            news.append(PresenceJoined(key, before, joined))
        for key, left in leaves.items():
            if key not in self._presences:
                continue
            current = self._presences[key]
            after = {**current, "metas": _without(current["metas"], left["metas"])}
            news.append(PresenceLeft(key, after, left))
            if after["metas"]:
                self._presences[key] = after
            else:
                del self._presences[key]
        return news


def _decode(payload: Payload, shape: type) -> Any:
    """The payload as it is, once it is known to have this shape."""
    term = decode_payload(payload)
    try:
        convert(term, shape)
    except ValidationError as error:
        raise RemoteProtocolError(f"no presences: {error}", close_code=CloseCode.INVALID_DATA) from error
    return term


def _without(metas: Sequence[Meta], others: Sequence[Meta]) -> list[Meta]:
    refs = {other["phx_ref"] for other in others}
    return [meta for meta in metas if meta["phx_ref"] not in refs]
