"""``phoenix-channels connect``."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from threading import Thread
from typing import Any, Final, final

import anyio
import click
from anyio import from_thread
from anyio.abc import ObjectReceiveStream, TaskGroup
from anyio.lowlevel import checkpoint, current_token

from phoenix_channels.cli.lines import as_json, begins_as_json, parse_payload, printable, split_word
from phoenix_channels.cli.parameters import SECONDS, header, param
from phoenix_channels.client import (
    Channel,
    ClientError,
    Closed,
    EncodeError,
    Errored,
    Joined,
    JoinFailed,
    Left,
    PushRefused,
    Socket,
    SocketEvent,
    UnexpectedPayload,
)
from phoenix_channels.client import connect as connect_client

HELP: Final = """\
join TOPIC [JSON]           join a topic, with params
push [TOPIC] EVENT [JSON]   push an event, to the topic joined last unless one is named
leave [TOPIC]               leave a topic
quit                        end at once; at the end of the input replies are waited for
help                        this

A TOPIC or EVENT with blanks stands in quotes: push "leave me alone" {"for": "now"}

<- TOPIC EVENT PAYLOAD           what the server sends
=> TOPIC EVENT STATUS RESPONSE   its reply to a push
-- ...                           what happens to the connection and to channels
!! ...                           what has gone wrong; then the exit status is 1"""


@click.command()
@click.argument("url")
@click.argument("topics", nargs=-1, metavar="[TOPIC]...")
@click.option("--param", "params", multiple=True, type=param, metavar="NAME=VALUE", help="A param of the connection.")
@click.option("--auth-token", help="A token that does not appear in the URL.")
@click.option(
    "--header", "headers", multiple=True, type=header, metavar="NAME:VALUE", help="A header of the handshake."
)
@click.option("--path", default="/websocket", show_default=True, help="Of the transport, behind that of the mount.")
@click.option("--timeout", default=10.0, show_default=True, type=SECONDS, help="For replies, in seconds.")
@click.option("--retry", is_flag=True, help="Go on trying when the server is not there yet.")
@click.option("--proxy", is_flag=True, help="Use the proxy of the environment.")
def connect(
    url: str,
    topics: tuple[str, ...],
    params: tuple[tuple[str, str], ...],
    headers: tuple[tuple[str, str], ...],
    **options: Any,
) -> None:
    """Talk to a server of Phoenix Channels, and print what it says.

    URL is that of a mount, such as ws://localhost:4000/socket.  Commands are read from the standard input, one on each
    line; "help" lists them.  At the end of the input it waits for replies, and ends; with exit status 1 if a command
    has failed.
    """
    options |= {"params": dict(params), "headers": dict(headers), "proxy": options["proxy"] or None}

    async def main() -> bool:
        async with AsyncExitStack() as stack:
            try:
                socket = await stack.enter_async_context(connect_client(url, **options))
            except (ClientError, ValueError) as error:
                raise click.ClickException(str(error)) from error
            terminal = _Terminal(socket)
            await terminal.talk(topics)
            return terminal.failed

    try:
        sys.exit(1 if anyio.run(main) else 0)
    except KeyboardInterrupt:
        sys.exit(130)


@final
class _Terminal:
    """Between a socket, and somebody who types and reads."""

    def __init__(self, socket: Socket) -> None:
        self.failed = False
        self._socket = socket
        self._channels: dict[str, Channel] = {}
        self._last = ""
        self._group: TaskGroup
        self._calls: TaskGroup

    async def talk(self, topics: tuple[str, ...]) -> None:
        async with anyio.create_task_group() as self._group:
            self._group.start_soon(self._print_events)
            # Whose end waits for the replies.
            async with anyio.create_task_group() as self._calls:
                for topic in topics:
                    await self._join(topic, "")
                async with _lines(sys.stdin.fileno()) as lines:
                    async for line in lines:
                        if not await self._obey(line.decode("utf-8", "replace").strip()):
                            self._calls.cancel_scope.cancel()
                            break
            self._group.cancel_scope.cancel()

    # What is typed

    async def _obey(self, line: str) -> bool:
        """Do it; False when that was the last."""
        command, _, rest = line.partition(" ")
        try:
            if command == "quit":
                return False
            if command == "help":
                self._say(HELP)
            elif command == "join":
                topic, params = split_word(rest, "join wants a TOPIC")
                await self._join(topic, params)
            elif command == "push":
                await self._push(rest)
            elif command == "leave":
                channel = self._find(split_word(rest, "")[0] if rest else "")
                await channel.leave()
                self._forget(channel)
            elif command:
                raise ValueError(f"{line!r} is no command; help lists them")
        except ValueError as error:
            self._complain(error)
        return True

    async def _join(self, topic: str, params: str) -> None:
        try:
            channel = await self._socket.join(topic, parse_payload(params))
        except (ClientError, EncodeError, ValueError) as error:
            self._complain(error)
            return
        # At the end, where the last one is found.
        self._channels.pop(topic, None)
        self._channels[topic] = channel
        self._group.start_soon(self._print_messages, channel)

    async def _push(self, rest: str) -> None:
        first, others = split_word(rest, "push wants an EVENT")
        named = first in self._channels or (others != "" and not begins_as_json(others))
        event, payload = split_word(others, f"push what to {first!r}?") if named else (first, others)
        channel = self._find(first if named else "")
        if not channel.joined:
            self._say(f"-- {printable(event)} waits for {printable(channel.topic)}")
        self._calls.start_soon(self._call, channel, event, payload)
        # It is sent before the next line is obeyed.
        await checkpoint()

    async def _call(self, channel: Channel, event: str, payload: str) -> None:
        try:
            response, status = await channel.push(event, parse_payload(payload)), "ok"
        except PushRefused as refused:
            response, status = refused.response, refused.status
        except (ClientError, EncodeError, ValueError) as error:
            self._complain(error)
            return
        self._say(f"=> {printable(channel.topic)} {printable(event)} {printable(status)} {as_json(response)}")

    def _find(self, topic: str) -> Channel:
        """The channel of the topic, or the last one that was joined.

        Raises:
            ValueError: there is none.
        """
        channel = self._channels.get(topic) if topic else next(reversed(self._channels.values()), None)
        if channel is None:
            raise ValueError(f"{topic!r} is not joined" if topic else "nothing is joined")
        return channel

    def _forget(self, channel: Channel) -> None:
        if self._channels.get(channel.topic) is channel:
            del self._channels[channel.topic]

    # What happens

    async def _print_messages(self, channel: Channel) -> None:
        async for message in channel:
            try:
                payload = as_json(message.payload)
            except UnexpectedPayload as error:
                self._complain(error)
            else:
                self._say(f"<- {printable(channel.topic)} {printable(message.event)} {payload}")

    async def _print_events(self) -> None:
        joined = set[Channel]()
        async for event in self._socket:
            if isinstance(event, Joined):
                joined.add(event.channel)
            elif isinstance(event, Left):
                self._forget(event.channel)
            if isinstance(event, JoinFailed | Left) and event.channel not in joined:
                # Who has asked for the join is told.
                continue
            line = f"-- {_told(event)}"
            if not (isinstance(event, Closed) and line == self._last):
                self._say(line)

    def _complain(self, error: Exception) -> None:
        self.failed = True
        self._say(f"!! {error}")

    def _say(self, text: str) -> None:
        self._last = text
        try:
            click.echo(text)
        except BrokenPipeError:
            # Nobody reads any more, as behind `| head`; what the interpreter flushes at its end goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._group.cancel_scope.cancel()


def _told(event: SocketEvent) -> str:
    if isinstance(event, Joined):
        return f"joined {printable(event.channel.topic)} {as_json(event.reply)}"
    if isinstance(event, JoinFailed):
        return f"not joined {printable(event.channel.topic)} {as_json(event.response)}"
    if isinstance(event, Errored):
        return f"errored {printable(event.channel.topic)} {as_json(event.reason)}"
    if isinstance(event, Left):
        return f"left {printable(event.channel.topic)}"
    if isinstance(event, Closed):
        return f"disconnected {event.code}" if event.error is None else f"not connected: {event.error}"
    return "connected"


@asynccontextmanager
async def _lines(descriptor: int) -> AsyncGenerator[ObjectReceiveStream[bytes]]:
    """The lines of a file, whatever kind of file it is.

    From a thread that ends with the process: nothing can wake one that waits for somebody to type.  It reads without
    Python's buffers, whose lock it would hold then.
    """
    send, receive = anyio.create_memory_object_stream[bytes](0)
    token = current_token()

    def read() -> None:
        rest = b""
        with suppress(RuntimeError, anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            while data := os.read(descriptor, 65536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    from_thread.run(send.send, line, token=token)
            if rest:
                from_thread.run(send.send, rest, token=token)
            from_thread.run_sync(send.close, token=token)

    Thread(target=read, daemon=True).start()
    with send, receive:
        yield receive
