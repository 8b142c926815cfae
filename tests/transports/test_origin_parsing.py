"""What an Origin header says (P-016)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.transports.origin import Origin


@pytest.mark.parametrize(
    ("raw", "scheme", "host", "port"),
    [
        ("http://example.com", "http", "example.com", 80),
        ("https://example.com", "https", "example.com", 443),
        ("ws://example.com", "ws", "example.com", 80),
        ("wss://example.com", "wss", "example.com", 443),
        ("http://example.com:4000", "http", "example.com", 4000),
        ("http://example.com:", "http", "example.com", 80),
        ("HTTP://Example.COM", "http", "example.com", 80),
        ("capacitor://localhost", "capacitor", "localhost", None),
        ("chrome-extension://abcdef", "chrome-extension", "abcdef", None),
        ("//example.com", None, "example.com", None),
        ("http://[::1]:5173", "http", "::1", 5173),
        ("http://[2001:DB8::1]", "http", "2001:db8::1", 80),
        # Path and user are ignored (P-016).
        ("http://user:word@example.com/path?query#fragment", "http", "example.com", 80),
        ("http://example.com@evil.example", "http", "evil.example", 80),
        ("http://example.com?@evil.example", "http", "example.com", 80),
        ("http://example.com#@evil.example", "http", "example.com", 80),
        # Not urls.
        ("http://[::1", None, None, None),
        ("http://[example.com]", None, None, None),
        ("http://example.com:port", None, None, None),
        ("http://example.com:65536", None, None, None),
        ("http://example.com:-1", None, None, None),
        ("http://example.com:٣", None, None, None),
        ("http://a@b@example.com", None, None, None),
        ("http://exam\tple.com", None, None, None),
        ("http://example.com\n", None, None, None),
        (" http://example.com", None, None, None),
        ("http://example.com\\.evil.example", None, None, None),
        ("example.com", None, None, None),
        *((raw, None, None, None) for raw in ("null", "", "file://", "file:///page.html", "garbage", "about:blank")),
        *((raw, None, None, None) for raw in ("http://", "http://[", "//", "/", "\x00")),
    ],
)
def test_an_origin_is_taken_apart(raw: str, scheme: str | None, host: str | None, port: int | None) -> None:
    assert Origin.parse(raw) == Origin(raw, scheme, host, port)


@given(st.text() | st.from_regex(r"[a-z]{0,5}:?//[\[\]0-9a-z.:@/?#*-]*", fullmatch=True))
def test_no_text_breaks_the_parser(raw: str) -> None:
    origin = Origin.parse(raw)
    assert origin.raw == raw
    assert origin.host != ""
    if origin.host is None:
        assert (origin.scheme, origin.port) == (None, None)


HOSTS = st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,3}", fullmatch=True)
PORTS = st.integers(0, 65535)


@given(st.sampled_from(["http", "https", "ws", "app"]), HOSTS, PORTS)
def test_what_is_put_together_is_taken_apart_again(scheme: str, host: str, port: int) -> None:
    assert Origin.parse(f"{scheme}://{host}:{port}") == Origin(f"{scheme}://{host}:{port}", scheme, host, port)
