"""Posts: what bodies are taken, what their status says, and in what order they are handled (P-093, P-099 to P-101)."""

import json
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, JoinRefused, Limits, RawSocket, Reply, Stop, incoming
from tests.support import frames
from tests.support.loops import Journal, on_virtual_time, settle, soon
from tests.support.polling import NDJSON, Poller, answer_of, batch, polled, posted, socket_of


class RoomChannel(Channel):
    async def join(self, payload: Any) -> None:
        if self.subtopic == "refused":
            raise JoinRefused(reason="no")

    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload if not isinstance(payload, bytes) else payload.decode())


SOCKET = socket_of(RoomChannel)


def echo(number: int) -> list[Any]:
    return ["1", str(number), "room:a", "echo", number]


def echoed(*numbers: int) -> list[Any]:
    return [frames.reply("1", str(number), "room:a", number) for number in numbers]


# Bodies


@pytest.mark.parametrize("content_type", [NDJSON, NDJSON.upper(), f"{NDJSON}; charset=utf-8", f"{NDJSON};q"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\n\n", b"\r\n \t\r\n"])
@pytest.mark.parametrize("around", [b"", b"\n", b"\r\n"])
async def test_a_batch_in_all_its_forms(content_type: str, newline: bytes, around: bytes) -> None:
    """P-099, P-100: blank lines and parameters of the media type do not matter."""
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        body = around + newline.join(json.dumps(echo(number)).encode() for number in range(3)) + around
        assert await poller.post_body(body, content_type) == 200
        assert await poller.poll() == (200, echoed(0, 1, 2))


@pytest.mark.parametrize("body", [b"", b"\n", b"\r\n\r\n", b" \t \n"])
async def test_an_empty_batch_is_no_message(body: bytes) -> None:
    """P-100"""
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server).open()
        assert await poller.post_body(body) == 200
        await poller.heartbeat()


@pytest.mark.parametrize("content_type", [None, "", "application/json", "text/plain;charset=UTF-8", "x-ndjson"])
async def test_any_other_body_is_one_message(content_type: str | None) -> None:
    """P-099"""
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server).open()
        assert await poller.post_body(b'["1","1","room:a",\n"phx_join",{}]\n', content_type) == 200
        assert await poller.poll() == (200, [frames.reply("1", "1", "room:a")])


async def test_text_and_binary_messages_in_one_batch_keep_their_order() -> None:
    """P-106: to the server, binary messages do work."""
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server).open()
        binary = frames.binary_push("1", "3", "room:a", "echo", b"bytes")
        join = ["1", "1", "room:a", "phx_join", {}]
        assert await poller.post(join, echo(2), binary, echo(4)) == 200
        answers = [frames.reply("1", "1", "room:a"), *echoed(2), frames.reply("1", "3", "room:a", "bytes"), *echoed(4)]
        assert await poller.poll() == (200, answers)


async def test_objects_of_version_1_in_a_batch() -> None:
    """P-100"""
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server, query="vsn=1.0.0").open()
        message = {"topic": "phoenix", "event": "heartbeat", "payload": {}}
        assert await poller.post({**message, "ref": "1"}, {**message, "ref": "2"}) == 200
        status, replies = await poller.poll()
        assert (status, [reply["ref"] for reply in replies]) == (200, ["1", "2"])


@pytest.mark.parametrize("entry", [b"&&&", b"AAA", b"AAAA=", b"AA=A", "ä".encode(), b"\xff", b'"text"', b"AA-_"])
async def test_what_is_no_base64_is_an_http_400_and_nothing_of_its_batch_is_handled(entry: bytes) -> None:
    """P-099"""
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        body = batch(echo(1)) + b"\n" + entry
        answer = await answer_of(poller.start_post_body(body))
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (400, "*")
        await poller.heartbeat()


