"""Tests of clients against a mock, as the guide to it shows them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio import to_thread

from examples.quickstart.guides.answering_bot import answer_questions
from phoenix_channels.client import JoinRefused
from phoenix_channels.testing.mock import MockPhoenix
from tests.examples.programs import Node
from tests.support.processes import Process


@asynccontextmanager
async def bot(mock: MockPhoenix, **options: Any) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: answer_questions(mock.url, **options))
        yield
        tasks.cancel_scope.cancel()


# Start: answers
async def test_the_bot_answers_a_question(phoenix_mock: MockPhoenix) -> None:
    async with bot(phoenix_mock):
        await phoenix_mock.push("room:lobby", "question", {"id": 7})
        await phoenix_mock.wait_for("push", event="answer", payload={"to": 7, "body": str})


# End: answers


# Start: repeats
async def test_the_bot_repeats_what_nobody_has_confirmed(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_push("room:*", "answer").silent().times(1)
    async with bot(phoenix_mock, patience=0.01):
        await phoenix_mock.push("room:lobby", "question", {"id": 7})
        for _ in range(2):
            await phoenix_mock.wait_for("push", event="answer", payload={"to": 7})


# End: repeats


# Start: comes back
async def test_the_bot_comes_back_when_its_connection_is_lost(phoenix_mock: MockPhoenix) -> None:
    async with bot(phoenix_mock):
        await phoenix_mock.wait_for("join")
        phoenix_mock.drop_all()
        await phoenix_mock.wait_for("join", topic="room:lobby", payload={"as": "bot"})
        await phoenix_mock.push("room:lobby", "question", {"id": 8})
        await phoenix_mock.wait_for("push", event="answer", payload={"to": 8})


async def test_the_bot_survives_a_restart(phoenix_mock: MockPhoenix) -> None:
    async with bot(phoenix_mock):
        await phoenix_mock.wait_for("join")
        phoenix_mock.on_connect().refuse(503).times(1)
        await phoenix_mock.restart()
        await phoenix_mock.wait_for("join")


# End: comes back


# Start: refused
async def test_the_bot_gives_up_where_it_is_not_wanted(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:lobby", {"as": "bot"}).refuse({"reason": "no bots"})
    with pytest.raises(JoinRefused, match="no bots"):
        await answer_questions(phoenix_mock.url)


# End: refused


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_refused_join_and_a_dropped_connection_look_right_to_phoenix_js(
    phoenix_mock: MockPhoenix, node: Node
) -> None:
    phoenix_mock.on_join("room:*").refuse({"reason": "full"}).times(1)
    with node.running("guides/mock_client.mjs", phoenix_mock.port) as client:
        await says(client, "refused: full", "joined")
        await phoenix_mock.push("room:lobby", "news", {"body": "one"})
        await says(client, "news: one")
        phoenix_mock.drop_all()
        await says(client, "errored", "closed with 1006", "joined")
        await phoenix_mock.broadcast("room:lobby", "news", {"body": "two"})
        await says(client, "news: two")
    joins = [entry for entry in phoenix_mock.received if entry.kind == "join"]
    assert [(entry.client, entry.payload) for entry in joins] == [(n, {"as": "ann"}) for n in (1, 1, 2)]


async def says(client: Process, *lines: str) -> None:
    """The client says this next."""
    for line in lines:
        # In a thread: meanwhile the mock is at work.
        found = await to_thread.run_sync(client.line, "")
        assert found.string.strip() == line
