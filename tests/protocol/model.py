"""A connection in other words: every topic is a queue of messages, worked off in order until one has to wait.

The model knows nothing of tables, entries or encoders.  It has lives (one per join that found a channel), and for
every topic the one life that holds it and the queue of what the client has sent to it.  The head of a queue waits
while the holder is *deciding* its join, or while the holder is *ending* and the head is a new join; else it is handled.
"""

import json
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.protocol.wire import ServerFrame

Outcome = tuple[Any, ...]
"""What user code or a log has to hear of: ("join", life, ...), ("push", ...), ("leave", ...), ("hurry", life) ..."""


def canonical(value: object) -> str:
    """Tells 1, 1.0 and true apart, which are equal in Python, and not the order of keys."""
    return json.dumps(value, sort_keys=True, default=lambda data: f"bytes {data.hex()}")


class Sent(NamedTuple):
    """A message of the client."""

    number: int
    join_ref: Any
    ref: Any
    topic: Any
    event: Any


@dataclass(eq=False)
class Life:
    """One join of one topic.  Phases: deciding, live, ending, parting (closed, not yet terminated), over."""

    number: int
    join: Sent
    replaced: "Life | None" = None
    phase: str = "deciding"
    accepted: bool = False
    hurried: bool = False
    received: list[Any] = field(default_factory=list)
    """The refs of what it received."""

    @property
    def join_ref(self) -> Any:
        """Of its pushes and replies (P-032)."""
        return self.join.ref if self.join.join_ref is None else self.join.join_ref

    def may(self, command: str) -> bool:
        """What the driver may do in which phase."""
        match command:
            case "accept" | "refuse":
                return self.phase == "deciding"
            case "push":
                return self.phase in ("live", "ending", "parting")
            case "stop" | "close" | "crash":
                return self.phase in ("live", "ending")
            case "terminated":
                return self.phase == "parting"
            case "reply":
                return self.accepted
        raise AssertionError(f"no such command: {command}")