@pytest.mark.parametrize("content_type", [NDJSON, None])
async def test_a_body_that_is_too_large_is_an_http_400_and_the_session_lives_on(content_type: str | None) -> None:
    """P-092"""
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        head, tail = b'["1","2","room:a","echo",[1', b"]]"
        fits = head + b" " * (8_000_000 - len(head) - len(tail)) + tail
        answer = await answer_of(poller.start_post_body(head + b" " + fits[len(head) :], content_type))
        assert answer.status == 400
        assert answer.headers["access-control-allow-origin"] == "*"
        await poller.heartbeat()
        assert await poller.post_body(fits, content_type) == 200
        assert await poller.poll() == (200, [frames.reply("1", "2", "room:a", [1])])


async def test_a_body_in_pieces_and_one_that_its_client_breaks_off() -> None:
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        body = batch(echo(1), echo(2))
        for ending in ({"type": "http.request", "body": body[20:]}, {"type": "http.disconnect"}):
            run = poller.start_post_body(b"")
            run.incoming.take()
            run.incoming.put({"type": "http.request", "body": body[:20], "more_body": True})
            run.incoming.put(ending)
            await run.wait_ended()
        assert await poller.poll() == (200, echoed(1, 2))
        await poller.heartbeat()


async def test_cve_2026_32689_a_batch_of_any_length_is_a_hundred_messages() -> None:
    """P-099: splitting stops there, whatever follows is neither looked at nor handled."""
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        body = batch(*map(echo, range(100))) + b"\n" + batch(echo(100)) + b"\nno base64\n\xff"
        assert await poller.post_body(body) == 200
        assert await poller.poll() == (200, echoed(*range(100)))
        await poller.heartbeat()


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b" \n", b"[]\n", b"A\n"])
async def test_cve_2026_32689_millions_of_lines_cost_no_more_than_their_bytes(line: bytes) -> None:
    """A full body of the shortest lines there are: blank ones are skipped, and of others a hundred are looked at."""
    async with polled(SOCKET, window=5.0) as (_, server):
        poller = await Poller(server).open()
        body = line * (8_000_000 // len(line))
        with anyio.fail_after(3):
            answer = await answer_of(poller.start_post_body(body))
        blank = not line.strip()
        assert answer.status == (400 if line == b"A\n" else 200)
        if answer.status == 200:
            # A list that is no message is malformed: the session dies of the first.
            assert posted(answer) == (200 if blank else 408)


# What the status says


async def test_error_replies_are_200_as_well() -> None:
    """P-101"""
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server).open()
        join = ["1", "1", "room:refused", "phx_join", {}]
        assert await poller.post(join, [None, "2", "other", "event", {}], ["3", "3", "other", "phx_join", {}]) == 200
        await settle()
        assert await poller.poll() == (
            200,
            [
                frames.unmatched("2", "other"),
                frames.unmatched("3", "other"),
                frames.error("1", "1", "room:refused", {"reason": "no"}),
            ],
        )


@pytest.mark.parametrize("message", ["[]", "[1e400]", "{}", b"\x05\x01", b"", '["1","2"'])
async def test_a_malformed_message_ends_the_session_and_its_post_is_408_at_once(
    message: object, caplog: pytest.LogCaptureFixture
) -> None:
    """P-046, P-047"""
    async with polled(SOCKET) as (endpoint, server):
        poller = await Poller(server).open()
        run = poller.start_get()
        await settle()
        assert await poller.post(echo(0), message or "[ ]", echo(1)) == 408
        assert "malformed" in caplog.text
        status, frames_ = await poller.result(run)
        assert status in (200, 204)
        assert frames_ in ([], [frames.unmatched("0", "room:a")])
        assert endpoint.statistics().connections == 0
        await poller.gone()
        assert (await poller.poll())[0] == 410


@on_virtual_time()
async def test_a_post_to_a_socket_that_takes_no_more_is_408_after_the_window() -> None:
    """P-093, P-099: what waits for a join is bounded; what was taken is not lost, what was not taken never comes."""
    release = anyio.Event()

    class SlowChannel(RoomChannel):
        async def join(self, payload: Any) -> None:
            await release.wait()

    async with polled(socket_of(SlowChannel), limits=Limits(waiting_messages=2), window=10.0) as (_, server):
        poller = await Poller(server).open()
        join = ["1", "1", "room:a", "phx_join", {}]
        with anyio.fail_after(1):
            assert await poller.post(join, echo(1), echo(2)) == 200
        before = anyio.current_time()
        run = poller.start_post(echo(3), echo(4))
        poll = poller.start_get()
        await anyio.sleep(9.9)
        assert not run.ended.is_set()
        assert posted(await answer_of(run)) == 408
        assert anyio.current_time() - before == pytest.approx(10.0, abs=0.1)
        assert await poller.result(poll) == (204, [])
        release.set()
        await settle()
        assert await poller.poll() == (200, [frames.reply("1", "1", "room:a"), *echoed(1, 2)])
        assert await poller.post(echo(5)) == 200
        assert await poller.poll() == (200, echoed(5))


