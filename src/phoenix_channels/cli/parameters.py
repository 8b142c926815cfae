"""What the commands take, beyond click's own types."""

from __future__ import annotations

from typing import Final

import click

SECONDS: Final = click.FloatRange(0, min_open=True)


def header(text: str) -> tuple[str, str]:
    """``NAME:VALUE``, as the type of an option."""
    return _pair(text, ":")


def param(text: str) -> tuple[str, str]:
    """``NAME=VALUE``, as the type of an option."""
    return _pair(text, "=")


def _pair(text: str, separator: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found or not name.strip():
        raise click.BadParameter(f"{text!r} is not NAME{separator}VALUE")
    return name.strip(), value.strip()
