"""The command ``phoenix-channels``; needs the extra ``cli``."""

from __future__ import annotations

import click

from phoenix_channels.cli.connect import connect
from phoenix_channels.cli.mock import mock
from phoenix_channels.cli.serve import serve


@click.group()
@click.version_option(package_name="phoenix-channels")
def main() -> None:
    """Phoenix Channels for Python."""


main.add_command(connect)
main.add_command(mock)
main.add_command(serve)