@on_virtual_time()
async def test_a_post_waits_for_a_socket_that_is_busy() -> None:
    """P-101"""
    release = anyio.Event()

    class SlowChannel(RoomChannel):
        async def join(self, payload: Any) -> None:
            await release.wait()

    async with polled(socket_of(SlowChannel), limits=Limits(waiting_messages=1)) as (_, server):
        poller = await Poller(server).open()
        run = poller.start_post(["1", "1", "room:a", "phx_join", {}], echo(1), echo(2), echo(3))
        await anyio.sleep(8)
        assert not run.ended.is_set()
        release.set()
        assert posted(await answer_of(run)) == 200
        assert await poller.poll() == (200, [frames.reply("1", "1", "room:a"), *echoed(1, 2, 3)])


async def test_posts_that_run_at_once_are_handled_one_after_the_other() -> None:
    """Also where the first has to wait: none overtakes it, and none comes in between."""
    release, received = anyio.Event(), Journal()

    class SlowSocket(RawSocket):
        async def handle_in(self, data: str | bytes) -> None:
            received.add(data)
            await release.wait()

    async with polled(SlowSocket) as (_, server):
        poller = await Poller(server).open()
        runs = []
        for name in "abc":
            runs.append(poller.start_post(*(f"[{name}{number}" for number in range(3))))
            await settle()
        assert received.entries == ["[a0"]
        release.set()
        assert [posted(await answer_of(run)) for run in runs] == [200, 200, 200]
        assert received.entries == [f"[{name}{number}" for name in "abc" for number in range(3)]


@on_virtual_time()
async def test_each_message_has_the_window_to_be_taken_in() -> None:
    """P-093, P-099: a batch of slow messages is no reason for 408, only a message that is not taken is."""
    received = Journal()

    class SlowSocket(RawSocket):
        async def handle_in(self, data: str | bytes) -> None:
            await anyio.sleep(4)
            received.add(data)

    async with polled(SlowSocket, window=10.0) as (_, server):
        poller = await Poller(server).open()
        run = poller.start_post("[1", "[2", "[3", "[4")
        for _ in range(2):
            poll = poller.start_get()
            await anyio.sleep(10.1)
            assert await poller.result(poll) == (204, [])
        assert posted(await answer_of(run)) == 200
        assert received.entries == ["[1", "[2", "[3", "[4"]


async def test_a_batch_that_its_session_does_not_outlive_is_not_200() -> None:
    """P-093: 200 says that all messages were handed to the socket."""
    received = Journal()

    class LastSocket(RawSocket):
        async def handle_in(self, data: str | bytes) -> Stop:
            received.add(data)
            return Stop("normal")

    async with polled(LastSocket) as (_, server):
        poller = await Poller(server).open()
        assert await poller.post("[1", "[2", "[3") in (408, 410)
        assert received.entries == ["[1"]


async def test_a_post_that_waits_while_its_session_is_disconnected_is_not_200() -> None:
    class SlowChannel(RoomChannel):
        async def join(self, payload: Any) -> None:
            await anyio.sleep_forever()

        shutdown = 0.01

    socket_class = socket_of(SlowChannel, name="user:1")
    async with polled(socket_class, limits=Limits(waiting_messages=1)) as (endpoint, server):
        poller = await Poller(server).open()
        run = poller.start_post(["1", "1", "room:a", "phx_join", {}], echo(1), echo(2))
        await settle()
        assert not run.ended.is_set()
        await endpoint.disconnect("user:1")
        assert posted(await soon(answer_of(run))) in (408, 410)
