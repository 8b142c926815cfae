"""Who is present, as the server tells."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from phoenix_channels import Endpoint
from phoenix_channels.client import Channel, Errored, Joined, Presence, PresenceJoined, PresenceLeft, Socket
from tests.client.app import these
from tests.support.clients import connected, until
from tests.support.loops import settle, soon


def metas(*refs: str) -> dict[str, Any]:
    return {"metas": [{"phx_ref": ref} for ref in refs]}


def state(**presences: Any) -> tuple[str, Any]:
    return "presence_state", presences


def diff(joins: dict[str, Any] | None = None, leaves: dict[str, Any] | None = None) -> tuple[str, Any]:
    return "presence_diff", {"joins": joins or {}, "leaves": leaves or {}}


async def changes(presence: Presence, count: int) -> list[tuple[str, str]]:
    """What has changed: the sign of each change, and its key."""
    taken = [await soon(anext(presence)) for _ in range(count)]
    return [("+" if isinstance(change, PresenceJoined) else "-", change.key) for change in taken]


async def test_who_was_there_before_anybody_looked_is_told(channel: Channel) -> None:
    await channel.push("say", these(state(ada=metas("1"), grace=metas("2", "3"))))
    async with channel.presence() as presence:
        await soon(presence.synced())
        assert presence.list() == {"ada": metas("1"), "grace": metas("2", "3")}
        assert await changes(presence, 2) == [("+", "ada"), ("+", "grace")]


async def test_who_comes_and_goes_is_told(channel: Channel) -> None:
    async with channel.presence() as presence:
        assert presence.list() == {}
        await channel.push("say", these(state(), diff(joins={"ada": metas("1")}), diff(leaves={"ada": metas("1")})))
        joined, left = await soon(anext(presence)), await soon(anext(presence))
        assert joined == PresenceJoined("ada", None, metas("1"))
        assert left == PresenceLeft("ada", {"metas": []}, metas("1"))
        assert presence.list() == {}


async def test_every_look_sees_everything(channel: Channel) -> None:
    async with channel.presence() as first, channel.presence() as second:
        await channel.push("say", these(state(ada=metas("1"))))
        for presence in (first, second):
            assert await changes(presence, 1) == [("+", "ada")]
    async with channel.presence() as third:
        assert await changes(third, 1) == [("+", "ada")]


async def test_the_messages_are_messages_as_well(channel: Channel) -> None:
    await channel.push("say", these(state(ada=metas("1"))))
    message = await soon(anext(channel))
    assert (message.event, message.payload) == ("presence_state", {"ada": metas("1")})


async def test_after_a_rejoin_it_is_told_what_has_changed(socket: Socket, channel: Channel) -> None:
    await channel.push("say", these(state(ada=metas("1"), grace=metas("2"))))
    async with channel.presence() as presence:
        assert await changes(presence, 2) == [("+", "ada"), ("+", "grace")]
        channel.push_nowait("crash")
        await until(socket, Errored, Joined)
        # What was known stays until the state of this join has come, and diffs wait for it.
        await channel.push("say", these(diff(joins={"alan": metas("3")})))
        assert presence.list().keys() == {"ada", "grace"}
        await channel.push("say", these(state(grace=metas("2"))))
        assert await changes(presence, 2) == [("-", "ada"), ("+", "alan")]
        assert presence.list() == {"grace": metas("2"), "alan": metas("3")}


async def test_what_nobody_takes_is_dropped_and_counted(endpoint: Endpoint) -> None:
    async with connected(endpoint, max_messages=2) as socket:
        channel = await socket.join("room:a")
        async with channel.presence() as presence:
            await channel.push("say", these(state(**{key: metas(key) for key in "abcde"})))
            assert presence.dropped == 3
            assert await changes(presence, 2) == [("+", "d"), ("+", "e")]
            assert presence.list().keys() == set("abcde")
        # Behind the block nobody looks.
        await channel.push("say", these(state()))
        assert presence.dropped == 3


async def test_it_ends_with_the_channel(channel: Channel) -> None:
    async with channel.presence() as presence, anyio.create_task_group() as group:

        async def watch() -> None:
            await presence.synced()
            assert [change async for change in presence] == []

        group.start_soon(watch)
        await settle()
        await soon(channel.leave())
    async with channel.presence() as late:
        assert [change async for change in late] == []


@pytest.mark.parametrize("looking", [True, False])
async def test_what_is_no_presence_is_ignored(
    channel: Channel, looking: bool, caplog: pytest.LogCaptureFixture
) -> None:
    nonsense = these(("presence_state", {"ada": 1}), ("presence_diff", {}), state(grace=metas("1")))
    if not looking:
        await channel.push("say", nonsense)
    async with channel.presence() as presence:
        if looking:
            await channel.push("say", nonsense)
        assert await changes(presence, 1) == [("+", "grace")]
    assert caplog.text.count("ignoring a presence_") == (2 if looking else 0)
