"""From a request to an accepted socket or a refusal, in the order of P-007."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from phoenix_channels import ConnectInfo, ConnectRefused, Endpoint, Socket, telemetry
from phoenix_channels.protocol.params import MAX_QUERY_BYTES
from phoenix_channels.transports.handshake import Accepted, Refusal, Request, handshake, make_driver, upgrade_error
from phoenix_channels.transports.mounts import Mount, MountOptions
from tests.transports.app import AnySocket, Journal, make_endpoint, socket_class

BAD_REQUEST = Refusal(400, b'{"errors":{"detail":"Bad Request"}}', "application/json; charset=utf-8")
TOO_LONG = Refusal(414, b'{"errors":{"detail":"Request-URI Too Long"}}', "application/json; charset=utf-8")
BROKEN = Refusal(500, b'{"errors":{"detail":"Internal Server Error"}}', "application/json; charset=utf-8")
FORBIDDEN = Refusal(403)


def request(query: bytes = b"vsn=2.0.0", *headers: tuple[str, str], path: str = "/socket/websocket") -> Request:
    return Request(
        scheme="http",
        path=path,
        query=query,
        headers=[("Host", "example.com"), *headers],
        peer=("192.0.2.1", 5),
    )


async def ask(
    asked: Request, options: MountOptions | None = None, cls: type[Socket] | None = None, **endpoint_options: Any
) -> tuple[Accepted | Refusal, Journal]:
    journal = Journal()
    mount = Mount("/socket", cls or socket_class(journal), options or {})
    return await handshake(Endpoint(**endpoint_options), mount, asked), journal


# Request


def test_the_headers_of_a_request() -> None:
    asked = request(b"", ("X-One", "1"), ("x-one", "2"), ("Empty", ""))
    assert asked.header("x-one") == "1"
    assert asked.headers("x-one") == ["1", "2"]
    assert asked.header("empty") == ""
    assert asked.header("absent") is None
    assert asked.headers("absent") == []


@pytest.mark.parametrize(
    ("query", "headers", "uri"),
    [
        (b"a=1&b=%C3%A4", [("host", "example.com:4000")], "https://example.com:4000/socket/websocket?a=1&b=%C3%A4"),
        (b"", [("host", "example.com")], "https://example.com/socket/websocket"),
        (b"a=\xe4", [], "https:///socket/websocket?a=\xe4"),
    ],
)
def test_the_uri_of_a_request(query: bytes, headers: list[tuple[str, str]], uri: str) -> None:
    asked = Request(scheme="https", path="/socket/websocket", query=query, headers=headers, peer=None)
    assert asked.uri == uri


# Accepted


async def test_an_accepted_socket() -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    mount = endpoint.mounts.match(("socket", "websocket"))
    assert mount is not None
    accepted = await handshake(endpoint, mount, request(b"vsn=2.0.0&user=ada", ("User-Agent", "browser")))
    assert isinstance(accepted, Accepted)
    assert accepted.mount is mount
    assert accepted.socket_id == "users:ada"
    assert isinstance(accepted.socket, AnySocket)
    assert (accepted.socket.endpoint, accepted.socket.transport) == (endpoint, "websocket")
    (params, info), = journal.connects  # fmt: skip
    assert params == {"vsn": "2.0.0", "user": "ada"}
    assert info == ConnectInfo(
        transport="websocket",
        uri="http://example.com/socket/websocket?vsn=2.0.0&user=ada",
        peer=("192.0.2.1", 5),
        user_agent="browser",
    )
    driver = make_driver(endpoint, accepted)
    assert (driver.socket, driver.serializer, driver.timeout) == (accepted.socket, accepted.serializer, 60.0)


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


# Refused


async def test_the_length_of_a_query() -> None:
    query = b"a=" + b"x" * (MAX_QUERY_BYTES - 2)
    result, journal = await ask(request(query))
    assert isinstance(result, Accepted)
    assert len(journal.connects[0][0]["a"]) == MAX_QUERY_BYTES - 2
    result, journal = await ask(request(query + b"x"))
    assert (result, journal.connects) == (TOO_LONG, [])


@pytest.mark.parametrize("query", [b"a=%ff", b"%ff=a", b"a=\xff", b"a[%ff]=1", b"vsn=2.0.0&a=%C3"])
async def test_a_query_that_is_not_utf_8(query: bytes) -> None:
    result, journal = await ask(request(query))
    assert (result, journal.connects) == (BAD_REQUEST, [])


@pytest.mark.parametrize(
    ("connect", "status", "level", "log"),
    [
        ("refuse", 403, logging.INFO, "refused a connection: None"),
        ("refuse+with+reason", 403, logging.INFO, "refused a connection: 'expired'"),
        ("crash", 500, logging.ERROR, "connect or id failed"),
        ("return", 403, logging.ERROR, "connect returned False; legal is None"),
    ],
)
async def test_what_connect_may_do(
    caplog: pytest.LogCaptureFixture, connect: str, status: int, level: int, log: str
) -> None:
    caplog.set_level(logging.INFO, "phoenix_channels")
    result, _ = await ask(request(b"connect=" + connect.encode()))
    assert result == (BROKEN if status == 500 else FORBIDDEN)
    (record,) = caplog.records
    assert record.levelno == level
    assert log in record.getMessage()
    assert (record.exc_info is not None) is (connect == "crash")


async def test_a_plain_connect_that_returns_something(caplog: pytest.LogCaptureFixture) -> None:
    class LegacySocket(Socket):
        def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> Any:
            return True

    result, _ = await ask(request(), cls=LegacySocket)
    assert result == FORBIDDEN
    assert "LegacySocket.connect returned True; legal is None" in caplog.text


async def test_a_connect_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    class SlowSocket(Socket):
        connect_timeout = 0.01

        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            await anyio.sleep_forever()

    with anyio.fail_after(5):
        result, _ = await ask(request(), cls=SlowSocket)
    assert result == BROKEN
    assert "SlowSocket" in caplog.text


async def test_a_connect_that_hangs_and_resists(caplog: pytest.LogCaptureFixture) -> None:
    class StubbornSocket(Socket):
        connect_timeout = 0.01

        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.03)

    result, _ = await ask(request(), cls=StubbornSocket)
    assert result == BROKEN
    assert "StubbornSocket" in caplog.text


async def test_connect_in_a_task_group() -> None:
    class GroupSocket(Socket):
        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(self.refuse)

        async def refuse(self) -> None:
            raise ConnectRefused("in a group")

    result, _ = await ask(request(), cls=GroupSocket)
    assert result == FORBIDDEN


async def test_a_handshake_that_is_cancelled_is_no_refusal(caplog: pytest.LogCaptureFixture) -> None:
    class HangingSocket(Socket):
        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            scope.cancel()
            await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        await ask(request(), cls=HangingSocket)
    assert scope.cancelled_caught
    assert caplog.records == []


@pytest.mark.parametrize(
    ("query", "results"),
    [
        (b"vsn=2.0.0&token=secret", ["ok"]),
        (b"connect=refuse", ["error"]),
        # Neither these: P-027.
        (b"connect=crash", []),
        (b"vsn=9.0.0", []),
        (b"a=%ff", []),
    ],
)
async def test_telemetry(query: bytes, results: list[str]) -> None:
    told: list[Mapping[str, Any]] = []

    def hear(event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        assert event == "phoenix.socket_connected"
        assert measurements["duration"] >= 0
        told.append(metadata)

    telemetry.attach(telemetry.SOCKET_CONNECTED, hear)
    try:
        _, journal = await ask(request(query))
    finally:
        telemetry.detach(telemetry.SOCKET_CONNECTED, hear)
    assert [metadata["result"] for metadata in told] == results
    for metadata in told:
        assert metadata["params"] == journal.connects[0][0]
        assert metadata["connect_info"] == journal.connects[0][1]
        assert metadata["transport"] == "websocket"


@pytest.mark.parametrize(
    ("user", "result", "log"),
    [("number", FORBIDDEN, "id returned 7; legal are a string and None"), ("", Accepted, ""), ("ada", Accepted, "")],
)
async def test_what_id_may_return(caplog: pytest.LogCaptureFixture, user: str, result: Any, log: str) -> None:
    found, _ = await ask(request(b"user=" + user.encode()))
    assert found == result if isinstance(result, Refusal) else isinstance(found, result)
    assert log in caplog.text


async def test_an_id_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    result, _ = await ask(request(b"user[]=ada"))  # str + list
    assert result == BROKEN
    assert "TypeError" in caplog.text


ORIGIN = ("Origin", "http://app.example")


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


async def test_the_order_of_the_checks(caplog: pytest.LogCaptureFixture) -> None:
    everything = request(b"vsn=9&connect=crash&a=%ff" + b"x" * MAX_QUERY_BYTES, ORIGIN)
    assert (await ask(everything))[0] == TOO_LONG
    undecodable = request(b"vsn=9&connect=crash&a=%ff", ORIGIN)
    assert (await ask(undecodable))[0] == BAD_REQUEST
    assert caplog.records == []
    foreign = request(b"vsn=9&connect=crash", ORIGIN)
    assert (await ask(foreign))[0] == FORBIDDEN
    assert [("origin" in record.getMessage(), record.levelno) for record in caplog.records] == [(True, logging.ERROR)]


async def test_while_draining() -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    mount = endpoint.mounts.match(("socket", "websocket"))
    assert mount is not None
    await endpoint.drain()
    assert await handshake(endpoint, mount, request(b"a=%ff", ORIGIN)) == Refusal(503)
    assert journal.connects == []


# The upgrade

GOOD = {
    "Host": "example.com",
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("name", "value", "body"),
    [
        ("Host", "", None),
        ("Connection", "UPGRADE", None),
        ("Connection", " upgrade ,close", None),
        ("Upgrade", "h2c, WebSocket", None),
        ("Host", None, b"'host' header is absent"),
        ("Connection", None, b"'connection' header must contain 'upgrade', got []"),
        ("Connection", "keep-alive", b"'connection' header must contain 'upgrade', got [\"keep-alive\"]"),
        ("Connection", "upgraded", b"'connection' header must contain 'upgrade', got [\"upgraded\"]"),
        ("Upgrade", None, b"'upgrade' header must contain 'websocket', got []"),
        ("Upgrade", "h2c", b"'upgrade' header must contain 'websocket', got [\"h2c\"]"),
        ("Sec-WebSocket-Version", None, b"'sec-websocket-version' header must equal '13', got []"),
        ("Sec-WebSocket-Version", "8", b"'sec-websocket-version' header must equal '13', got [\"8\"]"),
        ("Sec-WebSocket-Key", None, b"'sec-websocket-key' header is absent"),
    ],
)
def test_upgrades(name: str, value: str | None, body: bytes | None) -> None:
    headers = [(key, text) for key, text in (GOOD | {name: value}).items() if text is not None]
    asked = Request(scheme="http", path="/", query=b"", headers=headers, peer=None)
    assert upgrade_error(asked) == (None if body is None else Refusal(400, body))


def test_headers_in_several_lines() -> None:
    headers = [("connection", "keep-alive"), *GOOD.items(), ("sec-websocket-version", "8")]
    asked = Request(scheme="http", path="/", query=b"", headers=headers, peer=None)
    body = b"'sec-websocket-version' header must equal '13', got [\"13\", \"8\"]"
    assert upgrade_error(asked) == Refusal(400, body)
