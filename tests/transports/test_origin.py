"""May pages of this origin connect? (P-013 to P-016, and the stricter default.)"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.transports.http import Request
from phoenix_channels.transports.origin import CheckOrigin, Origin, OriginPolicy

WHERE = "endpoint.socket('/socket', ...): check_origin"

NO_HOST = [
    "null",
    "",
    "file://",
    "file:///page.html",
    "garbage",
    "about:blank",
    "http://",
    "http://[",
    "//",
    "/",
    "\x00",
]


def request(origin: str | None, host: str | None = "example.com", scheme: str = "http") -> Request:
    headers = [(name, value) for name, value in (("Origin", origin), ("Host", host)) if value is not None]
    return Request(method="GET", scheme=scheme, path="/socket/websocket", query=b"", headers=headers, peer=None)


def allows(
    check: CheckOrigin,
    origin: str | None,
    *,
    host: str | None = None,
    request_host: str | None = "example.com",
    scheme: str = "http",
) -> bool:
    return OriginPolicy.of(check, WHERE).allows(request(origin, request_host, scheme), host=host)


HOSTS = st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,3}", fullmatch=True)
PORTS = st.integers(0, 65535)
# Without an origin, and without a check


@pytest.mark.parametrize("check", [True, False, "conn", ["//example.com"], [], lambda _: False])
@pytest.mark.parametrize("request_host", ["example.com", None])
def test_a_request_without_an_origin_comes_from_no_page_and_passes(
    check: CheckOrigin, request_host: str | None
) -> None:
    assert allows(check, None, request_host=request_host)
    assert allows(check, None, host="www.example.com", request_host=request_host)


@pytest.mark.feature("B085", "B087")
@pytest.mark.parametrize("origin", ["http://evil.example", *NO_HOST])
def test_without_a_check_every_page_passes(origin: str) -> None:
    assert allows(False, origin)
    assert allows(False, origin, host="example.com")


@pytest.mark.parametrize(
    ("check", "disabled"), [(False, True), (True, False), ("conn", False), ([], False), (lambda _: True, False)]
)
def test_only_false_disables_the_check(check: CheckOrigin, disabled: bool) -> None:
    assert OriginPolicy.of(check, WHERE).disabled is disabled


@pytest.mark.feature("B087")
@pytest.mark.parametrize("origin", NO_HOST)
@pytest.mark.parametrize("check", [True, "conn", ["//example.com"], ["//*.example.com"], []])
def test_an_origin_without_a_host_fails_and_is_logged(
    caplog: pytest.LogCaptureFixture, check: CheckOrigin, origin: str
) -> None:
    assert not allows(check, origin)
    assert not allows(check, origin, request_host=None)
    assert not allows(check, origin, host="example.com")
    assert not allows(check, origin, request_host=origin)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 4
    assert all(repr(origin) in record.getMessage() for record in caplog.records)


# True


@pytest.mark.parametrize(
    ("origin", "request_host", "allowed"),
    [
        # Scheme and port do not matter: development servers, proxies that end TLS.
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
        # Other hosts, however similar.
        ("http://evil.example", "example.com", False),
        ("http://a.example.com", "example.com", False),
        ("http://example.com", "a.example.com", False),
        ("http://badexample.com", "example.com", False),
        ("http://example.com.evil.example", "example.com", False),
        ("http://example.com@evil.example", "example.com", False),
        # Nothing to compare with.
        ("http://example.com", None, False),
        ("http://example.com", "", False),
        ("http://example.com", "[::1", False),
        ("http://example.com", "user@example.com", False),
        ("http://example.com", "example.com/path", False),
        ("http://example.com", "example.com, example.com", False),
    ],
)
def test_true_compares_with_the_host_of_the_request(origin: str, request_host: str | None, allowed: bool) -> None:
    assert allows(True, origin, request_host=request_host) is allowed


@pytest.mark.feature("B085")
@pytest.mark.parametrize(
    ("origin", "request_host", "allowed"),
    [
        ("https://example.com", "example.com", True),
        ("http://example.com:4000", "10.0.0.7:4000", True),
        ("https://EXAMPLE.com", None, True),
        # That the request came to this host says nothing any more: its name may lead here by somebody else's doing.
        ("http://evil.example", "evil.example", False),
        ("http://localhost", "localhost", False),
        ("http://a.example.com", "example.com", False),
    ],
)
@pytest.mark.parametrize("host", ["example.com", "Example.COM"])
def test_true_compares_with_the_configured_host(
    host: str, origin: str, request_host: str | None, allowed: bool
) -> None:
    assert allows(True, origin, host=host, request_host=request_host) is allowed


def test_a_configured_ipv6_address() -> None:
    assert allows(True, "http://[::1]:5173", host="::1")


# "conn"


@pytest.mark.feature("B088")
@pytest.mark.parametrize(
    ("origin", "scheme", "request_host", "allowed"),
    [
        ("http://example.com", "http", "example.com", True),
        ("http://example.com:80", "http", "example.com", True),
        ("http://example.com", "http", "example.com:80", True),
        ("https://example.com", "https", "example.com", True),
        ("https://example.com:443", "https", "example.com", True),
        ("https://Example.com:8443", "https", "example.COM:8443", True),
        ("http://[::1]:4000", "http", "[::1]:4000", True),
        ("https://example.com", "http", "example.com", False),
        ("http://example.com", "https", "example.com", False),
        ("https://example.com:80", "http", "example.com", False),
        ("http://example.com:81", "http", "example.com", False),
        ("http://example.com", "http", "example.com:81", False),
        ("http://evil.example", "http", "example.com", False),
        ("http://a.example.com", "http", "example.com", False),
        ("ws://example.com", "http", "example.com", False),
        ("wss://example.com", "https", "example.com", False),
        ("//example.com", "http", "example.com", False),
        ("http://example.com", "http", None, False),
    ],
)
def test_conn_compares_scheme_host_and_port_with_the_request(
    origin: str, scheme: str, request_host: str | None, allowed: bool
) -> None:
    assert allows("conn", origin, scheme=scheme, request_host=request_host) is allowed
    # Which host is configured does not matter.
    assert allows("conn", origin, scheme=scheme, request_host=request_host, host="evil.example") is allowed


# Lists


@pytest.mark.feature("B086", "B089")
@pytest.mark.parametrize(
    ("entry", "origin", "allowed"),
    [
        # The examples of P-015.
        ("//*.ex.com", "http://ex.com", True),
        ("//*.ex.com", "https://a.ex.com:4444", True),
        ("//*.ex.com", "http://a.b.ex.com", True),
        ("//*.ex.com", "http://badex.com", False),
        ("//*.ex.com", "http://a.prefix-ex.com", False),
        ("http://foo.com", "http://foo.com:80", True),
        ("http://foo.com", "https://foo.com", False),
        ("http://foo.com", "http://foo.com:81", False),
        ("//port.com:81", "http://port.com:81", True),
        ("//port.com:81", "https://port.com:81", True),
        ("//port.com:81", "http://port.com", False),
        ("//port.com:81", "http://port.com:82", False),
        ("//ex.com", "http://ex.com", True),
        ("//ex.com", "https://ex.com:4000", True),
        ("//ex.com", "http://a.ex.com", False),
        # Scheme and wildcard.
        ("https://*.ex.com", "https://a.ex.com", True),
        ("https://*.ex.com", "https://ex.com", True),
        ("https://*.ex.com", "http://a.ex.com", False),
        ("https://*.ex.com", "https://a.ex.com:444", False),
        ("//*.ex.com:81", "http://a.ex.com:81", True),
        ("//*.ex.com:81", "http://a.ex.com", False),
        ("//*.a.ex.com", "http://b.a.ex.com", True),
        ("//*.a.ex.com", "http://a.ex.com", True),
        ("//*.a.ex.com", "http://ex.com", False),
        ("//*.a.ex.com", "http://b.ex.com", False),
        ("//*.ex.com", "http://ex.com.evil.example", False),
        # Scheme, host and port.
        ("https://ex.com:8443", "https://ex.com:8443", True),
        ("https://ex.com:8443", "https://ex.com", False),
        ("https://ex.com", "https://ex.com:443", True),
        ("ws://ex.com", "ws://ex.com", True),
        ("ws://ex.com", "http://ex.com", False),
        ("capacitor://localhost", "capacitor://localhost", True),
        ("capacitor://localhost", "http://localhost", False),
        # Case, path and user.
        ("HTTP://Ex.com", "http://eX.com", True),
        ("https://user@ex.com/app?query", "https://ex.com", True),
        ("//[::1]", "http://[::1]:4000", True),
        ("//[::1]", "http://[::2]:4000", False),
    ],
)
def test_an_entry_of_a_list(entry: str, origin: str, allowed: bool) -> None:
    assert allows([entry], origin) is allowed
    assert allows((entry,), origin, host="evil.example") is allowed
    # Any entry will do.
    assert allows(["https://other.example", entry], origin) is allowed


def test_an_empty_list_refuses_every_page() -> None:
    assert not allows([], "http://example.com")


@pytest.mark.feature("B086")
@given(HOSTS, HOSTS, PORTS)
def test_a_wildcard_matches_a_host_exactly_if_its_labels_end_in_the_entrys(host: str, rest: str, port: int) -> None:
    ends_in = host.split(".")[-len(rest.split(".")) :] == rest.split(".")
    assert allows([f"//*.{rest}"], f"https://{host}:{port}") is ends_in
    assert allows([f"//*.{rest}"], f"https://{host}.{rest}:{port}")
    assert allows([f"//{rest}"], f"https://{host}:{port}") is (host == rest)


# Callables


@pytest.mark.feature("B087", "B090")
@pytest.mark.parametrize("origin", ["http://evil.example", *NO_HOST])
def test_a_callable_judges_every_origin_also_one_without_a_host(origin: str) -> None:
    seen: list[Origin] = []
    assert allows(lambda found: not seen.append(found), origin)  # type: ignore[func-returns-value]
    assert not allows(lambda found: bool(seen.append(found)), origin)  # type: ignore[func-returns-value]
    assert seen == [Origin.parse(origin)] * 2


@pytest.mark.feature("B090")
def test_a_callable_gets_more_arguments_by_partial() -> None:
    def among(hosts: list[str], origin: Origin, *, port: int) -> bool:
        return origin.host in hosts and origin.port == port

    check = partial(among, ["a.example", "b.example"], port=443)
    assert allows(check, "https://b.example")
    assert not allows(check, "http://b.example")
    assert not allows(check, "https://c.example")


@pytest.mark.parametrize(("answer", "allowed"), [(1, True), ("yes", True), (0, False), (None, False), ([], False)])
def test_the_answer_of_a_callable_is_judged_by_its_truth(answer: Any, allowed: bool) -> None:
    assert allows(lambda _: answer, "http://example.com") is allowed


class Panic(BaseException):
    """As extensions in other languages raise it."""


@pytest.mark.parametrize("error", [LookupError, Panic, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_a_callable_that_raises_refuses_and_is_logged_with_its_traceback(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(origin: Origin) -> bool:
        raise error("no such tenant")

    assert not allows(broken, "http://example.com")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "broken" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], error)


def test_an_answer_that_would_have_to_be_awaited_refuses(caplog: pytest.LogCaptureFixture) -> None:
    async def check(origin: Origin) -> bool:
        return True

    # Behind a plain function nobody sees what it is before it is called.
    assert not allows(lambda origin: check(origin), "http://example.com")  # type: ignore[arg-type, return-value]  # noqa: PLW0108
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "awaitable" in str(record.exc_info[1])


def test_two_policies_have_nothing_to_do_with_each_other() -> None:
    one, other = OriginPolicy.of(["//a.example"], WHERE), OriginPolicy.of(["//b.example"], WHERE)
    assert [policy.allows(request("http://a.example"), host=None) for policy in (one, other)] == [True, False]
    assert [policy.allows(request("http://b.example"), host=None) for policy in (one, other)] == [False, True]


# Logs


def refuse(origin: Origin) -> bool:
    return False


@pytest.mark.parametrize(
    ("check", "host", "request_host", "expected"),
    [
        (True, None, "www.example.com:4000", ["'www.example.com'", "Endpoint(host="]),
        (True, "www.example.com", "evil.example", ["'www.example.com'", "Endpoint(host="]),
        (True, None, None, ["None", "Endpoint(host="]),
        ("conn", None, "www.example.com:4000", ["('http', 'www.example.com', 4000)"]),
        (["//www.example.com"], None, "evil.example", ["['//www.example.com']"]),
        ([], None, "evil.example", ["[]"]),
        (refuse, None, "evil.example", ["refuse"]),
    ],
)
def test_a_refusal_says_why_and_what_to_do(
    caplog: pytest.LogCaptureFixture,
    check: CheckOrigin,
    host: str | None,
    request_host: str | None,
    expected: list[str],
) -> None:
    assert not allows(check, "http://evil.example:81", host=host, request_host=request_host)
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.ERROR, None)
    for text in ("'http://evil.example:81'", WHERE, "check_origin=False", *expected):
        assert text in record.getMessage()


@pytest.mark.parametrize("check", [True, "conn", ["//example.com"], refuse])
def test_a_long_origin_is_cut_in_the_log(caplog: pytest.LogCaptureFixture, check: CheckOrigin) -> None:
    assert not allows(check, "http://" + "x" * 10_000)
    assert 150 < caplog.text.count("x") < 300


@pytest.mark.parametrize("check", [True, False, "conn", ["//example.com"], lambda _: True])
def test_what_is_allowed_is_not_logged(caplog: pytest.LogCaptureFixture, check: CheckOrigin) -> None:
    assert allows(check, "http://example.com")
    assert allows(check, None)
    assert caplog.records == []
