"""Raw sockets at run time: one callback at a time, in order, and one end (P-087)."""

import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from phoenix_channels import EncodeError, Limits, MailboxFull, RawSocket, Reply, Stop
from tests.runtime.raw_sockets import BaseRawSocket, connect, endpoint_of, messages
from tests.support.asgi import serving
from tests.support.loops import DEADLINE, Journal, settle, soon

# Callbacks


async def test_callbacks_run_one_at_a_time_and_in_order_of_arrival() -> None:
    class EagerSocket(BaseRawSocket):
        journal = Journal()
        running = 0

        async def _do(self, what: object) -> None:
            self.running += 1
            assert self.running == 1, "two callbacks at once"
            await anyio.lowlevel.checkpoint()
            self.journal.add(what)
            self.running -= 1

        async def init(self) -> None:
            self.send("first")
            await self._do("init")

        async def handle_in(self, data: str | bytes) -> None:
            self.send(f"info of {data!r}")
            await self._do(data)

        async def handle_info(self, message: Any) -> None:
            await self._do(message)

        async def terminate(self, reason: Any) -> None:
            await self._do(("terminate", reason))

    async with serving(endpoint_of(EagerSocket)) as server:
        client = await connect(server)
        for data in ("one", b"two", "three"):
            client.send_nowait(data)
        await settle()
        await client.close()
    assert EagerSocket.journal.entries == [
        "init", "first", "one", "info of 'one'", b"two", "info of b'two'", "three", "info of 'three'",
        ("terminate", ("shutdown", "closed")),
    ]  # fmt: skip


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_callbacks_return_goes_to_the_client(asynchronous: bool) -> None:
    def result_of(value: Any) -> Any:
        async def later() -> Any:
            await anyio.lowlevel.checkpoint()
            return value

        return later() if asynchronous else value

    class AnsweringSocket(BaseRawSocket):
        journal = Journal()

        def init(self) -> Any:
            return result_of("hello")

        def handle_in(self, data: str | bytes) -> Any:
            self.send(data)
            return result_of(data)

        def handle_info(self, message: Any) -> Any:
            return result_of(None if message == "" else message)

    async with serving(endpoint_of(AnsweringSocket)) as server:
        client = await connect(server)
        for data in ("text grüße", b"\x00\xff", "", b""):
            client.send_nowait(data)
        await settle()
        assert messages(client) == ["hello", "text grüße", "text grüße", b"\x00\xff", b"\x00\xff", "", b"", b""]


def stop(reason: object) -> Callable[[], object]:
    return lambda: Stop(reason)


@pytest.mark.parametrize(
    ("act", "code", "reason"),
    [
        (stop("normal"), 1000, "normal"),
        (stop("shutdown"), 1000, "shutdown"),
        (stop(("shutdown", "mine")), 1000, ("shutdown", "mine")),
        (stop("broken"), 1011, "broken"),
        (stop(None), 1011, None),
        (lambda: Stop("normal", Reply.ok()), 1011, TypeError),
        (Reply.ok, 1011, TypeError),
        (lambda: 7, 1011, TypeError),
        (lambda: True, 1011, TypeError),
        (lambda: bytearray(b"x"), 1011, TypeError),
        (lambda: "\ud800", 1011, EncodeError),
        (lambda: 1 / 0, 1011, ZeroDivisionError),
    ],
)
@pytest.mark.parametrize("where", ["init", "handle_in", "handle_info"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_results_and_crashes_that_end_the_connection(
    act: Callable[[], object], code: int, reason: object, where: str, asynchronous: bool
) -> None:
    """P-082: 1011 for a crash; ``terminate`` learns why."""

    class DyingSocket(BaseRawSocket):
        journal = Journal()

    async def later(self: Any, *args: object) -> Any:
        await anyio.lowlevel.checkpoint()
        return act()

    def now(self: Any, *args: object) -> Any:
        return act()

    def begin(self: RawSocket) -> None:
        self.send("go")

    setattr(DyingSocket, where, later if asynchronous else now)
    if where == "handle_info":
        DyingSocket.init = begin  # type: ignore[method-assign]
    async with serving(endpoint_of(DyingSocket)) as server:
        client = await connect(server)
        client.send_nowait("go")
        client.send_nowait("not any more")
        assert await client.receive_close() == code
        await client.wait_ended()
    ((_, found),) = DyingSocket.journal.entries
    if isinstance(reason, type):
        assert isinstance(found, reason)
    else:
        assert found == reason


async def test_a_result_that_is_none_of_the_legal_ones_says_which_they_are(caplog: pytest.LogCaptureFixture) -> None:
    class ConfusedSocket(BaseRawSocket):
        journal = Journal()

        def handle_in(self, data: str | bytes) -> Any:
            return {"a": "dict"}

    async with serving(endpoint_of(ConfusedSocket)) as server:
        client = await connect(server)
        client.send_nowait("go")
        assert await client.receive_close() == 1011
    assert "ConfusedSocket: a callback returned a dict; legal are str and bytes" in caplog.text


async def test_what_was_sent_before_a_stop_or_a_crash_still_arrives() -> None:
    class LastSocket(BaseRawSocket):
        journal = Journal()

        def handle_in(self, data: str | bytes) -> Stop:
            self.push("one")
            self.push(b"two")
            if data == "crash":
                raise ZeroDivisionError
            return Stop()

    async with serving(endpoint_of(LastSocket)) as server:
        for data, code in (("crash", 1011), ("stop", 1000)):
            client = await connect(server)
            client.send_nowait(data)
            await client.wait_ended()
            assert messages(client) == ["one", b"two", code]


# What a socket can do


@pytest.mark.parametrize("code", [1000, 1001, 1013, 3000, 4999])
async def test_close_with_a_code(code: int) -> None:
    class ClosingSocket(BaseRawSocket):
        journal = Journal()

        def handle_in(self, data: str | bytes) -> str:
            self.push("bye")
            self.close(code)
            self.close(1011)
            self.push("nothing any more")
            return "nor this"

    async with serving(endpoint_of(ClosingSocket)) as server:
        client = await connect(server)
        client.send_nowait("go")
        await client.wait_ended()
        assert messages(client) == ["bye", code]
    assert ClosingSocket.journal.entries == [("terminate", ("shutdown", "closed"))]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1014, 1015, 2999, 5000])
