"""Sessions of one endpoint on several event loops: each lives on its own, and is reached from all (P-109)."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Self

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from anyio.lowlevel import current_token

from phoenix_channels import Channel, Endpoint, Limits, Reply, incoming
from tests.support import frames
from tests.support.asgi import Server, serving
from tests.support.loops import DEADLINE, LoopThread, settle, soon
from tests.support.polling import PATH, Poller, answer_of, disconnect, mounted, posted, served, socket_of


class RoomChannel(Channel):
    shutdown = 0.05

    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)


SOCKET = socket_of(RoomChannel, name="user:1")


def event(name: str) -> list[Any]:
    return frames.broadcast("room:a", name)


class Elsewhere:
    """Another thread with an event loop, on which a session of the endpoint lives."""

    def __init__(self, backend: str, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._loop = LoopThread(backend, self._main)
        self._ready = threading.Event()
        self._token: Any = None
        self._session: str | None = None

    async def _main(self, stop: anyio.Event) -> None:
        self._token = current_token()
        async with served(self._endpoint, alone=False) as server:
            self._session = (await Poller(server).open()).token
            self._ready.set()
            await stop.wait()

    def poller(self, server: Server) -> Poller:
        """A client of the session that asks here."""
        poller = Poller(server, path=PATH)
        poller.token = self._session
        return poller

    @contextmanager
    def held(self) -> Generator[None]:
        """Keep the loop from doing anything meanwhile."""
        begun, release = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            assert release.wait(DEADLINE)

        thread = threading.Thread(target=lambda: anyio.from_thread.run_sync(hold, token=self._token))
        thread.start()
        try:
            assert begun.wait(DEADLINE)
            yield
        finally:
            release.set()
            thread.join(DEADLINE)

    async def __aenter__(self) -> Self:
        self._loop.start()
        assert self._ready.wait(DEADLINE)
        return self

    async def __aexit__(self, *_: object) -> None:
        await anyio.to_thread.run_sync(self._loop.stop)


other_loop = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@other_loop
async def test_a_session_on_another_loop_is_polled_and_posted_to(backend: str) -> None:
    endpoint = mounted(SOCKET)
    async with serving(endpoint, alone=False) as server, Elsewhere(backend, endpoint) as elsewhere:
        poller = elsewhere.poller(server)
        await poller.join("room:a")
        run = poller.start_get()
        await settle()
        endpoint.broadcast("room:a", "event", {})
        assert await poller.result(run) == (200, [event("event")])
        await poller.heartbeat()


@other_loop
async def test_sessions_on_two_loops_get_the_same_broadcasts(backend: str) -> None:
    endpoint = mounted(SOCKET)
    async with served(endpoint, alone=False) as server, Elsewhere(backend, endpoint) as elsewhere:
        pollers = [elsewhere.poller(server), await Poller(server).open()]
        for poller in pollers:
            await poller.join("room:a")
        runs = [poller.start_get() for poller in pollers]
        await settle()
        endpoint.broadcast("room:a", "event", {})
        for poller, run in zip(pollers, runs, strict=True):
            assert await poller.result(run) == (200, [event("event")])


@other_loop
async def test_a_session_ends_with_its_loop_while_it_is_polled_from_another(backend: str) -> None:
    endpoint = mounted(SOCKET, pubsub_timeout=0.1)
    async with served(endpoint, alone=False) as server:
        async with Elsewhere(backend, endpoint) as elsewhere:
            poller = elsewhere.poller(server)
            await poller.join("room:a")
            run = poller.start_get()
            await settle()
            await endpoint.disconnect("user:1")
            assert await poller.result(run) == (204, [])
            await poller.gone()
        assert (await poller.poll())[0] == 410


@other_loop
async def test_a_withdrawal_that_arrives_together_with_its_poll_withdraws_it(backend: str) -> None:
    """P-097: a loop that was busy gets both at once."""
    endpoint = mounted(SOCKET)
    async with serving(endpoint, alone=False) as server, Elsewhere(backend, endpoint) as elsewhere:
        poller = elsewhere.poller(server)
        await poller.join("room:a")
        with elsewhere.held():
            run = poller.start_get()
            await settle()
            disconnect(run)
            await run.wait_ended()
        # A round trip: what was queued for the other loop has been done.
        assert await poller.post(["stale", "2", "room:a", "echo", {}]) == 200
        endpoint.broadcast("room:a", "event", {})
        assert await poller.poll() == (200, [event("event")])


@other_loop
async def test_a_poll_that_nobody_took_in_time_consumes_nothing(backend: str) -> None:
    """P-097, P-103: the client was told 410 or asks again; the session itself has lost nothing."""
    endpoint = mounted(SOCKET, pubsub_timeout=0.05)
    async with served(endpoint, alone=False) as server, Elsewhere(backend, endpoint) as elsewhere:
        poller = elsewhere.poller(server)
        await poller.join("room:a")
        with elsewhere.held():
            assert (await poller.poll())[0] == 410
        assert await poller.post(["stale", "2", "room:a", "echo", {}]) == 200
        endpoint.broadcast("room:a", "event", {})
        assert await poller.poll() == (200, [event("event")])


@other_loop
async def test_requests_for_a_loop_that_is_stuck_are_answered(backend: str) -> None:
    """Its queue is full: nobody waits for ever, and sessions on other loops are served."""
    endpoint = mounted(SOCKET, pubsub_timeout=0.05, limits=Limits(broadcast_queue_bytes=4_000))
    async with served(endpoint, alone=False) as server:
        own = await Poller(server).open()
        async with Elsewhere(backend, endpoint) as elsewhere:
            poller = elsewhere.poller(server)
            await poller.join("room:a")
            with elsewhere.held():
                statuses = []
                for _ in range(4):
                    answer = await answer_of(poller.start_post(["1", "2", "room:a", "echo", 2_500 * "x"]))
                    statuses.append(answer.envelope["status"] if answer.status == 200 else answer.status)
                assert set(statuses) <= {408, 410, 500, 503}
                answer = await answer_of(poller.start_get())
                assert answer.status in (200, 500, 503)
                await own.heartbeat()
            await settle()


@other_loop
async def test_requests_from_two_loops_at_once(backend: str) -> None:
    endpoint = mounted(SOCKET)
    async with serving(endpoint, alone=False) as server, Elsewhere(backend, endpoint) as elsewhere:
        poller = elsewhere.poller(server)
        await poller.join("room:a")
        runs = [poller.start_post(["1", str(n), "room:a", "echo", n]) for n in range(20)]
        for run in runs:
            assert posted(await soon(answer_of(run))) == 200
        received: list[Any] = []
        while len(received) < 20:
            status, some = await poller.poll()
            assert status == 200
            received += some
        assert sorted(int(frame[1]) for frame in received) == list(range(20))


@other_loop
def test_sessions_of_a_loop_that_has_ended_without_a_word_do_not_count(backend: str) -> None:
    """There is no client that could end them, and nobody else who would."""
    endpoint = mounted(SOCKET, limits=Limits(longpoll_sessions=1))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            poller = await Poller(Server(endpoint, group)).open()
            await poller.heartbeat()

    for _ in range(3):
        anyio.run(main, backend=backend)
