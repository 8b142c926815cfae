"""Starlette on uvicorn with the connection manager that tutorials show; it sends to all at once, not one by one."""

import asyncio

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from benchmarks.peers.serving import run_uvicorn


class ConnectionManager:
    def __init__(self) -> None:
        self.active: set[WebSocket] = set()

    async def connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self.active.add(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        self.active.discard(websocket)

    async def broadcast(self, message: str) -> None:
        # A client that has just gone must not keep the others from their message.
        await asyncio.gather(*(websocket.send_text(message) for websocket in self.active), return_exceptions=True)


manager = ConnectionManager()


async def everybody(websocket: WebSocket) -> None:
    await manager.connect(websocket)
    try:
        async for message in websocket.iter_text():
            await manager.broadcast(message)
    finally:
        manager.disconnect(websocket)


application = Starlette(routes=[WebSocketRoute("/", everybody)])

if __name__ == "__main__":
    run_uvicorn(application)
