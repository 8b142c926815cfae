"""Channels over long polling, on the node that has the session and through another: the rows B030 to B041."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, RawSocket, Socket
from tests.features.app import socket_class
from tests.features.longpoll import LOBBY, ServeNodes, enter
from tests.support import frames
from tests.support.loops import Journal, soon


@pytest.mark.feature("B030")
async def test_one_poll_has_everything_in_order_and_the_next_one_nothing(nodes: ServeNodes, version: int) -> None:
    async with nodes(socket_class(Journal()), window=0.5) as running:
        session = await running.opened(version)
        await enter(running, session)
        assert await session.get() == {"status": 204, "token": session.token, "messages": []}
        await session.heartbeat()


class SilentSocket(Socket):
    channels = {"room:*": Channel}


@pytest.mark.feature("B031")
async def test_a_session_joins_a_hundred_topics_and_no_more(nodes: ServeNodes, version: int) -> None:
    async with nodes(SilentSocket) as running:
        session = await running.opened(version)
        for number in range(100):
            ref = await session.start_join(f"room:{number}")
        replies = await session.fetch(100)
        assert {frame[2] for frame in replies} == {f"room:{number}" for number in range(100)}
        assert {frame[4]["status"] for frame in replies} == {"ok"}
        ref = await session.start_join("room:100")  # the POST itself is answered with 200
        refusal = {"reason": "too many channels joined"}
        assert await session.fetch(1) == [frames.error(session.join_ref("room:100"), ref, "room:100", refusal)]
        assert running.channels == 100


@pytest.mark.feature("B036")
async def test_broadcasts_intercepts_and_topics_that_are_not_joined(nodes: ServeNodes, version: int) -> None:
    async with nodes(socket_class(Journal())) as running:
        session = await running.opened(version)
        async with running.endpoint.subscribe(LOBBY) as broadcasts:
            ref = await session.send(LOBBY, "new_msg", {"body": "too early"})
            assert await session.fetch(1) == [frames.unmatched(ref, LOBBY)]
            await enter(running, session)
            await session.send(LOBBY, "new_msg", {"body": "hi"})
            seen = {"body": "hi", "transport": "longpoll"}
            assert await session.fetch(1) == [frames.push(session.join_ref(LOBBY), LOBBY, "new_msg", seen)]
            assert [(await soon(anext(broadcasts))).event for _ in range(2)] == ["user_entered", "new_msg"]
            running.endpoint.broadcast(LOBBY, "news", {"n": 1})
            assert await session.fetch(1) == [frames.broadcast(LOBBY, "news", {"n": 1})]


@pytest.mark.feature("B037")
async def test_a_push_without_a_join_ref(nodes: ServeNodes) -> None:
    async with nodes(socket_class(Journal())) as running:
        session = await running.opened(2)
        await enter(running, session)
        assert await session.post(json.dumps([None, "7", LOBBY, "echo", {"n": 1}])) == 200
        assert await session.fetch(1) == [frames.reply("11", "7", LOBBY, {"n": 1})]


@pytest.mark.feature("B038")
async def test_batches(nodes: ServeNodes) -> None:
    async with nodes(socket_class(Journal())) as running:
        session = await running.opened(2)
        await enter(running, session)

        def measure(payload: Any) -> str | bytes:
            return session.encode(LOBBY, "measure", payload)[0]

        stale = json.dumps(["10", "3", LOBBY, "measure", "stale"])
        assert await session.post(measure("a"), stale, measure("bc")) == 200
        assert await session.post(measure(b"\x00\xff\n"), measure("")) == 200
        assert await session.fetch(4) == [
            frames.push("11", LOBBY, "measured", {"size": size, "binary": binary})
            for size, binary in ((1, False), (2, False), (3, True), (0, False))
        ]


@pytest.mark.feature("B039")
async def test_a_session_that_nobody_polls(nodes: ServeNodes) -> None:
    journal = Journal()
    async with nodes(socket_class(journal), window=0.3, pubsub_timeout=0.2) as running:
        session = await running.opened(2)
        await session.start_join(LOBBY)
        await journal.wait_for(("terminated", LOBBY, ("shutdown", "inactive")))
        message, _ = session.encode(LOBBY, "note", {"n": 1})
        assert await session.post(message) == 410
        envelope = await session.get()
        assert (envelope["status"], envelope["messages"]) == (410, [])
        assert envelope["token"] != session.token
    assert len(journal.entries) == 1


class StuckSocket(RawSocket):
    shutdown = 0.1

    async def handle_in(self, data: str | bytes) -> None:
        await anyio.sleep_forever()


@pytest.mark.feature("B040")
async def test_a_message_that_is_not_taken(node: ServeNodes) -> None:
    async with node(StuckSocket, window=0.3) as running:
        session = await running.opened(2)
        assert await session.post_body(b"hello", None) == 408


@pytest.mark.feature("B041")
async def test_the_first_hundred_entries_of_a_batch(node: ServeNodes) -> None:
    journal = Journal()
    async with node(socket_class(journal)) as running:
        session = await running.opened(2)
        await enter(running, session)
        assert await session.post(*(session.encode(LOBBY, "note", number)[0] for number in range(101))) == 200
        await session.send(LOBBY, "note", "the end")
        await journal.wait_for("the end")
        assert journal.entries == [*range(100), "the end"]
