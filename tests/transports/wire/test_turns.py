"""What one client sends at once is handled in portions: everybody else has a turn in between (architecture, §6)."""

from __future__ import annotations

import json
import zlib

import anyio

from phoenix_channels import WebSocketOptions
from tests.transports.app import Journal, make_endpoint
from tests.transports.clients import connect_raw, masked
from tests.transports.fast import answer, asking
from tests.transports.servers import BLIND, Serve

TARGET = "/socket/websocket?vsn=2.0.0"
COMPRESSED = 0x41
"""The opcode of text, and RSV1."""


async def turns(journal: Journal, count: int) -> list[int]:
    """How many messages are handled between two steps of somebody else."""
    steps, before = [], 0
    with anyio.fail_after(20):
        while before < count:
            await anyio.lowlevel.checkpoint()
            steps.append(len(journal.received) - before)
            before = len(journal.received)
    return steps


async def test_many_small_messages_of_one_client_leave_the_others_their_turn(serve: Serve) -> None:
    journal = Journal()
    async with serve(make_endpoint(journal)) as port, connect_raw(port) as client:
        await client.send("1", "1", "room:a", "phx_join", {})
        await client.receive_frame()
        await client.stream.send(b"".join(client.text("1", "3", "room:a", "note", n) for n in range(3000)))
        # In one turn of the loop there is one portion that has just arrived, and one that was left from before.
        assert max(await turns(journal, 3000)) <= 64
        assert journal.received == list(range(3000))


async def test_a_few_compressed_messages_that_are_large_inside_leave_the_others_their_turn(
    serve: Serve, kind: str
) -> None:
    """A kilobyte of the wire may cost milliseconds: what counts is what comes out."""
    journal = Journal()
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(compress=True)})
    options = {"ws_per_message_deflate": True} if kind in BLIND else {}
    async with (
        serve(endpoint, **options) as port,
        asking(port, TARGET, sec_websocket_extensions="permessage-deflate") as client,
    ):
        response = await answer(client)
        assert response.headers["sec-websocket-extensions"].startswith("permessage-deflate")
        await client.send("1", "1", "room:a", "phx_join", {})
        await client.receive_frame()
        await client.stream.send(b"".join(compressed(n) for n in range(60)))
        assert max(await turns(journal, 60)) <= 2
        assert [len(payload) for payload in journal.received] == list(range(100_000, 100_060))


def compressed(number: int) -> bytes:
    """A message that is small on the wire, and large when it is inflated (RFC 7692)."""
    message = json.dumps(["1", "3", "room:a", "note", "x" * (100_000 + number)]).encode()
    deflate = zlib.compressobj(wbits=-15)
    data = deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return masked(COMPRESSED, data.removesuffix(b"\x00\x00\xff\xff"))
