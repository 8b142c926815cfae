"""A driver with a script: the application behind the spec's captures, on a bare Connection."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Raw

from phoenix_channels.protocol.connection import Connection
from phoenix_channels.protocol.events import Entry, Event, JoinRequested, LeaveRequested, MessageReceived
from phoenix_channels.protocol.messages import Opcode, Payload, Ref
from phoenix_channels.protocol.payloads import encode_term
from phoenix_channels.protocol.serializers import Serializer
from phoenix_channels.protocol.topics import Routes
from tests.protocol.wire import ServerFrame, parse_hex, read, read_binary


class ScriptedDriver:
    """Acts on every event at once, except on ``room:held``, where the transcript says when."""

    def __init__(self, serializer: Serializer, *, max_channels: int = 100) -> None:
        self.serializer = serializer
        self.connection = Connection(serializer, Routes([("room:*", "Room")]), max_channels=max_channels)
        self.events: list[Event[str]] = []
        self.entries: dict[str, Entry[str]] = {}
        """The latest entry of each topic."""
        self.refs: dict[str, Ref] = {}
        """The ref of the latest message of each topic, for late answers."""
        self.frames: list[ServerFrame] = []

    def receive(self, data: str | bytes) -> None:
        self.handle(self.connection.receive(data, Opcode.TEXT if isinstance(data, str) else Opcode.BINARY))

    def drain(self) -> list[ServerFrame]:
        """What the client has got since the last call."""
        self.flush()
        frames, self.frames = self.frames, []
        return frames

    def flush(self) -> None:
        self.frames += map(read, self.connection.frames_to_send())

    def handle(self, events: Iterable[Event[str]]) -> None:
        for event in events:
            self.events.append(event)
            if isinstance(event, JoinRequested):
                self.entries[event.entry.topic] = event.entry
                if event.entry.topic != "room:held":
                    self.join(event.entry, event.payload)
            elif isinstance(event, MessageReceived):
                self.refs[event.entry.topic] = event.ref
                self.handle_in(event.entry, event.event, event.payload, event.ref)
            elif isinstance(event, LeaveRequested):
                self.refs[event.entry.topic] = event.ref
                if event.entry.topic != "room:held":
                    self.leave(event.entry)

    def join(self, entry: Entry[str], payload: Payload) -> None:
        connection = self.connection
        match entry.topic:
            case "room:err":
                self.handle(connection.refuse_join(entry, encode_term({"reason": "unauthorized"})))
            case "room:raise":
                self.handle(connection.refuse_join(entry, encode_term({"reason": "join crashed"})))
            case "room:bin":
                self.handle(connection.accept_join(entry, b"\1\2\3"))
            case "room:after":
                waiting = connection.accept_join(entry, encode_term({"hello": 1}))
                self.broadcast(entry.topic, "user_entered", encode_term({"u": 1}))
                connection.push(entry, "joined", encode_term({"a": 1}))
                self.handle(waiting)
            case _:
                self.handle(connection.accept_join(entry))

    def handle_in(self, entry: Entry[str], event: Any, payload: Payload, ref: Ref) -> None:
        connection = self.connection
        match event:
            case "ok" | "bcfrom":
                connection.reply(entry, ref, "ok")
            case "err":
                connection.reply(entry, ref, "error", encode_term({"p": payload}))
            case "status":
                connection.reply(entry, ref, json.loads(bytes(payload)))
            case "echo":
                connection.reply(entry, ref, "ok", payload)
            case "pushreply":
                connection.push(entry, "p1", Raw(b"{}"))
                connection.reply(entry, ref, "ok")
            case "bc":
                self.broadcast(entry.topic, "bc", payload)
                connection.reply(entry, ref, "ok")
            case "outbc":
                connection.push(entry, "out", encode_term({"t": 1, **json.loads(bytes(payload))}))
            case "bin":
                connection.push(entry, "binpush", payload)
                self.broadcast(entry.topic, "binbc", payload)
                connection.reply(entry, ref, "ok", payload)
            case "stopreply":
                connection.reply(entry, ref, "ok", encode_term({"bye": 1}))
                self.handle(connection.close_channel(entry))
            case "stop":
                self.handle(connection.close_channel(entry))
                connection.push(entry, "last", Raw(b"{}"))
                connection.terminated(entry)
            case "boom":
                connection.stop_channel(entry)
                connection.push(entry, "last", Raw(b"{}"))
                self.handle(connection.crash_channel(entry))

    def leave(self, entry: Entry[str]) -> None:
        self.connection.reply(entry, self.refs[entry.topic], "ok")
        self.handle(self.connection.close_channel(entry))
        self.connection.push(entry, "last", Raw(b"{}"))
        self.connection.terminated(entry)

    def broadcast(self, topic: str, event: str, payload: Payload) -> None:
        self.flush()
        self.frames.append(read(self.serializer.encode_broadcast(topic, event, payload)))

    def command(self, name: str, topic: str) -> None:
        """What happens without a message of the client."""
        entry = self.entries[topic]
        match name:
            case "accept":
                self.handle(self.connection.accept_join(entry))
            case "refuse":
                self.handle(self.connection.refuse_join(entry, encode_term({"reason": "unauthorized"})))
            case "leave":
                self.leave(entry)
            case "reply":
                self.connection.reply(entry, self.refs[topic], "ok")
            case "push":
                self.connection.push(entry, "p1", Raw(b"{}"))
            case "close":
                self.handle(self.connection.close_channel(entry))
            case "crash":
                self.handle(self.connection.crash_channel(entry))
            case "broadcast":
                self.broadcast(topic, "bc", Raw(b"{}"))
            case _:
                raise AssertionError(f"no such command: {name}")


def frames_of(lines: Iterator[str]) -> Iterator[tuple[str, list[str]]]:
    """Groups a transcript into one line that makes something happen and the server's lines that follow."""
    group: tuple[str, list[str]] | None = None
    for line in lines:
        if line.startswith("S> "):
            assert group is not None, "a transcript does not begin with the server"
            group[1].append(line)
        else:
            if group is not None:
                yield group
            group = (line, [])
    if group is not None:
        yield group


def parse(line: str) -> str | bytes:
    """What follows ``C>`` or ``S>``; anything behind the JSON is a remark."""
    text = line[3:].removeprefix("binary ")
    if text[0] in "[{":
        _, end = json.JSONDecoder().raw_decode(text)
        return text[:end].encode() if "> binary" in line else text[:end]
    return parse_hex(text)


def play(transcript: str, driver: ScriptedDriver) -> None:
    """``C>`` from the client, ``S>`` from the server, ``D>`` a command of the driver."""
    lines = (line.strip() for line in transcript.splitlines())
    for cause, expected in frames_of(line for line in lines if line):
        if cause.startswith("C> "):
            driver.receive(parse(cause))
        else:
            name, topic = cause.removeprefix("D> ").split()
            driver.command(name, topic)
        assert driver.drain() == [expect(line) for line in expected], cause


def expect(line: str) -> ServerFrame:
    data = parse(line)
    if isinstance(data, bytes):
        return read_binary(data)
    message = json.loads(data)
    if isinstance(message, dict):
        return ServerFrame(None, message["ref"], message["topic"], message["event"], message["payload"])
    return ServerFrame(*message)
