"""Programs in processes of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Timer

ROOT = Path(__file__).parents[2]


class Process:
    """A running program, in a group of its own as from a terminal; all that it says is one text."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self, pattern: str) -> re.Match[str]:
        """The next line with the pattern; an error when the program ends before, or takes too long."""
        for line in self._lines():
            found = re.search(pattern, line)
            if found is not None:
                return found
        raise AssertionError(f"nothing like {pattern!r} here:\n{self.said}")

    def _lines(self) -> Iterator[str]:
        assert self.process.stdout is not None
        deadline = Timer(20, self.kill)
        deadline.start()
        try:
            while line := self.process.stdout.readline():
                self.said += line
                yield line
        finally:
            deadline.cancel()

    def port(self) -> int:
        """Where uvicorn listens; waits until it serves."""
        # With several workers this comes first, and clients that come too early wait.
        return int(self.line(r"Uvicorn running on https?://127\.0\.0\.1:(\d+)")[1])

    def workers(self, count: int) -> list[int]:
        """The process ids of so many workers of uvicorn; waits until they serve."""
        pids = [int(self.line(r"Started server process \[(\d+)\]")[1]) for _ in range(count)]
        while self.said.count("Application startup complete") < count:
            self.line("Application startup complete")
        return pids

    def kill(self) -> None:
        """End it, and all that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def end(self, number: signal.Signals | None = None) -> int:
        """Wait for the end, if need be after a signal; its return code."""
        if number is not None:
            self.process.send_signal(number)
        for _ in self._lines():
            pass
        return self.process.wait()


@contextmanager
def running(
    *command: str, environment: Mapping[str, str] | None = None, cwd: Path = ROOT, pass_fds: tuple[int, ...] = ()
) -> Generator[Process]:
    """A program, which finds the tests, and is ended at last with all that it has started."""
    path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        pass_fds=pass_fds,
    ) as process:
        program = Process(process)
        try:
            yield program
        finally:
            program.kill()


def phoenix_channels(*arguments: str) -> AbstractContextManager[Process]:
    """The command, as its script starts it."""
    script = "import sys; from phoenix_channels.cli import main; sys.exit(main())"
    return running(sys.executable, "-X", "dev", "-W", "error", "-c", script, *arguments)
