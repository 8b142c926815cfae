"""Ctrl-C, and the signal of a supervisor, at a server in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.transports.clients import connect

SERVER = Path(__file__).with_name("server.py")
SEEN = {
    "uvicorn": (1012, "('shutdown', 'closed')"),
    "websockets": (1012, "('shutdown', 'draining')"),
    "trio": (1012, "('shutdown', 'draining')"),
}


@contextmanager
def running(kind: str) -> Generator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", str(SERVER), kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("kind", SEEN)
async def test_a_signal_ends_it_cleanly(kind: str, number: signal.Signals) -> None:
    code, reason = SEEN[kind]
    with running(kind) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        async with connect(port) as client:
            await client.join("room:a")
            process.send_signal(number)
            assert await client.close_code() == code
        stdout, stderr = process.communicate(timeout=10)
    assert stdout == f"room:a terminates: {reason}\n"
    for complaint in ("Traceback", "Warning", "destroyed", "never retrieved", "ERROR"):
        assert complaint not in stderr
    # uvicorn ends by the signal that it has caught.
    assert process.returncode in (0, -number if kind == "uvicorn" else 0)
