"""Long polling with both versions of the protocol: the rows B042 to B049 of the inventory."""

from __future__ import annotations

import json
import logging
import re

import pytest

from phoenix_channels import Response, WebSocketOptions
from tests.features.app import socket_class
from tests.features.longpoll import LOBBY, ServeNodes, enter
from tests.support import frames
from tests.support.loops import Journal


@pytest.mark.feature("B042")
@pytest.mark.parametrize("query", ["reject=", "reject=a+reason"])
async def test_a_refused_connect(node: ServeNodes, version: int, query: str) -> None:
    def handle_error(request: object, reason: object) -> Response:
        raise AssertionError("this is for WebSockets")

    async with node(socket_class(Journal()), websocket=WebSocketOptions(error_handler=handle_error)) as running:
        session = running.session(version, query=query)
        assert await session.get() == {"status": 403}
        assert running.endpoint.statistics().connections == 0


@pytest.mark.feature("B043")
async def test_pages_of_allowed_origins_only(node: ServeNodes, version: int) -> None:
    async with node(socket_class(Journal()), check_origin=["https://example.com"]) as running:
        session = running.session(version)
        assert await session.get([("origin", "https://notallowed.com")]) == {"status": 403}
        await session.open([("origin", "https://example.com")])
        # Every request is checked.
        assert await session.get([("origin", "https://notallowed.com")]) == {"status": 403}


@pytest.mark.feature("B044")
async def test_the_params_of_a_join_are_logged_without_their_secrets(
    node: ServeNodes, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "phoenix_channels")
    async with node(socket_class(Journal())) as running:
        session = await running.opened(version)
        await session.start_join(LOBBY, {"user": "ada", "password": "hidden"})
        await session.fetch(3)
    (line,) = (text for record in caplog.records if (text := record.getMessage()).startswith("JOINED"))
    shown = re.escape("{'user': 'ada', 'password': '[FILTERED]'}")
    assert re.fullmatch(rf"JOINED {LOBBY} in \d+(µs|ms)\n  Parameters: {shown}", line)
    assert "hidden" not in caplog.text


@pytest.mark.feature("B045")
async def test_a_crash(node: ServeNodes, version: int) -> None:
    async with node(socket_class(Journal())) as running:
        session = await running.opened(version)
        await enter(running, session)
        await session.send(LOBBY, "boom")  # answered with 200
        left = frames.push(session.join_ref(LOBBY), LOBBY, "you_left", {"message": "bye"})
        assert await session.fetch(2) == [left, session.crashed(LOBBY)]
        await session.heartbeat()


@pytest.mark.feature("B046")
async def test_leaving(node: ServeNodes, version: int) -> None:
    async with node(socket_class(Journal())) as running:
        session = await running.opened(version)
        await enter(running, session)
        leave = {"topic": LOBBY, "event": "phx_leave", "payload": {}}
        for join_ref, ref in (("999", "7"), (None, "8")):
            message: object = (
                [join_ref, ref, LOBBY, "phx_leave", {}] if version == 2 else {**leave, "join_ref": join_ref, "ref": ref}
            )
            assert await session.post(json.dumps(message)) == 200
        assert await session.fetch(3) == [
            frames.reply(session.join_ref(LOBBY), "8", LOBBY),
            session.closed(LOBBY),
            frames.push(session.join_ref(LOBBY), LOBBY, "you_left", {"message": "bye"}),
        ]


@pytest.mark.feature("B047")
async def test_disconnect_ends_the_session(node: ServeNodes, version: int) -> None:
    journal = Journal()
    async with node(socket_class(journal)) as running:
        session = await running.opened(version, query="user=ada")
        for topic in ("room:1", "room:2"):
            await enter(running, session, topic)
        running.endpoint.broadcast("users:ada", "disconnect", {})
        await journal.wait_length(2)
        assert sorted(journal.entries) == [
            ("terminated", "room:1", ("shutdown", "disconnected")),
            ("terminated", "room:2", ("shutdown", "disconnected")),
        ]
        message, _ = session.encode("room:1", "note", {})
        assert await session.post(message) == 410
        # A new one: nothing of the old one is there to fetch.
        envelope = await session.get()
        assert (envelope["status"], envelope["messages"]) == (410, [])
        assert envelope["token"] != session.token


@pytest.mark.feature("B048")
async def test_a_version_that_nobody_speaks(node: ServeNodes, version: int, caplog: pytest.LogCaptureFixture) -> None:
    async with node(socket_class(Journal())) as running:
        assert await running.session(version, query="vsn=123.1.1").get() == {"status": 403}
    (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    for text in ("'123.1.1'", "~> 1.0.0", "~> 2.0.0"):
        assert text in record.getMessage()


@pytest.mark.feature("B049")
async def test_a_post_with_an_empty_content_type(node: ServeNodes, version: int) -> None:
    async with node(socket_class(Journal())) as running:
        session = await running.opened(version)
        for content_type in ("", None):
            # One message, line breaks and all.
            ref = "7" if content_type == "" else "8"
            message: object = [None, ref, "phoenix", "heartbeat", {}]
            if version == 1:
                message = {"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": ref}
            assert await session.post_body(json.dumps(message, indent=1).encode(), content_type) == 200
            assert await session.fetch(1) == [frames.reply(None, ref, "phoenix")]
