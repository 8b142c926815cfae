"""``websockets``: its asyncio server and its ``broadcast``, which never waits for anybody."""

import asyncio

from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.peers.serving import listen

CONNECTIONS: set[ServerConnection] = set()


async def handler(connection: ServerConnection) -> None:
    CONNECTIONS.add(connection)
    try:
        async for message in connection:
            broadcast(CONNECTIONS, message)
    finally:
        CONNECTIONS.discard(connection)


async def main() -> None:
    async with serve(handler, sock=listen(), compression=None, ping_interval=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
