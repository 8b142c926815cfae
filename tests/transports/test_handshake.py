"""From a request to an accepted socket, in the order of P-007."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from phoenix_channels import (
    URI,
    ConnectInfo,
    Drainer,
    PeerData,
    RawSocket,
    Request,
    Response,
    SessionOptions,
    Socket,
    WebSocketOptions,
)
from phoenix_channels.protocol.params import MAX_QUERY_BYTES
from phoenix_channels.protocol.serializers import V1JSONSerializer, V2JSONSerializer
from phoenix_channels.runtime.channels_driver import ChannelsDriver
from phoenix_channels.runtime.driver import Terms
from phoenix_channels.runtime.raw_driver import RawDriver
from phoenix_channels.transports.handshake import Accepted, handshake, make_driver, websocket_terms
from phoenix_channels.transports.options import MountOptions
from tests.transports.app import AnySocket, Journal, make_endpoint
from tests.transports.handshakes import BAD_REQUEST, BROKEN, FORBIDDEN, ORIGIN, TOO_LONG, ask, request


def offer(*entries: str) -> tuple[str, str]:
    return "Sec-WebSocket-Protocol", ", ".join(entries)


TOKEN = "base64url.bearer.phx." + b64encode(b"secret").decode().rstrip("=")


# Accepted


async def test_an_accepted_socket() -> None:
    journal = Journal()
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(timeout=5, max_frame_size=7), "drainer": False})
    match = endpoint.mounts.match(("socket", "websocket"))
    assert match is not None
    accepted = await handshake(endpoint, match, request(b"vsn=2.0.0&user=ada", ("User-Agent", "browser")))
    assert isinstance(accepted, Accepted)
    assert (accepted.match, accepted.socket_id, accepted.subprotocol) == (match, "users:ada", None)
    socket = accepted.socket
    assert isinstance(socket, AnySocket)
    assert (socket.endpoint, socket.transport, socket.subprotocol) == (endpoint, "websocket", None)
    (params, info), = journal.connects  # fmt: skip
    assert params == {"vsn": "2.0.0", "user": "ada"}
    assert info == ConnectInfo(
        uri=URI("http", "example.com", 80, "/socket/websocket", "vsn=2.0.0&user=ada"),
        peer_data=PeerData("192.0.2.1", 5),
        user_agent="browser",
    )
    driver = make_driver(endpoint, accepted, websocket_terms(match))
    assert isinstance(driver, ChannelsDriver)
    assert (driver.socket, driver.serializer, driver.socket_id) == (socket, accepted.serializer, "users:ada")
    assert driver.terms == Terms(timeout=5, max_frame_size=7, drainer=False)


async def test_the_terms_of_a_mount_that_says_nothing() -> None:
    accepted, _ = await ask(request())
    assert isinstance(accepted, Accepted)
    assert websocket_terms(accepted.match) == Terms(timeout=60.0, max_frame_size=10_000_000, drainer=Drainer())


async def test_p087_a_raw_socket_has_no_version() -> None:
    class EchoSocket(RawSocket):
        pass

    for query in (b"", b"vsn=9.0.0", b"vsn[]=2"):
        accepted, _ = await ask(request(query), cls=EchoSocket)
        assert isinstance(accepted, Accepted)
        assert accepted.serializer is None
        assert isinstance(accepted.socket, EchoSocket)
        driver = make_driver(accepted.socket.endpoint, accepted, websocket_terms(accepted.match))
        assert isinstance(driver, RawDriver)


async def test_every_connection_has_a_socket_of_its_own_and_plain_functions_do() -> None:
    seen: list[Socket] = []

    class PlainSocket(Socket):
        def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            assert self.endpoint is not None
            assert self.transport == "websocket"
            seen.append(self)

        def id(self) -> str | None:
            return None

    for _ in range(2):
        accepted, _ = await ask(request(b""), cls=PlainSocket)
        assert isinstance(accepted, Accepted)
        assert accepted.socket_id is None
        assert accepted.socket is seen[-1]
    assert seen[0] is not seen[1]


# Params


async def test_p003_variables_of_the_path_are_params_and_win() -> None:
    asked = request(b"user_id=22&_org=b&a=1&vsn=2.0.0", path="/ws/2%201/x/websocket")
    accepted, journal = await ask(asked, at="/ws/:user_id/:_org")
    assert isinstance(accepted, Accepted)
    assert journal.connects[0][0] == {"user_id": "2 1", "_org": "b", "a": "1", "vsn": "2.0.0"}
    accepted, journal = await ask(request(b"user_id[a]=1", path="/ws/21/websocket"), at="/ws/:user_id")
    assert journal.connects[0][0] == {"user_id": "21"}


async def test_p003_also_the_version_may_come_from_the_path() -> None:
    accepted, _ = await ask(request(b"vsn=9", path="/2.0.0/websocket"), at="/:vsn")
    assert isinstance(accepted, Accepted)
    assert isinstance(accepted.serializer, V2JSONSerializer)


async def test_the_length_of_a_query() -> None:
    query = b"a=" + b"x" * (MAX_QUERY_BYTES - 2)
    result, journal = await ask(request(query))
    assert isinstance(result, Accepted)
    assert len(journal.connects[0][0]["a"]) == MAX_QUERY_BYTES - 2
    for too_long in (query + b"x", b"&".join(1001 * [b"a=1"])):
        result, journal = await ask(request(too_long))
        assert (result, journal.connects) == (TOO_LONG, [])


@pytest.mark.parametrize("query", [b"a=%ff", b"%ff=a", b"a=\xff", b"a[%ff]=1", b"vsn=2.0.0&a=%C3"])
async def test_a_query_that_is_not_utf_8(query: bytes) -> None:
    result, journal = await ask(request(query))
    assert (result, journal.connects) == (BAD_REQUEST, [])


# Versions


@pytest.mark.parametrize(
    ("query", "accepted"),
    [
        (b"", True),
        (b"vsn=1.0.0", True),
        (b"vsn=2.0.0", True),
        (b"vsn=2.0.99%2Bbuild", True),
        (b"vsn=2", False),
        (b"vsn=3.0.0", False),
        (b"vsn", False),
        (b"vsn[]=2.0.0", False),
        (b"vsn[a]=2.0.0", False),
    ],
)
async def test_versions(caplog: pytest.LogCaptureFixture, query: bytes, accepted: bool) -> None:
    result, journal = await ask(request(query))
    assert isinstance(result, Accepted) is accepted
    assert len(journal.connects) == accepted
    if not accepted:
        assert result == FORBIDDEN
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "there are ~> 1.0.0, ~> 2.0.0" in caplog.text


async def test_p029_a_mount_has_serializers_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    new, old = V2JSONSerializer(), V1JSONSerializer()
    mount: MountOptions = {"serializers": [(new, "~> 3.1.2"), (old, "~> 1.0.0")]}
    for query, serializer in ((b"vsn=3.1.2", new), (b"vsn=3.1.7", new), (b"", old)):
        accepted, _ = await ask(request(query), mount)
        assert isinstance(accepted, Accepted)
        assert accepted.serializer is serializer
    for query in (b"vsn=2.0.0", b"vsn=3.1.1", b"vsn=3.2.0"):
        result, journal = await ask(request(query), mount)
        assert (result, journal.connects) == (FORBIDDEN, [])
    assert "there are ~> 3.1.2, ~> 1.0.0" in caplog.text


# Origins


@pytest.mark.parametrize(
    ("headers", "mount", "endpoint", "allowed"),
    [
        ([], {}, {}, True),
        ([("Origin", "http://example.com:5173")], {}, {}, True),
        ([ORIGIN], {}, {}, False),
        ([ORIGIN], {"check_origin": True}, {}, False),
        ([ORIGIN], {"check_origin": False}, {}, True),
        ([("Origin", "null")], {"check_origin": False}, {}, True),
        ([("Origin", "")], {"check_origin": False}, {}, True),
        ([ORIGIN], {}, {"host": "app.example"}, True),
        ([("Origin", "http://example.com")], {}, {"host": "app.example"}, False),
        ([("Origin", "http://example.com")], {"check_origin": False}, {"host": "app.example"}, True),
        ([ORIGIN], {"check_origin": ["//app.example"]}, {}, True),
        ([ORIGIN], {}, {"check_origin": ["//app.example"]}, True),
        ([ORIGIN], {"check_origin": "conn"}, {"check_origin": ["//app.example"]}, False),
        ([ORIGIN], {"websocket": WebSocketOptions(check_origin=False)}, {}, True),
        ([ORIGIN], {"websocket": WebSocketOptions(check_origin=True), "check_origin": False}, {}, False),
        # What a proxy, or a page by way of it, says about the host does not count.
        ([ORIGIN, ("X-Forwarded-Host", "app.example")], {}, {}, False),
        ([ORIGIN, ("Forwarded", "host=app.example")], {}, {}, False),
        ([ORIGIN, ("X-Original-Host", "app.example")], {}, {}, False),
        # The first of each counts.
        ([ORIGIN, ("Origin", "http://example.com")], {}, {}, False),
        ([ORIGIN, ("Host", "app.example")], {}, {}, False),
    ],
)
async def test_origins(
    headers: list[tuple[str, str]], mount: MountOptions, endpoint: dict[str, Any], allowed: bool
) -> None:
    result, journal = await ask(request(b"", *headers), mount, **endpoint)
    assert isinstance(result, Accepted) is allowed
    assert len(journal.connects) == allowed
    if not allowed:
        assert result == FORBIDDEN


# Subprotocols and the auth token


@pytest.mark.parametrize(
    ("subprotocols", "offered", "selected"),
    [
        ((), ["graphql"], None),
        (["graphql", "json"], [], None),
        (["graphql", "json"], ["json", "graphql"], "graphql"),
        (["graphql", "json"], ["xml", "json"], "json"),
    ],
)
async def test_p017_the_first_subprotocol_of_the_mount_that_the_client_offers_is_selected(
    subprotocols: list[str], offered: list[str], selected: str | None
) -> None:
    headers = [offer(*offered)] if offered else []
    result, _ = await ask(request(b"", *headers), {"websocket": WebSocketOptions(subprotocols=subprotocols)})
    assert isinstance(result, Accepted)
    assert (result.subprotocol, result.socket.subprotocol) == (selected, selected)


async def test_p017_without_a_common_subprotocol_the_client_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    result, journal = await ask(request(b"", offer("xml")), {"websocket": WebSocketOptions(subprotocols=["json"])})
    assert (result, journal.connects) == (FORBIDDEN, [])
    assert "'xml'" in caplog.text


@pytest.mark.parametrize(
    ("offered", "token", "selected"),
    [
        (["phoenix", TOKEN], "secret", "phoenix"),
        ([TOKEN], "secret", None),
        (["phoenix"], None, "phoenix"),
        ([TOKEN, TOKEN, "phoenix"], None, "phoenix"),
    ],
)
async def test_p018_the_token_of_the_client_is_told_to_connect(
    offered: list[str], token: str | None, selected: str | None
) -> None:
    result, journal = await ask(
        request(b"", offer(*offered)), {"auth_token": True, "connect_info": ["sec_websocket_headers"]}
    )
    assert isinstance(result, Accepted)
    assert result.subprotocol == selected
    (_, info), = journal.connects  # fmt: skip
    assert info.auth_token == token
    assert not any("bearer" in value for _, value in info.sec_websocket_headers)


@pytest.mark.parametrize("offered", [["graphql"], ["phoenix", "base64url.bearer.phx.%"]])
async def test_p018_what_is_no_token_and_not_phoenix_is_refused(offered: list[str]) -> None:
    result, journal = await ask(request(b"", offer(*offered)), {"auth_token": True})
    assert (result, journal.connects) == (FORBIDDEN, [])


# The order of it all


def unloadable(cookies: Mapping[str, str]) -> None:
    raise RuntimeError("no session store")


async def test_p007_the_order_of_the_checks() -> None:
    mount: MountOptions = {
        "websocket": WebSocketOptions(subprotocols=["json"]),
        "connect_info": ["session"],
        "session": SessionOptions(load=unloadable),
        "check_csrf": False,
    }
    xml, json = offer("xml"), offer("json")
    good = ("Origin", "http://example.com")
    echoed = (("sec-websocket-protocol", "json"),)
    long = b"vsn=9&connect=crash&a=%ff" + b"x" * MAX_QUERY_BYTES
    for asked, response in (
        (request(long, ORIGIN, xml, method="POST"), Response(400)),
        (request(long, ORIGIN, xml), TOO_LONG),
        (request(b"vsn=9&connect=crash&a=%ff", ORIGIN, xml), BAD_REQUEST),
        (request(b"vsn=9&connect=crash", ORIGIN, xml), FORBIDDEN),
        (request(b"vsn=9&connect=crash", good, xml), FORBIDDEN),
        (request(b"connect=refuse", good, json), BROKEN),
    ):
        result, journal = await ask(asked, mount)
        assert (result, journal.connects) == (response, [])
    del mount["session"], mount["connect_info"]
    for query, response, connects in (
        (b"vsn=9&connect=crash", Response(403, b"", echoed), 0),
        (b"connect=crash", BROKEN, 1),
    ):
        result, journal = await ask(request(query, good, json), mount)
        assert (result, len(journal.connects)) == (response, connects)


async def test_p007_connect_info_is_built_before_the_version_is_negotiated() -> None:
    mount: MountOptions = {
        "connect_info": ["session"],
        "session": SessionOptions(load=unloadable),
        "check_csrf": False,
    }
    result, _ = await ask(request(b"vsn=9"), mount)
    assert result == BROKEN


async def test_the_origin_comes_before_the_version(caplog: pytest.LogCaptureFixture) -> None:
    assert (await ask(request(b"vsn=9&connect=crash", ORIGIN)))[0] == FORBIDDEN
    assert [("origin" in record.getMessage(), record.levelno) for record in caplog.records] == [(True, logging.ERROR)]


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "PUT", "get"])
async def test_p008_any_method_but_get(method: str) -> None:
    result, journal = await ask(request(b"a=%ff", method=method))
    assert (result, journal.connects) == (Response(400), [])


async def test_while_draining_nobody_is_let_in() -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    match = endpoint.mounts.match(("socket", "websocket"))
    assert match is not None
    await endpoint.drain()
    for query in (b"", b"vsn=9", b"connect=crash"):
        assert await handshake(endpoint, match, request(query)) == Response(503)
    # What is wrong with the request itself is said as ever.
    assert await handshake(endpoint, match, request(b"a=%ff")) == BAD_REQUEST
    assert await handshake(endpoint, match, request(b"", ORIGIN)) == FORBIDDEN
    assert journal.connects == []


async def test_a_handshake_that_is_cancelled_is_no_refusal(caplog: pytest.LogCaptureFixture) -> None:
    class HangingSocket(Socket):
        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            scope.cancel()
            await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        await ask(request(), cls=HangingSocket)
    assert scope.cancelled_caught
    assert caplog.records == []


def test_a_request_is_what_user_code_gets_to_see() -> None:
    asked: Request = request(b"a=1", ("X-One", "1"))
    assert (asked.method, asked.scheme, asked.path, asked.query) == ("GET", "http", "/socket/websocket", b"a=1")
    assert (asked.peer, asked.ssl_cert, asked.header("x-one")) == (("192.0.2.1", 5), None, "1")
