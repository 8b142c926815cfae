"""An ASGI server without a network: it runs an application for clients that live in the same event loop.

What it does is what the ASGI specification says of servers: a connection is one run of the application, ``send``
waits while the client does not read, and raises ``OSError`` once the client has gone.

Its clients speak in frames, unlike that of this library (``tests/support/clients.py``): they are for tests of exact
frames and refs, malformed ones, other versions and serializers, slow readers, and long polling.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup

from phoenix_channels import Endpoint
from tests.support import frames
from tests.support.loops import Queue, live_tasks, on_trio, settle, soon

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

SOCKET_PATH = "/socket/websocket"


class Refused(Exception):
    """The server answered the handshake with an HTTP response."""

    def __init__(self, status: int, body: bytes = b"") -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


class Closed(Exception):
    """The server closed the connection."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Run:
    """One run of the application, for one scope, in a task of its own."""

    def __init__(self, app: App, scope: Message) -> None:
        self._app = app
        self._scope = scope
        self._native: asyncio.Task[Any] | None = None
        self._cancel_scope = anyio.CancelScope()
        self._killed = False
        self.incoming: Queue[Message] = Queue()
        self.outgoing: Queue[Message] = Queue()
        self.ended = anyio.Event()

    async def run(self) -> None:
        if not on_trio():
            self._native = asyncio.current_task()
        try:
            with self._cancel_scope:
                await self._app(self._scope, self.incoming.get, self.send)
        except asyncio.CancelledError:
            if not self._killed or self._native is None:
                raise
            self._native.uncancel()
        finally:
            self.ended.set()

    async def send(self, message: Message) -> None:
        self.outgoing.put(message)

    def kill(self) -> None:
        """Cancel the application, as servers do that are told to end at once."""
        self._killed = True
        if self._native is not None:
            self._native.cancel()
        else:
            self._cancel_scope.cancel()

    async def wait_ended(self) -> None:
        await soon(self.ended.wait())


class Client(Run):
    """One WebSocket connection, seen from the client's side."""

    def __init__(self, app: App, scope: Message, *, answers_close: bool = True, prompt: bool = False) -> None:
        super().__init__(app, scope)
        self._answers_close = answers_close
        # The server's ``send`` returns at once while the client reads; else it takes its time, as some servers do.
        self._prompt = prompt
        self._reading = anyio.Event()
        self._reading.set()
        self._gone = False
        self._said_goodbye = False
        self.sending = 0
        """Frames that the application waits to get rid of."""

    # The server's side

    async def send(self, message: Message) -> None:
        self.sending += 1
        try:
            if not (self._prompt and self._reading.is_set()):
                await self._reading.wait()
        finally:
            self.sending -= 1
        if self._gone:
            raise OSError("the client has gone")
        self.outgoing.put(message)
        if message["type"] == "websocket.close":
            self._gone = True
            if self._answers_close:
                self.close_nowait(message.get("code", 1000))

    # The client's side

    def send_nowait(self, frame: object) -> None:
        """Send a frame: ``str`` and ``bytes`` as they are, anything else as JSON."""
        if isinstance(frame, bytes):
            message: Message = {"type": "websocket.receive", "bytes": frame}
        else:
            message = {"type": "websocket.receive", "text": frame if isinstance(frame, str) else json.dumps(frame)}
        self.incoming.put(message)

    @property
    def unread(self) -> int:
        """How many messages of the client the application has not taken yet."""
        return len(self.incoming)

    def stop_reading(self) -> None:
        """Take no more frames: from now on the application's ``send`` does not return."""
        self._reading = anyio.Event()

    def go_on_reading(self) -> None:
        self._reading.set()

    async def receive(self) -> Any:
        """The next frame: JSON decoded, or ``bytes``.

        Raises:
            Closed: the server has closed the connection.
        """
        message = await soon(self.outgoing.get())
        if message["type"] == "websocket.close":
            raise Closed(message.get("code", 1000))
        assert message["type"] == "websocket.send"
        text = message.get("text")
        return message["bytes"] if text is None else json.loads(text)

    async def receive_many(self, count: int) -> list[Any]:
        return [await self.receive() for _ in range(count)]

    async def receive_close(self) -> int:
        """The code with which the server closes; no frame may come before."""
        try:
            frame = await self.receive()
        except Closed as closed:
            return closed.code
        raise AssertionError(f"instead of a close came {frame!r}")

    async def receive_nothing(self) -> None:
        """Nothing is on its way to this client, and nothing will be unless something happens."""
        await settle()
        assert not self.outgoing, f"unexpected: {await self.receive()!r}"

    async def call(self, join_ref: object, ref: object, topic: str, event: str, payload: object = None) -> Any:
        """Send an event and return the next frame."""
        self.send_nowait([join_ref, ref, topic, event, {} if payload is None else payload])
        return await self.receive()

    async def join(self, topic: str, payload: object = None, *, ref: str = "1") -> Any:
        """Join a topic that lets us in: its response."""
        frame = await self.call(ref, ref, topic, "phx_join", payload)
        response = frame[4]["response"]
        assert frame == frames.reply(ref, ref, topic, response)
        return response

    async def heartbeat(self) -> None:
        """A round trip: whatever the server had for us before, has been taken."""
        assert await self.call(None, "h", "phoenix", "heartbeat") == frames.reply(None, "h", "phoenix")

    def close_nowait(self, code: int = 1000) -> None:
        """Go away; what was sent before still reaches the application."""
        self._gone = True
        if not self._said_goodbye:
            self._said_goodbye = True
            self.incoming.put({"type": "websocket.disconnect", "code": code})

    def vanish(self) -> None:
        """Be gone without a word to the application: its ``send`` fails, and ``receive`` tells nothing."""
        self._gone = True
        self._reading.set()

    async def close(self) -> None:
        """Go away, and wait until the application has noticed and done everything about it."""
        self.close_nowait()
        await self.wait_ended()


