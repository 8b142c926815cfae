"""What the peers have in common: a port of their own choice, said in one line of JSON."""

import argparse
import json
import socket
from typing import Any


def listen() -> socket.socket:
    """A socket that listens, on any free port unless one is asked for; one JSON line on stdout says on which."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    listener = socket.create_server(("127.0.0.1", parser.parse_args().port), backlog=2048)
    # asyncio sets it only for listeners of its own making. Connections inherit it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    return listener


def run_uvicorn(application: Any) -> None:
    """As our own ASGI application is run: uvicorn's choice of loop and protocol, neither pings nor compression."""
    import uvicorn  # noqa: PLC0415 -- daphne's peer comes without it

    config = uvicorn.Config(application, ws_ping_interval=None, ws_per_message_deflate=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listen()])
