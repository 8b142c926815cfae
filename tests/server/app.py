"""The application that servers in processes of their own serve: it says who serves it, and what terminates."""

from __future__ import annotations

import gc
import os
from typing import Any

from phoenix_channels import Channel, Drainer, Endpoint, Reply, Socket, incoming


def say(*what: object) -> None:
    print(*what, flush=True)  # noqa: T201 -- to the test


class RoomChannel(Channel):
    @incoming
    def ask_pid(self, payload: Any) -> Reply:
        return Reply.ok(os.getpid())

    @incoming
    def ask_gc(self, payload: Any) -> Reply:
        return Reply.ok({"thresholds": gc.get_threshold(), "frozen": gc.get_freeze_count() > 0})

    async def terminate(self, reason: Any) -> None:
        say(f"{self.topic} terminates: {reason}")


class UserSocket(Socket):
    channels = {"room:*": RoomChannel}


endpoint = Endpoint()
# Nobody waits for a second round: a test sees that it is not over, and ends it.
endpoint.socket("/socket", UserSocket, drainer=Drainer(batch_size=1, batch_interval=60.0, shutdown=120.0))


def make() -> Endpoint:
    return endpoint


def fail() -> Endpoint:
    raise RuntimeError("on purpose")
