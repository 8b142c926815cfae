"""Scripts for a client, made by running ours: each step is one that could happen next.

=============================================  =====================================================================
``connect``, ``disconnect``                    what is wanted
``open``, ``fail``, ``close`` code             what the transport does
``join`` topic, timeout                        a new channel, known by its number from then on
``push`` channel, timeout                      known by its number too
``leave`` channel                              the server answers at once
``hear`` at, at, topic, event, payload         a message of the server: join_ref and ref are those of the frames that
                                               were sent as the first, second, ... of all; or null
``wait`` milliseconds                          time passes
=============================================  =====================================================================

Left out is where we differ on purpose (protocol/README.md): what a channel hears between its joins, replies over a join
that has ended, and the leave of a channel that has no join.  Left out is also a ``phx_close`` before the reply to the
join: from there a channel of phoenix.js comes back when that join times out, closed as it is.
"""

import json
from random import Random
from typing import Any

from phoenix_channels.protocol.client import RECONNECT_AFTER, REJOIN_AFTER, ClientConnection
from phoenix_channels.protocol.client_events import (
    ChannelClosed,
    ChannelErrored,
    ClientChannel,
    ClientEvent,
    ClientPush,
    CloseConnection,
    JoinFailed,
    JoinSucceeded,
    JoinTimedOut,
    MessageReceived,
    OpenConnection,
    ReplyReceived,
)
from phoenix_channels.protocol.client_states import ChannelState, ConnectionState
from phoenix_channels.protocol.messages import Opcode
from phoenix_channels.protocol.payloads import decode_payload, encode_term

Step = list[Any]
Result = dict[str, list[Any]]
"""``frames`` that were sent, and what was ``told``."""

JOINED, JOINING = ChannelState.JOINED, ChannelState.JOINING
TIMES = [3, 17, 70, 230, 900, 1700, 4100, 9300, 11900, 29000]


