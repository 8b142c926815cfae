"""Channels on a server of threads, with nothing but the protocol core.

Run it: ``python -m examples.quickstart.guides.sans_io``.
"""

import os
from collections import deque
from collections.abc import Sequence

from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from phoenix_channels.protocol.connection import Connection
from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.events import Event, JoinRequested, LeaveRequested, MessageReceived
from phoenix_channels.protocol.messages import Opcode
from phoenix_channels.protocol.params import decode_params
from phoenix_channels.protocol.serializers import SERIALIZERS, Serializer
from phoenix_channels.protocol.topics import Routes
from phoenix_channels.protocol.versions import DEFAULT_VSN


# Step 1
def serializer_of(request: Request) -> Serializer | None:
    _, _, query = request.path.partition("?")
    return SERIALIZERS.negotiate(decode_params(query.encode()).get("vsn", DEFAULT_VSN))


def process_request(websocket: ServerConnection, request: Request) -> Response | None:
    return None if serializer_of(request) is not None else websocket.respond(403, "")


# Step 2
ROUTES: Routes[str] = Routes([("echo:*", "echo")])


def handler(websocket: ServerConnection) -> None:
    assert websocket.request is not None
    serializer = serializer_of(websocket.request)
    assert serializer is not None
    connection = Connection(serializer, ROUTES)

    # Step 3
    for data in websocket:
        opcode = Opcode.TEXT if isinstance(data, str) else Opcode.BINARY
        try:
            received = connection.receive(data, opcode)
        except RemoteProtocolError as error:
            websocket.close(error.close_code)
            return

        events = deque(received)
        while events:
            events.extend(handle(connection, events.popleft()))

        # Step 5
        for frame in connection.frames_to_send():
            websocket.send(frame.text if frame.opcode is Opcode.TEXT else frame.data)


# Step 4
def handle(connection: Connection[str], event: Event[str]) -> Sequence[Event[str]]:
    match event:
        case JoinRequested(entry=entry):
            return connection.accept_join(entry)
        case MessageReceived(entry=entry, event=name, payload=payload, ref=ref):
            if name != entry.target:
                return connection.crash_channel(entry)
            connection.reply(entry, ref, "ok", payload)
        case LeaveRequested(entry=entry, ref=ref):
            connection.reply(entry, ref, "ok")
            following = connection.close_channel(entry)
            connection.terminated(entry)
            return following
        case _:
            pass
    return ()


# End


def main() -> None:
    port = int(os.environ.get("PORT", "4000"))
    with serve(handler, "127.0.0.1", port, process_request=process_request) as server:
        print("ws://{}:{}/websocket".format(*server.socket.getsockname()), flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
