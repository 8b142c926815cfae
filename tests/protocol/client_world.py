"""The other end of a client: transports that come and go, with a pure server and an application behind each."""

from collections import defaultdict, deque
from typing import Any

from phoenix_channels.protocol.connection import Connection
from phoenix_channels.protocol.events import Entry, Event, JoinRequested, LeaveRequested, MessageReceived
from phoenix_channels.protocol.messages import Frame
from phoenix_channels.protocol.payloads import decode_payload, encode_term
from phoenix_channels.protocol.serializers import V2JSONSerializer
from phoenix_channels.protocol.states import State
from phoenix_channels.protocol.topics import Routes

TOPICS = ["a", "b"]

Sent = dict[str, list[int]]
"""The numbers of the messages that the server has sent, by the join_ref of the join that they were for."""


class Transport:
    """One transport, and what the server knows of its client.  Nothing is decided by itself."""

    def __init__(self, sent: Sent) -> None:
        self.is_open = False
        self.closing = False
        """We have begun to close it."""
        self.to_server: deque[Frame] = deque()
        self.to_client: deque[Frame] = deque()
        self.connection = Connection(V2JSONSerializer(), Routes([(topic, topic) for topic in TOPICS]))
        self.deciding: list[Entry[str]] = []
        self.received: list[tuple[Entry[str], Any, int]] = []
        """Pushes that may be answered: who got it, its ref and its number."""
        self.leaves: list[tuple[Entry[str], Any]] = []
        self.sent = sent

    def live(self) -> list[Entry[str]]:
        """Those that may be closed, or crash."""
        return [entry for entry in self.connection.entries if entry.state is not State.JOINING]

    def joined(self) -> list[Entry[str]]:
        return [entry for entry in self.connection.entries if entry.state is State.JOINED]

    def deliver(self) -> None:
        """The next message of the client arrives."""
        frame = self.to_server.popleft()
        self.handle(self.connection.receive(frame.data, frame.opcode))

    def handle(self, events: list[Event[str]]) -> None:
        for event in events:
            if isinstance(event, JoinRequested):
                self.deciding.append(event.entry)
            elif isinstance(event, MessageReceived):
                self.received.append((event.entry, event.ref, decode_payload(event.payload)["n"]))
            elif isinstance(event, LeaveRequested):
                self.leaves.append((event.entry, event.ref))
        self.leaves = [(entry, ref) for entry, ref in self.leaves if entry.state is State.LEAVING]
        self.to_client += self.connection.frames_to_send()

    def decide(self, entry: Entry[str], *, accepted: bool) -> None:
        self.deciding.remove(entry)
        decide = self.connection.accept_join if accepted else self.connection.refuse_join
        self.handle(decide(entry, encode_term({"join_ref": entry.join_ref})))

    def push(self, entry: Entry[str], number: int, *, broadcast: bool) -> None:
        """A message for the join: a push, or a broadcast, which passes the connection by."""
        self.sent[entry.join_ref].append(number)
        payload = encode_term({"n": number})
        if broadcast:
            self.to_client.append(V2JSONSerializer().encode_broadcast(entry.topic, "news", payload))
        else:
            self.connection.push(entry, "news", payload)
            self.handle([])

    def reply(self, entry: Entry[str], ref: Any, number: int) -> None:
        """Also late: the channel may be gone."""
        self.connection.reply(entry, ref, "ok", encode_term({"n": number}))
        self.handle([])

    def end(self, entry: Entry[str], *, crash: bool) -> None:
        self.handle(self.connection.crash_channel(entry) if crash else self.connection.close_channel(entry))

    def finish_leave(self, entry: Entry[str], ref: Any) -> None:
        self.connection.reply(entry, ref, "ok")
        self.handle(self.connection.close_channel(entry))

    def busy(self) -> bool:
        return bool(self.to_server or self.to_client or self.deciding or self.leaves or self.received)

    def behave(self) -> None:
        """Everything arrives, and every wish is granted."""
        while self.to_server or self.deciding or self.leaves:
            if self.to_server:
                self.deliver()
            elif self.deciding:
                self.decide(self.deciding[0], accepted=True)
            else:
                self.finish_leave(*self.leaves[0])
        for entry, ref, number in self.received:
            self.reply(entry, ref, number)
        self.received = []


def no_messages() -> Sent:
    return defaultdict(list)
