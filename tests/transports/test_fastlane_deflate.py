"""Compression on the fast lane: the mount decides, and the library's client and Node's ``ws`` understand it (P-085)."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from phoenix_channels import Endpoint, WebSocketOptions
from tests.transports.app import Journal, make_endpoint
from tests.transports.clients import connect, connect_raw
from tests.transports.fast import on_loops
from tests.transports.servers import fast_server

pytestmark = on_loops
NODE = Path(__file__).parents[1] / "node"


@asynccontextmanager
async def serving(*, compress: bool) -> AsyncGenerator[tuple[Endpoint, int]]:
    endpoint = make_endpoint(Journal(), {"websocket": WebSocketOptions(compress=compress)})
    async with fast_server(endpoint) as port:
        yield endpoint, port


async def test_p085_a_mount_with_compression_compresses_for_those_who_offer_it() -> None:
    text = "phoenix " * 10_000
    async with (
        serving(compress=True) as (endpoint, port),
        connect(port, compression="deflate") as one,
        connect(port) as two,
        connect_raw(port) as raw,
    ):
        header = one.connection.response.headers["sec-websocket-extensions"]
        assert "server_no_context_takeover" in header
        assert "client_no_context_takeover" in header
        assert "sec-websocket-extensions" not in two.connection.response.headers
        for client in (one, two):
            await client.join("room:a")
            assert await client.call("room:a", "echo", text) == text
        await raw.send("1", "1", "room:a", "phx_join", {})
        await raw.receive_frame()
        for number in range(10):
            endpoint.broadcast("room:a", "shout", {"n": number, "text": text})
        for client in (one, two):
            for number in range(10):
                assert (await client.receive())[4] == {"n": number, "text": text}
        _, data = await raw.receive_frame()
        assert json.loads(data)[4]["text"] == text


@pytest.mark.parametrize("bits", [9, 12, 15])
async def test_p085_the_window_is_the_one_that_the_client_can_read(bits: int) -> None:
    offer = ClientPerMessageDeflateFactory(server_max_window_bits=bits, client_max_window_bits=True)
    async with serving(compress=True) as (_, port), connect(port, extensions=[offer]) as client:
        assert f"server_max_window_bits={bits}" in client.connection.response.headers["sec-websocket-extensions"]
        await client.join("room:a")
        text = "".join(map(str, range(10_000)))
        assert await client.call("room:a", "echo", text) == text


async def test_without_compression_an_offer_is_not_taken() -> None:
    async with serving(compress=False) as (_, port), connect(port, compression="deflate") as client:
        assert "sec-websocket-extensions" not in client.connection.response.headers
        await client.join("room:a")


SCRIPT = """
import WebSocket from "ws";
const [url, text] = [process.argv[1], "phoenix ".repeat(10000)];
const socket = new WebSocket(url, {perMessageDeflate: {threshold: 0, serverMaxWindowBits: 10}});
let left = 20;
socket.on("open", () => socket.send(JSON.stringify(["1", "1", "room:a", "phx_join", {}])));
socket.on("message", (data) => {
  const [, ref, , , {response}] = JSON.parse(data);
  if (ref !== "1" && response !== `${text}${ref}`) throw new Error(`wrong: ${ref}`);
  if (--left) socket.send(JSON.stringify(["1", `r${left}`, "room:a", "echo", `${text}r${left}`]));
  else socket.close();
});
socket.on("close", (code) => console.log(socket.extensions, code, left));
"""


async def test_ws_of_node_and_the_server_compress_for_each_other() -> None:
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules/ws").exists():
        pytest.skip("node and the packages of tests/node are needed")
    async with serving(compress=True) as (_, port):
        url = f"ws://127.0.0.1:{port}/socket/websocket?vsn=2.0.0"
        with anyio.fail_after(30):
            command = [node, "--input-type=module", "-e", SCRIPT, url]
            result = await anyio.run_process(command, cwd=NODE, check=False)
    assert (result.stdout, result.stderr) == (b"permessage-deflate 1000 0\n", b"")
