"""Django Channels on daphne, with the layer in memory."""

from typing import Any

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="not a secret: this application is for measurements only",
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

# These look at the settings when they are imported.
from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from daphne.server import Server  # noqa: E402

from benchmarks.peers.serving import listen  # noqa: E402


class Everybody(AsyncWebsocketConsumer):  # type: ignore[misc]  # it has no annotations
    groups = ("everybody",)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.channel_layer.group_send("everybody", {"type": "fan", "text": text_data})

    async def fan(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])


if __name__ == "__main__":
    listener = listen()
    Server(Everybody.as_asgi(), endpoints=[f"fd:fileno={listener.fileno()}"]).run()
