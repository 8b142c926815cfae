"""The life of a channel for clients of version 1: objects without a join_ref (P-043 to P-045)."""

from typing import Any

import pytest

from phoenix_channels import Channel, JoinRefused, Reply, Stop, incoming, intercept
from tests.support.apps import serve
from tests.support.asgi import Client, Server

TOPIC = "room:a"


def frame(event: str, payload: object = None, ref: object = None, *, topic: str = TOPIC) -> dict[str, Any]:
    return {"topic": topic, "event": event, "payload": {} if payload is None else payload, "ref": ref}


def reply(ref: object, response: object = None, *, status: str = "ok", topic: str = TOPIC) -> dict[str, Any]:
    payload = {"status": status, "response": {} if response is None else response}
    return frame("phx_reply", payload, ref, topic=topic)


class RoomChannel(Channel):
    async def join(self, payload: Any) -> object:
        if payload == "refuse":
            raise JoinRefused(reason="no")
        return {"joined": payload}

    async def after_join(self) -> None:
        self.push("joined", {})
        self.broadcast("user_entered", {})

    @incoming
    async def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)

    @incoming
    async def data(self, payload: Any) -> Reply:
        return Reply.ok(b"data")

    @incoming
    async def push_data(self, payload: Any) -> None:
        self.push("data", b"data")

    @incoming
    async def stop(self, payload: Any) -> Stop:
        return Stop()

    @intercept("new_msg")
    async def new_msg(self, payload: Any) -> None:
        self.push("new_msg", {**payload, "transport": self.socket.transport})


async def joined(server: Server) -> Client:
    client = await server.connect(query="vsn=1.0.0")
    client.send_nowait(frame("phx_join", {"n": 1}, "1"))
    assert await client.receive() == reply("1", {"joined": {"n": 1}})
    assert await client.receive() == frame("joined")
    assert await client.receive() == frame("user_entered")
    return client


async def test_a_whole_life() -> None:
    async with serve(RoomChannel) as (endpoint, server):
        client = await joined(server)
        client.send_nowait(frame("heartbeat", {}, "2", topic="phoenix"))
        assert await client.receive() == reply("2", topic="phoenix")
        client.send_nowait(frame("echo", [1], 3))
        assert await client.receive() == reply(3, [1])
        endpoint.broadcast(TOPIC, "event", {"n": 1})
        assert await client.receive() == frame("event", {"n": 1})
        endpoint.broadcast(TOPIC, "new_msg", {"body": "hi"})
        assert await client.receive() == frame("new_msg", {"body": "hi", "transport": "websocket"})
        client.send_nowait(frame("phx_leave", {}, "4"))
        assert await client.receive() == reply("4")
        # These clients send no join_ref: the join's ref says which join has ended.
        assert await client.receive() == frame("phx_close", ref="1")
        client.send_nowait(frame("echo", {}, "5"))
        assert await client.receive() == reply("5", {"reason": "unmatched topic"}, status="error")
        client.send_nowait(frame("phx_join", {}, "6", topic="nowhere"))
        assert await client.receive() == reply("6", {"reason": "unmatched topic"}, status="error", topic="nowhere")
        client.send_nowait(frame("phx_join", "refuse", "7"))
        assert await client.receive() == reply("7", {"reason": "no"}, status="error")


async def test_a_duplicate_join_and_a_stop() -> None:
    async with serve(RoomChannel) as (_, server):
        client = await joined(server)
        client.send_nowait(frame("phx_join", {}, "2"))
        assert await client.receive() == reply("2", {"joined": {}})
        assert await client.receive() == frame("phx_close", ref="1")
        assert await client.receive_many(2) == [frame("joined"), frame("user_entered")]
        client.send_nowait(frame("stop", {}, "3"))
        assert await client.receive() == frame("phx_close", ref="2")


@pytest.mark.parametrize("event", ["data", "push_data", "unknown"])
async def test_what_it_cannot_carry_crashes_the_channel(event: str) -> None:
    """P-045."""
    async with serve(RoomChannel) as (_, server):
        client = await joined(server)
        client.send_nowait(frame(event, {}, "2"))
        assert await client.receive() == frame("phx_error", {"reason": "channel_crash"}, "1")
        client.send_nowait(frame("heartbeat", {}, "3", topic="phoenix"))
        assert await client.receive() == reply("3", topic="phoenix")


async def test_a_join_ref_that_is_sent_all_the_same() -> None:
    async with serve(RoomChannel) as (_, server):
        client = await server.connect(query="vsn=1.0.0")
        client.send_nowait({**frame("phx_join", {}, "1"), "join_ref": "9"})
        await client.receive_many(3)
        client.send_nowait({**frame("echo", {}, "2"), "join_ref": "8"})  # stale
        client.send_nowait({**frame("echo", {}, "3"), "join_ref": "9"})
        assert await client.receive() == reply("3")
        client.send_nowait(frame("stop", {}, "4"))
        assert await client.receive() == frame("phx_close", ref="9")


async def test_a_binary_join_reply_ends_the_connection_and_binary_frames_hold_json() -> None:
    class BinaryChannel(Channel):
        async def join(self, payload: Any) -> bytes:
            return b"data"

    async with serve({"binary:*": BinaryChannel, "room:*": RoomChannel}) as (_, server):
        client, other = await server.connect(query=""), await joined(server)
        client.send_nowait(b'{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}')
        assert await client.receive() == reply("1", topic="phoenix")
        client.send_nowait(frame("phx_join", {}, "2", topic="binary:a"))
        assert await client.receive_close() == 1011
        other.send_nowait(frame("echo", {}, "2"))
        assert await other.receive() == reply("2")


@pytest.mark.feature("B095")
@pytest.mark.parametrize(
    "garbage", ["[]", '["1","2","room:a","echo",{}]', '{"topic":"room:a","event":"echo","ref":"1"}']
)
async def test_garbage_closes_with_1011(garbage: str) -> None:
    async with serve(RoomChannel) as (_, server):
        client = await joined(server)
        client.send_nowait(garbage)
        assert await client.receive_close() == 1011
