"""A lane: everything of one endpoint that lives on one event loop.

What other threads broadcast arrives in a queue that is bounded in bytes; the loop is woken once per batch.  A
broadcast on the loop itself first delivers what is queued, so it never overtakes an earlier one (architecture: order).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, final

import anyio

from phoenix_channels.protocol.messages import EncodedBroadcast
from phoenix_channels.pubsub.base import BroadcastQueueFull
from phoenix_channels.pubsub.local import Registry
from phoenix_channels.runtime.limits import Limits
from phoenix_channels.runtime.tasks import EventLoop, LoopEnded, Task
from phoenix_channels.runtime.writers import Writers

if TYPE_CHECKING:
    from phoenix_channels.runtime.driver import Driver
    from phoenix_channels.socket import BaseSocket

_logger = logging.getLogger("phoenix_channels")


_OVERHEAD = 512
"""What a queued call costs in bytes, about."""
_PORTION = 0.005
"""Seconds that calls from other threads may take in a row before the loop gets to something else."""


@final
class Lane:
    """One endpoint on one event loop: its tasks, its subscriptions, its connections, its door for other threads."""

    def __init__(self, loop: EventLoop, limits: Limits) -> None:
        self.loop = loop
        self.limits = limits
        self.registry = Registry(loop.call_soon)
        self.writers = Writers(loop)
        self.drivers: dict[Driver[BaseSocket], None] = {}
        """Open connections."""
        self.ending: dict[Driver[BaseSocket], None] = {}
        """Closed connections that are not over yet."""
        self.draining = False
        self.stopping = False
        """The server ends, and the rounds of a drain close everybody who takes part in them."""
        self.waiting_broadcasts = 0
        """Broadcasts that wait in the ``endpoint.subscribe`` of somebody."""
        self.dropped = 0
        """Broadcasts lost because they came while the loop was at rest and the queue full."""
        # Reentrant: a signal handler or a finaliser may broadcast while its own thread is in here.
        self._lock = threading.RLock()
        self._queue: deque[tuple[Callable[[], None], int]] = deque()
        self._queued_bytes = 0
        # What the loop has taken out of the queue and not yet run; only the loop touches it.
        self._batch: deque[tuple[Callable[[], None], int]] = deque()
        self._batch_bytes = 0
        self._woken = False
        self._idle_watch: Task | None = None
        self._idle_nearest = float("inf")
        self._idle_nearer = anyio.Event()

    # Broadcasts

    def deliver(self, broadcast: EncodedBroadcast, exclude: object = None) -> None:
        """Deliver now when called on the loop, else as soon as the loop gets to it.

        Raises:
            BroadcastQueueFull: called from another thread, and the queue is full; nothing was queued.
        """
        if self.loop.running:
            self.run_queued()
            self.registry.dispatch(broadcast, exclude)
        else:
            self.call(lambda: self.registry.dispatch(broadcast, exclude), broadcast.size)

    def call(self, callback: Callable[[], None], size: int = _OVERHEAD) -> None:
        """Have ``callback`` called on the loop, in the order of the calls; from any thread.

        Raises:
            BroadcastQueueFull: the queue is full; nothing was queued.
            LoopEnded: there is no loop any more to call it on.
        """
        if not self.loop.alive:
            raise LoopEnded
        with self._lock:
            waiting = self._queued_bytes + self._batch_bytes
            # A single item larger than the bound passes through an empty queue: it has to go some way.
            if waiting and waiting + size > self.limits.broadcast_queue_bytes:
                if not self.loop.turning:
                    # At rest, for a while or for good: nobody to hold up, and nobody to tell.
                    self.dropped += 1
                    return
                raise BroadcastQueueFull(
                    f"{waiting} bytes of broadcasts wait for the event loop; the limit is "
                    f"Limits(broadcast_queue_bytes={self.limits.broadcast_queue_bytes})"
                )
            self._queue.append((callback, size))
            self._queued_bytes += size
            wake, self._woken = not self._woken, True
        if wake:
            self.loop.call_soon_threadsafe(self._wake)

    def run_queued(self) -> None:
        """Run what other threads have queued so far; on the loop."""
        self._run_batch(None)
        if self._queue:
            self._take_batch()
            self._run_batch(None)

    def _wake(self) -> None:
        # Never raises: on trio an exception here would end the whole run.  In portions: threads that never pause must
        # not keep the loop from everything else.
        if not self._batch:
            self._take_batch()
        self._run_batch(self.loop.now() + _PORTION)
        with self._lock:
            self._woken = bool(self._batch or self._queue)
        if self._woken:
            self.loop.call_soon_threadsafe(self._wake)

    def _take_batch(self) -> None:
        # All at once: a lock taken for each would be fought for with every thread that broadcasts.
        with self._lock:
            self._batch, self._queue = self._queue, deque()
            self._batch_bytes, self._queued_bytes = self._queued_bytes, 0

    def _run_batch(self, until: float | None) -> None:
        # What is under way further up the stack goes on here: it is earlier than whatever comes next.
        while self._batch:
            callback, size = self._batch.popleft()
            self._batch_bytes -= size
            try:
                callback()
            except Exception:
                _logger.exception("a call from another thread failed")
            if until is not None and self.loop.now() >= until:
                # By time, not by number: one call may reach a thousand clients.
                break
        if not self._batch:
            self._batch_bytes = 0

    @property
    def queued_bytes(self) -> int:
        return self._queued_bytes + self._batch_bytes

    # Connections

    def add(self, driver: Driver[BaseSocket]) -> None:
        self.drivers[driver] = None
        if self._idle_watch is None:
            self._idle_watch = self.loop.spawn(self._watch_idle)
        else:
            self.idle_changed(driver)

    def idle_changed(self, driver: Driver[BaseSocket]) -> None:
        """The idle deadline of a connection may be nearer than all others now."""
        if driver.idle_deadline < self._idle_nearest:
            self._idle_nearer.set()

    def closing(self, driver: Driver[BaseSocket]) -> None:
        """The connection is closed; its channels and its transport may still be busy."""
        if self.drivers.pop(driver, self) is self:
            return
        self.ending[driver] = None
        if not self.drivers and self._idle_watch is not None:
            self._idle_watch.cancel()
            self._idle_watch = None

    def ended(self, driver: Driver[BaseSocket]) -> None:
        """Nothing of the connection is left."""
        self.ending.pop(driver, None)

    async def _watch_idle(self) -> None:
        """Close connections that have been silent for too long (P-081): one task for all of them, none for each."""
        while True:
            now = self.loop.now()
            for driver in tuple(self.drivers):
                if driver.idle_deadline <= now:
                    try:
                        driver.idle()
                    except Exception:
                        # It watches over everybody else too.
                        _logger.exception("a silent connection could not be closed")
            self._idle_nearest = min((driver.idle_deadline for driver in self.drivers), default=float("inf"))
            self._idle_nearer = anyio.Event()
            with anyio.move_on_after(self._idle_nearest - now):
                await self._idle_nearer.wait()
