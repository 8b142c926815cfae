"""The lines of the log, and the telemetry that goes with them."""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from msgspec import Raw, Struct

from phoenix_channels import telemetry
from phoenix_channels.channel import Channel
from phoenix_channels.logger import EventLogger, shown_duration, shown_name
from phoenix_channels.parameters import Keep, ParameterFilter
from phoenix_channels.protocol.messages import EMPTY, Payload
from phoenix_channels.protocol.serializers import V2JSONSerializer
from phoenix_channels.results import ConnectRefused
from phoenix_channels.socket import Socket

ENDPOINT: Any = object()
INFO: Any = object()


class UserSocket(Socket):
    pass


class QuietSocket(Socket):
    log = False


class RoomChannel(Channel):
    pass


class LoudChannel(Channel):
    log_join = logging.WARNING
    log_handle_in = logging.ERROR


class QuietChannel(Channel):
    log_join = False
    log_handle_in = False


SOCKET = UserSocket()


def untimed(message: str) -> str:
    """A message without the one thing in it that nobody can know."""
    return re.sub(r"in \d+[µm]s", "in ...", message)


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything is logged."""
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    return caplog


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Mapping[str, float], Mapping[str, Any]]]]:
    """All that telemetry is told."""
    told: list[Any] = []

    def listen(*event: Any) -> None:
        told.append(event)

    for event in telemetry.EVENTS:
        telemetry.attach(event, listen)
    yield told
    for event in telemetry.EVENTS:
        telemetry.detach(event, listen)


def connected(logger: EventLogger, socket_class: type[Socket] = UserSocket, **changed: Any) -> None:
    about: dict[str, Any] = {
        "endpoint": ENDPOINT,
        "duration": 0.000_015_2,
        "result": "ok",
        "transport": "websocket",
        "serializer": V2JSONSerializer,
        "vsn": "2.0.0",
        "params": {"token": "hunter2", "name": "ada"},
        "connect_info": INFO,
    }
    logger.socket_connected(socket_class, **(about | changed))


def drained(logger: EventLogger, level: Any = logging.INFO) -> None:
    logger.socket_drain(
        UserSocket, endpoint=ENDPOINT, count=10, total=25, index=2, rounds=3, interval=2.0, log=level
    )  # fmt: skip


class Subject(Struct, frozen=True):
    """A channel, as far as it is spoken of."""

    channel_class: type[Channel[Any]] = RoomChannel
    topic: str = "room:1"
    socket: Socket = SOCKET


def joined(
    logger: EventLogger,
    channel_class: type[Channel[Any]] = RoomChannel,
    topic: str = "room:1",
    payload: Payload = EMPTY,
    result: Any = "ok",
) -> None:
    tell = logger.joining(Subject(channel_class, topic), payload)
    if tell is not None:
        tell(result)


def handled(
    logger: EventLogger,
    channel_class: type[Channel[Any]] = RoomChannel,
    topic: str = "room:1",
    event: str = "new_msg",
    payload: Payload = EMPTY,
) -> None:
    tell = logger.handling(Subject(channel_class, topic), event, payload, "7")
    if tell is not None:
        tell()


# The lines


@pytest.mark.feature("B013")
def test_a_connect_is_logged(log: pytest.LogCaptureFixture) -> None:
    connected(EventLogger())
    [record] = log.records
    assert (record.name, record.levelno) == ("phoenix_channels", logging.INFO)
    assert record.message == (
        "CONNECTED TO UserSocket in 15µs\n"
        "  Transport: websocket\n"
        "  Serializer: V2JSONSerializer\n"
        "  Parameters: {'token': '[FILTERED]', 'name': 'ada'}"
    )


def test_a_refused_connect_is_logged(log: pytest.LogCaptureFixture) -> None:
    connected(EventLogger(), result="error", transport="longpoll", duration=0.5)
    [message] = log.messages
    assert message == (
        "REFUSED CONNECTION TO UserSocket in 500ms\n"
        "  Transport: longpoll\n"
        "  Serializer: V2JSONSerializer\n"
        "  Parameters: {'token': '[FILTERED]', 'name': 'ada'}"
    )


def test_a_join_is_logged(log: pytest.LogCaptureFixture) -> None:
    joined(EventLogger(), payload=Raw(b'{"password":"hunter2","n":1}'))
    joined(EventLogger(), payload=Raw(b"[]"), result="error")
    assert [(record.levelno, untimed(record.message)) for record in log.records] == [
        (logging.INFO, "JOINED room:1 in ...\n  Parameters: {'password': '[FILTERED]', 'n': 1}"),
        (logging.INFO, "REFUSED JOIN room:1 in ...\n  Parameters: []"),
    ]


def test_a_handled_message_is_logged(log: pytest.LogCaptureFixture) -> None:
    handled(EventLogger(), payload=Raw(b'{"text":"a=1&token=hunter2"}'))
    assert [(record.levelno, untimed(record.message)) for record in log.records] == [
        (
            logging.DEBUG,
            "HANDLED new_msg INCOMING ON room:1 (RoomChannel) in ...\n  Parameters: {'text': '[FILTERED]'}",
        )
    ]


def test_dropped_frames_are_logged_once(log: pytest.LogCaptureFixture) -> None:
    """The one who drops them knows when it is the first time."""
    for first in (True, False):
        EventLogger().frames_dropped(Subject(), "latest", 3, first=first)
    EventLogger(enabled=False).frames_dropped(Subject(), "latest", 3, first=True)
    assert log.messages == ["SLOW CLIENT ON room:1 (RoomChannel): frames for it are dropped (latest)"]


def test_a_round_of_draining_is_logged(log: pytest.LogCaptureFixture) -> None:
    drained(EventLogger())
    assert log.messages == [
        "DRAINING 10 of 25 total connection(s) for socket UserSocket every 2000ms - round 2 of 3",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0µs"),
        (0.000_000_9, "0µs"),
        (0.000_015, "15µs"),
        (0.001, "1000µs"),
        (0.001_001_5, "1ms"),
        (0.003_999, "3ms"),
        (2.5, "2500ms"),
    ],
)
def test_durations_are_microseconds_up_to_1000_and_whole_milliseconds_then(seconds: float, text: str) -> None:
    assert shown_duration(seconds) == text


def test_the_filter_of_the_endpoint_is_used(log: pytest.LogCaptureFixture) -> None:
    connected(EventLogger(ParameterFilter.of(Keep("token"))))
    joined(EventLogger(ParameterFilter.of(["n"])), payload=Raw(b'{"password":"x","n":1}'))
    assert "{'token': 'hunter2', 'name': '[FILTERED]'}" in log.messages[0]
    assert "{'password': 'x', 'n': '[FILTERED]'}" in log.messages[1]


def test_a_raw_socket_has_no_serializer_to_log(log: pytest.LogCaptureFixture) -> None:
    connected(EventLogger(), serializer=None, params={})
    assert log.messages == ["CONNECTED TO UserSocket in 15µs\n  Transport: websocket\n  Parameters: {}"]


# When there are none


@pytest.mark.feature("B014")
def test_what_is_switched_off_is_not_logged(log: pytest.LogCaptureFixture) -> None:
    connected(EventLogger(), QuietSocket)
    joined(EventLogger(), QuietChannel)
    handled(EventLogger(), QuietChannel)
    drained(EventLogger(), False)
    assert log.messages == []


def test_an_endpoint_without_a_log_logs_nothing(log: pytest.LogCaptureFixture) -> None:
    logger = EventLogger(enabled=False)
    connected(logger)
    joined(logger, LoudChannel)
    handled(logger, LoudChannel)
    drained(logger)
    assert log.messages == []


def test_classes_choose_their_levels(log: pytest.LogCaptureFixture) -> None:
    joined(EventLogger(), LoudChannel)
    handled(EventLogger(), LoudChannel)
    drained(EventLogger(), logging.CRITICAL)
    assert [record.levelno for record in log.records] == [logging.WARNING, logging.ERROR, logging.CRITICAL]


def test_what_the_level_of_the_log_keeps_out_is_not_even_prepared(log: pytest.LogCaptureFixture) -> None:
    log.set_level(logging.ERROR, "phoenix_channels")
    logger = EventLogger()
    assert logger.joining(Subject(LoudChannel), EMPTY) is None
    assert logger.handling(Subject(LoudChannel), "new_msg", EMPTY, "7") is not None
    assert logger.handling(Subject(RoomChannel), "new_msg", EMPTY, "7") is None
    connected(logger)
    drained(logger)
    assert log.messages == []


@pytest.mark.parametrize("topic", ["phoenix", "phoenix:live_reload", "phoenixes"])
def test_topics_of_phoenix_itself_are_not_logged(log: pytest.LogCaptureFixture, topic: str) -> None:
    """A164."""
    joined(EventLogger(), topic=topic)
    handled(EventLogger(), topic=topic)
    joined(EventLogger(), topic=f"my:{topic}")
    assert [message.split()[1] for message in log.messages] == [f"my:{topic}"]


# What clients cannot do to them


FORGED = "a\nCRITICAL root: the server is on fire"


@pytest.mark.parametrize("forged", [FORGED, "a\r" + FORGED, "a\u2028b", "a\x1b[31m", "a\u202eb", "\ud800"])
def test_no_client_can_break_a_line_or_colour_it(log: pytest.LogCaptureFixture, forged: str) -> None:
    payload = (
        Raw(json.dumps({forged.encode(errors="replace").decode(): [forged]}).encode())
        if forged.isascii()
        else Raw(b"{}")
    )
    joined(EventLogger(), topic=forged, payload=payload)
    handled(EventLogger(), topic=forged, event=forged, payload=payload)
    connected(EventLogger(), params={forged: forged})
    for message, lines in zip(log.messages, [2, 2, 4], strict=True):
        assert len(message.splitlines()) == lines
        assert message.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("room:1", "room:1"),
        ("größe 😀", "größe 😀"),
        ("", ""),
        ("a\nb", r"'a\nb'"),
        (7, "7"),
        (["a\nb"], r"['a\nb']"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200 + "..."),
        ("\n" * 1000, "'" + r"\n" * 99 + "\\" + "..."),
    ],
)
def test_names_of_clients_are_one_short_line(name: object, shown: str) -> None:
    assert shown_name(name) == shown


def test_parameters_are_cut_where_they_are_long(log: pytest.LogCaptureFixture) -> None:
    connected(EventLogger(), params={"a": "x" * 10_000})
    joined(EventLogger(), payload=Raw(json.dumps(["y" * 5_000]).encode()))
    assert log.messages[0].endswith("{'a': '" + "x" * 1_993 + "...")
    assert log.messages[1].endswith("['" + "y" * 1_998 + "...")


@pytest.mark.parametrize("payload", [Raw(b"[" + b"1," * 5_000 + b"1]"), b"x" * 10_003])
def test_a_large_payload_is_not_even_looked_at(log: pytest.LogCaptureFixture, payload: Payload) -> None:
    joined(EventLogger(), payload=payload)
    handled(EventLogger(), payload=payload)
    assert [message.splitlines()[1] for message in log.messages] == ["  Parameters: <10003 bytes>"] * 2


def test_of_a_binary_payload_the_size_is_logged(log: pytest.LogCaptureFixture) -> None:
    joined(EventLogger(), payload=b"password")
    assert log.messages[0].endswith("Parameters: '[8 bytes]'")


@pytest.mark.parametrize("keep", [("password",), Keep("a")], ids=["terms", "keep"])
def test_no_client_can_nest_too_deeply(log: pytest.LogCaptureFixture, keep: Any) -> None:
    """Neither for the filter, nor for repr of what the filter keeps, nor for the decoder."""
    logger = EventLogger(ParameterFilter.of(keep))
    for depth in (10, 500, 2_000, 4_000):
        payload = Raw(b'{"a":' + b"[" * depth + b"]" * depth + b"}")
        joined(logger, payload=payload)
        handled(logger, payload=payload)
    value: Any = []
    for _ in range(100_000):
        value = [value]
    connected(logger, params={"a": value})
    assert len(log.messages) == 9
    assert all(len(message) < 2_200 for message in log.messages)


# Telemetry


@pytest.mark.feature("B153")
def test_an_endpoint_tells_that_it_starts(heard: list[Any]) -> None:
    EventLogger(enabled=False).endpoint_init(ENDPOINT, {"host": "example.com"})
    [(event, measurements, metadata)] = heard
    assert event == "phoenix.endpoint.init"
    assert measurements["system_time"] > 1_700_000_000
    assert metadata == {"endpoint": ENDPOINT, "config": {"host": "example.com"}, "pid": os.getpid()}


@pytest.mark.parametrize("enabled", [True, False])
def test_telemetry_is_told_whether_or_not_there_is_a_log(heard: list[Any], enabled: bool) -> None:
    logger = EventLogger(enabled=enabled)
    refused = ConnectRefused("busy")
    connected(logger, QuietSocket, result="error", refused=refused)
    drained(logger, False)
    joined(logger, QuietChannel, topic="phoenix:x", payload=Raw(b'{"password":"hunter2"}'))
    handled(logger, QuietChannel, payload=b"\x00")
    assert [(event, dict(metadata)) for event, _, metadata in heard] == [
        (
            "phoenix.socket_connected",
            {
                "endpoint": ENDPOINT,
                "user_socket": QuietSocket,
                "transport": "websocket",
                "serializer": V2JSONSerializer,
                "vsn": "2.0.0",
                "params": {"token": "hunter2", "name": "ada"},
                "connect_info": INFO,
                "result": "error",
                "refused": refused,
                "log": False,
            },
        ),
        ("phoenix.socket_drain", {"endpoint": ENDPOINT, "socket": UserSocket, "interval": 2.0, "log": False}),
        (
            "phoenix.channel_joined",
            {
                "socket": SOCKET,
                "channel": QuietChannel,
                "topic": "phoenix:x",
                "params": {"password": "hunter2"},
                "result": "ok",
            },
        ),
        (
            "phoenix.channel_handled_in",
            {
                "socket": SOCKET,
                "channel": QuietChannel,
                "topic": "room:1",
                "event": "new_msg",
                "ref": "7",
                "params": b"\x00",
            },
        ),
    ]
    assert heard[0][1] == {"duration": 0.000_015_2}
    assert heard[1][1] == {"count": 10, "total": 25, "index": 2, "rounds": 3}
    assert all(measurements["duration"] >= 0 for _, measurements, _ in heard[2:])


@pytest.mark.parametrize("first", [True, False])
def test_telemetry_is_told_of_dropped_frames(heard: list[Any], first: bool) -> None:
    EventLogger(enabled=False).frames_dropped(Subject(), "drop_oldest", 3, first=first)
    about = {"socket": SOCKET, "channel": RoomChannel, "topic": "room:1", "policy": "drop_oldest"}
    assert heard == [(telemetry.FRAMES_DROPPED, {"count": 3}, about)]


def test_log_and_telemetry_tell_the_same_duration(heard: list[Any], log: pytest.LogCaptureFixture) -> None:
    joined(EventLogger())
    handled(EventLogger())
    for (_, measurements, _), message in zip(heard, log.messages, strict=True):
        assert f" in {shown_duration(measurements['duration'])}\n" in message
