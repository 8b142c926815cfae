"""The rules of a mock as a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import Raw

from phoenix_channels.testing.mock import MockPhoenix, ScriptError
from phoenix_channels.testing.mock.book import Book, Subject
from phoenix_channels.testing.mock.rules import Rules
from phoenix_channels.testing.mock.script import add_script
from phoenix_channels.testing.mock.steps import (
    Answer,
    Close,
    CloseChannel,
    Crash,
    Delay,
    Drop,
    Event,
    Refuse,
    Silence,
    Steps,
)
from tests.transports.clients import ask

SCRIPT = """
[[connect]]
params = { token = "bad" }
do = [{ delay = 1 }, { refuse = 401 }]

[[connect]]
do = ["silent"]
times = 1

[[join]]
topic = "room:1"
payload = { as = "ann" }
do = [{ delay = 0.5 }, { reply = "ok", payload = { n = 1 } }, { push = "e", payload = { m = 2 } }, "crash"]

[[join]]
topic = "room:*"
do = [{ refuse = { reason = "full" } }]
times = 2

[[join]]
topic = "*"
do = [{ broadcast = "f", base64 = "AAEC" }, "close_channel"]

[[push]]
topic = "room:*"
event = "ping"
do = [{ reply = "ok", payload = { pong = true } }, { reply = "error" }, { push = "e" }, "drop"]

[[push]]
topic = "room:*"
do = ["silent", { close = 1012 }]

[[heartbeat]]
times = 1

[[heartbeat]]
do = [{ delay = 2 }, "drop"]
"""


def test_a_script_says_what_a_program_can_say() -> None:
    book = Book()
    add_script(Rules(book), SCRIPT, "rules.toml")

    def taken(subject: Subject, payload: object = None, *, topic: str = "", event: str = "") -> Steps | None:
        entry = book.take(subject, payload, topic=topic, event=event)
        return None if entry is None else entry.steps

    assert taken("connect", {"token": "bad"}) == (Delay(1.0), Refuse(401))
    assert taken("connect", {}) == (Silence(),)
    assert taken("connect", {}) is None
    assert taken("join", {"as": "ann"}, topic="room:1") == (
        Delay(0.5),
        Answer("ok", Raw(b'{"n":1}')),
        Event("e", Raw(b'{"m":2}'), to_all=False),
        Crash(),
    )
    full = (Answer("error", Raw(b'{"reason":"full"}')),)
    assert [taken("join", {}, topic="room:1") for _ in range(3)] == [
        full,
        full,
        (Event("f", b"\0\1\2", to_all=True), CloseChannel()),
    ]
    assert taken("push", {}, topic="room:1", event="ping") == (
        Answer("ok", Raw(b'{"pong":true}')),
        Answer("error", Raw(b"{}")),
        Event("e", Raw(b"{}"), to_all=False),
        Drop(),
    )
    assert taken("push", {}, topic="room:1", event="other") == (Silence(), Close(1012))
    assert [taken("heartbeat") for _ in range(2)] == [(), (Delay(2.0), Drop())]


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("[[join]", "rules.toml is no TOML: "),
        (
            "[[joins]]",
            r"unknown field `joins`; legal are the tables \[\[connect\]\], \[\[join\]\], \[\[push\]\], ",
        ),
        ("join = 7", "Expected `array`, got `int`"),
        ("[join]\ntopic='a'", r"write \[\[join\]\], with two brackets"),
        ("[[join]]\ntopic='a'\n[[join]]", "rules.toml: join rule 2: Object missing required field `topic`"),
        ("[[join]]\ntopic=7", "join rule 1, topic: Expected `str`, got `int`"),
        (
            "[[push]]\ntopc='a'",
            "push rule 1: Object contains unknown field `topc`; legal are do, times, topic, ",
        ),
        (
            "[[push]]\ntopic='a'\ndo=['drop', {dealy=1}]",
            "push rule 1, action 2: Object contains unknown field `dealy`; legal are delay, refuse, reply",
        ),
        ("[[push]]\ntopic='a'\ndo=[{delay='1'}]", "push rule 1, action 1, delay: Expected `float"),
        ("[[join]]\ntopic='a*b'", r"rules.toml: join rule 1: on_join\('a\*b'\): invalid topic pattern"),
        ("[[heartbeat]]\ntimes=0", "heartbeat rule 1: .* is a positive int, not 0"),
        (
            "[[heartbeat]]\ndo=['crash']",
            "heartbeat rule 1, action 1: 'crash' is nothing .* 'silent', 'drop', and",
        ),
        ("[[heartbeat]]\ndo=[{reply='ok'}]", "heartbeat rule 1, action 1: a table with reply; legal are 'silent'"),
        ("[[connect]]\ndo=['silent', {refuse=403}]", "connect rule 1, action 2: .* nothing follows silent"),
        ("[[connect]]\ndo=[{refuse=200}]", "connect rule 1, action 1: .* a status of HTTP from 300 to 599"),
        (
            "[[push]]\ntopic='a'\ndo=[{}]",
            "a table with nothing to do; legal are 'silent', 'crash', ",
        ),
        ("[[push]]\ntopic='a'\ndo=[{delay=1, close=1000}]", "a table with close and delay; legal are"),
        ("[[push]]\ntopic='a'\ndo=[{push='e', payload=[1]}]", "action 1: a pushed or broadcast payload is an object"),
        ("[[push]]\ntopic='a'\ndo=[{push='e', payload={}, base64=''}]", "has a payload or base64, not both"),
        ("[[push]]\ntopic='a'\ndo=[{push='e', base64='*'}]", r"action 1: base64 = '\*' is no base64"),
        ("[[push]]\ntopic='a'\ndo=[{delay=1, payload={}}]", "delay has no payload besides its own value"),
        ("[[join]]\ntopic='a'\ndo=[{reply='error'}]", "a join is replied to with 'ok', or refused; not 'error'"),
    ],
)
def test_what_is_wrong_is_named_with_its_rule(script: str, text: str) -> None:
    with pytest.raises(ScriptError, match=text):
        add_script(Rules(Book()), script, "rules.toml")


async def test_a_mock_has_the_rules_of_its_script_before_all_others(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("[[connect]]\ndo = [{ refuse = 401 }]\ntimes = 1\n")
    async with MockPhoenix(script=tmp_path / "rules.toml") as mock:
        mock.on_connect().refuse(503)
        for status in (401, 503):
            assert (await ask(mock.port, "/socket/websocket?vsn=2.0.0")).status == status


def test_a_script_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"none\.toml cannot be read: .*No such file"):
        MockPhoenix(script=tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(ScriptError, match=r"latin\.toml cannot be read: .*decode"):
        MockPhoenix(script=tmp_path / "latin.toml")
