"""The example as it is served: over HTTP and over a WebSocket, with a client that comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples.notifications.service import endpoint
from phoenix_channels.client import ConnectFailed, connect

if TYPE_CHECKING:
    from tests.examples.notifications.conftest import Site

pytestmark = pytest.mark.anyio


async def test_without_a_token_no_connection(site: Site) -> None:
    with pytest.raises(ConnectFailed) as failed:
        async with connect(site.socket, params={"token": "nonsense"}):
            pass
    assert failed.value.status == 403


async def test_a_post_arrives_in_the_browser_of_whom_it_mentions(site: Site) -> None:
    async with (
        connect(site.socket, params={"token": await site.token("grace")}) as grace,
        connect(site.socket, params={"token": await site.token("ada")}) as ada,
    ):
        inbox = await grace.join("notifications:grace")
        stats = await ada.join("user_approval_stats:ada")
        assert (inbox.reply["unread"], stats.reply["pending"]) == (0, 0)

        assert (await site.post("ada", "@grace look at this")).status_code == 201
        news = await anext(inbox)
        assert (news.event, news.payload["body"], news.payload["unread"]) == (
            "new_notification",
            "@grace look at this",
            1,
        )
        assert (await anext(stats)).payload == {"approved": 0, "rejected": 0, "pending": 1}

        response = await inbox.push("approve", {"id": news.payload["id"]})
        assert response == {"id": news.payload["id"], "status": "approved", "unread": 0}
        assert (await anext(stats)).payload == {"approved": 1, "rejected": 0, "pending": 0}


async def test_who_is_disconnected_comes_back_to_the_inbox(site: Site) -> None:
    async with connect(site.socket, params={"token": await site.token("grace")}) as grace:
        inbox = await grace.join("notifications:grace", rejoins=True)
        await endpoint.disconnect("users_socket:grace")
        again = await anext(inbox)
        assert (again.event, again.payload["message"]) == ("phx_join", "Joined Notification:grace")
        await site.post("ada", "@grace welcome back")
        assert (await anext(inbox)).payload["body"] == "@grace welcome back"
