"""A backplane that delivers more than once: what was asked is done once (P-097, P-099, P-109)."""

from typing import Any

import pytest

from phoenix_channels import Channel, RawSocket, Reply, incoming
from tests.support import frames
from tests.support.loops import Journal, settle
from tests.support.polling import Cluster, Poller, answer_of, cluster, disconnect, posted, socket_of


class RoomChannel(Channel):
    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)


SOCKET = socket_of(RoomChannel, name="user:1")
REMEMBERED = 256
"""Requests of one session that a repetition is recognized of."""


def event(number: int) -> list[Any]:
    return frames.broadcast("room:a", f"event {number}")


async def exchange(nodes: Cluster, poller: Poller, number: int) -> None:
    """A poll that waits for a broadcast, and a post with its reply."""
    run = poller.start_get()
    await settle()
    nodes.endpoints[0].local_broadcast("room:a", f"event {number}", {})
    assert await poller.result(run) == (200, [event(number)])
    reply = frames.reply("1", str(number), "room:a", number)
    assert await poller.call("1", str(number), "room:a", "echo", number) == [reply]


async def test_everything_at_once_and_twice() -> None:
    async with cluster(SOCKET) as nodes:
        nodes.broker.copies = 2
        poller = await nodes.opened()
        await poller.join("room:a")
        for number in range(5):
            await exchange(nodes, poller, number)
        # A poll that was withdrawn stays withdrawn.
        run = poller.start_get()
        await settle()
        disconnect(run)
        await run.wait_ended()
        await exchange(nodes, poller, 5)


async def test_everything_again_when_it_is_long_over() -> None:
    async with cluster(SOCKET) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        for number in range(5):
            await exchange(nodes, poller, number)
            nodes.broker.repeat()
            await settle()
        # No poll of the past has taken it.
        nodes.endpoints[0].local_broadcast("room:a", "event 9", {})
        assert await poller.poll() == (200, [event(9)])


async def test_again_while_it_is_still_being_done() -> None:
    async with cluster(SOCKET) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        run = poller.start_get()
        await settle()
        for _ in range(3):
            nodes.broker.repeat()
            await settle()
        nodes.endpoints[0].local_broadcast("room:a", "event 1", {})
        assert await poller.result(run) == (200, [event(1)])
        nodes.endpoints[0].local_broadcast("room:a", "event 2", {})
        assert await poller.poll() == (200, [event(2)])


@pytest.mark.parametrize(("later", "handled"), [(REMEMBERED - 1, 1), (REMEMBERED, 2)])
async def test_what_is_remembered_is_bounded(later: int, handled: int) -> None:
    """The oldest request goes first; so late nothing is repeated any more."""

    class CountingSocket(RawSocket):
        received = Journal()

        def handle_in(self, data: str | bytes) -> None:
            self.received.add(data)

    async with cluster(CountingSocket) as nodes:
        poller = await nodes.opened()
        first = len(nodes.broker.published)
        for number in range(later + 1):
            assert posted(await answer_of(poller.start_post(f"[{number}"))) == 200
        # Every request but the first is known; repeated is the first.
        del nodes.broker.published[first + 1 :]
        nodes.broker.repeat()
        await settle()
        assert CountingSocket.received.count("[0") == handled
        assert len(CountingSocket.received.entries) == later + handled
