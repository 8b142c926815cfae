"""The command ``phoenix-channels``; needs the extra ``cli``."""

from __future__ import annotations

import sys

import click

from phoenix_channels.server import serve as serve_app


@click.group()
@click.version_option(package_name="phoenix-channels")
def main() -> None:
    """Phoenix Channels for Python."""


@main.command()
@click.argument("app", metavar="MODULE:APP")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=4000, show_default=True, type=click.IntRange(0, 65535), help="0 for any free port.")
@click.option("--app-dir", default=".", show_default=True, help="Where the module is looked for.")
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["critical", "error", "warning", "info", "debug", "trace"]),
    help="Of uvicorn's own log.",
)
def serve(app: str, host: str, port: int, app_dir: str, log_level: str) -> None:
    """Serve an ASGI application with uvicorn, and drain in rounds when it ends.

    MODULE:APP is an Endpoint, or any application that has one mounted.
    """
    sys.path.insert(0, app_dir)
    serve_app(app, host=host, port=port, log_level=log_level)
