"""Socket classes: what is legal, and what the others are told."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from phoenix_channels.channel import Channel
from phoenix_channels.connect_info import ConnectInfo
from phoenix_channels.definitions import DefinitionError
from phoenix_channels.socket import Socket


class RoomChannel(Channel):
    pass


def definition_error(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        define()
    return str(caught.value)


def make_socket(**namespace: Any) -> type[Socket]:
    return type("BadSocket", (Socket,), namespace)


def test_a_socket_without_anything_accepts_everybody_and_has_no_id() -> None:
    socket = Socket()
    assert socket.connect({}, ConnectInfo()) is None
    assert socket.id() is None
    assert (Socket.channels, Socket.max_channels, Socket.connect_timeout) == ({}, 100, 30.0)


def test_channels_may_be_any_mapping_and_are_inherited() -> None:
    class Base(Socket):
        channels = MappingProxyType({"room:*": RoomChannel})

    class Sub(Base):
        max_channels = 3

    assert Sub.channels == {"room:*": RoomChannel}


@pytest.mark.parametrize("channels", [[("room:*", RoomChannel)], None, RoomChannel, {"room:*"}], ids=repr)
def test_channels_is_a_mapping(channels: object) -> None:
    text = definition_error(lambda: make_socket(channels=channels))
    assert text == "BadSocket.channels maps topic patterns to channel classes"


@pytest.mark.parametrize("pattern", ["room:*:x", "**", "*:room", ""])
def test_p050_a_star_inside_a_pattern(pattern: str) -> None:
    text = definition_error(lambda: make_socket(channels={"room:*": RoomChannel, pattern: RoomChannel}))
    assert text == (
        f"BadSocket.channels: invalid topic pattern {pattern!r}: legal are an exact topic ('room:lobby') and a prefix "
        "that ends in one '*' ('room:*', '*'); a '*' anywhere else is not"
    )


@pytest.mark.parametrize("pattern", [5, None, b"room:*", ("room", "*")], ids=repr)
def test_a_pattern_is_a_string(pattern: object) -> None:
    text = definition_error(lambda: make_socket(channels={pattern: RoomChannel}))
    assert text == f"BadSocket.channels: a topic pattern is a string such as 'room:lobby' or 'room:*', not {pattern!r}"


@pytest.mark.parametrize("number", [0, -1, True, 1.5, "5", None], ids=repr)
def test_p051_max_channels_is_a_positive_int(number: object) -> None:
    text = definition_error(lambda: make_socket(max_channels=number))
    assert text == f"BadSocket.max_channels is a positive int, not {number!r}"


@pytest.mark.parametrize("seconds", [0, -1.0, None, "5"], ids=repr)
def test_connect_timeout_is_a_positive_number_of_seconds(seconds: object) -> None:
    text = definition_error(lambda: make_socket(connect_timeout=seconds))
    assert text == f"BadSocket.connect_timeout is a positive number of seconds, not {seconds!r}"


def one_argument(self: Any, params: Any) -> None: ...
def three_arguments(self: Any, params: Any, info: Any, more: Any) -> None: ...


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("connect", one_argument, "self, params, info"),
        ("connect", three_arguments, "self, params, info"),
        ("connect", None, "self, params, info"),
        ("id", one_argument, "self"),
        ("id", property(print), "self"),
        ("id", "users_socket:1", "self"),
    ],
)
def test_connect_and_id_have_their_form(name: str, value: object, form: str) -> None:
    text = definition_error(lambda: make_socket(**{name: value}))
    assert text == f"BadSocket.{name} has to be a method of this form: `def {name}({form})`"


async def later(self: Any) -> str:
    return "users_socket:1"


@functools.wraps(later)
def wrapped(self: Any) -> Any:
    return later(self)


@pytest.mark.parametrize("method", [later, wrapped])
def test_p026_an_id_is_not_awaited(method: object) -> None:
    text = definition_error(lambda: make_socket(id=method))
    assert text == "BadSocket.id is a plain `def`: what it needs is learned in connect"


def test_classes_pass_their_keywords_on() -> None:
    class Registered:
        names: list[str] = []

        def __init_subclass__(cls, name: str = "", **options: object) -> None:
            super().__init_subclass__(**options)
            Registered.names.append(name)

    class SomeSocket(Socket, Registered, name="socket"):
        pass

    class SomeChannel(Channel, Registered, name="channel"):
        pass

    assert Registered.names == ["socket", "channel"]


@pytest.mark.parametrize("level", [True, None, "INFO", -1, 1.5], ids=repr)
def test_log_is_a_level_or_false(level: object) -> None:
    text = definition_error(lambda: make_socket(log=level))
    assert text == f"BadSocket.log is a level of logging, such as logging.INFO, or False for off, not {level!r}"
    assert (make_socket(log=False).log, make_socket(log=logging.DEBUG).log, Socket.log) == (False, 10, logging.INFO)
