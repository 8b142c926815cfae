"""The channels, over a real server and a real connection."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
import websockets.asyncio.client
import websockets.exceptions

from examples.notifications.service import catch_up, endpoint, publish, store
from phoenix_channels import BroadcastQueueFull

if TYPE_CHECKING:
    from tests.examples.notifications.conftest import Client, Site

pytestmark = pytest.mark.anyio

GRACE = "notifications:grace"


async def notify(site: Site, text: str = "@grace look", author: str = "ada") -> int:
    """Post, and return the id of Grace's notification."""
    answer = await site.post(author, text)
    assert answer.status_code == 201
    return store.inbox("grace").notifications[0].id


@pytest.mark.parametrize("query", ["", "&token=", "&token=nonsense", "&token[]=a", "&token[x]=a", "&token=a%00b"])
async def test_no_valid_token_no_connection(site: Site, query: str) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus) as refusal:
        await websockets.asyncio.client.connect(f"{site.socket}?vsn=2.0.0{query}")
    assert refusal.value.response.status_code == 403


async def test_joining_replies_with_the_inbox(site: Site) -> None:
    async with site.connect("grace") as grace:
        assert await grace.join(GRACE) == (
            "ok",
            {"message": "Joined Notification:grace", "unread": 0, "notifications": []},
        )
    for number in range(22):
        await anyio.to_thread.run_sync(publish, "ada", f"@grace {number}")
    async with site.connect("grace") as grace:
        status, inbox = await grace.join(GRACE)
        assert (status, inbox["unread"]) == ("ok", 22)
        assert [one["body"] for one in inbox["notifications"]] == [f"@grace {number}" for number in range(21, 1, -1)]
        first = inbox["notifications"][0]
        assert {key: first[key] for key in ("author", "status", "read")} == {
            "author": "ada",
            "status": "pending",
            "read": False,
        }
        assert set(first) == {"id", "body", "author", "status", "read", "at"}


@pytest.mark.parametrize(
    "topic", ["notifications:ada", "notifications:", "notifications:GRACE", "user_approval_stats:ada"]
)
async def test_only_the_own_topics(site: Site, topic: str) -> None:
    async with site.connect("grace") as grace:
        assert await grace.join(topic) == ("error", {"reason": "unauthorized"})


async def test_other_topics_do_not_exist(site: Site) -> None:
    async with site.connect("grace") as grace:
        assert await grace.join("rooms:grace") == ("error", {"reason": "unmatched topic"})


async def test_a_mention_arrives_in_every_tab(site: Site) -> None:
    async with site.connect("grace") as one, site.connect("grace") as two, site.connect("linus") as linus:
        await one.join(GRACE)
        await two.join(GRACE)
        await linus.join("notifications:linus")
        first = await notify(site, "@grace @linus look at this")
        second = await notify(site, "@grace again", author="margaret")
        for tab in (one, two):
            assert await tab.event(GRACE, "new_notification") == {
                "id": first,
                "body": "@grace @linus look at this",
                "author": "ada",
                "unread": 1,
            }
            assert await tab.event(GRACE, "new_notification") == {
                "id": second,
                "body": "@grace again",
                "author": "margaret",
                "unread": 2,
            }
        news = await linus.event("notifications:linus", "new_notification")
        assert (news["author"], news["unread"]) == ("ada", 1)
        assert linus.events() == []


async def test_a_notification_of_a_client_reaches_its_tabs(site: Site) -> None:
    async with site.connect("grace") as one, site.connect("grace") as two:
        await one.join(GRACE)
        await two.join(GRACE)
        await one.connection.send('["1", "9", "notifications:grace", "new_notification", {"body": "<b>hi</b>"}]')
        for tab in (one, two):
            assert await tab.event(GRACE, "new_notification") == {"body": "<b>hi</b>"}
    assert store.inbox("grace").notifications == []


async def test_marking_one_read(site: Site) -> None:
    first, _ = await notify(site), await notify(site)
    async with site.connect("grace") as one, site.connect("grace") as two:
        await one.join(GRACE)
        await two.join(GRACE)
        assert await one.push(GRACE, "mark_read", {"id": first}) == ("ok", {"unread": 1})
        for tab in (one, two):
            changed = await tab.event(GRACE, "changed")
            assert (changed["id"], changed["read"], changed["status"]) == (first, True, "pending")
            assert await tab.event(GRACE, "unread") == {"unread": 1}
        assert await two.push(GRACE, "mark_read", {"id": first}) == ("ok", {"unread": 1})


async def test_marking_all_read(site: Site) -> None:
    await notify(site)
    await notify(site)
    async with site.connect("grace") as one, site.connect("grace") as two:
        await one.join(GRACE)
        await two.join(GRACE)
        assert await one.push(GRACE, "mark_read", {"all": True}) == ("ok", {"unread": 0})
        for tab in (one, two):
            assert await tab.event(GRACE, "unread") == {"unread": 0}
    assert all(notification.read for notification in store.inbox("grace").notifications)


