"""Which requests are valid upgrades, and what the others are told (P-009)."""

from __future__ import annotations

import pytest

from phoenix_channels import Request, Response
from phoenix_channels.transports.handshake import upgrade_error

GOOD = {
    "Host": "example.com",
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("name", "value", "body"),
    [
        ("Host", "", None),
        ("Connection", "UPGRADE", None),
        ("Connection", " upgrade ,close", None),
        ("Upgrade", "h2c, WebSocket", None),
        ("Host", None, b"'host' header is absent"),
        ("Connection", None, b"'connection' header must contain 'upgrade', got []"),
        ("Connection", "keep-alive", b"'connection' header must contain 'upgrade', got [\"keep-alive\"]"),
        ("Connection", "upgraded", b"'connection' header must contain 'upgrade', got [\"upgraded\"]"),
        ("Upgrade", None, b"'upgrade' header must contain 'websocket', got []"),
        ("Upgrade", "h2c", b"'upgrade' header must contain 'websocket', got [\"h2c\"]"),
        ("Sec-WebSocket-Version", None, b"'sec-websocket-version' header must equal '13', got []"),
        ("Sec-WebSocket-Version", "8", b"'sec-websocket-version' header must equal '13', got [\"8\"]"),
        ("Sec-WebSocket-Key", None, b"'sec-websocket-key' header is absent"),
    ],
)
def test_upgrades(name: str, value: str | None, body: bytes | None) -> None:
    headers = [(key, text) for key, text in (GOOD | {name: value}).items() if text is not None]
    asked = Request(method="GET", scheme="http", path="/", query=b"", headers=headers, peer=None)
    assert upgrade_error(asked) == (None if body is None else Response(400, body))


def test_a_version_of_http_that_cannot_be_upgraded() -> None:
    asked = Request(method="GET", scheme="http", path="/", query=b"", headers=[], peer=None)
    assert upgrade_error(asked, "1.0") == Response(400, b"HTTP version HTTP/1.0 unsupported")


def test_headers_in_several_lines() -> None:
    headers = [("connection", "keep-alive"), *GOOD.items(), ("sec-websocket-version", "8")]
    asked = Request(method="GET", scheme="http", path="/", query=b"", headers=headers, peer=None)
    body = b"'sec-websocket-version' header must equal '13', got [\"13\", \"8\"]"
    assert upgrade_error(asked) == Response(400, body)
