"""What a mount says about its WebSockets, on the binding to the ``websockets`` library, on both event loops."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

import anyio
import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate

from phoenix_channels import Endpoint, RawSocket, Request, Response, WebSocketOptions
from tests.support.loops import Journal as Notes
from tests.transports.app import Journal, eventually, make_endpoint, socket_class
from tests.transports.clients import RawClient, ask, connect, connect_raw, masked
from tests.transports.servers import Serve, asyncio_server, trio_server

WEBSOCKET = "/socket/websocket?vsn=2.0.0"


@pytest.fixture
def serve(anyio_backend: str) -> Serve:
    return {"asyncio": asyncio_server, "trio": trio_server}[anyio_backend]


@pytest.fixture
def journal() -> Journal:
    return Journal()


def heartbeat(size: int) -> bytes:
    """A heartbeat with a payload of so many bytes."""
    empty = b'[null,"h","phoenix","heartbeat",{"x":""}]'
    return empty[:-3] + b"x" * (size - len(empty)) + empty[-3:]


async def is_answered(client: RawClient) -> bool:
    opcode, data = await client.receive_frame()
    return opcode == 1 and json.loads(data)[1] == "h"


# The size of frames (P-083)


@pytest.mark.parametrize(("most", "payload"), [(100, 94), (1024, 1016), (80_000, 79_986)])
async def test_p083_header_and_payload_count(serve: Serve, journal: Journal, most: int, payload: int) -> None:
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(max_frame_size=most)})
    async with serve(endpoint) as port, connect_raw(port) as client:
        assert len(masked(1, heartbeat(payload))) == most
        await client.send_frame(1, heartbeat(payload))
        assert await is_answered(client)
        await client.send_frame(1, heartbeat(payload + 1))
        assert await client.close_code() == 1009
        await eventually(lambda: endpoint.statistics().connections == 0)


async def test_p083_a_message_of_several_frames_may_be_larger(serve: Serve, journal: Journal) -> None:
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(max_frame_size=1024)})
    message = heartbeat(1500)
    async with serve(endpoint) as port, connect_raw(port) as client:
        await client.send_frame(1, message[:800], fin=False)
        await client.send_frame(0, message[800:])
        assert await is_answered(client)


async def test_p083_each_frame_of_a_message_is_measured(serve: Serve, journal: Journal) -> None:
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(max_frame_size=1024)})
    message = heartbeat(1500)
    async with serve(endpoint) as port, connect_raw(port) as client:
        await client.send_frame(1, message[:100], fin=False)
        await client.send_frame(0, message[100:])
        assert await client.close_code() == 1009


async def test_p083_all_frames_together_are_bounded_by_the_server(serve: Serve, journal: Journal) -> None:
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(max_frame_size=1024)})
    message = heartbeat(2500)
    async with serve(endpoint, max_size=2000) as port, connect_raw(port) as client:
        await client.send_frame(1, message[:900], fin=False)
        await client.send_frame(0, message[900:1800], fin=False)
        await client.send_frame(0, message[1800:])
        assert await client.close_code() == 1009


async def test_p083_every_mount_has_a_size_of_its_own_and_binary_frames_count(serve: Serve, journal: Journal) -> None:
    endpoint = make_endpoint(journal)
    endpoint.socket("/small", socket_class(journal), websocket=WebSocketOptions(max_frame_size=50))
    push = b"\x00\x01\x01\x06\x041" + b"3room:aecho"
    async with serve(endpoint) as port:
        for path, sizes, code in (("/socket/websocket", (100, 200_000), None), ("/small/websocket", (44, 45), 1009)):
            async with connect_raw(port, path=path) as client:
                await client.send("1", "1", "room:a", "phx_join", {})
                await client.receive_frame()
                await client.send_frame(2, push + bytes(sizes[0] - len(push)))
                assert (await client.receive_frame())[0] == 2
                await client.send_frame(2, push + bytes(sizes[1] - len(push)))
                opcode, data = await client.receive_frame()
                assert (opcode, data[:2]) == (8, code.to_bytes(2, "big")) if code is not None else opcode == 2
    await eventually(lambda: journal.terminated == [("room:a", ("shutdown", "closed"))] * 2)


# Compression (P-085)


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_p085_compression_is_of_the_mount(serve: Serve, journal: Journal, compression: str | None) -> None:
    endpoint = make_endpoint(journal)
    endpoint.socket("/small", socket_class(journal), websocket=WebSocketOptions(compress=True))
    async with (
        serve(endpoint, compression=compression) as port,
        connect(port, compression="deflate") as plain,
        connect(port, path="/small/websocket", compression="deflate") as compressed,
        connect(port, path="/small/websocket") as unoffered,
    ):
        clients = (plain, compressed, unoffered)
        extensions = [[type(extension) for extension in client.connection.protocol.extensions] for client in clients]
        assert extensions == [[], [PerMessageDeflate], []]
        for client in clients:
            await client.join("room:a")
            assert await client.call("room:a", "echo", {"x": "ä" * 1000}) == {"x": "ä" * 1000}
        for number in range(3):
            endpoint.broadcast("room:a", "text", {"n": number, "x": "ä" * 1000})
            endpoint.broadcast("room:a", "bytes", bytes([number]) * 1000)
            for client in clients:
                assert (await client.receive())[4] == {"n": number, "x": "ä" * 1000}
                assert (await client.receive())[-1000:] == bytes([number]) * 1000
        await endpoint.disconnect("nobody")
        await endpoint.drain()
        assert [await client.close_code() for client in clients] == [1012] * 3


async def test_p085_a_message_that_is_large_only_when_it_is_unpacked_is_too_large(
    serve: Serve, journal: Journal
) -> None:
    options = WebSocketOptions(compress=True, max_frame_size=5000)
    endpoint = make_endpoint(journal, {"websocket": options})
    async with serve(endpoint) as port, connect(port, compression="deflate") as client:
        await client.join("room:a")
        await client.push("room:a", "note", "x" * 4000)
        await eventually(lambda: len(journal.received) == 1)
        await client.push("room:a", "note", "x" * 6000)
        assert await client.close_code() == 1009
    assert len(journal.received) == 1


# The idle timeout (P-081)


Pace: TypeAlias = Callable[[], Awaitable[object]]


async def silence_ends(
    endpoint: Endpoint, port: int, beat: Callable[[RawClient, Pace], Coroutine[Any, Any, None]]
) -> None:
    """A client that lives on ``beat`` outlives one that is silent from later on."""
    async with connect(port) as pacemaker, connect_raw(port) as lively:

        async def pace() -> object:
            # As long as a round trip takes: no clock, and no flood either.
            return await pacemaker.call("phoenix", "heartbeat")

        async with connect_raw(port) as silent, anyio.create_task_group() as group:
            group.start_soon(beat, lively, pace)
            assert await silent.close_code() == 1002
            group.cancel_scope.cancel()
        # The two that were heard of are still there.
        await eventually(lambda: endpoint.statistics().connections == 2)


async def beat_by_pings(lively: RawClient, pace: Pace) -> None:
    while True:
        await lively.send_frame(9, b"still here")
        assert await lively.receive_frame() == (10, b"still here")
        await pace()


async def beat_by_pongs(lively: RawClient, pace: Pace) -> None:
    while True:
        await lively.send_frame(10, b"unsolicited")
        await pace()


async def beat_by_bytes(lively: RawClient, pace: Pace) -> None:
    # One frame that never ends.
    await lively.stream.send(b"\x81\xff" + (9_000_000).to_bytes(8, "big") + b"mask")
    while True:
        await lively.stream.send(b"x")
        await pace()


@pytest.mark.parametrize("beat", [beat_by_pings, beat_by_pongs, beat_by_bytes])
async def test_p081_whatever_a_client_sends_keeps_it(serve: Serve, journal: Journal, beat: Any) -> None:
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(timeout=1.0)})
    async with serve(endpoint) as port:
        await silence_ends(endpoint, port, beat)


# Control frames (P-084)


class ControlSocket(RawSocket):
    """Notes the control frames of its client, and pings it when it is told to."""

    notes: Notes

    def handle_in(self, data: str | bytes) -> str | bytes:
        if data == "ping":
            self.ping(b"from here")
        return data

    def handle_control(self, payload: bytes, opcode: str) -> None:
        self.notes.add((opcode, payload))


async def test_p084_control_frames_are_answered_and_seen(serve: Serve) -> None:
    ControlSocket.notes = notes = Notes()
    endpoint = Endpoint()
    endpoint.socket("/raw", ControlSocket, websocket=WebSocketOptions(max_frame_size=10))
    async with serve(endpoint) as port, connect_raw(port, path="/raw/websocket") as client:
        await client.send_frame(1, b"pi", fin=False)
        # Larger than a frame may be: that is about messages.
        await client.send_frame(9, b"in between" * 10)
        assert await client.receive_frame() == (10, b"in between" * 10)
        await client.send_frame(0, b"ng")
        frames = [await client.receive_frame(), await client.receive_frame()]
        assert sorted(frames) == [(1, b"ping"), (9, b"from here")]
        await client.send_frame(10, b"from here")
        await notes.wait_length(2)
        await client.send_frame(9, b"")
        assert await client.receive_frame() == (10, b"")
        await notes.wait_length(3)
    assert notes.entries == [("ping", b"in between" * 10), ("pong", b"from here"), ("ping", b"")]


async def test_p084_sockets_with_channels_ignore_control_frames(serve: Serve, journal: Journal) -> None:
    async with serve(make_endpoint(journal)) as port, connect_raw(port) as client:
        await client.send_frame(10, b"unsolicited")
        await client.send_frame(9, bytes(range(125)))
        assert await client.receive_frame() == (10, bytes(range(125)))
        await client.send_frame(1, heartbeat(60))
        assert await is_answered(client)


# Refusals (P-010, P-012, P-017)


def handled(status: int, body: bytes = b"", *headers: tuple[str, str]) -> Endpoint:
    def handle(request: Request, reason: object) -> Response:
        assert reason == "expired"
        return Response(status, body, headers)

    options = WebSocketOptions(error_handler=handle, subprotocols=["json"])
    return make_endpoint(Journal(), {"websocket": options, "transport_log": logging.WARNING})


@pytest.mark.parametrize("status", [200, 302, 403, 429, 499, 599])
async def test_the_status_of_an_error_handler_is_sent_as_it_is(serve: Serve, status: int) -> None:
    async with serve(handled(status)) as port:
        response = await ask(port, f"{WEBSOCKET}&connect=refuse+with+reason")
    assert (response.status, response.body) == (status, b"")


@pytest.mark.parametrize("body", [b"slow down", "größer – 漢".encode(), bytes(range(256))])
async def test_the_body_of_an_error_handler_is_sent_as_it_is(serve: Serve, body: bytes) -> None:
    async with serve(handled(429, body)) as port:
        response = await ask(port, f"{WEBSOCKET}&connect=refuse+with+reason")
    assert response.body == body
    assert response.headers["content-length"] == str(len(body))


async def test_the_headers_of_an_error_handler_are_sent_as_they_are(serve: Serve) -> None:
    headers = [("Retry-After", "5"), ("X-Name", "a b"), ("Content-Type", "text/plain")]
    async with serve(handled(429, b"slow down", *headers)) as port:
        response = await ask(port, f"{WEBSOCKET}&connect=refuse+with+reason")
    assert {name: response.headers[name.lower()] for name, _ in headers} == dict(headers)
    assert "sec-websocket-protocol" not in response.headers


async def test_p017_a_subprotocol_is_echoed_also_in_a_refusal(serve: Serve) -> None:
    async with serve(handled(429)) as port:
        for query, status in (("", 101), ("&connect=refuse", 403), ("&connect=refuse+with+reason", 429)):
            response = await ask(port, WEBSOCKET + query, sec_websocket_protocol="xml, json")
            assert (response.status, response.headers.get("sec-websocket-protocol")) == (status, "json")
        response = await ask(port, WEBSOCKET, sec_websocket_protocol="xml")
        assert (response.status, response.headers.get("sec-websocket-protocol")) == (403, None)


async def test_p020_a_token_need_not_be_an_http_token(serve: Serve, journal: Journal) -> None:
    endpoint = make_endpoint(journal, {"auth_token": True})
    token = "\xfb\xff\xfe?"
    encoded = b64encode(token.encode("latin-1")).decode()
    assert {"/", "+", "="} <= set(encoded)
    async with serve(endpoint) as port:
        for offered, selected in (
            (f"phoenix, base64url.bearer.phx.{encoded}", "phoenix"),
            (f"base64url.bearer.phx.{encoded}", None),
        ):
            response = await ask(port, WEBSOCKET, sec_websocket_protocol=offered)
            assert (response.status, response.headers.get("sec-websocket-protocol")) == (101, selected)
    assert [info.auth_token for _, info in journal.connects] == [token, token]


@pytest.mark.parametrize(
    ("query", "status"), [("", 101), ("&connect=refuse", 403), ("&connect=refuse+with+reason", 429), ("&a=%ff", 400)]
)
async def test_p086_each_request_is_logged_with_its_status(
    serve: Serve, caplog: pytest.LogCaptureFixture, query: str, status: int
) -> None:
    async with serve(handled(429)) as port:
        assert (await ask(port, WEBSOCKET + query)).status == status
    lines = [record.getMessage() for record in caplog.records if record.name == "phoenix_channels"]
    assert f"GET '/socket/websocket' -> {status}" in lines


async def test_p003_variables_of_the_path(serve: Serve, journal: Journal) -> None:
    endpoint = Endpoint()
    endpoint.socket("/ws/:user_id", socket_class(journal), websocket=WebSocketOptions(path="/:project/live"))
    async with serve(endpoint) as port:
        assert (await ask(port, "/ws/a%2Fb/%C3%A4/live?user_id=eve&a=1")).status == 101
        assert (await ask(port, "/ws/a/b/c/live")).status == 404
    assert [params for params, _ in journal.connects] == [{"user_id": "a/b", "project": "ä", "a": "1"}]
