"""Programs of joins, broadcasts, pushes, replies and endings on a real endpoint: what each client gets of them.

Everything that is produced carries a number, in the order in which it was produced.  What other threads broadcast has
numbers of its own: it is in order, and falls in where the loop gets to it.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import anyio
import anyio.lowlevel
from msgspec import Raw

from phoenix_channels import Channel, Endpoint, JoinRefused, Reply, Socket, Stop, incoming, intercept
from phoenix_channels.channel import ReplyRef
from phoenix_channels.protocol.messages import EncodedBroadcast, Frame, FrameBatch, Opcode
from phoenix_channels.protocol.serializers import Serializer
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.runtime.channels_driver import ChannelsDriver
from phoenix_channels.runtime.driver import Terms
from phoenix_channels.transports.mounts import Mount
from tests.pubsub.clients import V1, V2
from tests.support.loops import settle

TOPICS = ("a", "b", "kept")
LARGE = "x" * 2000
LOST = 1006
"""The connection was not closed by anybody, it broke."""

BROADCASTS = {"event", "kept", "binary", "large", "last"}

Message: TypeAlias = tuple[Any, Any, str, str, Any]
"""What a frame says: join_ref, ref, topic, event and payload."""


# What a program consists of


@dataclass(frozen=True)
class Join:
    client: int
    topic: str
    refused: bool = False


@dataclass(frozen=True)
class Leave:
    client: int
    topic: str


@dataclass(frozen=True)
class Call:
    """A client's message, and what its handler does about it."""

    client: int
    topic: str
    script: tuple[str, ...]
    result: str
    slow: bool = False


@dataclass(frozen=True)
class Do:
    """What a channel is made to do from outside of its callbacks."""

    client: int
    topic: str
    what: str


@dataclass(frozen=True)
class Broadcast:
    topic: str
    event: str
    by_thread: bool = False


@dataclass(frozen=True)
class End:
    """The end of a connection; then there is another."""

    client: int
    lost: bool


@dataclass(frozen=True)
class Heartbeat:
    client: int


@dataclass(frozen=True)
class Turn:
    """The loop turns."""


Step: TypeAlias = Join | Leave | Call | Do | Broadcast | End | Heartbeat | Turn


class Stream:
    """One connection, and its sink: what its client gets."""

    def __init__(self, world: "World", client: "Client") -> None:
        self.number = len(world.streams)
        self.client = client
        self.serializer = client.serializer
        self.writes: list[list[Message]] = []
        self.closed: int | None = None
        self.joins: dict[str, str] = {}
        """The last join of each topic."""
        self.leaves: set[str] = set()
        self._refs = 0
        socket = client.socket_class()
        socket.world, socket.stream = world, self
        self.driver = ChannelsDriver(
            world.endpoint.hub,
            world.endpoint.hub.current_lane(),
            socket,
            client.routes,
            client.serializer,
            socket_id=None,
            terms=Terms(),
        )
        world.streams.append(self)

    @property
    def messages(self) -> list[Message]:
        return [message for write in self.writes for message in write]

    # The client

    def send(self, topic: str, event: str, payload: object, *, join_ref: str | None = None) -> str:
        self._refs += 1
        ref = str(self._refs)
        join_ref = ref if event == "phx_join" else join_ref
        keys = ("join_ref", "ref", "topic", "event", "payload")
        values = [join_ref, ref, topic, event, payload]
        message = dict(zip(keys, values, strict=True)) if self.serializer is V1 else values
        self.driver.receive(json.dumps(message), Opcode.TEXT)
        return ref

    # The sink

    @property
    def queued_bytes(self) -> int:
        return 0

    def write(self, frames: Frame | FrameBatch, source: Subscription | None = None) -> None:
        if self.closed is None:
            self.writes.append([read(frame) for frame in frames.frames])

    def ping(self, payload: bytes) -> bool:
        return False

    def close(self, code: int) -> None:
        self.closed = code

    def resume_reading(self) -> None:
        pass


def number(payload: dict[str, int]) -> int:
    """The number of what was produced, by whomever."""
    return payload["n"] if "n" in payload else payload["thread"]


def read(frame: Frame) -> Message:
    """What a frame says, in whichever version."""
    if frame.opcode is Opcode.BINARY:
        assert frame.data[0] == 2
        topic, event = frame.data[1], frame.data[2]
        data = frame.data[3:]
        payload = {"n": int(data[topic + event :])}
        return None, None, data[:topic].decode(), data[topic : topic + event].decode(), payload
    message: Any = json.loads(frame.data)
    if isinstance(message, list):
        join_ref, ref, name, event, payload = message
        return join_ref, ref, name, event, payload
    return None, message["ref"], message["topic"], message["event"], message["payload"]


class RoomChannel(Channel["UserSocket"]):
    """Does what its messages say."""

    shutdown: ClassVar[float] = 60.0

    def join(self, payload: Any) -> object:
        world = self.socket.world
        if payload["refused"]:
            raise JoinRefused(n=world.next())
        world.channels[self.socket.stream, self.topic] = self
        return {"n": world.next()}

    @incoming
    def quick(self, payload: Any) -> Reply | Stop | None:
        for what in payload["script"]:
            self.do(what)
        return self.result(payload["result"])

    @incoming
    async def slow(self, payload: Any) -> Reply | Stop | None:
        for what in payload["script"]:
            self.do(what)
            await anyio.lowlevel.checkpoint()
        return self.result(payload["result"])

    def do(self, what: str) -> None:
        world = self.socket.world
        match what:
            case "push":
                self.push("push", {"n": world.next()})
            case "event_from" | "kept_from":
                event, _, _ = what.partition("_")
                self.broadcast_from(event, {"n": world.next(), "not for": [self.socket.stream.number, self.join_ref]})
            case _:
                self.broadcast(*world.event(what))

    def result(self, what: str) -> Reply | Stop | None:
        world = self.socket.world
        match what:
            case "reply":
                return Reply.ok({"n": world.next()})
            case "later":
                world.owed[self.socket.stream, self.topic].append(self.reply_later())
            case "stop":
                return Stop("normal", Reply.ok({"n": world.next()}))
            case "fail":
                return Stop("failed")
            case _:
                pass
        return None

    def terminate(self, reason: Any) -> None:
        self.push("bye", {"n": self.socket.world.next()})


