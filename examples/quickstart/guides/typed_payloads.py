"""Payloads with a type, from the loosest to the strictest."""

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from msgspec import Meta, Struct

from phoenix_channels import Channel, Endpoint, Reply, Socket, incoming


# Start: types
class Move(Struct, tag="move"):
    x: int
    y: int


class Resign(Struct, tag="resign"):
    reason: str = "no reason given"


class Rename(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=40)]


@dataclass
class Invite:
    user_id: str


class Preferences(TypedDict, total=False):
    sound: bool


# End: types


# Start: channel
class GameChannel(Channel):
    def join(self, payload: Preferences) -> dict[str, bool]:
        return {"sound": payload.get("sound", True)}

    @incoming
    def turn(self, payload: Move | Resign) -> Reply:
        if isinstance(payload, Resign):
            return Reply.ok({"over": payload.reason})
        return Reply.ok({"at": [payload.x, payload.y]})

    @incoming
    def rename(self, payload: Rename) -> None:
        self.broadcast("renamed", payload)

    @incoming
    def invite(self, payload: Invite) -> Reply:
        return Reply.ok({"invited": payload.user_id})

    @incoming
    def chat(self, payload: str | list[str]) -> Reply:
        return Reply.ok(payload)

    @incoming
    def picture(self, payload: bytes) -> Reply:
        return Reply.ok({"size": len(payload)})

    @incoming
    def debug(self, payload: Any) -> Reply:
        return Reply.ok({"type": type(payload).__name__})


# End: channel


class GameSocket(Socket):
    channels = {"game:*": GameChannel}


endpoint = Endpoint()
endpoint.socket("/socket", GameSocket)
