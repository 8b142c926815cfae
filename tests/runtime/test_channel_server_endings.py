"""However a connection ends, each of its channels ends in exactly one terminate (P-067, P-068)."""

from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, Endpoint, JoinRefused, Reply, Stop, incoming
from tests.support import frames
from tests.support.apps import serve
from tests.support.asgi import Client
from tests.support.loops import Journal, settle, soon


async def close(endpoint: Endpoint, client: Client) -> None:
    client.close_nowait()


async def go_away(endpoint: Endpoint, client: Client) -> None:
    client.close_nowait(1006)


async def send_garbage(endpoint: Endpoint, client: Client) -> None:
    client.send_nowait("garbage")


async def disconnect(endpoint: Endpoint, client: Client) -> None:
    await endpoint.disconnect("user:1")


async def drain(endpoint: Endpoint, client: Client) -> None:
    await endpoint.drain()


async def kill(endpoint: Endpoint, client: Client) -> None:
    client.kill()


ENDINGS = pytest.mark.parametrize(
    ("end", "reason", "code"),
    [
        (close, ("shutdown", "closed"), None),
        (go_away, ("shutdown", "closed"), None),
        (send_garbage, ("shutdown", "closed"), 1011),
        (disconnect, ("shutdown", "disconnected"), 1001),
        (drain, ("shutdown", "draining"), 1012),
        (kill, ("shutdown", "closed"), None),
    ],
)


@ENDINGS
async def test_every_channel_terminates_once_and_sends_nothing(end: Any, reason: object, code: int | None) -> None:
    journal = Journal()

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            if self.subtopic == "refused":
                raise JoinRefused
            if self.subtopic == "crashed":
                raise RuntimeError

        async def terminate(self, reason: object) -> None:
            self.push("bye", {})
            await anyio.lowlevel.checkpoint()
            journal.add((self.topic, reason))

    async with serve(RoomChannel, socket_id="user:1") as (endpoint, server):
        client = await server.connect()
        for n in range(5):
            await client.join(f"room:{n}", ref=f"{n}")
        await client.call("5", "5", "room:refused", "phx_join")
        await client.call("6", "6", "room:crashed", "phx_join")
        await end(endpoint, client)
        if code is not None:
            assert await client.receive_close() == code
        await client.wait_ended()
        await journal.wait_length(5)
        await client.receive_nothing()
        assert endpoint.statistics().channels == 0
        assert endpoint.statistics().connections == 0
    assert sorted(journal.entries) == [(f"room:{n}", reason) for n in range(5)]


@ENDINGS
async def test_a_running_handler_and_what_is_queued_come_to_their_end(end: Any, reason: object, code: object) -> None:
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        @incoming
        async def slow(self, payload: Any) -> Reply:
            journal.add("begin")
            await release.wait()
            journal.add("end")
            self.push("nobody", {})
            return Reply.ok()

        @incoming
        def queued(self, payload: Any) -> None:
            journal.add("queued")

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel, socket_id="user:1") as (endpoint, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "slow", {}])
        client.send_nowait(["1", "3", "room:a", "queued", {}])
        await journal.wait_for("begin")
        async with anyio.create_task_group() as group:
            group.start_soon(end, endpoint, client)
            await settle()
            assert journal.entries == ["begin"]
            release.set()
        await journal.wait_length(4)
    assert journal.entries == ["begin", "end", "queued", reason]


@ENDINGS
async def test_a_handler_that_does_not_end_in_time_is_cancelled_then_terminate_runs(
    end: Any, reason: object, code: object, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal()

    class RoomChannel(Channel):
        shutdown = 0.01

        @incoming
        async def hang(self, payload: Any) -> None:
            journal.add("begin")
            try:
                await anyio.sleep_forever()
            finally:
                journal.add("cancelled")

        @incoming
        async def queued(self, payload: Any) -> None:
            journal.add("queued")

        async def terminate(self, reason: object) -> None:
            await anyio.lowlevel.checkpoint()
            journal.add(reason)

    async with serve(RoomChannel, socket_id="user:1") as (endpoint, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "hang", {}])
        client.send_nowait(["1", "3", "room:a", "queued", {}])
        await journal.wait_for("begin")
        await end(endpoint, client)
        await journal.wait_length(3)
        assert endpoint.statistics().cut_callbacks == 1
    assert journal.entries == ["begin", "cancelled", reason]
    assert "cut off after 0.01 s" in caplog.text


async def test_what_a_client_sends_right_before_it_closes_is_still_handled() -> None:
    journal = Journal()

    class RoomChannel(Channel):
        @incoming
        async def count(self, payload: Any) -> Reply:
            await anyio.lowlevel.checkpoint()
            journal.add(payload["n"])
            return Reply.ok()

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        for n in range(50):
            client.send_nowait(["1", str(n), "room:a", "count", {"n": n}])
        await client.close()
    assert journal.entries == [*range(50), ("shutdown", "closed")]


@pytest.mark.parametrize("crashes", [False, True])
async def test_a_stop_or_crash_is_the_end_also_when_the_client_has_gone(crashes: bool) -> None:
    """Nothing behind it is handled, and terminate hears of it instead of the connection."""
    journal, release = Journal(), anyio.Event()
    error = RuntimeError("boom")

    class RoomChannel(Channel):
        @incoming
        async def last(self, payload: Any) -> Stop:
            journal.add("begin")
            await release.wait()
            if crashes:
                raise error
            return Stop("normal")

        @incoming
        async def queued(self, payload: Any) -> None:
            journal.add("queued")

        async def terminate(self, reason: object) -> None:
            journal.add(("terminate", reason))

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "last", {}])
        client.send_nowait(["1", "3", "room:a", "queued", {}])
        await journal.wait_for("begin")
        client.close_nowait()
        await settle()
        release.set()
        await client.wait_ended()
    assert journal.entries == ["begin", ("terminate", error if crashes else "normal")]


