"""How a connection ends when the server ends it: the code that the client sees, and the reason that channels get."""

from __future__ import annotations

import anyio
import pytest

from phoenix_channels import Endpoint, WebSocketOptions
from tests.transports.app import Journal, eventually, make_endpoint, socket_class
from tests.transports.clients import connect, connect_raw
from tests.transports.servers import SEEING, Serve


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "{",
        "[]",
        '["1","1","t","e"]',
        '{"topic":"t","event":"e","payload":{},"ref":"1"}',
        '["1","1","t","e",1e400]',
        "[" * 100_000,
        b"",
        b"\x00",
        b"\x01\x00\x00\x00\x00",
        b"\x00\xff\x00\x00\x00a",
    ],
    ids=["empty", "no JSON", "no elements", "four", "V1", "1e400", "deep", "binary", "short", "kind 1", "cut"],
)
async def test_undecodable(port: int, journal: Journal, malformed: str | bytes) -> None:
    before = len(journal.reasons("room:victim"))
    async with connect(port) as other, connect(port) as client:
        await other.join("room:bystander")
        await client.join("room:victim")
        await client.connection.send(malformed)
        assert await client.close_code() == 1011
        assert client.connection.close_reason == ""
        await eventually(lambda: journal.reasons("room:victim")[before:] == [("shutdown", "closed")])
        assert await other.call("room:bystander", "echo", 1) == 1


async def test_text_that_is_not_utf_8(port: int, journal: Journal) -> None:
    async with connect_raw(port) as client:
        await client.send("1", "1", "room:latin", "phx_join", {})
        await client.send_frame(1, b'["1","2","room:latin","echo",{"text":"\xe4"}]')
        assert await client.close_code() == 1007
    await eventually(lambda: journal.reasons("room:latin") == [("shutdown", "closed")])


async def test_frames_against_the_rules_of_websocket(port: int, journal: Journal) -> None:
    unmasked, reserved = b"\x81\x02[]", b"\xc1\x80\x00\x00\x00\x00"
    for data in (unmasked, reserved):
        async with connect_raw(port) as client:
            await client.send("1", "1", "room:rules", "phx_join", {})
            await client.stream.send(data)
            assert await client.close_code() == 1002
    await eventually(lambda: journal.reasons("room:rules") == [("shutdown", "closed")] * 2)


@pytest.mark.feature("C12")
async def test_a_message_over_the_size_that_the_server_takes(port: int, journal: Journal) -> None:
    async with connect_raw(port) as client:
        await client.send("1", "1", "room:huge", "phx_join", {})
        # Its head says how long it is; that is enough.
        await client.stream.send(b"\x81\xff" + (10_000_001).to_bytes(8, "big") + b"mask")
        assert await client.close_code() == 1009
    await eventually(lambda: journal.reasons("room:huge") == [("shutdown", "closed")])


@pytest.mark.feature("C12")
async def test_fragments_that_are_too_much_together(port: int, journal: Journal) -> None:
    async with connect_raw(port) as client:
        await client.send("1", "1", "room:pieces", "phx_join", {})
        # Alone each of them would pass.  A mask of zeros is one, too.
        head = b"\xff" + (6_000_000).to_bytes(8, "big") + bytes(4)
        await client.stream.send(b"\x01" + head + b" " * 6_000_000 + b"\x80" + head)
        assert await client.close_code() == 1009
    await eventually(lambda: journal.reasons("room:pieces") == [("shutdown", "closed")])


@pytest.mark.feature("B081")
async def test_disconnect_closes_every_connection_with_this_id_and_no_other(
    port: int, journal: Journal, endpoint: Endpoint
) -> None:
    async with (
        connect(port, query="vsn=2.0.0&user=ada") as laptop,
        connect(port, query="vsn=2.0.0&user=ada") as phone,
        connect(port, query="vsn=2.0.0&user=grace") as other,
    ):
        for client in (laptop, phone, other):
            await client.join("room:ids")
        endpoint.broadcast("users:ada", "something else", {})
        await endpoint.disconnect("users:ada")
        assert await laptop.close_code() == 1001
        assert await phone.close_code() == 1001
        assert laptop.connection.close_reason == ""
        await eventually(lambda: journal.reasons("room:ids") == [("shutdown", "disconnected")] * 2)
        assert await other.call("room:ids", "echo", 1) == 1


@pytest.mark.feature("C11")
async def test_silence(serve: Serve) -> None:
    journal, endpoint = Journal(), Endpoint()
    endpoint.socket("/socket", socket_class(journal), websocket=WebSocketOptions(timeout=1.0))
    async with serve(endpoint) as port, connect(port) as silent, connect(port) as lively:
        await silent.join("room:silent")
        with anyio.CancelScope() as until_closed:
            async with anyio.create_task_group() as group:

                async def beat() -> None:
                    # What the client sends keeps it, what it is sent does not.
                    while True:
                        await lively.send(None, "1", "phoenix", "heartbeat", {})
                        await lively.receive()
                        endpoint.broadcast("room:silent", "noise", {})

                group.start_soon(beat)
                assert await silent.close_code() == 1002
                # At once: from here on nobody beats any more.
                assert endpoint.statistics().connections == 1
                until_closed.cancel()
        await eventually(lambda: journal.terminated == [("room:silent", ("shutdown", "closed"))])


@pytest.mark.feature("C11")
@pytest.mark.parametrize("kind", SEEING, scope="module")
async def test_pings_are_signs_of_life_where_the_server_shows_them(serve: Serve) -> None:
    journal, endpoint = Journal(), Endpoint()
    endpoint.socket("/socket", socket_class(journal), websocket=WebSocketOptions(timeout=1.0))
    async with serve(endpoint) as port, connect_raw(port) as lively, connect_raw(port) as silent:
        with anyio.CancelScope() as until_closed:
            async with anyio.create_task_group() as group:

                async def ping() -> None:
                    while True:
                        await lively.send_frame(9, b"")
                        assert await lively.receive_frame() == (10, b"")

                group.start_soon(ping)
                assert await silent.close_code() == 1002
                until_closed.cancel()
        assert endpoint.statistics().connections == 1


async def test_drain(serve: Serve) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    async with serve(endpoint) as port, connect(port) as one, connect(port) as two, connect(port) as idle:
        await one.join("room:1")
        await one.join("room:2")
        await two.join("room:1")
        await endpoint.drain()
        assert len(journal.terminated) == 3
        assert {reason for _, reason in journal.terminated} == {("shutdown", "draining")}
        # Connections without a channel as well (P-089).
        for client in (one, two, idle):
            assert await client.close_code() == 1012
        assert endpoint.statistics().connections == 0


async def test_no_close_or_error_frames_come_before_the_close(port: int, endpoint: Endpoint) -> None:
    async with connect_raw(port, query="vsn=2.0.0&user=margaret") as client:
        await client.send("1", "1", "room:quiet", "phx_join", {})
        await client.receive_frame()
        await endpoint.disconnect("users:margaret")
        assert await client.receive_frame() == (8, (1001).to_bytes(2, "big"))
