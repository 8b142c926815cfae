"""What a client may send, from end to end: the rows C01 and C02 of the inventory, and B076."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw

from phoenix_channels.protocol.messages import Message, Opcode
from phoenix_channels.protocol.serializers import V1JSONSerializer, V2JSONSerializer
from tests.features.app import make_endpoint
from tests.features.clients import Serve
from tests.support import frames
from tests.support.loops import Journal

TOPIC = "room:a"
CONNECTED = {"status": "connected"}

MALFORMED: dict[int, list[str | bytes]] = {
    1: [
        "",
        "{",
        "[]",
        '["11","2","room:a","echo",{}]',
        '{"topic":"room:a","event":"echo","payload":{}}',
        '{"topic":"room:a","event":"echo","payload":1e400,"ref":"2"}',
        b"",
        b"{",
        b'["11","2","room:a","echo",{}]',
        b'{"topic":"room:a","event":"echo","payload":"\xff","ref":"2"}',
        b"\x00\x00\x01\x06\x042room:aecho",
    ],
    2: [
        "",
        "[",
        "{}",
        '["11","2","room:a","echo"]',
        '{"topic":"room:a","event":"echo","payload":{},"ref":"2"}',
        '["11","2","room:a","echo",1e400]',
        b"",
        b"\x00",
        b"\x00\x02\x01\x06\x04112room:aech",
        b"\x01\x02\x01\x06\x02112room:aok",
        b'["11","2","room:a","echo",{}]',
    ],
}


@pytest.mark.feature("C01")
@pytest.mark.parametrize(
    ("version", "malformed"), [(version, message) for version, messages in MALFORMED.items() for message in messages]
)
async def test_malformed_frames(serve: Serve, version: int, malformed: str | bytes) -> None:
    journal = Journal()
    async with serve(make_endpoint(journal)) as server:
        client, other = await server.connect(version), await server.connect(version)
        for one in (client, other):
            await one.join(TOPIC, {}, CONNECTED)
        await client.receive_many(3)  # its greetings, and the other's
        await other.receive_many(2)
        await client.send_raw(malformed)
        assert await client.receive_close() == 1011
        await journal.wait_length(1)
        assert journal.entries == [("terminated", TOPIC, ("shutdown", "closed"))]
        ref = await other.send(TOPIC, "echo", {"still": "here"})
        assert await other.receive() == frames.reply(other.join_ref(TOPIC), ref, TOPIC, {"still": "here"})


@pytest.mark.feature("C02")
async def test_more_than_five_elements_and_refs_of_every_type(serve: Serve) -> None:
    async with serve(make_endpoint(Journal())) as server:
        client = await server.connect(2)

        async def call(*message: object) -> object:
            await client.send_raw(json.dumps(message))
            return await client.receive()

        for join_ref in (3, "3", 3.5, {"n": [1]}, [True], True):
            topic = f"room:{json.dumps(join_ref)}"
            joined = await call(join_ref, {"ref": 1}, topic, "phx_join", {}, "a sixth", ["and", "more"])
            assert same(joined, frames.reply(join_ref, {"ref": 1}, topic, CONNECTED))
            await client.receive()  # a broadcast
            assert same(await client.receive(), frames.push(join_ref, topic, "joined", {"user": "anonymous"}))
            # P-031: equal in type and value, or stale; stale messages get no answer.
            for stale in (3, "3", 3.0, 3.5, 1, True, [True], [1], {"n": [1]}, {"n": [True]}, {"n": ["1"]}, {}):
                if not same(stale, join_ref):
                    await client.send_raw(json.dumps([stale, "stale", topic, "echo", {}]))
            for ref in (7, "7", 0.5, {"a": {"b": None}}, [1, "1"], False, None):
                assert same(await call(join_ref, ref, topic, "echo", [1], 6), frames.reply(join_ref, ref, topic, [1]))


def same(left: object, right: object) -> bool:
    """Equal in type and value: for Python alone 1, True and 1.0 are all the same."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@pytest.mark.feature("B076")
@pytest.mark.parametrize(
    "payload",
    [
        "a=1&password=hidden&b=2",
        "a=1&password=hidden",
        "password=hidden",
        "&&password=hidden%&=&",
        {"password": "hidden"},
        {"form": {"user": "ada", "password": "hidden"}},
    ],
    ids=json.dumps,
)
def test_the_repr_of_a_message_shows_no_password(payload: object) -> None:
    as_json = json.dumps(payload)
    v1 = V1JSONSerializer().decode(f'{{"topic":"t","event":"e","payload":{as_json},"ref":"1"}}', Opcode.TEXT)
    v2 = V2JSONSerializer().decode(f'["1","1","t","e",{as_json}]', Opcode.TEXT)
    for message in (v1, v2):
        assert isinstance(message, Message)
        assert isinstance(message.payload, Raw)
        assert "hidden" in bytes(message.payload).decode()
        assert "hidden" not in repr(message)
        assert "'e'" in repr(message)
