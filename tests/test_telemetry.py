"""Who listens to telemetry, and what becomes of listeners that fail."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from phoenix_channels import telemetry
from phoenix_channels.telemetry import CHANNEL_HANDLED_IN, CHANNEL_JOINED, EVENTS, attach, attached, detach, execute

Heard = list[tuple[str, Mapping[str, float], Mapping[str, Any]]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What a listener to joins has been told."""
    events: Heard = []

    def listen(*told: Any) -> None:
        events.append(told)

    attach(CHANNEL_JOINED, listen)
    yield events
    detach(CHANNEL_JOINED, listen)


def ignore(event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
    pass


def test_the_events_are_those_that_phoenix_has_and_three_of_our_own() -> None:
    assert sorted(EVENTS) == [
        "phoenix.channel_handled_in",
        "phoenix.channel_joined",
        "phoenix.endpoint.init",
        "phoenix.socket_connected",
        "phoenix.socket_drain",
        "phoenix_channels.channel_crashed",
        "phoenix_channels.connect_crashed",
        "phoenix_channels.frames_dropped",
    ]


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_the_documentation_of_the_module_names_every_event(event: str) -> None:
    assert f"``{event}``" in str(telemetry.__doc__)


def test_a_listener_is_told_of_its_event_alone(heard: Heard) -> None:
    execute(CHANNEL_JOINED, {"duration": 0.5}, {"topic": "room:a"})
    execute(CHANNEL_HANDLED_IN, {"duration": 0.5}, {"topic": "room:a"})
    assert heard == [(CHANNEL_JOINED, {"duration": 0.5}, {"topic": "room:a"})]


def test_somebody_listens_from_attach_to_detach() -> None:
    assert not attached(CHANNEL_HANDLED_IN)
    attach(CHANNEL_HANDLED_IN, ignore)
    assert attached(CHANNEL_HANDLED_IN)
    assert not attached(CHANNEL_JOINED)
    detach(CHANNEL_HANDLED_IN, ignore)
    assert not attached(CHANNEL_HANDLED_IN)
    detach(CHANNEL_HANDLED_IN, ignore)


def test_listeners_are_told_in_the_order_in_which_they_came() -> None:
    told: list[int] = []
    listeners = [lambda *_, number=number: told.append(number) for number in range(3)]
    for listener in listeners:
        attach(CHANNEL_JOINED, listener)
    execute(CHANNEL_JOINED, {}, {})
    for listener in listeners:
        detach(CHANNEL_JOINED, listener)
    assert told == [0, 1, 2]


def test_a_method_is_detached_by_the_same_method_of_the_same_object() -> None:
    class Listener:
        def listen(self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None: ...

    one, other = Listener(), Listener()
    attach(CHANNEL_JOINED, one.listen)
    detach(CHANNEL_JOINED, other.listen)
    assert attached(CHANNEL_JOINED)
    detach(CHANNEL_JOINED, one.listen)
    assert not attached(CHANNEL_JOINED)


def test_an_unknown_event_is_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no telemetry event 'phoenix.channel_left'; there are .*channel_joined"):
        attach("phoenix.channel_left", ignore)


def test_what_cannot_be_called_cannot_listen() -> None:
    listener: Any = "print"
    with pytest.raises(TypeError, match=r"a function of \(event, measurements, metadata\), not 'print'"):
        attach(CHANNEL_JOINED, listener)


class Panic(BaseException):
    """As extensions in other languages raise it."""


@pytest.mark.parametrize("error", [ValueError, Panic, asyncio.CancelledError, GeneratorExit])
def test_a_listener_that_fails_is_detached_and_hurts_nobody(
    error: type[BaseException], heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises: a cancellation that it lets through is none of the caller's."""

    def fail(*_: Any) -> None:
        raise error("broken listener")

    attach(CHANNEL_JOINED, fail)
    for _ in range(2):
        execute(CHANNEL_JOINED, {}, {})
    assert len(heard) == 2
    [record] = caplog.records
    assert (record.name, record.levelno) == ("phoenix_channels", logging.ERROR)
    assert "of phoenix.channel_joined failed and is detached" in record.message
    assert "broken listener" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_program_is_no_failure_of_a_listener(error: type[BaseException]) -> None:
    def end(*_: Any) -> None:
        raise error

    attach(CHANNEL_JOINED, end)
    try:
        with pytest.raises(error):
            execute(CHANNEL_JOINED, {}, {})
        assert attached(CHANNEL_JOINED)
    finally:
        detach(CHANNEL_JOINED, end)


def test_a_listener_may_detach_itself(heard: Heard) -> None:
    def once(*_: Any) -> None:
        detach(CHANNEL_JOINED, once)
        heard.clear()

    attach(CHANNEL_JOINED, once)
    for _ in range(3):
        execute(CHANNEL_JOINED, {}, {})
    assert len(heard) == 2
