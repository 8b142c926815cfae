"""Requests for a session that lives on another node: they travel on the backplane (P-103, P-109)."""

from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, RawSocket, Reply, Socket, incoming
from tests.support import frames
from tests.support.loops import on_virtual_time, settle, soon
from tests.support.polling import (
    answer_of,
    ask,
    cluster,
    disconnect,
    mounted,
    posted,
    served,
    socket_of,
)


class RoomChannel(Channel):
    shutdown = 0.05

    async def join(self, payload: Any) -> None:
        if self.subtopic == "slow":
            await anyio.sleep_forever()

    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload if not isinstance(payload, bytes) else payload.decode())

    @incoming
    def boom(self, payload: Any) -> None:
        raise ZeroDivisionError


SOCKET = socket_of(RoomChannel, name="user:1")


def event(name: str) -> list[Any]:
    return frames.broadcast("room:a", name)


async def test_a_session_is_polled_and_posted_to_through_another_node() -> None:
    """P-109; text, bytes and what is not ASCII arrive as they were sent."""
    async with cluster(SOCKET) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        binary = frames.binary_push("1", "2", "room:a", "echo", b"bytes")
        assert await poller.post(binary, ["1", "3", "room:a", "echo", "grüße \u2028"]) == 200
        replies = [frames.reply("1", "2", "room:a", "bytes"), frames.reply("1", "3", "room:a", "grüße \u2028")]
        assert await poller.poll() == (200, replies)
        assert [endpoint.statistics().connections for endpoint in nodes.endpoints] == [1, 0]
        # And through its own again.
        poller.server = nodes.servers[0]
        await poller.heartbeat()


async def test_a_batch_through_another_node_keeps_its_order_and_its_bounds() -> None:
    async with cluster(SOCKET) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        assert await poller.post(*(["1", str(n), "room:a", "echo", n] for n in range(120))) == 200
        assert await poller.poll() == (200, [frames.reply("1", str(n), "room:a", n) for n in range(100)])
        answer = await answer_of(poller.start_post_body(b"no base64"))
        assert answer.status == 400
        await poller.heartbeat()


async def test_a_poll_that_waits_on_one_node_is_answered_by_a_broadcast_on_any() -> None:
    async with cluster(SOCKET, number=3) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        for number, endpoint in enumerate(nodes.endpoints):
            run = poller.start_get()
            await settle()
            assert not run.ended.is_set()
            endpoint.broadcast("room:a", f"event {number}", {})
            assert await poller.result(run) == (200, [event(f"event {number}")])


@on_virtual_time()
async def test_a_poll_on_another_node_ends_with_its_window() -> None:
    async with cluster(SOCKET, window=4.0) as nodes:
        poller = await nodes.opened()
        run = poller.start_get()
        await anyio.sleep(3.9)
        assert not run.ended.is_set()
        assert await poller.result(run) == (204, [])
        # Expired, and forgotten: what comes now is for the next.
        await poller.heartbeat()


async def test_a_poll_whose_client_has_gone_consumes_nothing() -> None:
    """P-097"""
    async with cluster(SOCKET) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        for _ in range(3):
            run = poller.start_get()
            await settle()
            disconnect(run)
            await run.wait_ended()
        nodes.endpoints[0].broadcast("room:a", "one", {})
        assert await poller.poll() == (200, [event("one")])
        assert [endpoint.statistics().connections for endpoint in nodes.endpoints] == [1, 0]


async def test_a_newer_poll_takes_the_place_of_an_older_one_wherever_each_waits() -> None:
    """P-097"""
    async with cluster(SOCKET, window=0.5, number=3) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        for older, newer in ((0, 1), (1, 0), (1, 2)):
            poller.server = nodes.servers[older]
            first = poller.start_get()
            await settle()
            poller.server = nodes.servers[newer]
            second = poller.start_get()
            await settle()
            nodes.endpoints[0].broadcast("room:a", "one", {})
            assert await poller.result(second) == (200, [event("one")])
            assert await poller.result(first) == (204, [])


async def test_what_a_session_dies_of_is_408_also_through_another_node() -> None:
    async with cluster(SOCKET, pubsub_timeout=0.2) as nodes:
        poller = await nodes.opened()
        assert await poller.post("[]") == 408
        with anyio.fail_after(3):
            await poller.gone()


