"""Drain and lifespan: everything ends, and nothing is left (P-088 in our form)."""

from contextlib import suppress
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, Endpoint, JoinRefused, Reply, Socket, incoming
from tests.support import frames
from tests.support.apps import make_endpoint, serve
from tests.support.asgi import Closed, Refused, assert_empty, serving
from tests.support.loops import Journal, live_tasks, settle, soon


class BusyChannel(Channel):
    """Owns a task, a timer, a subscription and a handler in the middle of its work."""

    async def after_join(self) -> None:
        self.start_soon(anyio.sleep_forever)
        self.send_after(3600, "never")
        await self.subscribe("elsewhere")

    @incoming
    async def work(self, payload: Any) -> Reply:
        await anyio.lowlevel.checkpoint()
        return Reply.ok()


async def test_drain_leaves_no_task_behind() -> None:
    journal = Journal()

    class RoomChannel(BusyChannel):
        async def terminate(self, reason: object) -> None:
            await anyio.lowlevel.checkpoint()
            journal.add(reason)

    endpoint = make_endpoint(RoomChannel, timeout=60.0, socket_id="user:1")
    before = live_tasks()
    async with serving(endpoint) as server:
        clients = [await server.connect() for _ in range(10)]
        for client in clients:
            for topic in ("room:a", "room:b", "room:c"):
                client.send_nowait([topic, topic, topic, "phx_join", {}])
                client.send_nowait([topic, topic, topic, "work", {}])
        await settle()
        assert endpoint.statistics().channels == 30
        assert live_tasks() > before + 10
        await soon(endpoint.drain())
        # The servers' tasks included: they are on their way out of the application, which has nothing more to do.
        assert_empty(endpoint)
        await settle()
        assert live_tasks() == before
        for client in clients:
            received = await client.receive_many(len(client.outgoing) - 1)
            assert all(frame[3] == "phx_reply" for frame in received)
            assert await client.receive_close() == 1012
    assert journal.entries == 30 * [("shutdown", "draining")]


async def test_drain_waits_for_every_terminate_and_task_and_close() -> None:
    """Also of connections that were on their way out when it began."""
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        async def after_join(self) -> None:
            self.start_soon(self.work)

        async def work(self) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await release.wait()
                journal.add("task")

        async def terminate(self, reason: object) -> None:
            journal.add(reason)
            await release.wait()
            journal.add("terminate")

    async with serve(RoomChannel) as (endpoint, server):
        gone, open_ = await server.joined("room:a"), await server.joined("room:a")
        await settle()
        gone.close_nowait()
        await journal.wait_length(1)

        async def drain() -> None:
            await endpoint.drain()
            journal.add("drained")

        async with anyio.create_task_group() as group:
            group.start_soon(drain)
            group.start_soon(drain)
            await journal.wait_length(2)
            await settle()
            assert journal.entries == [("shutdown", "closed"), ("shutdown", "draining")]
            release.set()
        assert await open_.receive_close() == 1012
    assert sorted(journal.entries[2:6]) == ["task", "task", "terminate", "terminate"]
    assert journal.entries[6:] == ["drained", "drained"]


async def test_new_connections_are_refused_while_and_after_draining() -> None:
    release = anyio.Event()

    class RoomChannel(Channel):
        async def terminate(self, reason: object) -> None:
            await release.wait()

    async with serve(RoomChannel) as (endpoint, server):
        await server.joined("room:a")
        assert (endpoint.health().ok, endpoint.health().draining) == (True, False)
        async with anyio.create_task_group() as group:
            group.start_soon(endpoint.drain)
            await settle()
            for denial in (True, False):
                with pytest.raises(Refused) as refused:
                    await server.connect(denial=denial)
                assert refused.value.status == (503 if denial else 403)
            assert (endpoint.health().ok, endpoint.health().draining) == (False, True)
            release.set()
        with pytest.raises(Refused):
            await server.connect()


async def test_a_connection_that_is_accepted_just_now_is_closed_at_once() -> None:
    connecting, release = anyio.Event(), anyio.Event()

    class UserSocket(Socket):
        async def connect(self, params: Any, info: Any) -> None:
            connecting.set()
            await release.wait()

    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket)
    async with serving(endpoint) as server:
        client = server.open()
        await soon(connecting.wait())
        await soon(endpoint.drain())
        release.set()
        await server.accepted(client)
        assert await client.receive_close() == 1012
        await client.wait_ended()


async def test_the_lifespan_of_the_server_drains_at_its_end() -> None:
    journal = Journal()

    class RoomChannel(BusyChannel):
        async def terminate(self, reason: object) -> None:
            await anyio.lowlevel.checkpoint()
            journal.add(reason)

    async with serve(RoomChannel, timeout=60.0) as (endpoint, server):
        lifespan = server.lifespan()
        lifespan.incoming.put({"type": "lifespan.startup"})
        assert await soon(lifespan.outgoing.get()) == {"type": "lifespan.startup.complete"}
        client = await server.joined("room:a")
        lifespan.incoming.put({"type": "lifespan.shutdown"})
        assert await soon(lifespan.outgoing.get()) == {"type": "lifespan.shutdown.complete"}
        await lifespan.wait_ended()
        assert journal.entries == [("shutdown", "draining")]
        assert_empty(endpoint)
        assert await client.receive_close() == 1012


async def test_the_lifespan_for_applications_that_mount_the_endpoint() -> None:
    """It takes the application, as Starlette calls it, and works again for a second life on the same loop."""
    journal = Journal()

    class RoomChannel(Channel):
        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel) as (endpoint, server):
        for life in (1, 2):
            async with endpoint.lifespan(object()):
                client = await server.joined("room:a")
            assert journal.entries == life * [("shutdown", "draining")]
            assert await client.receive_close() == 1012
            assert endpoint.health().draining
        with suppress(ZeroDivisionError):
            async with endpoint.lifespan():
                await server.joined("room:a")
                raise ZeroDivisionError
        assert journal.entries == 3 * [("shutdown", "draining")]


async def test_drain_without_any_connection_and_twice() -> None:
    async with serve(Channel) as (endpoint, _):
        await soon(endpoint.drain())
        await soon(endpoint.drain())


async def test_a_client_that_does_not_answer_the_close_is_given_up() -> None:
    """Nothing waits for it longer than for others."""
    async with serve(Channel) as (endpoint, server):
        client = await server.connect(answers_close=False)
        await client.join("room:a")
        with anyio.move_on_after(0.05):
            await endpoint.drain()
        assert await client.receive_close() == 1012
        client.incoming.put({"type": "websocket.disconnect", "code": 1012})
        await client.wait_ended()
        with pytest.raises(Closed):
            raise Closed(1012)


async def test_refused_joins_and_hung_joins_do_not_hold_up_a_drain() -> None:
    class RoomChannel(Channel):
        shutdown = 0.01

        async def join(self, payload: Any) -> None:
            if self.subtopic == "refused":
                raise JoinRefused
            await anyio.sleep_forever()

        async def terminate(self, reason: object) -> None:
            raise AssertionError

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.connect()
        assert await client.call("1", "1", "room:refused", "phx_join") == frames.error("1", "1", "room:refused")
        client.send_nowait(["2", "2", "room:hung", "phx_join", {}])
        await settle()
        await soon(endpoint.drain())
        assert_empty(endpoint)
