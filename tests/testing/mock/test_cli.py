"""``phoenix-channels mock``."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from phoenix_channels.cli import main
from tests.support import frames
from tests.support.processes import Process, phoenix_channels
from tests.transports.clients import ask, connect

RULES = Path(__file__).with_name("rules.toml")


# Another process has a clock of its own.
@pytest.fixture(scope="module", params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@contextmanager
def mock(*arguments: str) -> Generator[tuple[Process, int]]:
    """The command in a process of its own, and its port."""
    with phoenix_channels("mock", "--port", "0", *arguments) as process:
        found = process.line(r"^Mock Phoenix at ws://127\.0\.0\.1:(\d+)/socket; Ctrl-C ends it$")
        yield process, int(found[1])


async def test_it_serves_by_its_script_and_says_what_clients_do_until_ctrl_c() -> None:
    with mock("--script", str(RULES)) as (process, port):
        assert (await ask(port, "/socket/websocket?vsn=2.0.0&token=bad")).status == 403
        async with connect(port) as client:
            await client.send(None, "1", "phoenix", "heartbeat", {})
            await client.send(None, "2", "phoenix", "heartbeat", {})
            assert await client.receive() == frames.reply(None, "2", "phoenix")
            await client.send("7", "7", "room:1", "phx_join", {})
            assert await client.receive() == frames.error("7", "7", "room:1", {"reason": "full"})
            assert await client.join("room:1", {"pad": 300 * "x"}) == {"members": 3}
            assert await client.receive() == frames.push("1", "room:1", "welcome", {"n": 1})
            assert await client.join("room:2") == {}
            ref = await client.push("room:1", "ping", {"n": 1, "more": True})
            assert await client.receive() == frames.error("1", ref, "room:1", {"reason": "not one"})
            assert await client.call("room:1", "ping", {"n": 2}) == {"n": 2}
            await client.push("room:2", "blob")
            assert await client.receive() == b"\x01\x01\x01\x06\x02" + b"25room:2ok" + b"\0\1\2"
            assert await client.receive() == b"\x02\x06\x04room:2blob\xff"
            await client.push("room:1", "leave me alone")
            assert await client.close_code() == 1006
        process.line("^client 2 close 1006$")
        assert process.end(signal.SIGINT) == 0
    assert process.said.partition("ends it\n")[2].strip().split("\n") == [
        'client 1 connect {"vsn":"2.0.0","token":"bad"}',
        'client 2 connect {"vsn":"2.0.0"}',
        "client 2 heartbeat",
        "client 2 heartbeat",
        "client 2 join room:1 {}",
        'client 2 join room:1 {"pad":"' + 192 * "x" + "…",
        "client 2 join room:2 {}",
        'client 2 push room:1 ping {"n":1,"more":true}',
        'client 2 push room:1 ping {"n":2}',
        "client 2 push room:2 blob {}",
        "client 2 push room:1 leave me alone {}",
        "client 2 close 1006",
    ]


async def test_it_says_more_when_asked() -> None:
    with mock("--verbose") as (process, port):
        async with connect(port) as client:
            await client.join("room:1", {"pad": 300 * "x"})
            process.line('^client 1 join room:1 {"pad":"' + 300 * "x" + '"}$')
            # The clients that are connected do not hold it up.
            assert process.end(signal.SIGINT) == 0
    assert "JOINED room:1" in process.said


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--port", "70000"], 2, "70000 is not in the range 0<=x<=65535"),
        (["--script", "no.toml"], 2, "File 'no.toml' does not exist"),
        (["--path", "socket"], 2, "socket"),
        (["--host", "192.0.2.1"], 1, "192.0.2.1:4000 cannot be listened on: "),
    ],
)
def test_what_cannot_be_is_an_error(arguments: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(main, ["mock", *arguments])
    assert message in result.output
    assert result.exit_code == code


def test_a_wrong_script_is_an_error_that_names_the_rule(tmp_path: Path) -> None:
    script = tmp_path / "rules.toml"
    script.write_text('[[join]]\ntopic = "room:*"\ndo = ["dorp"]\n')
    result = CliRunner().invoke(main, ["mock", "--script", str(script)])
    assert "rules.toml: join rule 1, action 1: 'dorp' is nothing that is done here" in " ".join(result.output.split())
    assert result.exit_code == 2
