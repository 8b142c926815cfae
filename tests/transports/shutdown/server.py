"""A small server, as somebody writes who has read the documentation; ended by signals.

Run as ``python server.py uvicorn|fast|serve|websockets|trio``; says on which port it listens, and what terminates.
"""

import asyncio
import contextlib
import signal
import socket
import sys
from typing import Any

import trio
import uvicorn
import websockets.asyncio.server
import websockets.trio.server

from phoenix_channels import Channel, Drainer, Endpoint, Socket, serve
from phoenix_channels.transports.websockets import WebSocketsTransport


def say(what: object) -> None:
    print(what, flush=True)  # noqa: T201 -- to the test


class RoomChannel(Channel):
    async def terminate(self, reason: Any) -> None:
        say(f"{self.topic} terminates: {reason}")


class UserSocket(Socket):
    channels = {"room:*": RoomChannel}


endpoint = Endpoint()
endpoint.socket("/socket", UserSocket, drainer=Drainer(batch_size=1, batch_interval=1.0))
transport = WebSocketsTransport(endpoint)


def main_uvicorn(ws: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    say(listener.getsockname()[1])
    server = uvicorn.Server(uvicorn.Config(endpoint, ws=ws))
    with contextlib.suppress(KeyboardInterrupt):  # as uvicorn.run does
        server.run(sockets=[listener])


def main_serve() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    say(listener.getsockname()[1])
    serve(endpoint, sockets=[listener])


async def main_websockets() -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with websockets.asyncio.server.serve(
        transport.handler, "127.0.0.1", 0, process_request=transport.process_request
    ) as server:
        say(server.sockets[0].getsockname()[1])
        await stop.wait()
        await endpoint.drain()


async def main_trio() -> None:
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

            async def serve(task_status: trio.TaskStatus[websockets.trio.server.Server]) -> None:
                await websockets.trio.server.serve(
                    transport.handler,
                    0,
                    host="127.0.0.1",
                    process_request=transport.process_request,
                    task_status=task_status,
                )

            async with await nursery.start(serve) as server:
                say(server.listeners[0].socket.getsockname()[1])
                await anext(aiter(signals))
                await endpoint.drain()


if __name__ == "__main__":
    match sys.argv[1]:
        case "uvicorn":
            main_uvicorn("websockets-sansio")
        case "fast":
            main_uvicorn("phoenix_channels.transports.uvicorn:WebSocketProtocol")
        case "serve":
            main_serve()
        case "websockets":
            asyncio.run(main_websockets())
        case "trio":
            trio.run(main_trio)