async def test_a_connection_that_ends_while_a_join_runs() -> None:
    """A join that returns in time is followed by terminate; one that does not, is cancelled and is not."""
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        shutdown = 0.05

        async def join(self, payload: Any) -> None:
            journal.add(("join", self.subtopic))
            try:
                await (anyio.sleep_forever() if self.subtopic == "hangs" else release.wait())
            finally:
                journal.add(("joined", self.subtopic))
            if self.subtopic == "crashes":
                raise RuntimeError
            if self.subtopic == "refused":
                raise JoinRefused

        async def after_join(self) -> None:
            raise AssertionError

        async def terminate(self, reason: object) -> None:
            journal.add(("terminate", self.subtopic))

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        for name in ("hangs", "crashes", "refused", "returns"):
            client.send_nowait([name, name, f"room:{name}", "phx_join", {}])
        client.send_nowait(["returns", "9", "room:returns", "waits", {}])
        await journal.wait_length(4)
        client.close_nowait()
        await settle()
        release.set()
        await client.wait_ended()
    assert sorted(entry[1] for entry in journal.entries if entry[0] == "joined") == sorted(
        ("hangs", "crashes", "refused", "returns")
    )
    assert [entry[1] for entry in journal.entries if entry[0] == "terminate"] == ["returns"]


async def test_the_server_waits_until_terminate_is_over() -> None:
    """A graceful shutdown of the server waits for its own tasks: ours is one of them until the channels are done."""
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        async def terminate(self, reason: object) -> None:
            journal.add("begin")
            await release.wait()

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.joined("room:a")
        client.close_nowait()
        await journal.wait_for("begin")
        await settle()
        assert not client.ended.is_set()
        assert endpoint.statistics().channels == 1
        # A server that has waited for long enough cancels its task: terminate goes on.
        client.kill()
        await client.wait_ended()
        assert endpoint.statistics().channels == 1
        release.set()
        await settle()
        assert endpoint.statistics().channels == 0


@pytest.mark.parametrize("way", ["leave", "stop", "crash", "rejoin", "close"])
async def test_terminate_runs_once_also_when_two_ends_meet(way: str) -> None:
    """The connection ends while terminate runs already."""
    journal, release = Journal(), anyio.Event()

    class RoomChannel(Channel):
        @incoming
        async def stop(self, payload: Any) -> Stop:
            return Stop()

        async def terminate(self, reason: object) -> None:
            journal.add(self.topic)
            await release.wait()

    async with serve(RoomChannel, socket_id="user:1") as (endpoint, server):
        client = await server.joined("room:a")
        messages: dict[str, list[Any]] = {
            "leave": ["1", "2", "room:a", "phx_leave", {}],
            "stop": ["1", "2", "room:a", "stop", {}],
            "crash": ["1", "2", "room:a", "crash", {}],
            "rejoin": ["2", "2", "room:a", "phx_join", {}],
            "close": [None, "2", "phoenix", "heartbeat", {}],
        }
        client.send_nowait(messages[way])
        if way == "close":
            client.close_nowait()
        await journal.wait_length(1)
        await endpoint.disconnect("user:1")
        client.kill()
        await settle()
        release.set()
        await client.wait_ended()
        await soon(endpoint.drain())
    assert journal.entries == ["room:a"]


@pytest.mark.parametrize("where", ["join", "after_join", "handler", "crash", "stop"])
async def test_a_channel_may_end_its_own_connection(where: str) -> None:
    """In the middle of a plain callback, and of the message that is being read."""
    journal, error = Journal(), RuntimeError("boom")

    class RoomChannel(Channel):
        def _disconnect(self, here: str) -> None:
            if where == here:
                self.endpoint.broadcast("user:1", "disconnect", {})

        def join(self, payload: Any) -> None:
            self._disconnect("join")

        def after_join(self) -> None:
            self._disconnect("after_join")

        @incoming
        def handler(self, payload: Any) -> Reply | Stop:
            self._disconnect("handler")
            self._disconnect("crash")
            self._disconnect("stop")
            if where == "crash":
                raise error
            return Stop() if where == "stop" else Reply.ok()

        def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel, socket_id="user:1") as (_, server):
        client = await server.connect()
        client.send_nowait(["1", "1", "room:a", "phx_join", {}])
        client.send_nowait(["1", "2", "room:a", "handler", {}])
        client.send_nowait(["1", "3", "room:a", "handler", {}])
        if where != "join":
            assert await client.receive() == frames.reply("1", "1", "room:a")
        assert await client.receive_close() == 1001
        await client.wait_ended()
    assert journal.entries == [{"crash": error, "stop": "normal"}.get(where, ("shutdown", "disconnected"))]


async def test_a_handler_that_drains_waits_for_itself_and_is_cut_off() -> None:
    journal = Journal()

    class RoomChannel(Channel):
        shutdown = 0.01

        @incoming
        async def drain(self, payload: Any) -> None:
            await self.endpoint.drain()

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "drain", {}])
        assert await client.receive_close() == 1012
        await client.wait_ended()
    assert journal.entries == [("shutdown", "draining")]
