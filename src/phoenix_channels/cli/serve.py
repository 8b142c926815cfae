"""``phoenix-channels serve``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from phoenix_channels.cli.parameters import header
from phoenix_channels.definitions import DefinitionError
from phoenix_channels.server import serve as serve_app

_FILE = click.Path(exists=True, dir_okay=False)


@click.command()
@click.argument("app", metavar="MODULE:APP")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=4000, show_default=True, type=click.IntRange(0, 65535), help="0 for any free port.")
@click.option("--uds", type=click.Path(), help="Listen on a Unix socket instead.")
@click.option("--fd", type=click.IntRange(0), help="Listen on an open socket instead, by its file descriptor.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes that share the socket; $WEB_CONCURRENCY or 1 by default. "
    "Broadcasts reach the clients of all only with a backplane.",
)
@click.option("--factory", is_flag=True, help="APP is a function that makes the application.")
@click.option("--app-dir", default=".", show_default=True, help="Where the module is looked for.")
@click.option("--env-file", type=_FILE, help="Read environment variables from it; needs python-dotenv.")
@click.option("--ssl-certfile", type=_FILE, help="Serve TLS with this certificate (PEM).")
@click.option("--ssl-keyfile", type=_FILE, help="Its key, if that is not in the same file.")
@click.option("--ssl-keyfile-password", help="The password of the key.")
@click.option("--ssl-ca-certs", type=_FILE, help="Of whom certificates of clients are accepted.")
@click.option(
    "--ssl-cert-reqs",
    type=click.IntRange(0, 2),
    help="Whether clients need a certificate: 0 no, 1 if they like, 2 yes.",
)
@click.option("--root-path", help="The path that the application is mounted at by a proxy.")
@click.option(
    "--proxy-headers/--no-proxy-headers",
    default=True,
    show_default=True,
    help="Believe X-Forwarded-For and X-Forwarded-Proto of the addresses below.",
)
@click.option(
    "--forwarded-allow-ips",
    help="Proxies, by address, network or Unix socket, with commas between, or *; "
    "$FORWARDED_ALLOW_IPS or this machine by default.",
)
@click.option(
    "--header", "headers", multiple=True, type=header, metavar="NAME:VALUE", help="A header for every response."
)
@click.option("--server-header/--no-server-header", default=True, show_default=True, help="Say that it is uvicorn.")
@click.option("--date-header/--no-date-header", default=True, show_default=True, help="Send the date.")
@click.option("--limit-concurrency", type=click.IntRange(1), help="Connections beyond which HTTP is answered with 503.")
@click.option("--backlog", default=2048, show_default=True, type=click.IntRange(1), help="Of the listening socket.")
@click.option(
    "--timeout-graceful-shutdown", type=click.IntRange(0), help="Seconds that requests get to end, after the drain."
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["critical", "error", "warning", "info", "debug", "trace"]),
    help="Of uvicorn's own log.",
)
@click.option(
    "--loop",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "asyncio", "uvloop"]),
    help="The event loop; uvloop where it is installed, unless this says otherwise.",
)
@click.option(
    "--http",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "h11", "httptools"]),
    help="Who parses HTTP; httptools where it is installed, unless this says otherwise.",
)
@click.option("--log-config", type=_FILE, help="A file of settings for logging.")
@click.option("--access-log/--no-access-log", default=True, show_default=True, help="Log HTTP requests.")
@click.option("--tune-gc/--no-tune-gc", default=True, show_default=True, help="Have garbage collected rarely.")
def serve(app: str, app_dir: str, headers: tuple[tuple[str, str], ...], **options: Any) -> None:
    """Serve an ASGI application with uvicorn, and drain in rounds when it ends.

    MODULE:APP is an Endpoint, or any application that has one mounted.  WebSockets of an Endpoint take the fast lane.
    """
    sys.path.insert(0, str(Path(app_dir)))
    given = {name: value for name, value in options.items() if value is not None}
    try:
        serve_app(app, headers=list(headers), **given)
    except DefinitionError as error:
        raise click.UsageError(str(error)) from error
