"""A registry on a loop that turns when the test says so, and clients that remember every write."""

import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest
from msgspec import Raw

from phoenix_channels.protocol.messages import EncodedBroadcast, Frame, FrameBatch, Payload
from phoenix_channels.protocol.serializers import Serializer, V1JSONSerializer, V2JSONSerializer
from phoenix_channels.pubsub import local
from phoenix_channels.pubsub.local import Registry
from phoenix_channels.pubsub.subscription import Subscription

V1 = V1JSONSerializer()
V2 = V2JSONSerializer()
EMPTY = Raw(b"{}")
LARGE = Raw(b'"%s"' % (b"x" * local.MOST_LOGGED))
"""While this waits, everybody is served with the next broadcast."""
BINARY = b"\x00"


class Turns:
    """A loop that turns when the test says so."""

    def __init__(self) -> None:
        self._due: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._due)

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._due.append(callback)

    def turn(self) -> None:
        due, self._due = self._due, []
        for callback in due:
            callback()

    def rest(self) -> int:
        """Turn until nothing is due any more; how many turns that took."""
        count = 0
        while self._due:
            self.turn()
            count += 1
            assert count < 1000, "it never comes to rest"
        return count


def event(frame: Frame) -> str:
    """The event of a frame, in whichever version."""
    if frame.data[:1] == b"\x02":
        topic, size = frame.data[1], frame.data[2]
        return frame.data[3 + topic : 3 + topic + size].decode()
    message: Any = json.loads(frame.data)
    found: str = message[3] if isinstance(message, list) else message["event"]
    return found


class Client:
    """One client: the outlet of its subscriptions, and its own sink."""

    def __init__(self, serializer: Any = V2, *, on_write: Callable[[], None] | None = None) -> None:
        self.serializer: Serializer = serializer
        self.fastlanes: list[Subscription] = []
        self.writes: list[tuple[Frame | FrameBatch, Subscription | None]] = []
        self.on_write = on_write
        """Called once, at the end of the next write."""

    @property
    def sink(self) -> "Client":
        return self

    def write(self, frames: Frame | FrameBatch, source: Subscription | None = None) -> None:
        self.writes.append((frames, source))
        on_write, self.on_write = self.on_write, None
        if on_write is not None:
            on_write()

    @property
    def got(self) -> list[str]:
        """The events that have arrived."""
        return [event(frame) for frames, _ in self.writes for frame in frames.frames]

    @property
    def turns(self) -> list[list[str]]:
        """The same, write by write."""
        return [[event(frame) for frame in frames.frames] for frames, _ in self.writes]


class Local:
    """A registry and its loop."""

    def __init__(self) -> None:
        self.loop = Turns()
        self.registry = Registry(self.loop.call_soon)

    def client(self, *topics: str, serializer: Any = V2, on_write: Callable[[], None] | None = None) -> Client:
        """A client that has joined these topics, by default ``topic``."""
        client = Client(serializer, on_write=on_write)
        for topic in topics or ("topic",):
            self.join(client, topic)
        return client

    def clients(self, count: int, *topics: str) -> list[Client]:
        return [self.client(*topics) for _ in range(count)]

    def join(
        self,
        client: Client,
        topic: str = "topic",
        *,
        owner: object = None,
        intercepts: Collection[str] = (),
        receive: Callable[[EncodedBroadcast], None] = lambda _: None,
    ) -> Subscription:
        subscription = Subscription(
            topic, receive, outlet=client, intercepts=intercepts, owner=client if owner is None else owner
        )
        self.registry.subscribe(subscription)
        return subscription

    def plain(self, receive: Callable[[EncodedBroadcast], None] = lambda _: None, topic: str = "topic") -> Subscription:
        """A subscriber that is no client."""
        subscription = Subscription(topic, receive)
        self.registry.subscribe(subscription)
        return subscription

    def leave(self, client: Client, topic: str = "topic") -> None:
        [subscription] = [own for own in client.fastlanes if own.topic == topic]
        self.registry.unsubscribe(subscription)

    def broadcast(self, event: str, topic: str = "topic", *, exclude: object = None, payload: Payload = EMPTY) -> None:
        self.registry.dispatch(EncodedBroadcast(topic, event, payload), exclude)

    def flood(self, topic: str = "topic") -> None:
        """Broadcast so much that everybody is served at once."""
        self.broadcast("large", topic, payload=LARGE)
        self.broadcast("more", topic)

    def push(self, client: Client, event: str, topic: str = "topic") -> None:
        """Write to one client, as a driver does."""
        self.registry.catch_up(client)
        client.write(client.serializer.encode_push("1", topic, event, EMPTY))

    def push_to_all(self, clients: Iterable[Client], event: str) -> None:
        for client in clients:
            self.push(client, event)


def small_slices(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(local, "SLICE", size)


def served(clients: list[Client]) -> list[list[str]]:
    return [client.got for client in clients]
