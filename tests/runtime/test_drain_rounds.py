"""The rounds of a drain: how many connections end in each, and when (P-088 to P-091)."""

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, DefinitionError, Drainer, Endpoint, RawSocket, Socket, telemetry
from tests.support.asgi import Client, Refused, Server, serving
from tests.support.loops import Journal, on_virtual_time, settle, soon
from tests.support.polling import SECRET, Poller, mounted, served


class Rounds:
    """What telemetry was told of rounds."""

    def __init__(self) -> None:
        self.entries: list[tuple[type, dict[str, float]]] = []
        self.metadata: list[Any] = []

    def __call__(self, event: str, measurements: Any, metadata: Any) -> None:
        self.entries.append((metadata["socket"], dict(measurements)))
        self.metadata.append(metadata)

    def of(self, socket_class: type) -> list[tuple[float, ...]]:
        """Of one class: count, total, index and rounds."""
        return [tuple(numbers.values()) for found, numbers in self.entries if found is socket_class]


@pytest.fixture
def rounds() -> Iterator[Rounds]:
    heard = Rounds()
    telemetry.attach(telemetry.SOCKET_DRAIN, heard)
    yield heard
    telemetry.detach(telemetry.SOCKET_DRAIN, heard)


def socket_class() -> type[Socket]:
    class RoomChannel(Channel):
        async def terminate(self, reason: object) -> None:
            journal.add((anyio.current_time(), reason))

    class UserSocket(Socket):
        channels = {"room:*": RoomChannel}
        ended = Journal()

    journal = UserSocket.ended
    return UserSocket


def endpoint_of(drainer: Any = None, *, found: type[Any] | None = None) -> tuple[Endpoint, type[Any]]:
    endpoint = Endpoint(secret_key_base=SECRET)
    found = socket_class() if found is None else found
    if drainer is None:
        endpoint.socket("/socket", found)
    else:
        endpoint.socket("/socket", found, drainer=drainer)
    return endpoint, found


async def connect(server: Server, *topics: int, path: str = "/socket/websocket") -> list[Client]:
    """One client for each number, joined to so many topics."""
    clients = []
    for count in topics:
        client = await server.connect(path)
        for number in range(count):
            await client.join(f"room:{number}", ref=str(number))
        clients.append(client)
    return clients


def closed(clients: list[Client]) -> list[bool]:
    return [bool(client.outgoing) for client in clients]


@on_virtual_time()
async def test_rounds_of_so_many_channels_with_an_interval_between_them(rounds: Rounds) -> None:
    endpoint, found = endpoint_of(Drainer(batch_size=2, batch_interval=3.0))
    async with serving(endpoint) as server:
        clients = await connect(server, 1, 1, 1, 1, 1)
        before = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(endpoint.drain)
            for wait, over in ((1, 2), (1, 2), (2, 4), (1, 4), (2, 5)):
                await anyio.sleep(wait)
                assert closed(clients) == over * [True] + (5 - over) * [False]
            # Nobody waits after the last of them.
            assert anyio.current_time() - before == 7
        assert anyio.current_time() - before == 7
        for client in clients:
            assert await client.receive_close() == 1012
        # P-091
        assert rounds.of(found) == [(2, 5, 1, 3), (2, 5, 2, 3), (1, 5, 3, 3)]
        assert rounds.metadata[0] == {
            "endpoint": endpoint, "socket": found, "interval": 3.0, "log": logging.INFO,
        }  # fmt: skip
        times = [time - before for time, _ in found.ended.entries]
        assert times == pytest.approx([0, 0, 3, 3, 6], abs=0.01)
        assert {reason for _, reason in found.ended.entries} == {("shutdown", "draining")}


