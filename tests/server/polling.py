"""An application with long polling, which several processes only serve when they share a secret."""

from __future__ import annotations

from phoenix_channels import Endpoint
from tests.server.app import UserSocket


def make() -> Endpoint:
    made = Endpoint(secret_key_base="a secret that all of them know")
    made.socket("/socket", UserSocket, longpoll=True)
    return made


def __getattr__(name: str) -> Endpoint:
    if name != "endpoint":
        raise AttributeError(name)
    made = Endpoint()
    made.socket("/socket", UserSocket, longpoll=True)
    return made
