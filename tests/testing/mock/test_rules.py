"""The rules of a mock: which one is taken, and what cannot be said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.protocol.errors import EncodeError
from phoenix_channels.testing.mock.book import Book, Subject
from phoenix_channels.testing.mock.rules import Rules
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
    Step,
    Steps,
    with_answer,
)

OK = Answer("ok", Raw(b"{}"))


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def rules(book: Book) -> Rules:
    return Rules(book)


def taken(book: Book, subject: Subject, payload: object = None, *, topic: str = "", event: str = "") -> Steps | None:
    """What is done about a message; None without a rule."""
    entry = book.take(subject, payload, topic=topic, event=event)
    return None if entry is None else entry.steps


# Which rule


def test_the_first_rule_that_fits_is_taken(book: Book, rules: Rules) -> None:
    for seconds, topic in enumerate(("room:lobby", "room:*", "*"), 1):
        rules.on_join(topic).delay(seconds)
    for seconds, topic in enumerate(("room:lobby", "room:1", "other"), 1):
        assert taken(book, "join", {}, topic=topic) == (Delay(seconds),)


def test_without_a_rule_that_fits_there_is_none(book: Book, rules: Rules) -> None:
    rules.on_join("room:*")
    rules.on_push("room:*", "ping")
    rules.on_connect({"token": "a"})
    assert taken(book, "join", {}, topic="other") is None
    assert taken(book, "push", {}, topic="room:1", event="pong") is None
    assert taken(book, "connect", {"token": "b"}) is None
    assert taken(book, "heartbeat") is None


def test_a_rule_that_is_used_up_leaves_the_message_to_those_below(book: Book, rules: Rules) -> None:
    rules.on_heartbeat().delay(1).times(2)
    rules.on_heartbeat().times(1).delay(2)
    rules.on_heartbeat()
    expected = [(Delay(1),), (Delay(1),), (Delay(2),), (), ()]
    assert [taken(book, "heartbeat") for _ in range(5)] == expected


def test_only_messages_that_fit_use_a_rule_up(book: Book, rules: Rules) -> None:
    rules.on_push("room:*", "ping").times(1)
    assert taken(book, "push", {}, topic="room:1", event="pong") is None
    assert taken(book, "push", {}, topic="room:1", event="ping") == ()
    assert taken(book, "push", {}, topic="room:1", event="ping") is None


def test_a_rule_may_be_for_any_event(book: Book, rules: Rules) -> None:
    rules.on_push("room:1")
    for event in ("ping", "pong"):
        assert taken(book, "push", b"\0", topic="room:1", event=event) == ()


def test_payloads_and_params_are_matched_partially(book: Book, rules: Rules) -> None:
    rules.on_push("*", "e", {"n": int})
    rules.on_join("*", {"as": {"name": "ann"}})
    rules.on_connect({"token": "a"})
    assert taken(book, "push", {"n": 1, "more": 2}, event="e") == ()
    assert taken(book, "push", {"n": "1"}, event="e") is None
    assert taken(book, "push", b"{}", event="e") is None
    assert taken(book, "join", {"as": {"name": "ann", "age": 7}}) == ()
    assert taken(book, "join", {"as": {}}) is None
    assert taken(book, "connect", {"token": "a", "vsn": "2.0.0"}) == ()


def test_a_rule_may_be_for_certain_bytes(book: Book, rules: Rules) -> None:
    rules.on_push("*", "e", b"\0\1")
    assert taken(book, "push", b"\0\1", event="e") == ()
    assert taken(book, "push", {}, event="e") is None


# What it does


def test_steps_are_in_the_order_in_which_they_are_said(book: Book, rules: Rules) -> None:
    rule = rules.on_push("*").delay(1).reply({"a": 1}, status="late").push("e", b"\0").broadcast("f", {}).times(3)
    assert rule.crash() is rule
    assert taken(book, "push") == (
        Delay(1.0),
        Answer("late", Raw(b'{"a":1}')),
        Event("e", b"\0", to_all=False),
        Event("f", Raw(b"{}"), to_all=True),
        Crash(),
    )


def test_what_is_left_out_is_empty(book: Book, rules: Rules) -> None:
    rules.on_push("*").reply()
    rules.on_join("*").times(1).reply()
    rules.on_join("*").refuse()
    rules.on_connect().refuse()
    assert taken(book, "push") == (OK,)
    assert [taken(book, "join") for _ in range(2)] == [(OK,), (Answer("error", Raw(b"{}")),)]
    assert taken(book, "connect") == (Refuse(403),)


def test_later_changes_to_a_payload_do_not_matter(book: Book, rules: Rules) -> None:
    payload = {"n": 1}
    rules.on_push("*").reply(payload)
    payload["n"] = 2
    assert taken(book, "push") == (Answer("ok", Raw(b'{"n":1}')),)


def test_a_rule_that_cannot_be_is_not_kept(book: Book, rules: Rules) -> None:
    with pytest.raises(DefinitionError):
        rules.on_join("*", set)
    assert taken(book, "join") is None


def test_a_rule_is_shown_as_it_was_written(rules: Rules) -> None:
    assert [
        repr(rule)
        for rule in (
            rules.on_connect(),
            rules.on_connect({"token": str}),
            rules.on_join("room:*"),
            rules.on_push("room:*", "ping", {"n": 1}),
            rules.on_push("room:*"),
            rules.on_heartbeat(),
        )
    ] == [
        "on_connect()",
        "on_connect({'token': str})",
        "on_join('room:*')",
        "on_push('room:*', 'ping', {'n': 1})",
        "on_push('room:*')",
        "on_heartbeat()",
    ]


EVENT = Event("e", Raw(b"{}"), to_all=False)


@pytest.mark.parametrize(
    ("steps", "answered"),
    [
        ([], [OK]),
        ([Delay(1.0)], [Delay(1.0), OK]),
        ([EVENT], [OK, EVENT]),
        ([Delay(1.0), EVENT, Delay(2.0), EVENT], [Delay(1.0), OK, EVENT, Delay(2.0), EVENT]),
        ([EVENT, OK], [EVENT, OK]),
        ([Silence(), EVENT], [Silence(), EVENT]),
        ([EVENT, Crash()], [EVENT, Crash()]),
        ([CloseChannel()], [CloseChannel()]),
        ([Drop()], [Drop()]),
        ([Close(1012)], [Close(1012)]),
    ],
)
def test_a_push_that_the_steps_do_not_answer_is_answered_before_the_first_event(
    steps: list[Step], answered: list[Step]
) -> None:
    assert list(with_answer(steps, OK)) == answered


# What cannot be said


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda r: r.on_join("room:*:x"), r"on_join\('room:\*:x'\): invalid topic pattern .* legal are an exact topic"),
        (lambda r: r.on_join(7), "a topic pattern is a string"),
        (lambda r: r.on_push(None), "a topic pattern is a string"),
        (lambda r: r.on_push("room:{id}"), "patterns have no named parts"),
        (lambda r: r.on_push("room:*", 7), "an event is a string, or None for any, not 7"),
        (lambda r: r.on_push("room:*", "phx_join"), "'phx_join' is no push; rules for joins are made by on_join"),
        (lambda r: r.on_push("room:*", "phx_leave"), "'phx_leave' is no push"),
        (lambda r: r.on_push("*", None, {"n": [set]}), r"on_push\('\*', .*\): the pattern set matches nothing"),
        (lambda r: r.on_connect(set), "the pattern set matches nothing"),
        (lambda r: r.on_heartbeat().times(0), r"on_heartbeat\(\).times\(...\) is a positive int, not 0"),
        (lambda r: r.on_heartbeat().times(True), "is a positive int, not True"),
        (lambda r: r.on_heartbeat().times(1).times(1), r"times\(...\) is said once"),
        (lambda r: r.on_heartbeat().delay(0), "is a positive number of seconds, not 0"),
        (lambda r: r.on_heartbeat().delay("1"), "is a positive number of seconds, not '1'"),
        (lambda r: r.on_heartbeat().silent().delay(1), r"nothing follows silent\(...\), so not delay\(...\) either"),
        (lambda r: r.on_connect().refuse(200), "takes a status of HTTP from 300 to 599, such as 403, not 200"),
        (lambda r: r.on_connect().refuse("403"), "takes a status of HTTP"),
        (lambda r: r.on_connect().refuse(True), "takes a status of HTTP"),
        (lambda r: r.on_connect().refuse().silent(), r"nothing follows refuse\(...\)"),
        (lambda r: r.on_connect().silent().refuse(), r"nothing follows silent\(...\)"),
        (lambda r: r.on_join("*").refuse().push("e", {}), r"nothing follows refuse\(...\)"),
        (lambda r: r.on_join("*").silent().push("e", {}), r"nothing follows silent\(...\)"),
        (lambda r: r.on_join("*").reply().reply(), r"reply\(...\) comes before reply\(...\), which has answered"),
        (lambda r: r.on_join("*").push("e", {}).refuse(), r"refuse\(...\) comes before push\(...\)"),
        (lambda r: r.on_join("*").delay(1).reply().silent(), r"silent\(...\) comes before reply\(...\)"),
        (lambda r: r.on_push("*").reply(status=7), "a status is a string such as 'ok' or 'error', not 7"),
        (lambda r: r.on_push("*").reply().silent(), r"silent\(...\) contradicts reply\(...\)"),
        (lambda r: r.on_push("*").silent().reply(), r"reply\(...\) contradicts silent\(...\)"),
        (lambda r: r.on_push("*").push(7, {}), "an event is a string, not 7"),
        (lambda r: r.on_push("*").crash().push("e", {}), r"nothing follows crash\(...\)"),
        (lambda r: r.on_push("*").drop().close(1000), r"nothing follows drop\(...\)"),
        (lambda r: r.on_push("*").close(1012).drop(), r"nothing follows close\(...\)"),
        (lambda r: r.on_push("*").close_channel().crash(), r"nothing follows close_channel\(...\)"),
        (lambda r: r.on_push("*").close(1006), "1000 to 1003, 1007 to 1013 and 3000 to 4999, not 1006"),
        (lambda r: r.on_push("*").close(999), "not 999"),
        (lambda r: r.on_heartbeat().close(2000), "not 2000"),
        (lambda r: r.on_push("*").close(5000), "not 5000"),
        (lambda r: r.on_push("*").close(True), "not True"),
        (lambda r: r.on_push("*").close("1012"), "not '1012'"),
    ],
)
def test_what_cannot_be_is_refused_at_once(rules: Rules, wrong: Callable[[Any], object], text: str) -> None:
    with pytest.raises(DefinitionError, match=text):
        wrong(rules)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda r: r.on_join("*").reply(object()),
        lambda r: r.on_join("*").refuse({1, 2, object()}),
        lambda r: r.on_push("*").reply(object()),
        lambda r: r.on_push("*").push("e", [1]),
        lambda r: r.on_push("*").broadcast("e", "text"),
    ],
)
def test_what_has_no_wire_form_is_refused_at_once(rules: Rules, wrong: Callable[[Any], object]) -> None:
    with pytest.raises(EncodeError):
        wrong(rules)


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1011, 1012, 1013, 3000, 4999])
def test_every_code_that_may_be_sent_is_legal(book: Book, rules: Rules, code: int) -> None:
    rules.on_push("*").close(code)
    assert taken(book, "push") == (Close(code),)
