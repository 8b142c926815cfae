"""Many clients at once, over the wire: nothing is lost, doubled or overtaken, and nothing is left (P-061, P-071)."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from phoenix_channels import Limits, WebSocketOptions
from tests.support.loops import on_trio
from tests.transports.app import Journal, eventually, make_endpoint
from tests.transports.clients import Client, connect, connect_raw
from tests.transports.servers import Serve

TOPIC = "room:storm"
CREW = 8
STEPS = 50
CUT = 12


class Sailor:
    """One client that does what its dice say, and numbers what it says."""

    def __init__(self, number: int, client: Client, dice: random.Random) -> None:
        self.number = number
        self.client = client
        self.dice = dice
        # Now and then it is more than the buffers on the way take at once.  On trio the clients of the library do not
        # receive while their sending is held up, and its servers neither: each would wait for the other.
        self.sizes = (0, 0, 0, 3, 50, 200) if on_trio() else (0, 0, 0, 3, 50, 200, 4000, 50_000)
        self.said = {"shout": 0, "tell_others": 0}
        self.heard: list[tuple[int, str, int]] = []
        """The broadcasts that it got: of whom, by which event, and the number."""
        self._unanswered: dict[str, deque[tuple[Any, int]]] = {TOPIC: deque(), "phoenix": deque()}
        """By topic, the answers that it waits for, and how many shouts of its own come before each."""

    async def speak(self) -> None:
        say = [self._shout, self._whisper, self._echo, self._heartbeat, self.client.connection.ping]
        for _ in range(STEPS):
            await self.dice.choice(say)()
        await self._shout(last=True)

    def _payload(self, event: str = "", **more: Any) -> dict[str, Any]:
        if event:
            self.said[event] += 1
        text = "ä" * self.dice.choice(self.sizes)
        return {"of": self.number, "by": event, "n": self.said.get(event), "text": text, **more}

    async def _shout(self, **more: Any) -> None:
        await self.client.push(TOPIC, "shout", self._payload("shout", **more))

    async def _whisper(self) -> None:
        await self._ask(TOPIC, "tell_others", self._payload("tell_others"), answer={})

    async def _echo(self) -> None:
        payload = self._payload()
        await self._ask(TOPIC, "echo", payload, answer=payload)

    async def _heartbeat(self) -> None:
        await self._ask("phoenix", "heartbeat", {}, answer={})

    async def _ask(self, topic: str, event: str, payload: Any, *, answer: Any) -> None:
        # Noted first: the answer may come before the sending is over.
        self._unanswered[topic].append((answer, self.said["shout"]))
        await self.client.push(topic, event, payload)

    async def listen(self) -> None:
        """Read until everybody has said his last."""
        everybody = CREW
        while everybody:
            _, _, topic, event, payload = await self.client.receive()
            if event == "shout":
                self.heard.append((payload["of"], payload["by"], payload["n"]))
                everybody -= payload.get("last", False)
            else:
                answer, shouts = self._unanswered[topic].popleft()
                assert (event, payload) == ("phx_reply", {"status": "ok", "response": answer})
                # A heartbeat is in no channel's order.
                assert topic == "phoenix" or shouts == sum(one[:2] == (self.number, "shout") for one in self.heard)
        assert not any(self._unanswered.values())

    def check(self, crew: list[Sailor]) -> None:
        for other in crew:
            for event, count in other.said.items():
                due = 0 if other is self and event == "tell_others" else count
                assert [n for of, by, n in self.heard if (of, by) == (other.number, event)] == [*range(1, due + 1)]


async def come_and_go(port: int, dice: random.Random) -> None:
    """Clients that join, ask for something, and vanish in the middle of it."""
    for _ in range(CUT):
        async with connect_raw(port) as client:
            await client.send("1", "1", TOPIC, "phx_join", {})
            asked = client.text("1", "2", TOPIC, "echo", "x" * 50_000) * 3
            await client.stream.send(asked[: dice.randrange(len(asked))])
            if dice.random() < 0.5:
                await client.abort()


@pytest.mark.parametrize(("seed", "compress"), [(1, False), (2, True)])
async def test_storm(serve: Serve, kind: str, seed: int, compress: bool) -> None:
    journal = Journal()
    # Nobody is too slow here, who shares one thread with all others.
    limits = Limits(outbox_bytes=256 * 1024 * 1024)
    endpoint = make_endpoint(journal, {"websocket": WebSocketOptions(compress=compress)}, limits=limits)
    options = {"ws_per_message_deflate": compress} if kind.startswith("uvicorn") else {}
    crew: list[Sailor] = []
    aboard = anyio.Event()

    async def sail(port: int, number: int) -> None:
        # Half of them offer compression.
        async with connect(port, compression="deflate" if number % 2 else None) as client:
            await client.join(TOPIC)
            sailor = Sailor(number, client, random.Random(f"{seed}/{number}"))
            crew.append(sailor)
            if len(crew) == CREW:
                aboard.set()
            await aboard.wait()
            async with anyio.create_task_group() as both:
                both.start_soon(sailor.listen)
                await sailor.speak()
        sailor.check(crew)

    async with serve(endpoint, **options) as port:
        async with anyio.create_task_group() as all_at_once:
            for number in range(CREW):
                all_at_once.start_soon(sail, port, number)
            all_at_once.start_soon(come_and_go, port, random.Random(seed))
        await eventually(lambda: endpoint.statistics().connections == endpoint.statistics().channels == 0)
    statistics = endpoint.statistics()
    assert (statistics.topics, statistics.skipped_deliveries) == (0, 0)
    assert {reason for _, reason in journal.terminated} == {("shutdown", "closed")}
    assert CREW <= len(journal.terminated) <= CREW + CUT