class KeptChannel(RoomChannel):
    @intercept("kept")
    def keep(self, payload: Any) -> None:
        self.push("seen", {"n": self.socket.world.next()})


class UserSocket(Socket):
    channels: ClassVar = dict.fromkeys(TOPICS, RoomChannel)
    world: "World"
    stream: Stream


class KeepingSocket(UserSocket):
    channels: ClassVar = UserSocket.channels | {"kept": KeptChannel}


class Client:
    """What a client is, however often it connects."""

    def __init__(self, serializer: Serializer, socket_class: type[UserSocket], topics: tuple[str, ...]) -> None:
        self.serializer = serializer
        self.socket_class = socket_class
        self.routes = Mount("/socket", socket_class, {}, check_origin=None).routes
        self.topics = topics
        """What it joins as soon as it is connected."""


# Topics with all of them and with few, so that it happens that nobody is left.
CLIENTS = (
    Client(V2, KeepingSocket, TOPICS),
    Client(V2, UserSocket, ("a", "kept")),
    Client(V1, UserSocket, ("a", "b")),
    Client(V2, KeepingSocket, ("a", "kept")),
    Client(V1, KeepingSocket, ("a",)),
)


class World:
    """One run of a program."""

    def __init__(self) -> None:
        self.endpoint = Endpoint(logger=False)
        self.streams: list[Stream] = []
        self.open: list[Stream] = []
        self.channels: dict[tuple[Stream, str], RoomChannel] = {}
        self.owed: defaultdict[tuple[Stream, str], list[ReplyRef]] = defaultdict(list)
        self.heard: list[int] = []
        """What somebody who is no client hears of all topics."""
        self._count = 0

    def next(self) -> int:
        self._count += 1
        return self._count

    def event(self, what: str, *, by_thread: bool = False) -> tuple[str, object]:
        """Event and payload of a broadcast."""
        number = {"thread": self.next()} if by_thread else {"n": self.next()}
        if what == "binary" and not by_thread:
            return "binary", str(number["n"]).encode()
        return what, number | ({"large": LARGE} if what == "large" else {})

    async def run(self, program: Sequence[Step]) -> None:
        registry = self.endpoint.hub.current_lane().registry
        for topic in TOPICS:
            registry.subscribe(Subscription(topic, self.hear))
        for client in CLIENTS:
            self.open.append(await self.connect(client))
        await settle()
        for step in program:
            await self.step(step)
        await settle()
        # Whoever is a member now gets this, whatever was before.
        for topic in TOPICS:
            self.endpoint.broadcast(topic, *self.event("last"))
        await settle()

    def hear(self, broadcast: EncodedBroadcast) -> None:
        payload: Any = broadcast.payload if isinstance(broadcast.payload, Raw) else b'{"n":%b}' % broadcast.payload
        self.heard.append(number(json.loads(bytes(payload))))

    async def connect(self, client: Client) -> Stream:
        stream = Stream(self, client)
        assert await stream.driver.start(stream)
        for topic in client.topics:
            self.join(stream, topic)
        return stream

    @staticmethod
    def join(stream: Stream, topic: str, *, refused: bool = False) -> None:
        stream.joins[topic] = stream.send(topic, "phx_join", {"refused": refused})

    async def step(self, step: Step) -> None:
        match step:
            case Turn():
                await anyio.lowlevel.checkpoint()
            case Broadcast():
                self.broadcast(step)
            case End():
                await self.end(step)
            case Heartbeat():
                self.open[step.client].send("phoenix", "heartbeat", {})
            case _:
                self.channel_step(self.open[step.client], step)

    def channel_step(self, stream: Stream, step: Join | Leave | Call | Do) -> None:
        topic = step.topic
        match step:
            case Join():
                self.join(stream, topic, refused=step.refused)
            case Leave():
                stream.leaves.add(stream.send(topic, "phx_leave", {}, join_ref=stream.joins.get(topic)))
            case Call():
                payload = {"script": step.script, "result": step.result}
                stream.send(topic, "slow" if step.slow else "quick", payload, join_ref=stream.joins.get(topic))
            case Do(what="answer"):
                for reply_ref in self.owed.pop((stream, topic), []):
                    reply_ref.reply(Reply.ok({"n": self.next()}))
            case Do() if (stream, topic) in self.channels:
                self.channels[stream, topic].do(step.what)
            case _:
                pass

    def broadcast(self, step: Broadcast) -> None:
        event, payload = self.event(step.event, by_thread=step.by_thread)
        if not step.by_thread:
            self.endpoint.broadcast(step.topic, event, payload)
            return
        thread = threading.Thread(target=self.endpoint.broadcast, args=(step.topic, event, payload))
        thread.start()
        thread.join()

    async def end(self, step: End) -> None:
        stream = self.open[step.client]
        if step.lost:
            stream.closed = LOST
        else:
            stream.driver.close(1001)
        stream.driver.connection_lost()
        self.open[step.client] = await self.connect(stream.client)
