"""The application that the recorded scenarios and the load generator talk to.

    python tests/conformance/app.py --port 4100 --server fast|uvicorn|websockets|hypercorn|granian|daphne

One JSON line on stdout, ``{"host": ..., "port": ..., "server": ...}``, says that clients may connect; with
``--port 0`` it tells the port. Every payload of ``room:*`` and ``notifications:*`` is ``Any`` on purpose: the recorded
application matches payloads itself and crashes on those it does not expect, where a declared type would answer with an
error reply.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec

from phoenix_channels import (
    Channel,
    ConnectInfo,
    ConnectRefused,
    Drainer,
    Endpoint,
    JoinRefused,
    LongPollOptions,
    Reply,
    Socket,
    Stop,
    WebSocketOptions,
    incoming,
    intercept,
)

if __name__ == "__main__":  # started as a program, it finds only its own folder
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.conformance.servers import ALL_SERVERS
from tests.conformance.serving import Receive, Send, serve


class NotificationChannel(Channel["UserSocket"]):
    """One user's notifications, topic ``notifications:<user id>``."""

    async def join(self, payload: Any) -> str:
        if self.socket.user_id not in (None, self.subtopic):
            raise JoinRefused(reason="unauthorized")
        return f"Joined Notification:{self.subtopic}"

    @incoming
    def new_notification(self, payload: Any) -> None:
        self.broadcast("new_notification", {"body": payload["body"]})


class RoomChannel(Channel["UserSocket"]):
    """Everything a channel can do, one event for each; an event that is not here crashes the channel."""

    async def join(self, payload: Any) -> None:
        match self.subtopic:
            case "private":
                raise JoinRefused(reason="unauthorized")
            case "crash":
                raise RuntimeError("this room cannot be joined")
            case "slow":
                await asyncio.sleep(0.3)
            case _:
                pass

    async def after_join(self) -> None:
        if self.subtopic == "lobby":
            self.push("welcome", {"topic": self.topic})

    # Not Reply.ok(payload): that has a response of its own for None, and here null has to come back as null.
    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply("ok", payload)

    @incoming
    def echo_error(self, payload: Any) -> Reply:
        return Reply("error", payload)

    @incoming
    def echo_status(self, payload: Any) -> Reply:
        return Reply.ok()

    @incoming
    def shout(self, payload: Any) -> None:
        self.broadcast("shout", payload)

    @incoming
    def shout_from(self, payload: Any) -> Reply:
        self.broadcast_from("shout", payload)
        return Reply.ok()

    @incoming
    def push_back(self, payload: Any) -> None:
        self.push("pushed", payload)

    @incoming("async")
    def reply_from_elsewhere(self, payload: Any) -> None:
        # The loop replies, not a task of this channel: the reply comes even when the channel has been left meanwhile.
        asyncio.get_running_loop().call_later(0.02, self.reply_later().reply, Reply.ok(payload))

    @incoming("stop")
    def stop_normally(self, payload: Any) -> Stop:
        return Stop("normal")

    @incoming
    def stop_reply(self, payload: Any) -> Stop:
        return Stop("shutdown", reply=Reply.ok(payload))

    @incoming
    def stop_error(self, payload: Any) -> Stop:
        return Stop("stopped by its client")

    @incoming
    def crash(self, payload: Any) -> None:
        raise RuntimeError("asked to crash")

    @incoming("bin")
    def echo_binary(self, payload: Any) -> Reply:
        return Reply.ok(binary(payload))

    @incoming
    def bin_shout(self, payload: Any) -> None:
        self.broadcast("bin_shout", binary(payload))

    @incoming
    def bin_push(self, payload: Any) -> None:
        self.push("bin_pushed", binary(payload))

    @incoming
    def timer(self, payload: Any) -> None:
        self.send_after(0.02, "tick")

    async def handle_info(self, message: object) -> None:
        if message == "tick":
            self.push("tick", {})

    @incoming
    async def disconnect_me(self, payload: Any) -> None:
        await self.endpoint.disconnect(f"users_socket:{self.socket.user_id}")

    @incoming
    def tell_secret(self, payload: Any) -> None:
        self.broadcast("secret", payload)

    @intercept("secret")
    def secret(self, payload: Any) -> None:
        self.push("secret", {**payload, "for": self.socket.user_id})

    @incoming
    def noreply(self, payload: Any) -> None:
        pass

    @incoming
    def bad_return(self, payload: Any) -> Any:
        return "neither a reply nor a stop"