class Model:
    def __init__(self, topics: set[str], *, max_channels: int, max_waiting: int) -> None:
        self.topics = topics
        self.max_channels = max_channels
        self.max_waiting = max_waiting
        self.lives: list[Life] = []
        self.holders: dict[str, Life] = {}
        self.queues: dict[str, deque[Sent]] = defaultdict(deque)
        self.frames: list[ServerFrame] = []

    @property
    def waiting(self) -> list[Sent]:
        return [sent for queue in self.queues.values() for sent in queue]

    @property
    def paused(self) -> bool:
        return len(self.waiting) >= self.max_waiting

    def routed(self, topic: Any) -> bool:
        return isinstance(topic, str) and topic in self.topics

    # The client

    def receive(self, sent: Sent) -> list[Outcome]:
        if (sent.topic, sent.event) == ("phoenix", "heartbeat"):
            self.answer(None, sent.ref, "phoenix", "ok", {})
            return []
        if not self.routed(sent.topic):
            return self.handle_unheld(sent)
        self.queues[sent.topic].append(sent)
        return self.work(sent.topic)

    def work(self, topic: str) -> list[Outcome]:
        queue, outcomes = self.queues[topic], list[Outcome]()
        while queue and not self.waits(queue[0]):
            outcomes += self.handle(queue.popleft())
        holder = self.holders.get(topic)
        if queue and holder is not None and holder.phase == "ending" and not holder.hurried:
            holder.hurried = True
            outcomes.append(("hurry", holder.number))
        return outcomes

    def waits(self, sent: Sent) -> bool:
        holder = self.holders.get(sent.topic)
        if holder is None:
            return False
        return holder.phase == "deciding" or (holder.phase == "ending" and sent.event == "phx_join")

    def handle(self, sent: Sent) -> list[Outcome]:
        holder = self.holders.get(sent.topic)
        if holder is None:
            return self.handle_unheld(sent)
        if sent.event == "phx_join":
            # P-057: the old life is over at once; its close is still owed to the client.
            holder.phase = "over"
            return [self.begin(sent, replaced=holder)]
        stale = sent.join_ref is not None and canonical(sent.join_ref) != canonical(holder.join.join_ref)
        if stale or holder.phase == "ending":
            return []
        holder.received.append(sent.ref)
        if sent.event == "phx_leave":
            holder.phase = "ending"
            return [("leave", holder.number, sent.ref)]
        return [("push", holder.number, sent.event, sent.ref, sent.number)]

    def handle_unheld(self, sent: Sent) -> list[Outcome]:
        if sent.event == "phx_leave":
            self.answer(sent.join_ref, sent.ref, sent.topic, "ok", {})
        elif sent.event != "phx_join" or not self.routed(sent.topic):
            self.answer(None, sent.ref, sent.topic, "error", {"reason": "unmatched topic"})
            return [("unmatched", sent.topic)] if sent.event == "phx_join" else []
        elif len(self.holders) == self.max_channels:
            self.answer(sent.join_ref, sent.ref, sent.topic, "error", {"reason": "too many channels joined"})
            return [("limit", sent.topic)]
        else:
            return [self.begin(sent)]
        return []

    def begin(self, sent: Sent, replaced: Life | None = None) -> Outcome:
        life = Life(len(self.lives), sent, replaced)
        self.lives.append(life)
        self.holders[sent.topic] = life
        return ("join", life.number, None if replaced is None else replaced.number, sent.number)

    # The driver

    def decide(self, life: Life, status: str, response: Any) -> list[Outcome]:
        life.accepted = status == "ok"
        self.answer(life.join.join_ref, life.join.ref, life.join.topic, status, response)
        if life.replaced is not None:
            self.end(life.replaced, "phx_close", {})
        if life.accepted:
            life.phase = "live"
        else:
            self.release(life, "over")
        return self.work(life.join.topic)

    def push(self, life: Life, event: str, payload: Any) -> list[Outcome]:
        self.send(life.join_ref, None, life.join.topic, event, payload, binary=isinstance(payload, bytes))
        return []

    def reply(self, life: Life, ref: Any, status: str, response: Any) -> list[Outcome]:
        self.answer(life.join_ref, ref, life.join.topic, status, response)
        return []

    def stop(self, life: Life) -> list[Outcome]:
        life.phase = "ending"
        return []

    def close(self, life: Life) -> list[Outcome]:
        self.end(life, "phx_close", {})
        self.release(life, "parting")
        return self.work(life.join.topic)

    def crash(self, life: Life) -> list[Outcome]:
        self.end(life, "phx_error", {"reason": "channel_crash"})
        self.release(life, "over")
        return self.work(life.join.topic)

    def terminated(self, life: Life) -> list[Outcome]:
        life.phase = "over"
        return []

    def release(self, life: Life, phase: str) -> None:
        life.phase = phase
        del self.holders[life.join.topic]

    # The wire

    def answer(self, join_ref: Any, ref: Any, topic: Any, status: str, response: Any) -> None:
        payload = {"status": status, "response": response}
        self.send(join_ref, ref, topic, "phx_reply", payload, binary=isinstance(response, bytes))

    def end(self, life: Life, event: str, payload: Any) -> None:
        self.send(life.join.join_ref, life.join.join_ref, life.join.topic, event, payload, binary=False)

    def send(self, join_ref: Any, ref: Any, topic: Any, event: str, payload: Any, *, binary: bool) -> None:
        if binary:
            # P-039: null is zero length, what is no string is stringified; a push has no ref at all.
            join_ref = stringified(join_ref)
            ref = stringified(ref) if event == "phx_reply" else None
        self.frames.append(ServerFrame(join_ref, ref, topic, event, payload, binary))


def stringified(ref: Any) -> str:
    if ref is None:
        return ""
    return ref if isinstance(ref, str) else json.dumps(ref, separators=(",", ":"))
