"""The mock itself."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import count
from types import TracebackType
from typing import Self, final

import anyio

from phoenix_channels.definitions import check_count
from phoenix_channels.protocol.close_codes import CloseCode
from phoenix_channels.protocol.payloads import encode_payload
from phoenix_channels.results import Stop
from phoenix_channels.testing.matching import ANYTHING, check_pattern, mismatch, shown
from phoenix_channels.testing.mock.book import Book
from phoenix_channels.testing.mock.log import Kind, Log, Received, check_kind
from phoenix_channels.testing.mock.rules import Rules, check_close_code
from phoenix_channels.testing.mock.script import load_script
from phoenix_channels.testing.mock.server import Server


@final
class MockPhoenix(Rules):
    """The mock; an async context manager, which listens on entry and ends on exit with all connections.

    Args:
        host, port: where to listen; by default on a free port of this machine.
        path: where clients connect to; they add ``/websocket`` by themselves.
        script: a TOML file with rules, which come before those of the program.
        keep: how many entries :attr:`received` has at most, the newest.
        on_received: called with each entry at once.

    Raises:
        DefinitionError: a wrong option, or a path that cannot be mounted.
        ScriptError: the script cannot be read, or a rule in it is wrong.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "/socket",
        script: str | os.PathLike[str] | None = None,
        keep: int = 1000,
        on_received: Callable[[Received], object] | None = None,
    ) -> None:
        super().__init__(Book())
        check_count("MockPhoenix(keep=...)", keep)
        self._host = host
        self._port = port
        self._path = path
        self._log = Log(keep, on_received)
        self._numbers = count(1)
        self._server = self._make()
        self._serving = False
        if script is not None:
            load_script(self, script)

    def _make(self) -> Server:
        return Server(self._book, self._log, path=self._path, number=self._numbers.__next__)

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: the address cannot be listened on.
        """
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def _start(self) -> None:
        if self._serving:
            raise RuntimeError("this mock listens already")
        # Not to be cancelled half way, nor at the end: a port is not left behind.
        with anyio.CancelScope(shield=True):
            # From now on the port is known, and stays.
            self._port = await self._server.start(self._host, self._port)
            self._serving = True

    async def _stop(self) -> None:
        if self._serving:
            self._serving = False
            with anyio.CancelScope(shield=True):
                await self._server.stop()
            self._server = self._make()

    @property
    def url(self) -> str:
        """What clients are given: ``ws://127.0.0.1:54321/socket``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"ws://{host}:{self.port}{self._path}"

    @property
    def port(self) -> int:
        """The port.

        Raises:
            RuntimeError: a free one is not chosen before the mock listens.
        """
        if not self._port:
            raise RuntimeError("a mock has a port once it listens: async with MockPhoenix() as mock")
        return self._port

    # What clients have done

    @property
    def received(self) -> tuple[Received, ...]:
        """What clients have done, oldest first; a restart does not change it."""
        return self._log.entries

    @property
    def clients(self) -> int:
        """How many are connected."""
        return sum(not client.gone.is_set() for client in self._server.clients.values())

    async def wait_for(
        self,
        kind: Kind,
        *,
        topic: str | None = None,
        event: str | None = None,
        payload: object = ANYTHING,
        timeout: float = 5.0,
    ) -> Received:
        """The first thing of this kind that a client does, or has done; each is returned only once.

        Args:
            kind: ``"connect"``, ``"join"``, ``"push"``, ``"leave"``, ``"heartbeat"``, ``"malformed"`` or ``"close"``.
            topic, event: only those with this one.
            payload: only those whose payload, or params, match a partial pattern.
            timeout: seconds to wait.

        Raises:
            AssertionError: there was none; the text says what arrived instead.
            DefinitionError: no such kind.
            TypeError: a pattern that no payload could match.
        """
        check_kind(kind)
        check_pattern(payload)

        def fits(entry: Received) -> bool:
            return (
                entry.kind == kind
                and (topic is None or entry.topic == topic)
                and (event is None or entry.event == event)
                and mismatch(payload, entry.payload) is None
            )

        wanted = [
            kind,
            *(f"{name} {value!r:.200}" for name, value in (("topic", topic), ("event", event)) if value is not None),
            *([] if payload is ANYTHING else [f"payload {shown(payload):.200}"]),
        ]
        return await self._log.take(fits, ", ".join(wanted), timeout)

    # What the server does of its own accord

    async def push(self, topic: str, event: str, payload: object, *, timeout: float = 5.0) -> int:
        """Push to every client that has joined the topic, each over its join: how many.

        Waits until there is one, for so many seconds: behind :meth:`drop_all` for the first that is back.

        Raises:
            AssertionError: nobody has joined it; the text says what is joined.
            EncodeError: the payload is neither an object nor bytes.
        """
        encoded = encode_payload(payload)
        channels = await self._server.channels(topic, timeout)
        for channel in channels:
            channel.push(event, encoded)
        return len(channels)

    async def broadcast(self, topic: str, event: str, payload: object, *, timeout: float = 5.0) -> int:
        """As :meth:`push`, but as one broadcast, whose messages have no ``join_ref``."""
        encoded = encode_payload(payload)
        channels = await self._server.channels(topic, timeout)
        channels[0].broadcast(event, encoded)
        return len(channels)

    async def crash_channels(self, topic: str, *, timeout: float = 5.0) -> int:
        """End every channel of the topic with ``phx_error``, on which clients join again: how many.

        Waits and raises: as :meth:`push`.
        """
        return await self._end_channels(topic, Stop("the mock crashes the channel"), timeout)

    async def close_channels(self, topic: str, *, timeout: float = 5.0) -> int:
        """End every channel of the topic with ``phx_close``, on which clients stay away: how many.

        Waits and raises: as :meth:`push`.
        """
        return await self._end_channels(topic, Stop(), timeout)

    async def _end_channels(self, topic: str, stop: Stop, timeout: float) -> int:
        channels = await self._server.channels(topic, timeout)
        for channel in channels:
            channel.end(stop)
        return len(channels)

    def drop_all(self) -> None:
        """End the TCP connection of every client without a close frame: they see code 1006."""
        for client in tuple(self._server.clients.values()):
            client.drop()

    def close_all(self, code: int = CloseCode.SERVICE_RESTART) -> None:
        """Close every connection with this code.

        Raises:
            DefinitionError: no code that may be sent.
        """
        check_close_code("close_all(...)", int(code))
        for client in tuple(self._server.clients.values()):
            client.close(code)

    @asynccontextmanager
    async def offline(self) -> AsyncGenerator[None]:
        """Meanwhile the mock is gone, as a process that was killed: its port refuses connections.

        Afterwards it listens there again.  It knows nobody then; rules and :attr:`received` are as before.
        """
        if not self._serving:
            raise RuntimeError("this mock does not listen")
        await self._stop()
        try:
            yield
        finally:
            await self._start()

    async def restart(self) -> None:
        """End it as a process that was killed, and begin anew on the same port, as with :meth:`offline`."""
        async with self.offline():
            pass
