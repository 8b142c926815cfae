"""A chat room.  Run it: ``uvicorn examples.quickstart.server:app``."""

from msgspec import Struct

from phoenix_channels import Channel, Endpoint, Socket, incoming


class NewMessage(Struct):
    body: str


class RoomChannel(Channel):
    @incoming
    def new_message(self, payload: NewMessage) -> None:
        self.broadcast("new_message", payload)


class UserSocket(Socket):
    channels = {"room:*": RoomChannel}


app = Endpoint()
app.socket("/socket", UserSocket)
