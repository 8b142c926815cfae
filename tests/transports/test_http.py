"""Requests and responses, whatever the server."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_channels import Request, Response
from phoenix_channels.transports.http import split_authority


def request(*headers: tuple[str, str], scheme: str = "http") -> Request:
    return Request(method="GET", scheme=scheme, path="/socket/websocket", query=b"", headers=headers, peer=None)


def test_the_headers_of_a_request() -> None:
    asked = request(("Host", "example.com"), ("X-One", "1"), ("x-one", "2"), ("Empty", ""))
    assert asked.header("x-one") == "1"
    assert asked.headers("x-one") == ["1", "2"]
    assert asked.header("empty") == ""
    assert asked.header("absent") is None
    assert asked.headers("absent") == []
    assert (asked.header("X-One"), asked.header("HOST")) == ("1", "example.com")
    assert asked.headers("X-ONE") == ["1", "2"]
    assert asked.all_headers == [("host", "example.com"), ("x-one", "1"), ("x-one", "2"), ("empty", "")]


@pytest.mark.parametrize(
    ("host", "scheme", "authority"),
    [
        ("Example.com:4000", "http", ("example.com", 4000)),
        ("example.com", "http", ("example.com", 80)),
        ("example.com:", "http", ("example.com", 80)),
        ("example.com", "https", ("example.com", 443)),
        ("[2001:DB8::1]:81", "http", ("2001:db8::1", 81)),
        ("[::1]", "https", ("::1", 443)),
        ("", "https", ("", 443)),
        (None, "http", ("", 80)),
        ("example.com:65536", "http", ("", 80)),
        ("example.com:port", "http", ("", 80)),
        ("user@example.com", "http", ("", 80)),
        ("example.com/path", "http", ("", 80)),
        ("a b", "http", ("", 80)),
        ("::1", "http", ("", 80)),
    ],
)
def test_the_authority_of_a_request(host: str | None, scheme: str, authority: tuple[str, int]) -> None:
    asked = request(*([] if host is None else [("Host", host)]), scheme=scheme)
    assert asked.authority == authority


def test_an_authority_without_a_scheme_has_no_default_port() -> None:
    assert split_authority("example.com", None) == ("example.com", None)
    assert split_authority("example.com", "gopher") == ("example.com", None)
    assert split_authority("example.com:0", None) == ("example.com", 0)


def test_a_response_is_empty_unless_it_says_otherwise() -> None:
    response = Response(429)
    assert (response.status, response.body, response.headers) == (429, b"", ())


@pytest.mark.parametrize("status", [199, 600, 101, 0, -1, "403", None, 403.0, True], ids=repr)
def test_a_status_that_no_final_response_has(status: Any) -> None:
    with pytest.raises(ValueError, match=r"a number from 200 to 599, not ") as raised:
        Response(status)
    assert repr(status) in str(raised.value)


@pytest.mark.parametrize("body", ["text", None, bytearray(b"text"), {"a": 1}], ids=repr)
def test_a_body_is_bytes(body: Any) -> None:
    with pytest.raises(TypeError, match="the body of a Response is bytes, not " + type(body).__name__):
        Response(403, body)


@pytest.mark.parametrize(
    "headers",
    [
        (("retry-after", 5),),
        (("retry-after", b"5"),),
        ((b"retry-after", "5"),),
        ("retry-after", "5"),
        (("retry-after",),),
        (("retry-after", "5\r\nset-cookie: a=b"),),
        (("re try", "5"),),
        (("", "5"),),
        (("x-name", "漢"),),
        5,
    ],
    ids=repr,
)
def test_headers_are_pairs_of_what_a_header_can_hold(headers: Any) -> None:
    # Otherwise the server finds out, half way through the answer to a client.
    with pytest.raises((TypeError, ValueError), match="header"):
        Response(403, b"", headers)


@pytest.mark.parametrize("name", ["content-length", "Content-Length"])
def test_the_length_of_a_body_is_said_by_the_server(name: str) -> None:
    with pytest.raises(ValueError, match="the content-length of a Response is added by the server"):
        Response(429, b"x", (("retry-after", "5"), (name, "7")))


def test_a_response_with_one_header_more_is_another() -> None:
    response = Response(403, b"no", (("a", "1"),))
    assert response.with_header("b", "2") == Response(403, b"no", (("a", "1"), ("b", "2")))
    assert response.headers == (("a", "1"),)


def test_an_error_page_is_that_of_a_phoenix_application() -> None:
    assert Response.error(414, "Request-URI Too Long") == Response(
        414, b'{"errors":{"detail":"Request-URI Too Long"}}', (("content-type", "application/json; charset=utf-8"),)
    )
