"""A mount with a serializer of the application's own (P-029): the protocol in MessagePack, all of it binary."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from phoenix_channels import EncodeError, Endpoint
from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.messages import Frame, Message, Opcode, Payload, Ref
from phoenix_channels.protocol.serializers import V2JSONSerializer
from phoenix_channels.transports.options import MountOptions
from tests.support.asgi import Client, Refused, Server, serving
from tests.support.loops import soon
from tests.transports.app import Journal, make_endpoint


class MessagePackSerializer:
    """Messages of five elements, as those of version 2, but packed; a binary payload needs no frame of its own."""

    def decode(self, data: str | bytes, opcode: Opcode) -> Message:
        try:
            if isinstance(data, str):
                raise TypeError("a text frame")
            join_ref, ref, topic, event, payload = msgspec.msgpack.decode(data)
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            raise RemoteProtocolError(f"no MessagePack: {error}", close_code=1011) from error
        packed = payload if isinstance(payload, bytes) else msgspec.Raw(msgspec.json.encode(payload))
        return Message(join_ref, ref, topic, event, packed)

    def encode_push(self, join_ref: Ref, topic: str, event: str, payload: Payload) -> Frame:
        return self._pack(join_ref, None, topic, event, self._term(payload))

    def encode_reply(self, join_ref: Ref, ref: Ref, topic: Any, status: str, response: Payload) -> Frame:
        return self._pack(join_ref, ref, topic, "phx_reply", {"status": status, "response": self._term(response)})

    def encode_broadcast(self, topic: str, event: str, payload: Payload) -> Frame:
        return self._pack(None, None, topic, event, self._term(payload))

    def encode_end(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: Payload) -> Frame:
        return self._pack(join_ref, join_ref, topic, event, self._term(payload))

    @staticmethod
    def _term(payload: Payload) -> Any:
        return msgspec.json.decode(payload) if isinstance(payload, msgspec.Raw) else payload

    @staticmethod
    def _pack(*message: Any) -> Frame:
        return Frame(Opcode.BINARY, msgspec.msgpack.encode(message))


MOUNT: MountOptions = {
    "serializers": [(MessagePackSerializer(), "~> 5.0.0"), (V2JSONSerializer(), "~> 2.0.0")],
}
PACKED = "vsn=5.0.1"


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def endpoint(journal: Journal) -> Endpoint:
    return make_endpoint(journal, MOUNT)


async def call(client: Client, *message: Any) -> Any:
    client.send_nowait(msgspec.msgpack.encode(message))
    return await receive(client)


async def receive(client: Client) -> Any:
    return msgspec.msgpack.decode(await client.receive())


async def packed(server: Server) -> Client:
    """A client that has joined room:a, and speaks MessagePack."""
    client = await server.connect(query=PACKED)
    reply = await call(client, "1", "1", "room:a", "phx_join", {"hello": [1, None]})
    assert reply == ["1", "1", "room:a", "phx_reply", {"status": "ok", "response": {"hello": [1, None]}}]
    return client


async def test_everything_a_channel_says_is_packed(endpoint: Endpoint, journal: Journal) -> None:
    async with serving(endpoint) as server:
        client = await packed(server)
        beat = await call(client, None, "2", "phoenix", "heartbeat", {})
        assert beat == [None, "2", "phoenix", "phx_reply", {"status": "ok", "response": {}}]
        for payload in ({"n": 1}, b"\x00\xff", "ä"):
            echo = await call(client, "1", "3", "room:a", "echo", payload)
            assert echo == ["1", "3", "room:a", "phx_reply", {"status": "ok", "response": payload}]
        assert await call(client, "1", "4", "room:a", "push_me", {"a": 1}) == ["1", None, "room:a", "pushed", {"a": 1}]
        assert await call(client, "1", "5", "room:a", "phx_leave", {}) == [
            "1", "5", "room:a", "phx_reply", {"status": "ok", "response": {}},
        ]  # fmt: skip
        assert await receive(client) == ["1", "1", "room:a", "phx_close", {}]
    assert journal.terminated == [("room:a", ("shutdown", "left"))]


async def test_a_broadcast_reaches_clients_of_both_kinds(endpoint: Endpoint) -> None:
    async with serving(endpoint) as server:
        one, two, plain = await packed(server), await packed(server), await server.joined("room:a")
        endpoint.broadcast("room:a", "text", {"x": "ä"})
        endpoint.broadcast("room:a", "bytes", b"\x00")
        for client in (one, two):
            assert await receive(client) == [None, None, "room:a", "text", {"x": "ä"}]
            assert await receive(client) == [None, None, "room:a", "bytes", b"\x00"]
        assert await plain.receive() == [None, None, "room:a", "text", {"x": "ä"}]
        assert await plain.receive() == b"\x02\x06\x05room:abytes\x00"


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01\x02\x03", '["1","1","room:a","phx_join",{}]'])
async def test_what_it_cannot_decode_closes_the_connection(
    endpoint: Endpoint, journal: Journal, data: str | bytes
) -> None:
    async with serving(endpoint) as server:
        client = await packed(server)
        client.send_nowait(data)
        assert await client.receive_close() == 1011
        await client.wait_ended()
    assert journal.terminated == [("room:a", ("shutdown", "closed"))]


@pytest.mark.parametrize("vsn", ["1.0.0", "5.1.0", "4.9.9", "5.0", ""])
async def test_p028_only_what_the_mount_lists_is_spoken(endpoint: Endpoint, vsn: str) -> None:
    async with serving(endpoint) as server:
        for query in (f"vsn={vsn}", ""):
            with pytest.raises(Refused) as refused:
                await server.connect(query=query)
            assert refused.value.status == 403


async def test_p004_the_same_class_speaks_otherwise_at_another_mount(endpoint: Endpoint) -> None:
    match = endpoint.mounts.match(("socket", "websocket"))
    assert match is not None
    endpoint.socket("/plain", match.mount.socket_class)
    async with serving(endpoint) as server:
        client = await server.connect("/plain/websocket")
        await soon(client.heartbeat())
        with pytest.raises(Refused):
            await server.connect("/plain/websocket", query=PACKED)


async def test_p106_long_polling_carries_no_binary_frames(journal: Journal) -> None:
    endpoint = make_endpoint(journal, {**MOUNT, "longpoll": True}, secret_key_base="k" * 64)
    match = endpoint.mounts.match(("socket", "longpoll"))
    assert match is not None
    serializer = match.mount.text_serializers.negotiate("5.0.0")
    assert serializer is not None
    with pytest.raises(EncodeError, match="long polling carries no binary payloads"):
        serializer.encode_broadcast("room:a", "event", msgspec.Raw(b"{}"))
