"""How connections are drained: the rows B080 and C13 of the inventory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, Self

import anyio
import pytest

from phoenix_channels import Channel, Drainer, Endpoint, Socket, telemetry
from tests.features.app import make_endpoint, socket_class
from tests.features.clients import Client, Serve, Server
from tests.features.longpoll import ServeNodes, enter
from tests.support.asgi import serving
from tests.support.loops import Journal, on_virtual_time

DRAINING = ("shutdown", "draining")


async def joined(server: Server, version: int, *topics: str) -> Client:
    client = await server.connect(version)
    for topic in topics:
        await client.join(topic, {}, {"status": "connected"})
        await client.receive_many(2)
    return client


class Rounds:
    """What telemetry tells of the rounds."""

    def __init__(self) -> None:
        self.measured: list[tuple[float, ...]] = []
        self.intervals: list[float] = []
        self.times: list[float] = []

    def hear(self, event: str, measurements: Any, metadata: Any) -> None:
        self.measured.append(tuple(measurements[name] for name in ("count", "total", "index", "rounds")))
        self.intervals.append(metadata["interval"])
        self.times.append(anyio.current_time())

    def __enter__(self) -> Self:
        telemetry.attach(telemetry.SOCKET_DRAIN, self.hear)
        return self

    def __exit__(self, *_: object) -> None:
        telemetry.detach(telemetry.SOCKET_DRAIN, self.hear)


@pytest.mark.feature("C13")
async def test_a_drain_closes_with_1012_and_every_channel_terminates(
    serve: Serve, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "phoenix_channels")
    journal = Journal()
    endpoint = make_endpoint(journal)
    async with serve(endpoint) as server:
        two = await joined(server, version, "room:1", "room:2")
        one = await joined(server, version, "room:3")
        none = await joined(server, version)
        with Rounds() as rounds:
            await endpoint.drain()
        # No phx_close comes before, and connections without a channel are closed, too (P-089).
        assert [await client.receive_close() for client in (two, one, none)] == [1012] * 3
        assert sorted(journal.entries) == [("terminated", f"room:{number}", DRAINING) for number in (1, 2, 3)]
        assert endpoint.statistics().connections == 0
    assert rounds.measured == [(4, 4, 1, 1)]
    (line,) = (text for record in caplog.records if (text := record.getMessage()).startswith("DRAINING"))
    assert "DRAINING 4 of 4 total connection(s) for socket" in line
    assert "RoomSocket every 2000ms - round 1 of 1" in line


class UserSocket(Socket):
    channels = {"room:*": Channel}


@pytest.mark.feature("C13")
@on_virtual_time()
async def test_rounds() -> None:
    """P-088, P-091: so many channels in each, and so much time between them."""
    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket, drainer=Drainer(batch_size=2, batch_interval=5.0))
    async with serving(endpoint) as server:
        clients = [await server.joined("room:a") for _ in range(5)]
        started = anyio.current_time()
        with Rounds() as rounds:
            await endpoint.drain()
        assert anyio.current_time() - started == pytest.approx(10)
        for client in clients:
            assert await client.receive_close() == 1012
    assert rounds.measured == [(2, 5, 1, 3), (2, 5, 2, 3), (1, 5, 3, 3)]
    assert [time - started for time in rounds.times] == pytest.approx([0, 5, 10])


@pytest.mark.feature("C13")
@on_virtual_time()
async def test_the_time_for_all_rounds_is_bounded() -> None:
    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket, drainer=Drainer(batch_size=1, batch_interval=10.0, shutdown=25.0))
    async with serving(endpoint) as server:
        clients = [await server.joined("room:a") for _ in range(10)]
        started = anyio.current_time()
        await endpoint.drain()
        assert anyio.current_time() - started == pytest.approx(25)
        for client in clients:
            assert await client.receive_close() == 1012


@pytest.mark.feature("C13")
async def test_sessions_of_long_polling_are_drained_too(node: ServeNodes) -> None:
    journal = Journal()
    async with node(socket_class(journal)) as running:
        session = await running.opened(2)
        await enter(running, session)
        await running.endpoint.drain()
        assert journal.entries == [("terminated", "room:lobby", DRAINING)]
        assert await session.post(session.encode("room:lobby", "note")[0]) == 410


@pytest.mark.feature("B080")
@pytest.mark.parametrize(
    ("drainer", "interval"),
    [
        (Drainer(batch_interval=7.0, log=logging.DEBUG), 7.0),
        (lambda: Drainer(batch_interval=8.0, log=logging.DEBUG), 8.0),
        (False, None),
        (lambda: False, None),
    ],
    ids=["options", "function", "off", "function that says off"],
)
async def test_the_drainer_of_a_mount(
    drainer: Drainer | Literal[False] | Callable[[], Drainer | Literal[False]],
    interval: float | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket, drainer=drainer)
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        with Rounds() as rounds:
            await endpoint.drain()
        if interval is None:
            # Nobody is closed: that is left to the server.
            await client.heartbeat()
            assert endpoint.statistics().connections == 1
        else:
            assert await client.receive_close() == 1012
    levels = [record.levelno for record in caplog.records if record.getMessage().startswith("DRAINING")]
    assert levels == [logging.DEBUG] * len(rounds.measured)
    assert rounds.intervals == ([] if interval is None else [interval])
