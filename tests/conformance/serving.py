"""The servers, each told to be as near to Phoenix as it can: no compression, no pings of its own, messages of 10 MB.

An import of one server is made only where it is wanted: daphne installs Twisted's reactor when it is imported.
"""

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Protocol

from phoenix_channels import Endpoint

MAX_SIZE = 10_000_000
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Application(Protocol):
    """An ASGI application around an endpoint."""

    endpoint: Endpoint

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None: ...


def serve(server: str, make_application: Callable[[], Application], host: str, port: int) -> None:
    """Serve until SIGTERM.  One JSON line on stdout says that clients may connect, and where."""
    RUN[server](make_application, host, port, partial(announce, server))


def announce(server: str, address: tuple[str, int]) -> None:
    print(json.dumps({"host": address[0], "port": address[1], "server": server}), flush=True)


Announce = Callable[[tuple[str, int]], None]


def listen(host: str, port: int, announce: Announce) -> socket.socket:
    """A socket that listens already: its port is known, and connections wait in its backlog until the server runs."""
    listener = socket.create_server((host, port), backlog=2048)
    # Connections inherit it. asyncio does not set it for those of a socket that it has not made itself, and an answer
    # in two parts then takes 40 milliseconds.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    announce(listener.getsockname())
    return listener


def run_uvicorn(make_application: Callable[[], Application], host: str, port: int, announce: Announce) -> None:
    import uvicorn

    config = uvicorn.Config(
        make_application(),
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        ws_max_size=MAX_SIZE,
        log_level="warning",
    )
    uvicorn.Server(config).run(sockets=[listen(host, port, announce)])


def run_fast(make_application: Callable[[], Application], host: str, port: int, announce: Announce) -> None:
    from phoenix_channels import serve

    serve(make_application(), sockets=[listen(host, port, announce)], log_level="warning")


def run_websockets(make_application: Callable[[], Application], host: str, port: int, announce: Announce) -> None:
    import uvloop
    from websockets.asyncio.server import serve

    from phoenix_channels.transports.websockets import WebSocketsTransport

    async def run() -> None:
        endpoint = make_application().endpoint
        transport = WebSocketsTransport(endpoint)
        stopped = stop_signal()
        async with serve(
            transport.handler,
            sock=listen(host, port, announce),
            process_request=transport.process_request,
            compression=None,
            ping_interval=None,
            max_size=MAX_SIZE,
        ):
            await stopped.wait()
            await endpoint.drain()

    # As the other servers do where it is installed.
    uvloop.run(run())


def run_hypercorn(make_application: Callable[[], Application], host: str, port: int, announce: Announce) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    application = make_application()
    config = Config()
    config.bind = [f"fd://{listen(host, port, announce).detach()}"]
    config.backlog = 2048
    config.websocket_max_message_size = MAX_SIZE
    config.loglevel = "WARNING"

    async def run() -> None:
        stopped = stop_signal()

        async def stop() -> None:
            # Hypercorn shuts the lifespan down last, when it has cut what is left of the connections.
            await stopped.wait()
            await application.endpoint.drain()

        await serve(application, config, shutdown_trigger=stop)  # type: ignore[arg-type]

    asyncio.run(run())


def run_daphne(make_application: Callable[[], Application], host: str, port: int, announce: Announce) -> None:
    from daphne.server import Server

    application = make_application()
    listener = listen(host, port, announce)
    never = 1_000_000
    Server(
        application,
        endpoints=[f"fd:fileno={listener.fileno()}"],
        ping_interval=never,
        websocket_max_message_size=MAX_SIZE,
        websocket_max_frame_size=MAX_SIZE,
    ).run()


def run_granian(make_application: Callable[[], Application], host: str, port: int, announce: Announce) -> None:
    """Granian takes no socket: each of its workers binds the address anew, with SO_REUSEPORT.

    So a socket that is bound, but does not listen, keeps the port for it.
    """
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels
    from granian.server import Server

    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
        address: tuple[str, int] = holder.getsockname()
        server = Server(
            "the loader needs no name",
            *address,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            log_level=LogLevels.warning,
            # To stderr, as the others do; granian's own choice is stdout.
            log_dictconfig={
                "handlers": {"console": {"class": "logging.StreamHandler"}, "access": {"class": "logging.NullHandler"}}
            },
        )
        threading.Thread(target=announce_when_listening, args=(address, announce), daemon=True).start()
        server.serve(target_loader=make_application, wrap_loader=False)


def announce_when_listening(address: tuple[str, int], announce: Announce) -> None:
    while True:
        try:
            socket.create_connection(address, timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            announce(address)
            return


def stop_signal() -> asyncio.Event:
    """Set by the running loop when the process is asked to end."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


RUN: dict[str, Callable[[Callable[[], Application], str, int, Announce], None]] = {
    "fast": run_fast,
    "uvicorn": run_uvicorn,
    "websockets": run_websockets,
    "hypercorn": run_hypercorn,
    "granian": run_granian,
    "daphne": run_daphne,
}
