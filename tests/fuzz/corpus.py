"""What the mutations begin with: messages of the recording of Phoenix, and valid input of the other kinds."""

import base64
import json
import re
from pathlib import Path

from tests.protocol.websocket import BINARY, CLOSE, FIN, PING, PONG, RSV1, TAIL, TEXT, client_frame, deflate
from tests.token.terms import compressed
from tests.token.vectors import DERIVED, ENCRYPTED_PAYLOAD, TOKENS

MAX_LENGTH = 4096
"""Of every input: length alone is the matter of other tests."""

_SENT = re.compile(r"\w+>(?P<binary>bin)? ?(?P<data>.*)", re.DOTALL)
_QUERY = re.compile(r"\w+ (?:GET|POST) [^ ?]*\?(?P<query>[^ ]*)")


def _recorded() -> tuple[list[bytes], list[bytes], list[bytes]]:
    """The text messages, binary messages and queries that clients sent in the recording, each once."""
    texts, binaries, queries = dict[bytes, None](), dict[bytes, None](), dict[bytes, None]()
    recording = Path(__file__).parents[1] / "conformance" / "phoenix-1.8.12.jsonl"
    for line in recording.read_text().splitlines():
        for entry in json.loads(line)["log"]:
            if sent := _SENT.fullmatch(entry):
                if not sent["binary"]:
                    texts[sent["data"].encode()] = None
                elif re.fullmatch("(?:[0-9a-f]{2})+", sent["data"]):
                    binaries[bytes.fromhex(sent["data"])] = None
            elif asked := _QUERY.match(entry):
                queries[asked["query"].encode()] = None
    return list(texts), list(binaries), list(queries)


TEXTS, BINARIES, QUERIES = _recorded()
V1_TEXTS = [text for text in TEXTS if text.startswith(b"{")]
V2_TEXTS = [text for text in TEXTS if not text.startswith(b"{")]
V1_TEXTS += [
    b'{"ref":null,"payload":[],"topic":"room:1","join_ref":"1","event":"phx_join","more":{"a":[1,"x",true]}} ',
    b'{"topic":"room:1","topic":"room:2","event":"e","payload":{},"payload":1,"ref":' + b"[" * 32 + b"]" * 32 + b"}",
]
V2_TEXTS += [
    b'[1.5,-0.0,"room:1","phx_join",{"a":[true,false,null,1e-7,-12345678901234567890]}]',
    b'[{"a":[1]},["x"],"room:\\u00e9\\ud83e\\udd84","phx_leave",[]] ',
    # As deep as a ref may be, and deeper.
    b"[" + b"[" * 32 + b"]" * 32 + b',"2","room:1","phx_join",{}]',
    b"[" + b"[" * 33 + b"]" * 33 + b',"2","room:1","phx_join",{}]',
    b'["1",' + b'{"a":' * 31 + b"{}" + b"}" * 31 + b',"phoenix","heartbeat",{}]',
]

_LINES = [*V2_TEXTS[:8], *V1_TEXTS[:4], *(base64.b64encode(frame) for frame in BINARIES[:8])]
# The first byte chooses the content type.
BODIES = [
    *(b"\x00" + ending.join(_LINES[at : at + 4]) for ending in (b"\n", b"\r\n", b"\n\n") for at in range(0, 20, 4)),
    b"\x01" + b"[]\n" * 105,
    b"\x02" + b"AAAA\n" * 105,
    *(b"\x05" + text for text in V2_TEXTS[:4]),
]

QUERIES += [
    b"a=1&b[c]=2&d[]=3&d[]=4&d[][e]=5&d[][f][]=6",
    b"a+b=c%20d&%61=%C3%A9&x[%5D]=%5B&=1&y&z=&&a[=1&a]=2&a[b]c=3&[a]=4",
    b"a[b]=1&a=2&a[c]=3&d[]=1&d[e]=2&d[]=3&" + b"f" + b"[g]" * 34 + b"=1",
]

# The first byte chooses the chunks, the limits and the extension.  A mask of zeros lets mutations reach what it masks.
_MASKS = [b"\x00" * 4, b"\x37\xfa\x21\x3d"]
_HELLO = deflate(b"hello, hello")
FRAMES = [
    bytes([how]) + b"".join(client_frame(first, payload, mask=mask, size=size) for first, payload in frames)
    for mask in _MASKS
    for how, size, frames in [
        *((number % 4, 0, [(FIN | TEXT, text)] * 2) for number, text in enumerate(V2_TEXTS[:8])),
        (0, 0, [(FIN | BINARY, BINARIES[0]), (FIN | PING, b"ping"), (FIN | CLOSE, b"\x03\xe8bye")]),
        (1, 2, [(TEXT, b"\xf0\x9f"), (FIN | PONG, b""), (0, b"\xa6"), (FIN, b"\x84"), (FIN | TEXT, b"")]),
        (16, 8, [(BINARY, b"x" * 126), (0, b""), (FIN, b"x"), (FIN | TEXT, "é€🦄".encode()), (FIN | CLOSE, b"")]),
        (4, 0, [(TEXT, b"x" * 150), (FIN | PING, b"x" * 125), (FIN, b"x" * 150)]),
        (8, 0, [(FIN | RSV1 | TEXT, _HELLO), (FIN | TEXT, b"hello"), (FIN | RSV1 | TEXT, b"\x00")]),
        (9, 0, [(RSV1 | TEXT, _HELLO[:3]), (FIN | PING, b""), (FIN, _HELLO[3:])]),
        (12, 0, [(RSV1 | BINARY, deflate(b"x" * 200) + TAIL), (FIN, deflate(b"x" * 100))]),
        (8, 0, [(FIN | RSV1 | TEXT, bytes.fromhex("f348cdc9c9070000")), (FIN | RSV1 | TEXT, b"\x03\x00")]),
    ]
]
EXTENSIONS = [
    b"permessage-deflate",
    b"permessage-deflate; client_max_window_bits",
    b'permessage-deflate; server_no_context_takeover; server_max_window_bits="1\\2"',
    b"x-webkit-deflate-frame; no_context_takeover, permessage-deflate; client_max_window_bits=10",
    b"permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9",
    b"permessage-deflate; unknown=1,\n, permessage-deflate ;client_no_context_takeover",
]

