"""Sockets without channels over the wire: subprotocols and control frames (P-017, P-084, P-087)."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from phoenix_channels import Endpoint, RawSocket, WebSocketOptions
from tests.transports import servers
from tests.transports.clients import RawClient, ask, connect_raw
from tests.transports.servers import Serve

PATH = "/socket/websocket"
PING, PONG, TEXT = 9, 10, 1

SEEING = pytest.mark.parametrize("kind", servers.SEEING, scope="module")
BLIND = pytest.mark.parametrize("kind", servers.BLIND, scope="module")


class EchoSocket(RawSocket):
    def handle_in(self, data: str | bytes) -> str | bytes:
        return data


class ControlSocket(EchoSocket):
    """Notes down what it sees, and sends the pings that it is asked for."""

    seen: list[tuple[str, bytes]]

    def handle_control(self, payload: bytes, opcode: Any) -> None:
        self.seen.append((opcode, payload))

    async def handle_in(self, data: str | bytes) -> str | bytes | None:  # type: ignore[override]
        if not isinstance(data, bytes):
            return data
        try:
            self.ping(data) if data else self.ping()
        except RuntimeError as error:
            return str(error)
        return None


def make_endpoint(socket_class: type[RawSocket], **options: Any) -> Endpoint:
    endpoint = Endpoint()
    endpoint.socket("/socket", socket_class, websocket=WebSocketOptions(**options))
    return endpoint


def control_socket() -> type[ControlSocket]:
    class OwnSocket(ControlSocket):
        seen: list[tuple[str, bytes]] = []

    return OwnSocket


async def echoed(client: RawClient) -> None:
    """A round trip, before which nothing else comes."""
    await client.send_frame(TEXT, b"hello")
    assert await client.receive_frame() == (TEXT, b"hello")


@pytest.mark.feature("B059")
@pytest.mark.parametrize(
    ("offered", "status", "selected"),
    [
        (None, 101, None),
        ("sip", 101, "sip"),
        ("other, mqtt,sip", 101, "sip"),
        ("mqtt", 101, "mqtt"),
        ("other", 403, None),
        ("SIP, ,", 403, None),
    ],
)
async def test_a_subprotocol_is_selected_in_the_order_of_the_server(
    serve: Serve, caplog: pytest.LogCaptureFixture, offered: str | None, status: int, selected: str | None
) -> None:
    async with serve(make_endpoint(EchoSocket, subprotocols=["sip", "mqtt"])) as port:
        response = await ask(port, PATH, sec_websocket_protocol=offered)
    assert (response.status, response.headers.get("sec-websocket-protocol")) == (status, selected)
    refusals = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert ["subprotocols" in record.getMessage() for record in refusals] == [True] * (status == 403)


@pytest.mark.feature("B061")
async def test_control_frames_without_a_handler(serve: Serve) -> None:
    async with serve(make_endpoint(EchoSocket)) as port, connect_raw(port, query="") as client:
        for payload in (b"", b"payload", bytes(125)):
            await client.send_frame(PING, payload)
            assert await client.receive_frame() == (PONG, payload)
            await client.send_frame(PONG, payload)
            await echoed(client)


@pytest.mark.feature("B065")
@SEEING
async def test_control_frames_are_seen_and_pings_answered(serve: Serve) -> None:
    socket_class = control_socket()
    async with serve(make_endpoint(socket_class)) as port, connect_raw(port, query="") as client:
        for payload in (b"", b"payload"):
            await client.send_frame(PING, payload)
            assert await client.receive_frame() == (PONG, payload)
            await client.send_frame(PONG, payload)
        await echoed(client)
        assert socket_class.seen == [("ping", b""), ("pong", b""), ("ping", b"payload"), ("pong", b"payload")]


@pytest.mark.feature("B065")
@SEEING
async def test_the_socket_may_ping(serve: Serve) -> None:
    socket_class = control_socket()
    async with serve(make_endpoint(socket_class)) as port, connect_raw(port, query="") as client:
        for payload in (b"", b"of its own"):
            await client.send_frame(2, payload)
            assert await client.receive_frame() == (PING, payload)
            await client.send_frame(PONG, payload)
            await echoed(client)
        assert socket_class.seen == [("pong", b""), ("pong", b"of its own")]


@pytest.mark.feature("B065")
@SEEING
async def test_the_socket_may_ping_again_before_there_is_an_answer(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """With whatever payload; they and the frames leave in the order in which they were made."""
    payloads = [b"", b"", b"same", b"same", b"other"]
    socket_class = control_socket()

    class ImpatientSocket(socket_class):  # type: ignore[misc, valid-type]  # the base is made by a function
        def init(self) -> None:
            for payload in payloads:
                self.ping(payload)
            self.push("after them")

    async with serve(make_endpoint(ImpatientSocket)) as port, connect_raw(port, query="") as client:
        assert [await client.receive_frame() for _ in range(6)] == [
            *((PING, payload) for payload in payloads),
            (TEXT, b"after them"),
        ]
        for payload in payloads:
            await client.send_frame(PONG, payload)
        await echoed(client)
        assert ImpatientSocket.seen == [("pong", payload) for payload in payloads]
    assert not [record for record in caplog.records if record.name == "phoenix_channels"]


@BLIND
async def test_servers_that_show_no_control_frames_say_so(serve: Serve) -> None:
    socket_class = control_socket()
    async with serve(make_endpoint(socket_class)) as port, connect_raw(port, query="") as client:
        await client.send_frame(PING, b"payload")
        assert await client.receive_frame() == (PONG, b"payload")
        await client.send_frame(2, b"ping")
        opcode, text = await client.receive_frame()
        assert opcode == TEXT
        assert b"pings" in text
        assert socket_class.seen == []
