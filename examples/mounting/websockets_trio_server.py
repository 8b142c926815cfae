"""Channels on the trio server of ``websockets``.  Run it: ``python -m examples.mounting.websockets_trio_server``."""

import os
import signal
from functools import partial

import anyio
import trio
from websockets.trio.server import serve

from examples.quickstart.server import UserSocket
from phoenix_channels import Endpoint
from phoenix_channels.transports.websockets import WebSocketsTransport

endpoint = Endpoint()
endpoint.socket("/socket", UserSocket)


async def main() -> None:
    transport = WebSocketsTransport(endpoint)
    start = partial(
        serve,
        transport.handler,
        int(os.environ.get("PORT", "4000")),
        host="127.0.0.1",
        process_request=transport.process_request,
        compression=None,
        ping_interval=None,
        max_size=10_000_000,
    )
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(start)
            async with server, endpoint.lifespan():
                print("ws://{}:{}/socket".format(*server.listeners[0].socket.getsockname()), flush=True)
                await anext(signals)


if __name__ == "__main__":
    trio.run(main)
