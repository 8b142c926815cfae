"""Programs, played: what each client gets of one, as it is and as it would be if nothing were gathered."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
import pytest
from msgspec import Raw

from phoenix_channels.protocol.messages import EncodedBroadcast
from phoenix_channels.pubsub import local
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.runtime import lane
from tests.pubsub.clients import V1
from tests.pubsub.streams import Message, Step, Stream, World
from tests.support.loops import settle


class Failures(logging.Handler):
    """Exceptions that somebody has caught."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.records.append(record)


class AtOnce:
    """What the registry promises: as if every broadcast were written to everybody where it is made."""

    def __init__(self, call_soon: Callable[[Callable[[], None]], None]) -> None:
        self.skipped = 0
        self.topics = 0
        self._subscriptions: list[Subscription] = []

    def subscribe(self, subscription: Subscription) -> None:
        self._subscriptions.append(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def catch_up(self, outlet: object) -> None:
        pass

    def dispatch(self, broadcast: EncodedBroadcast, exclude: object = None) -> None:
        for subscription in tuple(self._subscriptions):
            outlet = subscription.outlet
            if subscription.topic != broadcast.topic or (exclude is not None and subscription.owner is exclude):
                continue
            if outlet is None or broadcast.event in subscription.intercepts:
                subscription.receive(broadcast)
            elif outlet.serializer is V1 and not isinstance(broadcast.payload, Raw):
                self.skipped += 1
            else:
                outlet.sink.write(
                    outlet.serializer.encode_broadcast(broadcast.topic, broadcast.event, broadcast.payload)
                )


@dataclass(frozen=True)
class Outcome:
    """What came of a program."""

    streams: list[Stream] = field(repr=False)
    messages: list[list[Message]]
    codes: list[int | None]
    heard: list[int]
    skipped: int
    failures: list[logging.LogRecord]


def play(program: Sequence[Step], *, backend: str = "asyncio", at_once: bool = False, size: int = 2) -> Outcome:
    """Run a program, with slices and bounds so small that they matter; or as if there were none."""

    failures, logger = Failures(), logging.getLogger("phoenix_channels")

    async def run() -> Outcome:
        world = World()
        await world.run(program)
        outcome = Outcome(
            world.streams,
            [stream.messages for stream in world.streams],
            [stream.closed for stream in world.streams],
            world.heard,
            world.endpoint.statistics().skipped_deliveries,
            failures.records,
        )
        for stream in world.open:
            stream.driver.connection_lost()
        await settle()
        return outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "SLICE", size)
        patch.setattr(local, "MOST_LOGGED", 5000)
        # However slow the machine is.
        patch.setattr(lane, "_PORTION", float("inf"))
        if at_once:
            patch.setattr(lane, "Registry", AtOnce)
        patch.setattr(logger, "handlers", [failures])
        patch.setattr(logger, "propagate", False)
        return anyio.run(run, backend=backend)
