"""Channels in Litestar.  Run it: ``uvicorn examples.mounting.litestar_app:app``."""

from litestar import Litestar, asgi, post
from litestar.types import Receive, Scope, Send

from examples.quickstart.server import UserSocket
from phoenix_channels import Endpoint

endpoint = Endpoint()
endpoint.socket("/socket", UserSocket)


@post("/say", status_code=204, sync_to_thread=True)
def say(text: str) -> None:
    endpoint.broadcast("room:lobby", "new_message", {"body": text})


@asgi("/", is_mount=True, copy_scope=True)
async def channels(scope: Scope, receive: Receive, send: Send) -> None:
    await endpoint(scope, receive, send)


app = Litestar([say, channels], lifespan=[endpoint.lifespan])