async def test_approving_and_rejecting_move_the_authors_stats(site: Site) -> None:
    stats = "user_approval_stats:ada"
    async with site.connect("grace") as grace, site.connect("ada") as ada:
        await grace.join(GRACE)
        assert await ada.join(stats) == ("ok", {"approved": 0, "rejected": 0, "pending": 0})
        first = await notify(site)
        assert await ada.event(stats, "stats") == {"approved": 0, "rejected": 0, "pending": 1}
        second = await notify(site)
        assert await ada.event(stats, "stats") == {"approved": 0, "rejected": 0, "pending": 2}

        reply = await grace.push(GRACE, "approve", {"id": first})
        assert reply == ("ok", {"id": first, "status": "approved", "unread": 1})
        assert await ada.event(stats, "stats") == {"approved": 1, "rejected": 0, "pending": 1}
        changed = await grace.event(GRACE, "changed")
        assert (changed["id"], changed["status"], changed["read"]) == (first, "approved", True)
        assert await grace.event(GRACE, "unread") == {"unread": 1}

        reply = await grace.push(GRACE, "reject", {"id": second})
        assert reply == ("ok", {"id": second, "status": "rejected", "unread": 0})
        assert await ada.event(stats, "stats") == {"approved": 1, "rejected": 1, "pending": 0}
    async with site.connect("ada") as ada:
        assert await ada.join(stats) == ("ok", {"approved": 1, "rejected": 1, "pending": 0})


async def test_a_decision_is_made_once(site: Site) -> None:
    id = await notify(site)
    async with site.connect("grace") as grace:
        await grace.join(GRACE)
        again = ("ok", {"id": id, "status": "approved", "unread": 0})
        assert await grace.push(GRACE, "approve", {"id": id}) == again
        assert await grace.push(GRACE, "approve", {"id": id}) == again
        assert await grace.push(GRACE, "reject", {"id": id}) == ("error", {"reason": "already approved"})


async def still_works(client: Client) -> bool:
    return await client.push(GRACE, "mark_read", {"all": True}) == ("ok", {"unread": 0})


@pytest.mark.parametrize("event", ["approve", "reject", "mark_read"])
async def test_what_is_not_ones_own_is_not_found(site: Site, event: str) -> None:
    await site.post("ada", "@linus look")
    theirs = store.inbox("linus").notifications[0].id
    async with site.connect("grace") as grace:
        await grace.join(GRACE)
        for id in (theirs, theirs + 1, 2**63 - 1):
            assert await grace.push(GRACE, event, {"id": id}) == ("error", {"reason": "not found"})
        assert await still_works(grace)
    (untouched,) = store.inbox("linus").notifications
    assert (untouched.status, untouched.read) == ("pending", False)


@pytest.mark.parametrize(
    ("event", "payload"),
    [
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
    ],
)
async def test_payloads_that_make_no_sense(site: Site, event: str, payload: Any) -> None:
    async with site.connect("grace") as grace:
        await grace.join(GRACE)
        status, response = await grace.push(GRACE, event, payload)
        assert (status, response["reason"]) == ("error", "invalid payload")
        assert await still_works(grace)


async def test_disconnecting_a_user_ends_every_tab(site: Site) -> None:
    async with site.connect("grace") as one, site.connect("grace") as two, site.connect("ada") as ada:
        await one.join(GRACE)
        await endpoint.disconnect("users_socket:grace")
        for tab in (one, two):
            with anyio.fail_after(10):
                await tab.connection.wait_closed()
            assert tab.connection.close_code == 1001
        assert (await ada.join("notifications:ada"))[0] == "ok"


async def test_a_full_queue_costs_the_news_and_not_the_post(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def flood(size: int) -> None:
        while True:
            endpoint.broadcast(GRACE, "flood", {"text": "x" * size})

    def flood_and_publish() -> None:
        for size in (1_000_000, 1_000, 1):  # to the last byte
            with pytest.raises(BroadcastQueueFull):
                flood(size)
        publish("ada", "@grace hello")

    thread = threading.Thread(target=flood_and_publish)
    async with endpoint.subscribe(GRACE):
        thread.start()
        thread.join()  # and so the event loop does not deliver meanwhile
    assert "no room to broadcast new_notification on notifications:grace" in caplog.messages
    async with site.connect("grace") as grace:
        _, inbox = await grace.join(GRACE)
        assert [one["body"] for one in inbox["notifications"]] == ["@grace hello"]


async def test_a_join_catches_up_with_what_it_missed(site: Site) -> None:
    """Between the reading of a join's reply and its subscription a post may happen: then the inbox follows."""
    async with site.connect("grace") as grace:
        await grace.join(GRACE)
        before = store.inbox("grace")
        id = await notify(site)
        await grace.event(GRACE, "new_notification")
        await anyio.to_thread.run_sync(catch_up, "grace", before)
        inbox = await grace.event(GRACE, "inbox")
        assert (inbox["unread"], [one["id"] for one in inbox["notifications"]]) == (1, [id])

        await anyio.to_thread.run_sync(catch_up, "grace", store.inbox("grace"))  # nothing was missed: silence
        assert await still_works(grace)
        assert grace.events() == ["unread"]
