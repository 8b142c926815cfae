"""What one client may have under way in bodies of its posts is bounded, in number, in bytes and in time (P-099)."""

import anyio
import pytest

from phoenix_channels import Limits, RawSocket
from tests.support.asgi import Run
from tests.support.loops import Journal, on_virtual_time, settle
from tests.support.polling import Poller, answer_of, cluster, disconnect, polled, posted

MOST = 128
"""Posts of one session at a time."""
SMALL = 64 * 1024
"""Bytes of a body that there is always room for."""


def slow_socket() -> tuple[type[RawSocket], Journal, anyio.Event]:
    """A raw socket that handles nothing before it may."""
    received, release = Journal(), anyio.Event()

    class SlowSocket(RawSocket):
        async def handle_in(self, data: str | bytes) -> None:
            received.add(data)
            await release.wait()

    return SlowSocket, received, release


def dribble(poller: Poller, first: bytes = b"") -> Run:
    """Begin a post whose body does not end."""
    run = poller.start_post_body(b"")
    run.incoming.take()
    run.incoming.put({"type": "http.request", "body": first, "more_body": True})
    return run


def finish(run: Run, rest: bytes = b"") -> None:
    run.incoming.put({"type": "http.request", "body": rest, "more_body": False})


async def test_a_session_has_so_many_posts_at_a_time_and_the_next_is_408_at_once() -> None:
    """Its body is not even read.  Other sessions have their own."""
    socket_class, received, release = slow_socket()
    async with polled(socket_class) as (_, server):
        poller, other = await Poller(server).open(), await Poller(server).open()
        runs = []
        for number in range(MOST - 1):
            runs.append(poller.start_post(f"[{number}"))
            await settle()
        runs.append(dribble(poller))
        await settle()
        late = dribble(poller)
        assert posted(await answer_of(late)) == 408
        assert len(late.incoming) == 1
        elsewhere = other.start_post("[other")
        await settle()
        assert received.entries == ["[0", "[other"]
        release.set()
        finish(runs[-1], b"[last")
        assert {posted(await answer_of(run)) for run in (*runs, elsewhere)} == {200}
        # All of them have made room.
        assert {await poller.post("[again") for _ in range(MOST + 1)} == {200}


@pytest.mark.parametrize("end", ["disconnect", "kill", "no base64", "too long"])
async def test_posts_that_come_to_nothing_make_room_too(end: str) -> None:
    """For others of their session, and of their bytes."""
    socket_class, _, release = slow_socket()
    release.set()
    limit = 1000 * MOST
    async with polled(socket_class, limits=Limits(longpoll_body_bytes=limit)) as (_, server):
        poller = await Poller(server).open()
        for _ in range(2):
            runs = [dribble(poller, (SMALL + 900) * b"[") for _ in range(MOST)]
            await settle()
            for run in runs:
                match end:
                    case "disconnect":
                        disconnect(run)
                    case "kill":
                        run.kill()
                    case "no base64":
                        finish(run, b"\n&")
                    case _:
                        finish(run, bytes(8_000_000))
                await run.wait_ended()
        assert await poller.post("[" + (SMALL + limit - 1) * "x") == 200


@on_virtual_time()
async def test_a_body_has_one_window_to_arrive() -> None:
    socket_class, received, release = slow_socket()
    release.set()
    async with polled(socket_class, window=10.0) as (_, server):
        poller = await Poller(server).open()
        before = anyio.current_time()
        run = dribble(poller, b"[never")
        poll = poller.start_get()
        for _ in range(3):
            await anyio.sleep(3)
            assert not run.ended.is_set()
            # Whatever comes meanwhile does not make it longer.
            run.incoming.put({"type": "http.request", "body": b".", "more_body": True})
        assert posted(await answer_of(run)) == 408
        assert anyio.current_time() - before == pytest.approx(10.0, abs=0.1)
        await poller.result(poll)
        assert await poller.post("[next") == 200
        assert received.entries == ["[next"]


def large(more: int) -> str:
    """A message of so many bytes beyond those that there is always room for."""
    return "[" + (SMALL - 1 + more) * "x"


@pytest.mark.parametrize("while_reading", [True, False])
async def test_large_bodies_on_one_node_are_bounded_in_bytes(while_reading: bool) -> None:
    """Those that are being read, and those that are being handled; what finds no room is an HTTP 503."""
    socket_class, received, release = slow_socket()
    async with polled(socket_class, limits=Limits(longpoll_body_bytes=1000)) as (_, server):
        poller, other = await Poller(server).open(), await Poller(server).open()
        run = dribble(poller, large(600).encode()) if while_reading else poller.start_post(large(600))
        await settle()
        assert len(received.entries) == (0 if while_reading else 1)
        for _ in range(2):
            answer = await answer_of(other.start_post(large(401)))
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (503, "*")
        pieces = dribble(other, large(200).encode())
        await settle()
        finish(pieces, 201 * b"x")
        assert (await answer_of(pieces)).status == 503
        release.set()
        # What fits, fits; small ones always do.
        assert await other.post(large(400)) == 200
        assert await other.post(large(0)) == 200
        if while_reading:
            finish(run)
        assert posted(await answer_of(run)) == 200
        # And what is over has made room.
        for _ in range(3):
            assert await other.post(large(1000)) == 200


async def test_nobody_can_take_the_room_for_small_bodies_away() -> None:
    socket_class, _, release = slow_socket()
    release.set()
    async with polled(socket_class, limits=Limits(longpoll_body_bytes=1000)) as (_, server):
        hog, other = await Poller(server).open(), await Poller(server).open()
        run = dribble(hog, large(1000).encode())
        await settle()
        assert await other.post(large(0)) == 200
        assert (await answer_of(other.start_post(large(1)))).status == 503
        disconnect(run)
        await run.wait_ended()


async def test_a_session_has_no_more_posts_at_a_time_through_another_node() -> None:
    socket_class, received, release = slow_socket()
    async with cluster(socket_class) as nodes:
        poller = await nodes.opened()
        runs = []
        for number in range(MOST):
            runs.append(poller.start_post(f"[{number}"))
            await settle()
        assert received.entries == ["[0"]
        assert posted(await answer_of(poller.start_post("[late"))) == 408
        release.set()
        assert {posted(await answer_of(run)) for run in runs} == {200}
        assert received.entries == [f"[{number}" for number in range(MOST)]
