"""What a rule of a mock server does about a message, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, final

from msgspec import Struct

from phoenix_channels.protocol.messages import Payload


@final
class Delay(Struct, frozen=True):
    """Wait for so many seconds."""

    seconds: float


@final
class Answer(Struct, frozen=True):
    """Answer the join or push; the error of a join is its refusal."""

    status: str
    payload: Payload


@final
class Refuse(Struct, frozen=True):
    """Refuse the connection with this status of HTTP."""

    status: int


@final
class Silence(Struct, frozen=True):
    """Never answer."""


@final
class Event(Struct, frozen=True):
    """Push to this client, or broadcast to all that have joined."""

    name: str
    payload: Payload
    to_all: bool


@final
class Crash(Struct, frozen=True):
    """``phx_error``."""


@final
class CloseChannel(Struct, frozen=True):
    """``phx_close``."""


@final
class Drop(Struct, frozen=True):
    """End the TCP connection without a close frame."""


@final
class Close(Struct, frozen=True):
    """Close the connection with this code."""

    code: int


Step: TypeAlias = Delay | Answer | Refuse | Silence | Event | Crash | CloseChannel | Drop | Close
Steps: TypeAlias = Sequence[Step]


def with_answer(steps: Steps, answer: Answer) -> Steps:
    """The steps for a push; where they neither answer it nor let it be, with this answer before the first event."""
    if any(isinstance(step, Answer | Silence | Crash | CloseChannel | Drop | Close) for step in steps):
        return steps
    first = next((number for number, step in enumerate(steps) if not isinstance(step, Delay)), len(steps))
    return (*steps[:first], answer, *steps[first:])
