"""What a server listens on."""

from __future__ import annotations

import logging
import socket
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phoenix_channels.definitions import DefinitionError

if TYPE_CHECKING:
    import uvicorn

STARTUP_FAILURE: Final = 3
"""uvicorn's exit status when it could not begin."""

_logger = logging.getLogger("uvicorn.error")


def existing(sockets: Sequence[socket.socket] | None, uds: object, fd: int | None) -> list[socket.socket] | None:
    """The sockets that are handed over; None when uvicorn is to make its own.

    Raises:
        DefinitionError: there are two answers to the question where to listen, or a wrong one.
    """
    given = [name for name, value in (("sockets", sockets), ("uds", uds), ("fd", fd)) if value is not None]
    if len(given) > 1:
        raise DefinitionError(
            f"serve() listens on one of sockets, uds, fd, or host and port, not on {' and '.join(given)}"
        )
    if fd is not None:
        # uvicorn would take every one for a Unix socket.
        try:
            sockets = [socket.socket(fileno=fd)]
        except OSError as error:
            raise DefinitionError(f"serve(fd={fd}): {error.strerror}; it is an open, listening socket") from error
    if sockets is None:
        return None
    for listener in sockets:
        _send_at_once(listener)
    return list(sockets)


def bind(config: uvicorn.Config) -> socket.socket:
    """A socket for several processes, which listens already: whoever comes before the first of them waits.

    Raises:
        SystemExit: there is none to be had; the log says why.
    """
    where = f"unix socket {config.uds}" if config.uds is not None else f"{config.host}:{config.port}"
    try:
        listener = _bind_unix(config.uds, config.backlog) if config.uds is not None else _bind(config)
    except OSError as error:
        _logger.error("Cannot listen on %s: %s", where, error.strerror or error)  # noqa: TRY400 - there is no more to it
        sys.exit(STARTUP_FAILURE)
    if config.uds is None:
        host = f"[{config.host}]" if ":" in config.host else config.host
        where = f"{'https' if config.is_ssl else 'http'}://{host}:{listener.getsockname()[1]}"
    # As uvicorn says it, where it binds for itself.
    _logger.info("Uvicorn running on %s (Press CTRL+C to quit)", where)
    return listener


def _bind(config: uvicorn.Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.create_server((config.host, config.port), family=family, backlog=config.backlog)
    _send_at_once(listener)
    return listener


def _bind_unix(path: str, backlog: int) -> socket.socket:
    # What an earlier server has left behind; for a single process asyncio does so.
    remove(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        Path(path).chmod(0o666)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


def remove(uds: str) -> None:
    """Remove a Unix socket, and nothing else, if there is one."""
    with suppress(OSError):
        if stat.S_ISSOCK(Path(uds).stat().st_mode):
            Path(uds).unlink()


def _send_at_once(listener: socket.socket) -> None:
    # asyncio does so only for sockets that name their protocol; without it the head and the body of a response, which
    # uvicorn writes apart, are 40 ms apart.
    if listener.family in (socket.AF_INET, socket.AF_INET6):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
