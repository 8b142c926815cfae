"""Broadcasts for raw sockets: ``subscribe`` and ``unsubscribe`` (P-077, P-087)."""

from typing import Any

import anyio
import anyio.to_thread
import pytest

from phoenix_channels import Broadcast, Endpoint, Limits, MailboxFull, WebSocketOptions
from tests.runtime.raw_sockets import BaseRawSocket, connect, endpoint_of, messages
from tests.support.asgi import assert_empty, serving
from tests.support.backplane import Broker
from tests.support.loops import Journal, settle, soon


class NewsSocket(BaseRawSocket):
    """Does what it is told with topics, and passes on what it hears."""

    async def handle_in(self, data: str | bytes) -> str:
        what, _, topic = str(data).partition(" ")
        await {"subscribe": self.subscribe, "unsubscribe": self.unsubscribe}[what](topic)
        return "done"

    def handle_info(self, message: Any) -> str:
        assert isinstance(message, Broadcast)
        return f"{message.topic} {message.event} {message.payload}"


def news_socket() -> type[NewsSocket]:
    class OwnSocket(NewsSocket):
        journal = Journal()

    return OwnSocket


async def test_broadcasts_come_from_subscribe_to_unsubscribe() -> None:
    endpoint = endpoint_of(news_socket())
    async with serving(endpoint) as server:
        client = await connect(server)
        for data in ("subscribe a", "subscribe b", "subscribe b"):
            client.send_nowait(data)
        await settle()
        assert messages(client) == ["done", "done", "done"]
        for topic in "abc":
            endpoint.broadcast(topic, "event", {"x": 1})
        endpoint.broadcast("a", "bytes", b"\x00")
        await settle()
        # P-077: each call adds a delivery.
        assert messages(client) == ["a event {'x': 1}", *(2 * ["b event {'x': 1}"]), r"a bytes b'\x00'"]
        for data in ("unsubscribe b", "unsubscribe never"):
            client.send_nowait(data)
        await settle()
        endpoint.broadcast("b", "event", {})
        endpoint.broadcast("a", "event", {})
        await settle()
        assert messages(client) == ["done", "done", "a event {}"]


async def test_subscriptions_end_with_the_connection_and_interests_are_given_back() -> None:
    node = Broker().node()
    endpoint = Endpoint(pubsub=node)
    socket_class = news_socket()
    endpoint.socket("/socket", socket_class, websocket=WebSocketOptions())
    async with serving(endpoint) as server:
        client = await connect(server)
        for data in ("subscribe a", "subscribe a", "subscribe b"):
            client.send_nowait(data)
        await settle()
        assert node.interests == {"user:1": 1, "a": 2, "b": 1}
        await client.close()
        assert not node.interests
        assert_empty(endpoint)


async def test_a_subscription_that_is_being_made_when_the_connection_ends() -> None:
    node = Broker().node()
    asked, release = anyio.Event(), anyio.Event()

    async def wait(topic: str) -> None:
        if topic == "a":
            asked.set()
            await release.wait()

    node.on_subscribe = wait
    endpoint = Endpoint(pubsub=node)
    socket_class = news_socket()
    endpoint.socket("/socket", socket_class)
    async with serving(endpoint) as server:
        client = await connect(server)
        client.send_nowait("subscribe a")
        await soon(asked.wait())
        await endpoint.disconnect("user:1")
        release.set()
        assert await client.receive_close() == 1001
        await client.wait_ended()
        assert not node.interests


async def test_a_socket_that_does_not_keep_up_with_its_broadcasts_is_closed() -> None:
    """It would have a wrong picture otherwise."""
    release = anyio.Event()

    class SlowSocket(NewsSocket):
        journal = Journal()

        async def handle_info(self, message: Any) -> str:  # type: ignore[override]
            await release.wait()
            return "done"

    endpoint = endpoint_of(SlowSocket, limits=Limits(mailbox_messages=5))
    async with serving(endpoint) as server:
        client = await connect(server)
        client.send_nowait("subscribe a")
        await settle()
        assert messages(client) == ["done"]
        for _ in range(20):
            endpoint.broadcast("a", "event", {})
        await settle()
        release.set()
        assert await client.receive_close() == 1011
        await client.wait_ended()
    ((_, reason),) = SlowSocket.journal.entries
    assert isinstance(reason, MailboxFull)


@pytest.mark.parametrize("what", ["subscribe", "unsubscribe"])
async def test_topics_belong_to_the_event_loop_and_are_strings(what: str) -> None:
    class ConfusedSocket(NewsSocket):
        journal = Journal()

        async def init(self) -> str:
            async def elsewhere() -> None:
                with pytest.raises(RuntimeError, match=rf"{what}.*event loop"):
                    await getattr(self, what)("a")

            await anyio.to_thread.run_sync(anyio.run, elsewhere)
            if what == "subscribe":
                with pytest.raises(TypeError, match="a topic is a string"):
                    await self.subscribe(7)  # type: ignore[arg-type]
            return "still here"

    async with serving(endpoint_of(ConfusedSocket)) as server:
        client = await connect(server)
        assert (await soon(client.outgoing.get()))["text"] == "still here"
