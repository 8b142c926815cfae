"""The errors of the protocol core: whose fault was it?"""

from __future__ import annotations

from typing import final


class ProtocolError(Exception):
    """Base of everything the protocol core raises on purpose."""


class LocalProtocolError(ProtocolError):
    """The caller broke the rules: a command that the state of the channel does not allow."""


@final
class EncodeError(LocalProtocolError):
    """A payload that has no wire form: not encodable, or neither an object nor bytes where one is required (P-033)."""


@final
class PushBufferFull(LocalProtocolError):
    """Too much waits for a join already; whoever pushes has to wait for it too."""


@final
class RemoteProtocolError(ProtocolError):
    """The peer broke the rules; the connection has to be closed with :attr:`close_code` (P-046)."""

    def __init__(self, reason: str, *, close_code: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.close_code = close_code
