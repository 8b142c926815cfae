"""Polls: who gets what, and when (P-092 to P-098, P-110)."""

from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, Reply, incoming
from tests.support import frames
from tests.support.loops import Journal, on_virtual_time, settle, soon
from tests.support.polling import (
    PATH,
    TOKEN_HEADER,
    Answer,
    Poller,
    answer_of,
    ask,
    batch,
    disconnect,
    polled,
    shown,
    socket_of,
)

ALL_HEADERS = {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "no-store",
    "access-control-allow-origin": "*",
}


class RoomChannel(Channel):
    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)

    @incoming
    def twice(self, payload: Any) -> None:
        self.push("one", payload)
        self.push("two", payload)


SOCKET = socket_of(RoomChannel, name="user:1")


def event(name: str) -> list[Any]:
    return frames.broadcast("room:a", name)


@on_virtual_time()
async def test_the_complete_cycle() -> None:
    """P-110, to the byte."""
    async with polled(SOCKET) as (_, server):

        async def asked(method: str, query: str, body: bytes = b"") -> Answer:
            headers = [("content-type", "application/x-ndjson")]
            answer = await ask(server, method, PATH, query=query, headers=headers, body=body)
            assert answer.status == 200
            assert answer.headers == {**ALL_HEADERS, "content-length": str(len(answer.body))}
            return answer

        token = (await asked("GET", "vsn=2.0.0&")).envelope["token"]
        query = f"vsn=2.0.0&token={token}"
        answer = await asked("POST", query, b'["1","1","room:a","phx_join",{}]')
        assert answer.body == b'{"status":200}'
        answer = await asked("GET", query)
        reply = r"[\"1\",\"1\",\"room:a\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]"
        assert answer.body == b'{"status":200,"token":"%s","messages":["%s"]}' % (token.encode(), reply.encode())
        run = server.start_request("GET", PATH, query=query)
        await anyio.sleep(9.9)
        assert not run.ended.is_set()
        await anyio.sleep(0.2)
        assert (await answer_of(run)).body == b'{"status":204,"token":"%s","messages":[]}' % token.encode()
        assert (await asked("POST", "vsn=2.0.0&token=bad", b"[]")).body == b'{"status":410}'


async def test_what_has_gathered_comes_at_once_in_its_order_and_only_once() -> None:
    """P-096, P-098: also to a client that never sees it."""
    async with polled(SOCKET, window=0.05) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        names = [f"event {number}" for number in range(50)]
        for name in names:
            endpoint.broadcast("room:a", name, {})
        assert await poller.poll() == (200, [event(name) for name in names])
        assert await poller.poll() == (204, [])


async def test_a_poll_that_waits_gets_all_of_one_turn_in_one_answer() -> None:
    async with polled(SOCKET) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        run = poller.start_get()
        await settle()
        assert not run.ended.is_set()
        for name in "abc":
            endpoint.broadcast("room:a", name, {})
        assert await poller.result(run) == (200, [event(name) for name in "abc"])
        run = poller.start_get()
        await settle()
        assert await poller.post(["1", "2", "room:a", "twice", {}]) == 200
        pushed = [frames.push("1", "room:a", "one"), frames.push("1", "room:a", "two")]
        assert await poller.result(run) == (200, pushed)


async def test_a_poll_that_waits_while_its_client_posts() -> None:
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server).open()
        run = poller.start_get()
        await settle()
        assert await poller.post(["1", "1", "room:a", "phx_join", {}]) == 200
        assert await poller.result(run) == (200, [frames.reply("1", "1", "room:a")])


async def test_a_newer_poll_takes_the_place_of_an_older_one_which_consumes_nothing() -> None:
    """P-097"""
    async with polled(SOCKET, window=0.3) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        older = poller.start_get()
        await settle()
        newer = poller.start_get()
        await settle()
        endpoint.broadcast("room:a", "one", {})
        assert await poller.result(newer) == (200, [event("one")])
        assert not older.ended.is_set()
        # Not for the older one, which still waits: nobody reads its answer.
        endpoint.broadcast("room:a", "two", {})
        await settle()
        assert not older.ended.is_set()
        assert await poller.result(older) == (204, [])
        assert await poller.poll() == (200, [event("two")])


async def test_of_many_polls_at_once_the_oldest_have_to_go() -> None:
    """A client cannot pile up requests without end."""
    async with polled(SOCKET) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        runs = []
        for _ in range(20):
            runs.append(poller.start_get())
            await settle()
        assert [run.ended.is_set() for run in runs] == 4 * [True] + 16 * [False]
        endpoint.broadcast("room:a", "one", {})
        assert await poller.result(runs[-1]) == (200, [event("one")])
        await soon(endpoint.drain())
        for run in runs[:-1]:
            assert await poller.result(run) == (204, [])


