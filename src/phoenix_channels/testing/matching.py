"""What an assert wants: patterns, compared with decoded payloads."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, Union, cast, get_args, get_origin

from msgspec import Struct

from phoenix_channels.protocol.errors import EncodeError
from phoenix_channels.protocol.payloads import decode_payload, encode_term

Pattern: TypeAlias = "Callable[[Any], object] | Mapping[Any, Pattern] | Sequence[Pattern] | object"
"""What a payload is compared with: anything at all; functions, dicts and lists have a meaning of their own."""
ANYTHING: Final = ...
"""The pattern that matches everything."""
_SCALARS: Final = (str, int, float, bytes, types.NoneType)
_DECODED: Final = (dict, list, str, int, float, bool, types.NoneType, bytes)


def mismatch(pattern: Pattern, value: Any, path: str = "$") -> str | None:
    """Why a decoded payload does not match a pattern, with the place in it; None when it does match.

    A dict matches partially, its values by their own patterns; a list or tuple element by element; a type by
    ``isinstance``; ``...`` everything; a function is a predicate; a Struct or dataclass stands for what it is encoded
    to.  Everything else matches what is equal to it, or to what it is encoded to; 1 is not True.

    Raises:
        TypeError: the pattern is one that no payload could match.
    """
    if pattern is ANYTHING:
        return None
    if isinstance(pattern, Mapping):
        return _mapping_mismatch(cast("Mapping[object, object]", pattern), value, path)
    if isinstance(pattern, list | tuple):
        return _sequence_mismatch(cast("Sequence[object]", pattern), value, path)
    if isinstance(pattern, Struct) or (dataclasses.is_dataclass(pattern) and not isinstance(pattern, type)):
        return mismatch(_encoded(pattern), value, path)
    if _is_kind(pattern):
        return None if _is_instance(value, pattern) else f"{path} is {shown(value)}, no {shown(pattern)}"
    if _equal(pattern, value):
        return None
    if isinstance(pattern, _SCALARS) or not callable(pattern):
        return f"{path} is {shown(value)}, not {shown(pattern)}"
    return _predicate_mismatch(pattern, value, path)


def check_pattern(pattern: Pattern) -> None:
    """Look at a pattern before anything arrives that it could be compared with.

    Raises:
        TypeError: as :func:`mismatch`, wherever in the pattern.
    """
    if isinstance(pattern, Mapping):
        for value in cast("Mapping[object, object]", pattern).values():
            check_pattern(value)
    elif isinstance(pattern, list | tuple):
        for value in cast("Sequence[object]", pattern):
            check_pattern(value)
    else:
        _is_kind(pattern)


def _mapping_mismatch(pattern: Mapping[object, object], value: Any, path: str) -> str | None:
    if not isinstance(value, dict):
        return f"{path} is {shown(value)}, no object"
    for key, wanted in pattern.items():
        if key not in value:
            return f"{path} has no {key!r}"
        place = f"{path}.{key}" if isinstance(key, str) and key.isidentifier() else f"{path}[{key!r}]"
        why = mismatch(wanted, value[key], place)
        if why is not None:
            return why
    return None


def _sequence_mismatch(pattern: Sequence[object], value: Any, path: str) -> str | None:
    if not isinstance(value, list):
        return f"{path} is {shown(value)}, no list"
    items = cast("list[object]", value)
    if len(items) != len(pattern):
        return f"{path} has {len(items)} elements, not {len(pattern)}"
    pairs = enumerate(zip(pattern, items, strict=True))
    reasons = (mismatch(wanted, item, f"{path}[{index}]") for index, (wanted, item) in pairs)
    return next((why for why in reasons if why is not None), None)


def _is_kind(pattern: object) -> bool:
    """Is it a type, or a union of types?

    Raises:
        TypeError: it is one that no decoded payload is an instance of.
    """
    origin = get_origin(pattern)
    if origin in (Union, types.UnionType):
        return all(_is_kind(arg) for arg in get_args(pattern))
    if not isinstance(pattern, type) and origin is None:
        return False
    if isinstance(pattern, type) and origin is None and pattern is not Any:
        if any(issubclass(decoded, pattern) for decoded in _DECODED):
            return True
        hint = "an instance of it stands for what it is encoded to"
    else:
        hint = "... matches everything, [int, int] two numbers, and a function whatever it likes"
    raise TypeError(
        f"the pattern {shown(pattern)} matches nothing: a decoded payload consists of dict, list, str, int, float, "
        f"bool, None and bytes ({hint})"
    )


def _is_instance(value: object, kind: Any) -> bool:
    if get_origin(kind) is not None:
        return any(_is_instance(value, arg) for arg in get_args(kind))
    # Python's True is an int; that of JSON is none.
    return isinstance(value, kind) and not (isinstance(value, bool) and kind in (int, float))


def _equal(pattern: object, value: object) -> bool:
    if isinstance(pattern, _SCALARS):
        return isinstance(pattern, bool) is isinstance(value, bool) and pattern == value
    if bool(pattern == value):
        return True
    try:
        # A date, a UUID, a member of an Enum: what they are on the wire.
        return bool(_encoded(pattern) == value)
    except EncodeError:
        return False


def _encoded(pattern: object) -> Any:
    return decode_payload(encode_term(pattern))


def _predicate_mismatch(predicate: Callable[[Any], object], value: Any, path: str) -> str | None:
    try:
        return None if predicate(value) else f"{path} is {shown(value)}, not as {shown(predicate)} wants it"
    except Exception as error:
        return f"{path} is {shown(value)}, on which {shown(predicate)} raised {error!r}"


def shown(pattern: Pattern) -> str:
    """A pattern or a payload as its author would write it."""
    if pattern is ANYTHING:
        return "..."
    if isinstance(pattern, dict):
        items = cast("dict[object, object]", pattern).items()
        return "{" + ", ".join(f"{key!r}: {shown(value)}" for key, value in items) + "}"
    if isinstance(pattern, list):
        return "[" + ", ".join(map(shown, cast("list[object]", pattern))) + "]"
    if get_origin(pattern) is None and isinstance(pattern, type | types.FunctionType | types.BuiltinFunctionType):
        return pattern.__name__ if isinstance(pattern, type) else pattern.__qualname__.rpartition(".")[2]
    return repr(pattern)
