"""Where sockets answer, and what is no mount (P-001, P-002)."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_channels import Channel, Endpoint, Socket
from phoenix_channels.handlers import DefinitionError
from phoenix_channels.transports.mounts import Mount, MountOptions, Mounts, segments


class RoomChannel(Channel):
    pass


class RoomSocket(Socket):
    channels = {"room:*": RoomChannel}


class OtherSocket(Socket):
    pass


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("", ()),
        ("/", ()),
        ("///", ()),
        ("/a", ("a",)),
        ("/a/", ("a",)),
        ("a/b", ("a", "b")),
        ("//a//b//", ("a", "b")),
        ("/a b/%20", ("a b", "%20")),
    ],
)
def test_segments(path: str, parts: tuple[str, ...]) -> None:
    assert segments(path) == parts


def test_the_defaults() -> None:
    mount = Mount("/socket", RoomSocket, {})
    assert (mount.path, mount.socket_class) == ("/socket", RoomSocket)
    assert mount.websocket_segments == ("socket", "websocket")
    assert mount.check_origin is True
    assert mount.timeout == 60.0
    assert mount.routes.match("room:1") is not None
    assert mount.routes.match("other:1") is None


@pytest.mark.parametrize(
    "options",
    [{"check_origin": False, "timeout": 5}, {"check_origin": True, "timeout": 0.5}, {"timeout": None}],
)
def test_options(options: MountOptions) -> None:
    mount = Mount("/socket", RoomSocket, options)
    assert mount.check_origin is options.get("check_origin", True)
    assert mount.timeout == options["timeout"]


@pytest.mark.parametrize("path", ["socket", "", "ws://example.com/socket", None, 7, b"/socket"])
def test_no_path(path: Any) -> None:
    with pytest.raises(DefinitionError, match="begins with '/'") as raised:
        Endpoint().socket(path, RoomSocket)
    assert repr(path) in str(raised.value)


@pytest.mark.parametrize("path", ["/söcket", "/a%20b", "/a b", "/:user", "/*rest", "/a?b=c", "/a#b"])
def test_a_path_that_would_never_match(path: str) -> None:
    with pytest.raises(DefinitionError, match="plain ASCII segments, not") as raised:
        Endpoint().socket(path, RoomSocket)
    assert repr(path) in str(raised.value)


@pytest.mark.parametrize("path", ["/socket/websocket", "/socket/websocket/"])
def test_a_path_with_what_clients_add(path: str) -> None:
    with pytest.raises(DefinitionError, match="without the /websocket that clients add: '/socket"):
        Endpoint().socket(path, RoomSocket)


def test_a_socket_class_that_cannot_be_made() -> None:
    class NeedySocket(Socket):
        def __init__(self, database: object) -> None:
            self.database = database

    with pytest.raises(DefinitionError, match=r"NeedySocket is made without arguments: .*'database'"):
        Endpoint().socket("/socket", NeedySocket)


@pytest.mark.parametrize("socket_class", [RoomSocket(), RoomChannel, object, "RoomSocket", None])
def test_no_socket_class(socket_class: Any) -> None:
    with pytest.raises(DefinitionError, match="'/socket' is a subclass of Socket, not") as raised:
        Endpoint().socket("/socket", socket_class)
    assert repr(socket_class) in str(raised.value)


def test_an_unknown_option_is_named_with_the_legal_ones() -> None:
    options: dict[str, Any] = {"check_orign": False}
    with pytest.raises(DefinitionError) as raised:
        Endpoint().socket("/socket", RoomSocket, **options)
    for word in ("'/socket'", "'check_orign'", *MountOptions.__annotations__):
        assert word in str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"check_origin": None},
        {"check_origin": 1},
        {"check_origin": "false"},
        {"check_origin": ["//example.com"]},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": True},
        {"timeout": "60"},
        {"timeout": float("nan")},
    ],
    ids=repr,
)
def test_a_wrong_value_is_named_with_its_option(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(DefinitionError, match=f"'/socket', {name}="):
        Endpoint().socket("/socket", RoomSocket, **options)


def test_matching() -> None:
    mounts = Mounts()
    paths = {"/socket": RoomSocket, "/": OtherSocket, "/deep/down": RoomSocket, "/trailing/": OtherSocket}
    for path, socket_class in paths.items():
        mounts.add(Mount(path, socket_class, {}))
    for path, socket_class in paths.items():
        found = mounts.match(segments(f"{path}/websocket"))
        assert found is not None
        assert (found.path, found.socket_class) == (path, socket_class)
    for path in ("/socket", "/", "/socket/websocket/x", "/Socket/websocket", "/socket/longpoll", "/down/websocket"):
        assert mounts.match(segments(path)) is None


@pytest.mark.parametrize("again", ["/socket", "/socket/", "//socket"])
@pytest.mark.parametrize("other", [OtherSocket, RoomSocket])
def test_two_at_one_path(again: str, other: type[Socket]) -> None:
    endpoint = Endpoint()
    endpoint.socket("/socket", RoomSocket)
    with pytest.raises(DefinitionError) as raised:
        endpoint.socket(again, other)
    for word in ("RoomSocket", other.__name__, again):
        assert word in str(raised.value)


def test_one_class_at_two_paths() -> None:
    endpoint = Endpoint()
    endpoint.socket("/one", RoomSocket, check_origin=False)
    endpoint.socket("/two", RoomSocket, timeout=None)
    one, two = (endpoint.mounts.match((name, "websocket")) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    assert (one.check_origin, one.timeout, two.check_origin, two.timeout) == (False, 60.0, True, None)
