"""Any client against any driver: one connection, a simple model beside it, and rules for the whole stream."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from phoenix_channels.protocol.connection import Connection
from phoenix_channels.protocol.errors import LocalProtocolError
from phoenix_channels.protocol.events import (
    Entry,
    Event,
    JoinRequested,
    LeaveRequested,
    MessageReceived,
    RejoinWaiting,
    UnmatchedTopic,
)
from phoenix_channels.protocol.messages import EMPTY, Opcode
from phoenix_channels.protocol.payloads import decode_payload, encode_term
from phoenix_channels.protocol.serializers import V2JSONSerializer
from phoenix_channels.protocol.topics import Routes
from tests.protocol.model import Life, Model, Outcome, Sent, canonical
from tests.protocol.stream import Did, Journal, Stream, Told, tag
from tests.protocol.wire import client_binary, read

T = TypeVar("T")

CHANNELS = ["a", "b", "c"]
# Three topics but room for two, so that the limit is met often.
MAX_CHANNELS, MAX_WAITING = 2, 3

# Refs of every type; each is made of a number, so that no two messages have the same.
SPELLINGS: dict[str, Callable[[int], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "list": lambda number: [number],
    "dict": lambda number: {"n": number},
}
A_SPELLING = st.sampled_from(list(SPELLINGS))
# Mostly one topic: what is worth finding happens between messages of the same one.
A_TOPIC = st.sampled_from(["a", "a", "a", "b", "b", "c"])
ELSEWHERE = st.just(("phoenix", "heartbeat")) | st.tuples(
    st.sampled_from(["nowhere", "phoenix", 7, None, ["a"]]), st.sampled_from(["phx_join", "phx_leave", "shout"])
)
PUSHED: st.SearchStrategy[Any] = st.sampled_from(
    ["shout", "heartbeat", "phx_reply", "phx_close", None, 5, ["phx_join"]]
)
AN_EVENT = st.just("shout") | st.just("phx_leave") | PUSHED
A_JOIN = st.sampled_from(["ref", "own", "null"])
A_JOIN_REF = st.sampled_from(["current"] * 4 + ["lookalike"] * 2 + ["null", "old", "unknown"])
PICK = st.integers(0, 3)
ENDS = ["terminated", "close", "crash", "stop"]


def lookalike(join: Sent) -> Any:
    """Not the join_ref, but it for a careless eye: of another type, equal in Python alone, or the ref in its place."""
    match join.join_ref:
        case None:
            return join.ref
        case 1:
            return True
        case str() | float():
            return int(join.join_ref)
        case int():
            return float(join.join_ref)
        case list():
            return [float(join.join_ref[0])]
        case _:
            return {"n": float(join.join_ref["n"])}


def choose(candidates: Sequence[T], pick: int) -> T:
    """The latest for 0: what happens to it is what examples should shrink to."""
    return candidates[-1 - pick % len(candidates)]


class ConnectionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        routes = Routes([(topic, topic) for topic in CHANNELS])
        self.connection = Connection(V2JSONSerializer(), routes, max_channels=MAX_CHANNELS, max_waiting=MAX_WAITING)
        self.model = Model(set(CHANNELS), max_channels=MAX_CHANNELS, max_waiting=MAX_WAITING)
        self.entries: list[Entry[str]] = []
        """By the number of their lives."""
        self.sent: list[Sent] = []
        self.journal: Journal = []
        self.agreed = True

    # The client

    def send(self, join_ref: Any, ref: Any, topic: Any, event: Any, *, binary: bool = False) -> None:
        if binary and all(isinstance(field, str) for field in (join_ref or "", ref, topic, event)):
            data: str | bytes = client_binary(join_ref or "", ref, topic, event, str(len(self.sent)).encode())
            # P-039: a zero-length join_ref means null.
            join_ref = join_ref or None
        else:
            data = json.dumps([join_ref, ref, topic, event, len(self.sent)])
        sent = Sent(len(self.sent), join_ref, ref, topic, event)
        self.sent.append(sent)
        self.journal.append(sent)
        self.agreed = False
        events = self.connection.receive(data, Opcode.TEXT if isinstance(data, str) else Opcode.BINARY)
        self.compare(events, self.model.receive(sent))

    def new_ref(self, spelling: str) -> Any:
        return SPELLINGS[spelling](len(self.sent))

    def join_ref(self, topic: str, kind: str) -> Any:
        joins = [life.join for life in self.model.lives if life.join.topic == topic]
        match kind:
            case "null":
                return None
            case "current" if joins:
                return joins[-1].join_ref
            case "lookalike" if joins:
                return lookalike(joins[-1])
            case "old" if joins:
                return joins[0].join_ref
            case _:
                return "nobody's"

    def join(self, topic: str, spelling: str, kind: str, *, binary: bool) -> None:
        ref = self.new_ref(spelling)
        join_ref = {"ref": ref, "own": SPELLINGS[spelling](1000 + len(self.sent)), "null": None}[kind]
        self.send(join_ref, ref, topic, "phx_join", binary=binary)

    # Few rules with weights inside, rather than many: Hypothesis leaves out some of the rules in every run.

    @initialize(spelling=A_SPELLING, kind=A_JOIN)
    def one_channel_is_joined(self, spelling: str, kind: str) -> None:
        self.join("a", spelling, kind, binary=False)
        self.driver_decides(pick=0, accepted=True, binary=False)

    @rule(topic=A_TOPIC, spelling=A_SPELLING, kind=A_JOIN, binary=st.booleans())
    def client_joins(self, topic: str, spelling: str, kind: str, binary: bool) -> None:
        self.join(topic, spelling, kind, binary=binary)

    @rule(topic=A_TOPIC, event=AN_EVENT, spelling=A_SPELLING | st.none(), kind=A_JOIN_REF, binary=st.booleans())
    def client_pushes_or_leaves(self, topic: str, event: Any, spelling: str | None, kind: str, binary: bool) -> None:
        ref = None if spelling is None and event != "phx_leave" else self.new_ref(spelling or "str")
        self.send(self.join_ref(topic, kind), ref, topic, event, binary=binary)

    @rule(place=ELSEWHERE, spelling=A_SPELLING, binary=st.booleans())
    def client_sends_to_no_channel(self, place: tuple[Any, str], spelling: str, binary: bool) -> None:
        ref = self.new_ref(spelling)
        self.send(ref, ref, *place, binary=binary)

    # The driver

    def lives(self, command: str) -> list[Life]:
        return [life for life in self.model.lives if life.may(command)]

    def note(self, command: str, life: Life, ref: Any = None) -> Entry[str]:
        self.journal.append(Did(command, life.number, ref))
        self.agreed = False
        return self.entries[life.number]

    @precondition(lambda self: self.lives("accept"))
    @rule(pick=PICK, accepted=st.booleans(), binary=st.booleans())
    def driver_decides(self, pick: int, accepted: bool, binary: bool) -> None:
        life = choose(self.lives("accept"), pick)
        response = tag(life.number, binary=binary)
        entry = self.note("accept" if accepted else "refuse", life)
        decide = self.connection.accept_join if accepted else self.connection.refuse_join
        events = decide(entry, encode_term(response))
        self.compare(events, self.model.decide(life, "ok" if accepted else "error", response))

    @precondition(lambda self: self.lives("push"))
    @rule(pick=PICK, binary=st.booleans())
    def driver_pushes(self, pick: int, binary: bool) -> None:
        life = choose(self.lives("push"), pick)
        payload = tag(life.number, binary=binary)
        self.connection.push(self.note("push", life), "news", encode_term(payload))
        self.compare([], self.model.push(life, "news", payload))

    def received(self) -> list[tuple[Life, Any]]:
        return [(life, ref) for life in self.lives("reply") for ref in life.received]

    @precondition(lambda self: self.received())
    @rule(pick=st.integers(0, 20), status=st.sampled_from(["ok", "error", "other"]), binary=st.booleans())
    def driver_replies_perhaps_late(self, pick: int, status: str, binary: bool) -> None:
        life, ref = choose(self.received(), pick)
        response = tag(life.number, binary=binary)
        self.connection.reply(self.note("reply", life, ref), ref, status, encode_term(response))
        self.compare([], self.model.reply(life, ref, status, response))

    def ends(self) -> list[tuple[Life, str]]:
        return [(life, command) for life in self.model.lives for command in ENDS if life.may(command)]

    @precondition(lambda self: self.ends())
    @rule(pick=st.integers(0, 7))
    def driver_ends_a_channel(self, pick: int) -> None:
        life, command = choose(self.ends(), pick)
        entry = self.note(command, life)
        match command:
            case "stop":
                self.connection.stop_channel(entry)
                self.compare([], self.model.stop(life))
            case "close":
                self.compare(self.connection.close_channel(entry), self.model.close(life))
            case "crash":
                self.compare(self.connection.crash_channel(entry), self.model.crash(life))
            case "terminated":
                self.connection.terminated(entry)
                self.compare([], self.model.terminated(life))

    @rule(pick=st.integers(0, 7))
    def driver_tries_what_is_illegal(self, pick: int) -> None:
        life = choose(self.model.lives, pick)
        connection, entry = self.connection, self.entries[life.number]
        commands: dict[str, Callable[[], object]] = {
            "accept": lambda: connection.accept_join(entry),
            "refuse": lambda: connection.refuse_join(entry, EMPTY),
            "push": lambda: connection.push(entry, "news", EMPTY),
            "reply": lambda: connection.reply(entry, "1", "ok"),
            "stop": lambda: connection.stop_channel(entry),
            "close": lambda: connection.close_channel(entry),
            "crash": lambda: connection.crash_channel(entry),
            "terminated": lambda: connection.terminated(entry),
        }
        before = [other.state for other in self.entries]
        self.agreed = False
        for command, attempt in commands.items():
            if not life.may(command):
                with pytest.raises(LocalProtocolError) as caught:
                    attempt()
                assert type(caught.value) is LocalProtocolError
        assert [other.state for other in self.entries] == before
        self.compare([], [])

    # Do they agree?

    def compare(self, events: Sequence[Event[str]], outcomes: Sequence[Outcome]) -> None:
        """The same events and the same frames as in the model; each goes into the journal."""
        frames, self.model.frames = self.model.frames, []
        heard = [read(frame) for frame in self.connection.frames_to_send()]
        self.journal += heard
        assert list(map(canonical, heard)) == list(map(canonical, frames))
        assert list(map(canonical, map(self.describe, events))) == list(map(canonical, outcomes))
        assert self.connection.reading_paused is self.model.paused
        assert self.connection.waiting_bytes == sum(len(str(sent.number)) for sent in self.model.waiting)
        holders = {life.number for life in self.model.holders.values()}
        assert set(map(self.entries.index, self.connection.entries)) == holders
        assert self.connection.channels == len(holders)
        self.agreed = True

    def describe(self, event: Event[str]) -> Outcome:
        if isinstance(event, JoinRequested):
            entry, sent = event.entry, self.sent[int(decode_payload(event.payload))]
            replaces = None if entry.replaces is None else self.entries.index(entry.replaces)
            self.entries.append(entry)
            assert (entry.topic, entry.target, entry.subtopic) == (sent.topic, sent.topic, "")
            self.journal.append(Told("join", len(self.entries) - 1, sent, replaces))
            return ("join", len(self.entries) - 1, replaces, sent.number)
        if isinstance(event, MessageReceived):
            sent = self.sent[int(decode_payload(event.payload))]
            life = self.entries.index(event.entry)
            self.journal.append(Told("push", life, sent))
            return ("push", life, event.event, event.ref, sent.number)
        if isinstance(event, LeaveRequested):
            life = self.entries.index(event.entry)
            [sent] = [sent for sent in self.sent if canonical(sent.ref) == canonical(event.ref)]
            self.journal.append(Told("leave", life, sent))
            return ("leave", life, event.ref)
        if isinstance(event, RejoinWaiting):
            return ("hurry", self.entries.index(event.entry))
        return ("unmatched" if isinstance(event, UnmatchedTopic) else "limit", event.topic)

    def teardown(self) -> None:
        """Everything is decided and ended; then the rules hold for the whole stream."""
        while self.agreed and self.model.holders:
            for life in list(self.model.holders.values()):
                if life.may("accept"):
                    response = tag(life.number, binary=False)
                    events = self.connection.accept_join(self.note("accept", life), encode_term(response))
                    self.compare(events, self.model.decide(life, "ok", response))
                else:
                    self.compare(self.connection.close_channel(self.note("close", life)), self.model.close(life))
        if self.agreed:
            assert (self.connection.entries, self.connection.reading_paused) == ([], False)
            Stream(self.journal).check()


# Long runs: much of what can go wrong needs a join, its end, and another join.
ConnectionMachine.TestCase.settings = settings(stateful_step_count=100)
TestConnectionMachine = ConnectionMachine.TestCase