class BenchChannel(Channel["UserSocket"]):
    """What a load generator needs: a fan-out and a round trip."""

    async def join(self, payload: Any) -> None:
        pass

    @incoming
    def fan(self, payload: Any) -> None:
        self.broadcast("fan", payload)

    @incoming
    def ping(self, payload: Any) -> Reply:
        return Reply.ok(payload)


class UserSocket(Socket):
    channels = {"notifications:*": NotificationChannel, "room:*": RoomChannel, "bench:*": BenchChannel}
    user_id: str | None

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        # Some of the mounts take a token; on the others there is no such attribute.
        if getattr(info, "auth_token", None) == "bad":
            raise ConnectRefused
        match params.get("token"):
            case "bad":
                raise ConnectRefused
            case "crash":
                raise RuntimeError("asked to crash")
            case _:
                user_id = params.get("user_id")
                self.user_id = user_id if isinstance(user_id, str) else None

    def id(self) -> str | None:
        return None if self.user_id is None else f"users_socket:{self.user_id}"


class BenchSocket(UserSocket):
    """For load generators whose one connection publishes on more topics than a connection may join elsewhere."""

    max_channels = 100_000


class LimitedSocket(UserSocket):
    channels = {"room:*": RoomChannel}
    max_channels = 3


def binary(payload: Any) -> bytes:
    """The payload of a binary frame; any other crashes the channel, as a function clause without a match does."""
    if not isinstance(payload, bytes):
        raise TypeError("expected a binary payload")
    return payload


def make_endpoint() -> Endpoint:
    # The long-poll origins are compared with this host.
    endpoint = Endpoint(host="localhost", secret_key_base="not a secret: this application is for tests only")
    endpoint.socket(
        "/socket",
        UserSocket,
        websocket=WebSocketOptions(check_origin=False),
        longpoll=True,
        auth_token=True,
    )
    endpoint.socket("/bench", BenchSocket, check_origin=False)
    endpoint.socket(
        "/short",
        UserSocket,
        websocket=WebSocketOptions(timeout=0.7),
        longpoll=LongPollOptions(window=0.4),
        check_origin=False,
    )
    endpoint.socket("/limited", LimitedSocket, websocket=WebSocketOptions(max_frame_size=1024), check_origin=False)
    origins = ["https://example.com", "//*.foo.com"]
    endpoint.socket(
        "/origin",
        UserSocket,
        websocket=WebSocketOptions(check_origin=[*origins, "//127.0.0.1:9999"]),
        longpoll=True,
        check_origin=origins,
    )
    endpoint.socket("/compress", UserSocket, websocket=WebSocketOptions(compress=True), check_origin=False)
    endpoint.socket("/drain", UserSocket, check_origin=False, drainer=Drainer(batch_size=1, batch_interval=0.5))
    return endpoint


def make_application() -> "Application":
    return Application(make_endpoint())


class Application:
    """The endpoint as an ASGI application, with the two requests that broadcast from outside of any channel."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.fanouts: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in ("/broadcast", "/fanout"):
            await self.post(scope, receive, send)
        else:
            await self.endpoint(scope, receive, send)

    async def post(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode()).items()}
            payload = msgspec.json.decode(await body_of(receive))
            if scope["path"] == "/broadcast":
                self.endpoint.broadcast(query["topic"], query["event"], payload)
            else:
                task = asyncio.create_task(self.fanout(query["topic"], query["event"], payload, int(query["n"])))
                self.fanouts.add(task)
                task.add_done_callback(self.fanouts.discard)
        except Exception:
            await answer(send, 500, "application/json; charset=utf-8", b'{"errors":{"detail":"Internal Server Error"}}')
        else:
            await answer(send, 200, "text/plain; charset=utf-8", b"ok")

    async def fanout(self, topic: str, event: str, payload: object, n: int) -> None:
        for _ in range(n):
            self.endpoint.broadcast(topic, event, payload)
            await asyncio.sleep(0)  # connections are written to between two broadcasts, whatever their number


async def body_of(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def answer(send: Send, status: int, kind: str, body: bytes) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4100, help="0 for any free port")
    parser.add_argument("--server", choices=ALL_SERVERS, default="uvicorn")
    options = parser.parse_args()
    serve(options.server, make_application, options.host, options.port)


if __name__ == "__main__":
    main()
