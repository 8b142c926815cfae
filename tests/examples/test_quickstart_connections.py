"""The code of the guides to connections: who may connect, long polling, raw sockets, serializers, deploying."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from anyio import to_thread

from examples.quickstart.guides import custom_serializers, deploying, long_polling, raw_sockets
from examples.quickstart.guides import who_may_connect as guide
from phoenix_channels import testing as kit
from phoenix_channels.client import ConnectFailed, connect
from tests.examples.programs import Node
from tests.support.asgi import Refused, Server, serving
from tests.support.clients import close_code, connect_once
from tests.support.loops import soon
from tests.support.processes import running
from tests.transports.servers import uvicorn_server

SUBPROTOCOLS = "sec-websocket-protocol"


def from_page(origin: str) -> list[tuple[str, str]]:
    return [("origin", origin)]


def with_token(token: str) -> list[tuple[str, str]]:
    encoded = b64encode(token.encode()).decode().rstrip("=")
    return [(SUBPROTOCOLS, f"phoenix, base64url.bearer.phx.{encoded}")]


async def refusal(server: Server, path: str, headers: list[tuple[str, str]]) -> Refused:
    with pytest.raises(Refused) as refused:
        await server.connect(path, headers=headers)
    return refused.value


# Who may connect


async def test_origins() -> None:
    ada = with_token("token-of-ada")
    async with serving(guide.endpoint) as server:
        for origin in ("https://example.com", "http://www.example.com:4000"):
            await server.connect(headers=[*from_page(origin), *ada])
        for origin in ("http://example.org", "https://shop.example.org", "null"):
            assert (await refusal(server, "/socket/websocket", [*from_page(origin), *ada])).status == 403
        await server.connect("/embedded/websocket", headers=[*from_page("https://shop.example.org"), *ada])
        refused = await refusal(server, "/embedded/websocket", [*from_page("https://example.com"), *ada])
        assert refused.status == 403


async def refused_token(path: str, token: str | None) -> kit.Refused:
    with pytest.raises(kit.Refused) as refused:
        await kit.connect(guide.endpoint, path=path, auth_token=token)
    return refused.value


async def test_token() -> None:
    async with kit.connect(guide.endpoint, path="/socket", auth_token="token-of-ada") as socket:
        channel = await socket.join("room:lobby")
        assert channel.reply == {}
        for token in ("token-of-nobody", "token-of-mallory", None):
            refused = await refused_token("/socket", token)
            assert (refused.status, refused.body) == (403, b"")
        await guide.endpoint.disconnect("users_socket:ada")
        await socket.assert_closed(1001)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_token_of_the_client(node: Node) -> None:
    async with uvicorn_server(guide.endpoint) as port:
        for token, line in (("token-of-ada", "^connected$"), ("token-of-nobody", "^refused$")):
            with node.running("guides/token_client.mjs", port, TOKEN=token) as client:
                await to_thread.run_sync(client.line, line)


async def test_explained_refusal() -> None:
    refused = await refused_token("/explained", "token-of-mallory")
    assert (refused.status, json.loads(refused.body)) == (403, {"reason": "banned"})
    # Without a reason there is nothing to explain.
    assert (await refused_token("/explained", None)).body == b""


async def test_what_connect_knows() -> None:
    async with kit.connect(guide.endpoint, path="/projects/7", socket_class=guide.ProjectSocket) as socket:
        server = socket.server
        assert (server.project_id, server.address, server.region) == ("7", "127.0.0.1", "eu")


@pytest.fixture
def django() -> Iterator[str]:
    """Host and port of the server with the session."""
    command = [sys.executable, "-m", "uvicorn", "examples.quickstart.guides.django_session:application", "--port", "0"]
    with running(*command) as process:
        yield f"127.0.0.1:{process.port()}"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_session(django: str) -> None:
    async def status(cookie: str, csrf_token: str) -> int | None:
        """That of the handshake."""
        params, headers = {"_csrf_token": csrf_token}, {"cookie": f"sessionid={cookie}"}
        try:
            async with connect(f"ws://{django}/socket", params=params, headers=headers):
                return 101
        except ConnectFailed as refused:
            return refused.status

    async with httpx.AsyncClient(base_url=f"http://{django}", trust_env=False) as browser:
        assert (await browser.get("/login", params={"user_id": "21"})).status_code == 204
        found = re.search('name="csrf-token" content="(.+?)"', (await browser.get("/")).text)
        assert found is not None
        token, cookie = found[1], browser.cookies["sessionid"]
        assert await status(cookie, token) == 101
        # Another page has the cookie sent, and does not know the token.
        assert await status(cookie, "") == 403
        assert await status(cookie, "guessed") == 403
        assert await status(f"{cookie}x", token) == 403
        assert await status("", token) == 403
        # Somebody who has the page and has not logged in.
        browser.cookies.clear()
        found = re.search('content="(.+?)"', (await browser.get("/")).text)
        assert found is not None
        assert await status(browser.cookies["sessionid"], found[1]) == 403


# Long polling


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_long_polling(node: Node) -> None:
    app = long_polling.app
    async with uvicorn_server(app) as port:
        with node.running("guides/long_polling.mjs", port) as client:
            for _ in range(2):
                await to_thread.run_sync(client.line, "^joined$")
            assert sorted(info.transport for info in app.debug.sockets()) == ["longpoll", "websocket"]
        await app.drain()


# Raw sockets


async def test_raw_socket() -> None:
    async with serving(raw_sockets.endpoint) as server:
        client = await server.connect("/prices/websocket")
        raw: Any = client.outgoing

        async def said() -> str:
            text: str = (await soon(raw.get()))["text"]
            return text

        assert await said() == "which shares?"
        client.send_nowait(b"ACME")
        assert await said() == "text, please"
        client.send_nowait("ACME")
        assert await said() == "watching ACME"
        raw_sockets.publish("ACME", 12.5)
        await to_thread.run_sync(raw_sockets.publish, "ACME", 13.0)
        assert [await said(), await said()] == ["ACME 12.5", "ACME 13.0"]
        client.send_nowait("bye")
        assert (await soon(raw.get()))["code"] == 1000
        await client.wait_ended()
        assert raw_sockets.WATCHERS["ACME"] == set()


async def test_raw_socket_with_a_path_and_a_subprotocol() -> None:
    async with serving(raw_sockets.endpoint) as server:
        client = server.open("/live/prices", headers=[(SUBPROTOCOLS, "prices.v2, prices.v1")])
        assert (await soon(client.outgoing.get()))["subprotocol"] == "prices.v1"
        assert (await refusal(server, "/live/prices", [(SUBPROTOCOLS, "prices.v2")])).status == 403


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_raw_socket_in_a_browser(node: Node) -> None:
    async with uvicorn_server(raw_sockets.endpoint) as port:
        with node.running("guides/raw_client.mjs", port) as client:
            await to_thread.run_sync(client.line, r"^which shares\?$")
            await to_thread.run_sync(client.line, r"^watching ACME$")
            raw_sockets.publish("ACME", 12.5)
            await to_thread.run_sync(client.line, r"^ACME 12\.5$")


# Serializers


async def refused_version(server: Server, path: str, vsn: str) -> int:
    with pytest.raises(Refused) as refused:
        await server.connect(path, query=f"vsn={vsn}")
    return refused.value.status


async def test_one_version_alone() -> None:
    async with serving(custom_serializers.endpoint) as server:
        await server.joined("room:lobby")
        assert await refused_version(server, "/socket/websocket", "1.0.0") == 403


async def test_messagepack() -> None:
    topic = "room:lobby"
    async with serving(custom_serializers.endpoint) as server:
        packed = await server.connect("/compact/websocket", query="vsn=3.0.0")
        plain = await server.connect("/compact/websocket")

        async def receive() -> Any:
            return msgspec.msgpack.decode(await packed.receive())

        packed.send_nowait(msgspec.msgpack.encode(["1", "1", topic, "phx_join", {}]))
        assert await receive() == ["1", "1", topic, "phx_reply", {"status": "ok", "response": {}}]
        await plain.join(topic)
        packed.send_nowait(msgspec.msgpack.encode(["1", "2", topic, "new_message", {"body": "hi"}]))
        assert await receive() == await plain.receive() == [None, None, topic, "new_message", {"body": "hi"}]
        custom_serializers.endpoint.broadcast(topic, "bytes", b"\x00\x01")
        assert await receive() == [None, None, topic, "bytes", b"\x00\x01"]
        assert isinstance(await plain.receive(), bytes)
        packed.send_nowait(msgspec.msgpack.encode(["1", "3", topic, "phx_leave", {}]))
        assert await receive() == ["1", "3", topic, "phx_reply", {"status": "ok", "response": {}}]
        assert await receive() == ["1", "1", topic, "phx_close", {}]
        packed.send_nowait(msgspec.msgpack.encode(["1", 4, topic, "phx_join", {}]))
        assert await packed.receive_close() == 1011

        for data in ("[]", b"\xc1"):
            client = await server.connect("/compact/websocket", query="vsn=3.0.0")
            client.send_nowait(data)
            assert await client.receive_close() == 1011


# Deploying


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_health() -> None:
    async with serving(deploying.app) as server:
        assert await server.request("GET", "/health") == (200, b'{"draining":false}')
        await deploying.endpoint.drain()
        assert await server.request("GET", "/health") == (503, b'{"draining":true}')


APP = "examples.quickstart.guides.deploying:app"
COMMANDS = {
    "program": ["-m", "examples.quickstart.guides.deploying"],
    # What the script of this name runs.
    "phoenix-channels": ["-c", "from phoenix_channels.cli import main; main()", "serve", APP, "--port", "0"],
}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
async def test_server_of_its_own(command: list[str]) -> None:
    with running(sys.executable, *command, environment={"PORT": "0"}) as process:
        async with connect_once(process.port()) as socket:
            await socket.join("room:lobby")
            os.kill(process.pid, signal.SIGTERM)
            assert await close_code(socket) == 1012
        assert process.end() in (0, -signal.SIGTERM)
    assert "Application shutdown complete" in process.said
