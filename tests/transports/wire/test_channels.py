"""Channels as a client of each server meets them."""

from __future__ import annotations

import json

import anyio
import anyio.to_thread
import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate

from phoenix_channels import Endpoint, WebSocketOptions
from tests.transports.app import Journal, eventually, make_endpoint
from tests.transports.clients import connect, connect_raw
from tests.transports.servers import Serve


async def test_join_push_reply_leave(port: int, journal: Journal) -> None:
    async with connect(port) as client:
        assert await client.join("room:life", {"hello": 1}) == {"hello": 1}
        assert await client.call("room:life", "echo", {"text": "ä – 漢 \U0001f426"}) == {"text": "ä – 漢 \U0001f426"}
        await client.leave("room:life")
        await client.send(None, "9", "room:life", "echo", {})
        assert await client.receive() == [
            None, "9", "room:life", "phx_reply", {"status": "error", "response": {"reason": "unmatched topic"}},
        ]  # fmt: skip
    await eventually(lambda: journal.reasons("room:life") == [("shutdown", "left")])


async def test_heartbeat(port: int) -> None:
    async with connect(port) as client:
        await client.send(None, "1", "phoenix", "heartbeat", {})
        assert await client.receive() == [None, "1", "phoenix", "phx_reply", {"status": "ok", "response": {}}]


async def test_a_refused_join(port: int) -> None:
    async with connect(port) as client:
        await client.send("1", "1", "room:forbidden", "phx_join", {})
        assert await client.receive() == [
            "1", "1", "room:forbidden", "phx_reply", {"status": "error", "response": {"reason": "unauthorized"}},
        ]  # fmt: skip


@pytest.mark.feature("B072")
async def test_a_push_of_the_channel(port: int) -> None:
    async with connect(port) as client:
        await client.join("room:push")
        await client.push("room:push", "push_me", {"a": [1, None]})
        assert await client.receive() == ["1", None, "room:push", "pushed", {"a": [1, None]}]


async def test_a_broadcast_reaches_everybody_and_broadcast_from_everybody_else(port: int) -> None:
    async with connect(port) as one, connect(port) as two, connect(port) as three:
        for client in (one, two, three):
            await client.join("room:all")
        await one.push("room:all", "shout", {"n": 1})
        for client in (one, two, three):
            assert await client.receive() == [None, None, "room:all", "shout", {"n": 1}]
        assert await two.call("room:all", "tell_others", {"n": 2}) == {}
        for client in (one, three):
            assert await client.receive() == [None, None, "room:all", "shout", {"n": 2}]
        assert await two.call("room:all", "echo", {}) == {}  # nothing was before it


async def test_broadcasts_of_the_endpoint_from_the_loop_and_from_a_thread(port: int, endpoint: Endpoint) -> None:
    async with connect(port) as client:
        await client.join("room:endpoint")
        endpoint.broadcast("room:endpoint", "loop", {"n": 1})
        assert await client.receive() == [None, None, "room:endpoint", "loop", {"n": 1}]
        await anyio.to_thread.run_sync(endpoint.broadcast, "room:endpoint", "thread", {"n": 2})
        assert await client.receive() == [None, None, "room:endpoint", "thread", {"n": 2}]


async def test_broadcasts_arrive_in_order(port: int, endpoint: Endpoint) -> None:
    async with connect(port) as client:
        await client.join("room:order")
        for number in range(1000):
            endpoint.broadcast("room:order", "n", {"n": number})
        assert [(await client.receive())[4]["n"] for _ in range(1000)] == list(range(1000))


async def test_what_arrives_in_one_piece_is_answered_in_order(port: int) -> None:
    async with connect_raw(port) as client:
        await client.send("1", "1", "room:burst", "phx_join", {})
        await client.stream.send(
            b"".join(client.text("1", str(ref), "room:burst", "echo", {"n": ref}) for ref in range(2, 402))
        )
        answers = [json.loads((await client.receive_frame())[1]) for _ in range(401)]
    assert [answer[1] for answer in answers] == [str(ref) for ref in range(1, 402)]


async def test_a_crash_is_an_error_for_this_channel_only_and_the_client_joins_again(
    port: int, journal: Journal
) -> None:
    async with connect(port) as client:
        await client.join("room:crash")
        await client.join("room:calm")
        await client.push("room:crash", "crash")
        assert await client.receive() == ["1", "1", "room:crash", "phx_error", {"reason": "channel_crash"}]
        assert await client.call("room:calm", "echo", {"still": "here"}) == {"still": "here"}
        assert await client.join("room:crash") == {}
    await eventually(lambda: len(journal.reasons("room:crash")) == 2)
    crash, end = journal.reasons("room:crash")
    assert isinstance(crash, RuntimeError)
    assert end == ("shutdown", "closed")


