"""Ctrl-C, and the signal of a supervisor, at a server in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.transports.clients import connect

SERVER = Path(__file__).with_name("server.py")
SEEN = {
    "uvicorn": (1012, "('shutdown', 'closed')"),
    "fast": (1012, "('shutdown', 'draining')"),
    "serve": (1012, "('shutdown', 'draining')"),
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
    assert process.returncode in (0, -number if kind in ("uvicorn", "fast", "serve") else 0)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_serve_drains_in_rounds_while_it_still_accepts() -> None:
    with running("serve") as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        async with connect(port) as first, connect(port) as second:
            await first.join("room:a")
            await second.join("room:b")
            process.send_signal(signal.SIGTERM)
            assert await first.close_code() == 1012
            # The second round is still to come: somebody answers, and lets nobody in.
            with pytest.raises(InvalidStatus) as refused:
                async with connect(port):
                    pass
            assert refused.value.response.status_code == 503
            assert await second.close_code() == 1012
        stdout, _ = process.communicate(timeout=10)
    assert stdout == "room:a terminates: ('shutdown', 'draining')\nroom:b terminates: ('shutdown', 'draining')\n"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("one", "two"),
    [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)],
    ids=lambda number: number.name,
)
async def test_a_second_signal_ends_the_wait_for_the_rounds(one: signal.Signals, two: signal.Signals) -> None:
    """Of either kind: supervisors send SIGTERM."""
    with running("serve") as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        clients = [connect(port) for _ in range(20)]
        async with AsyncExitStack() as stack:
            joined = [await stack.enter_async_context(client) for client in clients]
            process.send_signal(one)
            assert await joined[0].close_code() == 1012
            process.send_signal(two)
            # Twenty seconds of rounds, and it does not take them.
            assert process.wait(timeout=10) in (0, -one, -two)
