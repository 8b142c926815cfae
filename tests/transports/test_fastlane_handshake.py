"""The fast lane takes a connection over, or answers in its place; every server and transport has the same rules."""

from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64encode
from pathlib import Path
from typing import Any

import anyio
import pytest
import websockets.asyncio.client
from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount

from phoenix_channels import Channel, ConnectInfo, ConnectRefused, Endpoint, Request, Response, Socket, WebSocketOptions
from phoenix_channels.transports.options import MountOptions
from tests.transports.app import Journal, eventually, make_endpoint
from tests.transports.clients import V2, Client, RawClient, ask, connect, masked, request_bytes
from tests.transports.fast import answer, asking, on_loops, rest
from tests.transports.servers import fast_server, running_fast, uvicorn_server

pytestmark = on_loops
WEBSOCKET = f"/socket/websocket?{V2}"
PEM = Path(__file__).with_name("localhost.pem")
JOIN = RawClient.text("1", "1", "room:a", "phx_join", {})


class Waiting:
    """A socket whose ``connect`` waits until it is told to go on."""

    def __init__(self, *, seconds: float = 30.0, refuses: bool = False) -> None:
        self.asked = anyio.Event()
        self.go_on = anyio.Event()
        waiting = self

        class WaitingSocket(Socket):
            channels = {"room:*": Channel}
            connect_timeout = seconds

            async def connect(self, params: Any, info: ConnectInfo) -> None:
                waiting.asked.set()
                await waiting.go_on.wait()
                if refuses:
                    raise ConnectRefused

        self.endpoint = Endpoint()
        self.endpoint.socket("/socket", WaitingSocket)


# Who answers


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_behind_either_http_protocol_of_uvicorn(http: str) -> None:
    async with fast_server(make_endpoint(Journal()), http=http) as port:
        async with connect(port) as client:
            assert await client.join("room:a", {"a": 1}) == {"a": 1}
        assert (await ask(port, "/socket/nothing")).status == 404


async def test_mounted_in_starlette_under_middleware() -> None:
    endpoint = make_endpoint(Journal())
    app = Starlette(
        routes=[Mount("/api", routes=[Mount("/{version}", endpoint)])],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
    )
    async with fast_server(app) as port:
        async with connect(port, "/api/v1/socket/websocket") as client:
            await client.join("room:a")
        assert (await ask(port, "/socket/websocket")).status in (403, 404)
        # Refused by the middleware.
        assert (await ask(port, "/api/v1/socket/websocket", host="evil.example")).status in (400, 403)


async def test_mounted_in_fastapi_under_a_root_path() -> None:
    app = FastAPI()
    app.add_middleware(GZipMiddleware)
    app.mount("/ws", make_endpoint(Journal()))
    async with fast_server(app, root_path="/prefix") as port, connect(port, "/ws/socket/websocket") as client:
        await client.join("room:a")


async def test_under_a_root_path_of_uvicorn() -> None:
    endpoint = make_endpoint(Journal())
    async with fast_server(endpoint, root_path="/prefix") as port, connect(port) as client:
        await client.join("room:a")


async def test_over_tls() -> None:
    journal = Journal()
    trusting = ssl.create_default_context(cafile=str(PEM))
    async with (
        fast_server(make_endpoint(journal), ssl_certfile=str(PEM), ssl_keyfile=str(PEM)) as port,
        connect(port, scheme="wss", ssl=trusting) as client,
    ):
        await client.join("room:a")
        assert await client.call("room:a", "echo", "x" * 1_000_000) == "x" * 1_000_000
        ((_, info),) = journal.connects
        assert info.uri is not None
        assert info.uri.scheme == "https"


async def test_on_a_unix_socket(tmp_path: Path) -> None:
    journal, path = Journal(), tmp_path / "socket"
    async with running_fast(make_endpoint(journal)) as (server, _):
        unix = await server_on(path, server)
        async with websockets.asyncio.client.unix_connect(str(path), f"ws://localhost{WEBSOCKET}") as connection:
            client = Client(connection)
            await client.join("room:a")
            assert await client.call("room:a", "echo", "x" * 1_000_000) == "x" * 1_000_000
        unix.close()
    ((_, info),) = journal.connects
    assert info.peer_data is not None
    assert info.peer_data.address is None


async def server_on(path: Path, server: Any) -> Any:
    """The same server on one more socket."""

    def protocol() -> Any:
        return server.config.http_protocol_class(
            config=server.config, server_state=server.server_state, app_state=server.lifespan.state
        )

    return await asyncio.get_running_loop().create_unix_server(protocol, str(path))


# What is answered


