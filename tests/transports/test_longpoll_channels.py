"""Binary payloads over long polling (P-106, deviation 6), and raw sockets (P-087)."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, EncodeError, RawSocket, Reply, Stop, incoming
from tests.support import frames
from tests.support.loops import Journal, on_virtual_time, settle
from tests.support.polling import Poller, answer_of, polled, posted, socket_of


class RoomChannel(Channel):
    @incoming
    def push_bytes(self, payload: Any) -> Reply:
        with pytest.raises(EncodeError, match=r"binary.*P-106"):
            self.push("event", b"bytes")
        return Reply.ok()

    @incoming
    def reply_bytes(self, payload: Any) -> Reply:
        return Reply.ok(b"bytes")

    @incoming
    def size(self, payload: Any) -> Reply:
        return Reply.ok(len(payload))


async def test_a_broadcast_of_bytes_skips_who_polls_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Deviation 6: everybody else gets it."""
    async with polled(socket_of(RoomChannel)) as (endpoint, server):
        poller, version_1 = await Poller(server).open(), await Poller(server, query="vsn=1.0.0").open()
        client = await server.joined("room:a")
        await poller.join("room:a")
        message = {"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1", "join_ref": "1"}
        assert await version_1.post(message) == 200
        assert len((await version_1.poll())[1]) == 1
        endpoint.broadcast("room:a", "event", b"bytes")
        endpoint.broadcast("room:a", "after", {})
        assert await client.receive() == b"\x02\x06\x05room:aeventbytes"
        assert await poller.poll() == (200, [frames.broadcast("room:a", "after")])
        assert [frame["event"] for frame in (await version_1.poll())[1]] == ["after"]
        assert endpoint.statistics().skipped_deliveries == 2
        assert "P-106" in caplog.text


async def test_a_push_of_bytes_raises() -> None:
    """P-106, recommended."""
    async with polled(socket_of(RoomChannel)) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        assert await poller.call("1", "2", "room:a", "push_bytes", {}) == [frames.reply("1", "2", "room:a")]


async def test_a_reply_of_bytes_crashes_its_channel(caplog: pytest.LogCaptureFixture) -> None:
    async with polled(socket_of(RoomChannel)) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        assert await poller.call("1", "2", "room:a", "reply_bytes", {}) == [frames.crashed("1", "room:a")]
        assert "P-106" in caplog.text
        await poller.join("room:a", ref="3")


async def test_a_binary_message_of_the_client_arrives() -> None:
    async with polled(socket_of(RoomChannel)) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        data = bytes(range(256)) * 100
        assert await poller.post(frames.binary_push("1", "2", "room:a", "size", data)) == 200
        assert await poller.poll() == (200, [frames.reply("1", "2", "room:a", len(data))])


# Raw sockets


class EchoSocket(RawSocket):
    """Answers what it gets, and does what it is told."""

    journal: Journal
    shutdown = 0.05

    async def handle_in(self, data: str | bytes) -> Any:
        self.journal.add(data)
        match data:
            case "[bytes":
                return b"bytes"
            case "[boom":
                raise ZeroDivisionError
            case "[stop":
                return Stop("shutdown")
            case "[for ever":
                await anyio.sleep_forever()
            case str():
                return f"you said {data}"
            case _:
                return f"you sent {len(data)} bytes"
        return None

    def terminate(self, reason: object) -> None:
        self.journal.add(("terminate", reason))


def echo_socket() -> type[EchoSocket]:
    class OwnSocket(EchoSocket):
        journal = Journal()

    return OwnSocket


async def said(poller: Poller) -> list[str]:
    """The messages of one poll, which are no JSON here."""
    envelope = (await poller.get()).envelope
    assert (envelope["status"], envelope["token"]) == (200, poller.token)
    messages: list[str] = envelope["messages"]
    return messages


async def test_a_raw_socket_gets_text_and_bytes_in_their_order_and_answers() -> None:
    async with polled(echo_socket()) as (_, server):
        poller = await Poller(server, query="").open()
        assert await poller.post("[one", b"\xff\xfe", '{"two"') == 200
        assert await said(poller) == ["you said [one", "you sent 2 bytes", 'you said {"two"']
        assert await poller.post_body(b"any text", "text/plain") == 200
        assert await said(poller) == ["you said any text"]


async def test_binary_to_the_client_of_a_raw_socket_ends_its_session(caplog: pytest.LogCaptureFixture) -> None:
    """P-106: with a clear error, and 408 because the socket has died of the message (P-093)."""
    socket_class = echo_socket()
    async with polled(socket_class) as (_, server):
        poller = await Poller(server).open()
        assert await poller.post("[bytes") == 408
        assert "P-106" in caplog.text
        await settle()
        assert isinstance(socket_class.journal.entries[1][1], EncodeError)
        await poller.gone()


