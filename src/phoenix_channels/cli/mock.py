"""``phoenix-channels mock``."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import anyio
import click

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.testing.mock import MockPhoenix, Received, ScriptError


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=4000, show_default=True, type=click.IntRange(0, 65535), help="0 for any free port.")
@click.option(
    "--path", default="/socket", show_default=True, help="Where clients connect to; they add /websocket by themselves."
)
@click.option(
    "--script", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A TOML file with rules for answers."
)
@click.option("--verbose", is_flag=True, help="Show whole payloads, and which rules apply.")
def mock(*, host: str, port: int, path: str, script: Path | None, verbose: bool) -> None:
    """Serve a scriptable Phoenix server, for tests of clients.

    Without rules every connection and join is let in, and every push is answered with its own payload.  A line is
    printed for each thing that a client does.
    """
    if verbose:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("phoenix_channels").setLevel(logging.DEBUG)
    show = partial(_show, most=None) if verbose else _show
    try:
        made = MockPhoenix(host=host, port=port, path=path, script=script, on_received=show)
    except (DefinitionError, ScriptError) as error:
        raise click.UsageError(str(error)) from error
    try:
        anyio.run(_serve, made)
    except OSError as error:
        raise click.ClickException(f"{host}:{port} cannot be listened on: {error.strerror or error}") from error
    except KeyboardInterrupt:
        # It is how it ends.
        click.echo()


async def _serve(made: MockPhoenix) -> None:
    async with made:
        click.echo(f"Mock Phoenix at {made.url}; Ctrl-C ends it")
        await anyio.sleep_forever()


def _show(received: Received, most: int | None = 200) -> None:
    click.echo(received.line(most))
