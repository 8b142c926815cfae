"""Many clients do everything at once, in an order that chance decides; what must hold, holds at the end."""

import json
import random
from collections import Counter
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, JoinRefused, Limits, Reply, Stop, incoming, intercept
from tests.support.apps import make_endpoint
from tests.support.asgi import Client, Server, serving

CLIENTS = 12
STEPS = 60
TOPICS = ["room:a", "room:b", "room:c"]
EVENTS = ["echo", "slow", "later", "shout", "shout_from", "crash", "crash_slowly", "stop", "fail", "hang", "unknown"]


class StormChannel(Channel):
    """Counts its instances, and what runs in each at a time."""

    shutdown = 0.05
    dice: random.Random
    joined: Counter[int]
    terminated: Counter[int]
    keep: list[Any]
    """Holds the instances, so that no two have one id."""

    async def join(self, payload: Any) -> None:
        self.running = 0
        if payload == "refuse":
            raise JoinRefused
        if payload == "crash":
            raise RuntimeError
        await self._take_time()
        self.joined[id(self)] += 1
        self.keep.append(self)

    async def after_join(self) -> None:
        self.start_soon(anyio.sleep_forever)
        async with _Alone(self):
            await self._take_time()

    async def _take_time(self) -> None:
        for _ in range(self.dice.randrange(4)):
            await anyio.lowlevel.checkpoint()

    @incoming
    def echo(self, payload: Any) -> Reply:
        assert self.running == 0
        return Reply.ok(payload)

    @incoming
    async def slow(self, payload: Any) -> Reply:
        async with _Alone(self):
            await self._take_time()
        return Reply.ok(payload)

    @incoming
    async def later(self, payload: Any) -> None:
        ref = self.reply_later()

        async def answer() -> None:
            await self._take_time()
            ref.reply(Reply.ok(payload))

        self.start_soon(answer)

    @incoming
    async def shout(self, payload: Any) -> Reply:
        self.broadcast("shout", payload)
        return Reply.ok(payload)

    @incoming
    def shout_from(self, payload: Any) -> Reply:
        self.broadcast_from("handled", payload)
        return Reply.ok(payload)

    @intercept("handled")
    async def handled(self, payload: Any) -> None:
        async with _Alone(self):
            await self._take_time()
        self.push("handled", payload)

    @incoming
    def crash(self, payload: Any) -> None:
        raise RuntimeError

    @incoming
    async def crash_slowly(self, payload: Any) -> None:
        async with _Alone(self):
            await self._take_time()
            raise RuntimeError

    @incoming
    async def stop(self, payload: Any) -> Stop:
        return Stop("normal", reply=Reply.ok(payload))

    @incoming
    def fail(self, payload: Any) -> Stop:
        return Stop("failed", reply=Reply.ok(payload))

    @incoming
    async def hang(self, payload: Any) -> None:
        async with _Alone(self):
            await anyio.sleep(0.06)

    async def terminate(self, reason: object) -> None:
        self.terminated[id(self)] += 1
        await self._take_time()


class _Alone:
    """Callbacks of one channel never overlap."""

    def __init__(self, channel: StormChannel) -> None:
        self._channel = channel

    async def __aenter__(self) -> None:
        assert self._channel.running == 0
        self._channel.running += 1

    async def __aexit__(self, *_: object) -> None:
        self._channel.running -= 1


class Storm:
    """One client's part in it: random messages, and a record of what it has sent and got."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._refs = iter(range(10**6))
        self.sent: dict[str, tuple[str, str]] = {}
        self.joins: dict[str, str] = dict.fromkeys(TOPICS, "never")
        self.client: Client

    async def run(self, server: Server) -> None:
        client = self.client = await server.connect()
        for _ in range(STEPS):
            client.send_nowait(self._message())
            if self._dice.random() < 0.3:
                await anyio.lowlevel.checkpoint()
        match self._dice.randrange(4):
            case 0:
                client.kill()
            case 1:
                client.close_nowait()
            case 2:
                client.send_nowait("garbage")
            case _:
                with anyio.move_on_after(0.02):
                    await client.ended.wait()

    def _message(self) -> list[Any]:
        ref, topic = str(next(self._refs)), self._dice.choice(TOPICS)
        kind = self._dice.random()
        if kind < 0.3:
            self.joins[topic] = ref
            self.sent[ref] = (topic, "phx_join")
            return [ref, ref, topic, "phx_join", self._dice.choice(["ok", "ok", "ok", "refuse", "crash"])]
        event = "phx_leave" if kind < 0.35 else self._dice.choice(EVENTS)
        self.sent[ref] = (topic, event)
        return [self.joins[topic], ref, topic, event, {"ref": ref}]

    @property
    def frames(self) -> list[Any]:
        """Everything that the client has got."""
        outgoing = self.client.outgoing
        messages = [outgoing.take() for _ in range(len(outgoing))]
        return [json.loads(message["text"]) for message in messages if message["type"] == "websocket.send"]


def check(frames: list[list[Any]], sent: dict[str, tuple[str, str]]) -> None:
    """What the protocol promises to one client."""
    replies = Counter(frame[1] for frame in frames if frame[3] == "phx_reply")
    assert all(count == 1 for count in replies.values()), "a message has one reply"
    assert set(replies) <= set(sent)
    accepted: list[str] = []
    ended: Counter[str] = Counter()
    for join_ref, ref, topic, event, payload in frames:
        if event == "phx_reply":
            assert sent[ref][0] == topic
            if sent[ref][1] == "phx_join" and payload["status"] == "ok":
                accepted.append(ref)
        elif event in ("phx_close", "phx_error"):
            assert join_ref in accepted, "an end belongs to a join that has been answered"
            ended[join_ref] += 1
        elif join_ref is not None:
            assert join_ref in accepted, "the join's reply comes first"
            assert not ended[join_ref], "nothing comes after the end"
    assert all(count == 1 for count in ended.values()), "an instance ends once"


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens(seed: int) -> None:
    dice = random.Random(seed)

    class RoomChannel(StormChannel):
        joined: Counter[int] = Counter()
        terminated: Counter[int] = Counter()
        keep: list[Any] = []

    RoomChannel.dice = dice
    endpoint = make_endpoint(RoomChannel, limits=Limits(inbound_messages=8, waiting_messages=8), timeout=60.0)
    storms = [Storm(dice) for _ in range(CLIENTS)]
    async with serving(endpoint) as server:
        async with anyio.create_task_group() as group:
            for storm in storms:
                group.start_soon(storm.run, server)
        await endpoint.drain()
    assert RoomChannel.joined == RoomChannel.terminated
    assert len(RoomChannel.joined) > CLIENTS
    assert set(RoomChannel.terminated.values()) == {1}
    for storm in storms:
        check(storm.frames, storm.sent)
