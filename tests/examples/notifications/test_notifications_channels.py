"""The channels of the example, tested with the kit: no server, no network, and no time that passes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from examples.notifications import service
from examples.notifications.channels import NotificationChannel, UserApprovalStatsChannel, UserSocket
from examples.notifications.service import catch_up, publish, store
from phoenix_channels import BroadcastQueueFull, Endpoint
from phoenix_channels.testing import ChannelCase, ConnectedSocket, JoinedChannel, JoinRefused, Refused, fake_clock


# Start: fixtures
@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return fake_clock(request.param)


@pytest.fixture
def phoenix_endpoint(database: Path) -> Iterator[Endpoint]:
    """What the fixture ``phoenix`` connects to."""
    store.open()
    yield service.endpoint
    store.close()


# End: fixtures


# Start: helpers
async def sign_in(phoenix: ChannelCase, user: str) -> ConnectedSocket[UserSocket]:
    known = store.user(user)
    assert known is not None
    return await phoenix.connect({"token": service.log_in(known)}, socket_class=UserSocket)


async def open_tab(phoenix: ChannelCase, user: str) -> JoinedChannel[NotificationChannel]:
    socket = await sign_in(phoenix, user)
    tab = await socket.join(f"notifications:{user}", channel_class=NotificationChannel)
    await tab.refute_push()  # nor did after_join, which is over then, find anything new
    return tab


async def post(text: str, author: str = "ada") -> int:
    """Post, and return the id of Grace's notification."""
    await anyio.to_thread.run_sync(publish, author, text)
    return store.inbox("grace").notifications[0].id


# End: helpers


