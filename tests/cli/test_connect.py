"""The command ``phoenix-channels connect``."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from click.testing import CliRunner

from phoenix_channels import Endpoint
from phoenix_channels.cli import main
from tests.client.app import make_endpoint, restartable
from tests.support.clients import serving
from tests.support.loops import Journal
from tests.support.processes import ROOT

COMMAND = [sys.executable, "-W", "error", "-c", "from phoenix_channels.cli import main; main()", "connect"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
async def endpoint(journal: Journal) -> Endpoint:
    return make_endpoint(journal, auth_token=True)


@pytest.fixture
async def url(endpoint: Endpoint) -> AsyncIterator[str]:
    async with serving(endpoint) as port:
        yield f"ws://127.0.0.1:{port}/socket"


async def run(*arguments: str, script: str) -> tuple[int, list[str], str]:
    """The return code, the lines, and the complaints of the command with this input."""
    with anyio.fail_after(30):
        process = await anyio.run_process([*COMMAND, *arguments], input=script.encode(), check=False, cwd=ROOT)
    return process.returncode, process.stdout.decode().splitlines(), process.stderr.decode()


async def test_a_script(url: str, journal: Journal) -> None:
    script = """\
push echo {"n": 1}
push room:a refuse
join room:b {"since": 7}

push say {"messages": [["event", {"ü": 1}], ["\\u001b[2J !", {"bell": "\\u0007\\u009b"}]]}
push room:a echo {"n": 2}
leave room:b
push echo 7
push echo true
push "echo" "text"
leave "room:a\""""
    arguments = ["--param", "user=ada", "--param", "a[b]=c=d", "--auth-token", "secret", "--header", "X-Test: 1"]
    code, lines, complaints = await run(url, "room:a", *arguments, script=script)
    assert (code, complaints) == (0, "")
    assert journal.entries[0] == ("connect", {"user": "ada", "a": {"b": "c=d"}, "vsn": "2.0.0"}, "secret")
    # What happens to one channel is in order; the tasks that print are several.
    assert sorted(lines) == sorted(
        [
            "-- connected",
            '-- joined room:a {"you sent":{}}',
            '=> room:a echo ok {"n":1}',
            '=> room:a refuse error {"reason":"no"}',
            '-- joined room:b {"you sent":{"since":7}}',
            '<- room:b event {"ü":1}',
            # Nothing that a terminal might obey.
            '<- room:b "\\u001b[2J !" {"bell":"\\u0007\\u009b"}',
            "=> room:b say ok {}",
            '=> room:a echo ok {"n":2}',
            "-- left room:b",
            "=> room:a echo ok 7",
            "=> room:a echo ok true",
            '=> room:a echo ok "text"',
            "-- left room:a",
        ]
    )


async def test_what_fails_is_told_by_the_exit_status(url: str) -> None:
    script = """\
join
join room:b {
join room:forbidden
push
push room:a
push room:b echo
push "room:b
push echo {
push echo
dance
leave room:b
leave
leave
push echo"""
    code, lines, complaints = await run(url, "room:a", "room:forbidden", script=script)
    assert (code, complaints) == (1, "")
    assert sorted(lines) == sorted(
        [
            "-- connected",
            '-- joined room:a {"you sent":{}}',
            "!! the server refuses to join 'room:forbidden': {'reason': 'unauthorized'}",
            "!! join wants a TOPIC",
            "!! '{' is no JSON: Input data was truncated",
            "!! the server refuses to join 'room:forbidden': {'reason': 'unauthorized'}",
            "!! push wants an EVENT",
            "!! push what to 'room:a'?",
            "!! 'room:b' is not joined",
            "!! '\"room:b' has quotes that do not end",
            "!! '{' is no JSON: Input data was truncated",
            "=> room:a echo ok {}",
            "!! 'dance' is no command; help lists them",
            "!! 'room:b' is not joined",
            "-- left room:a",
            "!! nothing is joined",
            "!! nothing is joined",
        ]
    )


async def test_help_and_quit(url: str) -> None:
    code, lines, complaints = await run(url, script="help\nquit\njoin room:a\n")
    assert (code, complaints) == (0, "")
    assert "quit                        end at once; at the end of the input replies are waited for" in lines
    assert not any("room:a" in line for line in lines)


@contextmanager
def typing(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command at a terminal where nobody types yet."""
    with subprocess.Popen(
        [*COMMAND, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def line_of(process: subprocess.Popen[bytes], beginning: bytes) -> bytes:
    """What it says until a line begins so."""
    assert process.stdout is not None
    said = b""
    with anyio.fail_after(30):
        while line := await anyio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True):
            said += line
            if line.startswith(beginning):
                return said
    raise AssertionError(said.decode())


async def test_ctrl_c(url: str, journal: Journal) -> None:
    with typing(url, "room:a") as process:
        await line_of(process, b"-- joined room:a")
        process.send_signal(signal.SIGINT)
        # Its input stays open: it is the signal that ends it.
        assert await anyio.to_thread.run_sync(process.wait) == 130
        assert process.stdout is not None
        assert process.stdout.read() == b""
    await journal.wait_until(lambda: journal.entries[-1][:2] == ("room:a", "terminate"))


async def test_a_reader_that_goes_away(url: str) -> None:
    with typing(url, "room:a") as process:
        await line_of(process, b"-- joined room:a")
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.close()
        process.stdin.write(b"push echo\n")
        process.stdin.flush()
        assert await anyio.to_thread.run_sync(process.wait) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Missing argument 'URL'"),
        (["http://a/socket"], 1, "is no URL like 'ws://host:4000/socket'"),
        (["ws://127.0.0.1:1/socket"], 1, "Error: ConnectionRefusedError"),
        (["ws://a/socket", "--param", "nonsense"], 2, "'nonsense' is not NAME=VALUE"),
        (["ws://a/socket", "--header", "nonsense"], 2, "'nonsense' is not NAME:VALUE"),
        (["ws://a/socket", "--timeout", "0"], 2, "0.0 is not in the range x>0"),
    ],
)
def test_what_cannot_be_is_an_error(arguments: list[str], code: int, message: str) -> None:
    result: Any = CliRunner().invoke(main, ["connect", *arguments])
    assert (result.exit_code, message in result.output) == (code, True), result.output


async def test_an_outage_is_told_once(endpoint: Endpoint) -> None:
    async with restartable(endpoint) as server:
        with typing(f"ws://127.0.0.1:{server.port}/socket", "room:a") as process:
            await line_of(process, b"-- joined room:a")
            await server.stop()
            assert process.stdin is not None
            said = await line_of(process, b"-- not connected: ConnectionRefusedError")
            process.stdin.write(b"push note\n")
            process.stdin.flush()
            said += await line_of(process, b"-- note waits for room:a")
            await server.start()
            said += await line_of(process, b"-- joined room:a")
    assert [line.split()[1] for line in said.decode().splitlines()].count("not") <= 2
