"""A connection that is refused is refused over HTTP, before any upgrade (P-007 to P-012)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from phoenix_channels import Endpoint
from tests.transports.app import Journal, eventually, make_endpoint
from tests.transports.clients import Response, ask, connect
from tests.transports.servers import Serve

WEBSOCKET = "/socket/websocket"


@pytest.fixture(autouse=True)
async def before(endpoint: Endpoint, journal: Journal) -> None:
    await eventually(lambda: endpoint.statistics().connections == 0)
    journal.connects.clear()


@pytest.mark.parametrize(
    ("target", "status", "body", "connects", "log"),
    [
        ("/", 404, "Not Found", 0, ""),
        ("/socket", 404, "Not Found", 0, ""),
        ("/socket/longpoll", 404, "Not Found", 0, ""),
        ("/socket/websocket/more", 404, "Not Found", 0, ""),
        ("/Socket/websocket", 404, "Not Found", 0, ""),
        # Phoenix compares what was sent.
        ("/socket/%77ebsocket", 404, "Not Found", 0, ""),
        ("/socket%2Fwebsocket", 404, "Not Found", 0, ""),
        (f"{WEBSOCKET}?vsn=2.0.0&connect=refuse", 403, "", 1, "refused a connection: None"),
        (f"{WEBSOCKET}?vsn=2.0.0&connect=refuse+with+reason", 403, "", 1, "refused a connection: 'expired'"),
        (f"{WEBSOCKET}?vsn=2.0.0&connect=return", 403, "", 1, "connect returned False"),
        (f"{WEBSOCKET}?vsn=2.0.0&user=number", 403, "", 1, "id returned 7"),
        (f"{WEBSOCKET}?vsn=2.0.0&user[]=list", 500, "Internal Server Error", 1, "connect or id failed"),
        (f"{WEBSOCKET}?connect=crash", 500, '{"errors":{"detail":"Internal Server Error"}}', 1, "connect or id failed"),
        (f"{WEBSOCKET}?vsn=3.0.0", 403, "", 0, "no serializer for vsn '3.0.0'; there are ~> 1.0.0, ~> 2.0.0"),
        (f"{WEBSOCKET}?vsn=", 403, "", 0, "no serializer for vsn ''"),
        (f"{WEBSOCKET}?vsn[]=2.0.0", 403, "", 0, "no serializer for vsn ['2.0.0']"),
        (f"{WEBSOCKET}?vsn[a]=2.0.0", 403, "", 0, "no serializer for vsn {'a': '2.0.0'}"),
        (f"{WEBSOCKET}?vsn=2.0.0&a=%ff", 400, '{"errors":{"detail":"Bad Request"}}', 0, ""),
    ],
)
async def test_refused(
    *,
    port: int,
    journal: Journal,
    caplog: pytest.LogCaptureFixture,
    target: str,
    status: int,
    body: str,
    connects: int,
    log: str,
) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    for connection in ("Upgrade", None):  # a plain GET is told the same
        response = await ask(port, target, connection=connection)
        assert response.status == status
        assert body in response.body.decode() if body else response.body == b""
        assert log in caplog.text
        assert len(journal.connects) == connects
        journal.connects.clear()
        caplog.clear()


async def test_the_client_of_the_library_is_told_the_status(port: int) -> None:
    with pytest.raises(InvalidStatus, match="HTTP 403"):
        async with connect(port, query="vsn=2.0.0&connect=refuse"):
            pass


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_other_methods(port: int, journal: Journal, method: str) -> None:
    response = await ask(port, WEBSOCKET, method=method, connection=None, upgrade=None)
    assert (response.status, response.body) == (400, b"")
    assert (await ask(port, "/nowhere", method=method, connection=None, upgrade=None)).status == 404
    assert journal.connects == []


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"connection": None}, "'connection' header must contain 'upgrade', got []"),
        ({"connection": "keep-alive, x"}, "'connection' header must contain 'upgrade', got [\"keep-alive, x\"]"),
        ({"upgrade": None}, "'upgrade' header must contain 'websocket', got []"),
        # Servers that look at these before they call the application say it in words of their own.
        ({"sec_websocket_version": "12"}, "Sec-WebSocket-Version"),
        ({"sec_websocket_version": None}, "Sec-WebSocket-Version"),
        ({"sec_websocket_key": None}, "Sec-WebSocket-Key"),
    ],
)
async def test_a_request_that_is_no_upgrade(port: int, headers: dict[str, Any], body: str) -> None:
    response = await ask(port, f"{WEBSOCKET}?vsn=2.0.0", **headers)
    assert response.status == 400
    assert body.lower() in response.body.decode().lower()
    assert response.body.count(b"\n") <= 1


async def test_a_key_of_another_length(port: int, kind: str) -> None:
    # Phoenix takes any; the parser of the library does not.
    response = await ask(port, f"{WEBSOCKET}?vsn=2.0.0", sec_websocket_key="short")
    assert response.status == (101 if kind.startswith("fast") else 400)


async def test_a_request_without_a_host(port: int) -> None:
    response = await ask(port, f"{WEBSOCKET}?vsn=2.0.0", host=None)
    assert (response.status, response.body) == (400, b"'host' header is absent")


async def test_connect_says_no_before_anybody_looks_at_the_upgrade(port: int, journal: Journal) -> None:
    for query in ("vsn=9.0.0", "connect=refuse"):
        response = await ask(port, f"{WEBSOCKET}?{query}", connection=None)
        assert (response.status, response.body) == (403, b"")
    assert len(journal.connects) == 1


@pytest.mark.parametrize("header", [["Upgrade"], ["upgrade"], ["keep-alive, Upgrade"], ["keep-alive", "UPGRADE"]])
async def test_spellings_of_an_upgrade(port: int, header: list[str]) -> None:
    # One header or two: joined by the line break that separates two.
    response = await ask(
        port, f"{WEBSOCKET}?vsn=2.0.0", connection="\r\nConnection: ".join(header), upgrade="WebSocket"
    )
    assert response.status == 101
    assert_plain(response)


async def test_what_a_client_offers_is_not_selected(port: int) -> None:
    response = await ask(
        port,
        f"{WEBSOCKET}?vsn=2.0.0",
        sec_websocket_protocol="phoenix, base64url.bearer.phx.dG9rZW4",
        sec_websocket_extensions="permessage-deflate; client_max_window_bits",
    )
    assert_plain(response)


def assert_plain(response: Response) -> None:
    assert response.status == 101
    assert "sec-websocket-protocol" not in response.headers
    assert "sec-websocket-extensions" not in response.headers


async def test_the_origin(port: int, journal: Journal) -> None:
    for origin, status in (("https://localhost:8443", 101), ("http://evil.example", 403), ("null", 403)):
        response = await ask(port, f"{WEBSOCKET}?vsn=2.0.0", origin=origin)
        assert (response.status, response.body) == (status, b"")
    assert len(journal.connects) == 1


async def test_while_draining(serve: Serve) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    async with serve(endpoint) as port:
        assert (await ask(port, f"{WEBSOCKET}?vsn=2.0.0")).status == 101
        await endpoint.drain()
        for connection in ("Upgrade", None):
            response = await ask(port, f"{WEBSOCKET}?vsn=2.0.0", connection=connection)
            assert (response.status, response.body) == (503, b"")
    assert len(journal.connects) == 1
