"""What is fuzzed: whatever takes bytes from strangers, and what must hold whatever they are.

Every check compares with a second, naive way to the same result, takes no exception but the documented one, and says
whether the input was valid.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote

from phoenix_channels.protocol.connection import Connection
from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.events import JoinRequested
from phoenix_channels.protocol.longpoll import MAX_ENTRIES, NDJSON, BadBody, decode_body, encode_answer
from phoenix_channels.protocol.messages import EMPTY, Message, Opcode
from phoenix_channels.protocol.params import decode_params
from phoenix_channels.protocol.payloads import decode_payload
from phoenix_channels.protocol.serializers import Serializer, V1JSONSerializer, V2JSONSerializer
from phoenix_channels.protocol.topics import Routes
from phoenix_channels.token.signing import sign, verify
from tests.fuzz import client, corpus
from tests.fuzz.client import check_client_binary, check_client_text
from tests.fuzz.mutate import Check
from tests.fuzz.naive import DEEP, depth, parse, same, utf8
from tests.fuzz.terms import check_term, check_verified
from tests.fuzz.websocket import check_extensions, check_frames
from tests.protocol.wire import client_binary, read
from tests.token.vectors import KEY

V1: Serializer = V1JSONSerializer()
V2: Serializer = V2JSONSerializer()
ROUTES = Routes([("room:*", "room")])


def malformed(error: RemoteProtocolError) -> None:
    assert (error.close_code, type(error.reason)) == (1011, str)


def decode(serializer: Serializer, data: str | bytes, opcode: Opcode) -> Message | None:
    """None for what is malformed: always the same documented error (P-046)."""
    try:
        return serializer.decode(data, opcode)
    except RemoteProtocolError as error:
        malformed(error)
        return None


def fields(message: Message) -> tuple[Any, ...]:
    return (message.join_ref, message.ref, message.topic, message.event, decode_payload(message.payload))


def converse(serializer: Serializer, data: bytes, opcode: Opcode) -> None:
    """A whole connection takes the message, and all that it answers can be read."""
    connection = Connection(serializer, ROUTES)
    try:
        events = connection.receive(data, opcode)
    except RemoteProtocolError as error:
        # Also for what can be decoded: an object as topic of a join.
        malformed(error)
        return
    for event in events:
        if isinstance(event, JoinRequested):
            connection.accept_join(event.entry, EMPTY)
            connection.close_channel(event.entry)
    for frame in connection.frames_to_send():
        read(frame)


# Binary messages


def read_client_binary(data: bytes) -> tuple[Any, ...] | None:
    if len(data) < 5 or data[0] != 0 or len(data) < 5 + sum(data[1:5]):
        return None
    *cuts, end = accumulate(data[1:5], initial=5)
    join_ref, ref, topic, event = (data[start:stop] for start, stop in pairwise([*cuts, end]))
    if utf8(join_ref) is None or utf8(ref) is None or utf8(topic) is None:
        return None
    return (join_ref.decode() or None, ref.decode(), topic.decode(), event.decode(errors="replace"), data[end:])


def check_v2_binary(data: bytes) -> bool:
    message = decode(V2, data, Opcode.BINARY)
    expected = read_client_binary(data)
    if message is None:
        assert expected is None
        return False
    assert fields(message) == expected
    join_ref, ref, topic, event, payload = expected
    if "\ufffd" not in event:
        assert client_binary(join_ref or "", ref, topic, event, payload) == data
    echoed = read(V2.encode_reply(join_ref, ref, topic, "ok", payload))
    assert echoed[:3] == (join_ref or "", ref, topic)
    assert echoed.payload == {"status": "ok", "response": payload}
    converse(V2, data, Opcode.BINARY)
    return True


# Text messages

_MAX_REF_DEPTH = 32


def v2_envelope(term: Any) -> tuple[Any, ...] | None:
    return tuple(term[:5]) if isinstance(term, list) and len(term) >= 5 else None


def v1_envelope(term: Any) -> tuple[Any, ...] | None:
    if not isinstance(term, dict) or not {"topic", "event", "payload", "ref"} <= term.keys():
        return None
    return (term.get("join_ref"), term["ref"], term["topic"], term["event"], term["payload"])


def read_text(text: str, envelope: Callable[[Any], tuple[Any, ...] | None]) -> tuple[Any, ...] | None:
    try:
        expected = envelope(parse(text))
    except ValueError:
        return None
    return None if expected is None or max(map(depth, expected[:3])) > _MAX_REF_DEPTH else expected


def check_text(
    serializer: Serializer, data: bytes, envelope: Callable[[Any], tuple[Any, ...] | None]
) -> Message | None:
    message = decode(serializer, data, Opcode.TEXT)
    converse(serializer, data, Opcode.TEXT)
    text = utf8(data)
    if text is None:
        assert message is None
        return None
    if text.count("[") + text.count("{") > DEEP:
        return None
    # Some transports hand over text, others bytes.
    as_text = decode(serializer, text, Opcode.TEXT)
    expected = read_text(text, envelope)
    if message is None or as_text is None:
        assert (message, as_text, expected) == (None, None, None)
        return None
    assert same(fields(message), expected)
    assert same(fields(as_text), expected)
    echoed = read(serializer.encode_reply(message.join_ref, message.ref, message.topic, "ok", message.payload))
    assert same([echoed.ref, echoed.topic], [message.ref, message.topic])
    assert same(echoed.payload, {"status": "ok", "response": fields(message)[4]})
    return message


def check_v2_text(data: bytes) -> bool:
    message = check_text(V2, data, v2_envelope)
    if message is None:
        return False
    again = decode(V2, json.dumps(fields(message)), Opcode.TEXT)
    assert again is not None
    assert same(fields(again), fields(message))
    if isinstance(message.event, str) and isinstance(message.topic, str):
        # What the server pushes, a client could have sent.
        frame = V2.encode_push(message.join_ref, message.topic, message.event, message.payload)
        pushed = decode(V2, frame.data, Opcode.TEXT)
        assert pushed is not None
        assert same(fields(pushed), (message.join_ref, None, message.topic, message.event, fields(message)[4]))
    return True


def check_v1_text(data: bytes) -> bool:
    message = check_text(V1, data, v1_envelope)
    if message is None:
        return False
    # P-045: JSON whatever the opcode.
    binary = decode(V1, data, Opcode.BINARY)
    assert binary is not None
    assert same(fields(binary), fields(message))
    return True


# Bodies of long polls

CONTENT_TYPES = [NDJSON, f"{NDJSON}; charset=utf-8", "Application/X-NDJSON ;a=b", "application/json", "", None]
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

Entries = list[tuple[bytes, Opcode]]


def read_batch(body: bytes) -> Entries | None:
    lines = [line.strip(b" \t\r") for line in body.split(b"\n")]
    entries: Entries = []
    for line in [line for line in lines if line][:MAX_ENTRIES]:
        if line[:1] in (b"[", b"{"):
            entries.append((line, Opcode.TEXT))
        elif _BASE64.fullmatch(line):
            entries.append((base64.b64decode(line), Opcode.BINARY))
        else:
            return None
    return entries


def post(content_type: str | None, body: bytes) -> Entries | None:
    try:
        entries = decode_body(content_type, body)
    except BadBody:
        return None
    return [(entry.encode() if isinstance(entry, str) else entry, opcode) for entry, opcode in entries]


def check_body(data: bytes) -> bool:
    content_type, body = CONTENT_TYPES[data[0] % len(CONTENT_TYPES) if data else -1], data[1:]
    entries = post(content_type, body)
    if content_type is None or NDJSON not in content_type.lower():
        assert entries == [(body, Opcode.TEXT)]
        return False
    assert entries == read_batch(body)
    # A batch may be cut at any end of a line.
    cut = body.rfind(b"\n", 0, len(body) // 2 + 1) + 1
    first, second = post(NDJSON, body[:cut]), post(NDJSON, body[cut:])
    if entries is None:
        assert first is None or second is None
        return False
    if first is not None and second is not None:
        assert [*first, *second][:MAX_ENTRIES] == entries
    lines = [entry if opcode is Opcode.TEXT else base64.b64encode(entry) for entry, opcode in entries]
    assert post(NDJSON, b"\r\n\r\n".join(lines)) == entries
    texts = [text for text in map(utf8, lines) if text is not None]
    answer = encode_answer(200, "T", [text.encode() for text in texts])
    assert json.loads(answer) == {"status": 200, "token": "T", "messages": texts}
    for entry, opcode in entries:
        decode(V2, entry, opcode)
    return bool(entries)


# Query strings

_NESTED = re.compile(r"(?P<head>[^\[]+)\[(?P<rest>.*)\]", re.DOTALL)
_MAX_DEPTH = 32

Pairs = list[tuple[list[str], str]]
"""The keys that lead to a value, outermost first."""


def read_query(data: bytes) -> Any:
    # The standard library wants ASCII, and knows no nesting.
    pairs: Pairs = []
    for key, value in parse_qsl(quote(data, safe=bytes(range(128))), keep_blank_values=True, errors="strict"):
        found = _NESTED.fullmatch(key)
        path = [found["head"], *found["rest"].split("][")] if found else [key]
        pairs.append((path if len(path) <= _MAX_DEPTH else [key], value))
    return as_map(pairs)


def as_map(pairs: Pairs) -> dict[str, Any]:
    """Key by key: the plain value, if there is one behind the first pair that nests; or else what nests."""
    params: dict[str, Any] = {}
    for key in {path[0] for path, _ in pairs}:
        mine = [(path[1:], value) for path, value in pairs if path[0] == key]
        first = next((index for index, (path, _) in enumerate(mine) if path), 0)
        plain = [value for path, value in mine[first:] if not path]
        params[key] = plain[-1] if plain else as_list_or_map([(path, value) for path, value in mine if path])
    return params


def as_list_or_map(pairs: Pairs) -> Any:
    """The last pair says which; pairs of the other kind are left out.  All that nests in a list is its last item."""
    if pairs[-1][0][0]:
        return as_map([(path, value) for path, value in pairs if path[0]])
    mine = [(path[1:], value) for path, value in pairs if not path[0]]
    below = [(path, value) for path, value in mine if path]
    return [value for path, value in mine if not path] + ([as_list_or_map(below)] if below else [])


def write_query(value: Any, name: str) -> Iterator[str]:
    """The pairs of a query string that say what the params say."""
    if isinstance(value, str):
        yield f"{name}={quote(value, safe='')}"
        return
    assert value, "no list and no map is empty"
    for key, below in value.items() if isinstance(value, dict) else [("", item) for item in value]:
        yield from write_query(below, f"{name}[{bare(key)}]")


def bare(key: str) -> str:
    # The brackets of a key stay: they mean what they meant.
    return quote(key, safe="[]")


def check_params(data: bytes) -> bool:
    try:
        expected = read_query(data)
    except UnicodeDecodeError:
        expected = None
    try:
        params = decode_params(data)
    except UnicodeDecodeError:
        assert expected is None
        return False
    assert params == expected
    written = [pair for key, value in params.items() for pair in write_query(value, bare(key))]
    assert decode_params("&".join(written).encode()) == params
    return True


# Tokens

_DIGESTS = {"SFMyNTY": "sha256", "SFMzODQ": "sha384", "SFM1MTI": "sha512"}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def mac(signed: str, digest: str) -> str:
    return base64url(hmac.new(KEY, signed.encode(), getattr(hashlib, digest)).digest())


def read_token(token: str) -> bytes | None:
    parts = token.split(".")
    if not re.fullmatch("[A-Za-z0-9_.-]*", token) or len(parts) != 3 or len(parts[1]) % 4 == 1:
        return None
    algorithm, payload, signature = parts
    if algorithm not in _DIGESTS or mac(f"{algorithm}.{payload}", _DIGESTS[algorithm]) != signature:
        return None
    data = base64.urlsafe_b64decode(payload + "==")
    # Bits that are not used are zero.
    return data if base64url(data) == payload else None


def check_token(data: bytes) -> bool:
    token = data.decode(errors="surrogateescape")
    payload = verify(KEY, token)
    assert payload == read_token(token)
    # Whoever has the key can sign anything: also what is no payload.
    if (text := utf8(data)) is not None:
        for algorithm, digest in _DIGESTS.items():
            signed = f"{algorithm}.{text}"
            made = f"{signed}.{mac(signed, digest)}"
            assert verify(KEY, made) == read_token(made)
    # Any bytes can be signed; with a bit changed the token is nobody's.
    own = sign(KEY, data)
    assert verify(KEY, own) == read_token(own) == data
    at = len(data) * 7 % len(own)
    assert verify(KEY, own[:at] + chr(ord(own[at]) ^ 1) + own[at + 1 :]) is None
    return payload is not None


class Target(NamedTuple):
    check: Check
    seeds: Sequence[bytes]
    words: Sequence[bytes]


TARGETS = {
    "v2_binary": Target(check_v2_binary, corpus.BINARIES, corpus.BINARY_WORDS),
    "v2_text": Target(check_v2_text, corpus.V2_TEXTS, corpus.JSON_WORDS),
    "v1_text": Target(check_v1_text, corpus.V1_TEXTS, corpus.JSON_WORDS),
    "client_text": Target(check_client_text, client.TEXTS, [*corpus.JSON_WORDS, *client.WORDS]),
    "client_binary": Target(check_client_binary, client.BINARIES, [*corpus.BINARY_WORDS, *client.BINARY_WORDS]),
    "body": Target(check_body, corpus.BODIES, corpus.BODY_WORDS),
    "params": Target(check_params, corpus.QUERIES, corpus.QUERY_WORDS),
    "token": Target(check_token, corpus.TOKENS_AND_PAYLOADS, corpus.TOKEN_WORDS),
    "terms": Target(check_term, corpus.TERMS, corpus.TERM_WORDS),
    "verified": Target(check_verified, corpus.TOKENS_AND_TERMS, corpus.TERM_WORDS),
    "frames": Target(check_frames, corpus.FRAMES, corpus.FRAME_WORDS),
    "extensions": Target(check_extensions, corpus.EXTENSIONS, corpus.EXTENSION_WORDS),
}
