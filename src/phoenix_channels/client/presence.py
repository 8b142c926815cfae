"""Who is present on a topic (P-150)."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Self, final

import anyio

from phoenix_channels.client.inbox import Inbox
from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.messages import PRESENCE_DIFF, PRESENCE_STATE, Payload, payload_size
from phoenix_channels.protocol.presence_sync import PresenceEvent, PresenceJoined, Presences, PresenceSync

_logger = logging.getLogger("phoenix_channels")


@final
class Roster:
    """What one channel knows of presences, whether anybody looks or not.

    From the first join on: the state comes right behind the reply, when nobody can have asked for it yet.
    """

    def __init__(self) -> None:
        self._sync = PresenceSync()
        self._closed = False
        self.synced = anyio.Event()
        """Set by the first state, and by the end."""
        self.views: dict[Inbox[PresenceEvent], None] = {}

    @property
    def presences(self) -> Presences:
        return self._sync.list()

    def receive(self, event: str, payload: Payload, join_ref: str) -> None:
        """Take a message of the channel, which may be about something else."""
        if event not in (PRESENCE_STATE, PRESENCE_DIFF):
            return
        try:
            if event == PRESENCE_STATE:
                news = self._sync.state(payload, join_ref)
                self.synced.set()
            else:
                news = self._sync.diff(payload, join_ref) or []
        except RemoteProtocolError as error:
            if self.views:
                _logger.warning("ignoring a %s: %s", event, error)
            return
        for view in self.views:
            for piece in news:
                view.put(piece, payload_size(payload) // len(news))

    def open(self, view: Inbox[PresenceEvent]) -> None:
        """Tell it of everybody who is there, and of what happens from now on."""
        for key, presence in self.presences.items():
            view.put(PresenceJoined(key, None, presence))
        if self._closed:
            view.close()
        self.views[view] = None

    def close(self) -> None:
        self._closed = True
        self.synced.set()
        for view in self.views:
            view.close()


@final
class Presence:
    """A look at who is present, made by :meth:`Channel.presence`.

    ``async for change in presence`` yields :class:`PresenceJoined` for everybody who is there already, and from then on
    whoever comes or goes, until the channel is closed.  After a rejoin it yields what has changed meanwhile.
    """

    def __init__(self, topic: str, roster: Roster, most: int) -> None:
        self._roster = roster
        self._changes = Inbox[PresenceEvent](
            most, lambda: _logger.warning("%r: changes of presences are dropped, %s wait already", topic, most)
        )

    async def __aenter__(self) -> Self:
        self._roster.open(self._changes)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._roster.views.pop(self._changes, None)

    def list(self) -> Presences:
        """Who is there, by key, each with its ``metas``; empty before the server has told.

        After a rejoin it is what was known before, until the server tells anew.
        """
        return self._roster.presences

    async def synced(self) -> None:
        """Return when the server has told who is there, or the channel is closed."""
        await self._roster.synced.wait()

    @property
    def dropped(self) -> int:
        """How many changes nobody took in time; :meth:`list` has them all the same."""
        return self._changes.dropped

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PresenceEvent:
        return await self._changes.take()
