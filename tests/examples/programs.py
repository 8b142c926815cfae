"""Examples that run as programs, in a process of their own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Timer
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


@contextmanager
def running(*command: str, cwd: Path = ROOT, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """The first line of a process that has the pattern; an error when there is none within ten seconds."""
    said = ""
    assert process.stdout is not None
    deadline = Timer(10, process.kill)
    deadline.start()
    try:
        while line := process.stdout.readline():
            said += line
            found = re.search(pattern, line)
            if found is not None:
                return found
    finally:
        deadline.cancel()
    raise AssertionError(f"nothing like {pattern!r} here:\n{said}")


class Node(NamedTuple):
    """Node.js with WebSocket, and a folder whose ``node_modules`` has ``phoenix``."""

    command: list[str]
    folder: Path

    def running(self, name: str, port: int, **environment: str) -> AbstractContextManager[subprocess.Popen[str]]:
        """Run a client below ``examples/quickstart`` against the server on this port."""
        source = (ROOT / "examples/quickstart" / name).read_text(encoding="utf-8")
        assert "//localhost:8000/" in source
        client = self.folder / Path(name).name
        client.write_text(source.replace("//localhost:8000/", f"//localhost:{port}/"), encoding="utf-8")
        return running(*self.command, str(client), cwd=self.folder, **environment)
