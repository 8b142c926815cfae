"""The code of the guide to slow clients."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from examples.quickstart.guides import slow_clients as guide
from phoenix_channels import telemetry
from tests.support import frames
from tests.support.asgi import Client, serving
from tests.support.loops import settle

PAD = 10_000 * "x"


@pytest.fixture(autouse=True)
def counting() -> Iterator[None]:
    guide.DROPPED.clear()
    guide.start_counting()
    yield
    telemetry.detach(telemetry.FRAMES_DROPPED, guide.count_dropped)


async def behind(client: Client, topic: str, payloads: list[dict[str, Any]]) -> None:
    """Broadcast to a client that does not read until all of it is broadcast."""
    client.stop_reading()
    for payload in payloads:
        guide.endpoint.broadcast(topic, "event", payload)
        await settle()
    client.go_on_reading()
    await settle()


async def received(client: Client) -> list[dict[str, Any]]:
    return [frame[4] for frame in await client.receive_many(len(client.outgoing))]


async def test_who_misses_no_message_is_disconnected() -> None:
    async with serving(guide.endpoint) as server:
        client = await server.joined("chat:1")
        client.stop_reading()
        before = guide.endpoint.statistics().dropped_frames
        for n in range(40):
            guide.endpoint.broadcast("chat:1", "event", {"n": n, "pad": PAD})
            await settle()
        assert guide.endpoint.statistics().connections == 0
        assert guide.endpoint.statistics().dropped_frames > before
        # With the connection, and of no channel.
        assert list(guide.DROPPED) == [None]
        client.go_on_reading()
        assert (await client.receive())[4]["n"] == 0
        assert await client.receive_close() == 1013


@pytest.mark.parametrize("topic", ["log:1", "incident:1"])
async def test_the_end_of_a_log_and_the_beginning_of_an_incident(topic: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before = guide.endpoint.statistics().dropped_frames
    async with serving(guide.endpoint) as server:
        client = await server.joined(topic)
        await behind(client, topic, [{"n": n, "pad": PAD} for n in range(40)])
        numbers = [payload["n"] for payload in await received(client)]
    lost = 40 - len(numbers)
    assert 10 < lost < 20
    # The first was on its way already.
    expected = [0, *range(lost + 1, 40)] if topic == "log:1" else list(range(40 - lost))
    assert numbers == expected
    assert {topic: lost} == guide.DROPPED
    assert guide.endpoint.statistics().dropped_frames - before == lost
    assert sum(line.startswith(f"SLOW CLIENT ON {topic}") for line in caplog.messages) == 1


async def test_of_a_score_the_latest() -> None:
    async with serving(guide.endpoint) as server:
        client = await server.joined("score:1")
        await behind(client, "score:1", [{"n": n} for n in range(40)])
        assert await received(client) == [{"n": 0}, {"n": 39}]


async def test_of_each_price_the_latest_and_replies_in_any_case() -> None:
    async with serving(guide.endpoint) as server:
        client = await server.joined("prices")
        client.stop_reading()
        for n in range(40):
            guide.endpoint.broadcast("prices", "event", {"symbol": "ab"[n % 2], "n": n})
            await settle()
        client.send_nowait(["1", "7", "prices", "ask", "a"])
        await settle()
        client.go_on_reading()
        first, *latest, reply = await client.receive_many(4)
        assert first[4] == {"symbol": "a", "n": 0}
        assert [frame[4] for frame in latest] == [{"symbol": "a", "n": 38}, {"symbol": "b", "n": 39}]
        assert reply == frames.reply("1", "7", "prices", {"symbol": "a", "price": 1})
        assert guide.DROPPED == {"prices": 37}
