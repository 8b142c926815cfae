"""The server in several processes, under the supervisor of uvicorn."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from phoenix_channels.client import Channel, Socket
from tests.server.processes import serving
from tests.support.clients import close_code, connect_once
from tests.support.processes import Process, running
from tests.transports.clients import connect_unix


def stop(pid: int) -> None:
    """Have a process stand still, until SIGCONT."""
    os.kill(pid, signal.SIGSTOP)
    while " T " not in Path(f"/proc/{pid}/stat").read_text():
        os.sched_yield()


class Joined(NamedTuple):
    """A client, and its channel."""

    socket: Socket
    channel: Channel


@asynccontextmanager
async def joined(server: Process, port: int) -> AsyncGenerator[tuple[list[Joined], list[Joined]]]:
    """Two clients on each of two workers."""
    found: list[list[Joined]] = [[], []]
    workers = server.workers(2)
    async with AsyncExitStack() as stack:
        for busy, clients in zip(workers, reversed(found), strict=True):
            # Or either of them might take all.
            stop(busy)
            for topic in ("room:a", "room:b"):
                socket = await stack.enter_async_context(connect_once(port))
                clients.append(Joined(socket, await socket.join(topic)))
            os.kill(busy, signal.SIGCONT)
        pids = [[await client.channel.push("ask_pid") for client in clients] for clients in found]
        assert pids == [[workers[0]] * 2, [workers[1]] * 2]
        yield found[0], found[1]


def to_the_supervisor(server: Process, number: signal.Signals) -> None:
    os.kill(server.pid, number)


def to_all(server: Process, number: signal.Signals) -> None:
    """As a terminal does it, and systemd."""
    os.killpg(server.pid, number)


@pytest.mark.parametrize("send", [to_the_supervisor, to_all])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_each_worker_drains_its_own_until_a_second_signal(
    send: Callable[[Process, signal.Signals], None], number: signal.Signals, tmp_path: Path
) -> None:
    with serving(tmp_path, workers=2) as server:
        async with joined(server, server.port()) as workers:
            send(server, number)
            for first, second in workers:
                assert await close_code(first.socket) == 1012
                # Its round is a minute away.
                assert isinstance(await second.channel.push("ask_pid"), int)
            # Else it is taken for the first.
            server.line("Waiting for the workers to drain")
            send(server, number)
            for _, second in workers:
                assert await close_code(second.socket) == 1012
        assert server.end() == 0
    assert server.said.count("room:a terminates: ('shutdown', 'draining')") == 2
    assert "Traceback" not in server.said


async def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as server:
        port = server.port()
        died, left = server.workers(2)
        os.kill(died, signal.SIGKILL)
        server.line(rf"Child process \[{died}\] died")
        (new,) = server.workers(1)
        # Only the new one can answer.
        stop(left)
        async with connect_once(port) as client:
            channel = await client.join("room:a")
            assert await channel.push("ask_pid") == new
        os.kill(left, signal.SIGCONT)
        assert server.end(signal.SIGTERM) == 0


async def test_workers_are_replaced_one_after_the_other_on_sighup(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as server:
        port = server.port()
        old = server.workers(2)
        os.kill(server.pid, signal.SIGHUP)
        new: list[int] = []
        while len(new) < 2:
            new.append(int(server.line(r"Started server process \[(\d+)\]")[1]))
            # The old one ends when the new one is ready.
            assert int(server.line(r"Waiting for child process \[(\d+)\]")[1]) in old
        server.line("Finished server process")
        async with connect_once(port) as client:
            channel = await client.join("room:a")
            assert await channel.push("ask_pid") in new
        assert server.end(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("app", "options", "message"),
    [
        ("tests.server.app:fail", {"factory": True}, "RuntimeError: on purpose"),
        ("tests.server.app:nothing", {}, 'Attribute "nothing" not found in module "tests.server.app"'),
        ("tests.server.nothing:app", {}, 'Could not import module "tests.server.nothing"'),
        ("tests.server.polling:endpoint", {}, "long polling with several workers needs Endpoint(secret_key_base=...)"),
    ],
)
async def test_workers_that_cannot_begin_are_not_tried_again(
    app: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with serving(tmp_path, app, workers=2, **options) as server:
        assert server.end() == 3
    assert message in server.said
    assert "failed to start, stopping the parent process" in server.said
    assert "died" not in server.said


async def test_a_program_that_starts_itself_anew_in_each_worker_ends(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("from phoenix_channels import serve\nserve('tests.server.app:endpoint', port=0, workers=2)\n")
    with running(sys.executable, str(program)) as server:
        assert server.end() == 3
    assert 'if __name__ == "__main__"' in server.said.replace("'", '"')


async def test_long_polling_with_a_secret_is_served_by_all(tmp_path: Path) -> None:
    with serving(tmp_path, "tests.server.polling:make", factory=True, workers=2) as server:
        server.port()
        server.workers(2)
        assert server.end(signal.SIGTERM) == 0


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving(tmp_path, port=port, workers=2) as server:
            assert server.end() == 3
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use" in server.said
    assert "Traceback" not in server.said


async def test_on_a_unix_socket_that_another_has_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with serving(tmp_path, uds=str(path), workers=2) as server:
        server.workers(2)
        async with connect_unix(path) as client:
            await client.join("room:a")
            server.process.send_signal(signal.SIGTERM)
            assert await client.close_code() == 1012
        assert server.end() == 0
    assert "Traceback" not in server.said
    assert not path.exists()
