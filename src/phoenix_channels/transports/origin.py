"""The origin check: may pages of this origin connect? (P-013 to P-016; the default is the architecture's.)"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, cast, final

from msgspec import Struct

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.transports.callables import check_callable, is_true
from phoenix_channels.transports.http import Request, split_authority

_logger = logging.getLogger("phoenix_channels")

# Stricter than urllib: that one drops tabs and line feeds, and its ports raise when they are read.
_URL: Final = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*):)?//(?:[^/?#@]*@)?(?P<authority>[^/?#@]+)(?:[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_LEGAL: Final = (
    "legal are True (the host of Endpoint(host=...), or else the one of the request), False (every page), 'conn' (the "
    "scheme, host and port of the request), a list such as ['https://example.com', '//*.example.com', "
    "'//example.com:4000'], and a function that takes an Origin and returns a bool"
)


@final
class Origin(Struct, frozen=True):
    """A parsed ``Origin`` header; a function given as ``check_origin`` judges it.

    ``raw`` is the header.  ``scheme``, ``host`` (both in lower case) and ``port`` are None when they are absent, all
    three when the header is no URL with a host (``null``, ``file://``).  A port that is not written is the one that
    the scheme implies; path and user are ignored (P-016).
    """

    raw: str
    scheme: str | None = None
    host: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, raw: str) -> Origin:
        """Take it apart; whatever it is, this does not fail."""
        found = _URL.fullmatch(raw)
        if found is None:
            return cls(raw)
        scheme: str | None = found["scheme"].lower() if found["scheme"] else None
        authority = split_authority(found["authority"], scheme)
        return cls(raw) if authority is None else cls(raw, scheme, *authority)


CheckOrigin: TypeAlias = bool | Literal["conn"] | list[str] | tuple[str, ...] | Callable[[Origin], bool]
"""The forms of ``check_origin`` (P-014)."""


@final
class _Entry(Struct, frozen=True):
    """One entry of a list; None matches everything (P-015)."""

    scheme: str | None
    host: str
    port: int | None

    @classmethod
    def of(cls, entry: object, where: str) -> _Entry:
        if not isinstance(entry, str):
            raise DefinitionError(f"{where} lists strings, not {entry!r:.200}; {_LEGAL}")
        parsed = Origin.parse(entry)
        if parsed.host is None:
            hint = f': write "//{entry}"' if Origin.parse(f"//{entry}").host is not None else ""
            raise DefinitionError(f"{where}: {entry!r:.200} has no host{hint}; {_LEGAL}")
        if "*" in parsed.host.removeprefix("*.") or parsed.host == "*.":
            raise DefinitionError(
                f"{where}: {entry!r:.200} matches no origin; '*.' at the beginning of a host stands for all its "
                "subdomains and itself, and there is no other wildcard"
            )
        if not parsed.host.isascii():
            raise DefinitionError(f"{where}: {entry!r:.200} matches no origin; browsers send such a host as 'xn--...'")
        return cls(parsed.scheme, parsed.host, parsed.port)

    def matches(self, origin: Origin) -> bool:
        if origin.host is None or self.scheme not in (None, origin.scheme) or self.port not in (None, origin.port):
            return False
        if self.host.startswith("*."):
            return origin.host == self.host[2:] or origin.host.endswith(self.host[1:])
        return origin.host == self.host


@final
class OriginPolicy(Struct, frozen=True):
    """One form of ``check_origin``, ready to judge requests."""

    check: CheckOrigin
    where: str
    entries: tuple[_Entry, ...] = ()

    @classmethod
    def of(cls, check: CheckOrigin, where: str) -> OriginPolicy:
        """The policy that an option asks for; ``where`` names the option in errors and logs.

        An empty list is legal and refuses every page: clients that are no browsers still connect.

        Raises:
            DefinitionError: it is none of the legal forms.
        """
        if isinstance(check, bool) or (isinstance(check, str) and check == "conn"):
            return cls(check, where)
        if isinstance(check, list | tuple):
            entries = list(cast("list[str]", check))
            return cls(entries, where, tuple(_Entry.of(entry, where) for entry in entries))
        if isinstance(check, str) or not callable(check):
            listed = f"; for one origin write [{check!r:.200}]" if isinstance(check, str) else ""
            raise DefinitionError(f"{where} is not {check!r:.200}{listed}; {_LEGAL}")
        check_callable(where, check, "origin")
        return cls(check, where)

    @property
    def disabled(self) -> bool:
        """Whether every page is allowed, unseen."""
        return self.check is False

    def allows(self, request: Request, *, host: str | None) -> bool:
        """Whether the page that the request comes from may connect; a refusal is logged (P-013).

        ``host`` is the public host of the endpoint, if it is configured.  Only browsers send an ``Origin``: a request
        without one comes from no page, and passes.
        """
        raw = request.header("origin")
        if raw is None or self.check is False:
            return True
        origin = Origin.parse(raw)
        error: BaseException | None = None
        what_else = "list it in check_origin"
        if self.check is True:
            # Without a configured host: development servers, proxies that end TLS, and mounts all pass on the header.
            expected = host.lower() if host is not None else request.authority[0] or None
            allowed = origin.host is not None and origin.host == expected
            why = f"its host is not {expected!r:.200}"
            what_else = (
                "serve it from there, connect to the host it comes from, set Endpoint(host=...) to the public host, "
                + what_else
            )
        elif self.check == "conn":
            asked = (request.scheme, *request.authority)
            # An origin without a host never gets here equal: None is not what a request without one has.
            allowed = (origin.scheme, origin.host, origin.port) == asked
            why = f"the request went to scheme, host and port {asked!r:.200}"
        elif callable(self.check):
            why = f"{self.check!r:.200} refuses it"
            try:
                allowed = is_true(self.where, cast("Callable[[Any], object]", self.check), origin)
            except KeyboardInterrupt:
                raise
            except BaseException as raised:
                # As in connect: whatever user code raises is the failure of one request.
                allowed, error, why = False, raised, f"{self.check!r:.200} raised"
            what_else = "let that function return True for it"
        else:
            allowed = any(entry.matches(origin) for entry in self.entries)
            why = f"it matches nothing in {self.check!r:.1000}"
        if not allowed:
            _logger.error(
                "refused a connection of a page from %.200r: %s.  If it is one of yours, %s, or allow every page by "
                "check_origin=False (%s)",
                raw,
                why,
                what_else,
                self.where,
                exc_info=error,
            )
        return allowed
