"""Several processes on one socket: uvicorn's supervisor, with our server in its workers."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import wait
from typing import Any, Final, final

import uvicorn
from uvicorn.supervisors import multiprocess

from phoenix_channels.server.process import Server
from phoenix_channels.server.sockets import STARTUP_FAILURE, bind, remove

_logger = logging.getLogger("uvicorn.error")
_ENDS: Final = (signal.SIGINT, signal.SIGTERM)


def supervise(config: uvicorn.Config, listening: list[socket.socket] | None, *, tune_gc: bool) -> None:
    """Keep the workers running until a signal ends them.

    Raises:
        SystemExit: there is no socket to be had, or the workers cannot begin.
    """
    sockets = [bind(config)] if listening is None else listening
    try:
        with _workers_are_ours(tune_gc=tune_gc), _said_to_workers(config.workers):
            supervisor = Supervisor(config, sockets=sockets)
            supervisor.run()
    finally:
        for listener in sockets:
            listener.close()
        if config.uds is not None:
            remove(config.uds)
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        sys.exit(STARTUP_FAILURE)


@final
class Supervisor(multiprocess.Multiprocess):
    """uvicorn's, which passes on a second signal."""

    def join_all(self) -> None:
        _logger.info("Waiting for the workers to drain. (CTRL+C to force quit)")
        for worker in self.processes:
            while worker.process.is_alive():
                worker.process.join(0.1)
                if any(number in _ENDS for number in self.signal_queue):
                    # Whoever has sent it does not want to wait for the rounds.
                    self.signal_queue.clear()
                    for hurried in self.processes:
                        if hurried.pid is not None and hurried.process.is_alive():
                            os.kill(hurried.pid, signal.SIGINT)


@final
class Worker(multiprocess.Process):
    """uvicorn's, which runs our server."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], *, tune_gc: bool) -> None:
        super().__init__(config, sockets)
        # Sent to the process as it is.  Made here, because two threads there ask for it.
        self._server = Server(config, tune_gc=tune_gc)
        self._has_served = False

    def ping(self, timeout: float = 5) -> bool:
        with suppress(OSError, EOFError):
            self.parent_conn.send(b"ping")
            # Not only for the answer: whoever ends meanwhile gives none.
            if self.parent_conn in wait([self.parent_conn, self.process.sentinel], timeout):
                self._has_served = self.parent_conn.recv() or self._has_served
                return True
        return False

    @property
    def exitcode(self) -> int | None:
        # uvicorn starts a worker that has died again, and again.  One that fails before it has served would do so
        # every time: an application that cannot be imported, a program without ``if __name__ == "__main__"``.
        code = super().exitcode
        return STARTUP_FAILURE if code is not None and code > 0 and not self._has_served else code


@contextmanager
def _workers_are_ours(*, tune_gc: bool) -> Generator[None]:
    """The supervisor makes its workers in five places, by the name of a class."""
    stock: Any = multiprocess.Process
    replaced: Any = multiprocess
    replaced.Process = partial(Worker, tune_gc=tune_gc)
    try:
        yield
    finally:
        replaced.Process = stock


@contextmanager
def _said_to_workers(count: int) -> Generator[None]:
    """Long polling wants to be told of a secret where there are several (P-108): the environment says whether."""
    name = "WEB_CONCURRENCY"
    before = os.environ.get(name)
    os.environ[name] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
