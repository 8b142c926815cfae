"""Tokens that are signed here, tokens that Phoenix has signed, and tokens that only the server can read."""

import math
import os
from collections.abc import Mapping
from typing import Any

from examples.quickstart.server import RoomChannel
from phoenix_channels import ConnectInfo, ConnectRefused, Endpoint, Socket
from phoenix_channels.token import Atom, TokenError, TokenExpired, decrypt, encrypt, sign, verify

# Start: sign
endpoint = Endpoint(secret_key_base=os.environ["SECRET_KEY_BASE"])


def token_for(user_id: int) -> str:
    return sign(endpoint, "user socket", user_id)


# End: sign


# Start: verify
class UserSocket(Socket):
    channels = {"room:*": RoomChannel}

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        try:
            self.user_id: int = verify(self, "user socket", info.auth_token, max_age=14 * 86_400)
        except TokenError as error:
            raise ConnectRefused from error


endpoint.socket("/socket", UserSocket, auth_token=True)
# End: verify


# Start: elixir
def role_in(token: object) -> tuple[int, str]:
    """Of a token by ``Phoenix.Token.sign(MyAppWeb.Endpoint, "api", %{user_id: 21, role: :admin})``."""
    claims = verify(endpoint, "api", token)
    return claims["user_id"], claims["role"]


def token_for_elixir(user_id: int, role: str) -> str:
    """The same token, for ``Phoenix.Token.verify(MyAppWeb.Endpoint, "api", token)``."""
    return sign(endpoint, "api", {Atom("user_id"): user_id, Atom("role"): Atom(role)})


# End: elixir


# Start: encrypt
def invitation(address: str) -> str:
    return encrypt(endpoint, "invitation", {"address": address}, max_age=3600)


def accept(token: object) -> str:
    try:
        address: str = decrypt(endpoint, "invitation", token)["address"]
    except TokenExpired:
        return "Ask for another invitation: this one was good for an hour."
    except TokenError:
        return "This is no invitation."
    return f"Welcome, {address}."


# End: encrypt


# Start: for ever
def unsubscribe_link(user_id: int) -> str:
    return f"https://example.com/unsubscribe/{sign(endpoint, 'unsubscribe', user_id, max_age=math.inf)}"


# End: for ever