async def test_a_code_that_may_not_be_sent(code: int) -> None:
    class ClosingSocket(BaseRawSocket):
        journal = Journal()

        def handle_in(self, data: str | bytes) -> str:
            with pytest.raises(ValueError, match="3000 to 4999"):
                self.close(code)
            return "still here"

    async with serving(endpoint_of(ClosingSocket)) as server:
        client = await connect(server)
        client.send_nowait("go")
        await settle()
        assert messages(client) == ["still here"]


@pytest.mark.parametrize("data", [None, 7, ["x"], bytearray(b"x")])
async def test_what_is_no_message_cannot_be_pushed(data: Any) -> None:
    class PushingSocket(BaseRawSocket):
        journal = Journal()

        def handle_in(self, ignored: str | bytes) -> str:
            with pytest.raises(TypeError, match="str or bytes"):
                self.push(data)
            return "still here"

    async with serving(endpoint_of(PushingSocket)) as server:
        client = await connect(server)
        client.send_nowait("go")
        await settle()
        assert messages(client) == ["still here"]


@pytest.mark.parametrize(("payload", "error"), [(bytes(126), ValueError), (bytes(125), RuntimeError)])
async def test_pings_are_short_and_not_for_every_server(payload: bytes, error: type[Exception]) -> None:
    """P-084: ASGI has none."""

    class PingingSocket(BaseRawSocket):
        journal = Journal()

        def init(self) -> str:
            with pytest.raises(error, match="ping"):
                self.ping(payload)
            return "still here"

    async with serving(endpoint_of(PingingSocket)) as server:
        client = await connect(server)
        assert (await soon(client.outgoing.get()))["text"] == "still here"


async def test_send_from_another_thread() -> None:
    class ThreadedSocket(BaseRawSocket):
        journal = Journal()

        async def init(self) -> None:
            def work() -> None:
                for number in range(100):
                    self.send(number)

            await anyio.to_thread.run_sync(work)

        def handle_info(self, message: int) -> str:
            return str(message)

    async with serving(endpoint_of(ThreadedSocket)) as server:
        client = await connect(server)
        await client.outgoing.get()
        await settle()
        assert messages(client) == [str(number) for number in range(1, 100)]


@pytest.mark.parametrize("what", ["push", "ping", "close"])
async def test_what_belongs_to_the_event_loop_says_so_elsewhere(what: str) -> None:
    class ThreadedSocket(BaseRawSocket):
        journal = Journal()

        async def init(self) -> str:
            def work() -> None:
                with pytest.raises(RuntimeError, match=rf"{what}.*event loop"):
                    {"push": lambda: self.push("x"), "ping": self.ping, "close": self.close}[what]()

            await anyio.to_thread.run_sync(work)
            return "still here"

    async with serving(endpoint_of(ThreadedSocket)) as server:
        client = await connect(server)
        assert (await soon(client.outgoing.get()))["text"] == "still here"


async def test_a_mailbox_that_is_full_says_so() -> None:
    class StuckSocket(BaseRawSocket):
        journal = Journal()
        release = anyio.Event()

        async def handle_info(self, message: Any) -> None:
            await self.release.wait()

        def init(self) -> None:
            for number in range(11):
                try:
                    self.send(number)
                except MailboxFull as error:
                    self.journal.add(str(error))

    StuckSocket.release = anyio.Event()
    async with serving(endpoint_of(StuckSocket, limits=Limits(mailbox_messages=10))) as server:
        await connect(server)
        await settle()
        (text,) = StuckSocket.journal.entries
        assert "mailbox_messages=10" in text
        StuckSocket.release.set()


async def test_what_is_sent_after_the_end_is_nothing() -> None:
    sockets: list[RawSocket] = []

    class GoneSocket(BaseRawSocket):
        journal = Journal()

        def init(self) -> None:
            sockets.append(self)

        def handle_info(self, message: Any) -> None:
            raise AssertionError

    async with serving(endpoint_of(GoneSocket)) as server:
        client = await connect(server)
        await client.close()
        sockets[0].send("x")
        sockets[0].push("x")
        sockets[0].close()
        thread = threading.Thread(target=sockets[0].send, args=["x"])
        thread.start()
        thread.join(DEADLINE)
        await settle()
    assert GoneSocket.journal.entries == [("terminate", ("shutdown", "closed"))]
