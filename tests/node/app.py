"""The application that the npm client is tested against: the conformance application with rooms that do more.

python -m tests.node.app --port 0 --server uvicorn
"""

import argparse
import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from phoenix_channels import (
    ConnectInfo,
    ConnectRefused,
    Endpoint,
    JoinRefused,
    LongPollOptions,
    Reply,
    Stop,
    WebSocketOptions,
    incoming,
)
from tests.conformance.app import Application, NotificationChannel, RoomChannel, UserSocket
from tests.conformance.servers import SERVERS
from tests.conformance.serving import serve

GATES: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
"""What a join may wait for, by name; a client opens it through another channel."""
MEMBERS: Counter[str] = Counter()
"""How many instances of a topic have joined and not terminated."""
CURIOUS: set[asyncio.Event] = set()
"""Set whenever that changes."""


def count(topic: str, change: int) -> None:
    MEMBERS[topic] += change
    for event in CURIOUS:
        event.set()


class EdgeChannel(RoomChannel):
    """A room whose join does what its payload says, and which remembers."""

    value: Any = None
    joined_with: Any = None

    async def join(self, payload: Any) -> Any:
        await super().join(payload)
        self.joined_with = payload
        result = None
        match payload:
            case {"gate": str(name)}:
                await GATES[name].wait()
            case {"refuse": reason}:
                raise JoinRefused(reason)
            case {"answer": answer}:
                result = answer
            case {"bytes": list(numbers)}:
                result = bytes(numbers)
            case _:
                pass
        count(self.topic, 1)
        return result

    def terminate(self, reason: Any) -> None:
        count(self.topic, -1)

    @incoming
    def open_gate(self, payload: Any) -> Reply:
        GATES[payload["name"]].set()
        return Reply.ok()

    @incoming
    async def has_members(self, payload: Any) -> Reply:
        changed = asyncio.Event()
        CURIOUS.add(changed)
        try:
            while MEMBERS[payload["topic"]] != payload["count"]:
                changed.clear()
                await changed.wait()
        finally:
            CURIOUS.discard(changed)
        return Reply.ok()

    @incoming
    def remember(self, payload: Any) -> Reply:
        self.value = payload
        return Reply.ok()

    @incoming
    def recall(self, payload: Any) -> Reply:
        with_bytes = list(self.joined_with) if isinstance(self.joined_with, bytes) else self.joined_with
        return Reply.ok({"value": self.value, "joined_with": with_bytes})

    @incoming
    def connected_with(self, payload: Any) -> Reply:
        socket = self.socket
        assert isinstance(socket, EdgeSocket)
        return Reply.ok({"params": socket.params, "transport": socket.transport, "token": socket.token})

    @incoming
    def shout_and_reply(self, payload: Any) -> Reply:
        self.broadcast("shout", payload)
        self.push("pushed", payload)
        return Reply.ok(payload)

    @incoming("écho 😀")
    def echo_in_any_script(self, payload: Any) -> Reply:
        return Reply("ok", payload)

    @incoming
    def any_status(self, payload: Any) -> Reply:
        return Reply(payload["status"], payload["response"])

    @incoming
    def burst(self, payload: Any) -> Reply:
        for n in range(payload["count"]):
            self.push("burst", {"n": n})
        return Reply.ok()

    @incoming
    def push_each(self, payload: Any) -> Reply:
        for message in payload["messages"]:
            self.push(message["event"], message["payload"])
        return Reply.ok()

    @incoming
    def numbers(self, payload: Any) -> Reply:
        return Reply.ok(list(bytes(payload)))

    @incoming
    def bin_error(self, payload: Any) -> Reply:
        return Reply.error(bytes(payload))

    @incoming
    def bin_shout_from(self, payload: Any) -> Reply:
        self.broadcast_from("bin_shout", bytes(payload))
        return Reply.ok()

    @incoming
    def stop_with_an_error(self, payload: Any) -> Stop:
        return Stop("asked to fail", reply=Reply.ok())


class EdgeSocket(UserSocket):
    channels = {"notifications:*": NotificationChannel, "room:*": EdgeChannel}
    params: Mapping[str, Any]
    token: str | None = None

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        super().connect(params, info)
        self.params = params


class TokenSocket(EdgeSocket):
    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        super().connect(params, info)
        self.token = info.auth_token
        if self.token == "bad":
            raise ConnectRefused


def make_application() -> Application:
    endpoint = Endpoint(secret_key_base="the secret of an application for tests")
    endpoint.socket("/socket", EdgeSocket, check_origin=False, longpoll=True)
    endpoint.socket("/token", TokenSocket, check_origin=False, longpoll=True, auth_token=True)
    endpoint.socket("/polled", EdgeSocket, check_origin=False, websocket=False, longpoll=True)
    endpoint.socket(
        "/short",
        EdgeSocket,
        check_origin=False,
        websocket=WebSocketOptions(timeout=2.0),
        longpoll=LongPollOptions(window=2.5),
    )
    return Application(endpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0 for any free port")
    parser.add_argument("--server", choices=SERVERS, default="uvicorn")
    options = parser.parse_args()
    serve(options.server, make_application, "127.0.0.1", options.port)


if __name__ == "__main__":
    main()