@on_virtual_time()
@pytest.mark.parametrize(
    ("topics", "size", "told"),
    [
        # Connections with several channels close once; those without count as one (P-089).
        ([3, 3, 3], 3, [(3, 9, 1, 4), (3, 9, 2, 4), (3, 9, 3, 4)]),
        ([2, 2, 2], 3, [(4, 6, 1, 3), (2, 6, 2, 3)]),
        ([0, 0, 0], 2, [(2, 3, 1, 2), (1, 3, 2, 2)]),
        ([5], 2, [(5, 5, 1, 3)]),
        ([0, 4, 0], 2, [(5, 6, 1, 4), (1, 6, 2, 4)]),
        ([1, 1], 10_000, [(2, 2, 1, 1)]),
        # P-091: total // batch_size + 1, as Phoenix counts.
        ([1, 1], 2, [(2, 2, 1, 2)]),
    ],
)
async def test_what_counts(rounds: Rounds, topics: list[int], size: int, told: list[tuple[int, ...]]) -> None:
    endpoint, found = endpoint_of(Drainer(batch_size=size, batch_interval=1.0))
    async with serving(endpoint) as server:
        clients = await connect(server, *topics)
        await endpoint.drain()
        assert rounds.of(found) == told
        for client in clients:
            assert await client.receive_close() == 1012


@on_virtual_time()
async def test_whatever_is_left_after_the_shutdown_time_is_closed_at_once(rounds: Rounds) -> None:
    endpoint, found = endpoint_of(Drainer(batch_size=1, batch_interval=4.0, shutdown=10.0))
    async with serving(endpoint) as server:
        clients = await connect(server, *(8 * [1]))
        before = anyio.current_time()
        await endpoint.drain()
        assert anyio.current_time() - before == pytest.approx(10, abs=0.01)
        assert [numbers["index"] for _, numbers in rounds.entries] == [1, 2, 3]
        times = [time - before for time, _ in found.ended.entries]
        assert times == pytest.approx([0, 4, 8, 10, 10, 10, 10, 10], abs=0.01)
        for client in clients:
            assert await client.receive_close() == 1012


@on_virtual_time()
async def test_nobody_waits_for_rounds_that_nobody_is_left_for(rounds: Rounds) -> None:
    """Clients that went away by themselves in the meantime are none that are drained."""
    endpoint, _ = endpoint_of(Drainer(batch_size=1, batch_interval=10.0))
    async with serving(endpoint) as server:
        clients = await connect(server, 1, 1, 1)
        before = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(endpoint.drain)
            await anyio.sleep(5)
            for client in clients[1:]:
                await client.close()
        assert anyio.current_time() - before <= 10.01
        assert sum(numbers["count"] for _, numbers in rounds.entries) == 1


async def test_rounds_on_both_loops(rounds: Rounds) -> None:
    endpoint, found = endpoint_of(Drainer(batch_size=2, batch_interval=0.001))
    async with serving(endpoint) as server:
        clients = await connect(server, 1, 0, 1)
        await soon(endpoint.drain())
        assert rounds.of(found) == [(2, 3, 1, 2), (1, 3, 2, 2)]
        for client in clients:
            assert await client.receive_close() == 1012
    assert len(found.ended.entries) == 2


async def test_without_connections_there_are_no_rounds(rounds: Rounds) -> None:
    endpoint, _ = endpoint_of()
    async with serving(endpoint):
        await soon(endpoint.drain())
        assert not rounds.entries


@on_virtual_time()
async def test_two_mounts_are_drained_at_the_same_time_each_in_its_way(rounds: Rounds) -> None:
    endpoint, slow = endpoint_of(Drainer(batch_size=1, batch_interval=5.0))
    fast = socket_class()
    endpoint.socket("/fast", fast, drainer=Drainer(batch_size=1, batch_interval=1.0))
    async with serving(endpoint) as server:
        slow_ones = await connect(server, 1, 1, 1)
        fast_ones = await connect(server, 1, 1, 1, path="/fast/websocket")
        before = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(endpoint.drain)
            await anyio.sleep(2.5)
            assert closed(fast_ones) == [True, True, True]
            assert closed(slow_ones) == [True, False, False]
        assert anyio.current_time() - before == pytest.approx(10, abs=0.01)
        assert rounds.of(slow) == rounds.of(fast) == [(1, 3, 1, 4), (1, 3, 2, 4), (1, 3, 3, 4)]


