"""The sink that writes to the socket itself: what goes out at once, what goes out together, and how it ends."""

from __future__ import annotations

import socket

import pytest

from phoenix_channels import Limits
from phoenix_channels.protocol.frames import CLOSE, FIN, PING, PONG, server_frame
from phoenix_channels.protocol.messages import Frame, FrameBatch
from tests.support.loops import settle
from tests.transports.pairs import Wire, linked, numbered, wires

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"])
NORMAL = (1000).to_bytes(2, "big")


def close_frame(code: int) -> bytes:
    return server_frame(FIN | CLOSE, code.to_bytes(2, "big"))


# Straight to the socket


async def test_a_frame_goes_to_the_socket_and_not_through_the_transport() -> None:
    async with linked() as (wire, link, _):
        batch = FrameBatch((numbered(1), numbered(2)))
        link.write(numbered(0))
        link.write(batch)
        link.ping(b"ping")
        link.pong(b"pong")
        link.write_close(NORMAL)
        assert wire.written == []
        last = server_frame(FIN | PING, b"ping") + server_frame(FIN | PONG, b"pong") + close_frame(1000)
        assert wire.read() == wires([numbered(0), *batch.frames]) + last


@pytest.mark.parametrize("why", ["hidden", "tls"])
async def test_where_the_socket_is_not_ours_to_write_to_the_transport_gets_each_write(why: str) -> None:
    wire = Wire(hidden=why == "hidden", tls=why == "tls")
    async with linked(wire, limits=Limits(outbox_high_water=10_000)) as (_, link, _):
        batch = FrameBatch((numbered(1), numbered(2)))
        link.write(numbered(0))
        link.write(batch)
        assert wire.written == [numbered(0).wire, batch.wire]
        # Frames wait where they can be dropped as soon as it is more than a little.
        assert wire.get_write_buffer_limits()[1] == 10_000


async def test_a_frame_that_the_kernel_takes_in_part_arrives_once_and_whole() -> None:
    async with linked() as (wire, link, _):
        large = numbered(0, 1_000_000)
        link.write(large)
        (rest,) = wire.written
        assert 0 < len(rest) < len(large.wire)
        assert link.queued_bytes == wire.get_write_buffer_size() > 0
        link.write(numbered(1))
        assert wire.read_all() == wires([large, numbered(1)])
        assert link.queued_bytes == 0


async def test_a_frame_of_which_the_kernel_takes_nothing_waits_in_the_transport() -> None:
    async with linked() as (wire, link, _):
        filler = wire.fill()
        link.write(numbered(0))
        assert wire.written == [numbered(0).wire]
        link.write(numbered(1))
        assert wire.read_all() == filler + wires([numbered(0), numbered(1)])
        # It has caught up: straight to the socket again.
        before = list(wire.written)
        link.write(numbered(2))
        assert wire.written == before
        assert wire.read() == numbered(2).wire


async def test_a_client_that_has_caught_up_gets_a_batch_in_one_write_again() -> None:
    async with linked(Wire(hidden=True)) as (wire, link, _):
        link.fall_behind()
        wire.read_all()
        wire.written.clear()
        batch = FrameBatch((numbered(0), numbered(1)))
        link.write(batch)
        assert wire.written == [batch.wire]


async def test_a_socket_that_is_broken_is_given_up_and_nothing_more_is_written() -> None:
    """Not by writing through the transport: asyncio's log each try, and one that fails in ``resume_writing`` twice."""
    async with linked() as (wire, link, _):
        wire.client.close()
        link.cork()
        link.write(numbered(0))
        link.uncork()
        for number in range(10):
            link.write(numbered(number))
        link.ping(b"")
        link.pong(b"")
        link.write_close(NORMAL)
        # It may be the transport that has called.
        assert not wire.aborted
        await settle()
        assert wire.aborted
        assert wire.written == []


async def test_nothing_overtakes_the_end_of_the_handshake() -> None:
    response = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    async with linked(Wire(response=response)) as (wire, link, _):
        link.write(numbered(0))
        # Nor does it in a later turn.
        await settle()
        link.write(numbered(1))
        assert wire.read() == b""
        wire.flush()
        assert wire.read_all() == response + wires([numbered(0), numbered(1)])