async def test_a_channel_that_stops(port: int, journal: Journal) -> None:
    async with connect(port) as client:
        await client.join("room:stop")
        assert await client.call("room:stop", "stop") == {"bye": True}
        assert await client.receive() == ["1", "1", "room:stop", "phx_close", {}]
    await eventually(lambda: journal.reasons("room:stop") == ["normal"])


async def test_binary_messages(port: int, endpoint: Endpoint) -> None:
    async with connect(port) as client:
        await client.join("room:b")
        await client.connection.send(b"\x00\x01\x02\x06\x04" + b"1" + b"42" + b"room:b" + b"echo" + b"\x00\xff")
        assert await client.receive() == b"\x01\x01\x02\x06\x02" + b"1" + b"42" + b"room:b" + b"ok" + b"\x00\xff"
        await client.connection.send(b"\x00\x01\x02\x06\x05" + b"1" + b"43" + b"room:b" + b"shout" + b"\x00\xff")
        assert await client.receive() == b"\x02\x06\x05" + b"room:b" + b"shout" + b"\x00\xff"
        endpoint.broadcast("room:b", "none", b"")
        assert await client.receive() == b"\x02\x06\x04" + b"room:b" + b"none"


async def test_a_client_of_version_1(port: int) -> None:
    async with connect(port, query="") as client:
        message = {"topic": "room:v1", "event": "phx_join", "payload": {}, "ref": "1"}
        await client.connection.send(json.dumps(message))
        reply = {"topic": "room:v1", "event": "phx_reply", "payload": {"status": "ok", "response": {}}, "ref": "1"}
        assert await client.receive() == reply


async def test_big_frames(port: int, endpoint: Endpoint) -> None:
    text = "ä" * 2_000_000
    async with connect(port) as client:
        await client.join("room:big")
        assert await client.call("room:big", "echo", {"text": text}) == {"text": text}
        endpoint.broadcast("room:big", "text", {"text": text})
        assert (await client.receive())[4] == {"text": text}
        endpoint.broadcast("room:big", "bytes", bytes(5_000_000))
        assert (await client.receive())[-5_000_000:] == bytes(5_000_000)
        # The lengths at which the header of a frame changes.
        for size in (*range(60, 130), *range(65_470, 65_540)):
            assert await client.call("room:big", "echo", "x" * size) == "x" * size


async def test_fragments_and_pings(port: int) -> None:
    async with connect_raw(port) as client:
        await client.send_frame(1, b'["1","1","room:frag",', fin=False)
        await client.send_frame(9, b"between")
        await client.send_frame(0, b'"phx_join",', fin=False)
        await client.send_frame(0, b"{}]")
        assert await client.receive_frame() == (10, b"between")
        opcode, data = await client.receive_frame()
        assert (opcode, json.loads(data)[4]["status"]) == (1, "ok")


async def test_compression(serve: Serve, kind: str) -> None:
    # P-085: under ASGI it is an option of the server, here one of the mount.
    endpoint = make_endpoint(Journal(), {"websocket": WebSocketOptions(compress=True)})
    options = {"ws_per_message_deflate": True} if kind.startswith("uvicorn") else {}
    async with (
        serve(endpoint, **options) as port,
        connect(port, compression="deflate") as one,
        connect(port, compression="deflate") as two,
        connect(port) as plain,
    ):
        assert [type(extension) for extension in one.connection.protocol.extensions] == [PerMessageDeflate]
        assert plain.connection.protocol.extensions == []
        for client in (one, two, plain):
            await client.join("room:a")
        for number in range(20):
            payload = {"n": number, "text": "ä" * 1000 * number}
            assert await one.call("room:a", "echo", payload) == payload
            endpoint.broadcast("room:a", "text", payload)
            endpoint.broadcast("room:a", "bytes", bytes([number]) * 1000)
            for client in (one, two, plain):
                assert await client.receive() == [None, None, "room:a", "text", payload]
                assert (await client.receive())[-1000:] == bytes([number]) * 1000
        await endpoint.drain()
        assert [await client.close_code() for client in (one, two, plain)] == [1012] * 3
