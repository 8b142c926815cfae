"""The way of a broadcast into every event loop of the process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest

from phoenix_channels import Broadcast, BroadcastQueueFull, Channel, EncodeError, Endpoint, Limits
from phoenix_channels.protocol.payloads import encode_broadcast
from tests.support import frames
from tests.support.apps import make_endpoint
from tests.support.asgi import serving
from tests.support.loops import Journal, LoopThread, soon

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((1, "event", {}), TypeError),
        (("topic", None, {}), TypeError),
        (("topic", b"event", {}), TypeError),
        (("topic", "event", []), EncodeError),
        (("topic", "event", "text"), EncodeError),
        (("topic", "event", None), EncodeError),
        (("topic", "event", {"x": object()}), EncodeError),
        ((256 * "t", "event", b""), EncodeError),
        (("topic", 128 * "ä", b""), EncodeError),
        (("topic \ud800", "event", {}), EncodeError),
        (("topic", "event \udfff", b""), EncodeError),
    ],
)
def test_what_is_no_broadcast_raises_at_the_call(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    """P-072, P-075: before any loop runs, and whether anybody listens or not."""
    with pytest.raises(error):
        encode_broadcast(*arguments)
    with pytest.raises(error):
        Endpoint().broadcast(*arguments)
    with pytest.raises(error):
        Endpoint().local_broadcast(*arguments)


async def test_also_in_an_abroadcast() -> None:
    with pytest.raises(EncodeError):
        await Endpoint().abroadcast("topic", "event", [])


def test_long_names_are_the_problem_of_binary_frames_only() -> None:
    encode_broadcast(300 * "t", 300 * "e", {})
    encode_broadcast(255 * "t", 255 * "e", b"")


def test_before_any_loop_runs_a_broadcast_has_no_receiver() -> None:
    endpoint = Endpoint()
    endpoint.broadcast("topic", "event", {})
    assert endpoint.hub.lanes == ()
    assert endpoint.statistics().queued_broadcast_bytes == 0


class Collector:
    """A thread with a loop that takes a number of broadcasts of ``topic``."""

    def __init__(self, endpoint: Endpoint, backend: str, count: int) -> None:
        self._endpoint = endpoint
        self._count = count
        self._listening = threading.Event()
        self.received: list[Broadcast] = []
        self.thread = LoopThread(backend, self._main)

    def start(self) -> None:
        self.thread.start()
        assert self._listening.wait(5)

    async def _main(self, stop: anyio.Event) -> None:
        async with self._endpoint.subscribe("topic") as broadcasts:
            self._listening.set()
            with anyio.fail_after(5):
                while len(self.received) < self._count:
                    self.received.append(await anext(broadcasts))


async def test_several_loops_in_several_threads_all_receive(anyio_backend_name: str) -> None:
    """Broadcast on this loop, on each of the others, and from a thread without one."""
    endpoint = Endpoint()
    collectors = [Collector(endpoint, backend, 3) for backend in ("asyncio", "trio", "asyncio")]
    for collector in collectors:
        collector.start()
    async with endpoint.subscribe("topic") as broadcasts:
        assert len(endpoint.hub.lanes) == 4
        endpoint.broadcast("topic", "event", {"n": 0})
        await anyio.to_thread.run_sync(endpoint.broadcast, "topic", "event", {"n": 1})
        await endpoint.abroadcast("topic", "event", {"n": 2})
        own = [await soon(anext(broadcasts)) for _ in range(3)]
    expected = [Broadcast("topic", "event", {"n": n}) for n in range(3)]
    for collector in collectors:
        await anyio.to_thread.run_sync(collector.thread.join)
        assert sorted(collector.received, key=lambda b: b.payload["n"]) == expected
    assert sorted(own, key=lambda b: b.payload["n"]) == expected


@BACKENDS
async def test_clients_on_two_loops_share_a_topic(backend: str) -> None:
    """Two threads, each with a loop and a server of its own, and one endpoint."""
    journal: list[Any] = []
    joined = threading.Event()

    class RoomChannel(Channel):
        pass

    endpoint = make_endpoint(RoomChannel)

    async def main(stop: anyio.Event) -> None:
        async with serving(endpoint, alone=False) as server:
            client = await server.joined("room:a")
            joined.set()
            journal.append(await client.receive())
            endpoint.broadcast("room:a", "back", {})
            journal.append(await client.receive())

    async with serving(endpoint, alone=False) as server:
        client = await server.joined("room:a")
        other = LoopThread(backend, main)
        other.start()
        await anyio.to_thread.run_sync(joined.wait)
        assert endpoint.statistics().connections == 2
        endpoint.broadcast("room:a", "there", {})
        assert await client.receive() == frames.broadcast("room:a", "there")
        assert await client.receive() == frames.broadcast("room:a", "back")
        await anyio.to_thread.run_sync(other.join)
    assert journal == [frames.broadcast("room:a", "there"), frames.broadcast("room:a", "back")]


@BACKENDS
def test_a_loop_that_has_ended_is_forgotten(backend: str) -> None:
    endpoint = Endpoint()

    async def main() -> None:
        endpoint.hub.current_lane().draining = True

    anyio.run(main, backend=backend)
    # A balancer must not be told to stay away because of a loop that is no more.
    assert endpoint.health().ok
    assert endpoint.hub.lanes == ()
    endpoint.broadcast("topic", "event", {})


@BACKENDS
def test_what_was_lost_on_a_loop_that_has_ended_stays_counted(backend: str) -> None:
    """A counter that goes back looks like a restart to whoever reads it."""
    endpoint = make_endpoint(Channel)

    async def main() -> None:
        async with serving(endpoint) as server:
            client = await server.connect(query="vsn=1.0.0")
            client.send_nowait({"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1"})
            assert (await client.receive())["event"] == "phx_reply"
            endpoint.broadcast("room:a", "event", b"not for version 1")
            await client.receive_nothing()

    for count in (1, 2, 3):
        anyio.run(main, backend=backend)
        assert [endpoint.statistics().skipped_deliveries for _ in range(2)] == [count, count]
        assert endpoint.hub.lanes == ()


def test_what_was_lost_while_a_loop_was_at_rest_stays_counted() -> None:
    endpoint = Endpoint(limits=Limits(broadcast_queue_bytes=1000))
    loop = asyncio.new_event_loop()

    async def use() -> None:
        endpoint.hub.current_lane()

    loop.run_until_complete(use())
    for _ in range(100):
        endpoint.broadcast("topic", "event", {})
    lost = endpoint.statistics().dropped_broadcasts
    assert 0 < lost < 100
    loop.close()
    assert [endpoint.statistics().dropped_broadcasts for _ in range(2)] == [lost, lost]
    assert endpoint.hub.lanes == ()


@BACKENDS
def test_a_new_loop_does_not_inherit_the_end_of_an_old_one(backend: str) -> None:
    """As the tests of an application do it, or one view after the other through async_to_sync."""
    endpoint = make_endpoint(Channel)

    async def life() -> None:
        async with endpoint.lifespan(), serving(endpoint) as server:
            assert endpoint.health().ok
            assert len(endpoint.hub.lanes) == 1
            await server.joined("room:a")

    for _ in range(3):
        anyio.run(life, backend=backend)


def test_a_loop_that_was_closed_with_a_broadcast_under_way_is_forgotten() -> None:
    endpoint = Endpoint(limits=Limits(broadcast_queue_bytes=1000))
    loop = asyncio.new_event_loop()

    async def use() -> None:
        endpoint.hub.current_lane()

    loop.run_until_complete(use())
    endpoint.broadcast("topic", "event", {})
    loop.close()
    for _ in range(100):
        endpoint.broadcast("topic", "event", {})
    assert endpoint.hub.lanes == ()


@contextmanager
def blocked_loop(endpoint: Endpoint) -> Iterator[None]:
    """A loop of the endpoint that does not get to anything."""
    blocked, release = threading.Event(), threading.Event()

    async def main(stop: anyio.Event) -> None:
        endpoint.hub.current_lane()
        blocked.set()
        release.wait(10)

    thread = LoopThread("asyncio", main)
    thread.start()
    assert blocked.wait(5)
    try:
        yield
    finally:
        release.set()
        thread.join()


async def test_a_blocked_loop_is_said_to_the_caller_and_keeps_nothing_from_the_others() -> None:
    endpoint = Endpoint(limits=Limits(broadcast_queue_bytes=1000))
    with blocked_loop(endpoint):
        async with endpoint.subscribe("topic") as broadcasts:
            refused = 0
            for n in range(20):
                try:
                    endpoint.broadcast("topic", "event", {"n": n})
                except BroadcastQueueFull:
                    refused += 1
            assert 0 < refused < 20
            assert 0 < endpoint.statistics().queued_broadcast_bytes <= 1000
            received = [await soon(anext(broadcasts)) for _ in range(20)]
            assert [broadcast.payload["n"] for broadcast in received] == list(range(20))
            with pytest.raises(BroadcastQueueFull):
                await endpoint.abroadcast("topic", "event", {"n": 20})
            assert (await soon(anext(broadcasts))).payload == {"n": 20}


@BACKENDS
def test_a_loop_that_ends_without_a_word(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """No drain, no lifespan: it does not hang, and the endpoint goes on with the next loop."""
    journal = Journal()

    class RoomChannel(Channel):
        async def after_join(self) -> None:
            self.start_soon(anyio.sleep_forever)
            journal.add("joined")
            await anyio.sleep_forever()

    endpoint = make_endpoint(RoomChannel, timeout=60.0)

    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with serving(endpoint) as server:
                await server.joined("room:a")
                await journal.wait_for("joined")
                scope.cancel()
                await anyio.lowlevel.checkpoint()

    anyio.run(main, backend=backend)
    endpoint.broadcast("room:a", "event", {})
    assert endpoint.statistics().connections == 0
    anyio.run(main, backend=backend)