async def test_a_client_that_disconnects_during_a_poll_loses_nothing() -> None:
    """P-097; nor is a session made for it, which nobody would ever poll."""
    journal = Journal()

    class CountedSocket(SOCKET):  # type: ignore[misc, valid-type]
        def connect(self, params: Any, info: Any) -> None:
            journal.add("connect")

    async with polled(CountedSocket) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        for _ in range(3):
            run = poller.start_get()
            await settle()
            disconnect(run)
            await run.wait_ended()
        endpoint.broadcast("room:a", "one", {})
        assert await poller.poll() == (200, [event("one")])
        assert journal.entries == ["connect"]
        assert endpoint.statistics().connections == 1


async def test_a_client_that_disconnects_leaves_its_older_poll_without_the_messages() -> None:
    """P-097: what has been replaced stays replaced."""
    async with polled(SOCKET, window=0.3) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        older = poller.start_get()
        await settle()
        newer = poller.start_get()
        await settle()
        disconnect(newer)
        await newer.wait_ended()
        endpoint.broadcast("room:a", "one", {})
        assert await poller.result(older) == (204, [])
        assert await poller.poll() == (200, [event("one")])


async def test_a_poll_that_the_server_cancels_loses_nothing() -> None:
    async with polled(SOCKET) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        run = poller.start_get()
        await settle()
        run.kill()
        await run.wait_ended()
        endpoint.broadcast("room:a", "one", {})
        assert await poller.poll() == (200, [event("one")])
        assert endpoint.statistics().connections == 1


async def test_version_1_has_objects_in_both_directions() -> None:
    async with polled(SOCKET) as (endpoint, server):
        poller = await Poller(server, query="vsn=1.0.0").open()
        join = b'{"topic":"room:a","event":"phx_join","payload":{},"ref":"1","join_ref":"1"}'
        assert await poller.post_body(join, "application/json") == 200
        status, (reply,) = await poller.poll()
        assert status == 200
        assert (reply["event"], reply["payload"]) == ("phx_reply", {"status": "ok", "response": {}})
        endpoint.broadcast("room:a", "one", {})
        assert await poller.poll() == (200, [{"topic": "room:a", "event": "one", "payload": {}, "ref": None}])


async def test_the_version_is_settled_when_the_session_begins() -> None:
    """P-095"""
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server, query="vsn=2.0.0").open()
        poller.query = "vsn=1.0.0"
        await poller.join("room:a")
        poller.query = "vsn=nonsense"
        assert await poller.call("1", "2", "room:a", "echo", 7) == [frames.reply("1", "2", "room:a", 7)]


async def test_a_heartbeat_is_answered() -> None:
    """P-104"""
    async with polled(SOCKET) as (_, server):
        await (await Poller(server).open()).heartbeat()


async def test_what_is_not_ascii_arrives_as_it_is() -> None:
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        said = {"said": 'grüße "\\\u2028 \U0001f600 \x7f'}
        assert await poller.call("1", "2", "room:a", "echo", said) == [frames.reply("1", "2", "room:a", said)]


async def test_the_token_in_the_header_is_taken_and_wins() -> None:
    """P-094"""
    async with polled(SOCKET) as (_, server):
        one, two = await Poller(server).open(), await Poller(server).open()
        await one.join("room:a")
        await two.join("room:a")
        for poller, other in ((one, two), (two, one)):
            headers = [(TOKEN_HEADER, str(poller.token)), ("content-type", "application/x-ndjson")]
            for query in ("vsn=2.0.0", f"vsn=2.0.0&token={other.token}", "token=bad"):
                body = batch(["1", query, "room:a", "echo", query])
                answer = await ask(server, "POST", query=query, headers=headers, body=body)
                assert answer.envelope == {"status": 200}
                envelope = (await ask(server, "GET", query=query, headers=headers)).envelope
                assert (envelope["status"], envelope["token"]) == (200, poller.token)
                assert shown(envelope["messages"]) == [frames.reply("1", query, "room:a", query)]
            headers = [(TOKEN_HEADER, "bad")]
            answer = await ask(server, "POST", query=f"token={poller.token}", headers=headers, body=b"[]")
            assert answer.envelope == {"status": 410}


@pytest.mark.parametrize("query", ["token=", "token=bad", "token[]=a", "token[a]=b", "token", ""])
async def test_what_is_no_token_counts_as_absent(query: str) -> None:
    """P-094: a GET begins a session, a POST learns that there is none."""
    async with polled(SOCKET) as (endpoint, server):
        answer = await ask(server, "POST", query=query, body=b'[null,"h","phoenix","heartbeat",{}]')
        assert answer.envelope == {"status": 410}
        assert endpoint.statistics().connections == 0
        envelope = (await ask(server, "GET", query=f"vsn=2.0.0&{query}")).envelope
        assert (envelope["status"], envelope["messages"]) == (410, [])
        assert endpoint.statistics().connections == 1


async def test_a_list_of_the_right_token_is_no_token() -> None:
    async with polled(SOCKET) as (endpoint, server):
        poller = await Poller(server).open()
        for query in (f"token[]={poller.token}", f"token[a]={poller.token}"):
            assert (await ask(server, "POST", query=query, body=b"[]")).envelope == {"status": 410}
            assert (await ask(server, "GET", query=f"vsn=2.0.0&{query}")).envelope["status"] == 410
        assert endpoint.statistics().connections == 3
        await poller.heartbeat()
