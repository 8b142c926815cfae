"""The naive ways to read text and JSON, with the standard library alone."""

import json
import math
from typing import Any

# So deep that it depends on the depth of the stack whether it can be read.
DEEP = 300


def same(left: Any, right: Any) -> bool:
    """Equal in type and value, in the order of keys, and for the sign of a zero."""
    return repr(left) == repr(right)


def utf8(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _number(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError("P-046: out of range")
    return number


def _no_constant(text: str) -> Any:
    raise ValueError("NaN and Infinity are no JSON")


def parse(text: str) -> Any:
    """What the standard library reads, less what it is lax about; ValueError for what is no JSON."""
    term = json.loads(text, parse_float=_number, parse_constant=_no_constant)
    if "\\u" in text:
        # Lone surrogates cannot be encoded; as pairs, because of two equal keys the last alone is in the term.
        json.dumps(json.loads(text, object_pairs_hook=list), ensure_ascii=False).encode()
    return term


def depth(term: Any) -> int:
    if isinstance(term, dict):
        term = list(term.values())
    return 1 + max(map(depth, term), default=0) if isinstance(term, list) else 0
