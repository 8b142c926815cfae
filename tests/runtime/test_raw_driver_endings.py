"""How raw sockets end: once, in time, and with a reason (P-068, P-087)."""

from typing import Any

import anyio
import pytest

from phoenix_channels import Limits, Stop
from tests.runtime.raw_sockets import BaseRawSocket, connect, endpoint_of, messages
from tests.support.asgi import serving
from tests.support.loops import Journal, on_virtual_time, resist, settle, soon


async def test_disconnect_by_id_closes_with_1001_and_its_reason() -> None:
    class NamedSocket(BaseRawSocket):
        journal = Journal()

    endpoint = endpoint_of(NamedSocket)
    async with serving(endpoint) as server:
        client = await connect(server)
        await endpoint.disconnect("user:1")
        assert await client.receive_close() == 1001
        await client.wait_ended()
    assert NamedSocket.journal.entries == [("terminate", ("shutdown", "disconnected"))]


@on_virtual_time()
async def test_silence_closes_a_raw_socket_too() -> None:
    """P-081"""

    class SilentSocket(BaseRawSocket):
        journal = Journal()

    async with serving(endpoint_of(SilentSocket, timeout=20.0)) as server:
        client = await connect(server)
        await anyio.sleep(19)
        client.send_nowait("x")
        await anyio.sleep(19)
        assert not client.outgoing
        await anyio.sleep(2)
        assert await client.receive_close() == 1002


@on_virtual_time()
async def test_a_handler_that_does_not_return_pauses_the_reading_and_then_ends_the_connection() -> None:
    class StuckSocket(BaseRawSocket):
        journal = Journal()
        shutdown = 3.0

        async def handle_in(self, data: str | bytes) -> None:
            self.journal.add(data)
            await anyio.sleep_forever()

    endpoint = endpoint_of(StuckSocket, limits=Limits(paused_seconds=30.0), timeout=5.0)
    async with serving(endpoint) as server:
        client = await connect(server)
        for data in "abc":
            client.send_nowait(data)
        await anyio.sleep(29)
        assert client.unread == 2
        assert not client.outgoing
        await anyio.sleep(2)
        assert await client.receive_close() == 1013
        assert StuckSocket.journal.entries == ["a"]
        await anyio.sleep(4)
        assert StuckSocket.journal.entries == ["a", ("terminate", ("shutdown", "closed"))]
        assert endpoint.statistics().cut_callbacks == 1


async def test_a_handler_that_is_slow_gets_its_messages_one_by_one() -> None:
    """The client is not read any further meanwhile."""

    class SlowSocket(BaseRawSocket):
        journal = Journal()
        go_on: anyio.Event

        async def handle_in(self, data: str | bytes) -> str:
            await self.go_on.wait()
            return str(data)

    SlowSocket.go_on = anyio.Event()
    async with serving(endpoint_of(SlowSocket)) as server:
        client = await connect(server)
        for data in "abcd":
            client.send_nowait(data)
        await settle()
        assert client.unread == 3
        SlowSocket.go_on.set()
        await settle()
        assert messages(client) == ["a", "b", "c", "d"]


# terminate


async def test_terminate_that_crashes_is_logged_and_the_connection_is_over(caplog: pytest.LogCaptureFixture) -> None:
    class FailingSocket(BaseRawSocket):
        async def terminate(self, reason: Any) -> None:
            raise ZeroDivisionError

    async with serving(endpoint_of(FailingSocket)) as server:
        client = await connect(server)
        await client.close()
    assert "terminate crashed" in caplog.text


@pytest.mark.parametrize("resists", [False, True])
async def test_the_end_is_bounded_whatever_the_callbacks_do(resists: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Twice ``shutdown`` for what runs, twice for ``terminate``; then they are left behind."""
    release = anyio.Event()

    class HangingSocket(BaseRawSocket):
        journal = Journal()
        shutdown = 0.02

        async def handle_in(self, data: str | bytes) -> None:
            await (resist(release) if resists else anyio.sleep_forever())

        async def terminate(self, reason: Any) -> None:
            self.journal.add(reason)
            await (resist(release) if resists else anyio.sleep_forever())

    endpoint = endpoint_of(HangingSocket)
    async with serving(endpoint) as server:
        client = await connect(server)
        client.send_nowait("x")
        await settle()
        try:
            await endpoint.disconnect("user:1")
            await client.wait_ended()
            assert endpoint.statistics().cut_callbacks == 2
        finally:
            release.set()
            await settle()
    assert HangingSocket.journal.entries == [("shutdown", "disconnected")]
    assert ("left behind" in caplog.text) == resists


async def test_terminate_runs_once_whatever_comes_together() -> None:
    class BusySocket(BaseRawSocket):
        journal = Journal()

        async def handle_in(self, data: str | bytes) -> Stop:
            await anyio.lowlevel.checkpoint()
            return Stop("mine")

    endpoint = endpoint_of(BusySocket)
    async with serving(endpoint) as server:
        clients = [await connect(server) for _ in range(5)]
        for client in clients:
            client.send_nowait("x")
        clients[0].close_nowait()
        await endpoint.disconnect("user:1")
        await soon(endpoint.drain())
        for client in clients:
            await client.wait_ended()
    assert len(BusySocket.journal.entries) == 5
