"""How raw sockets end: once, in time, and with a reason (P-068, P-087)."""

import logging
import threading
from typing import Any

import anyio
import pytest

from phoenix_channels import Endpoint, Limits, MailboxFull, RawSocket, Stop
from tests.runtime.raw_sockets import BaseRawSocket, connect, endpoint_of, messages
from tests.support.asgi import serving
from tests.support.loops import DEADLINE, Journal, on_virtual_time, resist, settle, soon


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


async def test_what_waits_is_counted_in_bytes() -> None:
    class SlowSocket(BaseRawSocket):
        journal = Journal()
        release: anyio.Event

        async def handle_in(self, data: str | bytes) -> None:
            await self.release.wait()

    endpoint = endpoint_of(SlowSocket)
    async with serving(endpoint) as server:
        for data, size in (("ä€😀", 9), ("\ud800", 1), (b"\xc3\xa4", 2)):
            SlowSocket.release = anyio.Event()
            client = await connect(server)
            client.send_nowait(data)
            await settle()
            now = endpoint.statistics()
            assert (now.waiting_messages, now.waiting_bytes) == (1, size)
            SlowSocket.release.set()
            await client.close()


async def test_threads_that_send_more_than_fits_close_the_connection() -> None:
    """There is room as long as the loop is held up, and none any more when the messages arrive."""
    sockets: list[RawSocket] = []
    release = anyio.Event()

    class SlowSocket(BaseRawSocket):
        journal = Journal()

        def init(self) -> None:
            sockets.append(self)

        async def handle_info(self, message: Any) -> None:
            await release.wait()

    async with serving(endpoint_of(SlowSocket, limits=Limits(mailbox_messages=3))) as server:
        client = await connect(server)
        await settle()
        for number in range(6):
            thread = threading.Thread(target=sockets[0].send, args=(number,))
            thread.start()
            thread.join(DEADLINE)
        assert await client.receive_close() == 1011
        release.set()
        await client.wait_ended()
    ((_, reason),) = SlowSocket.journal.entries
    assert isinstance(reason, MailboxFull)


class Broadcaster(logging.Handler):
    """A live page of the log; stops by itself where lines about lines would never end."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if len(self.lines) < 10:
            self.endpoint.broadcast("log", "line", {"text": record.getMessage()})


async def test_a_log_that_is_broadcast_to_a_socket_that_does_not_keep_up() -> None:
    release = anyio.Event()

    class LogSocket(BaseRawSocket):
        journal = Journal()

        async def init(self) -> None:
            await self.subscribe("log")

        async def handle_info(self, message: Any) -> None:
            await release.wait()

    endpoint = endpoint_of(LogSocket, limits=Limits(mailbox_messages=3))
    handler = Broadcaster(endpoint)
    logger = logging.getLogger("phoenix_channels")
    async with serving(endpoint) as server:
        client = await connect(server)
        await settle()
        logger.addHandler(handler)
        try:
            for _ in range(6):
                endpoint.broadcast("log", "line", {})
        finally:
            logger.removeHandler(handler)
        (line,) = handler.lines
        assert line.endswith("LogSocket: a callback crashed")
        release.set()
        assert await client.receive_close() == 1011
        await client.wait_ended()
    ((_, reason),) = LogSocket.journal.entries
    assert isinstance(reason, MailboxFull)


@pytest.mark.parametrize("what", ["push", "send", "ping", "close", "subscribe", "unsubscribe"])
async def test_in_connect_there_is_no_connection_to_do_anything_with(what: str) -> None:
    class EagerSocket(BaseRawSocket):
        journal = Journal()

        async def connect(self, params: Any, info: Any) -> None:
            arguments = [] if what in ("ping", "close") else ["a"]

            async def act() -> None:
                result = getattr(self, what)(*arguments)
                if result is not None:
                    await result

            with pytest.raises(RuntimeError, match=r"not possible in connect.*use init"):
                await act()
            self.journal.add("connected")

    async with serving(endpoint_of(EagerSocket)) as server:
        await connect(server)
    assert EagerSocket.journal.entries[0] == "connected"


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
