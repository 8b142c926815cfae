"""Litestar's channels on uvicorn, with the memory backend."""

from typing import Any

from litestar import Litestar, WebSocket, websocket
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend

from benchmarks.peers.serving import run_uvicorn


@websocket("/")
async def everybody(socket: WebSocket[Any, Any, Any], channels: ChannelsPlugin) -> None:
    await socket.accept()
    async with (
        channels.start_subscription(["everybody"]) as subscriber,
        subscriber.run_in_background(socket.send_text),
    ):
        async for message in socket.iter_data("text"):
            channels.publish(message, "everybody")


application = Litestar([everybody], plugins=[ChannelsPlugin(MemoryChannelsBackend(), channels=["everybody"])])

if __name__ == "__main__":
    run_uvicorn(application)
