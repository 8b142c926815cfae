"""JavaScript of the examples, in a process of its own."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from tests.support.processes import ROOT, Process, running


class Node(NamedTuple):
    """Node.js with WebSocket, and a folder whose ``node_modules`` has ``phoenix``."""

    command: list[str]
    folder: Path

    def running(self, name: str, port: int, **environment: str) -> AbstractContextManager[Process]:
        """Run a client below ``examples/quickstart`` against the server on this port."""
        source = (ROOT / "examples/quickstart" / name).read_text(encoding="utf-8")
        assert "//localhost:8000/" in source
        client = self.folder / Path(name).name
        client.write_text(source.replace("//localhost:8000/", f"//localhost:{port}/"), encoding="utf-8")
        return running(*self.command, str(client), cwd=self.folder, environment=environment)
