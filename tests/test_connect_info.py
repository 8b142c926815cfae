"""What an application reads from a ConnectInfo."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from phoenix_channels.connect_info import URI, ConnectInfo, PeerData

URI_1 = URI("https", "example.com", 443, "/socket/websocket", "vsn=2.0.0")


def full() -> ConnectInfo:
    return ConnectInfo(
        peer_data=PeerData("192.0.2.1", 5),
        uri=URI_1,
        user_agent="browser",
        x_headers=[("x-a", "1")],
        trace_context_headers=[("traceparent", "00")],
        sec_websocket_headers=[("sec-websocket-version", "13")],
        session={"user": 1},
        auth_token="token",
        extra={"region": "eu"},
    )


def test_what_is_listed_can_be_read() -> None:
    info = full()
    assert info.peer_data == PeerData("192.0.2.1", 5, None)
    assert info.uri == URI_1
    assert info.user_agent == "browser"
    assert info.x_headers == [("x-a", "1")]
    assert info.trace_context_headers == [("traceparent", "00")]
    assert info.sec_websocket_headers == [("sec-websocket-version", "13")]
    assert info.session == {"user": 1}
    assert info.auth_token == "token"
    assert info.extra == {"region": "eu"}
    assert ConnectInfo(user_agent=None, session=None, auth_token=None).session is None


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("peer_data", "connect_info=['peer_data']"),
        ("uri", "connect_info=['uri']"),
        ("user_agent", "connect_info=['user_agent']"),
        ("x_headers", "connect_info=['x_headers']"),
        ("trace_context_headers", "connect_info=['trace_context_headers']"),
        ("sec_websocket_headers", "connect_info=['sec_websocket_headers']"),
        ("session", "connect_info=['session'], session=SessionOptions(...)"),
        ("auth_token", "auth_token=True"),
    ],
)
def test_what_is_not_listed_says_how_to_list_it(name: str, option: str) -> None:
    with pytest.raises(AttributeError) as raised:
        getattr(ConnectInfo(), name)
    assert str(raised.value) == f"connect_info does not list {name!r}: add it, endpoint.socket(..., {option})"
    assert not hasattr(ConnectInfo(), name)
    assert hasattr(full(), name)


def test_extra_is_always_there() -> None:
    assert ConnectInfo().extra == {}


@pytest.mark.parametrize("name", ["uri", "auth_token", "extra", "unknown"])
def test_it_is_read_only(name: str) -> None:
    info = full()
    with pytest.raises(AttributeError):
        setattr(info, name, None)
    with pytest.raises(AttributeError):
        delattr(info, name)
    extra: Any = info.extra
    with pytest.raises(TypeError):
        extra["region"] = "us"
    assert info == full()


def test_extra_is_a_copy() -> None:
    extra = {"region": "eu"}
    info = ConnectInfo(extra=extra)
    extra["region"] = "us"
    assert info.extra == {"region": "eu"}


def test_two_are_equal_if_they_list_the_same() -> None:
    assert full() == copy.copy(full())
    assert ConnectInfo() == ConnectInfo(extra={})
    assert ConnectInfo(user_agent=None) != ConnectInfo()
    assert ConnectInfo(extra={"a": 1}) != ConnectInfo()
    assert ConnectInfo() != {}


def test_its_repr_shows_what_is_there_and_no_secrets() -> None:
    assert repr(ConnectInfo()) == "ConnectInfo(extra={})"
    info = ConnectInfo(user_agent="browser", session={"user": "ada"}, auth_token="token", extra={"region": "eu"})
    assert repr(info) == "ConnectInfo(user_agent='browser', session=..., auth_token=..., extra={'region': 'eu'})"
    assert repr(ConnectInfo(session=None, auth_token=None)) == "ConnectInfo(session=None, auth_token=None, extra={})"
    assert "uri=URI(scheme='https', host='example.com'" in repr(full())


def test_a_name_that_does_not_exist_is_an_error_that_lists_those_that_do() -> None:
    with pytest.raises(TypeError, match=r"no 'cookies'; it may have peer_data, uri, .*auth_token, extra"):
        ConnectInfo(cookies={})  # type: ignore[call-arg]
