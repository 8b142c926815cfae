"""From a request to what ``connect`` may know of it (P-022, P-023)."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, cast, final, get_args

from msgspec import Struct

from phoenix_channels.connect_info import URI, ConnectInfo, ConnectInfoName, Headers, PeerData
from phoenix_channels.definitions import DefinitionError, Options, check_bool
from phoenix_channels.transports.callables import check_callable, is_true
from phoenix_channels.transports.http import Request
from phoenix_channels.transports.subprotocols import without_tokens

_logger = logging.getLogger("phoenix_channels")

Session: TypeAlias = Mapping[str, Any]

_NAMES: Final[tuple[str, ...]] = get_args(ConnectInfoName)
_QUOTED: Final = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))", re.DOTALL)


def _same(state: object, token: str) -> bool:
    # What came from the client is compared in constant time.  Nothing equals nothing, and that proves nothing.
    if not isinstance(state, str) or not state:
        return False
    return hmac.compare_digest(state.encode(errors="surrogatepass"), token.encode(errors="surrogatepass"))


@final
class SessionOptions(Options, frozen=True, kw_only=True):
    """How ``connect`` gets at the session of the page (P-023)."""

    load: Callable[[Mapping[str, str]], Session | Awaitable[Session | None] | None]
    """Takes the cookies of the request, and returns the session or None when no valid one is among them; ``def`` or
    ``async def``.  There may be no cookies at all.  When it raises, the client is answered as when ``connect`` raises:
    a broken store is not a visitor without a session."""
    csrf_token_key: str = "_csrf_token"  # noqa: S105
    """Where the session keeps its CSRF state."""
    verify_csrf: Callable[[Any, str], bool] = _same
    """Takes that state and the param ``_csrf_token``: does the token belong to it?  By default both are one string."""

    def __post_init__(self) -> None:
        check_callable("SessionOptions(load=...)", self.load, "cookies", may_be_async=True)
        check_callable("SessionOptions(verify_csrf=...)", self.verify_csrf, "state", "token")
        if not isinstance(self.csrf_token_key, str):
            raise DefinitionError(f"SessionOptions(csrf_token_key=...) is a string, not {self.csrf_token_key!r}")


@final
class ConnectInfoBuilder(Struct, frozen=True):
    """What one mount lets ``connect`` know."""

    names: tuple[str, ...]
    session: SessionOptions | None
    extra: Mapping[str, object]
    check_csrf: bool
    auth_token: bool

    @classmethod
    def of(
        cls,
        names: object,
        session: object,
        extra: object,
        *,
        check_csrf: bool,
        auth_token: bool,
        where: str,
    ) -> ConnectInfoBuilder:
        """Check the options of a mount; ``where`` is how it is written, ``endpoint.socket('/socket', ...)``.

        Raises:
            DefinitionError: one is not legal, or they do not go together.
        """
        if not isinstance(names, list | tuple):
            raise DefinitionError(f"{where}: connect_info is a list of {', '.join(_NAMES)}, not {names!r:.200}")
        listed = cast("list[object] | tuple[object, ...]", names)
        for name in listed:
            if name not in _NAMES:
                hint = "; auth_token comes by auth_token=True" if name == "auth_token" else ""
                raise DefinitionError(
                    f"{where}: connect_info lists {name!r:.200}; legal are {', '.join(_NAMES)}{hint}.  What is the "
                    "same for all clients goes into extra={...}"
                )
        if session is not None and not isinstance(session, SessionOptions):
            raise DefinitionError(f"{where}: session is SessionOptions(load=...), not {session!r:.200}")
        if ("session" in listed) != (session is not None):
            raise DefinitionError(
                f"{where}: connect_info=['session'] and session=SessionOptions(load=...) go together; one is missing"
            )
        if not isinstance(extra, Mapping):
            raise DefinitionError(f"{where}: extra is a mapping such as {{'region': 'eu'}}, not {extra!r:.200}")
        check_bool(f"{where}: check_csrf", check_csrf)
        check_bool(f"{where}: auth_token", auth_token)
        copied = dict(cast("Mapping[str, object]", extra))
        return cls(tuple(cast("list[str]", listed)), session, copied, check_csrf, auth_token)

    def build(
        self, request: Request, params: Mapping[str, Any], auth_token: str | None
    ) -> ConnectInfo | Awaitable[ConnectInfo]:
        """What ``connect`` gets for this request; awaitable where there is a session to load.

        Raises:
            Exception: whatever the functions of :class:`SessionOptions` raise.  It counts as raised by ``connect``
                (P-010).
        """
        listed: dict[str, Any] = {name: self._read(name, request) for name in self.names if name != "session"}
        if self.auth_token:
            listed["auth_token"] = auth_token
        if self.session is not None:
            return self._with_session(self.session, request, params, listed)
        return ConnectInfo(extra=self.extra, **listed)

    async def _with_session(
        self, options: SessionOptions, request: Request, params: Mapping[str, Any], listed: dict[str, Any]
    ) -> ConnectInfo:
        return ConnectInfo(extra=self.extra, session=await self._session(options, request, params), **listed)

    def _read(self, name: str, request: Request) -> object:
        match name:
            case "peer_data":
                address, port = request.peer or (None, None)
                return PeerData(address, port, request.ssl_cert)
            case "uri":
                return URI(request.scheme, *request.authority, request.path, request.query.decode("latin-1"))
            case "user_agent":
                return request.header("user-agent")
            case "x_headers":
                return _headers(request, "x-")
            case "trace_context_headers":
                return [(name, value) for name, value in request.all_headers if name in ("traceparent", "tracestate")]
            case _:
                return self._sec_websocket_headers(request)

    def _sec_websocket_headers(self, request: Request) -> Headers:
        found = _headers(request, "sec-websocket-")
        if not self.auth_token:
            return found
        # P-019; also where several were sent, of which none counts: they are secrets all the same.
        headers: Headers = []
        for name, value in found:
            kept = without_tokens(value) if name == "sec-websocket-protocol" else value
            if kept is not None:
                headers.append((name, kept))
        return headers

    async def _session(self, options: SessionOptions, request: Request, params: Mapping[str, Any]) -> Session | None:
        token = params.get("_csrf_token")
        if self.check_csrf and not isinstance(token, str):
            _logger.debug("no session for connect: the param _csrf_token is missing (P-023)")
            return None
        loading = options.load(parse_cookies(request.headers("cookie")))
        session = await loading if isinstance(loading, Awaitable) else loading
        if session is None:
            return None
        if not isinstance(session, Mapping):
            raise TypeError(f"SessionOptions(load=...) returned {session!r:.200}; legal are a mapping and None")
        if self.check_csrf:
            state = session.get(options.csrf_token_key)
            if state is None or not is_true("SessionOptions(verify_csrf=...)", options.verify_csrf, state, token):
                _logger.debug("no session for connect: the param _csrf_token does not belong to it (P-023)")
                return None
        return session


def _headers(request: Request, prefix: str) -> Headers:
    return [(name, value) for name, value in request.all_headers if name.startswith(prefix)]


def parse_cookies(headers: list[str]) -> dict[str, str]:
    """The cookies of ``Cookie`` headers; a malformed one spoils no other, and of two with one name the last counts.

    Not :mod:`http.cookies`: it drops all cookies when it dislikes one, and takes time in the square of the length of a
    quoted value in Python before 3.12.6, which a client could use to stop the loop.
    """
    cookies: dict[str, str] = {}
    for header in headers:
        for part in header.split(";"):
            name, equals, value = part.partition("=")
            if equals and (name := name.strip(" \t")):
                cookies[name] = _unquote(value.strip(" \t"))
    return cookies


def _unquote(value: str) -> str:
    r"""What :mod:`http.cookies` and Python's frameworks quoted: ``"a\"b\073"`` is ``a"b;``."""
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return _QUOTED.sub(lambda found: chr(int(found[1], 8)) if found[1] else found[2], value[1:-1])