async def test_nothing_overtakes_the_end_of_the_handshake_that_takes_its_time() -> None:
    async with linked(Wire(response=b"101")) as (wire, link, _):
        await settle()
        link.write(numbered(0))
        assert wire.read() == b""
        wire.flush()
        assert wire.read_all() == b"101" + numbered(0).wire


@pytest.mark.parametrize("size", [1, 1000, 16_000, 60_000, 200_000])
@pytest.mark.parametrize("way", ["direct", "hidden", "tls"])
async def test_who_has_not_read_what_came_before_is_behind_from_the_beginning(way: str, size: int) -> None:
    """Or else all that is ever sent waits in the transport: it has told somebody else, and tells only once."""
    wire = Wire(response=b"." * size, hidden=way == "hidden", tls=way == "tls")
    async with linked(wire, limits=Limits(outbox_bytes=100_000)) as (_, link, endpoint):
        frames: list[Frame] = []
        while not link.driver.closed:
            frames.append(numbered(len(frames), 10_000))
            link.write(frames[-1])
            await settle()
            assert len(frames) < 20
        got = len(frames) - endpoint.statistics().dropped_frames
        assert wire.read_all() == b"." * size + wires(frames[:got]) + close_frame(1013)


@pytest.mark.parametrize("size", [0, 1, 16_000, 60_000, 200_000])
@pytest.mark.parametrize("way", ["direct", "hidden", "tls"])
async def test_who_reads_what_came_before_is_like_any_other(way: str, size: int) -> None:
    wire = Wire(response=b"." * size, hidden=way == "hidden", tls=way == "tls")
    async with linked(wire) as (_, link, _):
        link.cork()
        link.write(numbered(0))
        link.uncork()
        link.write(numbered(1))
        assert wire.read_all() == b"." * size + wires([numbered(0), numbered(1)])
        batch = FrameBatch((numbered(2), numbered(3)))
        wire.written.clear()
        link.write(batch)
        assert wire.written == ([] if way == "direct" else [batch.wire])
        assert wire.read_all() == batch.wire
        assert link.queued_bytes == 0


async def test_a_connection_that_is_over_when_it_begins_is_not_written_to() -> None:
    wire = Wire()
    wire.abort()
    async with linked(wire) as (_, link, _):
        link.write(numbered(0))
        link.ping(b"")
        assert wire.read() == b""
        assert wire.written == []


async def test_once_the_handshake_is_out_frames_go_straight_to_the_socket() -> None:
    async with linked(Wire(response=b"101")) as (wire, link, _):
        wire.flush()
        await settle()
        link.write(numbered(0))
        assert wire.written == []
        assert wire.read() == b"101" + numbered(0).wire


