"""The requests of long polling that only strange clients make: the row C15 of the inventory."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from phoenix_channels import Endpoint, LongPollOptions
from tests.features.app import socket_class
from tests.features.clients import Serve, serve_in_memory
from tests.features.longpoll import LOBBY, NDJSON, SECRET, ServeNodes, Session, enter, serve_nodes
from tests.support import frames
from tests.support.loops import DEADLINE, Journal, settle

HEARTBEAT = b'[null,"%d","phoenix","heartbeat",{}]'


@pytest.mark.feature("C15")
@pytest.mark.parametrize(
    ("body", "refs"),
    [
        (HEARTBEAT % 1 + b"\n", "1"),
        (b"\n\r\n" + HEARTBEAT % 1 + b"\r\n\n" + HEARTBEAT % 2 + b"\n\n", "12"),
        (b"", ""),
        (b"\n", ""),
    ],
    ids=["trailing newline", "blank lines", "empty", "only a newline"],
)
@pytest.mark.parametrize("content_type", [NDJSON, f"{NDJSON}; charset=utf-8", "Application/X-NDJSON;charset=utf-8"])
async def test_blank_lines_and_a_charset(node: ServeNodes, body: bytes, refs: str, content_type: str) -> None:
    async with node(socket_class(Journal())) as running:
        session = await running.opened(2)
        assert await session.post_body(body, content_type) == 200
        if refs:
            assert await session.fetch(len(refs)) == [frames.reply(None, ref, "phoenix") for ref in refs]
        await session.heartbeat()


@pytest.mark.feature("C15")
async def test_objects_of_version_1_in_a_batch(node: ServeNodes) -> None:
    async with node(socket_class(Journal())) as running:
        session = await running.opened(1)
        messages = [session.encode("phoenix", "heartbeat")[0] for _ in range(2)]
        assert await session.post_body("\n".join(map(str, messages)).encode()) == 200
        assert await session.fetch(2) == [frames.reply(None, ref, "phoenix") for ref in "12"]


@pytest.mark.feature("C15")
@pytest.mark.parametrize("content_type", [NDJSON, "application/json"])
async def test_a_body_that_is_too_large(node: ServeNodes, content_type: str) -> None:
    async with node(socket_class(Journal())) as running:
        session = await running.opened(2)

        async def post(size: int) -> int:
            (server,) = running.servers
            frame = b'[null,"1","phoenix","heartbeat","%s"]'
            query = f"vsn=2.0.0&token={session.token}"
            headers = [("content-type", content_type)]
            body = frame % (b"x" * (size - len(frame) + 2))
            assert len(body) == size
            return (await server.request("POST", "/socket/longpoll", query, headers, body)).status

        assert await post(8_000_001) == 400
        assert await post(8_000_000) == 200
        assert await session.fetch(1) == [frames.reply(None, "1", "phoenix")]


@pytest.mark.feature("C15")
@pytest.mark.parametrize("number", [1, 2], ids=["one node", "two nodes"])
async def test_two_polls_at_once(number: int) -> None:
    """P-097: the newer one receives, the older one runs into its window, and takes nothing with it."""
    # Without a network it is certain when both wait.
    async with serve_nodes(serve_in_memory, number)(socket_class(Journal()), window=0.5) as running:
        session = await running.opened(2)
        await enter(running, session)
        answers: dict[str, dict[str, Any]] = {}

        async def poll(which: str) -> None:
            answers[which] = await session.get()

        async with anyio.create_task_group() as group:
            for which in ("older", "newer"):
                group.start_soon(poll, which)
                await settle()
            running.endpoint.broadcast(LOBBY, "news", {"n": 1})
        news = json.dumps(frames.broadcast(LOBBY, "news", {"n": 1}), separators=(",", ":"))
        assert answers == {
            "newer": {"status": 200, "token": session.token, "messages": [news]},
            "older": {"status": 204, "token": session.token, "messages": []},
        }
        assert list(answers) == ["newer", "older"]
        running.endpoint.broadcast(LOBBY, "news", {"n": 2})
        assert await session.fetch(1) == [frames.broadcast(LOBBY, "news", {"n": 2})]


def lasting(seconds: float) -> Endpoint:
    endpoint = Endpoint(secret_key_base=SECRET)
    endpoint.socket("/socket", socket_class(Journal()), longpoll=LongPollOptions(max_age=seconds))
    endpoint.socket("/other", socket_class(Journal()), longpoll=True)
    return endpoint


@pytest.mark.feature("C15")
async def test_tokens_that_are_no_good(serve: Serve) -> None:
    """Forged, of another secret, or of another mount (P-108, recommended): as if there was none."""
    endpoint, stranger = lasting(60), Endpoint(secret_key_base="x" * 64)
    stranger.socket("/socket", socket_class(Journal()), longpoll=True)
    async with serve(endpoint) as server, serve(stranger) as elsewhere:
        good = Session(server, version=2)
        await good.open()
        mounted_elsewhere = Session(server, version=2, path="/other/longpoll")
        await mounted_elsewhere.open()
        strange = Session(elsewhere, version=2)
        await strange.open()
        assert good.token is not None
        for token in ("", "bogus", good.token[:-4] + "AAAA", mounted_elsewhere.token, strange.token):
            client = Session(server, version=2)
            client.token = token
            assert await client.post_body(HEARTBEAT % 1) == 410
            envelope = await client.get()
            assert (envelope["status"], envelope["messages"]) == (410, [])
            assert envelope["token"] not in (token, good.token)
        await good.heartbeat()
        await stranger.drain()
        await endpoint.drain()


@pytest.mark.feature("C15")
async def test_a_token_that_is_too_old(serve: Serve) -> None:
    endpoint = lasting(0.1)
    async with serve(endpoint) as server:
        session = Session(server, version=2)
        await session.open()
        with anyio.fail_after(DEADLINE):
            while await session.post_body(HEARTBEAT % 1) != 410:
                await anyio.lowlevel.checkpoint()
        assert (await session.get())["status"] == 410
        await endpoint.drain()
