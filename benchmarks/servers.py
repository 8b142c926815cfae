"""Who is measured.  A server is a module that listens, and says where in one line of JSON on its stdout."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .machine import Cores, version_of

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Server:
    """One program, and how the load generator speaks to it."""

    name: str
    title: str
    module: str
    path: str
    wsload: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    """Packages without which it is left out."""
    ours: bool = False

    def missing(self) -> list[str]:
        return [package for package in self.needs if version_of(package) is None]


def ours(name: str, title: str) -> Server:
    return Server(
        name,
        title,
        "tests.conformance.app",
        "/socket/websocket",
        arguments=("--server", name),
        ours=True,
    )


def peer(name: str, title: str, module: str, *needs: str, path: str = "/", wsload: tuple[str, ...] = ()) -> Server:
    # rawt: no joins, and every message is looked into for its number.
    # 92 bytes of padding make the frames of a peer, in which there is no topic, as long as ours are with 64.
    spoken = ("--proto", "rawt", "--size", "92", *wsload)
    return Server(name, title, f"benchmarks.peers.{module}", path, spoken, needs=needs)


SOCKETIO = peer(
    "socketio",
    "python-socketio",
    "socketio_room",
    "python-socketio",
    "uvicorn",
    path="/socket.io/?EIO=4&transport=websocket",
    # Engine.IO and Socket.IO each say something before a client is in the room.
    wsload=(
        *("--raw-hello", "40", "--raw-ready", "2"),
        *("--raw-msg", '42["fan",{"t":"{T}","pad":"{PAD}"}]', "--size", "82"),
    ),
)

SERVERS = (
    ours("fast", "phoenix-channels, fast lane"),
    ours("websockets", "phoenix-channels on websockets"),
    ours("uvicorn", "phoenix-channels on any uvicorn"),
    peer("websockets.broadcast", "websockets, broadcast()", "websockets_broadcast", "websockets"),
    peer("litestar", "Litestar channels", "litestar_channels", "litestar", "uvicorn"),
    peer("starlette", "Starlette, connection manager", "starlette_manager", "starlette", "uvicorn"),
    SOCKETIO,
    peer("django-channels", "Django Channels", "django_channels", "channels", "daphne"),
)


class NotStartedError(Exception):
    """What the server wrote instead of a port."""


class Running(NamedTuple):
    port: int
    pid: int


@contextmanager
def running(server: Server, cores: Cores, launcher: Sequence[str] = ()) -> Iterator[Running]:
    """A process of its own, fresh, on a core of its own; ``launcher`` is a module, and what stands before the server's.

    Fresh, because a process keeps the memory of the last measurement, and reuses it in the next.
    """
    command = [sys.executable, "-m", *launcher, server.module, *server.arguments, "--port", "0"]
    with tempfile.TemporaryFile() as stderr:
        # A file, not a pipe: nobody reads it meanwhile, and a full pipe would block the server.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, cwd=ROOT)
        assert process.stdout is not None
        try:
            os.sched_setaffinity(process.pid, {cores.server})
            ready, _, _ = select.select([process.stdout], [], [], 30)
            line = process.stdout.readline() if ready else b""
            if not line:
                end(process)
                stderr.seek(0)
                said = stderr.read().decode(errors="replace").strip()
                raise NotStartedError(said.splitlines()[-1] if said else "it said nothing for 30 seconds")
            yield Running(int(json.loads(line)["port"]), process.pid)
        finally:
            end(process)
            process.stdout.close()


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # The kernel goes on for a moment with what a thousand connections have left behind.
    time.sleep(0.2)
