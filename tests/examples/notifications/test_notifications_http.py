"""The HTTP side: posts, the demo's login, the page."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx
import pytest

from examples.notifications.service import endpoint, log_in, logged_in, store
from examples.notifications.store import Inbox, Stats, User
from phoenix_channels.token import sign

pytestmark = pytest.mark.anyio

ADA = User("ada", "Ada Lovelace")


async def post(http: httpx.AsyncClient, author: str, text: object) -> httpx.Response:
    login = await http.post("/demo/login", json={"user": author})
    headers = {"authorization": f"Bearer {login.json()['token']}", "content-type": "application/json"}
    return await http.post("/posts", content=json.dumps({"text": text}), headers=headers)


def nothing_stored() -> bool:
    return all(
        store.inbox(user.id) == Inbox(0, []) and store.stats(user.id, 7) == Stats(0, 0, 0) for user in store.users()
    )


async def test_a_post_notifies_everyone_mentioned_once(http: httpx.AsyncClient) -> None:
    async with (
        endpoint.subscribe("notifications:grace") as to_grace,
        endpoint.subscribe("notifications:linus") as to_linus,
    ):
        answer = await post(http, "ada", " @grace @linus @Grace @ada look at this ")
        assert answer.status_code == 201
        assert answer.json() == {"notified": ["grace", "linus"], "unknown": []}
        for user, broadcasts in (("grace", to_grace), ("linus", to_linus)):
            with anyio.fail_after(10):
                news = await anext(aiter(broadcasts))
            (stored,) = store.inbox(user).notifications
            assert news.event == "new_notification"
            assert news.payload == {
                "id": stored.id,
                "body": "@grace @linus @Grace @ada look at this",
                "author": "ada",
                "unread": 1,
            }
    assert store.inbox("ada") == Inbox(0, [])


async def test_unknown_names_are_listed_beside_the_notified(http: httpx.AsyncClient) -> None:
    answer = await post(http, "ada", "@grace @alan @bob")
    assert (answer.status_code, answer.json()) == (201, {"notified": ["grace"], "unknown": ["alan", "bob"]})


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("nobody is mentioned", []),
        ("@ada herself", []),
        ("@alan @Bob @ada", ["alan", "bob"]),
        ("mail to grace@example.com", []),
    ],
)
async def test_nobody_to_notify(http: httpx.AsyncClient, text: str, unknown: list[str]) -> None:
    answer = await post(http, "ada", text)
    assert answer.status_code == 422
    assert answer.json()["detail"]["unknown"] == unknown
    assert answer.json()["detail"]["message"]
    assert nothing_stored()


@pytest.mark.parametrize(
    "text",
    ["", "  \n\t ", "@grace " + "x" * 994, None, 5, ["@grace"], "@grace \ud800"],
    ids=lambda text: repr(text)[:12],
)
async def test_texts_that_are_none(http: httpx.AsyncClient, text: object) -> None:
    answer = await post(http, "ada", text)
    assert answer.status_code == 422
    assert nothing_stored()


async def test_a_thousand_characters_fit(http: httpx.AsyncClient) -> None:
    answer = await post(http, "ada", "@grace " + "\N{SNOWMAN}\N{GRINNING FACE}x" * 331)
    assert answer.status_code == 201
    assert len(store.inbox("grace").notifications[0].body) == 1000


async def test_the_token_decides_who_writes(http: httpx.AsyncClient) -> None:
    headers: list[dict[str, str]] = [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer nonsense"},
        {"authorization": "Basic YWRhOmFkYQ=="},
        {"authorization": f"Token {log_in(ADA)}"},
        {"authorization": f"Bearer {log_in(User('alan', 'Alan Turing'))}"},
        {"authorization": f"Bearer {sign(endpoint, 'logout', 'ada')}"},
        {"authorization": f"Bearer {sign(endpoint, 'login', 'ada', signed_at=0)}"},
    ]
    for header in headers:
        answer = await http.post("/posts", json={"text": "@grace"}, headers=header)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert nothing_stored()


async def test_counts_arrive_in_the_order_of_the_commits(http: httpx.AsyncClient) -> None:
    async with endpoint.subscribe("notifications:grace") as broadcasts:
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(post, http, "ada" if number % 2 else "linus", f"@grace {number}")
        seen: list[Any] = []
        with anyio.fail_after(10):
            async for broadcast in broadcasts:
                seen.append(broadcast.payload)
                if len(seen) == 40:
                    break
    assert [payload["unread"] for payload in seen] == list(range(1, 41))
    assert [payload["id"] for payload in seen] == sorted(payload["id"] for payload in seen)


async def test_the_demo_login(http: httpx.AsyncClient) -> None:
    users = (await http.get("/demo/users")).json()
    assert [user["id"] for user in users] == ["ada", "grace", "linus", "margaret"]
    assert all(set(user) == {"id", "name"} for user in users)
    login = await http.post("/demo/login", json={"user": "grace"})
    assert logged_in(login.json()["token"]) == User("grace", "Grace Hopper")
    assert (await http.post("/demo/login", json={"user": "nobody"})).status_code == 404
    assert (await http.post("/demo/login", json={})).status_code == 422


async def test_the_page_and_its_parts(http: httpx.AsyncClient) -> None:
    page = await http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for path, kind in (
        ("/assets/app.js", "text/javascript"),
        ("/assets/view.js", "text/javascript"),
        ("/assets/style.css", "text/css"),
        ("/assets/icon.svg", "image/svg+xml"),
    ):
        part = await http.get(path)
        assert part.status_code == 200
        assert part.headers["content-type"].startswith(kind)
    for path in ("/nothing", "/assets/../store.py", "/assets/%2e%2e/package.json", "/phoenix/../../../package.json"):
        assert (await http.get(path)).status_code == 404
