"""Schemas: what the payload of one callback has to look like, and how it is decoded."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, NewType, Union, cast, final, get_args, get_origin

import msgspec
import msgspec.inspect as msgspec_types

from phoenix_channels.protocol.messages import Payload
from phoenix_channels.protocol.payloads import decode_payload


class InvalidPayload(Exception):
    """A well-formed payload of the wrong shape; ``str()`` says what was expected, and where."""


@final
class Schema:
    """Decodes payloads of one annotation, straight from their encoded form."""

    __slots__ = ("_decode", "_expected", "_takes_bytes")

    def __init__(self, annotation: Any) -> None:
        self._expected = type_name(annotation)
        self._takes_bytes = True
        self._decode: Callable[[Any], Any] | None = decode_payload
        arms = list(_arms(annotation))
        # ``bytes`` is a binary frame only: msgspec would take a base64 string for it.
        others = tuple(arm for arm in arms if arm is not bytes)
        if any(arm in _ANYTHING for arm in others):
            return
        self._takes_bytes = len(others) < len(arms)
        self._decode = None
        if others:
            decodable: Any = Union[others]  # noqa: UP007 - the arms are known at run time only
            _refuse_undecodable(msgspec_types.type_info(decodable), set())
            self._decode = msgspec.json.Decoder(decodable).decode

    def decode(self, payload: Payload) -> Any:
        """The payload as the annotation has it.

        Raises:
            InvalidPayload: it does not fit.
        """
        if not isinstance(payload, msgspec.Raw):
            if self._takes_bytes:
                return payload
            raise InvalidPayload(f"Expected `{self._expected}`, got a binary payload")
        if self._decode is None:
            raise InvalidPayload("Expected a binary payload")
        try:
            return self._decode(payload)
        except msgspec.DecodeError as error:
            raise InvalidPayload(str(error)) from error


_ANYTHING: Final = (inspect.Parameter.empty, Any, object)


def _arms(annotation: Any) -> Iterator[Any]:
    """The members of a union, aliases and ``Annotated`` looked through where ``bytes`` may hide in them."""
    plain: Any = annotation
    while True:
        if get_origin(plain) is Annotated:
            plain, *extras = get_args(plain)
            if plain is bytes and any(isinstance(extra, msgspec.Meta) for extra in extras):
                raise TypeError("constraints on bytes are not checked; check them in the method")
        elif isinstance(plain, NewType):
            plain = plain.__supertype__
        elif type(plain).__name__ == "TypeAliasType":
            plain = getattr(plain, "__value__", None)
        else:
            break
    if get_origin(plain) in (Union, types.UnionType):
        arms = [inner for arm in get_args(plain) for inner in _arms(arm)]
        # An alias or Annotated without bytes in it keeps what else it says.
        yield from arms if plain is annotation or bytes in arms else (annotation,)
    elif plain in (bytearray, memoryview):
        raise TypeError("a binary payload is annotated as bytes")
    else:
        yield plain if plain is bytes or plain in _ANYTHING else annotation


def type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _refuse_undecodable(info: object, seen: set[type]) -> None:
    # msgspec takes classes it does not know for custom types, and would refuse every payload at run time.
    if isinstance(info, msgspec_types.CustomType):
        hint = "; a pydantic model is none of msgspec's types" if hasattr(info.cls, "model_fields") else ""
        raise TypeError(f"msgspec does not know how to decode {type_name(info.cls)}{hint}")
    cls = getattr(info, "cls", None)
    if isinstance(cls, type):
        if cls in seen:
            return
        seen.add(cls)
    if isinstance(info, msgspec_types.Type | msgspec_types.Field):
        for name in info.__struct_fields__:
            value: object = getattr(info, name)
            items = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
            for item in items:
                _refuse_undecodable(item, seen)
