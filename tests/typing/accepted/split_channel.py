"""A channel in a module of its own: the socket is imported for type checkers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from phoenix_channels import Channel, Reply, incoming

if TYPE_CHECKING:
    from tests.typing.accepted.application import UserSocket


class ProfileChannel(Channel["UserSocket"]):
    @incoming
    async def show(self, payload: Any) -> Reply:
        assert_type(self.socket.user_id, str)
        return Reply.ok({"user": self.socket.user_id})
