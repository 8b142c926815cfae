"""The application in a process of its own, as a client meets it."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

APP = Path(__file__).with_name("app.py")
# What every run of the tests covers, and what the whole comparison does.
SERVERS = ("fast", "uvicorn", "websockets")
ALL_SERVERS = (*SERVERS, "hypercorn", "granian", "daphne")
# Channels crash on purpose, and say so; none of this is on purpose.
COMPLAINTS = re.compile(
    r"never retrieved|never awaited|destroyed but it is pending|Exception in callback|exception in shielded future"
    r"|Fatal error|did not end on SIGTERM"
    # An exception that came out of the application, in the words of each server.
    r"|Exception in ASGI application|connection handler failed|Error in ASGI Framework|Exception inside application"
    r"|took too long to shut down|Application callable raised an exception|Lifespan errored|Unexpected exit"
)


class AppProcess:
    """``app.py`` behind one server; the constructor only launches it, so that several can start side by side."""

    def __init__(self, server: str, port: int = 0) -> None:
        self.server = server
        # A file, not a pipe: nobody reads it while the process runs, and a full pipe would block the process.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 -- stop() closes it
        self._process = subprocess.Popen(
            [sys.executable, str(APP), "--server", server, "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            # A group of its own: granian's worker is a process more, and must not outlive a killed parent.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        self._port: int | None = None

    @property
    def port(self) -> int:
        """Waits until clients may connect."""
        if self._port is None:
            self._port = self._announced_port(deadline=time.monotonic() + 30)
        return self._port

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def _announced_port(self, deadline: float) -> int:
        ready, _, _ = select.select([self._stdout], [], [], max(0.0, deadline - time.monotonic()))
        line = self._stdout.readline() if ready else b""
        if not line:
            stderr = self.stop()
            raise RuntimeError(f"the application did not start behind {self.server}:\n{stderr}")
        return int(json.loads(line)["port"])

    def stop(self) -> str:
        """Ends the process the way a supervisor does: it has twenty seconds.

        Returns what the process has written to its standard error; nothing when it has been stopped before.
        """
        if self._stderr.closed:
            return ""
        self.terminate()
        with self._stderr, self._stdout:
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
                self._stderr.write(b"it did not end on SIGTERM within twenty seconds")
            self._stderr.seek(0)
            return self._stderr.read().decode(errors="replace")

    def terminate(self) -> None:
        """Asks the process to end, and does not wait: several can end side by side."""
        self._process.terminate()


class AppPool:
    """Several processes, one for each name: launched together, and ended together by leaving the ``with`` block."""

    def __init__(self, servers: Iterable[str]) -> None:
        self._servers = list(servers)
        self.complaints: list[str] = []
        """What a process wrote that none of them may write; known after the end."""

    def __enter__(self) -> list[AppProcess]:
        self._processes = [AppProcess(server) for server in self._servers]
        return self._processes

    def __exit__(self, *exc_info: object) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            written = process.stop()
            if COMPLAINTS.search(written):
                self.complaints.append(f"the application behind {process.server} wrote:\n{written}")
