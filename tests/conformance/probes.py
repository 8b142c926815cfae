"""What the recorded scenarios do not show of a server: how it treats a client that does not read, and how it ends.

Phoenix was not recorded with these.  That it drains in rounds is P-088.
"""

import asyncio

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.conformance.results import commas
from tests.conformance.servers import AppProcess

SLOW_CLIENT = "a client that does not read"
SHUTDOWN = "what clients see of a shutdown"
PHOENIX = {SLOW_CLIENT: "not recorded", SHUTDOWN: "1012, in rounds"}


async def probe(process: AppProcess) -> dict[str, str]:
    """What becomes of one process, by name; it has ended then."""
    return {SLOW_CLIENT: await slow_client(process), SHUTDOWN: await shutdown(process)}


async def slow_client(process: AppProcess) -> str:
    """Have 40 MB echoed without reading them, and tell what becomes of it."""
    url = f"{process.url}/bench/websocket?vsn=2.0.0"
    async with connect(url, compression=None, max_size=None, max_queue=1, close_timeout=0.1) as client:
        await client.send('["1","1","bench:1","phx_join",{}]')
        await client.recv()
        message = f'["1","2","bench:1","ping",{{"x":"{"y" * 1_000_000}"}}]'
        try:
            async with asyncio.timeout(5):
                for _ in range(40):
                    await client.send(message)
            for _ in range(40):
                await client.recv()
        except ConnectionClosed:
            return "is closed"
        except TimeoutError:
            return "is held up"
        finally:
            client.transport.abort()
        return "has its messages pile up"


async def shutdown(process: AppProcess) -> str:
    """End a process, and tell what three clients see of it on a mount that drains one channel in half a second."""
    loop = asyncio.get_running_loop()
    url = f"{process.url}/drain/websocket?vsn=2.0.0"
    clients = [await connect(url, compression=None, close_timeout=0.1) for _ in range(3)]
    for client in clients:
        await client.send('["1","1","room:1","phx_join",{}]')
        await client.recv()

    async def ended(client: ClientConnection) -> tuple[int | None, float]:
        await asyncio.wait_for(client.wait_closed(), 20)
        return client.close_code, loop.time()

    process.terminate()
    ends = await asyncio.gather(*(ended(client) for client in clients))
    # The library's word for a connection that ended without a close frame is 1006.
    codes = commas("no close frame" if code == 1006 else str(code) for code, _ in ends)
    times = [time for _, time in ends]
    return f"{codes}, in rounds" if max(times) - min(times) > 0.5 else f"{codes}, all at once"
