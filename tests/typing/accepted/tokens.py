"""Tokens, with whatever leads to a secret."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, assert_type

from phoenix_channels import Channel, ConnectInfo, ConnectRefused, Endpoint, RawSocket, Socket
from phoenix_channels.token import Atom, TokenError, TokenExpired, decrypt, encrypt, sign, verify


class RoomChannel(Channel["UserSocket"]):
    def join(self, payload: Any) -> dict[str, str]:
        return {"token": sign(self, "room", {"topic": self.topic, Atom("at"): 1.5, 3: [None, (b"x", True)]})}


class UserSocket(Socket):
    channels = {"room:*": RoomChannel}

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        try:
            self.user_id: int = verify(self, "user socket", params.get("token"), max_age=60)
        except TokenExpired:
            raise ConnectRefused("expired") from None
        except TokenError as error:
            raise ConnectRefused from error


class PriceSocket(RawSocket):
    def init(self) -> None:
        self.push(sign(self, "prices", None))


endpoint = Endpoint(secret_key_base="x" * 64)
assert_type(endpoint.secret_key_base, str | None)
assert_type(sign("x" * 64, "link", 1, signed_at=0, max_age=math.inf, key_digest="sha512"), str)
assert_type(encrypt(endpoint, "link", 1, max_age=0.5, key_iterations=2000), str)
assert_type(verify(endpoint, "link", b"what somebody has sent", key_length=64), Any)
assert_type(decrypt(endpoint, "link", None), Any)