async def test_the_response_to_a_handshake() -> None:
    endpoint = make_endpoint(Journal())
    async with fast_server(endpoint, headers=[("X-Test", "1")]) as port, asking(port, WEBSOCKET) as client:
        response = await answer(client)
    assert response.status == 101
    assert response.headers.pop("date")
    assert response.headers == {
        "server": "uvicorn",
        "x-test": "1",
        "upgrade": "websocket",
        "connection": "Upgrade",
        # From RFC 6455, 1.3.
        "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    }


async def test_headers_of_the_server_may_be_left_out() -> None:
    endpoint = make_endpoint(Journal())
    async with (
        fast_server(endpoint, server_header=False, date_header=False) as port,
        asking(port, WEBSOCKET) as client,
        asking(port, "/socket/nothing") as other,
    ):
        assert {"server", "date"}.isdisjoint((await answer(client)).headers)
        assert {"server", "date"}.isdisjoint((await answer(other)).headers)


def teapot(request: Request, reason: object) -> Response:
    return Response(418, f"{reason}: {request.header('x-one')}".encode(), (("X-Two", "\xe4"), ("x-two", "b")))


def odd(request: Request, reason: object) -> Response:
    return Response(599, b"")


async def test_a_refusal_has_the_response_of_the_error_handler_and_ends_the_connection() -> None:
    options: MountOptions = {"websocket": WebSocketOptions(error_handler=teapot)}
    async with (
        running_fast(make_endpoint(Journal(), options)) as (server, port),
        asking(port, f"{WEBSOCKET}&connect=refuse+with+reason", x_one="1") as client,
    ):
        head, _, body = (await rest(client)).partition(b"\r\n\r\n")
        await eventually(lambda: not server.server_state.connections)
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first == "HTTP/1.1 418 I'm a Teapot"
    assert [line for line in lines if not line.startswith(("date", "server"))] == [
        "x-two: \xe4",
        "x-two: b",
        "content-length: 10",
        "connection: close",
    ]
    assert body == b"expired: 1"


async def test_a_status_without_a_name() -> None:
    options: MountOptions = {"websocket": WebSocketOptions(error_handler=odd)}
    async with fast_server(make_endpoint(Journal(), options)) as port:
        assert (await ask(port, f"{WEBSOCKET}&connect=refuse+with+reason")).status == 599


@pytest.mark.parametrize(
    ("target", "headers", "status", "body"),
    [
        ("/socket/nothing", {}, 404, "Not Found"),
        (WEBSOCKET, {"sec_websocket_key": None}, 400, "'sec-websocket-key' header is absent"),
        (
            WEBSOCKET,
            {"sec_websocket_version": "12"},
            400,
            "'sec-websocket-version' header must equal '13', got [\"12\"]",
        ),
        (WEBSOCKET, {"host": None}, 400, "'host' header is absent"),
        (WEBSOCKET, {"origin": "http://evil.example"}, 403, ""),
        (f"{WEBSOCKET}&connect=refuse", {"sec_websocket_key": None}, 403, ""),
        (f"{WEBSOCKET}&connect=crash", {}, 500, "Internal Server Error"),
    ],
)
async def test_a_bad_handshake_is_refused_in_the_words_of_the_endpoint(
    target: str, headers: dict[str, Any], status: int, body: str
) -> None:
    endpoint = make_endpoint(Journal())
    async with fast_server(endpoint) as port:
        response = await ask(port, target, **headers)
        assert (response.status, response.headers["connection"]) == (status, "close")
        assert body in response.body.decode() if body else response.body == b""
        async with connect(port) as client:
            await client.join("room:a")


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD"])
async def test_only_get_can_be_upgraded(method: str) -> None:
    journal = Journal()
    async with fast_server(make_endpoint(journal)) as port:
        assert (await ask(port, WEBSOCKET, method=method)).status == 400
    assert journal.connects == []


async def test_p020_an_auth_token_is_no_http_token() -> None:
    journal = Journal()
    # As btoa makes it; phoenix.js strips the padding, others may not.
    token = b64encode(b"\xff\xfe\xfd?>=").decode()
    assert "/" in token
    options: MountOptions = {"auth_token": True, "connect_info": ["sec_websocket_headers"]}
    async with fast_server(make_endpoint(journal, options)) as port:
        for sent in (token, f"{token}==", token.replace("/", "_")):
            offered = f"phoenix, base64url.bearer.phx.{sent}"
            async with asking(port, WEBSOCKET, sec_websocket_protocol=offered) as client:
                response = await answer(client)
                assert (response.status, response.headers["sec-websocket-protocol"]) == (101, "phoenix")
    assert [info.auth_token for _, info in journal.connects] == ["\xff\xfe\xfd?>="] * 3


async def test_proxies_are_believed_as_by_uvicorn() -> None:
    journal = Journal()
    headers = {"x_forwarded_for": "203.0.113.7", "x_forwarded_proto": "https"}
    async with (
        fast_server(make_endpoint(journal), forwarded_allow_ips="127.0.0.1") as port,
        asking(port, WEBSOCKET, **headers) as client,
    ):
        assert (await answer(client)).status == 101
    ((_, info),) = journal.connects
    assert info.peer_data is not None
    assert info.uri is not None
    assert (info.peer_data.address, info.uri.scheme) == ("203.0.113.7", "https")


@pytest.mark.parametrize("query", ["", "&connect=refuse", "&connect=crash"])
async def test_the_line_in_the_log_is_that_of_uvicorn(query: str, caplog: pytest.LogCaptureFixture) -> None:
    lines = []
    for serve in (uvicorn_server, fast_server):
        caplog.clear()
        caplog.set_level("INFO", "uvicorn.error")
        async with serve(make_endpoint(Journal())) as port, asking(port, WEBSOCKET + query) as client:
            await answer(client)
        found = [record.getMessage() for record in caplog.records if "WebSocket" in record.getMessage()]
        lines.append([line.partition(" - ")[2] for line in found])
    assert lines[0] == lines[1]
    assert len(lines[0]) == 1


# Before it is answered


async def test_frames_that_come_before_the_answer_are_not_lost() -> None:
    waiting = Waiting()
    pushes = [RawClient.text(None, str(number), "phoenix", "heartbeat", {}) for number in range(2, 100)]
    async with fast_server(waiting.endpoint) as port, asking(port, WEBSOCKET, JOIN, b"".join(pushes)) as client:
        await waiting.asked.wait()
        waiting.go_on.set()
        assert (await answer(client)).status == 101
        replies = [json.loads((await client.receive_frame())[1]) for _ in range(99)]
    # A join does not hold up its connection: its reply may be later than others.
    assert sorted(int(reply[1]) for reply in replies) == list(range(1, 100))


async def test_frames_that_come_before_a_refusal_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    waiting = Waiting(refuses=True)
    async with running_fast(waiting.endpoint) as (server, port), asking(port, WEBSOCKET, JOIN, JOIN) as client:
        await waiting.asked.wait()
        # The server has them.
        await anyio.wait_all_tasks_blocked()
        waiting.go_on.set()
        assert (await answer(client)).status == 403
        await eventually(lambda: not server.server_state.connections)
    assert "ERROR" not in caplog.text


async def test_a_client_that_does_not_stop_before_it_is_answered_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    waiting = Waiting()
    async with running_fast(waiting.endpoint) as (server, port), asking(port, WEBSOCKET) as client:
        await waiting.asked.wait()
        for _ in range(10):
            try:
                await client.stream.send(masked(2, bytes(10_000)))
            except anyio.BrokenResourceError:
                break
        await eventually(lambda: not server.server_state.connections)
        waiting.go_on.set()
        await eventually(lambda: not server.server_state.tasks)
        assert waiting.endpoint.statistics().connections == 0
    assert "ERROR" not in caplog.text


@pytest.mark.parametrize("vanishes", [True, False])
async def test_a_client_that_goes_away_while_connect_runs(*, vanishes: bool, caplog: pytest.LogCaptureFixture) -> None:
    waiting = Waiting()
    async with running_fast(waiting.endpoint) as (server, port):
        async with asking(port, WEBSOCKET) as client:
            await waiting.asked.wait()
            if vanishes:
                await client.abort()
        await eventually(lambda: not server.server_state.connections)
        waiting.go_on.set()
        await eventually(lambda: not server.server_state.tasks)
        assert waiting.endpoint.statistics().connections == 0
    assert "ERROR" not in caplog.text


async def test_a_connect_that_hangs_is_given_up() -> None:
    async with fast_server(Waiting(seconds=0.05).endpoint) as port:
        response = await ask(port, WEBSOCKET)
    assert (response.status, response.headers["connection"]) == (500, "close")


async def test_a_server_that_ends_while_connect_runs() -> None:
    waiting = Waiting()
    async with running_fast(waiting.endpoint) as (server, port), asking(port, WEBSOCKET) as client:
        await waiting.asked.wait()
        server.should_exit = True
        assert (await answer(client)).status == 503
        waiting.go_on.set()
        assert await rest(client) == b""
        assert waiting.endpoint.statistics().connections == 0


async def test_an_upgrade_on_a_connection_that_has_been_used_before() -> None:
    async with fast_server(make_endpoint(Journal())) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        client = RawClient(stream)
        await stream.send(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        response = await answer(client)
        assert response.status == 404
        await client.take(int(response.headers["content-length"]))
        await stream.send(request_bytes(WEBSOCKET, {}))
        assert (await answer(client)).status == 101
        await client.stream.send(JOIN)
        assert b"phx_reply" in (await client.receive_frame())[1]


async def test_connections_count_for_the_limit_of_uvicorn() -> None:
    async with running_fast(make_endpoint(Journal()), limit_concurrency=3) as (server, port):
        async with connect(port) as one, connect(port) as two:
            assert len(server.server_state.connections) == 2
            # The request itself is the third.
            assert (await ask(port, "/nothing", upgrade=None, connection=None)).status == 503
            await one.join("room:a")
            await two.join("room:a")
        await eventually(lambda: not server.server_state.connections)
        assert (await ask(port, "/nothing", upgrade=None, connection=None)).status == 404
