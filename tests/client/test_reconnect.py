"""Connections that are lost, and found again."""

from __future__ import annotations

import inspect
import json
import sys
from contextlib import suppress
from typing import Any

import anyio
import pytest
from websockets.exceptions import ConnectionClosed

from phoenix_channels import Endpoint
from phoenix_channels.client import (
    Closed,
    ConnectFailed,
    Errored,
    Joined,
    JoinRefused,
    JoinTimeout,
    Opened,
    PushLost,
    connect,
    ladder,
)
from phoenix_channels.protocol.frames import FIN, server_frame
from tests.client.app import deaf_server, raw_server, restartable
from tests.support.clients import connect_to, connected, until
from tests.support.loops import Journal, settle, soon


async def test_it_comes_back_to_a_server_that_restarts(
    endpoint: Endpoint, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = iter([1, 2])
    async with restartable(endpoint) as server, connect_to(server.port) as socket:
        channel = await socket.join("room:a", lambda: {"n": next(numbers)})
        await until(socket, Opened, Joined)
        await server.stop()
        await until(socket, Closed)
        assert not channel.joined
        await server.start()
        *_, joined = await until(socket, Opened, Joined)
        assert joined == Joined(channel, {"you sent": {"n": 2}})
        assert await channel.push("echo", {"n": 3}) == {"n": 3}
        assert [entry[2] for entry in journal.entries if entry[1] == "join"] == [{"n": 1}, {"n": 2}]
    # They were not asked for more often.
    assert caplog.text == ""


async def test_a_drain_is_told_by_its_code(endpoint: Endpoint) -> None:
    async with restartable(endpoint) as server, connect_to(server.port) as socket:
        channel = await socket.join("room:a")
        await until(socket, Opened, Joined)
        async with anyio.create_task_group() as group:
            group.start_soon(endpoint.drain)
            assert await until(socket, Closed, Errored) == [Closed(1012, None), Errored(channel, None)]


async def test_who_is_disconnected_comes_back(endpoint: Endpoint, journal: Journal) -> None:
    # P-079
    async with connected(endpoint, params={"user": "ada"}) as socket:
        channel = await socket.join("room:a")
        await until(socket, Joined)
        await endpoint.disconnect("users:ada")
        assert (await until(socket, Closed))[-1] == Closed(1001, None)
        await until(socket, Joined)
        assert await channel.push("echo", {"n": 1}) == {"n": 1}


async def test_a_push_is_lost_with_the_connection(endpoint: Endpoint, journal: Journal) -> None:
    async with restartable(endpoint) as server, connect_to(server.port) as socket:
        channel = await socket.join("room:a")
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(PushLost):
                    await channel.push("note")

            group.start_soon(call)
            await soon(journal.wait_for(("room:a", "note", {})))
            await server.stop()
        # This one is sent when it is back.
        async with anyio.create_task_group() as group:

            async def call_again() -> None:
                assert await channel.push("echo", {"n": 1}) == {"n": 1}

            group.start_soon(call_again)
            await settle()
            await server.start()


async def test_the_ladder_is_climbed_anew_after_each_success(endpoint: Endpoint) -> None:
    tries: list[int] = []

    def after(number: int) -> float:
        tries.append(number)
        return 0.001

    async with restartable(endpoint) as server, connect_to(server.port, reconnect_after=after) as socket:
        for _ in range(2):
            await until(socket, Opened)
            tries.clear()
            await server.stop()
            lost, *failed = await until(socket, Closed, Closed, Closed)
            assert lost == Closed(1001, None)
            assert all(isinstance(event, Closed) and isinstance(event.error, ConnectFailed) for event in failed)
            assert tries[:3] == [1, 2, 3]
            await server.start()
        await until(socket, Opened)


async def test_jitter_makes_a_pause_longer_or_shorter(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return 0.0

    monkeypatch.setattr("phoenix_channels.client.socket.uniform", uniform)
    async with (
        restartable(endpoint) as server,
        connect_to(server.port, reconnect_after=ladder(3600), jitter=0.25) as socket,
    ):
        await server.stop()
        await server.start()
        await until(socket, Opened, Closed, Opened)
    assert set(asked) == {(0.75, 1.25)}


async def test_a_push_that_was_cancelled_while_it_waited_is_not_sent(endpoint: Endpoint, journal: Journal) -> None:
    async with restartable(endpoint) as server, connect_to(server.port) as socket:
        channel = await socket.join("room:a")
        await server.stop()
        await until(socket, Closed)
        with anyio.move_on_after(0):
            await channel.push("note", {"n": 1})
        channel.push_nowait("note", {"n": 2})
        await server.start()
        await soon(journal.wait_for(("room:a", "note", {"n": 2})))
        assert journal.count(("room:a", "note", {"n": 1})) == 0


async def test_leaving_while_there_is_no_connection(endpoint: Endpoint) -> None:
    async with restartable(endpoint) as server, connect_to(server.port, reconnect_after=ladder(3600)) as socket:
        channel = await socket.join("room:a")
        await server.stop()
        await until(socket, Closed)
        await soon(channel.leave())
        assert [message async for message in channel] == []


# Servers that misbehave


class Recorder:
    """What a server that answers joins and nothing else has received on each of its connections, and how they ended."""

    def __init__(self, say: str | None = None, *, joins: bool = True) -> None:
        self.say = say
        self.joins = joins
        self.journal = Journal()

    async def __call__(self, connection: Any) -> None:
        try:
            while True:
                message = json.loads(await connection.recv())
                self.journal.add(message[2:4])
                if message[3] == "phx_join" and self.joins:
                    reply = {"status": "ok", "response": {}}
                    await connection.send(json.dumps([*message[:3], "phx_reply", reply]))
                    for _ in range(2 if self.say else 0):
                        await connection.send(self.say)
                        await connection.send(self.say)
        except ConnectionClosed:
            self.journal.add((connection.close_code, connection.close_reason))


async def test_who_is_cancelled_while_it_joins_leaves() -> None:
    recorder = Recorder(joins=False)
    async with raw_server(recorder) as port, connect_to(port) as socket:
        async with anyio.create_task_group() as group:
            group.start_soon(socket.join, "room:a")
            await soon(recorder.journal.wait_for(["room:a", "phx_join"]))
            group.cancel_scope.cancel()
        await soon(recorder.journal.wait_for(["room:a", "phx_leave"]))


async def test_a_server_that_answers_no_heartbeat_is_left(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    async with (
        raw_server(recorder) as port,
        connect_to(port, heartbeat_interval=0.01, heartbeat_timeout=0.01) as socket,
    ):
        channel = await socket.join("room:a")
        await until(socket, Joined, Errored, Opened, Joined)
        assert channel.joined
        await soon(recorder.journal.wait_for((1000, "heartbeat timeout")))
    assert recorder.journal.entries[:2] == [["room:a", "phx_join"], ["phoenix", "heartbeat"]]


async def test_a_server_that_is_gone_has_no_code() -> None:
    joined = b'["1","1","room:a","phx_reply",{"status":"ok","response":{}}]'
    quick: dict[str, Any] = {"heartbeat_interval": 0.01, "heartbeat_timeout": 0.01, "close_timeout": 0.01}
    async with deaf_server(server_frame(FIN | 1, joined)) as port, connect_to(port, **quick) as socket:
        await socket.join("room:a")
        assert (await until(socket, Closed))[-1] == Closed(None, None)


@pytest.mark.parametrize("said", ["no JSON", "[]", '[null,null,"room:a","phx_reply",{}]'])
async def test_a_server_that_talks_nonsense_is_left(said: str, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(said)
    async with raw_server(recorder) as port, connect_to(port, reconnect_after=ladder(3600)) as socket:
        await socket.join("room:a")
        await until(socket, Closed)
        await soon(recorder.journal.wait_for((1007, "")))
    assert caplog.text.count("closing a connection with 1007: undecodable message") == 1


LARGE = json.dumps([None, None, "room:a", "event", {"text": "x" * 2000}])


async def test_a_message_that_is_too_large_ends_the_connection() -> None:
    recorder = Recorder(LARGE)
    async with raw_server(recorder) as port, connect_to(port, reconnect_after=ladder(3600), max_size=1000) as socket:
        await socket.join("room:a")
        await until(socket, Closed)
        await soon(recorder.journal.wait_until(lambda: recorder.journal.entries[-1][0] == 1009))


@pytest.mark.parametrize(("said", "options"), [("no JSON", {}), (LARGE, {"max_size": 1000})])
async def test_a_server_that_says_it_again_each_time_is_asked_ever_more_rarely(
    said: str, options: dict[str, Any]
) -> None:
    tries: list[int] = []

    def after(number: int) -> float:
        tries.append(number)
        return 0.001

    async with raw_server(Recorder(said)) as port, connect_to(port, reconnect_after=after, **options) as socket:
        await socket.join("room:a")
        await until(socket, Closed, Opened, Closed, Opened, Closed)
    # The first is a look at the function, when the client is made.
    assert tries[:4] == [1, 1, 2, 3]


async def test_what_is_nested_too_deeply_ends_no_client() -> None:
    depth = 1

    async def serve(connection: Any) -> None:
        with suppress(ConnectionClosed):
            while True:
                join_ref, ref, topic, event, _ = json.loads(await connection.recv())
                if event == "phx_join":
                    reply = '{"status":"error","response":' + "[" * depth + "]" * depth + "}"
                    await connection.send(f'["{join_ref}","{ref}","{topic}","phx_reply",{reply}]')

    # Where Python gives up depends on the stack, and it does so at several places: each is passed on the way.
    limit, refused = sys.getrecursionlimit(), 0
    async with raw_server(serve) as port, connect_to(port) as socket:
        for depth in range(limit - 200, limit):  # noqa: B007 - the server looks at it
            with pytest.raises((JoinRefused, JoinTimeout)):
                await socket.join("room:a", timeout=0.02)
            refused += not socket.connected
            if refused == 3:
                break
        depth = 1
        with pytest.raises(JoinRefused):
            await socket.join("room:a")


@pytest.mark.parametrize("cancelled", [True, False])
async def test_what_is_not_read_yet_holds_up_no_end(cancelled: bool) -> None:
    joined = b'["1","1","room:a","phx_reply",{"status":"ok","response":{}}]'
    flood = server_frame(FIN | 1, joined) + 10_000 * server_frame(FIN | 1, b'[null,null,"room:a","event",{}]')
    async with deaf_server(flood) as port:
        with anyio.CancelScope() as scope:
            async with connect_to(port, close_timeout=0.01) as socket:
                channel = await socket.join("room:a")
                if cancelled:
                    scope.cancel()
    assert scope.cancelled_caught is cancelled
    assert channel.dropped < 9000


async def test_the_schedule_is_that_of_phoenix_js_unless_something_else_is_said() -> None:
    # P-137; the steps themselves are the protocol's to test.
    defaults: dict[str, Any] = {name: given.default for name, given in inspect.signature(connect).parameters.items()}
    assert (defaults["timeout"], defaults["heartbeat_interval"], defaults["heartbeat_timeout"]) == (10, 30, 30)
    assert [defaults["reconnect_after"](n) for n in range(1, 12)][-1] == 5.0
    assert [defaults["rejoin_after"](n) for n in range(1, 6)] == [1, 2, 5, 10, 10]
    assert defaults["jitter"] == 0
