"""The server of one process."""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Final, final

import anyio
import uvicorn

from phoenix_channels.runtime.drain import drain
from phoenix_channels.runtime.hub import lanes_here
from phoenix_channels.server.sockets import remove

_FULL_COLLECTIONS: Final = 100
"""After how many collections of the middle generation everything is looked at, instead of after 10.

A full collection stops everybody: with 9,000 joined clients it goes through 300,000 objects, in 100 to 200 ms.
While 200 in a second came and went there were 5 of them in 20 s, and not one object was garbage; now there is one for
every 7,000 clients that come.  Not none: garbage of the application that has lived for long is found by nothing
else.  The younger generations stay as they are: they take a millisecond or two.
"""


@final
class Server(uvicorn.Server):
    """uvicorn's, which drains first, and has the garbage collector leave long lives alone."""

    def __init__(self, config: uvicorn.Config, *, tune_gc: bool) -> None:
        super().__init__(config)
        self._tune_gc = tune_gc

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        with _gc_restored() if self._tune_gc else nullcontext():
            super().run(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.config.workers == 1:
            # uvicorn itself takes only a second SIGINT for impatience; process managers send SIGTERM.
            self.force_exit = self.force_exit or self.should_exit
        elif sig == signal.SIGINT and not self.should_exit:
            # A worker hears some signals twice: Ctrl-C reaches all processes of a terminal, a SIGTERM of systemd all of
            # a service, and the supervisor passes either on as SIGTERM.  Impatience it passes on as SIGINT.
            return
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._tune_gc:
            # What the application consists of is here to stay: nobody has to look at it again.
            gc.collect()
            gc.freeze()
            young, middle, oldest = gc.get_threshold()
            gc.set_threshold(young, middle, max(oldest, _FULL_COLLECTIONS))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        async with anyio.create_task_group() as group:

            async def drain_all() -> None:
                async with anyio.create_task_group() as lanes:
                    for lane in lanes_here():
                        lanes.start_soon(drain, lane)
                group.cancel_scope.cancel()

            group.start_soon(drain_all)
            while not self.force_exit:  # noqa: ASYNC110 - set by a signal handler of uvicorn's
                await anyio.sleep(0.1)
            group.cancel_scope.cancel()
        await super().shutdown(sockets)
        if self.config.uds is not None and self.config.workers == 1:
            # Here: whoever is ended by SIGTERM, as uvicorn is when it has finished, does not come back to clean up.
            remove(self.config.uds)


@contextmanager
def _gc_restored() -> Generator[None]:
    """For a program that goes on when its server has ended."""
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if not frozen:
            gc.unfreeze()
