"""What connect may know of the request (P-022, P-023)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping
from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.connect_info import URI, ConnectInfo, PeerData
from phoenix_channels.definitions import DefinitionError
from phoenix_channels.transports.connect_info import ConnectInfoBuilder, SessionOptions, parse_cookies
from phoenix_channels.transports.http import Request

WHERE = "endpoint.socket('/socket', ...)"
NAMES = [
    "peer_data", "uri", "user_agent", "x_headers", "trace_context_headers", "sec_websocket_headers", "session",
]  # fmt: skip
HEADERS = [
    ("Host", "Example.com:4000"),
    ("User-Agent", "browser"),
    ("X-One", "1"),
    ("TraceParent", "00-4bf9-00f0-01"),
    ("x-one", "2"),
    ("Cookie", "sid=secret"),
    ("Authorization", "secret"),
    ("Tracestate", "a=b"),
    ("Traceother", "secret"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Protocol", "phoenix, base64url.bearer.phx.dG9rZW4"),
    ("Sec-Fetch-Mode", "websocket"),
]


def request(*headers: tuple[str, str], **more: Any) -> Request:
    options: dict[str, Any] = {
        "method": "GET",
        "scheme": "http",
        "path": "/socket/websocket",
        "query": b"vsn=2.0.0&a=%C3%A4",
        "headers": headers,
        "peer": ("192.0.2.1", 50000),
    }
    return Request(**{**options, **more})


def builder(*names: str, **options: Any) -> ConnectInfoBuilder:
    return ConnectInfoBuilder.of(
        names,
        options.pop("session", None),
        options.pop("extra", {}),
        **{"check_csrf": True, "auth_token": False, "where": WHERE, **options},
    )


async def loaded(info: ConnectInfo | Awaitable[ConnectInfo]) -> ConnectInfo:
    assert not isinstance(info, ConnectInfo)
    return await info


def build(asked: Request, *names: str, **options: Any) -> ConnectInfo:
    info = builder(*names, **options).build(asked, {}, None)
    assert isinstance(info, ConnectInfo)
    return info


# Each key


async def test_the_peer() -> None:
    assert (build(request(), "peer_data")).peer_data == PeerData("192.0.2.1", 50000, None)
    certified = request(ssl_cert=b"certificate")
    assert (build(certified, "peer_data")).peer_data == PeerData("192.0.2.1", 50000, b"certificate")
    assert (build(request(peer=None), "peer_data")).peer_data == PeerData(None, None, None)


@pytest.mark.parametrize(
    ("scheme", "host", "expected"),
    [
        ("http", "Example.com:4000", ("http", "example.com", 4000)),
        ("http", "example.com", ("http", "example.com", 80)),
        ("https", "example.com", ("https", "example.com", 443)),
        ("https", "[::1]:4000", ("https", "::1", 4000)),
        ("http", "example.com:", ("http", "example.com", 80)),
        ("http", "example.com:port", ("http", "", 80)),
        ("http", "", ("http", "", 80)),
        ("https", None, ("https", "", 443)),
    ],
)
async def test_the_uri(scheme: str, host: str | None, expected: tuple[str, str, int]) -> None:
    headers = [] if host is None else [("Host", host)]
    info = build(request(*headers, scheme=scheme), "uri")
    assert info.uri == URI(*expected, "/socket/websocket", "vsn=2.0.0&a=%C3%A4")


async def test_a_uri_without_a_query_and_one_that_is_not_ascii() -> None:
    assert (build(request(query=b""), "uri")).uri.query == ""
    assert (build(request(query=b"a=\xe4", path="/a%20b"), "uri")).uri == URI("http", "", 80, "/a%20b", "a=ä")


async def test_the_headers() -> None:
    names = ("user_agent", "x_headers", "trace_context_headers", "sec_websocket_headers")
    info = build(request(*HEADERS), *names)
    assert info.user_agent == "browser"
    assert info.x_headers == [("x-one", "1"), ("x-one", "2")]
    assert info.trace_context_headers == [("traceparent", "00-4bf9-00f0-01"), ("tracestate", "a=b")]
    assert info.sec_websocket_headers == [
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "phoenix, base64url.bearer.phx.dG9rZW4"),
    ]
    assert build(request(), *names) == ConnectInfo(
        user_agent=None, x_headers=[], trace_context_headers=[], sec_websocket_headers=[]
    )


async def test_an_auth_token_is_given_apart_and_in_no_header() -> None:
    with_token = builder("sec_websocket_headers", auth_token=True)
    info = with_token.build(request(*HEADERS), {}, "token")
    assert isinstance(info, ConnectInfo)
    assert info.auth_token == "token"
    assert dict(info.sec_websocket_headers)["sec-websocket-protocol"] == "phoenix"
    info = with_token.build(
        request(
            ("Sec-WebSocket-Protocol", "base64url.bearer.phx.YQ,base64url.bearer.phx.Yg"),
            ("Sec-WebSocket-Protocol", "graphql, base64url.bearer.phx.Yw"),
            ("Sec-WebSocket-Version", "13"),
        ),
        {},
        None,
    )
    assert info == ConnectInfo(
        sec_websocket_headers=[("sec-websocket-protocol", "graphql"), ("sec-websocket-version", "13")], auth_token=None
    )


async def test_extra_is_handed_over_as_it_is() -> None:
    extra = {"region": "eu", "deep": {"a": [1]}}
    built = builder(extra=extra)
    extra["region"] = "us"
    info = built.build(request(), {}, None)
    assert isinstance(info, ConnectInfo)
    assert info.extra == {"region": "eu", "deep": {"a": [1]}}
    assert (build(request())).extra == {}


async def test_what_is_not_listed_is_not_there() -> None:
    info = build(request(*HEADERS))
    assert info == ConnectInfo()
    assert "secret" not in repr(build(request(*HEADERS), *NAMES[:-1]))


# The session


def load(cookies: Mapping[str, str]) -> Mapping[str, Any] | None:
    sessions = {"1": {"user": "ada", "_csrf_token": "state", "key": "other"}, "2": {"user": "eve"}}
    return sessions.get(cookies.get("sid", ""))


async def load_later(cookies: Mapping[str, str]) -> Mapping[str, Any] | None:
    return load(cookies)


@pytest.mark.feature("B093")
@pytest.mark.parametrize(
    ("cookie", "params", "user"),
    [
        ("sid=1", {"_csrf_token": "state"}, "ada"),
        ("a=b; sid=1", {"_csrf_token": "state", "vsn": "2.0.0"}, "ada"),
        # Another token, or none.
        ("sid=1", {"_csrf_token": "other"}, None),
        ("sid=1", {"_csrf_token": "states"}, None),
        ("sid=1", {"_csrf_token": ""}, None),
        ("sid=1", {"_csrf_token": "é"}, None),
        ("sid=1", {"_csrf_token": ["state"]}, None),
        ("sid=1", {"_csrf_token": {"state": "state"}}, None),
        ("sid=1", {"_CSRF_TOKEN": "state"}, None),
        ("sid=1", {}, None),
        # Another cookie, or none; a session without a state.
        ("sid=3", {"_csrf_token": "state"}, None),
        ("a=b", {"_csrf_token": "state"}, None),
        (None, {"_csrf_token": "state"}, None),
        ("sid=2", {"_csrf_token": ""}, None),
        ("sid=2", {"_csrf_token": "None"}, None),
    ],
)
@pytest.mark.parametrize("loader", [load, load_later])
async def test_a_session_needs_its_cookie_and_its_csrf_token(
    loader: Any, cookie: str | None, params: dict[str, Any], user: str | None
) -> None:
    asked = request() if cookie is None else request(("Cookie", cookie))
    info = await loaded(builder("session", session=SessionOptions(load=loader)).build(asked, params, None))
    assert (info.session and info.session["user"]) == user


@pytest.mark.feature("B093")
async def test_a_csrf_key_of_ones_own() -> None:
    built = builder("session", session=SessionOptions(load=load, csrf_token_key="key"))
    info = await loaded(built.build(request(("cookie", "sid=1")), {"_csrf_token": "other"}, None))
    assert info.session is not None
    info = await loaded(built.build(request(("cookie", "sid=1")), {"_csrf_token": "state"}, None))
    assert info.session is None


@pytest.mark.feature("B093")
@pytest.mark.parametrize(("cookie", "user"), [("sid=1", "ada"), ("sid=2", "eve"), ("sid=3", None)])
async def test_without_a_csrf_check_the_cookie_suffices(cookie: str, user: str | None) -> None:
    built = builder("session", session=SessionOptions(load=load), check_csrf=False)
    info = await loaded(built.build(request(("cookie", cookie)), {}, None))
    assert (info.session and info.session["user"]) == user


@pytest.mark.parametrize(("answer", "given"), [(True, True), (False, False), (None, False), (1, True)])
async def test_a_csrf_check_of_ones_own(answer: Any, given: bool) -> None:
    asked: list[tuple[Any, str]] = []

    def verify(state: Any, token: str) -> bool:
        asked.append((state, token))
        return answer  # type: ignore[no-any-return]

    built = builder("session", session=SessionOptions(load=load, verify_csrf=verify))
    info = await loaded(built.build(request(("cookie", "sid=1")), {"_csrf_token": "masked"}, None))
    assert (info.session is not None) is given
    assert asked == [("state", "masked")]
    # There is nothing to ask about: no state, or no token.
    await loaded(built.build(request(("cookie", "sid=2")), {"_csrf_token": "masked"}, None))
    await loaded(built.build(request(("cookie", "sid=1")), {"_csrf_token": ["masked"]}, None))
    assert len(asked) == 1


@pytest.mark.parametrize("state", ["", None, 1, True, b"1", ["1"]])
async def test_by_default_a_state_that_is_no_text_has_no_token(state: Any) -> None:
    options = SessionOptions(load=lambda _: {"_csrf_token": state})
    for token in ("", "1", str(state)):
        info = await loaded(builder("session", session=options).build(request(), {"_csrf_token": token}, None))
        assert info.session is None


async def test_the_loader_is_not_asked_without_a_csrf_token() -> None:
    def fail(cookies: Mapping[str, str]) -> None:
        raise AssertionError

    info = await loaded(
        builder("session", session=SessionOptions(load=fail)).build(request(("cookie", "sid=1")), {}, None)
    )
    assert info.session is None


async def test_what_a_loader_raises_is_raised() -> None:
    """It is not a visitor without a session: connect would decide on a falsehood."""

    async def broken(cookies: Mapping[str, str]) -> None:
        raise ConnectionError("no store")

    built = builder("session", session=SessionOptions(load=broken))
    with pytest.raises(ConnectionError, match="no store"):
        await loaded(built.build(request(), {"_csrf_token": "state"}, None))


async def test_a_loader_that_returns_something_else_is_an_error() -> None:
    built = builder("session", session=SessionOptions(load=lambda _: "sid"), check_csrf=False)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="legal are a mapping and None"):
        await loaded(built.build(request(), {}, None))


async def test_a_csrf_check_that_would_have_to_be_awaited_is_an_error() -> None:
    async def verify(state: Any, token: str) -> bool:
        return True

    options = SessionOptions(load=load, verify_csrf=lambda state, token: verify(state, token))  # type: ignore[arg-type, return-value]  # noqa: PLW0108
    with pytest.raises(TypeError, match="verify_csrf"):
        await loaded(
            builder("session", session=options).build(request(("cookie", "sid=1")), {"_csrf_token": "x"}, None)
        )


# Cookies


@pytest.mark.parametrize(
    ("headers", "cookies"),
    [
        ([], {}),
        ([""], {}),
        (["a=1"], {"a": "1"}),
        (["a=1; b=2;c=3 ; d = 4"], {"a": "1", "b": "2", "c": "3", "d": "4"}),
        (["a=1", "b=2"], {"a": "1", "b": "2"}),
        (["a=1; a=2"], {"a": "2"}),
        (["a=b=c=="], {"a": "b=c=="}),
        (["a="], {"a": ""}),
        # A malformed one spoils no other.
        (['junk; =x; {"a": 1}; a[b]=1; ;; sid=1'], {"a[b]": "1", "sid": "1"}),
        (['a="b; c=1'], {"a": '"b', "c": "1"}),
        # Quoted values.
        (['a="b c"'], {"a": "b c"}),
        ([r'a="b\"c\\d\073e\400"'], {"a": 'b"c\\d;e400'}),
        (['a="'], {"a": '"'}),
        (['a=""'], {"a": ""}),
        ([r'a="b\"'], {"a": "b\\"}),
    ],
)
def test_cookies(headers: list[str], cookies: dict[str, str]) -> None:
    assert parse_cookies(headers) == cookies


@given(st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])))
def test_a_value_that_python_has_quoted_arrives_unchanged(value: str) -> None:
    cookie: SimpleCookie = SimpleCookie()
    cookie["sid"] = value
    assert parse_cookies([f"a=1; {cookie['sid'].OutputString()}; b=2"])["sid"] == value


@given(st.lists(st.text()))
def test_no_text_breaks_the_cookies(headers: list[str]) -> None:
    assert "" not in parse_cookies(headers)


@pytest.mark.parametrize("value", ["\\a" * 200_000, "\\" * 400_000, "\\073" * 100_000])
def test_a_long_quoted_value_takes_no_time(value: str) -> None:
    started = time.process_time()
    parse_cookies([f'a="{value}"'])
    # In the square of the length it would be a minute.
    assert time.process_time() - started < 5


# Definition


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"names": "uri"}, "connect_info is a list"),
        ({"names": None}, "connect_info is a list"),
        ({"names": {"uri": True}}, "connect_info is a list"),
        ({"names": ["uri", "cookies"]}, "'cookies'"),
        ({"names": [1]}, "lists 1"),
        ({"names": [["uri"]]}, "lists ['uri']"),
        ({"names": ["auth_token"]}, "auth_token=True"),
        ({"names": ["session"]}, "go together"),
        ({"session": SessionOptions(load=load)}, "go together"),
        ({"names": ["session"], "session": load}, "SessionOptions(load=...)"),
        ({"names": ["session"], "session": True}, "SessionOptions(load=...)"),
        ({"extra": [("region", "eu")]}, "extra is a mapping"),
        ({"extra": None}, "extra is a mapping"),
        ({"check_csrf": None}, "check_csrf is True or False"),
        ({"auth_token": "token"}, "auth_token is True or False"),
    ],
)
def test_options_that_mean_nothing_are_an_error(options: dict[str, Any], text: str) -> None:
    given = {"names": [], "session": None, "extra": {}, "check_csrf": True, "auth_token": False, **options}
    with pytest.raises(DefinitionError) as raised:
        ConnectInfoBuilder.of(**given, where=WHERE)
    assert str(raised.value).startswith(f"{WHERE}: ")
    assert text in str(raised.value)


def test_an_unknown_name_is_answered_with_the_legal_ones() -> None:
    with pytest.raises(DefinitionError) as raised:
        builder("cookies")
    assert all(name in str(raised.value) for name in NAMES)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "load"),
        ({"load": None}, "SessionOptions(load=...)"),
        ({"load": lambda: None}, "SessionOptions(load=...)"),
        ({"load": load, "verify_csrf": load}, "SessionOptions(verify_csrf=...)"),
        ({"load": load, "verify_csrf": True}, "SessionOptions(verify_csrf=...)"),
        ({"load": load, "csrf_token_key": None}, "SessionOptions(csrf_token_key=...)"),
        ({"load": load, "key": "sid"}, "'key'"),
    ],
)
def test_session_options_that_mean_nothing_are_an_error(options: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError) as raised:
        SessionOptions(**options)
    assert text in str(raised.value)
