"""Mounts: which socket class answers at which path, and with which options (P-001, P-002)."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, final

from phoenix_channels.channel import ChannelSpec
from phoenix_channels.handlers import DefinitionError, check_seconds
from phoenix_channels.protocol.topics import Routes
from phoenix_channels.socket import Socket

_logger = logging.getLogger("phoenix_channels")


class MountOptions(TypedDict, total=False):
    """The options of ``endpoint.socket(path, SocketClass, ...)``."""

    check_origin: bool
    """Refuse pages of other hosts; True by default."""
    timeout: float | None
    """Seconds of silence after which a client is closed with 1002; 60 by default, None for never (P-081)."""


_LEGAL = ", ".join(f"{name} ({kind})" for name, kind in (("check_origin", "bool"), ("timeout", "seconds or None")))


def segments(path: str) -> tuple[str, ...]:
    """The segments of a path; slashes at its ends, and doubled ones, do not count (P-002)."""
    return tuple(part for part in path.split("/") if part)


@final
class Mount:
    """One socket class at one path, ready to serve."""

    __slots__ = ("check_origin", "path", "routes", "socket_class", "timeout", "websocket_segments")

    def __init__(self, path: str, socket_class: type[Socket], options: Mapping[str, Any]) -> None:
        if not isinstance(path, str) or not path.startswith("/"):
            raise DefinitionError(f"a socket is mounted at a path that begins with '/', not at {path!r}")
        if not path.isascii() or any(mark in path for mark in "%:*?#{}<> "):
            raise DefinitionError(f"a mount path is plain ASCII segments, not {path!r}; it is compared as it is sent")
        if segments(path)[-1:] == ("websocket",):
            raise DefinitionError(
                f"a socket is mounted without the /websocket that clients add: {path.rstrip('/')[:-10] or '/'!r}"
            )
        if not (isinstance(socket_class, type) and issubclass(socket_class, Socket)):
            raise DefinitionError(f"what is mounted at {path!r} is a subclass of Socket, not {socket_class!r}")
        try:
            inspect.signature(socket_class).bind()
        except TypeError as error:
            raise DefinitionError(f"{socket_class.__qualname__} is made without arguments: {error}") from error
        for name in options:
            if name not in MountOptions.__annotations__:
                raise DefinitionError(f"endpoint.socket({path!r}, ...): unknown option {name!r}; legal are {_LEGAL}")
        self.path = path
        self.socket_class = socket_class
        self.websocket_segments = (*segments(path), "websocket")
        self.check_origin: bool = options.get("check_origin", True)
        self.timeout: float | None = options.get("timeout", 60.0)
        if not isinstance(self.check_origin, bool):
            raise DefinitionError(f"endpoint.socket({path!r}, check_origin=...) is True or False")
        if self.timeout is not None:
            check_seconds(f"endpoint.socket({path!r}, timeout=...)", self.timeout)
        self.routes: Routes[ChannelSpec] = Routes(
            (pattern, ChannelSpec(target)) for pattern, target in socket_class.channels.items()
        )


@final
class Mounts:
    """All mounts of an endpoint."""

    __slots__ = ("_mounts",)

    def __init__(self) -> None:
        self._mounts: dict[tuple[str, ...], Mount] = {}

    def add(self, mount: Mount) -> None:
        other = self._mounts.get(mount.websocket_segments)
        if other is not None:
            raise DefinitionError(
                f"both {other.socket_class!r} and {mount.socket_class!r} are mounted at {mount.path!r}"
            )
        self._mounts[mount.websocket_segments] = mount

    def match(self, path: Iterable[str]) -> Mount | None:
        """The mount whose WebSocket answers at these path segments."""
        return self._mounts.get(tuple(path))

    def log_miss(self, path: str) -> None:
        """Say where a client knocked in vain, and where it could have."""
        mounted = ", ".join(repr(mount.path) for mount in self._mounts.values()) or "nothing"
        _logger.warning(
            "no socket answers at %.200r; mounted are %s, and phoenix.js adds /websocket to what it is given",
            path,
            mounted,
        )
