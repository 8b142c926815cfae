"""What each client gets, and in which order, whatever happens: random programs on a real endpoint (P-053, P-071).

Broadcasts are gathered and written in slices; nobody may notice.  Each program is run twice: as it is, and with a
registry that writes every broadcast to everybody where it is made.  All clients must get the same, frame by frame, and
what they get must obey the protocol.
"""

from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.pubsub.clients import V1
from tests.pubsub.playing import Outcome, play
from tests.pubsub.streams import (
    BROADCASTS,
    CLIENTS,
    LOST,
    TOPICS,
    Broadcast,
    Call,
    Do,
    End,
    Heartbeat,
    Join,
    Leave,
    Message,
    Step,
    Stream,
    Turn,
    number,
)

CLIENT = st.integers(0, len(CLIENTS) - 1)
TOPIC = st.sampled_from(TOPICS)
EVENT = st.sampled_from(["event", "event", "event", "kept", "binary", "large"])
WHAT = EVENT | st.sampled_from(["push", "push", "event_from", "kept_from"])
CALL = st.builds(
    Call,
    CLIENT,
    TOPIC,
    st.lists(WHAT, max_size=3).map(tuple),
    st.sampled_from(["reply", "reply", "nothing", "later", "stop", "fail"]),
    st.booleans(),
)
BROADCAST = st.builds(Broadcast, TOPIC, EVENT, st.integers(0, 9).map(lambda n: n == 0))
# With weights: most of the time there is something to gather, and somebody to gather it for.
STEP: st.SearchStrategy[Step] = st.one_of(
    BROADCAST,
    BROADCAST,
    BROADCAST,
    st.builds(Do, CLIENT, TOPIC, WHAT | st.just("answer")),
    st.builds(Do, CLIENT, TOPIC, WHAT | st.just("answer")),
    CALL,
    CALL,
    st.builds(Join, CLIENT, TOPIC, st.booleans()),
    st.builds(Leave, CLIENT, TOPIC),
    st.builds(Heartbeat, CLIENT),
    st.builds(Turn),
    st.builds(Turn),
    st.builds(End, CLIENT, st.booleans()),
)
# Several lists, because Hypothesis keeps a single one short, however long it may be.
SIZE = st.sampled_from([1, 2, 2, 3, 5, 512])
PROGRAM = st.tuples(*[st.lists(STEP, max_size=12)] * 5).map(lambda lists: [step for part in lists for step in part])


def body(message: Message) -> dict[str, Any]:
    payload = message[4]
    found: dict[str, Any] = payload["response"] if message[3] == "phx_reply" else payload
    return found


class Protocol:
    """The rules for one client's stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.joined: dict[str, str] = {}
        """The join that holds a topic."""
        self.ended: Counter[tuple[str, str]] = Counter()
        self.replaced: set[tuple[str, str]] = set()

    def check(self) -> None:
        messages = self.stream.messages
        self.check_numbers(messages)
        if self.stream.serializer is not V1:
            # Version 1 has no join_ref in its frames.
            for previous, message in pairwise([None, *messages]):
                assert message is not None
                self.check_message(previous, message)

    @staticmethod
    def check_numbers(messages: list[Message]) -> None:
        """Everything comes once, and nothing overtakes what was produced before it."""
        on_loop = [body(message)["n"] for message in messages if "n" in body(message)]
        assert on_loop == sorted(set(on_loop))
        # Pushes and replies may overtake what other threads broadcast; other broadcasts may not.
        broadcasts = [number(body(message)) for message in messages if message[3] in BROADCASTS]
        assert broadcasts == sorted(set(broadcasts))

    def check_message(self, previous: Message | None, message: Message) -> None:
        join_ref, ref, topic, event, payload = message
        holder = self.joined.get(topic)
        if topic == "phoenix" or (event == "phx_reply" and ref in self.stream.leaves):
            # The transport's own, also for a topic that nobody holds (P-048).
            return
        if event == "phx_reply" and ref == join_ref:
            assert not self.ended[topic, join_ref]
            if payload["status"] == "ok":
                if holder is not None:
                    self.replaced.add((topic, holder))
                self.joined[topic] = join_ref
        elif event in ("phx_close", "phx_error"):
            self.ended[topic, join_ref] += 1
            assert self.ended[topic, join_ref] == 1
            if (topic, join_ref) in self.replaced or join_ref != holder:
                # P-057: right behind the reply of the join that has taken its place, whatever that was.
                assert previous is not None
                assert (previous[0], previous[1], previous[2]) == (previous[0], previous[0], topic)
                assert previous[3] == "phx_reply"
            if join_ref == holder:
                del self.joined[topic]
        elif event in BROADCASTS:
            assert holder is not None
            assert payload.get("not for") != [self.stream.number, holder]
        elif event in ("push", "bye", "phx_reply"):
            # After phx_close only what is pushed until terminate is over, and replies that were owed (P-062, P-064).
            assert holder == join_ref or self.ended[topic, join_ref]
        else:
            assert holder == join_ref

    def check_members(self) -> None:
        """Who holds a topic at the end has got its last broadcast."""
        last = {message[2] for message in self.stream.messages if message[3] == "last"}
        assert last == set(self.joined)


def check(outcome: Outcome) -> None:
    assert outcome.failures == []
    assert outcome.heard == sorted(set(outcome.heard))
    for stream in outcome.streams:
        protocol = Protocol(stream)
        protocol.check()
        if stream.closed is None and stream.serializer is not V1:
            protocol.check_members()


def compare(outcome: Outcome, expected: Outcome) -> None:
    for code, got, wanted in zip(outcome.codes, outcome.messages, expected.messages, strict=True):
        # Nobody knows how much still reaches a client whose connection breaks.
        assert got == (wanted[: len(got)] if code == LOST else wanted)
    assert outcome.codes == expected.codes
    assert outcome.heard == expected.heard
    assert outcome.skipped == expected.skipped


# What is rare: the connection of a channel that is about to fail is closed.
@example(program=[Call(4, "a", (), "fail"), Broadcast("a", "event"), End(4, lost=False)], size=2)
@given(program=PROGRAM, size=SIZE)
def test_whatever_happens_each_client_gets_what_it_would_get_at_once(program: list[Step], size: int) -> None:
    outcome = play(program, size=size)
    compare(outcome, play(program, at_once=True))
    check(outcome)


@given(program=PROGRAM, size=SIZE)
def test_in_whichever_order_tasks_run_the_protocol_is_obeyed(program: list[Step], size: int) -> None:
    """On trio, where that is left to chance."""
    check(play(program, backend="trio", size=size))