_SIGNED = [token.encode() for token in [*TOKENS.values(), *DERIVED.values()]]
# A token, or what shall be signed; derived with other options some are not valid.
TOKENS_AND_PAYLOADS = [*_SIGNED, *(token.split(b".")[1] for token in _SIGNED[:12])]

_PAYLOADS = [base64.urlsafe_b64decode(token.split(b".")[1] + b"==") for token in _SIGNED]
_ATOMS = b"\x83h\x05d\x00\x01\xe9s\x02okv\x00\x02\xc3\xa9w\x05falsew\x00"
_NUMBERS = b"\x83h\x04o\x00\x00\x00\x02\x01\x00\x01n\x01\x00\x07F\xbf\xf0" + b"\x00" * 6 + b"b" + b"\xff" * 4
_NESTED = b"\x83" + b"l\x00\x00\x00\x01h\x01t\x00\x00\x00\x01a\x01" * 10 + b"k\x00\x02\x01\x02" + b"j" * 10
TERMS = [*_PAYLOADS, _ATOMS, _NUMBERS, _NESTED, compressed(_NESTED[1:]), compressed(b"m\x00\x00\x03\xe8" + b"x" * 1000)]
TOKENS_AND_TERMS = [*_SIGNED[: len(TOKENS)], *_PAYLOADS, ENCRYPTED_PAYLOAD]

JSON_WORDS = [b'"', b"[", b"]", b"{", b"}", b",", b":", b"null", b"true", b"false", b"0", b"-1", b"1e308", b"1e-400"]
JSON_WORDS += [b"1E400", b"\\u0000", b"\\ud800", b"\\udc00", b"\\", b"\\n", b"\xc3\xa9", b"\xed\xa0\x80", b"\xff", b" "]
JSON_WORDS += [b"18446744073709551616", b"-9223372036854775809", b"0.1", b"-0", b"NaN", b"\xef\xbb\xbf", b"[[[[[[[["]
JSON_WORDS += [b'"room:1"', b'"phx_join"', b'"phx_leave"', b'"phoenix"', b'"heartbeat"', b'"topic"', b'"event"']
JSON_WORDS += [b'"payload"', b'"ref"', b'"join_ref"']
BINARY_WORDS = [b"\x00", b"\x01", b"\x06", b"\xff", b"room:1", b"phx_join", b"heartbeat", b"phoenix", b"\xc3\xa9", b"1"]
BODY_WORDS = [*JSON_WORDS, b"\n", b"\r\n", b"\r", b"\t", b"=", b"==", b"AAAA", b"AA==", b"AAA=", b"+/", b"-_", b"[]\n"]
QUERY_WORDS = [
    b"&",
    b"=",
    b"[",
    b"]",
    b"[]",
    b"[a]",
    b"][",
    b"%5B",
    b"%5d",
    b"%",
    b"%C3%A9",
    b"%FF",
    b"+",
    b"a=1",
    b"#",
]
TOKEN_WORDS = [
    b".",
    b"=",
    b"-",
    b"_",
    b"+",
    b"/",
    b"SFMyNTY",
    b"SFMzODQ",
    b"SFM1MTI",
    b"\n",
    b"\xc3\xa9",
    b"\xff",
    b"AAAA",
]
TERM_WORDS = [bytes([tag]) + b"\x00" * zeros for tag in (70, 98, 104, 107, 110, 115, 119) for zeros in (0, 1, 8)]
TERM_WORDS += [bytes([tag]) + b"\x00\x00\x00\x01" for tag in (105, 108, 109, 111, 116)]
TERM_WORDS += [b"\x83", b"\x83P", b"d\x00\x01a", b"w\x04true", b"w\x03nil", b"w\x08infinity", b"a\x01", b"j"]
TERM_WORDS += [b"\xff\xff", b"\x7f\xf0", b"\xc3\xa9"]
TERM_WORDS += [b"b\x00\x01Q\x80", b"n\x06\x00\x00h\xe5\xcf\x8b\x01", b"w\x04data", b"w\x06signed"]
FRAME_WORDS = [client_frame(first, mask=_MASKS[0]) for first in (0, FIN, TEXT, FIN | TEXT, FIN | PING, FIN | CLOSE)]
FRAME_WORDS += [b"\x81\xfe\x00\x05", b"\x82\xff" + b"\x00" * 7, b"\x88\x82\x00\x00\x00\x00\x03\xe8", b"\x01\x80"]
FRAME_WORDS += [b"\xc1", b"\xc2", b"\x41", b"\x00\x7e", b"\xc3\xa9", b"\xf0\x9f\xa6\x84", b"\x03\x00", _HELLO, TAIL]
EXTENSION_WORDS = [b"permessage-deflate", b"client_max_window_bits", b"server_max_window_bits", b"=8", b'="15"']
EXTENSION_WORDS += [b"server_no_context_takeover", b"client_no_context_takeover", b";", b",", b"=", b'"', b"\\", b" "]
EXTENSION_WORDS += [b"=9", b"\t", b"\n"]
