"""Clients that join a topic, and never read again."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.uri import parse_uri

# As much as a client far away takes at most. Loopback's own would hide megabytes of what has not been read.
RECEIVE_BUFFER = 64 * 1024
JOIN = b'["1","1","bench:0","phx_join",{}]'


@contextmanager
def dead_readers(count: int, port: int, path: str) -> Iterator[None]:
    """So many members of the load generator's topic, to whom everything is sent and who take nothing."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(join(port, path))
        yield


def join(port: int, path: str) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", port))
    protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}{path}?vsn=2.0.0"))
    protocol.send_request(protocol.connect())
    exchange(connection, protocol)
    if protocol.handshake_exc is not None:
        raise protocol.handshake_exc
    protocol.send_text(JOIN)
    reply = exchange(connection, protocol)
    if not (isinstance(reply, Frame) and b'"status":"ok"' in reply.data):
        raise ConnectionError(f"the server answers {reply} to a join")
    return connection


def exchange(connection: socket.socket, protocol: ClientProtocol) -> object:
    """Send what there is to send, and wait for one event."""
    for data in protocol.data_to_send():
        connection.sendall(data)
    while not (events := protocol.events_received()):
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("the server has hung up on a client that joins")
        protocol.receive_data(data)
    return events[0]
