"""One connection, command by command; whole conversations are in the transcripts and in the state machine."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from phoenix_channels.protocol.connection import Connection, same_ref
from phoenix_channels.protocol.errors import EncodeError, LocalProtocolError, RemoteProtocolError
from phoenix_channels.protocol.events import (
    Entry,
    JoinRequested,
    LeaveRequested,
    MessageReceived,
    RejoinWaiting,
    TooManyChannels,
    UnmatchedTopic,
)
from phoenix_channels.protocol.messages import EMPTY, Opcode
from phoenix_channels.protocol.serializers import Serializer, V1JSONSerializer, V2JSONSerializer
from phoenix_channels.protocol.states import State
from phoenix_channels.protocol.topics import Routes
from tests.protocol.wire import ServerFrame, client_binary, read

V1: Serializer = V1JSONSerializer()
V2: Serializer = V2JSONSerializer()
ROUTES = Routes([("room:*", "Room"), ("stats", "Stats")])
OK = {"status": "ok", "response": {}}


class Talk:
    """A connection, and the shortest way to say something to it and to hear what it says."""

    def __init__(self, serializer: Serializer = V2, **limits: int) -> None:
        self.connection = Connection(serializer, ROUTES, **limits)

    def send(self, join_ref: Any, ref: Any, topic: Any, event: Any, payload: Any = None) -> list[Any]:
        return list(self.connection.receive(json.dumps([join_ref, ref, topic, event, payload or {}])))

    def hear(self) -> list[ServerFrame]:
        return [read(frame) for frame in self.connection.frames_to_send()]

    def start(self, topic: str = "room:a", join_ref: Any = "1", ref: Any = "1") -> Entry[str]:
        """A join under way."""
        [event] = self.send(join_ref, ref, topic, "phx_join")
        assert isinstance(event, JoinRequested)
        entry: Entry[str] = event.entry
        return entry

    def join(self, topic: str = "room:a", join_ref: Any = "1", ref: Any = "1") -> Entry[str]:
        """A joined channel, its reply heard."""
        entry = self.start(topic, join_ref, ref)
        assert self.connection.accept_join(entry) == []
        self.hear()
        return entry


@pytest.fixture
def talk() -> Talk:
    return Talk()


# Events


def test_p051_a_join_becomes_an_event_with_its_route_and_payload(talk: Talk) -> None:
    [event] = talk.send("1", "2", "room:a:b", "phx_join", {"token": "x"})
    assert isinstance(event, JoinRequested)
    entry = event.entry
    assert (entry.topic, entry.target, entry.subtopic) == ("room:a:b", "Room", "a:b")
    assert (entry.join_ref, entry.ref, entry.state, entry.replaces) == ("1", "2", State.JOINING, None)
    assert isinstance(event.payload, Raw)
    assert json.loads(bytes(event.payload)) == {"token": "x"}
    assert talk.hear() == []


def test_p050_an_exact_route_has_an_empty_subtopic(talk: Talk) -> None:
    entry = talk.start("stats")
    assert (entry.target, entry.subtopic) == ("Stats", "")


def test_a_push_becomes_an_event(talk: Talk) -> None:
    entry = talk.join()
    [event] = talk.send("1", "7", "room:a", "shout", {"a": 1})
    assert isinstance(event, MessageReceived)
    assert (event.entry, event.event, event.ref) == (entry, "shout", "7")
    assert json.loads(bytes(event.payload)) == {"a": 1}
    assert talk.hear() == []


@pytest.mark.parametrize(
    "event", ["phx_reply", "phx_close", "phx_error", "heartbeat", "", None, 5, ["phx_join"], {"a": 1}]
)
def test_p048_other_reserved_events_and_other_types_are_ordinary_pushes(talk: Talk, event: Any) -> None:
    talk.join()
    [received] = talk.send("1", "7", "room:a", event)
    assert isinstance(received, MessageReceived)
    assert received.event == event


def test_p042_a_binary_push_is_bytes(talk: Talk) -> None:
    entry = talk.join()
    [event] = talk.connection.receive(client_binary("1", "7", "room:a", "bin", b"\0\xff"), Opcode.BINARY)
    assert event == MessageReceived(entry, "bin", b"\0\xff", "7")


def test_p039_a_binary_push_without_join_ref_is_not_stale(talk: Talk) -> None:
    talk.join()
    [event] = talk.connection.receive(client_binary("", "", "room:a", "bin", b""), Opcode.BINARY)
    assert isinstance(event, MessageReceived)
    assert event.ref == ""


def test_p064_a_leave_becomes_an_event_and_the_channel_leaves(talk: Talk) -> None:
    entry = talk.join()
    assert talk.send("1", "2", "room:a", "phx_leave") == [LeaveRequested(entry, "2")]
    assert entry.state is State.LEAVING
    assert (talk.connection.entries, talk.connection.channels) == ([entry], 1)
    assert talk.hear() == []


def test_p051_an_unmatched_join_is_worth_a_warning(talk: Talk) -> None:
    assert talk.send("1", "1", "nowhere", "phx_join") == [UnmatchedTopic("nowhere")]
    assert talk.send("1", "1", 5, "phx_join") == [UnmatchedTopic(5)]
    assert talk.send("1", "1", "nowhere", "shout") == []
    assert talk.send("1", "1", "nowhere", "phx_leave") == []


def test_p051_too_many_channels_is_worth_an_error() -> None:
    talk = Talk(max_channels=1)
    talk.start("room:a")
    assert talk.send("1", "2", "room:b", "phx_join") == [TooManyChannels("room:b", 1)]
    assert talk.send("1", "3", "nowhere", "phx_join") == [UnmatchedTopic("nowhere")]


def test_p059_a_join_behind_a_leave_hurries_it_once(talk: Talk) -> None:
    entry = talk.join()
    talk.send("1", "2", "room:a", "phx_leave")
    assert talk.send("3", "3", "room:a", "phx_join") == [RejoinWaiting(entry)]
    assert talk.send("4", "4", "room:a", "phx_join") == []


def test_no_hurry_for_a_join_that_waits_for_a_join(talk: Talk) -> None:
    talk.start()
    assert talk.send("2", "2", "room:a", "phx_join") == []


def test_a_leave_and_a_join_that_waited_together_hurry_too(talk: Talk) -> None:
    entry = talk.start()
    talk.send("1", "2", "room:a", "phx_leave")
    talk.send("3", "3", "room:a", "phx_join")
    assert talk.connection.accept_join(entry) == [LeaveRequested(entry, "2"), RejoinWaiting(entry)]


def test_p057_a_duplicate_join_detaches_the_old_entry(talk: Talk) -> None:
    old = talk.join()
    new = talk.start(join_ref="2", ref="2")
    assert (new.replaces, new.target, new.subtopic) == (old, "Room", "a")
    assert old.state is State.CLOSED
    assert talk.connection.entries == [new]
    with pytest.raises(LocalProtocolError):
        talk.connection.push(old, "p1", EMPTY)
    talk.connection.accept_join(new)
    assert [frame.event for frame in talk.hear()] == ["phx_reply", "phx_close"]
    assert new.replaces is None


def test_a_join_topic_that_is_an_object_ends_the_connection_as_in_phoenix(talk: Talk) -> None:
    with pytest.raises(RemoteProtocolError, match="topic is an object") as caught:
        talk.send("1", "1", {"a": 1}, "phx_join")
    assert caught.value.close_code == 1011


@pytest.mark.parametrize("data", ["", "{}", '["1","2","t","e"]', b"\xff"])
def test_p046_malformed_input_goes_up(talk: Talk, data: str | bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        talk.connection.receive(data)
    assert caught.value.close_code == 1011


# Commands


def command_table(connection: Connection[str], entry: Entry[str]) -> dict[str, Callable[[], object]]:
    return {
        "accept_join": lambda: connection.accept_join(entry),
        "refuse_join": lambda: connection.refuse_join(entry, EMPTY),
        "push": lambda: connection.push(entry, "p1", EMPTY),
        "reply": lambda: connection.reply(entry, "1", "ok"),
        "stop_channel": lambda: connection.stop_channel(entry),
        "close_channel": lambda: connection.close_channel(entry),
        "crash_channel": lambda: connection.crash_channel(entry),
        "terminated": lambda: connection.terminated(entry),
    }


# How to get an entry into a state, and what is legal there.
LEGAL = {
    "joining": ([], {"accept_join", "refuse_join"}),
    "joined": (["accept_join"], {"push", "reply", "stop_channel", "close_channel", "crash_channel"}),
    "leaving": (["accept_join", "stop_channel"], {"push", "reply", "stop_channel", "close_channel", "crash_channel"}),
    "terminating": (["accept_join", "close_channel"], {"push", "reply", "terminated"}),
    "terminated": (["accept_join", "close_channel", "terminated"], {"reply"}),
    "crashed": (["accept_join", "crash_channel"], {"reply"}),
    "refused": (["refuse_join"], set[str]()),
}


@pytest.mark.parametrize("name", command_table(Talk().connection, Talk().start()))
@pytest.mark.parametrize("phase", LEGAL)
def test_each_command_in_each_state(talk: Talk, phase: str, name: str) -> None:
    entry = talk.start()
    commands = command_table(talk.connection, entry)
    way, legal = LEGAL[phase]
    for step in way:
        commands[step]()
    talk.hear()
    state, entries = entry.state, talk.connection.entries
    if name in legal:
        commands[name]()
    else:
        with pytest.raises(LocalProtocolError, match=r"room:a.*join_ref='1'"):
            commands[name]()
        assert (entry.state, talk.connection.entries, talk.hear()) == (state, entries, [])


def test_a_command_for_an_old_entry_never_touches_the_new_one(talk: Talk) -> None:
    old = talk.join()
    talk.connection.close_channel(old)
    new = talk.join(join_ref="2", ref="2")
    talk.hear()
    for name in ("close_channel", "crash_channel", "stop_channel", "accept_join"):
        with pytest.raises(LocalProtocolError):
            command_table(talk.connection, old)[name]()
    talk.connection.push(old, "last", EMPTY)
    talk.connection.push(new, "p1", EMPTY)
    assert [frame.join_ref for frame in talk.hear()] == ["1", "2"]
    assert talk.connection.entries == [new]


def test_p062_a_refused_join_has_received_nothing_to_reply_to(talk: Talk) -> None:
    entry = talk.start()
    talk.connection.refuse_join(entry, EMPTY)
    talk.hear()
    with pytest.raises(LocalProtocolError):
        talk.connection.reply(entry, "1", "ok")
    assert talk.hear() == []


@pytest.mark.parametrize("join_ref", ["1", None])
def test_p054_a_join_reply_without_wire_form(join_ref: Any) -> None:
    talk = Talk(V1)
    message = {"topic": "room:a", "event": "phx_join", "payload": {}, "ref": "1", "join_ref": join_ref}
    [event] = talk.connection.receive(json.dumps(message))
    assert isinstance(event, JoinRequested)
    with pytest.raises(EncodeError, match="no binary payloads"):
        talk.connection.accept_join(event.entry, b"\0")


def test_p066_a_push_without_wire_form_leaves_the_channel_as_it_was(talk: Talk) -> None:
    entry = talk.join()
    with pytest.raises(EncodeError, match="event of a binary message"):
        talk.connection.push(entry, "x" * 256, b"")
    assert (entry.state, talk.hear()) == (State.JOINED, [])
    talk.connection.crash_channel(entry)
    assert talk.hear() == [ServerFrame("1", "1", "room:a", "phx_error", {"reason": "channel_crash"})]


def test_what_stopped_drops_messages_until_it_ends(talk: Talk) -> None:
    entry = talk.join()
    talk.connection.stop_channel(entry)
    assert talk.send("1", "2", "room:a", "shout") == []
    assert talk.send("1", "3", "room:a", "phx_leave") == []
    assert talk.hear() == []
    talk.send("4", "4", "room:a", "phx_join")
    [event] = talk.connection.crash_channel(entry)
    assert isinstance(event, JoinRequested)
    assert event.entry.replaces is None


def test_frames_are_given_out_once(talk: Talk) -> None:
    talk.send(None, "1", "phoenix", "heartbeat")
    assert talk.hear() == [ServerFrame(None, "1", "phoenix", "phx_reply", OK)]
    assert talk.hear() == []


# Waiting


def test_reading_pauses_at_the_bound_and_nothing_is_dropped() -> None:
    talk = Talk(max_waiting=3)
    assert talk.connection.waiting_bytes == 0
    a, b = talk.start("room:a"), talk.start("room:b", "2", "2")
    for number, topic in enumerate(["room:a", "room:b", "room:a", "room:b"]):
        assert talk.connection.reading_paused is (number >= 3)
        talk.send(None, number, topic, "shout")
    assert talk.connection.reading_paused is True
    assert talk.connection.waiting_bytes == 4 * len("{}")
    assert [event.ref for event in talk.connection.accept_join(a) if isinstance(event, MessageReceived)] == [0, 2]
    assert talk.connection.reading_paused is False
    assert talk.connection.waiting_bytes == 2 * len("{}")
    assert talk.connection.refuse_join(b, EMPTY) == []
    assert talk.connection.waiting_bytes == 0
    assert [frame.ref for frame in talk.hear()] == ["1", "2", 1, 3]


def test_a_chain_of_joins_waits_in_order(talk: Talk) -> None:
    entry = talk.start()
    for number in range(2, 5):
        assert talk.send(str(number), str(number), "room:a", "phx_join") == []
        assert talk.send(str(number), f"push {number}", "room:a", "shout") == []
    for number in range(2, 5):
        [*pushes, event] = talk.connection.accept_join(entry)
        assert [push.ref for push in pushes if isinstance(push, MessageReceived)] == [f"push {number - 1}"] * (
            number > 2
        )
        assert isinstance(event, JoinRequested)
        assert event.entry.replaces is entry
        entry = event.entry
    assert [frame.ref for frame in talk.hear()] == ["1", "2", "1", "3", "2"]


# Refs


@pytest.mark.parametrize(
    ("left", "right"),
    [("1", "1"), (1, 1), (1.5, 1.5), (None, None), (True, True), ([1], [1]), ({"a": 1, "b": 2}, {"b": 2, "a": 1})],
)
def test_p031_same_refs(left: Any, right: Any) -> None:
    assert same_ref(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        *[("1", 1), ("1", "2"), (1, 1.0), (1, True), (0, False), (None, ""), (None, 0), ([1], [True]), ([1], [1, 1])],
        *[({"a": 1}, {"a": 1.0}), ({"a": 1}, {"b": 1}), ({}, []), (2**64, 2**64 + 1)],
    ],
)
def test_p031_refs_of_other_type_or_value(left: Any, right: Any) -> None:
    assert not same_ref(left, right)
    assert not same_ref(right, left)


# Whatever a client sends

REFS = st.none() | st.integers(0, 3) | st.sampled_from(["", "1", "2"]) | st.floats(0, 2) | st.lists(st.integers(0, 1))
TOPICS: st.SearchStrategy[Any] = st.sampled_from(["room:a", "room:b", "stats", "phoenix", "nowhere", None, 5, {}, []])
EVENTS: st.SearchStrategy[Any] = st.sampled_from(
    ["phx_join", "phx_join", "phx_leave", "shout", "heartbeat", "phx_reply", None, 5, [], {}]
)
PAYLOADS = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.none(), max_size=2) | st.just({"a": 1})
ARRAYS = st.tuples(REFS, REFS, TOPICS, EVENTS, PAYLOADS).map(json.dumps)
OBJECTS = st.fixed_dictionaries(
    {"topic": TOPICS, "event": EVENTS, "payload": PAYLOADS, "ref": REFS}, optional={"join_ref": REFS}
).map(json.dumps)
SHORT = st.sampled_from(["", "1", "2", "room:a", "phoenix", "phx_join", "phx_leave", "heartbeat", "shout"])
BINARIES = st.tuples(SHORT, SHORT, SHORT, SHORT, st.binary(max_size=3)).map(lambda parts: client_binary(*parts))


@given(st.lists(ARRAYS | OBJECTS | BINARIES | st.binary() | st.text(st.characters()), max_size=20), st.randoms())
@pytest.mark.parametrize("serializer", [V1, V2], ids=["V1", "V2"])
def test_no_client_breaks_a_connection(serializer: Serializer, messages: list[str | bytes], random: Any) -> None:
    connection = Connection(serializer, ROUTES, max_channels=2, max_waiting=4)
    for data in messages:
        opcode = Opcode.TEXT if isinstance(data, str) else Opcode.BINARY
        try:
            events = list(connection.receive(data, opcode))
        except RemoteProtocolError as error:
            if error.close_code != 1011:
                raise
            continue
        for event in events:
            # Some of the joins stay undecided, some of the leaves unfinished.
            if isinstance(event, JoinRequested) and random.random() < 0.7:
                events += connection.accept_join(event.entry)
            elif isinstance(event, LeaveRequested) and random.random() < 0.7:
                events += connection.close_channel(event.entry)
        for frame in connection.frames_to_send():
            read(frame)
        assert len(connection.entries) <= 2
