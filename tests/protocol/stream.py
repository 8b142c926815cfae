"""What holds for the whole stream of one connection, whatever happened on it.

These rules know nothing of the model: they look at a journal of what the client sent, what the driver was told, what
it did, and what went out.  Every frame of a channel bears the number of its life in its payload.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.protocol.model import Sent, canonical, stringified
from tests.protocol.wire import ServerFrame


@dataclass(frozen=True)
class Told:
    """An event for the driver: join, push or leave; ``life`` is the join it is about."""

    kind: str
    life: int
    sent: Sent
    replaces: int | None = None


@dataclass(frozen=True)
class Did:
    """A command of the driver that was legal."""

    command: str
    life: int
    ref: Any = None


Journal = list[Sent | Told | Did | ServerFrame]


def tag(life: int, *, binary: bool) -> Any:
    """A payload that says whose it is."""
    return f"life {life}".encode() if binary else {"life": life}


def owner(frame: ServerFrame) -> int | None:
    """The life that a frame bears in its payload."""
    payload = frame.payload["response"] if frame.event == "phx_reply" else frame.payload
    if isinstance(payload, bytes):
        return int(payload.removeprefix(b"life "))
    life = payload.get("life")
    return life if isinstance(life, int) else None


def shown(ref: Any, frame: ServerFrame) -> str:
    """How a ref looks in this frame."""
    return canonical(stringified(ref) if frame.binary else ref)


class Stream:
    """The journal, sorted by life."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.joins = {record.life: record for _, record in self.told("join")}
        self.replaced_at = {join.replaces: at for at, join in self.told("join") if join.replaces is not None}
        self.decided = {did.life: did.command for _, did in self.did("accept", "refuse")}
        self.ended = {did.life: did.command for _, did in self.did("close", "crash")}
        self.ended |= dict.fromkeys(self.replaced_at, "replaced")

    def told(self, *kinds: str) -> Iterator[tuple[int, Told]]:
        return ((at, x) for at, x in enumerate(self.journal) if isinstance(x, Told) and x.kind in kinds)

    def did(self, *commands: str) -> Iterator[tuple[int, Did]]:
        return ((at, x) for at, x in enumerate(self.journal) if isinstance(x, Did) and x.command in commands)

    def sent(self) -> list[Sent]:
        return [x for x in self.journal if isinstance(x, Sent)]

    def frames(self, *events: str) -> Iterator[tuple[int, ServerFrame]]:
        frames = ((at, x) for at, x in enumerate(self.journal) if isinstance(x, ServerFrame))
        return ((at, frame) for at, frame in frames if not events or frame.event in events)

    def join_refs(self, life: int) -> tuple[Any, Any]:
        """Of the end of a life, and of its pushes and replies (P-032)."""
        join = self.joins[life].sent
        return join.join_ref, join.ref if join.join_ref is None else join.join_ref

    # The rules.  They hold once nothing is undecided and nothing waits.

    def check(self) -> None:
        self.one_reply_per_answered_ref()
        self.the_join_reply_comes_first()
        self.a_replaced_life_closes_right_after_the_reply_of_its_successor()
        self.one_end_for_each_accepted_join_and_none_for_a_refused_one()
        self.after_the_end_only_late_replies_and_what_terminate_pushes()
        self.refs_are_those_of_the_table()
        self.messages_of_a_topic_are_handled_in_order()
        self.nothing_is_lost()

    def one_reply_per_answered_ref(self) -> None:
        answered = Counter(shown(frame.ref, frame) for _, frame in self.frames("phx_reply"))
        by_driver = Counter(stringified(did.ref) for _, did in self.did("reply"))
        delivered = {told.sent.number for _, told in self.told("push", "leave")}
        for sent in self.sent():
            if sent.ref is None:
                continue
            count = sum(answered[form] for form in {canonical(sent.ref), canonical(stringified(sent.ref))})
            if sent.number in delivered:
                assert count == by_driver[stringified(sent.ref)], f"{sent} is answered by its channel alone"
            elif sent.event == "phx_join" or (sent.topic, sent.event) == ("phoenix", "heartbeat"):
                assert count == 1, f"{sent} has exactly one reply"
            else:
                assert count <= 1, f"{sent} has at most one reply"

    def the_join_reply_comes_first(self) -> None:
        """P-053: whatever a life sends, its join's reply was sent before."""
        for life, told in self.joins.items():
            frames = [frame for _, frame in self.frames() if owner(frame) == life]
            first = frames[0]
            assert first.event == "phx_reply", f"the first frame of life {life} is its join's reply"
            assert shown(told.sent.ref, first) == canonical(first.ref)
            assert first.payload["status"] == ("ok" if self.decided[life] == "accept" else "error")
            if self.decided[life] == "refuse":
                assert frames == [first], "a refused join gets its reply and nothing else"

    def a_replaced_life_closes_right_after_the_reply_of_its_successor(self) -> None:
        """P-057"""
        frames = [frame for _, frame in self.frames()]
        for life, told in self.joins.items():
            if told.replaces is not None:
                reply = next(at for at, frame in enumerate(frames) if owner(frame) == life)
                assert frames[reply + 1].event == "phx_close"
                assert canonical(frames[reply + 1].ref) == canonical(self.join_refs(told.replaces)[0])

    def ends(self, topic: str) -> list[int]:
        """The lives of a topic that have an end on the wire, in the order of their ends: that of their joins."""
        return [life for life, told in self.joins.items() if told.sent.topic == topic and life in self.ended]

    def one_end_for_each_accepted_join_and_none_for_a_refused_one(self) -> None:
        for topic in {told.sent.topic for told in self.joins.values()}:
            expected = [
                ("phx_error" if self.ended[life] == "crash" else "phx_close", canonical(self.join_refs(life)[0]))
                for life in self.ends(topic)
            ]
            ends = [frame for _, frame in self.frames("phx_close", "phx_error") if frame.topic == topic]
            assert [(frame.event, canonical(frame.ref)) for frame in ends] == expected
        accepted = {life for life, decision in self.decided.items() if decision == "accept"}
        assert set(self.ended) == accepted, "every accepted join has ended, and no other"

    def after_the_end_only_late_replies_and_what_terminate_pushes(self) -> None:
        ends = {
            life: at
            for topic in {told.sent.topic for told in self.joins.values()}
            for life, at in zip(self.ends(topic), self.end_frames(topic), strict=True)
        }
        terminated = {did.life: at for at, did in self.did("terminated")}
        for at, frame in self.frames():
            life = owner(frame)
            if life is None or frame.event == "phx_reply":
                continue
            if self.ended[life] == "close":
                assert at < terminated.get(life, at + 1), "nothing is pushed after terminate"
            else:
                muted = self.replaced_at.get(life, ends[life])
                assert at < muted, f"life {life} pushes after its end"

    def end_frames(self, topic: str) -> list[int]:
        return [at for at, frame in self.frames("phx_close", "phx_error") if frame.topic == topic]

    def refs_are_those_of_the_table(self) -> None:
        """P-032: pushes, ends, replies of channels, and answers where there is no channel."""
        for _, frame in self.frames():
            life = owner(frame)
            if frame.event in ("phx_close", "phx_error"):
                assert canonical(frame.join_ref) == canonical(frame.ref)
            elif frame.event != "phx_reply":
                assert life is not None
                assert frame.ref is None
                assert canonical(frame.join_ref) == shown(self.join_refs(life)[1], frame)
            elif life is not None:
                own = canonical(frame.ref) == shown(self.joins[life].sent.ref, frame)
                expected = self.join_refs(life)[0 if own else 1]
                assert canonical(frame.join_ref) == shown(expected, frame)
            elif frame.ref is not None:
                [sent] = [sent for sent in self.sent() if canonical(sent.ref) == canonical(frame.ref)]
                echoed = sent.event == "phx_leave" or "too many" in str(frame.payload)
                assert canonical(frame.join_ref) == canonical(sent.join_ref if echoed else None)

    def messages_of_a_topic_are_handled_in_order(self) -> None:
        """Whatever waited: what a channel is told, and what is answered without one, keeps the order of arrival."""
        numbers = {canonical(sent.ref): sent for sent in self.sent() if sent.ref is not None}
        handled: dict[str, list[int]] = {}
        for record in self.journal:
            if isinstance(record, Told):
                handled.setdefault(canonical(record.sent.topic), []).append(record.sent.number)
            elif isinstance(record, ServerFrame) and record.event == "phx_reply" and owner(record) is None:
                sent = numbers.get(canonical(record.ref))
                if sent is not None:
                    handled.setdefault(canonical(sent.topic), []).append(sent.number)
        for order in handled.values():
            assert order == sorted(order)

    def nothing_is_lost(self) -> None:
        """A message is told or answered; only a stale one and one for a channel on its way out are dropped."""
        told = {told.sent.number for _, told in self.told("join", "push", "leave")}
        answered = {canonical(frame.ref) for _, frame in self.frames("phx_reply") if owner(frame) is None}
        leaving = {self.joins[life].sent.topic for life in self.on_their_way_out()}
        for sent in self.sent():
            if sent.number in told or sent.ref is None or canonical(sent.ref) in answered:
                continue
            lives = [join.sent.join_ref for join in self.joins.values() if join.sent.topic == sent.topic]
            stale = sent.join_ref is not None and any(canonical(sent.join_ref) != canonical(ref) for ref in lives)
            assert sent.event != "phx_join", f"{sent} is lost"
            assert stale or sent.topic in leaving, f"{sent} is lost"

    def on_their_way_out(self) -> set[int]:
        return {told.life for _, told in self.told("leave")} | {did.life for _, did in self.did("stop")}
