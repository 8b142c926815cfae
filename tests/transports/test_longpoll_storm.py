"""Polls, broadcasts, and clients that come and go: nothing is lost, doubled or overtaken (P-096 to P-098)."""

import json
import random
from typing import Any

import pytest

from phoenix_channels import Channel, Reply, incoming
from tests.support.asgi import Run
from tests.support.loops import settle
from tests.support.polling import Poller, cluster, disconnect, socket_of


class RoomChannel(Channel):
    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)


SOCKET = socket_of(RoomChannel)


class Storm:
    """One session, asked through any of its nodes."""

    def __init__(self, nodes: Any, poller: Poller, choice: random.Random) -> None:
        self._nodes = nodes
        self._poller = poller
        self._choice = choice
        self._sent = 0
        self._runs: list[Run] = []
        self._waiting: list[Run] = []
        self._received: list[int] = []

    async def run(self, steps: int) -> None:
        for _ in range(steps):
            self._poller.server = self._choice.choice(self._nodes.servers)
            self._choice.choice([self._broadcast, self._echo, self._poll, self._poll, self._leave])()
            await settle()
            self._collect()
            assert self._received == list(range(len(self._received)))
            self._waiting = [run for run in self._waiting if not run.ended.is_set()]

    async def finish(self) -> None:
        """Whatever has not come yet comes now, and nothing else."""
        if len(self._received) < self._sent:
            self._poll()
            await settle()
            self._collect()
        assert self._received == list(range(self._sent))

    def _broadcast(self) -> None:
        for _ in range(self._choice.randint(1, 3)):
            self._choice.choice(self._nodes.endpoints).broadcast("room:a", "number", {"number": self._sent})
            self._sent += 1

    def _echo(self) -> None:
        self._poller.start_post(["1", "2", "room:a", "echo", {"number": self._sent}])
        self._sent += 1

    def _poll(self) -> None:
        run = self._poller.start_get()
        self._runs.append(run)
        self._waiting.append(run)

    def _leave(self) -> None:
        if self._waiting:
            disconnect(self._waiting.pop(self._choice.randrange(len(self._waiting))))

    def _collect(self) -> None:
        """Each step is over before the next: at most one poll was answered with something."""
        answers = []
        for run in self._runs:
            if run.ended.is_set():
                messages = [run.outgoing.take() for _ in range(len(run.outgoing))]
                answers += [json.loads(message["body"]) for message in messages if "body" in message]
        self._runs = [run for run in self._runs if not run.ended.is_set()]
        full = [answer for answer in answers if answer.get("messages")]
        assert len(full) <= 1
        for message in full[0]["messages"] if full else ():
            frame = json.loads(message)
            payload = frame[4]["response"] if frame[3] == "phx_reply" else frame[4]
            self._received.append(payload["number"])


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("seed", range(8))
async def test_a_storm(seed: int, number: int) -> None:
    async with cluster(SOCKET, number=number, window=30.0) as nodes:
        poller = await Poller(nodes.servers[0]).open()
        await poller.join("room:a")
        storm = Storm(nodes, poller, random.Random(seed))
        await storm.run(60)
        await storm.finish()