@pytest.mark.parametrize("params", [{}, {"token": ""}, {"token": "nonsense"}, {"token": ["a"]}, {"token": {"x": "a"}}])
async def test_no_valid_token_no_connection(phoenix: ChannelCase, params: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        await phoenix.connect(params)
    assert refused.value.response.status == 403


# Start: join
async def test_joining_replies_with_the_inbox(phoenix: ChannelCase) -> None:
    grace = await open_tab(phoenix, "grace")
    assert grace.reply == {"message": "Joined Notification:grace", "unread": 0, "notifications": []}


@pytest.mark.parametrize("topic", ["notifications:ada", "notifications:GRACE", "user_approval_stats:ada"])
async def test_only_the_own_topics(phoenix: ChannelCase, topic: str) -> None:
    socket = await sign_in(phoenix, "grace")
    with pytest.raises(JoinRefused) as refused:
        await socket.join(topic)
    assert refused.value.response == {"reason": "unauthorized"}


# End: join


async def test_other_topics_do_not_exist(phoenix: ChannelCase) -> None:
    with pytest.raises(JoinRefused) as refused:
        await (await sign_in(phoenix, "grace")).join("rooms:grace")
    assert refused.value.response == {"reason": "unmatched topic"}


async def test_the_inbox_has_the_newest_twenty(phoenix: ChannelCase) -> None:
    for number in range(22):
        await post(f"@grace {number}")
    inbox = (await open_tab(phoenix, "grace")).reply
    assert inbox["unread"] == 22
    assert [one["body"] for one in inbox["notifications"]] == [f"@grace {number}" for number in range(21, 1, -1)]
    newest = {"id": 22, "body": "@grace 21", "author": "ada", "status": "pending", "read": False}
    assert inbox["notifications"][0] == newest | {"at": inbox["notifications"][0]["at"]}


# Start: mention
async def test_a_mention_arrives_in_every_tab(phoenix: ChannelCase) -> None:
    one, two = await open_tab(phoenix, "grace"), await open_tab(phoenix, "grace")
    linus = await open_tab(phoenix, "linus")
    first = await post("@grace @linus look at this")
    second = await post("@grace again", author="margaret")
    for tab in (one, two):
        news = {"body": "@grace @linus look at this", "author": "ada", "unread": 1}
        await tab.assert_push("new_notification", {"id": first, **news})
        news = {"body": "@grace again", "author": "margaret", "unread": 2}
        await tab.assert_push("new_notification", {"id": second, **news})
    await linus.assert_push("new_notification", {"author": "ada", "unread": 1})
    await linus.refute_push()


# End: mention


async def test_a_notification_of_a_client_reaches_its_tabs(phoenix: ChannelCase) -> None:
    one, two = await open_tab(phoenix, "grace"), await open_tab(phoenix, "grace")
    pushed = one.push("new_notification", {"body": "<b>hi</b>"})
    for tab in (one, two):
        assert await tab.assert_push("new_notification") == {"body": "<b>hi</b>"}
    await pushed.refute_reply()
    assert store.inbox("grace").notifications == []


async def test_marking_one_read(phoenix: ChannelCase) -> None:
    first, _ = await post("@grace look"), await post("@grace look")
    one, two = await open_tab(phoenix, "grace"), await open_tab(phoenix, "grace")
    await one.push("mark_read", {"id": first}).assert_reply("ok", {"unread": 1})
    for tab in (one, two):
        await tab.assert_push("changed", {"id": first, "read": True, "status": "pending"})
        await tab.assert_push("unread", {"unread": 1})
    await two.push("mark_read", {"id": first}).assert_reply("ok", {"unread": 1})


async def test_marking_all_read(phoenix: ChannelCase) -> None:
    await post("@grace look")
    await post("@grace look")
    one, two = await open_tab(phoenix, "grace"), await open_tab(phoenix, "grace")
    await one.push("mark_read", {"all": True}).assert_reply("ok", {"unread": 0})
    for tab in (one, two):
        await tab.assert_push("unread", {"unread": 0})
    assert all(notification.read for notification in store.inbox("grace").notifications)


# Start: stats
async def test_approving_and_rejecting_move_the_authors_stats(phoenix: ChannelCase) -> None:
    grace = await open_tab(phoenix, "grace")
    ada = await sign_in(phoenix, "ada")
    stats = await ada.join("user_approval_stats:ada", channel_class=UserApprovalStatsChannel)
    assert stats.reply == {"approved": 0, "rejected": 0, "pending": 0}

    first = await post("@grace look")
    await stats.assert_push("stats", {"pending": 1})
    second = await post("@grace look")
    await stats.assert_push("stats", {"pending": 2})

    approved = {"id": first, "status": "approved", "unread": 1}
    await grace.push("approve", {"id": first}).assert_reply("ok", approved)
    await stats.assert_push("stats", {"approved": 1, "rejected": 0, "pending": 1})
    await grace.assert_push("changed", {"id": first, "status": "approved", "read": True})
    await grace.assert_push("unread", {"unread": 1})

    rejected = {"id": second, "status": "rejected", "unread": 0}
    await grace.push("reject", {"id": second}).assert_reply("ok", rejected)
    await stats.assert_push("stats", {"approved": 1, "rejected": 1, "pending": 0})


# End: stats


# Start: make
async def test_the_numbers_are_those_of_the_last_seven_days(phoenix: ChannelCase) -> None:
    async with phoenix.make_socket(UserSocket, user=store.user("ada")) as socket:
        stats = await socket.join("user_approval_stats:ada", channel_class=UserApprovalStatsChannel)
    assert stats.server.period == 7


# End: make


async def test_a_decision_is_made_once(phoenix: ChannelCase) -> None:
    id = await post("@grace look")
    grace = await open_tab(phoenix, "grace")
    for _ in range(2):
        approved = {"id": id, "status": "approved", "unread": 0}
        await grace.push("approve", {"id": id}).assert_reply("ok", approved)
    await grace.push("reject", {"id": id}).assert_reply("error", {"reason": "already approved"})


@pytest.mark.parametrize("event", ["approve", "reject", "mark_read"])
async def test_what_is_not_ones_own_is_not_found(phoenix: ChannelCase, event: str) -> None:
    publish("ada", "@linus look")
    theirs = store.inbox("linus").notifications[0].id
    grace = await open_tab(phoenix, "grace")
    for id in (theirs, theirs + 1, 2**63 - 1):
        await grace.push(event, {"id": id}).assert_reply("error", {"reason": "not found"})
    (untouched,) = store.inbox("linus").notifications
    assert (untouched.status, untouched.read) == ("pending", False)


NONSENSE = [
    ("approve", {}),
    ("approve", {"id": "1"}),
    ("approve", {"id": 0}),
    ("approve", {"id": 2**63}),
    ("reject", {"id": None}),
    ("reject", []),
    ("mark_read", {}),
    ("mark_read", {"all": False}),
    ("mark_read", {"id": 1, "all": True}),
    ("mark_read", {"id": 1.5}),
    ("new_notification", {}),
    ("new_notification", {"body": ""}),
    ("new_notification", {"body": "x" * 1001}),
]


@pytest.mark.parametrize(("event", "payload"), NONSENSE)
async def test_payloads_that_make_no_sense(phoenix: ChannelCase, event: str, payload: Any) -> None:
    grace = await open_tab(phoenix, "grace")
    await grace.push(event, payload).assert_reply("error", {"reason": "invalid payload"})
    await grace.push("mark_read", {"all": True}).assert_reply("ok", {"unread": 0})


# Start: disconnect
async def test_disconnecting_a_user_ends_every_tab(phoenix: ChannelCase) -> None:
    one, two = await sign_in(phoenix, "grace"), await sign_in(phoenix, "grace")
    ada = await sign_in(phoenix, "ada")
    await phoenix.endpoint.disconnect("users_socket:grace")
    await one.assert_closed(1001)
    await two.assert_closed(1001)
    await ada.join("notifications:ada")


# End: disconnect


async def test_a_full_queue_costs_the_news_and_not_the_post(
    phoenix: ChannelCase, caplog: pytest.LogCaptureFixture
) -> None:
    def flood(size: int) -> None:
        while True:
            phoenix.endpoint.broadcast("notifications:grace", "flood", {"text": "x" * size})

    def flood_and_publish() -> None:
        for size in (1_000_000, 1_000, 1):  # to the last byte
            with pytest.raises(BroadcastQueueFull):
                flood(size)
        publish("ada", "@grace hello")

    thread = threading.Thread(target=flood_and_publish)
    async with phoenix.subscribe("notifications:grace"):
        thread.start()
        thread.join()  # and so the event loop does not deliver meanwhile
    assert "no room to broadcast new_notification on notifications:grace" in caplog.messages
    grace = await open_tab(phoenix, "grace")
    assert [one["body"] for one in grace.reply["notifications"]] == ["@grace hello"]


async def test_a_join_catches_up_with_what_it_missed(phoenix: ChannelCase) -> None:
    """Between the reading of a join's reply and its subscription a post may happen: then the inbox follows."""
    grace = await open_tab(phoenix, "grace")
    before = store.inbox("grace")
    id = await post("@grace look")
    await grace.assert_push("new_notification")
    await anyio.to_thread.run_sync(catch_up, "grace", before)
    await grace.assert_push("inbox", {"unread": 1, "notifications": [{"id": id}]})

    await anyio.to_thread.run_sync(catch_up, "grace", store.inbox("grace"))  # nothing was missed: silence
    await grace.refute_push()