class Server:
    """Runs an application for as many clients as a test wants."""

    def __init__(self, app: App, group: TaskGroup) -> None:
        self._app = app
        self._group = group
        self.clients: list[Client] = []

    def open(
        self,
        path: str = SOCKET_PATH,
        *,
        query: str = "vsn=2.0.0",
        headers: Iterable[tuple[str, str]] = (),
        denial: bool = True,
        answers_close: bool = True,
        prompt: bool = False,
        **scope: object,
    ) -> Client:
        """Send the handshake; :meth:`accepted` waits for its answer."""
        extensions: dict[str, Any] = {"websocket.http.response": {}} if denial else {}
        client = Client(
            self._app, _scope("websocket", path, query, headers, extensions=extensions, **scope),
            answers_close=answers_close, prompt=prompt,
        )  # fmt: skip
        client.incoming.put({"type": "websocket.connect"})
        self.clients.append(client)
        self._group.start_soon(client.run)
        return client

    async def accepted(self, client: Client) -> Client:
        """Wait for the answer of the handshake.

        Raises:
            Refused: it is not 101.
        """
        message = await soon(client.outgoing.get())
        if message["type"] == "websocket.accept":
            return client
        await client.wait_ended()
        if message["type"] == "websocket.close":
            raise Refused(403)
        body = await soon(client.outgoing.get())
        raise Refused(message["status"], body["body"])

    async def connect(self, path: str = SOCKET_PATH, **options: Any) -> Client:
        """Connect; the keywords are those of :meth:`open`."""
        return await self.accepted(self.open(path, **options))

    async def joined(self, topic: str, payload: object = None, **options: Any) -> Client:
        """A client of its own that has joined a topic with the ref ``"1"``."""
        client = await self.connect(**options)
        await client.join(topic, payload)
        return client

    def start_request(
        self, method: str, path: str, *, query: str = "", headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Run:
        """Send a plain HTTP request; its response comes to ``outgoing``."""
        run = Run(self._app, _scope("http", path, query, headers, method=method))
        run.incoming.put({"type": "http.request", "body": body, "more_body": False})
        self._group.start_soon(run.run)
        return run

    async def request(self, method: str, path: str, **options: Any) -> Any:
        """A plain HTTP request: status and body; the keywords are those of :meth:`start_request`."""
        run = self.start_request(method, path, **options)
        await run.wait_ended()
        start, body = await run.outgoing.get(), await run.outgoing.get()
        return start["status"], body["body"]

    def lifespan(self) -> Run:
        """A run for the lifespan scope: put ``lifespan.startup`` and ``lifespan.shutdown`` into its ``incoming``."""
        run = Run(self._app, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}})
        self._group.start_soon(run.run)
        return run


def _scope(kind: str, path: str, query: str, headers: Iterable[tuple[str, str]], **more: object) -> Message:
    every = [("host", "www.example.com"), *headers]
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws" if kind == "websocket" else "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in every],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 4000),
        "extensions": {},
        **more,
    }


@asynccontextmanager
async def serving(app: App, *, alone: bool = True) -> AsyncGenerator[Server]:
    """Serve; at the end every client goes away, and nothing of the application may be left.

    Unless ``alone``: something else runs on that goes on.
    """
    before = live_tasks()
    async with anyio.create_task_group() as group:
        server = Server(app, group)
        yield server
        for client in server.clients:
            client.close_nowait()
            client.go_on_reading()
        for client in server.clients:
            await client.wait_ended()
    await settle()
    if isinstance(app, Endpoint):
        assert not alone or app.statistics().connections == 0
        # A task that the server has cancelled has not waited for its channels.
        await soon(app.drain())
        if alone:
            assert_empty(app)
        await settle()
    assert not alone or live_tasks() == before, "tasks are left behind"


def assert_empty(endpoint: Endpoint) -> None:
    """Nothing is connected, joined or subscribed any more, and nothing waits."""
    now = endpoint.statistics()
    assert (now.connections, now.channels, now.topics, now.queued_broadcast_bytes) == (0, 0, 0, 0)
