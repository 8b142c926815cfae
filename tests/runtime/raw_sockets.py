"""What the tests of raw sockets share."""

from collections.abc import Awaitable
from typing import Any

from phoenix_channels import Endpoint, Limits, RawSocket, WebSocketOptions
from tests.support.asgi import Client, Server
from tests.support.loops import Journal


class BaseRawSocket(RawSocket):
    """Notes down how it ends."""

    journal: Journal
    shutdown = 0.05

    def id(self) -> str:
        return "user:1"

    def terminate(self, reason: Any) -> Awaitable[None] | None:
        self.journal.add(("terminate", reason))
        return None


def endpoint_of(socket_class: type[RawSocket], *, limits: Limits | None = None, **options: Any) -> Endpoint:
    """An endpoint with this class at ``/socket``; the options are those of its WebSocket."""
    endpoint = Endpoint(limits=limits)
    endpoint.socket("/socket", socket_class, websocket=WebSocketOptions(**options))
    return endpoint


async def connect(server: Server) -> Client:
    return await server.connect(query="")


def messages(client: Client) -> list[Any]:
    """What has arrived, as it was sent; of a close the code."""
    sent = [client.outgoing.take() for _ in range(len(client.outgoing))]
    return [m["text"] if m.get("text") is not None else m.get("bytes", m.get("code")) for m in sent]
