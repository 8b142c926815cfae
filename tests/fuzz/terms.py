"""Terms, and the tokens that carry them, judged by a second reader that takes one byte after another."""

import math
import struct
import zlib
from io import BytesIO
from typing import Any

from phoenix_channels.token import Atom, TokenError, TokenExpired, TokenInvalid, decrypt, verify
from phoenix_channels.token.encryption import NONCE_BYTES, encrypt
from phoenix_channels.token.payloads import decode_payload
from phoenix_channels.token.signing import sign
from phoenix_channels.token.signing import verify as payload_of
from phoenix_channels.token.terms import TermError, decode_term, encode_term
from tests.token.vectors import KEY, SALT, SECRET, SIGNED_AT

DAY = 86_400
NOW = (SIGNED_AT + 60) * 1000
CONSTANTS = {"true": True, "false": False, "nil": None}


def exactly(stream: BytesIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise ValueError("cut short")
    return data


def number(stream: BytesIO, size: int) -> int:
    return int.from_bytes(exactly(stream, size))


def read(stream: BytesIO, depth: int = 32) -> Any:  # noqa: PLR0912 - a branch for every tag
    tag = number(stream, 1)
    wide = tag in (100, 105, 111, 118)
    match tag:
        case 70:
            (value,) = struct.unpack(">d", exactly(stream, 8))
            if not math.isfinite(value):
                raise ValueError("no number")
            return value
        case 97 | 98:
            return int.from_bytes(exactly(stream, 1 if tag == 97 else 4), signed=tag == 98)
        case 100 | 115 | 118 | 119:
            name = exactly(stream, number(stream, 1 + wide)).decode("latin-1" if tag < 118 else "utf-8")
            return CONSTANTS[name] if name in CONSTANTS else Atom(name)
        case 106:
            return []
        case 109:
            data = exactly(stream, number(stream, 4))
            try:
                return data.decode()
            except ValueError:
                return data
        case 110 | 111:
            size, sign = number(stream, 4 if wide else 1), number(stream, 1)
            if size > 1024 or sign > 1:
                raise ValueError("no integer")
            return (-1) ** sign * sum(byte << 8 * place for place, byte in enumerate(exactly(stream, size)))
    if depth == 0:
        raise ValueError("too deep")
    match tag:
        case 104 | 105:
            return tuple([read(stream, depth - 1) for _ in range(number(stream, 4 if wide else 1))])
        case 107:
            return list(exactly(stream, number(stream, 2)))
        case 108:
            items = [read(stream, depth - 1) for _ in range(number(stream, 4))]
            if exactly(stream, 1) != b"j":
                raise ValueError("improper")
            return items
        case 116:
            pairs = [(read(stream, depth - 1), read(stream, depth - 1)) for _ in range(number(stream, 4))]
            if len(dict(pairs)) < len(pairs):
                raise ValueError("a key twice")
            return dict(pairs)
    raise ValueError("no such tag")


def elements(value: Any) -> int:
    if isinstance(value, dict):
        value = [item for pair in value.items() for item in pair]
    return len(value) + sum(map(elements, value)) if isinstance(value, list | tuple) else 0


def read_term(data: bytes) -> Any:
    """The term, or :class:`TermError`."""
    try:
        if data[:1] != b"\x83":
            raise ValueError("no term")
        data = data[1:]
        if data[:1] == b"P":
            inflater = zlib.decompressobj()
            size, data = int.from_bytes(data[1:5]), inflater.decompress(data[5:])
            if not inflater.eof or not size == len(data) <= 2**20:
                raise ValueError("not the size")
        value = read(BytesIO(data))
        if elements(value) > 2**16:
            raise ValueError("too many")
    except (ValueError, TypeError, zlib.error):
        # The TypeError is that of a key which no dict may have.
        return TermError
    return value


def check_term(data: bytes) -> bool:
    try:
        value = decode_term(data)
    except TermError:
        value = TermError
    assert repr(value) == repr(read_term(data))
    if value is TermError:
        return False
    # What is read can be written, and no part of it is a term.
    written = encode_term(value)
    assert repr(decode_term(written)) == repr(value)
    assert read_term(written[:-1]) is TermError
    return True


# Tokens


def judge(payload: bytes, max_age: float | None) -> Any:
    """What a payload is good for at :data:`NOW`: its data, or the class of the error."""
    term = read_term(payload)
    if isinstance(term, dict):
        found: dict[str, Any] = {key: value for key, value in term.items() if isinstance(key, Atom)}
        term = (found["data"], found["signed"]) if found.keys() >= {"data", "signed"} else None
    if not isinstance(term, tuple) or len(term) not in (2, 3):
        return TokenInvalid
    data, signed_at, age = (*term, DAY)[:3]
    if max_age is not None:
        age = max_age
    elif isinstance(age, Atom) and age == "infinity":
        age = math.inf
    if type(age) not in (int, float) or type(signed_at) is not int:
        return TokenInvalid
    if age <= 0:
        return TokenExpired
    if age == math.inf:
        return data
    if signed_at > NOW:
        return TokenInvalid
    milliseconds = age * 1000
    return TokenExpired if milliseconds != math.inf and signed_at + math.trunc(milliseconds) < NOW else data


def outcome(function: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return function(*arguments, **options)
    except TokenError as error:
        return type(error)


def check_verified(data: bytes) -> bool:
    """A token, or the payload of one that somebody with the secret has made."""
    token = data.decode(errors="surrogateescape")
    payload = payload_of(KEY, token)
    found = outcome(verify, SECRET, SALT, token, max_age=math.inf)
    assert repr(found) == repr(TokenInvalid if payload is None else judge(payload, math.inf))
    assert outcome(decrypt, SECRET, SALT, token) is TokenInvalid
    believed = judge(data, math.inf)
    assert repr(outcome(verify, SECRET, SALT, sign(KEY, data), max_age=math.inf)) == repr(believed)
    encrypted = encrypt(KEY, data, bytes(NONCE_BYTES))
    assert repr(outcome(decrypt, SECRET, SALT, encrypted, max_age=math.inf)) == repr(believed)
    for max_age in (None, 59, 60.0):
        assert repr(outcome(decode_payload, data, now=NOW, max_age=max_age)) == repr(judge(data, max_age))
    return payload is not None or believed not in (TokenInvalid, TokenExpired)
