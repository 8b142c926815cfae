"""Why a token opens nothing (P-132)."""

from __future__ import annotations

from typing import final


class TokenError(Exception):
    """Base of the three: this token is not to be believed."""


@final
class TokenMissing(TokenError):
    """There is no token: it is None."""


@final
class TokenInvalid(TokenError):
    """This is no token, or it was made with another secret, another salt or other key options, or it was changed.

    Also what was signed in the future, by a clock that is ahead of this one.
    """


@final
class TokenExpired(TokenError):
    """The token is ours, and too old."""
