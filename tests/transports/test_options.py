"""The options of a mount and of its transports: what is legal, and what the others are told (P-005)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from phoenix_channels import Drainer, Endpoint, LongPollOptions, RawSocket, SessionOptions, Socket, WebSocketOptions
from phoenix_channels.definitions import DefinitionError
from phoenix_channels.protocol.serializers import SERIALIZERS, TextSerializer, V1JSONSerializer, V2JSONSerializer
from phoenix_channels.transports.mounts import Mount
from phoenix_channels.transports.options import MountOptions
from phoenix_channels.transports.origin import CheckOrigin, Origin

WHERE = "endpoint.socket('/socket', ...)"


class UserSocket(Socket):
    pass


class EchoSocket(RawSocket):
    pass


def load(cookies: Mapping[str, str]) -> None: ...
def two_arguments(one: Any, two: Any) -> Any: ...
async def two_later(one: Any, two: Any) -> Any: ...


SESSION = SessionOptions(load=load)


def make_mount(*, of_endpoint: CheckOrigin | None = None, **options: Any) -> Mount:
    return Mount("/socket", UserSocket, options, check_origin=of_endpoint)


def definition_error(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        define()
    return str(caught.value)


# Defaults


def test_the_defaults_are_those_of_phoenix() -> None:
    mount = make_mount()
    assert mount.websocket == WebSocketOptions(
        path="/websocket",
        timeout=60.0,
        max_frame_size=10_000_000,
        compress=False,
        subprotocols=(),
        error_handler=None,
        check_origin=None,
    )
    assert mount.longpoll is None
    assert (mount.check_websocket_origin.check, mount.check_longpoll_origin.check) == (True, True)
    assert (mount.connect_info.names, mount.connect_info.extra, mount.connect_info.session) == ((), {}, None)
    assert (mount.connect_info.check_csrf, mount.auth_token, mount.transport_log) == (True, False, False)
    assert mount.serializers is SERIALIZERS
    assert mount.drainer == Drainer(batch_size=10_000, batch_interval=2.0, shutdown=30.0, log=None)


def test_the_defaults_of_long_polling() -> None:
    assert make_mount(longpoll=True).longpoll == LongPollOptions(
        path="/longpoll", window=10.0, pubsub_timeout=2.0, max_age=1_209_600, check_origin=None
    )


def test_options_are_taken_as_they_are() -> None:
    websocket, longpoll, drainer = WebSocketOptions(timeout=None), LongPollOptions(window=5), Drainer(batch_size=5)
    mount = make_mount(
        websocket=websocket,
        longpoll=longpoll,
        check_csrf=False,
        connect_info=["uri", "session"],
        session=SESSION,
        extra={"region": "eu"},
        auth_token=True,
        drainer=drainer,
        transport_log=logging.DEBUG,
    )
    assert (mount.websocket, mount.longpoll, mount.drainer) == (websocket, longpoll, drainer)
    info = mount.connect_info
    assert (info.names, info.session, info.extra) == (("uri", "session"), SESSION, {"region": "eu"})
    assert (info.check_csrf, info.auth_token, mount.auth_token, mount.transport_log) == (False, True, True, 10)


def test_what_is_given_later_to_a_mapping_does_not_count() -> None:
    extra = {"region": "eu"}
    mount = make_mount(extra=extra)
    extra["region"] = "us"
    assert mount.connect_info.extra == {"region": "eu"}


@pytest.mark.parametrize("options", [WebSocketOptions(), LongPollOptions()])
def test_options_do_not_change(options: Any) -> None:
    with pytest.raises(AttributeError):
        options.path = "/elsewhere"


# Names


@pytest.mark.parametrize("name", ["check_orgin", "timeout", "Websocket", "error_handler", "window"])
def test_p005_an_unknown_option_of_a_mount_is_named_with_the_legal_ones(name: str) -> None:
    options: dict[str, Any] = {name: True}
    text = definition_error(lambda: Endpoint().socket("/socket", UserSocket, **options))
    assert text == (
        f"{WHERE}: unknown option {name!r}; legal are websocket, longpoll, check_origin, check_csrf, connect_info, "
        "session, extra, serializers, auth_token, drainer, transport_log"
    )
    assert text.endswith(", ".join(MountOptions.__annotations__))


@pytest.mark.parametrize("name", ["time_out", "window", "check_csrf", "max_frame"])
def test_p005_an_unknown_option_of_websockets_is_named_with_the_legal_ones(name: str) -> None:
    options: dict[str, Any] = {name: True}
    assert definition_error(lambda: WebSocketOptions(**options)) == (
        f"WebSocketOptions: unknown option {name!r}; legal are path, timeout, max_frame_size, compress, subprotocols, "
        "error_handler, check_origin"
    )


@pytest.mark.parametrize("name", ["windows", "timeout", "check_csrf", "error_handler", "crypto"])
def test_p005_an_unknown_option_of_long_polling_is_named_with_the_legal_ones(name: str) -> None:
    options: dict[str, Any] = {name: True}
    assert definition_error(lambda: LongPollOptions(**options)) == (
        f"LongPollOptions: unknown option {name!r}; legal are path, window, pubsub_timeout, max_age, check_origin"
    )


def test_p005_an_unknown_option_of_the_others_is_named_with_the_legal_ones() -> None:
    options: dict[str, Any] = {"size": 5}
    assert definition_error(lambda: Drainer(**options)) == (
        "Drainer: unknown option 'size'; legal are batch_size, batch_interval, shutdown, log"
    )
    assert definition_error(lambda: SessionOptions(load=load, **options)) == (
        "SessionOptions: unknown option 'size'; legal are load, csrf_token_key, verify_csrf"
    )


@pytest.mark.parametrize("kind", [WebSocketOptions, LongPollOptions])
def test_options_are_given_by_name(kind: Any) -> None:
    assert definition_error(lambda: kind("/live")).startswith(f"{kind.__name__} takes keywords only: path, ")


# Values


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("timeout", 0, "a positive number of seconds, not 0"),
        ("timeout", -1.5, "a positive number of seconds, not -1.5"),
        ("timeout", True, "a positive number of seconds, not True"),
        ("timeout", "60", "a positive number of seconds, not '60'"),
        ("timeout", float("nan"), "a positive number of seconds, not nan"),
        ("max_frame_size", 0, "a positive int, not 0"),
        ("max_frame_size", 1e6, "a positive int, not 1000000.0"),
        ("max_frame_size", True, "a positive int, not True"),
        ("max_frame_size", None, "a positive int, not None"),
        ("compress", 1, "True or False, not 1"),
        ("compress", "deflate", "True or False, not 'deflate'"),
        ("subprotocols", "graphql", "a list of names, such as ['graphql'], not 'graphql'"),
        ("subprotocols", None, "a list of names, such as ['graphql'], not None"),
        ("error_handler", 403, "a function of this form: `def f(request, reason)`, not 403"),
        ("error_handler", two_later, "a function of this form: `def f(request, reason)`; it is not awaited"),
        ("error_handler", load, "a function of this form: `def f(request, reason)`; <function load"),
    ],
)
def test_a_wrong_value_of_websockets(name: str, value: object, text: str) -> None:
    options: dict[str, Any] = {name: value}
    assert definition_error(lambda: WebSocketOptions(**options)).startswith(f"WebSocketOptions({name}=...) is {text}")


@pytest.mark.parametrize("name", ["", "a b", "a,b", "ä", None, b"graphql"], ids=repr)
def test_a_subprotocol_that_no_header_could_hold(name: Any) -> None:
    text = definition_error(lambda: WebSocketOptions(subprotocols=["graphql", name]))
    expected = (
        f"WebSocketOptions(subprotocols=...): {name!r} is no name of a subprotocol; legal are names like 'graphql'"
    )
    assert text == expected


@pytest.mark.parametrize("name", ["window", "pubsub_timeout", "max_age"])
@pytest.mark.parametrize("value", [0, -1, True, None, "10", float("nan")], ids=repr)
def test_a_wrong_value_of_long_polling(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    text = definition_error(lambda: LongPollOptions(**options))
    assert text == f"LongPollOptions({name}=...) is a positive number of seconds, not {value!r}"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("websocket", None, "websocket is True, False or WebSocketOptions(...), not None"),
        ("websocket", {"timeout": 5}, "websocket is True, False or WebSocketOptions(...), not {'timeout': 5}"),
        ("websocket", LongPollOptions(), "websocket is True, False or WebSocketOptions(...), not LongPollOptions("),
        ("websocket", WebSocketOptions, "websocket is True, False or WebSocketOptions(...), not <class "),
        ("longpoll", 1, "longpoll is True, False or LongPollOptions(...), not 1"),
        ("longpoll", WebSocketOptions(), "longpoll is True, False or LongPollOptions(...), not WebSocketOptions("),
        ("check_origin", 1, "check_origin is not 1; legal are True ("),
        ("check_origin", "https://a.example", "check_origin is not 'https://a.example'; for one origin write ["),
        ("check_origin", ["a.example"], "check_origin: 'a.example' has no host: write \"//a.example\"; legal are "),
        ("check_csrf", 0, "check_csrf is True or False, not 0"),
        ("check_csrf", None, "check_csrf is True or False, not None"),
        ("connect_info", "uri", "connect_info is a list of peer_data, uri, user_agent, x_headers, trace_context_"),
        ("connect_info", ["cookies"], "connect_info lists 'cookies'; legal are peer_data, uri, user_agent, "),
        ("connect_info", ["auth_token"], "connect_info lists 'auth_token'; legal are peer_data, "),
        ("connect_info", ["session"], "connect_info=['session'] and session=SessionOptions(load=...) go together"),
        ("session", SESSION, "connect_info=['session'] and session=SessionOptions(load=...) go together"),
        ("session", load, "session is SessionOptions(load=...), not <function load"),
        ("extra", ["region"], "extra is a mapping such as {'region': 'eu'}, not ['region']"),
        ("auth_token", "yes", "auth_token is True or False, not 'yes'"),
        (
            "drainer",
            None,
            "drainer, where it is neither a Drainer(...) nor False, is a function of this form: `def f()",
        ),
        (
            "drainer",
            True,
            "drainer, where it is neither a Drainer(...) nor False, is a function of this form: `def f()",
        ),
        (
            "drainer",
            load,
            "drainer, where it is neither a Drainer(...) nor False, is a function of this form: `def f()",
        ),
        (
            "transport_log",
            True,
            "transport_log is a level of logging, such as logging.INFO, or False for off, not True",
        ),
        ("transport_log", "info", "transport_log is a level of logging, such as logging.INFO, or False for off, not "),
    ],
)
def test_a_wrong_value_of_a_mount(name: str, value: object, text: str) -> None:
    options: dict[str, Any] = {name: value}
    assert definition_error(lambda: make_mount(**options)).startswith(f"{WHERE}: {text}")


@pytest.mark.parametrize(
    "table",
    [
        5,
        "~> 2.0.0",
        [V2JSONSerializer()],
        [(V2JSONSerializer(),)],
        [(V2JSONSerializer(), "2.0.0")],
        [(V2JSONSerializer(), None)],
        [("~> 2.0.0", V2JSONSerializer())],
        {V2JSONSerializer(): "~> 2.0.0"},
    ],
    ids=repr,
)
def test_p028_serializers_are_pairs_with_requirements(table: object) -> None:
    text = definition_error(lambda: make_mount(serializers=table))
    assert text.startswith(f"{WHERE}: serializers is a list of (serializer, '~> MAJOR.MINOR.PATCH'): ")


@pytest.mark.parametrize("table", [[], ()])
def test_without_any_serializer_nobody_could_connect(table: object) -> None:
    text = definition_error(lambda: make_mount(serializers=table))
    assert text == f"{WHERE}: serializers is empty: nobody could connect"


@pytest.mark.parametrize("serializer", [V2JSONSerializer, None, "json", object()])
def test_p029_a_serializer_has_the_methods_of_one(serializer: object) -> None:
    text = definition_error(lambda: make_mount(serializers=[(serializer, "~> 2.0.0")]))
    assert text == f"{WHERE}: serializers: a serializer is an object with the methods of Serializer, not {serializer!r}"


def test_p029_serializers_are_of_the_mount() -> None:
    one, two = V2JSONSerializer(), V1JSONSerializer()
    mount = make_mount(serializers=[(one, "~> 2.1.0"), (two, "~> 3.0.0")])
    assert mount.serializers.requirements == mount.text_serializers.requirements == ["~> 2.1.0", "~> 3.0.0"]
    assert mount.serializers.negotiate("2.1.5") is one
    assert mount.serializers.negotiate("2.0.0") is None
    text = mount.text_serializers.negotiate("3.0.0")
    assert isinstance(text, TextSerializer)
    assert text.inner is two


# The origin


@pytest.mark.parametrize(
    ("of_endpoint", "options", "websocket", "longpoll"),
    [
        (None, {}, True, True),
        (["//a.example"], {}, ["//a.example"], ["//a.example"]),
        (False, {"check_origin": "conn"}, "conn", "conn"),
        (["//a.example"], {"check_origin": None}, ["//a.example"], ["//a.example"]),
        (False, {"check_origin": True}, True, True),
        (True, {"check_origin": False}, False, False),
        (None, {"websocket": WebSocketOptions(check_origin="conn")}, "conn", True),
        (None, {"longpoll": LongPollOptions(check_origin=False)}, True, False),
        (False, {"websocket": WebSocketOptions(check_origin=True)}, True, False),
        (None, {"check_origin": "conn", "longpoll": LongPollOptions(check_origin=[])}, "conn", []),
    ],
)
def test_p014_the_innermost_check_origin_counts(
    of_endpoint: Any, options: dict[str, Any], websocket: object, longpoll: object
) -> None:
    mount = make_mount(of_endpoint=of_endpoint, **{"longpoll": True, **options})
    assert (mount.check_websocket_origin.check, mount.check_longpoll_origin.check) == (websocket, longpoll)
    assert mount.origin_policy("websocket").check == websocket
    assert mount.origin_policy("longpoll").check == longpoll


@pytest.mark.parametrize(
    ("of_endpoint", "options"),
    [
        (False, {}),
        (None, {"check_origin": False}),
        (True, {"check_origin": False}),
        (None, {"websocket": WebSocketOptions(check_origin=False)}),
        (None, {"longpoll": LongPollOptions(check_origin=False)}),
        (None, {"check_origin": "conn", "longpoll": LongPollOptions(check_origin=False)}),
        (False, {"websocket": WebSocketOptions(check_origin=True), "longpoll": True}),
    ],
)
def test_p005_one_of_check_origin_and_check_csrf_has_to_be_on(of_endpoint: Any, options: dict[str, Any]) -> None:
    endpoint = Endpoint(check_origin=of_endpoint, secret_key_base="k" * 64)
    text = definition_error(lambda: endpoint.socket("/socket", UserSocket, check_csrf=False, **options))
    assert text == f"{WHERE}: one of check_origin and check_csrf has to be on (P-005)"
    assert endpoint.mounts.match(("socket", "websocket")) is None
    endpoint.socket("/socket", UserSocket, check_csrf=True, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"websocket": WebSocketOptions(check_origin=True)},
        {"websocket": False, "longpoll": LongPollOptions(check_origin="conn")},
    ],
)
def test_p005_only_the_transports_of_the_mount_count(options: dict[str, Any]) -> None:
    assert make_mount(check_origin=False, check_csrf=False, **options).connect_info.check_csrf is False


def every_origin(origin: Origin) -> bool:
    return True


@pytest.mark.parametrize("check", [True, "conn", ["//a.example"], [], every_origin])
def test_p005_check_csrf_may_be_off_where_origins_are_checked(check: Any) -> None:
    assert make_mount(check_origin=check, check_csrf=False).connect_info.check_csrf is False


@pytest.mark.parametrize("kind", [WebSocketOptions, LongPollOptions])
@pytest.mark.parametrize("check", [1, "https://a.example", ["a.example"], two_arguments])
def test_a_wrong_check_origin_of_a_transport_is_named_as_such(kind: Any, check: object) -> None:
    name = "websocket" if kind is WebSocketOptions else "longpoll"
    options: dict[str, Any] = {name: kind(check_origin=check)}
    text = definition_error(lambda: make_mount(**options))
    assert f"{kind.__name__}(check_origin=...)" in text
