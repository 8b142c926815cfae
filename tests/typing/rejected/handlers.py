"""Handlers that cannot work."""

from typing import Any

from msgspec import Struct

from phoenix_channels import Channel, Reply, Stop, incoming, intercept


class Message(Struct):
    body: str


class WrongChannel(Channel):
    @incoming  # error
    async def returns_text(self, payload: Message) -> str:
        return payload.body

    @incoming  # error
    def returns_dict(self, payload: Message) -> dict[str, str]:
        return {"body": payload.body}

    @incoming("two")  # error
    async def takes_two(self, payload: Message, more: Message) -> None: ...

    @incoming  # error
    async def takes_none(self) -> None: ...

    @intercept("secret")  # error
    async def replies_to_nobody(self, payload: Any) -> Reply:
        return Reply.ok()

    @incoming
    async def misspelt(self, payload: Message) -> None:
        self.push("message", {"body": payload.boddy})  # error

    @incoming
    async def plain_push(self, payload: Message) -> None:
        await self.push("message", {})  # error

    async def join(self, payload: Any, socket: Any) -> None: ...  # error

    async def terminate(self, reason: object) -> Stop:  # error
        return Stop()