@on_virtual_time()
async def test_one_class_at_two_mounts_is_drained_once(rounds: Rounds) -> None:
    """P-088: each socket class is; two mounts of one class with the same drainer are one drain."""
    endpoint, found = endpoint_of()
    endpoint.socket("/two", found)
    async with serving(endpoint) as server:
        await connect(server, 1)
        await connect(server, 1, path="/two/websocket")
        await endpoint.drain()
        assert rounds.of(found) == [(2, 2, 1, 1)]


async def test_a_mount_that_is_not_drained_keeps_its_connections(rounds: Rounds) -> None:
    """P-088: ``drainer=False``; others are closed, and new ones are refused at both."""
    endpoint, kept = endpoint_of(False)
    drained = socket_class()
    endpoint.socket("/drained", drained)
    async with serving(endpoint, alone=False) as server:
        (stays,) = await connect(server, 1)
        (goes,) = await connect(server, 1, path="/drained/websocket")
        await soon(endpoint.drain())
        assert await goes.receive_close() == 1012
        await stays.heartbeat()
        for path in ("/socket/websocket", "/drained/websocket"):
            with pytest.raises(Refused) as refused:
                await server.connect(path)
            assert refused.value.status == 503
        assert rounds.of(kept) == []
        assert endpoint.statistics().connections == 1
        await stays.close()
    assert [reason for _, reason in kept.ended.entries] == [("shutdown", "closed")]


# Drainers that are asked when it comes to it


async def test_a_drainer_may_be_a_function_that_is_asked_at_the_drain(rounds: Rounds) -> None:
    asked = Journal()

    def drainer() -> Drainer:
        asked.add("asked")
        return Drainer(batch_size=1, batch_interval=0.001)

    endpoint, found = endpoint_of(drainer)
    async with serving(endpoint) as server:
        clients = await connect(server, 1, 1)
        assert not asked.entries
        await soon(endpoint.drain())
        assert asked.entries == ["asked"]
        assert rounds.of(found) == [(1, 2, 1, 3), (1, 2, 2, 3)]
        for client in clients:
            assert await client.receive_close() == 1012


async def test_a_function_may_say_that_nothing_is_to_be_drained() -> None:
    endpoint, _ = endpoint_of(lambda: False)
    async with serving(endpoint, alone=False) as server:
        (client,) = await connect(server, 1)
        await soon(endpoint.drain())
        await client.heartbeat()


def crash() -> Drainer:
    raise ZeroDivisionError


