"""How a connection ends when the client ends it, politely or not: its channels terminate, once, and nothing is left."""

from __future__ import annotations

import pytest

from phoenix_channels import Endpoint
from tests.transports.app import Journal, eventually
from tests.transports.clients import connect, connect_raw

CLOSED = ("shutdown", "closed")


@pytest.fixture(autouse=True)
async def before(endpoint: Endpoint, journal: Journal) -> None:
    """Begin where nothing is left of the one before."""
    await eventually(lambda: endpoint.statistics().connections == endpoint.statistics().channels == 0)
    assert endpoint.statistics().topics == 0
    journal.terminated.clear()
    journal.received.clear()


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
async def test_a_close_frame(port: int, journal: Journal, kind: str, code: int) -> None:
    async with connect(port) as client:
        await client.join("room:close")
        await client.join("room:too")
        await client.close(code)
        # P-082: Phoenix answers with 1000, and so does the endpoint where it answers by itself.
        assert client.connection.close_code == (1000 if kind.startswith("fast") else code)
    await eventually(lambda: sorted(journal.terminated) == [("room:close", CLOSED), ("room:too", CLOSED)])


async def test_a_close_frame_without_a_code(port: int, journal: Journal) -> None:
    async with connect_raw(port) as client:
        await client.send("1", "1", "room:a", "phx_join", {})
        await client.receive_frame()
        await client.send_frame(8, b"")
        assert (await client.receive_frame())[0] == 8
    await eventually(lambda: journal.terminated == [("room:a", CLOSED)])


@pytest.mark.parametrize("how", ["reset", "end of stream", "end within a frame"])
async def test_without_a_close_frame(port: int, journal: Journal, how: str) -> None:
    async with connect_raw(port) as client:
        await client.send("1", "1", "room:a", "phx_join", {})
        await client.receive_frame()
        if how == "reset":
            await client.abort()
        elif how == "end of stream":
            await client.stream.send_eof()
        else:
            await client.stream.send(client.text("1", "2", "room:a", "note", {})[:-5])
            await client.stream.aclose()
        await eventually(lambda: journal.terminated == [("room:a", CLOSED)])
    assert journal.received == []


async def test_what_came_before_the_close_is_handled(port: int, journal: Journal) -> None:
    async with connect_raw(port) as client:
        pushes = b"".join(client.text("1", str(ref), "room:a", "note", {"n": ref}) for ref in range(2, 22))
        await client.stream.send(client.text("1", "1", "room:a", "phx_join", {}) + pushes)
        await client.send_frame(8, b"\x03\xe8")
    await eventually(lambda: journal.terminated == [("room:a", CLOSED)])
    assert [payload["n"] for payload in journal.received] == list(range(2, 22))


async def test_a_handler_that_hangs_is_cut_and_the_channel_terminates(port: int, journal: Journal) -> None:
    async with connect(port) as client:
        await client.join("room:a")
        await client.push("room:a", "hang")
        await eventually(lambda: journal.received == ["hang"])
    await eventually(lambda: journal.terminated == [("room:a", CLOSED)])


async def test_broadcasts_into_a_connection_that_is_gone_hurt_nobody(
    port: int, journal: Journal, endpoint: Endpoint
) -> None:
    async with connect(port) as other, connect_raw(port) as client:
        await other.join("room:a")
        await client.send("1", "1", "room:a", "phx_join", {})
        await client.receive_frame()
        await client.abort()
        # The server learns of the end only between two of these, or while it writes one.
        for number in range(200):
            endpoint.broadcast("room:a", "n", {"n": number})
            assert (await other.receive())[4] == {"n": number}
        await eventually(lambda: journal.terminated == [("room:a", CLOSED)])
