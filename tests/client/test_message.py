"""What a message says, and errors that say what the server has said."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from phoenix_channels.client import JoinRefused, Message, PushRefused, UnexpectedPayload

DEEP = msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)


class Point(msgspec.Struct):
    x: int
    y: int


def test_a_payload_is_decoded_once_or_as_a_type() -> None:
    message = Message("event", msgspec.Raw(b'{"x":1,"y":2}'))
    assert (message.payload, message.decode(Point)) == ({"x": 1, "y": 2}, Point(1, 2))
    assert message.payload is message.payload
    assert repr(message) == "Message('event', {'x': 1, 'y': 2})"


def test_a_payload_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(UnexpectedPayload, match="missing required field `y`"):
        Message("event", msgspec.Raw(b'{"x":1}')).decode(Point)
    with pytest.raises(UnexpectedPayload, match="binary"):
        Message("event", b"").decode(Point)


def test_a_payload_that_is_nested_too_deeply_is_an_error() -> None:
    message = Message("event", DEEP)
    for read in (lambda: message.payload, lambda: message.decode(list)):
        with pytest.raises(UnexpectedPayload, match="recursion"):
            read()


def test_an_error_shows_what_it_can() -> None:
    response: list[Any] = []
    for _ in range(100_000):
        response = [response]
    for error in (JoinRefused("room:a", response), PushRefused("room:a", "event", "error", response)):
        assert str(error).endswith("(nested too deeply to be shown)")
    assert len(str(JoinRefused("room:a", "x" * 10_000))) < 1100
    # Taken apart by hand: its end would recurse as well.
    while response:
        response = response.pop()
