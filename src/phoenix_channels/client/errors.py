"""What the client raises."""

from __future__ import annotations

from typing import Any, final


def shown(value: object) -> str:
    """A value of the server for a text or a log, whatever it is."""
    try:
        return f"{value!r:.1000}"
    except RecursionError:
        return "(nested too deeply to be shown)"


class ClientError(Exception):
    """Base of all errors here.  Mistakes of the caller are a ``TypeError`` or ``ValueError``, or an ``EncodeError``."""


class ConnectFailed(ClientError):
    """The connection could not be opened.

    ``status`` is that of the HTTP response (403: origin, version or ``connect``, P-010), None when there was none;
    ``body`` is the response's.  What the operating system or the ``websockets`` library had to say is the cause.
    """

    def __init__(self, text: str, *, status: int | None = None, body: bytes = b"") -> None:
        super().__init__(text)
        self.status = status
        self.body = body


@final
class JoinRefused(ClientError):
    """The server has answered a join with an error; ``response`` is its decoded payload.

    The channel is closed, and is not joined again.
    """

    def __init__(self, topic: str, response: Any) -> None:
        super().__init__(f"the server refuses to join {topic!r}: {shown(response)}")
        self.topic = topic
        self.response = response


@final
class JoinTimeout(ClientError, TimeoutError):
    """The server has not answered a join in time.  The channel is closed, and is not joined again."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"no answer to the join of {topic!r}")
        self.topic = topic


@final
class PushRefused(ClientError):
    """The server has answered a push with another status than ``ok``; ``response`` is the decoded payload."""

    def __init__(self, topic: str, event: str, status: str, response: Any) -> None:
        super().__init__(f"{event!r} to {topic!r}: {status}, {shown(response)}")
        self.topic = topic
        self.event = event
        self.status = status
        self.response = response


@final
class PushTimeout(ClientError, TimeoutError):
    """The server has not answered a push in time.  It may have arrived all the same: a reply is not a must."""

    def __init__(self, topic: str, event: str) -> None:
        super().__init__(f"no reply to {event!r} to {topic!r} (push_nowait is for what is not replied to)")
        self.topic = topic
        self.event = event


@final
class PushLost(ClientError):
    """The channel has crashed, or the connection is lost: no reply to this push can come any more.

    The server may have acted on it or not.  The channel will be joined again.
    """

    def __init__(self, topic: str, event: str) -> None:
        super().__init__(f"{event!r} to {topic!r} is lost, or its reply is")
        self.topic = topic
        self.event = event


@final
class ChannelClosed(ClientError):
    """The channel was left, the server has closed it, another one took its topic, or the socket is closed."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"the channel of {topic!r} is closed")
        self.topic = topic


@final
class BufferFull(ClientError):
    """The server does not read, or is not there, and too much waits to be sent already."""


@final
class UnexpectedPayload(ClientError):
    """A payload that does not fit the type that was asked for; the text says what was expected, and where."""
