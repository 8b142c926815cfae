"""Who may connect: pages of which hosts, users with a token, and what the others are told."""

import json
from collections.abc import Mapping
from typing import Any

from examples.quickstart.server import RoomChannel
from phoenix_channels import (
    ConnectInfo,
    ConnectRefused,
    Endpoint,
    Origin,
    Request,
    Response,
    Socket,
    WebSocketOptions,
)

TOKENS = {"token-of-ada": "ada", "token-of-mallory": "mallory"}
BANNED = {"mallory"}
CUSTOMERS = {"shop.example.org"}


def verify(token: str | None) -> str | None:
    """The user whom a token belongs to.  A real one is signed and expires, or is a row in a database."""
    return TOKENS.get(token or "")


# Start: origins
endpoint = Endpoint(check_origin=["https://example.com", "//*.example.com"])
# End: origins


# Start: token
class UserSocket(Socket):
    channels = {"room:*": RoomChannel}

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        user_id = verify(info.auth_token)
        if user_id is None:
            raise ConnectRefused
        if user_id in BANNED:
            raise ConnectRefused("banned")
        self.user_id = user_id

    def id(self) -> str:
        return f"users_socket:{self.user_id}"


endpoint.socket("/socket", UserSocket, auth_token=True)
# End: token


# Start: function
def is_customer(origin: Origin) -> bool:
    return origin.scheme == "https" and origin.host in CUSTOMERS


endpoint.socket("/embedded", UserSocket, auth_token=True, check_origin=is_customer)
# End: function


# Start: refused
def explain(_: Request, reason: object) -> Response:
    body = json.dumps({"reason": reason}).encode()
    return Response(403, body, headers=(("content-type", "application/json"),))


endpoint.socket("/explained", UserSocket, auth_token=True, websocket=WebSocketOptions(error_handler=explain))
# End: refused


# Start: info
class ProjectSocket(Socket):
    channels = {"room:*": RoomChannel}

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        self.project_id: str = params["project_id"]
        self.address = info.peer_data.address
        self.region = info.extra["region"]


endpoint.socket("/projects/:project_id", ProjectSocket, connect_info=["peer_data"], extra={"region": "eu"})
# End: info
