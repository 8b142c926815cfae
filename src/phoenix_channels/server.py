"""A server of our own: uvicorn, which drains in rounds before it stops to accept (P-088).

Stock uvicorn closes all connections at once, with 1012, before an application hears that it ends.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import anyio

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.runtime.drain import drain
from phoenix_channels.runtime.hub import lanes_here


def serve(
    app: object,
    *,
    host: str = "127.0.0.1",
    port: int = 4000,
    sockets: Sequence[socket.socket] | None = None,
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
        **options: options of ``uvicorn.Config``.  Compression and pings of the server are off, as in Phoenix, and a
            message has at most 10,000,000 bytes, unless they say otherwise.

    Raises:
        DefinitionError: ``workers`` or ``reload``, which need processes of uvicorn's own.
        ImportError: uvicorn is not installed.
    """
    for name in ("workers", "reload"):
        if options.get(name):
            raise DefinitionError(f"serve() runs one process: {name} is for uvicorn's own command")
    import uvicorn  # noqa: PLC0415 - an extra

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # uvicorn itself takes only a second SIGINT for impatience; process managers send SIGTERM.
            self.force_exit = self.force_exit or self.should_exit
            super().handle_exit(sig, frame)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            async with anyio.create_task_group() as group:

                async def drain_all() -> None:
                    async with anyio.create_task_group() as lanes:
                        for lane in lanes_here():
                            lanes.start_soon(drain, lane)
                    group.cancel_scope.cancel()

                group.start_soon(drain_all)
                while not self.force_exit:  # noqa: ASYNC110 - set by a signal handler of uvicorn's
                    await anyio.sleep(0.1)
                group.cancel_scope.cancel()
            await super().shutdown(sockets)

    for listener in sockets or ():
        # asyncio does so only for sockets that name their protocol; without it the head and the body of a response,
        # which uvicorn writes apart, are 40 ms apart.
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    defaults = {"ws_ping_interval": None, "ws_per_message_deflate": False, "ws_max_size": 10_000_000}
    config = uvicorn.Config(app, host=host, port=port, **{**defaults, **options})  # type: ignore[arg-type]
    # uvicorn ends in good order, and then passes Ctrl-C on.
    with suppress(KeyboardInterrupt):
        Server(config).run(sockets=None if sockets is None else list(sockets))
