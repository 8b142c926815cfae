"""What a mock does, frame by frame; on a real socket, so time passes by itself here."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from phoenix_channels.testing.mock import MockPhoenix
from tests.support import frames
from tests.support.loops import DEADLINE, settle
from tests.transports.clients import Client, ask, connect, request_bytes

HEARTBEAT: Any = (None, "h", "phoenix", "heartbeat", {})
ALIVE = frames.reply(None, "h", "phoenix")


async def call_raw(client: Client, *message: Any) -> Any:
    """Send a message, and receive the next."""
    await client.send(*message)
    return await client.receive()


def channels_of(mock: MockPhoenix) -> int:
    """How many channels it has, also those that still end."""
    return mock._server.endpoint.statistics().channels


# Without rules


async def test_everything_is_well_without_rules(phoenix_mock: MockPhoenix) -> None:
    async with connect(phoenix_mock.port) as client:
        assert await client.join("room:1", {"as": "ann"}) == {}
        assert await client.call("room:1", "ping", {"n": 1}) == {"n": 1}
        assert await call_raw(client, *HEARTBEAT) == ALIVE
        await client.leave("room:1")
        assert await client.join("room:1") == {}


async def test_every_topic_may_be_joined(phoenix_mock: MockPhoenix) -> None:
    async with connect(phoenix_mock.port) as client:
        for topic in ("a", "räume:☃", "", "*", "x" * 300):
            assert await client.join(topic) == {}


async def test_bytes_are_answered_with_the_same_bytes(phoenix_mock: MockPhoenix) -> None:
    async with connect(phoenix_mock.port) as client:
        await client.join("room:1")
        await client.connection.send(frames.binary_push("1", "2", "room:1", "blob", b"\0\xff"))
        assert await client.receive() == b"\x01\x01\x01\x06\x02" + b"12room:1ok" + b"\0\xff"


async def test_clients_of_version_1_are_served_too(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:2").silent()
    async with connect(phoenix_mock.port, query="vsn=1.0.0") as client:
        for topic in ("room:2", "room:1"):
            message: Any = {"topic": topic, "event": "phx_join", "payload": {}, "ref": "1"}
            await client.connection.send(json.dumps(message))
        reply = {"status": "ok", "response": {}}
        assert await client.receive() == {"topic": "room:1", "event": "phx_reply", "payload": reply, "ref": "1"}


async def test_pages_of_any_origin_may_connect(phoenix_mock: MockPhoenix) -> None:
    async with connect(phoenix_mock.port, origin="https://elsewhere.example") as client:
        assert await call_raw(client, *HEARTBEAT) == ALIVE


# Joins


async def test_a_join_is_refused_as_often_as_a_rule_says(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:*").refuse({"reason": "full"}).times(2)
    async with connect(phoenix_mock.port) as client:
        for ref in "12":
            refusal = await call_raw(client, ref, ref, "room:1", "phx_join", {})
            assert refusal == frames.error(ref, ref, "room:1", {"reason": "full"})
        assert await client.join("room:1") == {}


async def test_a_join_is_answered_with_what_a_rule_says(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:1").reply(["any", "term", None])
    phoenix_mock.on_join("room:2").reply(b"\0\1")
    async with connect(phoenix_mock.port) as client:
        assert await client.join("room:1") == ["any", "term", None]
        assert await call_raw(client, "7", "8", "room:2", "phx_join", {}) == b"\x01\x01\x01\x06\x0278room:2ok\0\1"


async def test_a_rule_may_be_about_the_params_of_a_join(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:*", {"as": "ann"}).reply({"hello": "ann"})
    async with connect(phoenix_mock.port) as client:
        assert await client.join("room:1", {"as": "ann", "more": 1}) == {"hello": "ann"}
        assert await client.join("room:2", {"as": "bob"}) == {}


async def test_a_join_that_is_never_answered_does_not_hold_its_topic(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:1").silent().times(1)
    async with connect(phoenix_mock.port) as client:
        await client.send("1", "1", "room:1", "phx_join", {})
        # What phoenix.js does when its join has timed out.
        assert await call_raw(client, "1", "2", "room:1", "phx_leave", {}) == frames.reply("1", "2", "room:1")
        assert await call_raw(client, "3", "3", "room:1", "phx_join", {}) == frames.reply("3", "3", "room:1")


async def test_a_delayed_join_holds_up_its_topic_alone(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:1").delay(0.05)
    async with connect(phoenix_mock.port) as client:
        await client.send("1", "1", "room:1", "phx_join", {})
        await client.send("1", "2", "room:1", "ping", {})
        assert await call_raw(client, "3", "3", "room:2", "phx_join", {}) == frames.reply("3", "3", "room:2")
        assert await client.receive() == frames.reply("1", "1", "room:1")
        assert await client.receive() == frames.reply("1", "2", "room:1")


async def test_a_join_crashes(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:1").crash()
    async with connect(phoenix_mock.port) as client:
        assert await call_raw(client, "1", "1", "room:1", "phx_join", {}) == frames.join_crashed("1", "room:1")


async def test_a_join_is_followed_by_events_and_an_end(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:1").push("hello", {"n": 1}).delay(0.01).broadcast("all", b"\0").crash()
    phoenix_mock.on_join("room:2").reply({"n": 2}).close_channel()
    async with connect(phoenix_mock.port) as client:
        assert await client.join("room:1") == {}
        assert await client.receive() == frames.push("1", "room:1", "hello", {"n": 1})
        assert await client.receive() == b"\x02\x06\x03room:1all\0"
        assert await client.receive() == frames.crashed("1", "room:1")
        assert await client.join("room:2") == {"n": 2}
        assert await client.receive() == frames.closed("2", "room:2")


@pytest.mark.parametrize(("end", "code"), [("drop", 1006), ("close", 1012)])
async def test_a_join_ends_in_the_end_of_the_connection(phoenix_mock: MockPhoenix, end: str, code: int) -> None:
    rule = phoenix_mock.on_join("room:1").delay(0.01)
    if end == "drop":
        rule.drop()
    else:
        rule.close(code)
    async with connect(phoenix_mock.port) as client:
        await client.send("1", "1", "room:1", "phx_join", {})
        assert await client.close_code() == code
    assert (await phoenix_mock.wait_for("close")).code == code


async def test_a_client_that_goes_away_is_not_waited_for(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:1").delay(60)
    phoenix_mock.on_push("room:2").delay(60)
    phoenix_mock.on_heartbeat().delay(60)
    async with connect(phoenix_mock.port) as client:
        await client.join("room:2")
        await client.push("room:2", "ping")
        await client.send(*HEARTBEAT)
        await client.send("1", "1", "room:1", "phx_join", {})
        await phoenix_mock.wait_for("join", topic="room:1")
    await phoenix_mock.wait_for("close")
    await settle()
    assert channels_of(phoenix_mock) == 0


# Pushes


async def test_a_push_is_answered_with_what_a_rule_says(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_push("room:*", "ping", {"n": 1}).reply({"one": True})
    phoenix_mock.on_push("room:*", "ping").reply({"reason": "no"}, status="error").reply(b"\0", status="again")
    async with connect(phoenix_mock.port) as client:
        await client.join("room:1")
        assert await client.call("room:1", "ping", {"n": 1}) == {"one": True}
        ref = await client.push("room:1", "ping", {"n": 2})
        assert await client.receive() == frames.error("1", ref, "room:1", {"reason": "no"})
        assert await client.receive() == b"\x01\x01\x01\x06\x0513room:1again\0"
        assert await client.call("room:1", "other") == {}


async def test_a_push_is_never_answered(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_push("room:1", "ping").silent().push("seen", {})
    async with connect(phoenix_mock.port) as client:
        await client.join("room:1")
        await client.push("room:1", "ping")
        assert await client.receive() == frames.push("1", "room:1", "seen")
        assert await client.call("room:1", "other") == {}


async def test_a_delayed_answer_holds_up_no_other(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_push("room:1", "slow").delay(0.05)
    async with connect(phoenix_mock.port) as client:
        await client.join("room:1")
        slow = await client.push("room:1", "slow", {"n": 1})
        assert await client.call("room:1", "quick") == {}
        assert await client.receive() == frames.reply("1", slow, "room:1", {"n": 1})


async def test_events_follow_the_answer_unless_the_rule_says_otherwise(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_push("room:1", "default").push("e", {"n": 1})
    phoenix_mock.on_push("room:1", "first").push("e", {"n": 2}).reply({"n": 3})
    async with connect(phoenix_mock.port) as client:
        await client.join("room:1")
        assert await client.call("room:1", "default") == {}
        assert await client.receive() == frames.push("1", "room:1", "e", {"n": 1})
        ref = await client.push("room:1", "first")
        assert await client.receive() == frames.push("1", "room:1", "e", {"n": 2})
        assert await client.receive() == frames.reply("1", ref, "room:1", {"n": 3})


async def test_a_push_without_a_ref_gets_no_answer(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_push("room:1", "ping").reply({}).push("seen", {})
    async with connect(phoenix_mock.port) as client:
        await client.join("room:1")
        assert await call_raw(client, "1", None, "room:1", "ping", {}) == frames.push("1", "room:1", "seen")


async def test_an_event_is_broadcast_to_all_who_have_joined(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_push("room:*", "shout").broadcast("shouted", {"n": 1})
    async with connect(phoenix_mock.port) as client, connect(phoenix_mock.port) as other:
        await client.join("room:1")
        await other.join("room:1")
        assert await client.call("room:1", "shout") == {}
        for each in (client, other):
            assert await each.receive() == frames.broadcast("room:1", "shouted", {"n": 1})


@pytest.mark.parametrize("delay", [0, 0.01])
async def test_a_push_ends_the_channel(phoenix_mock: MockPhoenix, delay: float) -> None:
    for topic in ("room:1", "room:2"):
        rule = phoenix_mock.on_push(topic, "end").reply({"topic": topic})
        if delay:
            rule.delay(delay)
        if topic == "room:1":
            rule.crash()
        else:
            rule.close_channel()
    async with connect(phoenix_mock.port) as client:
        await client.join("room:1")
        await client.join("room:2")
        assert await client.call("room:1", "end") == {"topic": "room:1"}
        assert await client.receive() == frames.crashed("1", "room:1")
        assert await client.call("room:2", "end") == {"topic": "room:2"}
        assert await client.receive() == frames.closed("2", "room:2")
        assert await client.join("room:1") == {}


@pytest.mark.parametrize("delay", [0, 0.01])
@pytest.mark.parametrize(("end", "code"), [("drop", 1006), ("close", 4000)])
async def test_a_push_ends_the_connection_behind_its_answer(
    phoenix_mock: MockPhoenix, end: str, code: int, delay: float
) -> None:
    rule = phoenix_mock.on_push("room:1", "end").reply({"pad": 100_000 * "x"})
    if delay:
        rule.delay(delay)
    if end == "drop":
        rule.drop()
    else:
        rule.close(code)
    async with connect(phoenix_mock.port) as client:
        await client.join("room:1")
        assert await client.call("room:1", "end") == {"pad": 100_000 * "x"}
        assert await client.close_code() == code
    assert (await phoenix_mock.wait_for("close")).code == code


# Connections and heartbeats


async def test_connections_are_refused(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_connect({"token": "bad"}).refuse()
    phoenix_mock.on_connect().delay(0.01).refuse(503).times(1)
    for query, status in (("token=bad", 403), ("token=good", 503), ("token=good", 101)):
        answer = await ask(phoenix_mock.port, f"/socket/websocket?vsn=2.0.0&{query}")
        assert answer.status == status


async def test_a_connection_is_let_in_late(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_connect().delay(0.01)
    async with connect(phoenix_mock.port) as client:
        assert await call_raw(client, *HEARTBEAT) == ALIVE


async def test_a_handshake_that_is_never_answered_ends_with_the_mock(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_connect().silent().times(1)
    async with await anyio.connect_tcp("127.0.0.1", phoenix_mock.port) as stream:
        await stream.send(request_bytes("/socket/websocket?vsn=2.0.0", {}))
        await phoenix_mock.wait_for("connect")
        await phoenix_mock.restart()
        with anyio.fail_after(DEADLINE), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await stream.receive()
    async with connect(phoenix_mock.port) as client:
        assert await call_raw(client, *HEARTBEAT) == ALIVE


async def test_heartbeats_are_lost_late_or_the_last(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_heartbeat().silent().times(1)
    phoenix_mock.on_heartbeat().delay(0.05).times(1)
    phoenix_mock.on_heartbeat().times(1)
    phoenix_mock.on_heartbeat().delay(0.01).close(1012)
    async with connect(phoenix_mock.port) as client:
        for ref in ("lost", "late", "at once"):
            await client.send(None, ref, "phoenix", "heartbeat", {})
        assert await client.receive() == frames.reply(None, "at once", "phoenix")
        assert await client.receive() == frames.reply(None, "late", "phoenix")
        await client.send(*HEARTBEAT)
        assert await client.close_code() == 1012


async def test_a_heartbeat_ends_the_tcp_connection(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_heartbeat().drop()
    async with connect(phoenix_mock.port) as client:
        await client.send(*HEARTBEAT)
        assert await client.close_code() == 1006
