"""Broadcasts from every corner of one process, and listeners that are no channel."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from time import sleep

import anyio
from starlette.applications import Starlette
from starlette.routing import Mount

from examples.quickstart.server import UserSocket
from phoenix_channels import BroadcastQueueFull, Endpoint

endpoint = Endpoint()
endpoint.socket("/socket", UserSocket)


# Start: tell
def tell(body: str) -> None:
    endpoint.broadcast("room:lobby", "new_message", {"body": body})


# End: tell


# Start: task
async def count_down(seconds: int) -> None:
    for left in range(seconds, 0, -1):
        tell(f"{left} ...")
        await anyio.sleep(1)
    await endpoint.abroadcast("room:lobby", "new_message", {"body": "Go!"})


# End: task


# Start: full
def tell_all(bodies: Iterable[str]) -> None:
    """For a worker thread that produces faster than the event loop delivers: wait for it."""
    for body in bodies:
        while True:
            try:
                tell(body)
                break
            except BroadcastQueueFull:
                sleep(0.01)


# End: full


# Start: subscribe
class Archive:
    """Remembers what is said in the lobby, as a task beside the server."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    async def run(self) -> None:
        async with endpoint.subscribe("room:lobby") as broadcasts:
            async for broadcast in broadcasts:
                if broadcast.event == "new_message":
                    self.messages.append(broadcast.payload["body"])


# End: subscribe


# Start: lifespan
archive = Archive()


@asynccontextmanager
async def lifespan(app: object) -> AsyncGenerator[None]:
    async with endpoint.lifespan(app), anyio.create_task_group() as tasks:
        tasks.start_soon(archive.run)
        yield
        tasks.cancel_scope.cancel()


app = Starlette(routes=[Mount("/", endpoint)], lifespan=lifespan)
# End: lifespan
