"""May pages of this origin connect? (P-013, P-014, P-016, and the stricter default.)"""

from __future__ import annotations

import logging

import pytest

from phoenix_channels.transports.origin import host_of, origin_allowed


@pytest.mark.parametrize(
    ("origin", "request_host", "allowed"),
    [
        # Only browsers send the header, and only pages have an origin.
        (None, "example.com", True),
        (None, None, True),
        ("http://example.com", "example.com", True),
        # Scheme and port: development servers, proxies that end TLS.
        ("https://example.com", "example.com", True),
        ("ws://example.com", "example.com", True),
        ("http://example.com:5173", "example.com:4000", True),
        ("http://example.com", "example.com:4000", True),
        ("https://example.com:443", "example.com", True),
        ("http://localhost:5173", "localhost:4000", True),
        ("http://127.0.0.1:5173", "127.0.0.1:4000", True),
        ("http://localhost:4000", "127.0.0.1:4000", False),
        ("http://[::1]:5173", "[::1]:4000", True),
        ("http://[::1]", "[::1]", True),
        ("http://[::1]", "[::2]", False),
        ("http://EXAMPLE.com", "example.COM", True),
        ("HTTP://example.com", "example.com", True),
        # Other hosts, however similar.
        ("http://evil.example", "example.com", False),
        ("http://a.example.com", "example.com", False),
        ("http://example.com", "a.example.com", False),
        ("http://badexample.com", "example.com", False),
        ("http://example.com.evil.example", "example.com", False),
        ("http://example.com@evil.example", "example.com", False),
        # Path and user are ignored (P-016).
        ("http://user:word@example.com/path?query#fragment", "example.com", True),
        # No host at all.
        ("null", "example.com", False),
        ("null", "null", False),
        ("", "example.com", False),
        ("", "", False),
        ("file://", "example.com", False),
        ("file:///page.html", "example.com", False),
        ("example.com", "example.com", False),
        ("about:blank", "example.com", False),
        ("http://", "example.com", False),
        ("http://[::1", "[::1]", False),
        ("http://[example.com]", "example.com", False),
        # Nothing to compare with.
        ("http://example.com", None, False),
        ("http://example.com", "", False),
        ("http://example.com", "[::1", False),
        ("null", None, False),
    ],
)
def test_without_a_configured_host(origin: str | None, request_host: str | None, allowed: bool) -> None:
    assert origin_allowed(origin, host=None, request_host=request_host) is allowed


@pytest.mark.parametrize(
    ("origin", "request_host", "allowed"),
    [
        (None, "evil.example", True),
        ("https://example.com", "example.com", True),
        ("http://example.com:4000", "10.0.0.7:4000", True),
        ("https://EXAMPLE.com", None, True),
        # That the request came to this host says nothing any more: its name may lead here by somebody else's doing.
        ("http://evil.example", "evil.example", False),
        ("http://localhost", "localhost", False),
        ("http://a.example.com", "example.com", False),
        ("null", "example.com", False),
        ("", "example.com", False),
    ],
)
@pytest.mark.parametrize("host", ["example.com", "Example.COM"])
def test_with_a_configured_host(host: str, origin: str | None, request_host: str | None, allowed: bool) -> None:
    assert origin_allowed(origin, host=host, request_host=request_host) is allowed


def test_a_configured_ipv6_address() -> None:
    assert origin_allowed("http://[::1]:5173", host="::1", request_host="example.com")


@pytest.mark.parametrize(
    ("origin", "host", "request_host", "expected"),
    [
        ("http://evil.example:81", None, "example.com:4000", "example.com"),
        ("http://evil.example", "example.com", "evil.example", "example.com"),
        ("null", None, "example.com", "example.com"),
        ("http://example.com", None, None, "None"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(
    caplog: pytest.LogCaptureFixture, origin: str, host: str | None, request_host: str | None, expected: str
) -> None:
    assert not origin_allowed(origin, host=host, request_host=request_host)
    (record,) = caplog.records
    text = record.getMessage()
    assert record.levelno == logging.ERROR
    assert repr(origin) in text
    assert expected in text
    assert "check_origin=False" in text
    assert "Endpoint(host=" in text


def test_what_is_allowed_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert origin_allowed("http://example.com", host=None, request_host="example.com")
    assert origin_allowed(None, host="example.com", request_host=None)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://Example.com:80/a", "example.com"),
        ("//[::1]:4000", "::1"),
        ("//", None),
        ("", None),
        ("http://[", None),
        # Only the part in use is looked at.
        ("http://example.com:port", "example.com"),
    ],
)
def test_host_of(url: str, host: str | None) -> None:
    assert host_of(url) == host
