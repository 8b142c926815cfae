"""Where sockets answer, and what is no mount (P-001 to P-005)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw, Struct

from phoenix_channels import Channel, Endpoint, LongPollOptions, RawSocket, Reply, Socket, WebSocketOptions, channel
from phoenix_channels.definitions import DefinitionError
from phoenix_channels.handlers import incoming
from phoenix_channels.transports.mounts import Match, Mount, Mounts, segments

SECRET = "k" * 64


class RoomChannel(Channel):
    pass


class StatsChannel(Channel):
    def __init__(self, *, period: float) -> None:
        self.period = period


class RoomSocket(Socket):
    channels = {"room:lobby": RoomChannel, "room:*": RoomChannel, "stats:*": channel(StatsChannel, period=7)}


class OtherSocket(Socket):
    pass


class EchoSocket(RawSocket):
    pass


def make_mount(path: Any = "/socket", socket_class: Any = RoomSocket, **options: Any) -> Mount:
    return Mount(path, socket_class, options, check_origin=None)


def mounted(*mounts: Mount) -> Mounts:
    together = Mounts()
    for mount in mounts:
        together.add(mount)
    return together


def definition_error(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        define()
    return str(caught.value)


def found(mounts: Mounts, path: str) -> tuple[Mount, str, dict[str, str]] | None:
    match = mounts.match(segments(path))
    return None if match is None else (match.mount, match.transport, match.params)


# Paths


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
def test_p002_paths_are_compared_by_segments(path: str, parts: tuple[str, ...]) -> None:
    assert segments(path) == parts


@pytest.mark.parametrize("path", ["socket", "", "ws://example.com/socket", None, 7, b"/socket"], ids=repr)
def test_a_path_begins_with_a_slash(path: Any) -> None:
    text = definition_error(lambda: make_mount(path))
    assert text == f"the path of a mount is a path that begins with '/', not {path!r}"


@pytest.mark.parametrize(
    "segment",
    ["söcket", "a%20b", "a b", ":", ":1", ":user-id", "a:b", ":ä", "*rest", "*", "a?b=c", "a#b", "{id}", "\t"],
)
def test_a_path_has_plain_segments_and_variables(segment: str) -> None:
    for define in (
        lambda: make_mount(f"/one/{segment}/two"),
        lambda: make_mount(websocket=WebSocketOptions(path=f"/{segment}")),
        lambda: make_mount(longpoll=LongPollOptions(path=f"/{segment}")),
    ):
        text = definition_error(define)
        assert "has plain ASCII segments, compared as they are sent, and variables such as ':user_id', not " in text
        assert text.endswith(f", not {segment!r}")


@pytest.mark.parametrize("path", ["websocket", "", None, 7], ids=repr)
def test_the_path_of_a_transport_begins_with_a_slash(path: Any) -> None:
    text = definition_error(lambda: make_mount(websocket=WebSocketOptions(path=path)))
    assert text == f"WebSocketOptions(path=...) is a path that begins with '/', not {path!r}"
    text = definition_error(lambda: make_mount(longpoll=LongPollOptions(path=path)))
    assert text == f"LongPollOptions(path=...) is a path that begins with '/', not {path!r}"


@pytest.mark.parametrize("path", ["/socket/websocket", "/socket/websocket/"])
def test_a_path_with_what_clients_add_is_a_mistake(path: str) -> None:
    text = definition_error(lambda: make_mount(path))
    assert text == f"a socket is mounted without the /websocket that clients add: '/socket', not {path!r}"
    # Without WebSockets it is a path like any other.
    make_mount(path, websocket=False, longpoll=True)


# Matching


def test_p001_a_socket_answers_below_its_path() -> None:
    paths = {"/socket": RoomSocket, "/": OtherSocket, "/deep/down": RoomSocket, "/trailing/": OtherSocket}
    mounts = {path: make_mount(path, socket_class) for path, socket_class in paths.items()}
    together = mounted(*mounts.values())
    for path, mount in mounts.items():
        for spelling in (f"{path}/websocket", f"{path}/websocket/", f"/{path}//websocket"):
            assert together.match(segments(spelling)) == Match(mount, "websocket", {})
    for path in ("/socket", "/", "/socket/websocket/x", "/Socket/websocket", "/socket/longpoll", "/down/websocket"):
        assert found(together, path) is None


def test_p001_each_transport_may_be_on_or_off() -> None:
    both = make_mount("/both", longpoll=True)
    polled = make_mount("/polled", websocket=False, longpoll=True)
    plain = make_mount("/plain", websocket=True, longpoll=False)
    together = mounted(both, polled, plain)
    assert found(together, "/both/websocket") == (both, "websocket", {})
    assert found(together, "/both/longpoll") == (both, "longpoll", {})
    assert found(together, "/polled/longpoll") == (polled, "longpoll", {})
    assert found(together, "/polled/websocket") is None
    assert found(together, "/plain/websocket") == (plain, "websocket", {})
    assert found(together, "/plain/longpoll") is None


def test_a_mount_without_any_transport_is_a_mistake() -> None:
    text = definition_error(lambda: make_mount(websocket=False))
    assert text == "endpoint.socket('/socket', ...): websocket=False and longpoll=False leave nothing to connect to"


def test_p001_a_transport_may_have_a_path_of_several_segments() -> None:
    mount = make_mount(
        "/api/v1/", websocket=WebSocketOptions(path="/live/ws/"), longpoll=LongPollOptions(path="//live//poll")
    )
    together = mounted(mount)
    assert found(together, "/api/v1/live/ws") == (mount, "websocket", {})
    assert found(together, "/api/v1/live/poll") == (mount, "longpoll", {})
    for path in ("/api/v1/websocket", "/api/v1/longpoll", "/api/v1/ws", "/api/v1/live", "/live/ws", "/api/v1"):
        assert found(together, path) is None


def test_p001_a_transport_may_answer_at_the_path_of_the_mount() -> None:
    mount = make_mount("/socket", websocket=WebSocketOptions(path="/"))
    assert found(mounted(mount), "/socket") == (mount, "websocket", {})


def test_p003_a_path_may_have_variables() -> None:
    mount = make_mount(
        "/ws/:user_id", websocket=WebSocketOptions(path="/project/:project_id/ws"), longpoll=LongPollOptions()
    )
    together = mounted(mount)
    both = {"user_id": "21", "project_id": "b.c"}
    assert found(together, "/ws/21/project/b.c/ws/") == (mount, "websocket", both)
    assert found(together, "/ws/21/longpoll") == (mount, "longpoll", {"user_id": "21"})
    for path in ("/ws/project/1/ws", "/ws//project/1/ws", "/ws/21/project/ws", "/ws/1/2/project/3/ws"):
        assert found(together, path) is None


@pytest.mark.parametrize(
    ("path", "options", "where"),
    [
        ("/:id/x/:id", {}, "the path of a mount"),
        ("/ws/:id", {"websocket": WebSocketOptions(path="/live/:id")}, "the path of a mount"),
        ("/ws", {"websocket": WebSocketOptions(path="/:id/:id")}, "WebSocketOptions(path=...)"),
        ("/ws/:id", {"longpoll": LongPollOptions(path="/:id")}, "the path of a mount"),
        ("/:_org/:_org", {}, "the path of a mount"),
    ],
)
def test_a_variable_twice_is_a_mistake(path: str, options: Any, where: str) -> None:
    text = definition_error(lambda: make_mount(path, **options))
    name = "_org" if "_org" in path else "id"
    assert text == f"{where} has the variable {name!r} twice, and one value would be lost"


@pytest.mark.parametrize(
    ("path", "longpoll"),
    [("/:token", True), ("/s/:token/x", LongPollOptions()), ("/s", LongPollOptions(path="/:token"))],
)
def test_p094_a_variable_may_not_hide_the_token_of_long_polling(path: str, longpoll: Any) -> None:
    text = definition_error(lambda: make_mount(path, longpoll=longpoll))
    assert text == f"endpoint.socket({path!r}, ...): a variable ':token' would hide the token of long-poll sessions"
    make_mount("/s/:token/x")
    make_mount("/s", longpoll=True, websocket=WebSocketOptions(path="/:token"))


def test_p003_variables_whose_names_begin_with_an_underscore_are_left_out() -> None:
    mount = make_mount("/:_/:_tenant/:User_1")
    assert found(mounted(mount), "/a/b/c/websocket") == (mount, "websocket", {"User_1": "c"})


@pytest.mark.parametrize(
    ("sent", "value"),
    [("ada", "ada"), ("a%20b", "a b"), ("a+b", "a+b"), ("%C3%A4", "ä"), ("a%2Fb", "a/b"), ("%3Aid", ":id"), ("%", "%")],
)
def test_p003_the_value_of_a_variable_is_percent_decoded(sent: str, value: str) -> None:
    together = mounted(make_mount("/ws/:user_id"))
    match = together.match(("ws", sent, "websocket"))
    assert match is not None
    assert match.params == {"user_id": value}


@pytest.mark.parametrize("sent", ["%ff", "a%C3", "%e4"])
def test_p003_a_variable_that_is_not_utf_8_is_no_match(sent: str) -> None:
    together = mounted(make_mount("/ws/:user_id"))
    assert together.match(("ws", sent, "websocket")) is None


@pytest.mark.parametrize(
    ("first", "second", "params"),
    [("/ws/:id", "/ws/admin", {"id": "admin"}), ("/ws/admin", "/ws/:id", {}), ("/:a/admin", "/ws/:b", {"a": "ws"})],
)
def test_the_first_mount_that_matches_wins(first: str, second: str, params: dict[str, str]) -> None:
    one, two = make_mount(first, RoomSocket), make_mount(second, OtherSocket)
    assert found(mounted(one, two), "/ws/admin/websocket") == (one, "websocket", params)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"path": "/socket"}, {"path": "/socket"}),
        ({"path": "/socket"}, {"path": "/socket/"}),
        ({"path": "/socket"}, {"path": "//socket"}),
        ({"path": "/ws/:id"}, {"path": "/ws/:user_id"}),
        ({"path": "/ws/:id"}, {"path": "/ws/:_"}),
        ({"path": "/a/b"}, {"path": "/a", "websocket": WebSocketOptions(path="/b/websocket")}),
        ({"path": "/a", "longpoll": True}, {"path": "/a", "websocket": False, "longpoll": True}),
        ({"path": "/a"}, {"path": "/a", "websocket": False, "longpoll": LongPollOptions(path="/websocket")}),
    ],
)
@pytest.mark.parametrize("other", [OtherSocket, RoomSocket])
def test_two_at_one_path_are_a_mistake(first: dict[str, Any], second: dict[str, Any], other: type[Socket]) -> None:
    together = mounted(make_mount(**first))
    again = make_mount(socket_class=other, **second)
    text = definition_error(lambda: together.add(again))
    assert text.startswith(f"both {RoomSocket!r} and {other!r} are mounted at '/")


def test_both_transports_of_a_mount_at_one_path_are_a_mistake() -> None:
    # The second would never answer.
    both = {"websocket": WebSocketOptions(path="/live"), "longpoll": LongPollOptions(path="/live")}
    assert "/socket/live" in definition_error(lambda: mounted(make_mount(**both)))


def test_after_a_mistake_the_mounts_are_as_before() -> None:
    together = mounted(make_mount("/a"))
    definition_error(lambda: together.add(make_mount("/a", OtherSocket, longpoll=True)))
    assert found(together, "/a/longpoll") is None


def test_p004_one_class_may_be_mounted_at_many_paths_with_options_of_their_own() -> None:
    endpoint = Endpoint()
    endpoint.socket("/one", RoomSocket, check_origin=False)
    endpoint.socket("/two", RoomSocket, websocket=WebSocketOptions(timeout=None))
    one, two = (endpoint.mounts.match((name, "websocket")) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    assert (one.mount.check_websocket_origin.disabled, two.mount.check_websocket_origin.disabled) == (True, False)
    assert (one.mount.websocket, two.mount.websocket) == (WebSocketOptions(), WebSocketOptions(timeout=None))


# Socket classes


def test_a_socket_class_that_cannot_be_made() -> None:
    class NeedySocket(Socket):
        def __init__(self, database: object) -> None: ...

    text = definition_error(lambda: make_mount("/socket", NeedySocket))
    assert text.endswith("NeedySocket is made without arguments: missing a required argument: 'database'")


@pytest.mark.parametrize("socket_class", [RoomSocket(), RoomChannel, object, "RoomSocket", None], ids=repr)
def test_only_socket_classes_are_mounted(socket_class: Any) -> None:
    text = definition_error(lambda: make_mount("/socket", socket_class))
    assert text == f"what is mounted at '/socket' is a subclass of Socket or RawSocket, not {socket_class!r}"


def test_a_mount_knows_its_routes() -> None:
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


def test_p087_a_raw_socket_has_no_routes() -> None:
    mount = make_mount("/echo", EchoSocket, longpoll=True)
    assert mount.routes.match("room:a") is None
    assert found(mounted(mount), "/echo/websocket") == (mount, "websocket", {})


def test_a_mount_resolves_the_channels_behind_it() -> None:
    class Unresolvable(Channel):
        @incoming
        def shout(self, payload: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    class UnresolvableSocket(Socket):
        channels = {"room:*": Unresolvable}

    class WrongSocket(Socket):
        channels = {"room:*": object}  # type: ignore[dict-item]

    text = definition_error(lambda: make_mount("/socket", UnresolvableSocket))
    assert "Unresolvable.shout: the annotation of 'payload', 'Missing', cannot be resolved" in text
    text = definition_error(lambda: make_mount("/socket", WrongSocket))
    assert text == "a route leads to a subclass of Channel, not to <class 'object'>"


def test_names_below_the_channel_exist_when_it_is_mounted() -> None:
    route = make_mount("/socket", EarlySocket).routes.match("room")
    assert route is not None
    assert route.target.table.incoming["sing"](EarlyBird(), Raw(b'{"notes":3}')) == Reply.ok(3)


class EarlyBird(Channel):
    @incoming
    def sing(self, payload: Song) -> Reply:
        return Reply.ok(payload.notes)


class EarlySocket(Socket):
    channels = {"room": EarlyBird}


class Song(Struct):
    notes: int


# Of the whole endpoint


def test_a_miss_says_what_is_mounted(caplog: pytest.LogCaptureFixture) -> None:
    mounts = mounted(make_mount("/socket", longpoll=True), make_mount("/ws/:id", OtherSocket))
    mounts.log_miss("/sockets/websocket")
    mounted().log_miss("/socket/websocket")
    add = "phoenix.js adds /websocket to what it is given, and polls only where endpoint.socket(..., longpoll=True)"
    there = "'/socket/websocket', '/socket/longpoll', '/ws/:id/websocket'"
    assert [record.getMessage() for record in caplog.records] == [
        f"no socket answers at '/sockets/websocket'; mounted are {there}.  {add} says so",
        f"no socket answers at '/socket/websocket'; mounted are nothing.  {add} says so",
    ]


def test_p073_mounts_share_what_encodes_for_their_long_pollers() -> None:
    """A broadcast is encoded once for each serializer, however many mounts its subscribers came through."""
    one, two = make_mount("/one", longpoll=True), make_mount("/two", longpoll=True)
    for vsn in ("1.0.0", "2.0.0"):
        assert one.serializers.negotiate(vsn) is two.serializers.negotiate(vsn) is not None
        assert one.text_serializers.negotiate(vsn) is two.text_serializers.negotiate(vsn) is not None


def test_a_socket_is_mounted_by_the_endpoint() -> None:
    endpoint = Endpoint(secret_key_base=SECRET)
    endpoint.socket("/ws/:user_id", RoomSocket, longpoll=True)
    match = endpoint.mounts.match(("ws", "21", "longpoll"))
    assert match is not None
    assert (match.mount.socket_class, match.transport, match.params) == (RoomSocket, "longpoll", {"user_id": "21"})
    assert (match.mount.path, match.mount.origin_policy(match.transport).check) == ("/ws/:user_id", True)
