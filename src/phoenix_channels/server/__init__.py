"""A server of our own: uvicorn on the fast lane, which drains in rounds before it stops to accept (P-088).

Stock uvicorn closes all connections at once, with 1012, before an application hears that it ends.
"""

from __future__ import annotations

import inspect
import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phoenix_channels.definitions import DefinitionError, check_bool, check_count, check_names
from phoenix_channels.server.sockets import existing

if TYPE_CHECKING:
    import uvicorn

_PHOENIX_LIKE: Final = {
    "ws": "phoenix_channels.transports.uvicorn:WebSocketProtocol",
    # For the WebSockets of others; those of an endpoint have the options of their mount.
    "ws_ping_interval": None,
    "ws_per_message_deflate": False,
    "ws_max_size": 10_000_000,
}


def serve(
    app: object,
    *,
    host: str = "127.0.0.1",
    port: int = 4000,
    sockets: Sequence[socket.socket] | None = None,
    uds: str | os.PathLike[str] | None = None,
    fd: int | None = None,
    workers: int | None = None,
    ssl_certfile: str | os.PathLike[str] | None = None,
    ssl_keyfile: str | os.PathLike[str] | None = None,
    tune_gc: bool = True,
    **options: Any,  # those of uvicorn.Config, which change from version to version
) -> None:
    """Serve an ASGI application until SIGINT or SIGTERM; needs the extra ``server``.

    On a signal every endpoint is drained in the rounds that its mounts ask for, while HTTP requests are still answered
    and new WebSockets are refused with 503.  A second signal ends the wait.

    Args:
        app: an :class:`Endpoint`, any application that has one mounted, or ``"module:attribute"``.
        host: the address to listen on.
        port: the port, 0 for any.
        sockets: listening sockets to use instead.
        uds: the path of a Unix socket to listen on instead.
        fd: the file descriptor of a listening socket to use instead.
        workers: processes that share the socket, each with an application of its own, so ``app`` is
            ``"module:attribute"`` then.  None for what ``WEB_CONCURRENCY`` says, or one.
        ssl_certfile: the certificate to serve TLS with, in PEM, and with its chain.
        ssl_keyfile: the key of the certificate, if it is not in the same file.
        tune_gc: have the garbage collector look rarely at what lives long; False to leave it alone.
        **options: options of ``uvicorn.Config``.  Compression and pings of the server are off, as in Phoenix, and a
            message has at most 10,000,000 bytes, unless they say otherwise; this is about WebSockets that no endpoint
            answers.

    Raises:
        DefinitionError: an option that there is not, or options that cannot be had together.
        FileNotFoundError: there is no such certificate or key.
        ImportError: uvicorn is not installed.
        SystemExit: it could not begin to serve; the log says why.
    """
    import uvicorn  # noqa: PLC0415 - an extra

    from phoenix_channels.server.process import Server  # noqa: PLC0415 - likewise

    legal = inspect.signature(uvicorn.Config).parameters
    check_names("serve()", options, legal)
    check_bool("serve(tune_gc=...)", tune_gc)
    if workers is not None:
        check_count("serve(workers=...)", workers)
    if options.get("reload"):
        raise DefinitionError("serve() does not reload: reload is for uvicorn's own command")
    listening = existing(sockets, uds, fd)
    tls = _tls(ssl_certfile, ssl_keyfile, options)
    settings: dict[str, Any] = {**_PHOENIX_LIKE, "workers": workers, "host": host, "port": port, **tls, **options}
    config = uvicorn.Config(app, uds=None if uds is None else os.fspath(uds), **settings)  # type: ignore[arg-type]
    if fd is not None and listening:
        # As uvicorn says it of a socket that it takes for itself.
        address = listening[0].getsockname()
        logging.getLogger("uvicorn.error").info("Uvicorn running on socket %s (Press CTRL+C to quit)", address)
    if config.workers > 1:
        _supervise(config, app, listening, tune_gc=tune_gc)
        return
    # uvicorn ends in good order, and then passes Ctrl-C on.
    with suppress(KeyboardInterrupt):
        Server(config, tune_gc=tune_gc).run(sockets=listening)


def _supervise(config: uvicorn.Config, app: object, listening: list[socket.socket] | None, *, tune_gc: bool) -> None:
    if not isinstance(app, str):
        raise DefinitionError(
            f"several workers (workers=..., or WEB_CONCURRENCY) import the application for themselves: "
            f"it is 'module:attribute' then, not {app!r:.200}"
        )
    from phoenix_channels.server.workers import supervise  # noqa: PLC0415 - an extra

    supervise(config, listening, tune_gc=tune_gc)


def _tls(
    certfile: str | os.PathLike[str] | None, keyfile: str | os.PathLike[str] | None, options: dict[str, Any]
) -> dict[str, str | os.PathLike[str] | None]:
    if keyfile is not None and certfile is None:
        raise DefinitionError("serve(ssl_keyfile=...) is the key of a certificate: give ssl_certfile too")
    for name, path in (
        ("ssl_certfile", certfile),
        ("ssl_keyfile", keyfile),
        ("ssl_ca_certs", options.get("ssl_ca_certs")),
    ):
        if path is not None and not Path(path).is_file():
            raise FileNotFoundError(f"serve({name}=...): there is no file {os.fspath(path)!r}")
    return {"ssl_certfile": certfile, "ssl_keyfile": keyfile}