class ScriptedClient:
    """Our client, driven by steps.  Its seconds are milliseconds."""

    def __init__(self) -> None:
        self.client = ClientConnection(
            timeout=10_000,
            heartbeat_interval=30_000,
            heartbeat_timeout=30_000,
            reconnect_after=lambda tries: round(RECONNECT_AFTER(tries) * 1000),
            rejoin_after=lambda tries: round(REJOIN_AFTER(tries) * 1000),
        )
        self.now = 0
        self.channels: list[ClientChannel] = []
        self.pushes: list[ClientPush] = []
        self.frames: list[Any] = []
        self.told: list[Any] = []
        self.news = 0

    def step(self, step: Step) -> Result:
        before, self.told = len(self.frames), []
        name, *args = step
        getattr(self, name)(*args)
        return {"frames": self.frames[before:], "told": self.told}

    def act(self, events: list[ClientEvent]) -> None:
        sent = [json.loads(frame.data) for frame in self.client.frames_to_send()]
        self.frames += sent
        for event in events:
            match event:
                case OpenConnection():
                    self.told.append(["transport"])
                case CloseConnection(code):
                    self.close(code)
                case JoinSucceeded(channel):
                    self.told.append(["joined", self.channels.index(channel)])
                case JoinFailed(channel):
                    self.told.append(["refused", self.channels.index(channel)])
                case JoinTimedOut(channel):
                    self.told.append(["timed out", self.channels.index(channel)])
                case ChannelErrored(channel):
                    self.told.append(["errored", self.channels.index(channel)])
                case ChannelClosed(channel):
                    self.told.append(["closed", self.channels.index(channel)])
                case MessageReceived(channel, "news", payload):
                    self.told.append(["news", self.channels.index(channel), decode_payload(payload)["n"]])
                case ReplyReceived(push, status):
                    self.told.append(["reply", self.pushes.index(push), status])
        for join_ref, ref, topic, event, _ in sent:
            if event == "phx_leave":
                self.receive(join_ref, ref, topic, "phx_reply", {"status": "ok", "response": {}})

    def receive(self, *message: Any) -> None:
        self.act(self.client.receive(json.dumps(message), Opcode.TEXT, self.now))

    # The steps

    def connect(self) -> None:
        self.act(self.client.connect(self.now))

    def disconnect(self) -> None:
        self.act(self.client.disconnect(self.now))

    def open(self) -> None:
        self.act(self.client.opened(self.now))

    def fail(self) -> None:
        self.act(self.client.closed(None, self.now))

    def close(self, code: int) -> None:
        self.act(self.client.closed(code, self.now))

    def join(self, topic: str, timeout: int) -> None:
        channel = self.client.channel(topic)
        self.channels.append(channel)
        self.act(self.client.join(channel, self.now, timeout))

    def push(self, channel: int, timeout: int) -> None:
        payload = encode_term({"n": len(self.pushes)})
        self.pushes.append(self.client.push(self.channels[channel], "shout", payload, self.now, timeout))
        self.act([])

    def leave(self, channel: int) -> None:
        self.act(self.client.leave(self.channels[channel], self.now))

    def hear(self, join_ref: int | None, ref: int | None, topic: str, event: str, payload: Any) -> None:
        sent = [None if at is None else self.frames[at] for at in (join_ref, ref)]
        refs = [None if frame is None else frame[part] for part, frame in enumerate(sent)]
        self.receive(*refs, topic, event, payload)

    def wait(self, milliseconds: int) -> None:
        end = self.now + milliseconds
        while (deadline := self.client.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, int(deadline))
            self.act(self.client.handle_timeout(self.now))
        self.now = end

    # What could be next

    def choices(self, random: Random) -> list[Step]:
        state = self.client.state
        steps: list[Step] = [["wait", random.choice(TIMES) + random.randint(0, 9)]] * 3 + [["connect"]]
        if random.random() < 0.1:
            steps.append(["disconnect"])
        if state is ConnectionState.CONNECTING:
            steps += [["open"]] * 3 + [["fail"]]
        if state is ConnectionState.OPEN:
            steps += self.messages(random)
            if random.random() < 0.2:
                steps.append(["close", random.choice([1000, 1001, 1006, 1012, 4000])])
        if len(self.channels) < 5:
            steps.append(["join", random.choice("aab"), random.choice([10_000, 2300])])
        for number, channel in enumerate(self.channels):
            if channel.state in (JOINED, JOINING, ChannelState.ERRORED):
                steps.append(["push", number, random.choice([10_000, 3100])])
            if channel.state in (JOINED, JOINING) and random.random() < 0.2:
                steps.append(["leave", number])
        return steps

    def messages(self, random: Random) -> list[Step]:
        """What the server could say."""
        steps: list[Step] = []
        reply = {"status": random.choice(["ok", "ok", "error"]), "response": {}}
        for at, (join_ref, ref, topic, event, _) in enumerate(self.frames):
            if event == "heartbeat":
                steps.append(["hear", None, at, topic, "phx_reply", reply])
            for channel in self.channels:
                if channel.join_ref is None or channel.join_ref != join_ref:
                    continue
                if event == "phx_join" and channel.state is JOINING:
                    steps += [["hear", at, at, topic, "phx_reply", reply]] * 3
                ends = ["phx_error", "phx_close"] if channel.state is JOINED else ["phx_error"]
                if event == "phx_join" and random.random() < 0.3:
                    steps.append(["hear", at, at, topic, random.choice(ends), {}])
                if event == "phx_join" and channel.state is JOINED:
                    alone = [other.topic for other in self.client.channels].count(topic) == 1
                    source = None if alone and random.random() < 0.5 else at
                    self.news += 1
                    steps.append(["hear", source, None, topic, "news", {"n": self.news}])
                if ref in channel.sent:
                    steps.append(["hear", at, at, topic, "phx_reply", reply])
        return steps


def script(seed: int) -> tuple[list[Step], list[Result]]:
    """Some steps, and what our client makes of them."""
    random, client = Random(seed), ScriptedClient()
    steps: list[Step] = [["connect"], ["join", "a", 10_000]]
    results = [client.step(step) for step in steps]
    for _ in range(60):
        steps.append(random.choice(client.choices(random)))
        results.append(client.step(steps[-1]))
    return steps, results
