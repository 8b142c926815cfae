"""What the server sends to a channel."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, Final, TypeVar, cast, final

from phoenix_channels.client.errors import UnexpectedPayload, shown
from phoenix_channels.protocol.messages import Payload
from phoenix_channels.protocol.payloads import decode_payload
from phoenix_channels.schemas import InvalidPayload, Schema

T = TypeVar("T")

_UNDECODED: Final = object()


@final
class Message:
    """A push or a broadcast: ``match message: case Message("new_message", {"body": body}): ...``."""

    __slots__ = ("_encoded", "_payload", "event")
    __match_args__ = ("event", "payload")

    event: str
    """Its name."""

    def __init__(self, event: str, encoded: Payload) -> None:
        self.event = event
        self._encoded = encoded
        self._payload: Any = _UNDECODED

    @property
    def payload(self) -> Any:
        """A dict, or bytes.

        Raises:
            UnexpectedPayload: it is nested so deeply that Python cannot take it.
        """
        if self._payload is _UNDECODED:
            self._payload = decode(self._encoded)
        return self._payload

    def decode(self, type: type[T]) -> T:  # noqa: A002 - as in msgspec
        """The payload as this type: a Struct, a dataclass, a TypedDict, ...; ``bytes`` for a binary one.

        Raises:
            UnexpectedPayload: it does not fit.
            TypeError: nothing can be decoded as this type.
        """
        return decode_as(type, self._encoded)

    def __repr__(self) -> str:
        return f"Message({self.event!r}, {shown(self.payload)})"


_schema = lru_cache(maxsize=256)(Schema)


def decode_as(kind: type[T], encoded: Payload) -> T:
    """The payload as this type.

    Raises:
        UnexpectedPayload: it does not fit.
        TypeError: nothing can be decoded as this type.
    """
    try:
        value: T = _schema(cast("Hashable", kind)).decode(encoded)
    except (InvalidPayload, RecursionError) as error:
        raise UnexpectedPayload(str(error)) from error
    return value


def decode(encoded: Payload) -> Any:
    """The payload as plain Python.

    Raises:
        UnexpectedPayload: it is nested so deeply that Python cannot take it.
    """
    try:
        return decode_payload(encoded)
    except RecursionError as error:
        raise UnexpectedPayload(str(error)) from error
