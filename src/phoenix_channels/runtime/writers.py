"""The writers of one event loop: tasks that send, for all clients whose transport has to await each send.

A task for each client that has something to be sent would cost more than the sends.  So one task serves all of them,
one after the other, as long as sends return at once, which is what they do until a client does not read.  A send that
does not must hold up nobody: the writer that is in it stays with it, and a fresh one takes over the rest.

A writer exists only while something waits.  It runs in an empty context: it is nobody's in particular.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Final, Protocol, final

from anyio.lowlevel import checkpoint

from phoenix_channels.runtime.tasks import EventLoop, Task

SLICE: Final = 128
"""Frames that are sent in one turn of the loop; then others get theirs."""
_MOST: Final = 1024
"""Writers at once, besides those that are held up."""


class Waiting(Protocol):
    """A client for which something waits."""

    async def send_waiting(self, writer: Writer) -> int:
        """Send what waits, not many more than :data:`SLICE` frames; how many.

        Raises nothing but a cancellation.  Whoever has more to send then is added anew.
        """
        ...

    def held_up(self) -> None:
        """A send has not returned at once: the client does not keep up."""
        ...


@final
class Writer:
    """One task that sends."""

    __slots__ = ("client", "shared", "task")

    def __init__(self) -> None:
        self.client: Waiting | None = None
        """The one that is being sent something."""
        self.shared = True
        """It goes on to the next client; not when it was held up, or is to be cancelled."""
        self.task: Task


@final
class Writers:
    """Serves clients in the order in which they are added."""

    __slots__ = ("_looking", "_loop", "_queue", "_shared", "_wanted")

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._queue: deque[Waiting] = deque()
        self._shared: set[Writer] = set()
        # As many as it takes where every send takes a while; one, where it is never held up.
        self._wanted = 1
        self._looking = False

    def add(self, client: Waiting) -> None:
        """Something waits for a client: it is served in its turn, once."""
        self._queue.append(client)
        if len(self._shared) < self._wanted:
            self._start()

    def cancel(self, writer: Writer) -> None:
        """End the send that a writer is in, and nothing else."""
        if writer.shared:
            self._leave_behind(writer)
            self._start()
        writer.task.cancel()

    def _start(self) -> None:
        while len(self._shared) < min(self._wanted, len(self._queue)):
            writer = Writer()
            self._shared.add(writer)
            writer.task = self._loop.spawn(self._run, writer, on_done=partial(self._ended, writer))

    async def _run(self, writer: Writer) -> None:
        queue, left = self._queue, SLICE
        self._look_soon()
        while queue and writer.shared:
            client = writer.client = queue.popleft()
            try:
                left -= await client.send_waiting(writer)
            finally:
                writer.client = None
            if left <= 0 and writer.shared:
                left = SLICE
                await checkpoint()
                self._look_soon()
        if writer.shared:
            # Nobody was slow.
            self._wanted = 1

    def _ended(self, writer: Writer) -> None:
        self._shared.discard(writer)
        self._start()

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        """See who is in a send: this runs only while no task does, so they are those that are held up."""
        self._looking = False
        slow = [(writer, writer.client) for writer in self._shared if writer.client is not None]
        for writer, client in slow:
            self._leave_behind(writer)
            client.held_up()
        if slow:
            # Where all sends take a while, one after the other would take for ever.
            self._wanted = min(2 * self._wanted, _MOST)
            self._start()

    def _leave_behind(self, writer: Writer) -> None:
        writer.shared = False
        self._shared.discard(writer)
