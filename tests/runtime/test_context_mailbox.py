"""What waits for one channel is bounded, whoever sends it."""

import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest

from phoenix_channels import Channel, Limits, MailboxFull, intercept
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import Journal, settle


async def test_send_beyond_the_bound_raises_and_loses_nothing_before() -> None:
    journal, release = Journal(), anyio.Event()
    channels: list[Channel] = []

    class RoomChannel(Channel):
        async def after_join(self) -> None:
            channels.append(self)
            await release.wait()

        async def handle_info(self, message: object) -> None:
            journal.add(message)

    async with serve(RoomChannel, limits=Limits(mailbox_messages=5)) as (_, server):
        client = await server.joined("room:a")
        await settle()
        for n in range(5):
            channels[0].send(n)
        with pytest.raises(MailboxFull, match=r"mailbox_messages=5"):
            channels[0].send(5)
        with pytest.raises(MailboxFull):
            await anyio.to_thread.run_sync(channels[0].send, 5)
        release.set()
        await journal.wait_length(5)
        channels[0].send(6)
        await settle()
        await client.receive_nothing()
    assert journal.entries == [0, 1, 2, 3, 4, 6]


@pytest.mark.parametrize("source", ["subscribed", "intercepted", "timer", "thread"])
async def test_what_cannot_be_refused_crashes_a_channel_that_does_not_keep_up(source: str) -> None:
    """A client whose channel has missed something joins anew, instead of trusting a wrong picture."""
    journal, release = Journal(), anyio.Event()
    channels: list[Channel] = []

    class RoomChannel(Channel):
        async def after_join(self) -> None:
            channels.append(self)
            await self.subscribe("elsewhere")
            journal.add("busy")
            await release.wait()

        @intercept("out")
        async def out(self, payload: Any) -> None:
            raise AssertionError

        async def handle_info(self, message: object) -> None:
            raise AssertionError

        async def terminate(self, reason: object) -> None:
            journal.add(type(reason))

    async with serve(RoomChannel, limits=Limits(mailbox_messages=3)) as (endpoint, server):
        client = await server.joined("room:a")
        await journal.wait_for("busy")
        (channel,) = channels
        threads = []
        for n in range(6):
            match source:
                case "subscribed":
                    endpoint.broadcast("elsewhere", "event", {"n": n})
                case "intercepted":
                    endpoint.broadcast("room:a", "out", {"n": n})
                case "timer":
                    channel.send_after(0, n)
                case _:
                    # There is room as long as this loop is held up here, and none any more when they arrive.
                    threads.append(threading.Thread(target=channel.send, args=(n,)))
                    threads[-1].start()
        for thread in threads:
            thread.join()
        await settle()
        release.set()
        assert await client.receive() == frames.crashed("1", "room:a")
        await client.receive_nothing()
    assert journal.entries == ["busy", MailboxFull]