@pytest.mark.parametrize("body", [b"\xff", b"[\xed\xa0\x80"])
async def test_text_that_is_not_utf_8_ends_the_session(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    socket_class = echo_socket()
    async with polled(socket_class) as (_, server):
        poller = await Poller(server).open()
        assert await poller.post_body(body, "text/plain") == 408
        assert "not UTF-8" in caplog.text
        await settle()
        assert socket_class.journal.entries == [("terminate", ("shutdown", "closed"))]


async def test_a_crash_of_a_raw_socket_is_408_and_what_came_behind_is_not_handled() -> None:
    socket_class = echo_socket()
    async with polled(socket_class) as (_, server):
        poller = await Poller(server).open()
        assert await poller.post("[boom", "[after") == 408
        await settle()
        message, (_, reason) = socket_class.journal.entries
        assert message == "[boom"
        assert isinstance(reason, ZeroDivisionError)


async def test_what_a_raw_socket_sends_before_it_stops_reaches_a_poll_that_waits() -> None:
    class LastSocket(RawSocket):
        def handle_in(self, data: str | bytes) -> Stop:
            self.push('"bye"')
            return Stop()

    async with polled(LastSocket) as (_, server):
        poller = await Poller(server).open()
        run = poller.start_get()
        await settle()
        await poller.post("[stop")
        assert await poller.result(run) == (200, ["bye"])
        await poller.gone()


@on_virtual_time()
async def test_a_raw_socket_that_does_not_return_leaves_its_posts_without_an_answer_for_the_window() -> None:
    """P-093: 408; also for those behind it, and the session lives as long as it is polled."""
    socket_class = echo_socket()
    async with polled(socket_class, window=4.0) as (endpoint, server):
        poller = await Poller(server).open()
        for _ in range(3):
            poll = poller.start_get()
            assert await poller.post("[for ever") == 408
            assert (await answer_of(poll)).envelope["status"] == 204
        assert socket_class.journal.entries == ["[for ever"]
        assert endpoint.statistics().connections == 1
        await anyio.sleep(7)
        assert socket_class.journal.entries[1:] == [("terminate", ("shutdown", "inactive"))]
        assert endpoint.statistics().cut_callbacks == 1


async def test_a_raw_socket_may_push_by_itself_and_by_messages_to_itself() -> None:
    class CountingSocket(RawSocket):
        def init(self) -> str:
            self.send(1)
            return "0"

        async def handle_info(self, message: Any) -> str:
            if message < 3:
                self.send(message + 1)
            return str(message)

    async with polled(CountingSocket) as (_, server):
        poller = await Poller(server).open()
        await settle()
        assert await poller.poll() == (200, [0, 1, 2, 3])


async def test_a_post_is_answered_when_its_message_was_handled_whatever_else_goes_on() -> None:
    """P-101: not when the socket has run out of work of its own, which may be never."""
    stop = anyio.Event()

    class TickingSocket(RawSocket):
        def init(self) -> None:
            self.send("tick")

        async def handle_info(self, message: Any) -> None:
            await anyio.lowlevel.checkpoint()
            if not stop.is_set():
                self.send(message)

    async with polled(TickingSocket, window=1.0) as (_, server):
        poller = await Poller(server).open()
        run = poller.start_post("[one", "[two")
        status = posted(await answer_of(run))
        stop.set()
        assert status == 200


async def test_a_raw_socket_has_no_pings_over_long_polling() -> None:
    errors: list[str] = []

    class PingingSocket(RawSocket):
        def init(self) -> None:
            with pytest.raises(RuntimeError) as raised:
                self.ping(b"payload")
            errors.append(str(raised.value))

    async with polled(PingingSocket) as (_, server):
        await Poller(server).open()
    assert "longpoll" in errors[0]


@pytest.mark.parametrize("act", [lambda: 1 / 0, Stop])
async def test_a_socket_that_ends_in_its_first_callback(act: Callable[[], Any]) -> None:
    """The client hears of a session, and then that it is gone."""

    class ShortSocket(EchoSocket):
        journal = Journal()

        def init(self) -> Any:
            return act()

    async with polled(ShortSocket) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.gone()
        assert endpoint.statistics().connections == 0
        assert len(ShortSocket.journal.entries) == 1


async def test_what_the_first_callback_returns_waits_for_the_first_poll() -> None:
    class GreetingSocket(EchoSocket):
        journal = Journal()

        def init(self) -> str:
            return "hello"

    async with polled(GreetingSocket) as (_, server):
        poller = await Poller(server).open()
        assert await said(poller) == ["hello"]


async def test_a_raw_socket_hears_broadcasts_over_long_polling() -> None:
    class NewsSocket(RawSocket):
        async def init(self) -> None:
            await self.subscribe("news")

        def handle_info(self, message: Any) -> str:
            return f"{message.topic} {message.event}"

    async with polled(NewsSocket) as (endpoint, server):
        poller = await Poller(server).open()
        await settle()
        endpoint.broadcast("news", "first", {})
        endpoint.broadcast("news", "second", {})
        await settle()
        assert await said(poller) == ["news first", "news second"]