@pytest.mark.parametrize("drainer", [crash, lambda: None, lambda: True, lambda: 7, lambda: Drainer])
async def test_a_function_that_fails_is_logged_and_the_drain_goes_on(
    drainer: Callable[[], Any], rounds: Rounds, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint, found = endpoint_of(drainer)
    async with serving(endpoint) as server:
        clients = await connect(server, 1, 1)
        await soon(endpoint.drain())
        assert "draining with the defaults" in caplog.text
        assert rounds.of(found) == [(2, 2, 1, 1)]
        for client in clients:
            assert await client.receive_close() == 1012


async def answers_late() -> Drainer:
    return Drainer()


@pytest.mark.parametrize("drainer", [True, None, 7, "often", {"batch_size": 1}, Drainer, answers_late, lambda x: x])
def test_what_is_no_drainer(drainer: Any) -> None:
    if drainer is Drainer:
        # A class that is made without arguments is a function like any other.
        endpoint_of(drainer)
        return
    endpoint = Endpoint()
    with pytest.raises(DefinitionError, match="drainer"):
        endpoint.socket("/socket", socket_class(), drainer=drainer)


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"batch_size": 1.5}, {"batch_interval": 0}, {"shutdown": -1}, {"log": "info"}]
)
def test_options_that_a_drainer_does_not_take(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(DefinitionError, match=re.escape(f"Drainer({name}=...)")):
        Drainer(**options)
    with pytest.raises(DefinitionError, match="unknown option 'interval'; legal are batch_size, batch_interval"):
        Drainer(interval=2)  # type: ignore[call-arg]


# The log


@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING])
async def test_each_round_is_logged_at_the_level_of_its_drainer(level: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint, _ = endpoint_of(Drainer(batch_size=1, batch_interval=0.002, log=level))
    async with serving(endpoint) as server:
        await connect(server, 1, 1)
        await soon(endpoint.drain())
    lines = [(r.levelno, r.getMessage()) for r in caplog.records if "DRAINING" in r.getMessage()]
    assert lines == [
        (level, f"DRAINING 1 of 2 total connection(s) for socket UserSocket every 2ms - round {n} of 3".replace(
            "UserSocket", socket_class().__qualname__
        ))
        for n in (1, 2)
    ]  # fmt: skip


@pytest.mark.parametrize("level", [logging.WARNING, False])
async def test_a_drainer_that_says_nothing_of_a_log_takes_the_level_of_its_socket(
    level: Any, caplog: pytest.LogCaptureFixture, rounds: Rounds
) -> None:
    """P-088"""
    caplog.set_level(logging.DEBUG)
    found = socket_class()
    found.log = level
    endpoint, _ = endpoint_of(Drainer(), found=found)
    async with serving(endpoint) as server:
        await connect(server, 1)
        await soon(endpoint.drain())
    assert [r.levelno for r in caplog.records if "DRAINING" in r.getMessage()] == ([] if level is False else [level])
    assert [metadata["log"] for metadata in rounds.metadata] == [level]


class BrokenFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if "DRAINING" in record.msg:
            raise ZeroDivisionError
        return True


async def test_a_log_that_fails_does_not_stand_in_the_way_of_a_drain() -> None:
    logger, broken = logging.getLogger("phoenix_channels"), BrokenFilter()
    endpoint, _ = endpoint_of(Drainer(batch_size=1, batch_interval=0.002, log=logging.ERROR))
    logger.addFilter(broken)
    try:
        async with serving(endpoint) as server:
            clients = await connect(server, 1, 1, 0)
            await soon(endpoint.drain())
            for client in clients:
                assert await client.receive_close() == 1012
    finally:
        logger.removeFilter(broken)


async def test_a_drain_without_a_log(caplog: pytest.LogCaptureFixture, rounds: Rounds) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint, found = endpoint_of(Drainer(log=False))
    async with serving(endpoint) as server:
        await connect(server, 1)
        await soon(endpoint.drain())
    assert "DRAINING" not in caplog.text
    assert rounds.of(found) == [(1, 1, 1, 1)]


# Other transports and sockets


@on_virtual_time()
async def test_sessions_and_raw_sockets_are_drained_in_rounds_as_well(rounds: Rounds) -> None:
    """P-090: of two polls that wait, one is answered in its round, the other lives on until the next."""
    ended = Journal()

    class PlainSocket(RawSocket):
        def terminate(self, reason: Any) -> None:
            ended.add(reason)

    endpoint = mounted(PlainSocket, drainer=Drainer(batch_size=1, batch_interval=3.0))
    async with served(endpoint) as server:
        pollers = [await Poller(server).open() for _ in range(2)]
        websocket = await server.connect(query="")
        runs = [poller.start_get() for poller in pollers]
        await settle()
        async with anyio.create_task_group() as group:
            group.start_soon(endpoint.drain)
            await anyio.sleep(1)
            assert await pollers[0].result(runs[0]) == (204, [])
            await pollers[0].gone()
            assert not runs[1].ended.is_set()
            assert await pollers[1].post("[x") == 200
        assert await pollers[1].result(runs[1]) == (204, [])
        assert await websocket.receive_close() == 1012
        assert ended.entries == 3 * [("shutdown", "draining")]
        assert rounds.of(PlainSocket) == [(1, 3, 1, 4), (1, 3, 2, 4), (1, 3, 3, 4)]
