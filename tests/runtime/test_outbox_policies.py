"""What channels want done for clients that do not keep up, where sends are awaited (architecture: backpressure)."""

import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from phoenix_channels import Channel, Limits, Reply, incoming, telemetry
from phoenix_channels.backpressure import Latest, SlowConsumer
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import settle

LIMITS = Limits(outbox_bytes=1000)
PADDING = 40 * "x"
# Each has about a hundred bytes: ten have room.
ROOM = range(8, 12)


@pytest.fixture
def told() -> Iterator[list[Any]]:
    """What telemetry is told of dropped frames: how many, and about what."""
    events: list[Any] = []

    def listen(_: str, measurements: Any, metadata: Any) -> None:
        events.append((measurements["count"], metadata))

    telemetry.attach(telemetry.FRAMES_DROPPED, listen)
    yield events
    telemetry.detach(telemetry.FRAMES_DROPPED, listen)


def by_id(_: str, payload: Any) -> Any:
    return payload["id"]


def room_channel(policy: SlowConsumer) -> type[Channel[Any]]:
    class RoomChannel(Channel):
        slow_consumer = policy

        @incoming
        def echo(self, payload: Any) -> Reply:
            return Reply.ok(payload)

        @incoming
        def flood(self, payload: Any) -> None:
            for n in range(payload["count"]):
                self.push("n", event(n))

    return RoomChannel


def event(n: int, **more: Any) -> dict[str, Any]:
    return {"n": n, "padding": PADDING, **more}


def numbers(received: list[Any]) -> list[int]:
    return [frame[4]["n"] for frame in received]