async def test_the_descriptor_of_a_connection_that_is_lost_is_somebody_elses() -> None:
    async with linked() as (wire, link, _):
        link.cork()
        link.lost()
        link.write(numbered(0))
        link.write(FrameBatch((numbered(1), numbered(2))))
        link.uncork()
        link.ping(b"")
        link.pong(b"")
        assert wire.read() == b""
        link.write_close(NORMAL)
        # The transport knows that it is closed.
        assert wire.written == [close_frame(1000)]


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="the kernel does not have it")
@pytest.mark.parametrize("tls", [False, True])
async def test_the_kernel_is_not_to_hide_megabytes_that_a_client_has_not_read(tls: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    async with linked(Wire((server, client), tls=tls)):
        assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 128 * 1024


# Together


async def test_what_is_written_while_corked_goes_out_in_one_write() -> None:
    async with linked(Wire(hidden=True)) as (wire, link, _):
        for _ in range(2):
            link.cork()
            link.write(numbered(0))
            link.ping(b"p")
            link.write(FrameBatch((numbered(1), numbered(2))))
            link.pong(b"p")
            assert wire.written == []
            link.uncork()
            assert wire.written == [
                numbered(0).wire
                + server_frame(FIN | PING, b"p")
                + wires([numbered(1), numbered(2)])
                + server_frame(FIN | PONG, b"p")
            ]
            # And what comes after it in one of its own.
            batch = FrameBatch((numbered(3), numbered(4)))
            link.write(batch)
            assert wire.written[1:] == [batch.wire]
            wire.written.clear()


async def test_with_nothing_to_write_nothing_is_written() -> None:
    async with linked(Wire(hidden=True)) as (wire, link, _):
        link.cork()
        link.uncork()
        link.uncork()
        assert wire.written == []


async def test_no_more_than_a_portion_waits_for_the_rest() -> None:
    """A callback that sends megabytes finds out what the client takes while it does."""
    async with linked(Wire(hidden=True)) as (wire, link, _):
        frames = [numbered(number, 20_000) for number in range(10)]
        for _ in range(2):
            link.cork()
            for frame in frames:
                link.write(frame)
            assert wire.written[0] == wires(frames[:4])
            link.uncork()
            assert wire.read_all() == wires(frames)
            wire.written.clear()


@pytest.mark.parametrize("size", [10, 1000, 20_000, 200_000])
async def test_corked_or_not_frames_stay_in_order_for_a_client_that_falls_behind(size: int) -> None:
    async with linked(limits=Limits(outbox_bytes=20_000_000)) as (wire, link, endpoint):
        frames = [numbered(number, size) for number in range(60)]
        got = b""
        for start in range(0, 60, 20):
            link.cork()
            link.write(frames[start])
            link.write(FrameBatch(tuple(frames[start + 1 : start + 10])))
            link.uncork()
            for frame in frames[start + 10 : start + 20]:
                link.write(frame)
            # It is still behind when the next of it comes.
            got += wire.read(15 * size)
            await settle()
        assert got + wire.read_all() == wires(frames)
        assert link.queued_bytes == 0
        assert endpoint.statistics().dropped_frames == 0


# The end


async def test_a_close_is_the_last_that_is_written() -> None:
    async with linked() as (wire, link, _):
        link.write_close(NORMAL)
        link.write(numbered(0))
        link.write(FrameBatch((numbered(1), numbered(2))))
        assert link.ping(b"")
        link.pong(b"")
        assert wire.read_all() == close_frame(1000)


async def test_a_close_comes_after_what_is_corked() -> None:
    async with linked() as (wire, link, _):
        link.cork()
        link.write(numbered(0))
        link.write_close(NORMAL)
        link.write(numbered(1))
        link.uncork()
        assert wire.read_all() == numbered(0).wire + close_frame(1000)


@pytest.mark.parametrize("corked", [False, True])
async def test_a_close_comes_after_what_waits_and_nothing_after_it(corked: bool) -> None:
    async with linked() as (wire, link, endpoint):
        if corked:
            link.cork()
        frames = [numbered(number, 5000) for number in range(100)]
        for frame in frames:
            link.write(frame)
        link.pong(b"unanswered")
        if not corked:
            assert link.queued_bytes > 0
        # There is room for it, but it is not its turn.
        got = wire.read()
        link.write_close(NORMAL)
        link.write(numbered(100))
        link.pong(b"too late")
        link.uncork()
        await settle()
        assert got + wire.read_all() == wires(frames) + close_frame(1000)
        assert endpoint.statistics().dropped_frames == 0


async def test_what_waits_behind_a_close_of_somebody_else_is_not_written_any_more() -> None:
    """RFC 6455, 5.5.1: the transport's owner has sent the close frame, or the client's has been answered."""
    async with linked() as (wire, link, endpoint):
        frames = link.fall_behind()
        taken = wire.written[:]
        for number in range(5):
            link.write(numbered(number))
        link.stop()
        assert wire.read_all() == wires(frames)
        assert wire.written == taken
        assert endpoint.statistics().dropped_frames == 5
        assert link.queued_bytes == 0


async def test_what_waits_for_a_client_that_is_lost_counts_as_dropped() -> None:
    async with linked() as (_, link, endpoint):
        link.fall_behind()
        for number in range(5):
            link.write(numbered(number))
        link.lost()
        assert endpoint.statistics().dropped_frames == 5
        link.lost()
        assert endpoint.statistics().dropped_frames == 5