async def test_a_post_that_its_socket_does_not_take_is_408_also_through_another_node() -> None:
    class StuckSocket(RawSocket):
        shutdown = 0.05

        async def handle_in(self, data: str | bytes) -> None:
            await anyio.sleep_forever()

    async with cluster(StuckSocket, window=0.1) as nodes:
        poller = await nodes.opened()
        assert await poller.post("[") == 408


async def test_a_crash_of_a_channel_is_seen_through_another_node() -> None:
    async with cluster(SOCKET) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        assert await poller.call("1", "2", "room:a", "boom", {}) == [frames.crashed("1", "room:a")]


# Ends


@pytest.mark.parametrize("how", ["disconnect", "drain"])
async def test_a_poll_on_another_node_ends_with_its_session(how: str) -> None:
    async with cluster(SOCKET, pubsub_timeout=0.1) as nodes:
        poller = await nodes.opened()
        run = poller.start_get()
        await settle()
        if how == "disconnect":
            await nodes.endpoints[1].disconnect("user:1")
        else:
            await soon(nodes.endpoints[0].drain())
        assert await poller.result(run) == (204, [])
        await poller.gone()
        assert (await poller.poll())[0] == 410
        assert [endpoint.statistics().connections for endpoint in nodes.endpoints] == [0, 1]


@on_virtual_time()
async def test_a_session_that_nobody_answers_for_is_gone_after_the_timeout() -> None:
    """P-103: the node that had it is dead, and has not said a word."""
    async with cluster(SOCKET, pubsub_timeout=2.0) as nodes:
        poller = await nodes.opened()
        await nodes.broker.nodes[0].aclose()
        before = anyio.current_time()
        await poller.gone()
        assert anyio.current_time() - before == pytest.approx(2, abs=0.1)
        assert (await poller.poll())[0] == 410
        assert anyio.current_time() - before == pytest.approx(4, abs=0.2)


@on_virtual_time()
async def test_a_session_whose_client_polls_elsewhere_is_not_missed() -> None:
    """P-102: polls count wherever they come in; here for more than three windows."""
    async with cluster(SOCKET, window=4.0) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        for _ in range(4):
            assert await poller.poll() == (204, [])
            await anyio.sleep(1)
        await poller.heartbeat()


async def test_a_token_is_good_on_other_nodes_at_its_own_mount_only() -> None:
    async with cluster(SOCKET, pubsub_timeout=0.1) as nodes:
        for endpoint in nodes.endpoints:
            endpoint.socket("/other", SOCKET, longpoll=True)
        poller = await nodes.opened()
        other = await ask(nodes.servers[1], "POST", "/other/longpoll", query=f"token={poller.token}")
        assert other.envelope == {"status": 410}


async def test_nodes_with_different_secrets_do_not_believe_each_other() -> None:
    async with cluster(SOCKET) as nodes:
        stranger = mounted(SOCKET, secret="another secret of sixty bytes", pubsub=nodes.broker.node())
        async with served(stranger, alone=False) as server:
            poller = await nodes.opened()
            poller.server = server
            await poller.gone()


# What the broker is asked for


async def test_every_interest_is_given_back() -> None:
    async with cluster(Socket, window=0.05, pubsub_timeout=0.05) as nodes:
        assert nodes.interests == 0
        poller = await nodes.opened()
        assert nodes.interests == 1
        await poller.heartbeat()
        assert await poller.poll() == (204, [])
        run = poller.start_get()
        await settle()
        # Where the session is, and where its answer goes.
        assert [sum(node.interests.values()) for node in nodes.broker.nodes] == [1, 1]
        disconnect(run)
        await run.wait_ended()
        run = poller.start_get()
        await settle()
        run.kill()
        await run.wait_ended()
        assert nodes.interests == 1
        await soon(nodes.endpoints[0].drain())
        assert nodes.interests == 0
        await poller.gone()
        assert nodes.interests == 0


async def test_requests_of_one_session_from_many_places_at_once() -> None:
    async with cluster(SOCKET, number=4) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        runs = []
        for number in range(12):
            poller.server = nodes.servers[number % 4]
            runs.append(poller.start_post(["1", str(number), "room:a", "echo", number]))
        assert [posted(await answer_of(run)) for run in runs] == 12 * [200]
        status, received = await poller.poll()
        assert status == 200
        assert sorted(int(frame[1]) for frame in received) == list(range(12))
