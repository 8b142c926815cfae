"""Mounts: which socket class answers at which path, and on which terms (P-001 to P-005)."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, TypeVar, final
from urllib.parse import unquote

from msgspec import Struct

from phoenix_channels.channel import ChannelSpec
from phoenix_channels.definitions import DefinitionError, check_bool, check_level, check_names
from phoenix_channels.protocol.serializers import SERIALIZERS, TEXT_SERIALIZERS, Serializer, TextSerializer
from phoenix_channels.protocol.topics import Routes
from phoenix_channels.protocol.versions import Versions
from phoenix_channels.raw_socket import RawSocket
from phoenix_channels.runtime.drain import Drainer, DrainerOption
from phoenix_channels.socket import BaseSocket, Socket
from phoenix_channels.transports.callables import check_callable
from phoenix_channels.transports.connect_info import ConnectInfoBuilder
from phoenix_channels.transports.options import LongPollOptions, MountOptions, WebSocketOptions
from phoenix_channels.transports.origin import CheckOrigin, OriginPolicy

_logger = logging.getLogger("phoenix_channels")

Transport: TypeAlias = Literal["websocket", "longpoll"]

OptionsT = TypeVar("OptionsT", WebSocketOptions, LongPollOptions)

_VARIABLE: Final = re.compile(r":[A-Za-z_][A-Za-z0-9_]*")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~!$&'()+,;=@-]+")


def segments(path: str) -> tuple[str, ...]:
    """The segments of a path; slashes at its ends, and doubled ones, do not count (P-002)."""
    return tuple(part for part in path.split("/") if part)


@final
class PathPattern:
    """The segments of a path, some of which may be variables, such as ``/ws/:user_id`` (P-003)."""

    __slots__ = ("_segments", "text")

    def __init__(self, where: str, text: str) -> None:
        if not isinstance(text, str) or not text.startswith("/"):
            raise DefinitionError(f"{where} is a path that begins with '/', not {text!r}")
        self._segments = segments(text)
        for segment in self._segments:
            if not (_PLAIN.fullmatch(segment) or _VARIABLE.fullmatch(segment)):
                raise DefinitionError(
                    f"{where} has plain ASCII segments, compared as they are sent, and variables such as ':user_id', "
                    f"not {segment!r}"
                )
        repeated = [name for name in self.variables if self.variables.count(name) > 1]
        if repeated:
            raise DefinitionError(f"{where} has the variable {repeated[0]!r} twice, and one value would be lost")
        self.text = "/" + "/".join(self._segments)
        """Without slashes at the end, and none doubled."""

    @property
    def variables(self) -> list[str]:
        """The names of the variables."""
        return [segment[1:] for segment in self._segments if segment[0] == ":"]

    @property
    def shape(self) -> tuple[str, ...]:
        """Equal for patterns that match the same paths."""
        return tuple(":" if segment[0] == ":" else segment for segment in self._segments)

    def match(self, path: Sequence[str]) -> dict[str, str] | None:
        """The values of the variables in these segments, as they were sent; None for another path."""
        if len(path) != len(self._segments):
            return None
        values: dict[str, str] = {}
        for wanted, found in zip(self._segments, path, strict=True):
            if wanted[0] != ":":
                if wanted != found:
                    return None
            elif wanted[1] != "_":
                # P-003: names that begin with "_" are for the pattern only.
                try:
                    values[wanted[1:]] = unquote(found, errors="strict")
                except UnicodeDecodeError:
                    return None
        return values


@final
class Mount:
    """One socket class at one path, ready to serve."""

    __slots__ = (
        "auth_token",
        "check_longpoll_origin",
        "check_websocket_origin",
        "connect_info",
        "drainer",
        "longpoll",
        "path",
        "patterns",
        "routes",
        "serializers",
        "socket_class",
        "text_serializers",
        "transport_log",
        "websocket",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        socket_class: type[BaseSocket],
        options: MountOptions | Mapping[str, Any],
        *,
        check_origin: CheckOrigin | None,
    ) -> None:
        where = f"endpoint.socket({path!r}, ...)"
        check_names(where, list(options), list(MountOptions.__annotations__))
        self.path = PathPattern("the path of a mount", path).text
        self.socket_class = _check_class(path, socket_class)
        self.websocket = _transport(options.get("websocket", True), WebSocketOptions, f"{where}: websocket")
        self.longpoll = _transport(options.get("longpoll", False), LongPollOptions, f"{where}: longpoll")
        self.patterns: list[tuple[PathPattern, Transport]] = []
        if self.websocket is not None:
            self.patterns.append((self._below("WebSocketOptions(path=...)", self.websocket.path), "websocket"))
        if self.longpoll is not None:
            self.patterns.append((self._below("LongPollOptions(path=...)", self.longpoll.path), "longpoll"))
        if len({pattern.shape for pattern, _ in self.patterns}) < len(self.patterns):
            raise DefinitionError(f"{where}: both transports would answer at {self.patterns[0][0].text!r}")
        if not self.patterns:
            raise DefinitionError(f"{where}: websocket=False and longpoll=False leave nothing to connect to")
        added = () if self.websocket is None else segments(self.websocket.path)
        if added and self.websocket is not None and segments(path)[-len(added) :] == added:
            bare = "/" + "/".join(segments(path)[: -len(added)])
            raise DefinitionError(
                f"a socket is mounted without the {self.websocket.path} that clients add: {bare!r}, not {path!r}"
            )
        if any(transport == "longpoll" and "token" in pattern.variables for pattern, transport in self.patterns):
            # P-094: the param is where clients put the token of their session.
            raise DefinitionError(f"{where}: a variable ':token' would hide the token of long-poll sessions")
        # The last option wins: the transport's, the mount's, the endpoint's; P-014.
        given, said = options.get("check_origin"), f"{where}: check_origin"
        if given is None and check_origin is not None:
            given, said = check_origin, "Endpoint(check_origin=...)"
        given = True if given is None else given
        self.check_websocket_origin = _origin_policy(self.websocket, given, said)
        self.check_longpoll_origin = _origin_policy(self.longpoll, given, said)
        check_csrf = options.get("check_csrf", True)
        check_bool(f"{where}: check_csrf", check_csrf)
        if not check_csrf and any(self.origin_policy(transport).disabled for _, transport in self.patterns):
            raise DefinitionError(f"{where}: one of check_origin and check_csrf has to be on (P-005)")
        self.auth_token = options.get("auth_token", False)
        check_bool(f"{where}: auth_token", self.auth_token)
        self.connect_info = ConnectInfoBuilder.of(
            options.get("connect_info", ()),
            options.get("session"),
            options.get("extra", {}),
            check_csrf=check_csrf,
            auth_token=self.auth_token,
            where=where,
        )
        self.serializers = _versions(options.get("serializers"), f"{where}: serializers")
        self.text_serializers: Versions[Serializer] = (
            TEXT_SERIALIZERS if self.serializers is SERIALIZERS else self.serializers.map(TextSerializer)
        )
        self.drainer: DrainerOption = options.get("drainer", Drainer())
        if self.drainer is not False and not isinstance(self.drainer, Drainer):
            check_callable(f"{where}: drainer, where it is neither a Drainer(...) nor False,", self.drainer)
        self.transport_log = options.get("transport_log", False)
        check_level(f"{where}: transport_log", self.transport_log)
        table = socket_class.channels.items() if issubclass(socket_class, Socket) else ()
        self.routes: Routes[ChannelSpec] = Routes((pattern, ChannelSpec(target)) for pattern, target in table)

    def _below(self, where: str, path: str) -> PathPattern:
        below = PathPattern(where, path)
        return PathPattern("the path of a mount", f"{self.path}{below.text}")

    def origin_policy(self, transport: Transport) -> OriginPolicy:
        return self.check_websocket_origin if transport == "websocket" else self.check_longpoll_origin


def _check_class(path: str, socket_class: type[BaseSocket]) -> type[BaseSocket]:
    if not (isinstance(socket_class, type) and issubclass(socket_class, Socket | RawSocket)):
        raise DefinitionError(f"what is mounted at {path!r} is a subclass of Socket or RawSocket, not {socket_class!r}")
    try:
        inspect.signature(socket_class).bind()
    except TypeError as error:
        raise DefinitionError(f"{socket_class.__qualname__} is made without arguments: {error}") from error
    return socket_class


def _transport(given: object, kind: type[OptionsT], where: str) -> OptionsT | None:
    if isinstance(given, bool):
        return kind() if given else None
    if isinstance(given, kind):
        return given
    raise DefinitionError(f"{where} is True, False or {kind.__qualname__}(...), not {given!r:.200}")


def _origin_policy(
    transport: WebSocketOptions | LongPollOptions | None, check_origin: CheckOrigin, where: str
) -> OriginPolicy:
    if transport is None or transport.check_origin is None:
        return OriginPolicy.of(check_origin, where)
    return OriginPolicy.of(transport.check_origin, f"{type(transport).__qualname__}(check_origin=...)")


def _versions(table: Any, where: str) -> Versions[Serializer]:
    if table is None:
        return SERIALIZERS
    try:
        table = [(serializer, requirement) for serializer, requirement in table]
        versions = Versions[Serializer](table)
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"{where} is a list of (serializer, '~> MAJOR.MINOR.PATCH'): {error}") from error
    if not versions.requirements:
        raise DefinitionError(f"{where} is empty: nobody could connect")
    for serializer, _ in table:
        if isinstance(serializer, type) or not isinstance(serializer, Serializer):
            raise DefinitionError(
                f"{where}: a serializer is an object with the methods of Serializer, not {serializer!r}"
            )
    return versions


@final
class Match(Struct, frozen=True):
    """A mount that answers at a path."""

    mount: Mount
    transport: Transport
    params: dict[str, str]
    """The variables of the path (P-003)."""


@final
class Mounts:
    """All mounts of an endpoint."""

    __slots__ = ("_patterns",)

    def __init__(self) -> None:
        self._patterns: list[tuple[PathPattern, Transport, Mount]] = []

    def add(self, mount: Mount) -> None:
        taken = {pattern.shape: other for pattern, _, other in self._patterns}
        for pattern, _ in mount.patterns:
            other = taken.get(pattern.shape)
            if other is not None:
                raise DefinitionError(
                    f"both {other.socket_class!r} and {mount.socket_class!r} are mounted at {pattern.text!r}"
                )
        self._patterns.extend((pattern, transport, mount) for pattern, transport in mount.patterns)

    def __iter__(self) -> Iterator[Mount]:
        """The mounts, in the order of declaration."""
        return iter(dict.fromkeys(mount for _, _, mount in self._patterns))

    def match(self, path: Sequence[str]) -> Match | None:
        """The mount that answers at these path segments; the first in the order of declaration."""
        for pattern, transport, mount in self._patterns:
            params = pattern.match(path)
            if params is not None:
                return Match(mount, transport, params)
        return None

    def log_miss(self, path: str) -> None:
        """Say where a client knocked in vain, and where it could have."""
        mounted = ", ".join(dict.fromkeys(repr(pattern.text) for pattern, _, _ in self._patterns)) or "nothing"
        _logger.warning(
            "no socket answers at %.200r; mounted are %s.  phoenix.js adds /websocket to what it is given, and polls "
            "only where endpoint.socket(..., longpoll=True) says so",
            path,
            mounted,
        )
