"""python-socketio on uvicorn: one room, over the WebSocket transport from the beginning."""

from typing import Any

import socketio

from benchmarks.peers.serving import run_uvicorn

# The load generator does not answer Engine.IO's pings: the next one is due when the measurement is over.
server = socketio.AsyncServer(async_mode="asgi", ping_interval=600)


async def connect(sid: str, _environ: dict[str, Any]) -> None:
    await server.enter_room(sid, "everybody")


async def fan(_sid: str, payload: Any) -> None:
    await server.emit("fan", payload, room="everybody")


server.on("connect", connect)
server.on("fan", fan)
application = socketio.ASGIApp(server)

if __name__ == "__main__":
    run_uvicorn(application)
