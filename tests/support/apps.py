"""The smallest applications around the channels of a test."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from phoenix_channels import Channel, ChannelRoute, Endpoint, Limits, Socket, WebSocketOptions
from phoenix_channels.pubsub.base import PubSub
from tests.support.asgi import Server, serving

Target: TypeAlias = type[Channel[Any]] | ChannelRoute


def make_endpoint(
    channels: Target | Mapping[str, Target],
    *,
    socket_id: str | None = None,
    max_channels: int = 100,
    limits: Limits | None = None,
    pubsub: PubSub | None = None,
    timeout: float | None = None,
) -> Endpoint:
    """An endpoint with one socket at ``/socket``; a single channel class answers to ``room:*``."""
    routes = channels if isinstance(channels, Mapping) else {"room:*": channels}
    given = max_channels

    class UserSocket(Socket):
        channels = routes
        max_channels = given

        def id(self) -> str | None:
            return socket_id

    endpoint = Endpoint(limits=limits, pubsub=pubsub)
    endpoint.socket("/socket", UserSocket, websocket=WebSocketOptions(timeout=timeout))
    return endpoint


@asynccontextmanager
async def serve(
    channels: Target | Mapping[str, Target], *, alone: bool = True, **options: Any
) -> AsyncGenerator[tuple[Endpoint, Server]]:
    """Serve such an endpoint; the keywords are those of :func:`make_endpoint` and :func:`serving`."""
    endpoint = make_endpoint(channels, **options)
    async with serving(endpoint, alone=alone) as server:
        yield endpoint, server
