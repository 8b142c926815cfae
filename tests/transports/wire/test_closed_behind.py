"""A connection that ends while its client is behind: what waits comes first, and nothing comes after the close.

RFC 6455, 5.5.1: behind a close frame nobody reads.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator

import anyio
import pytest

from phoenix_channels import Endpoint, WebSocketOptions
from tests.transports.app import Journal, eventually, make_endpoint
from tests.transports.clients import V2, RawClient, connect, masked
from tests.transports.fast import answer, asking
from tests.transports.servers import BLIND, Serve

USER = f"{V2}&user=ada"
TEXT = random.Random(1).randbytes(5000).hex()
"""Compression makes half of it."""
MOST = 10_000
"""More broadcasts than the buffers of any kernel take."""

both_ways = pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])


def endpoint_of(journal: Journal, *, compress: bool) -> Endpoint:
    return make_endpoint(journal, {"websocket": WebSocketOptions(compress=compress)})


def options_of(kind: str, *, compress: bool) -> dict[str, bool]:
    """What the server has to be told, where compression is its own to decide about (P-085)."""
    return {"ws_per_message_deflate": compress} if kind in BLIND else {}


async def fall_behind(endpoint: Endpoint) -> int:
    """Broadcast until a good part of it waits for the one that does not read; how many that were."""
    for number in range(MOST):
        if endpoint.statistics().outbox_bytes > 500_000:
            return number
        endpoint.broadcast("room:a", "n", {"n": number, "text": TEXT})
        await anyio.lowlevel.checkpoint()
    raise AssertionError("it never waits")


@both_ways
async def test_a_close_of_the_server_comes_after_all_that_waits(serve: Serve, kind: str, compress: bool) -> None:
    endpoint = endpoint_of(Journal(), compress=compress)
    async with (
        serve(endpoint, **options_of(kind, compress=compress)) as port,
        connect(port, query=USER, compression="deflate" if compress else None, max_queue=1) as client,
    ):
        await client.join("room:a")
        count = await fall_behind(endpoint)
        await endpoint.disconnect("users:ada")
        endpoint.broadcast("room:a", "n", {"n": "too late"})
        assert [(await client.receive())[4]["n"] for _ in range(count)] == list(range(count))
        assert await client.close_code() == 1001
        assert endpoint.statistics().dropped_frames == 0


@both_ways
async def test_nothing_comes_after_the_answer_to_a_close_of_the_client(
    serve: Serve, kind: str, compress: bool, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal()
    endpoint = endpoint_of(journal, compress=compress)
    headers = {"sec_websocket_extensions": "permessage-deflate"} if compress else {}
    async with serve(endpoint, **options_of(kind, compress=compress)) as port:
        async with asking(port, f"/socket/websocket?{USER}", **headers) as client:
            await answer(client)
            await client.send("1", "1", "room:a", "phx_join", {})
            await client.receive_frame()
            count = await fall_behind(endpoint)
            await client.stream.send(masked(8, b"\x03\xe8"))
            opcodes = [opcode async for opcode in frames(client)]
        assert 0 < len(opcodes) <= count + 1
        assert opcodes[-1] == 8
        assert set(opcodes[:-1]) == {1}
        await eventually(lambda: journal.reasons("room:a") == [("shutdown", "closed")])
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def frames(client: RawClient) -> AsyncGenerator[int]:
    """The opcodes of all that comes."""
    while (opcode := (await client.receive_frame())[0]) != 0:
        yield opcode
