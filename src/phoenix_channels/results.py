"""What user code answers: replies, stops and refusals."""

from __future__ import annotations

from typing import Any, Final, cast, final

from msgspec import Struct

_MISSING: Final = object()


@final
class Reply(Struct, frozen=True):
    """The answer to a push: a ``phx_reply`` with the ref of the message that is being handled (P-061).

    ``status`` is any short name; clients act on ``"ok"``, ``"error"`` and what the application registered (P-034).
    ``payload`` is anything that msgspec can encode (lists, strings and ``None`` included), or ``bytes``.
    """

    status: str
    payload: Any = {}

    def __post_init__(self) -> None:
        if not isinstance(self.status, str):
            raise TypeError(f"the status of a Reply is a string such as 'ok' or 'error', not {self.status!r:.200}")

    @classmethod
    def ok(cls, payload: object = _MISSING) -> Reply:
        """``{"status": "ok", "response": payload}``; without a payload the response is ``{}``."""
        return cls("ok", {} if payload is _MISSING else payload)

    @classmethod
    def error(cls, payload: object = _MISSING) -> Reply:
        """``{"status": "error", "response": payload}``; without a payload the response is ``{}``."""
        return cls("error", {} if payload is _MISSING else payload)


@final
class Stop(Struct, frozen=True):
    """Ends the channel from any callback (P-065).

    ``reason`` ``"normal"``, ``"shutdown"`` or ``("shutdown", anything)`` closes it (``phx_close``, the client stays
    away); any other reason is a failure (``phx_error``, the client joins again).  ``reply`` is sent first; only a
    message handler has something to reply to.
    """

    reason: object = "normal"
    reply: Reply | None = None

    @property
    def graceful(self) -> bool:
        reason = self.reason
        if isinstance(reason, tuple):
            parts = cast("tuple[object, ...]", reason)
            return len(parts) == 2 and parts[0] == "shutdown"
        return reason in ("normal", "shutdown")


class JoinRefused(Exception):
    """Raised in ``join``: the client gets an error reply with this response, and may try again (P-052).

    ``JoinRefused(reason="unauthorized")`` answers ``{"reason": "unauthorized"}``; ``JoinRefused(term)`` answers any
    term; ``JoinRefused()`` answers ``{}``.
    """

    def __init__(self, response: object = _MISSING, /, **fields: object) -> None:
        if response is not _MISSING and fields:
            raise TypeError("JoinRefused takes one response, or the fields of one, not both")
        self.response: object = fields if response is _MISSING else response
        super().__init__(self.response)


class ConnectRefused(Exception):
    """Raised in ``connect``: the connection is refused (P-010).

    Without a ``reason`` the client gets HTTP 403; with one, what the mount's ``error_handler`` makes of it, by default
    403 too.  Nobody sees the reason otherwise, but for the log at DEBUG.
    """

    def __init__(self, reason: object = None) -> None:
        super().__init__(reason)
        self.reason = reason


def sole(error: BaseException) -> BaseException:
    """What was raised, looked for inside groups of exactly one: a refusal raised in a task group is still a refusal."""
    while isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        inner = list(group.exceptions)
        if len(inner) != 1:
            return group
        error = inner[0]
    return error