async def test_drop_newest_drops_what_has_no_room(prompt: bool, told: list[Any]) -> None:
    async with serve(room_channel("drop_newest"), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        for n in range(100):
            endpoint.broadcast("room:a", "n", event(n))
            await settle()
        dropped = endpoint.statistics().dropped_frames
        assert 100 - dropped in ROOM
        assert sum(count for count, _ in told) == dropped
        client.go_on_reading()
        assert numbers(await client.receive_many(100 - dropped)) == list(range(100 - dropped))
        # It has caught up, and nothing is dropped any more.
        for n in range(100):
            endpoint.broadcast("room:a", "n", event(n))
        assert numbers(await client.receive_many(100)) == list(range(100))
        assert endpoint.statistics().dropped_frames == dropped


async def test_drop_oldest_drops_what_has_waited_longest(prompt: bool) -> None:
    async with serve(room_channel("drop_oldest"), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        for n in range(100):
            endpoint.broadcast("room:a", "n", event(n))
            await settle()
        left = 100 - endpoint.statistics().dropped_frames
        assert left in ROOM
        client.go_on_reading()
        # The first was under way already.
        assert numbers(await client.receive_many(left)) == [0, *range(101 - left, 100)]


async def test_of_latest_only_the_newest_of_each_event_waits(prompt: bool) -> None:
    async with serve(room_channel("latest"), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        for n in range(100):
            endpoint.broadcast("room:a", f"event {n % 2}", event(n))
            await settle()
        client.go_on_reading()
        assert numbers(await client.receive_many(3)) == [0, 98, 99]
        assert endpoint.statistics().dropped_frames == 97


async def test_latest_may_go_by_a_key_of_the_application(prompt: bool) -> None:
    async with serve(room_channel(Latest(key=by_id)), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        for n in range(100):
            endpoint.broadcast("room:a", "n", event(n, id=n % 3))
            await settle()
        client.go_on_reading()
        assert numbers(await client.receive_many(4)) == [0, 97, 98, 99]


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest", "latest"])
async def test_whoever_keeps_up_gets_everything(policy: SlowConsumer) -> None:
    """However much one callback sends at once."""
    async with serve(room_channel(policy), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=True)
        for _ in range(3):
            client.send_nowait(["1", None, "room:a", "flood", {"count": 60}])
            assert numbers(await client.receive_many(60)) == list(range(60))
        assert endpoint.statistics().dropped_frames == 0


async def test_what_one_callback_sends_without_end_is_dropped(prompt: bool) -> None:
    async with serve(room_channel("drop_newest"), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.send_nowait(["1", None, "room:a", "flood", {"count": 1000}])
        left = numbers(await client.receive_many(100))
        assert left == list(range(100))
        await settle()
        assert 800 < endpoint.statistics().dropped_frames < 900
        await client.receive_many(len(client.outgoing))
        await client.heartbeat()


async def test_replies_are_never_dropped_and_make_room_for_themselves(prompt: bool) -> None:
    async with serve(room_channel("drop_newest"), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        for n in range(50):
            endpoint.broadcast("room:a", "n", event(n))
            await settle()
        before = endpoint.statistics().dropped_frames
        client.send_nowait(["1", "7", "room:a", "echo", {"text": 500 * "y"}])
        await settle()
        assert endpoint.statistics().dropped_frames > before
        client.go_on_reading()
        received = await client.receive_many(51 - endpoint.statistics().dropped_frames)
        assert received[-1] == frames.reply("1", "7", "room:a", {"text": 500 * "y"})


async def test_a_client_that_takes_not_even_its_replies_is_closed_with_1013(prompt: bool) -> None:
    async with serve(room_channel("latest"), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        endpoint.broadcast("room:a", "n", event(0))
        await settle()
        for n in range(3):
            client.send_nowait(["1", str(n), "room:a", "echo", {"text": 500 * "y"}])
        await settle()
        assert endpoint.statistics().connections == 0
        client.go_on_reading()
        assert numbers([await client.receive()]) == [0]
        assert await client.receive_close() == 1013


async def test_channels_of_one_client_may_differ(prompt: bool) -> None:
    routes = {"a": room_channel("latest"), "b": room_channel("disconnect")}
    async with serve(routes, limits=LIMITS) as (endpoint, server):
        client = await server.joined("a", prompt=prompt)
        await client.join("b", ref="2")
        client.stop_reading()
        for n in range(100):
            endpoint.broadcast("a", "n", event(n))
            await settle()
            if n < 5:
                endpoint.broadcast("b", "n", event(n))
                await settle()
        client.go_on_reading()
        received = await client.receive_many(7)
        assert [(frame[2], frame[4]["n"]) for frame in received] == [
            ("a", 0), *[("b", n) for n in range(5)], ("a", 99),
        ]  # fmt: skip
        client.stop_reading()
        for n in range(100):
            endpoint.broadcast("b", "n", event(n))
            await settle()
        assert endpoint.statistics().connections == 0
        client.go_on_reading()
        assert numbers([await client.receive()]) == [0]
        assert await client.receive_close() == 1013


async def test_it_is_logged_once_for_each_channel_and_told_each_time(
    told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    room = room_channel("drop_oldest")
    async with serve(room, limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a")
        await client.join("room:b", ref="2")
        client.stop_reading()
        for n in range(40):
            endpoint.broadcast("room:a", "n", event(n))
            endpoint.broadcast("room:b", "n", event(n))
            await settle()
        assert len(told) > 40
        assert sum(count for count, _ in told) == endpoint.statistics().dropped_frames
        assert {about["topic"] for _, about in told} == {"room:a", "room:b"}
        for _, about in told:
            assert (about["channel"], about["policy"]) == (room, "drop_oldest")
            assert about["socket"].endpoint is endpoint
        client.go_on_reading()
    lines = [line for line in caplog.messages if line.startswith("SLOW CLIENT")]
    name = room.__qualname__
    assert sorted(lines) == [
        f"SLOW CLIENT ON room:{topic} ({name}): frames for it are dropped (drop_oldest)" for topic in "ab"
    ]


async def test_whoever_is_told_of_dropped_frames_may_broadcast(prompt: bool) -> None:
    async with serve(room_channel("drop_oldest"), limits=LIMITS) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)

        def shout(*_: Any) -> None:
            endpoint.broadcast("room:a", "dropped", event(-1))

        client.stop_reading()
        for n in range(9):
            endpoint.broadcast("room:a", "n", event(n))
            await settle()
        telemetry.attach(telemetry.FRAMES_DROPPED, shout)
        for n in range(9, 12):
            endpoint.broadcast("room:a", "n", event(n))
        for _ in range(20):
            await checkpoint()
        telemetry.detach(telemetry.FRAMES_DROPPED, shout)
        client.go_on_reading()
        await client.receive_many(9)
        await settle()
        assert endpoint.statistics().connections == 1


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest", "latest"])
async def test_reading_goes_on_when_what_waited_is_gone(policy: SlowConsumer, prompt: bool) -> None:
    """Also when it was not sent: a large frame makes way for a small one."""
    limits = Limits(outbox_bytes=10_000, outbox_high_water=2_000)
    async with serve(room_channel(policy), limits=limits) as (endpoint, server):
        client = await server.joined("room:a", prompt=prompt)
        client.stop_reading()
        for text in ("", 5_000 * "x", "y"):
            endpoint.broadcast("room:a", "n", {"text": text})
            await settle()
        for n in range(50):
            client.send_nowait(["1", str(n), "room:a", "echo", event(n)])
        await settle()
        client.go_on_reading()
        dropped = endpoint.statistics().dropped_frames
        received = await client.receive_many(3 - dropped + 50)
        assert [frame[1] for frame in received if frame[3] == "phx_reply"] == [str(n) for n in range(50)]
        assert client.unread == 0


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_happens_the_order_stays_and_every_loss_is_counted(seed: int, told: list[Any]) -> None:
    dice = random.Random(seed)
    policies: list[SlowConsumer] = ["drop_newest", "drop_oldest", "latest"]
    routes = {f"room:{n}": room_channel(policy) for n, policy in enumerate(policies)}
    async with serve(routes, limits=LIMITS) as (endpoint, server):
        clients = [await server.connect(prompt=n % 2 == 0) for n in range(6)]
        for client in clients:
            for number, topic in enumerate(routes):
                await client.join(topic, ref=str(number))
        broadcasts = 0
        for step in range(300):
            match dice.randrange(6):
                case 0:
                    client = dice.choice(clients[1:])
                    # Not twice: a send waits for what the first has begun.
                    client.go_on_reading()
                    client.stop_reading()
                case 1:
                    dice.choice(clients).go_on_reading()
                case 2:
                    await checkpoint()
                case 3:
                    await settle()
                case _:
                    broadcasts += 1
                    endpoint.broadcast(dice.choice(list(routes)), f"event {dice.randrange(3)}", event(step))
        for client in clients:
            client.go_on_reading()
        await settle()
        received = [await client.receive_many(len(client.outgoing)) for client in clients]
        # The first keeps up all the time.
        assert len(received[0]) == broadcasts
        for own in received:
            for topic in routes:
                steps = numbers([frame for frame in own if frame[2] == topic])
                assert steps == sorted(set(steps))
        dropped = endpoint.statistics().dropped_frames
        assert dropped == sum(count for count, _ in told)
        assert sum(map(len, received)) + dropped == broadcasts * len(clients)
