"""Serve the notifications example."""

import argparse
import socket
import sys
from pathlib import Path

from phoenix_channels import serve

from .app import PHOENIX_JS, app
from .service import store

HOST = "127.0.0.1"  # everyone may sign in as anyone here: it stays on this machine


def main() -> None:
    parser = argparse.ArgumentParser("python -m examples.notifications", description=__doc__)
    parser.add_argument("--port", type=int, default=4000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--database", type=Path, default=store.path, help="SQLite file (default: %(default)s)")
    options = parser.parse_args()

    if not PHOENIX_JS.is_dir():
        sys.exit(f"The phoenix client is missing: run `npm ci` in {PHOENIX_JS.parents[3]} first.")
    store.path = options.database
    try:
        listener = socket.create_server((HOST, options.port))
    except OSError as error:
        sys.exit(f"Cannot listen on port {options.port}: {error.strerror}.")
    print(f"Notifications: http://{HOST}:{listener.getsockname()[1]}", flush=True)

    serve(app, sockets=[listener], log_level="warning", timeout_graceful_shutdown=5)


if __name__ == "__main__":
    main()
