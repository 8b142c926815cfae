"""Refusals over ASGI: with the denial extension and without it (P-012), and what is logged of a request (P-086)."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import Any

import pytest

from phoenix_channels import Endpoint, Request, Response, WebSocketOptions
from phoenix_channels.transports.options import MountOptions
from tests.support.asgi import Client, Refused, serving
from tests.support.loops import soon
from tests.transports.app import Journal, make_endpoint

WEBSOCKET = "/socket/websocket"
REASON = "vsn=2.0.0&connect=refuse+with+reason"
JSON = ("sec-websocket-protocol", "xml, json")


def limit(request: Request, reason: object) -> Response:
    body = f"{reason}: {request.header('x-one')}".encode()
    return Response(429, body, (("Retry-After", "5"), ("X-Name", "\xe4"), ("x-name", "2")))


def forbid(request: Request, reason: object) -> Response:
    return Response(403)


def explain(request: Request, reason: object) -> Response:
    return Response(403, b"no")


def limited(**options: Any) -> Endpoint:
    settings: dict[str, Any] = {"error_handler": limit, "subprotocols": ["json"], **options}
    return make_endpoint(Journal(), {"websocket": WebSocketOptions(**settings)})


async def answers(client: Client) -> list[Any]:
    """All that the application sends before it returns."""
    await client.wait_ended()
    return [client.outgoing.take() for _ in range(len(client.outgoing))]


async def test_the_response_of_an_error_handler_with_the_denial_extension() -> None:
    async with serving(limited()) as server:
        client = server.open(query=REASON, headers=[("x-one", "1")])
        assert await answers(client) == [
            {
                "type": "websocket.http.response.start",
                "status": 429,
                "headers": [
                    (b"retry-after", b"5"),
                    (b"x-name", b"\xe4"),
                    (b"x-name", b"2"),
                    (b"content-length", b"10"),
                ],
            },
            {"type": "websocket.http.response.body", "body": b"expired: 1"},
        ]


async def test_the_response_of_an_error_handler_without_the_denial_extension() -> None:
    async with serving(limited()) as server:
        client = server.open(query=REASON, denial=False)
        assert await answers(client) == [{"type": "websocket.close"}]


async def test_a_plain_request_gets_the_response_of_the_error_handler_too() -> None:
    async with serving(limited()) as server:
        run = server.start_request("GET", WEBSOCKET, query=REASON, headers=[("x-one", "1")])
        await run.wait_ended()
        start, body = run.outgoing.take(), run.outgoing.take()
    assert (start["type"], start["status"], body["body"]) == ("http.response.start", 429, b"expired: 1")
    assert (b"retry-after", b"5") in start["headers"]


async def test_an_empty_403_is_a_close_on_every_server() -> None:
    # The one way of which no server thinks that the application has forgotten the handshake.
    async with serving(limited(error_handler=forbid)) as server:
        assert await answers(server.open(query=REASON)) == [{"type": "websocket.close"}]


async def test_a_403_that_says_something_needs_the_extension() -> None:
    async with serving(limited(error_handler=explain)) as server:
        start, body = await answers(server.open(query=REASON))
        assert (start["status"], body["body"]) == (403, b"no")
        assert await answers(server.open(query=REASON, denial=False)) == [{"type": "websocket.close"}]


async def test_p017_the_subprotocol_is_in_the_accept() -> None:
    async with serving(limited()) as server:
        for headers, selected in (([JSON], "json"), ([], None)):
            client = server.open(headers=headers)
            assert await soon(client.outgoing.get()) == {"type": "websocket.accept", "subprotocol": selected}


async def test_p017_the_subprotocol_is_in_a_403_too() -> None:
    async with serving(limited()) as server:
        for query in ("connect=refuse", "vsn=9"):
            start, body = await answers(server.open(query=query, headers=[JSON]))
            assert (start["status"], body["body"]) == (403, b"")
            assert start["headers"] == [(b"sec-websocket-protocol", b"json"), (b"content-length", b"0")]
            assert await answers(server.open(query=query, headers=[JSON], denial=False)) == [
                {"type": "websocket.close"}
            ]


async def test_an_origin_or_subprotocol_that_is_not_allowed_has_an_empty_403() -> None:
    async with serving(limited()) as server:
        for header in (("origin", "http://evil.example"), ("sec-websocket-protocol", "xml")):
            assert await answers(server.open(headers=[header])) == [{"type": "websocket.close"}]


async def test_while_draining_the_client_is_told_503() -> None:
    endpoint = limited()
    async with serving(endpoint) as server:
        await endpoint.drain()
        for headers in ([], [JSON]):
            with pytest.raises(Refused) as refused:
                await server.connect(headers=headers)
            assert (refused.value.status, refused.value.body) == (503, b"")
        assert (await server.request("GET", WEBSOCKET)) == (503, b"")


# The log of requests


@pytest.mark.parametrize(
    ("query", "status"),
    [("vsn=2.0.0&token=secret", 101), (REASON, 429), ("vsn=9", 403), ("connect=crash", 500), ("a=%ff", 400)],
)
async def test_p086_each_request_is_logged_with_its_status(
    caplog: pytest.LogCaptureFixture, query: str, status: int
) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    options: MountOptions = {"websocket": WebSocketOptions(error_handler=limit), "transport_log": logging.DEBUG}
    async with serving(make_endpoint(Journal(), options, logger=False)) as server:
        with nullcontext() if status == 101 else pytest.raises(Refused):
            await server.connect(query=query)
    lines = [record for record in caplog.records if "->" in record.getMessage()]
    assert [(record.levelno, record.getMessage()) for record in lines] == [
        (logging.DEBUG, f"GET '{WEBSOCKET}' -> {status}")
    ]
    assert "secret" not in lines[0].getMessage()


async def test_p086_plain_requests_and_long_polling_are_logged_as_well(caplog: pytest.LogCaptureFixture) -> None:
    options: MountOptions = {"longpoll": True, "transport_log": logging.WARNING}
    endpoint = make_endpoint(Journal(), options, secret_key_base="k" * 64)
    async with serving(endpoint) as server:
        await server.request("GET", WEBSOCKET)
        await server.request("POST", WEBSOCKET)
        await server.request("OPTIONS", "/socket/longpoll")
        await server.request("GET", "/elsewhere")
    assert [record.getMessage() for record in caplog.records if "->" in record.getMessage()] == [
        f"GET '{WEBSOCKET}' -> 400",
        f"POST '{WEBSOCKET}' -> 400",
        "OPTIONS '/socket/longpoll' -> 200",
    ]


async def test_p086_without_the_option_requests_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.NOTSET + 1, "phoenix_channels")
    async with serving(make_endpoint(Journal())) as server:
        await server.connect()
        await server.request("GET", WEBSOCKET)
    assert "->" not in caplog.text


async def test_p086_a_request_cannot_forge_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint()
    make = make_endpoint(Journal())
    match = make.mounts.match(("socket", "websocket"))
    assert match is not None
    endpoint.socket("/ws/:name", match.mount.socket_class, transport_log=logging.WARNING)
    async with serving(endpoint) as server:
        await server.connect("/ws/a\nERROR b/websocket", raw_path=b"/ws/a%0AERROR%20b/websocket")
    (line,) = [record.getMessage() for record in caplog.records if "->" in record.getMessage()]
    assert "\n" not in line


# Paths with variables


@pytest.mark.parametrize(
    ("sent", "decoded", "value"),
    [
        ("ada", "ada", "ada"),
        ("a%20b", "a b", "a b"),
        ("%C3%A4", "ä", "ä"),
        ("a%2Fb", "a/b", "a/b"),
        ("%2Fb", "/b", "/b"),
        ("a%2F", "a/", "a/"),
        ("a%2F%2Fb", "a//b", "a//b"),
        ("%25", "%", "%"),
    ],
)
@pytest.mark.parametrize("root", ["", "/outer"])
async def test_p003_variables_of_the_path(root: str, sent: str, decoded: str, value: str) -> None:
    journal = Journal()
    mount = make_endpoint(journal).mounts.match(("socket", "websocket"))
    assert mount is not None
    endpoint = Endpoint()
    endpoint.socket("/ws/:user_id", mount.mount.socket_class, connect_info=["uri"])
    path = f"{root}/ws/{sent}/websocket"
    async with serving(endpoint) as server:
        await server.connect(
            f"{root}/ws/{decoded}/websocket", raw_path=path.encode(), root_path=root, query="user_id=eve"
        )
    (params, info), = journal.connects  # fmt: skip
    assert params == {"user_id": value}
    # As it was sent, whatever the server has made of it.
    assert info.uri.path == path
