"""The drain: every connection of a lane is closed, in rounds, so that not all clients come back at once (P-088)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeAlias, final

import anyio

from phoenix_channels.definitions import Options, check_count, check_level, check_seconds
from phoenix_channels.protocol.close_codes import CloseCode

if TYPE_CHECKING:
    from phoenix_channels.runtime.driver import Driver
    from phoenix_channels.runtime.lane import Lane
    from phoenix_channels.socket import BaseSocket

_logger = logging.getLogger("phoenix_channels")


@final
class Drainer(Options, frozen=True, kw_only=True):
    """How the connections of a mount are drained.

    The number of rounds that is announced is Phoenix's, ``total // batch_size + 1`` (P-091); the last may be empty, and
    then it does not take place.
    """

    batch_size: int = 10_000
    """Channels that end in one round; a connection without any counts as one."""
    batch_interval: float = 2.0
    """Seconds between two rounds."""
    shutdown: float = 30.0
    """Seconds after which whatever is left is closed at once."""
    log: int | Literal[False] | None = None
    """The level at which each round is logged; False for not at all, None for that of the socket."""

    def __post_init__(self) -> None:
        check_count("Drainer(batch_size=...)", self.batch_size)
        check_seconds("Drainer(batch_interval=...)", self.batch_interval)
        check_seconds("Drainer(shutdown=...)", self.shutdown)
        if self.log is not None:
            check_level("Drainer(log=...)", self.log)


DrainerOption: TypeAlias = Drainer | Literal[False] | Callable[[], "Drainer | Literal[False]"]
"""What a mount may say: how to drain, what to call to learn that when it comes to it, or not to drain at all."""


async def drain(lane: Lane) -> None:
    """Refuse new connections, close those that are drained, and return when nothing of those is left.

    Each socket class, and each way to drain it, is drained by itself, all of them at the same time.
    """
    lane.draining = True
    groups: dict[tuple[type[BaseSocket], Drainer | int], list[Driver[BaseSocket]]] = {}
    for driver in lane.drivers:
        drainer = driver.terms.drainer
        key = drainer if isinstance(drainer, Drainer) else id(drainer)
        groups.setdefault((type(driver.socket), key), []).append(driver)
    async with anyio.create_task_group() as rounds:
        for drivers in groups.values():
            drainer = _resolve(drivers[0].terms.drainer)
            if drainer:
                rounds.start_soon(_drain, drainer, drivers)
    while lane.ending:
        await next(iter(lane.ending)).wait_ended()


def _resolve(option: DrainerOption) -> Drainer | Literal[False]:
    if not callable(option):
        return option
    try:
        drainer = option()
        if drainer is not False and not isinstance(drainer, Drainer):
            raise TypeError(f"legal are a Drainer(...) and False, not {drainer!r:.200}")
    except Exception:
        # A drain that does not happen is worse than one with other numbers.
        _logger.exception("the drainer %r failed; draining with the defaults", option)
        return Drainer()
    return drainer


async def _drain(drainer: Drainer, drivers: Sequence[Driver[BaseSocket]]) -> None:
    total = sum(map(_weight, drivers))
    rounds = total // drainer.batch_size + 1
    index, due = 0, True
    with anyio.move_on_after(drainer.shutdown):
        for batch in _batches(drivers, drainer.batch_size):
            if not due and not all(driver.closed for driver in drivers):
                await anyio.sleep(drainer.batch_interval)
                due = True
            live = [driver for driver in batch if not driver.closed]
            if not live:
                # They have gone by themselves.
                continue
            index, due = index + 1, False
            first, count = live[0], sum(map(_weight, live))
            for driver in live:
                driver.close(CloseCode.SERVICE_RESTART, "draining")
            # P-091; a filter of the log that raises does not stand in the way of a deployment.
            with suppress(Exception):
                first.hub.logger.socket_drain(
                    type(first.socket),
                    endpoint=first.socket.endpoint,
                    count=count,
                    total=total,
                    index=index,
                    rounds=rounds,
                    interval=drainer.batch_interval,
                    log=first.socket.log if drainer.log is None else drainer.log,
                )
    for driver in drivers:
        driver.close(CloseCode.SERVICE_RESTART, "draining")


def _batches(drivers: Sequence[Driver[BaseSocket]], size: int) -> Iterator[list[Driver[BaseSocket]]]:
    batch: list[Driver[BaseSocket]] = []
    weight = 0
    for driver in drivers:
        batch.append(driver)
        weight += _weight(driver)
        if weight >= size:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _weight(driver: Driver[BaseSocket]) -> int:
    # Those without a channel are drained too (P-089).
    return max(1, driver.channels)
