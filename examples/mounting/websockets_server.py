"""Channels on the asyncio server of ``websockets``.  Run it: ``python -m examples.mounting.websockets_server``."""

import asyncio
import os
import signal

import anyio
from websockets.asyncio.server import serve

from examples.quickstart.server import UserSocket
from phoenix_channels import Endpoint
from phoenix_channels.transports.websockets import WebSocketsTransport

endpoint = Endpoint()
endpoint.socket("/socket", UserSocket)


async def main() -> None:
    transport = WebSocketsTransport(endpoint)
    server = serve(
        transport.handler,
        "127.0.0.1",
        int(os.environ.get("PORT", "4000")),
        process_request=transport.process_request,
        compression=None,
        ping_interval=None,
        max_size=10_000_000,
    )
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with server as running, endpoint.lifespan():
            print("ws://{}:{}/socket".format(*running.sockets[0].getsockname()), flush=True)
            await anext(signals)


if __name__ == "__main__":
    asyncio.run(main())
