"""Mounts: which paths and options are legal, and what the others are told (P-001 to P-005)."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw, Struct

from phoenix_channels.channel import Channel, channel
from phoenix_channels.endpoint import Endpoint
from phoenix_channels.handlers import DefinitionError, incoming
from phoenix_channels.results import Reply
from phoenix_channels.socket import Socket
from phoenix_channels.transports.mounts import Mount, Mounts, segments


class RoomChannel(Channel):
    pass


class StatsChannel(Channel):
    def __init__(self, *, period: float) -> None:
        self.period = period


class UserSocket(Socket):
    channels = {"room:lobby": RoomChannel, "room:*": RoomChannel, "stats:*": channel(StatsChannel, period=7)}


class RoomSocket(Socket):
    channels = {"room:*": RoomChannel}


def definition_error(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        define()
    return str(caught.value)


def make_socket(**namespace: Any) -> type[Socket]:
    return type("BadSocket", (Socket,), namespace)


def make_mount(path: Any = "/socket", socket_class: Any = UserSocket, **options: Any) -> Mount:
    return Mount(path, socket_class, options)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/socket", ("socket",)),
        ("/socket/", ("socket",)),
        ("/api//v1/socket", ("api", "v1", "socket")),
        ("/", ()),
        ("", ()),
        ("//", ()),
    ],
)
def test_p002_paths_are_compared_by_segments(path: str, expected: tuple[str, ...]) -> None:
    assert segments(path) == expected


def test_p001_a_mount_and_its_defaults() -> None:
    mount = make_mount("/api/socket")
    assert (mount.path, mount.socket_class) == ("/api/socket", UserSocket)
    assert mount.websocket_segments == ("api", "socket", "websocket")
    assert (mount.check_origin, mount.timeout) == (True, 60.0)
    assert make_mount("/").websocket_segments == ("websocket",)


def test_p050_a_mount_knows_its_routes() -> None:
    routes = make_mount().routes
    for topic, target, subtopic in (
        ("room:lobby", RoomChannel, ""),
        ("room:a", RoomChannel, "a"),
        ("stats:1", StatsChannel, "1"),
    ):
        route = routes.match(topic)
        assert route is not None
        assert (route.target.route.channel_class, route.subtopic) == (target, subtopic)
    assert routes.match("elsewhere") is None


@pytest.mark.parametrize("timeout", [1, 0.5, None, float("inf")], ids=repr)
def test_options_of_a_mount(timeout: float | None) -> None:
    mount = make_mount(check_origin=False, timeout=timeout)
    assert (mount.check_origin, mount.timeout) == (False, timeout)


@pytest.mark.parametrize("name", ["check_orgin", "longpol", "Timeout", "origin"])
def test_p005_an_unknown_option_lists_the_legal_ones(name: str) -> None:
    text = definition_error(lambda: make_mount(**{name: True}))
    assert text == (
        f"endpoint.socket('/socket', ...): unknown option {name!r}; legal are check_origin (bool), "
        "timeout (seconds or None)"
    )


@pytest.mark.parametrize("value", [None, 1, "yes", []], ids=repr)
def test_check_origin_is_true_or_false(value: object) -> None:
    text = definition_error(lambda: make_mount(check_origin=value))
    assert text == "endpoint.socket('/socket', check_origin=...) is True or False"


@pytest.mark.parametrize("value", [0, -1, True, "60", float("nan")], ids=repr)
def test_p081_timeout_is_a_positive_number_of_seconds(value: object) -> None:
    text = definition_error(lambda: make_mount(timeout=value))
    assert text == f"endpoint.socket('/socket', timeout=...) is a positive number of seconds, not {value!r}"


@pytest.mark.parametrize("path", ["", "socket", "socket/", None, 5, b"/socket"], ids=repr)
def test_a_mount_path_begins_with_a_slash(path: object) -> None:
    text = definition_error(lambda: make_mount(path))
    assert text == f"a socket is mounted at a path that begins with '/', not at {path!r}"


@pytest.mark.parametrize("path", ["/söcket", "/a%20b", "/ws/:user_id", "/a*", "/a?b", "/a#b", "/a b"])
def test_a_mount_path_is_plain_ascii(path: str) -> None:
    text = definition_error(lambda: make_mount(path))
    assert text == f"a mount path is plain ASCII segments, not {path!r}; it is compared as it is sent"


@pytest.mark.parametrize("socket_class", [None, UserSocket(), Channel, "UserSocket", dict], ids=repr)
def test_only_sockets_are_mounted(socket_class: object) -> None:
    text = definition_error(lambda: make_mount("/socket", socket_class))
    assert text == f"what is mounted at '/socket' is a subclass of Socket, not {socket_class!r}"


def test_a_socket_is_made_without_arguments() -> None:
    class Needy(Socket):
        def __init__(self, database: object) -> None: ...

    text = definition_error(lambda: make_mount("/socket", Needy))
    assert text.endswith("Needy is made without arguments: missing a required argument: 'database'")


def test_a_mount_resolves_the_channels_behind_it() -> None:
    class Unresolvable(Channel):
        @incoming
        def shout(self, payload: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    text = definition_error(lambda: make_mount("/socket", make_socket(channels={"room:*": Unresolvable})))
    assert "Unresolvable.shout: the annotation of 'payload', 'Missing', cannot be resolved" in text
    text = definition_error(lambda: make_mount("/socket", make_socket(channels={"room:*": object})))
    assert text == "a route leads to a subclass of Channel, not to <class 'object'>"


def test_names_below_the_channel_exist_when_it_is_mounted() -> None:
    route = make_mount("/socket", make_socket(channels={"room": EarlyBird})).routes.match("room")
    assert route is not None
    assert route.target.table.incoming["sing"](EarlyBird(), Raw(b'{"notes":3}')) == Reply.ok(3)


class EarlyBird(Channel):
    @incoming
    def sing(self, payload: "Song") -> Reply:
        return Reply.ok(payload.notes)


class Song(Struct):
    notes: int


def test_mounts_are_found_by_their_segments() -> None:
    mounts, one, two = Mounts(), make_mount("/one"), make_mount("/api/two/")
    mounts.add(one)
    mounts.add(two)
    assert mounts.match(segments("/one/websocket")) is one
    assert mounts.match(segments("/api/two/websocket/")) is two
    for path in ("/one", "/one/websocket/more", "/two/websocket", "/", "/ONE/websocket"):
        assert mounts.match(segments(path)) is None


@pytest.mark.parametrize("path", ["/socket", "/socket/", "//socket"])
def test_a_path_has_one_mount(path: str) -> None:
    mounts = Mounts()
    mounts.add(make_mount("/socket"))
    text = definition_error(lambda: mounts.add(make_mount(path, RoomSocket)))
    assert text == f"both {UserSocket!r} and {RoomSocket!r} are mounted at {path!r}"


def test_p004_a_socket_may_be_mounted_at_many_paths_with_options_of_their_own() -> None:
    endpoint = Endpoint()
    endpoint.socket("/one", UserSocket, timeout=None)
    endpoint.socket("/two", UserSocket, check_origin=False)
    one, two = (endpoint.mounts.match((path, "websocket")) for path in ("one", "two"))
    assert one is not None
    assert two is not None
    assert (one.check_origin, one.timeout, two.check_origin, two.timeout) == (True, None, False, 60.0)
