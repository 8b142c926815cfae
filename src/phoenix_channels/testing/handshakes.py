"""From the wish of a test to a socket that is let in: the request of a client, and the answer of the endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypedDict, TypeVar, cast, final

import anyio
import msgspec

from phoenix_channels import telemetry
from phoenix_channels.client.errors import ConnectFailed
from phoenix_channels.endpoint import Endpoint
from phoenix_channels.protocol.auth_tokens import token_subprotocols
from phoenix_channels.protocol.client_messages import VSN
from phoenix_channels.protocol.params import Param, encode_params
from phoenix_channels.protocol.serializers import V2JSONSerializer
from phoenix_channels.runtime.channels_driver import ChannelsDriver
from phoenix_channels.socket import Socket
from phoenix_channels.transports.handshake import Accepted, handshake, make_driver, websocket_terms
from phoenix_channels.transports.http import Request, Response
from phoenix_channels.transports.mounts import Match, Mount, PathPattern, segments

T = TypeVar("T")

_PEER: Final = ("127.0.0.1", 50000)


class ConnectOptions(TypedDict, total=False):
    """Further options of :func:`connect`."""

    path: str
    """Where the socket is mounted, such as ``"/socket"``; for endpoints with several."""
    headers: Mapping[str, str] | Iterable[tuple[str, str]]
    """Headers of the request, such as ``{"origin": "https://example.com"}``; ``host`` is there already."""
    auth_token: str | None
    """The option ``authToken`` of phoenix.js; None is no token."""
    peer: tuple[str, int]
    """Address and port of the client."""
    vsn: str
    """The version of the protocol that the client asks for, by default ``"2.0.0"``.  It speaks version 2 alone: others
    are there to see who is refused."""


@final
class Refused(ConnectFailed):
    """The endpoint has answered the client with an HTTP response instead of a connection (P-007 to P-010).

    ``response`` is all of it.  When ``connect`` or ``id`` has raised, which is answered with 500, its exception is the
    ``__cause__``.
    """

    def __init__(self, response: Response) -> None:
        body = response.body.decode(errors="replace")
        text = f"refused with {response.status}{body and f': {body:.200}'}"
        super().__init__(text, status=response.status, body=response.body)
        self.response = response


def find_mount(endpoint: Endpoint, path: str | None, socket_class: type[Socket] | None) -> Match:
    """Where to connect: the mount of that path and that class.

    Raises:
        ValueError: there is none, or more than one.
    """
    mounts = [mount for mount in endpoint.mounts if issubclass(mount.socket_class, Socket) and mount.websocket]
    found = [
        Match(mount, "websocket", variables)
        for mount in mounts
        if socket_class is None or issubclass(mount.socket_class, socket_class)
        if (variables := _variables(mount, path)) is not None
    ]
    if len(found) == 1:
        return found[0]
    wanted = "" if socket_class is None else f" with a {socket_class.__qualname__}"
    wanted += "" if path is None else f" at {path!r}"
    known = ", ".join(f"{mount.path!r} ({mount.socket_class.__qualname__})" for mount in mounts) or "none"
    raise ValueError(
        f"the endpoint has {len(found) or 'no'} sockets with a WebSocket and channels{wanted}; there are: {known}.  "
        "Say which by path=... (as it is mounted, with values for its variables) or socket_class=..."
    )


def _variables(mount: Mount, path: str | None) -> dict[str, str] | None:
    pattern = PathPattern("the path of a mount", mount.path)
    if path is None:
        return None if pattern.variables else {}
    return pattern.match(segments(path))


def make_request(endpoint: Endpoint, match: Match, params: Mapping[str, Param], options: ConnectOptions) -> Request:
    """The request that phoenix.js would send.

    Raises:
        TypeError: there is no such option, or a param or the auth token is of a type that cannot be sent.
        ValueError: the auth token has characters beyond Latin-1.
    """
    known = ConnectOptions.__annotations__
    for name in options:
        if name not in known:
            raise TypeError(
                f"connect has no option {name!r}; there are {', '.join(known)} (params are the dict before)"
            )
    path = options.get("path", match.mount.path).rstrip("/")
    suffix = "" if match.mount.websocket is None else match.mount.websocket.path
    headers = options.get("headers", {})
    # A Mapping is one of pairs, too, for a type checker that sees its keys.
    given = list(cast("Mapping[str, str]", headers).items() if isinstance(headers, Mapping) else headers)
    if not any(name.lower() == "host" for name, _ in given):
        given.insert(0, ("host", endpoint.host or "localhost"))
    auth_token = options.get("auth_token")
    if auth_token is not None:
        given.append(("sec-websocket-protocol", ", ".join(token_subprotocols(auth_token))))
    return Request(
        method="GET",
        scheme="http",
        path=f"{path}{suffix}",
        query=encode_params({**params, "vsn": options.get("vsn", VSN)}).encode(),
        headers=given,
        peer=options.get("peer", _PEER),
    )


async def in_own_context(function: Callable[[], Awaitable[T]]) -> T:
    """Call it in a task of its own: what it sets in its context is the connection's, and not the test's.

    Raises: what the function raises.
    """
    results: list[T] = []
    errors: list[Exception] = []

    async def run() -> None:
        try:
            results.append(await function())
        except Exception as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
    for error in errors:
        raise error
    return results[0]


async def shake_hands(endpoint: Endpoint, match: Match, request: Request) -> Accepted:
    """Ask for a connection as every transport does.

    Raises:
        Refused: the answer is an HTTP response.
        ValueError: the client would be let in, but does not speak the version that it has asked for.
    """
    with _raised_by_connect() as raised:
        result = await handshake(endpoint, match, request)
    if isinstance(result, Response):
        raise Refused(result) from (raised[0] if raised else None)
    check_version(result.serializer)
    return result


def check_version(serializer: object) -> None:
    """Can the client speak it?

    Raises:
        ValueError: it cannot.
    """
    if not isinstance(serializer, V2JSONSerializer):
        raise ValueError(  # noqa: TRY004 - it is what this client is told that is wrong, and not its type
            f"the client of a test speaks version 2 of the protocol, as V2JSONSerializer does, and not what "
            f"{type(serializer).__qualname__} does"
        )


def open_driver(endpoint: Endpoint, accepted: Accepted) -> ChannelsDriver:
    """The driver of a connection whose client is never silent: where a test lets time pass, phoenix.js would beat."""
    terms = msgspec.structs.replace(websocket_terms(accepted.match), timeout=None)
    driver = make_driver(endpoint, accepted, terms)
    if not isinstance(driver, ChannelsDriver):
        raise TypeError(f"a test connects to a Socket, not to a {type(accepted.socket).__qualname__}")
    return driver


_raised: ContextVar[list[BaseException] | None] = ContextVar("_raised", default=None)


@contextmanager
def _raised_by_connect() -> Generator[list[BaseException]]:
    """What ``connect`` or ``id`` of this connection raises in the block; the response does not say."""
    mine: list[BaseException] = []

    def hear(event: str, _measurements: object, metadata: Mapping[str, Any]) -> None:
        error = metadata["error" if event == telemetry.CONNECT_CRASHED else "refused"]
        # Others connect meanwhile, each in a context of its own.
        if error is not None and _raised.get() is mine:
            mine.append(error)

    token = _raised.set(mine)
    for event in (telemetry.CONNECT_CRASHED, telemetry.SOCKET_CONNECTED):
        telemetry.attach(event, hear)
    try:
        yield mine
    finally:
        for event in (telemetry.CONNECT_CRASHED, telemetry.SOCKET_CONNECTED):
            telemetry.detach(event, hear)
        _raised.reset(token)
