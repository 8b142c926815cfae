"""What a channel tells the log and telemetry of joins and of messages it has handled (A153, A154, A161, A162)."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from msgspec import Struct

from phoenix_channels import Channel, JoinRefused, Reply, Stop, incoming, telemetry
from phoenix_channels.telemetry import CHANNEL_CRASHED, CHANNEL_HANDLED_IN, CHANNEL_JOINED
from tests.support import frames
from tests.support.apps import serve
from tests.support.asgi import Client
from tests.support.loops import Journal, settle


class Text(Struct):
    text: str


class RoomChannel(Channel):
    join_timeout = 1.0

    async def join(self, payload: Any) -> object:
        how = payload.get("how")
        if how == "refuse":
            raise JoinRefused(reason="no")
        if how == "crash":
            raise RuntimeError("join")
        return {"crash": True} if how is None else {"not encodable": object()} if how == "encode" else True

    def handle_in(self, event: str, payload: Any) -> Reply:
        return Reply.ok()

    @incoming
    def plain(self, payload: Any) -> Reply:
        return Reply.ok()

    @incoming
    async def slow(self, payload: Any) -> None:
        await anyio.lowlevel.checkpoint()

    @incoming
    def typed(self, payload: Text) -> Reply:
        return Reply.ok()

    @incoming
    def stop(self, payload: Any) -> Stop:
        return Stop("normal", reply=Reply.ok())

    @incoming
    def crash(self, payload: Any) -> None:
        raise RuntimeError("plain")

    @incoming
    async def crash_slowly(self, payload: Any) -> None:
        await anyio.lowlevel.checkpoint()
        raise RuntimeError("async")

    @incoming
    def illegal(self, payload: Any) -> None:
        return 7  # type: ignore[return-value]


class TypedChannel(Channel):
    def join(self, payload: Text) -> None: ...


@contextmanager
def listening(*events: str) -> Iterator[Journal]:
    """All that telemetry is told of these events."""
    journal = Journal()

    def listen(event: str, measurements: Any, metadata: Any) -> None:
        assert event not in (CHANNEL_JOINED, CHANNEL_HANDLED_IN) or measurements.pop("duration") >= 0
        assert measurements == {}
        journal.add((event, metadata))

    for event in events:
        telemetry.attach(event, listen)
    try:
        yield journal
    finally:
        for event in events:
            telemetry.detach(event, listen)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines about joins and messages, without durations."""
    texts = (re.sub(r" in \d+[µm]s", "", record.message) for record in caplog.records)
    return [text for text in texts if text.startswith(("JOINED", "REFUSED JOIN", "HANDLED"))]


# Joins


@pytest.mark.parametrize(
    ("channel", "payload", "result"),
    [
        (RoomChannel, {}, "ok"),
        (RoomChannel, {"how": "refuse"}, "error"),
        (TypedChannel, {"text": 7}, "error"),
        # A crash is neither: a join that raises, one with a wrong result, and one whose reply has no wire form.
        (RoomChannel, {"how": "crash"}, None),
        (RoomChannel, {"how": "wrong"}, None),
        (RoomChannel, {"how": "encode"}, None),
    ],
)
async def test_the_outcome_of_a_join_is_told(
    caplog: pytest.LogCaptureFixture, channel: type[Channel[Any]], payload: Any, result: str | None
) -> None:
    caplog.set_level(logging.INFO, "phoenix_channels")
    with listening(CHANNEL_JOINED) as told:
        async with serve(channel) as (_, server):
            client = await server.connect()
            client.send_nowait(["1", "1", "room:a", "phx_join", payload])
            await settle()
    joins = [metadata for _, metadata in told.entries]
    assert [metadata["result"] for metadata in joins] == ([] if result is None else [result])
    for metadata in joins:
        assert type(metadata.pop("socket")).__name__ == "UserSocket"
        assert metadata == {"channel": channel, "topic": "room:a", "params": payload, "result": result}
    word = {"ok": "JOINED", "error": "REFUSED JOIN"}.get(result or "")
    assert lines(caplog) == ([] if word is None else [f"{word} room:a\n  Parameters: {payload!r}"])


async def test_a_join_that_nobody_waits_for_any_more_is_not_told() -> None:
    release, begun = anyio.Event(), anyio.Event()

    class SlowChannel(Channel):
        async def join(self, payload: Any) -> None:
            begun.set()
            await release.wait()
            if payload:
                raise JoinRefused

    for payload in ({}, {"refuse": True}):
        release, begun = anyio.Event(), anyio.Event()
        with listening(CHANNEL_JOINED) as told:
            async with serve(SlowChannel) as (_, server):
                client = await server.connect()
                client.send_nowait(["1", "1", "room:a", "phx_join", payload])
                await begun.wait()
                client.close_nowait()
                await settle()
                release.set()
                await client.wait_ended()
        assert told.entries == []


async def test_a_join_is_told_before_after_join_runs() -> None:
    class GreetingChannel(Channel):
        def after_join(self) -> None:
            told.add("after_join")

    with listening(CHANNEL_JOINED) as told:
        async with serve(GreetingChannel) as (_, server):
            await server.joined("room:a")
            await settle()
    assert [entry if isinstance(entry, str) else entry[0] for entry in told.entries] == [CHANNEL_JOINED, "after_join"]


@pytest.mark.feature("B044", "B015")
@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
async def test_passwords_are_not_logged(caplog: pytest.LogCaptureFixture, version: str) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    secret = {"name": "ada", "password": "hunter2", "nested": [{"auth_token": "hunter2"}]}

    def send(client: Client, ref: str, event: str) -> None:
        named = {"topic": "room:a", "event": event, "payload": secret, "ref": ref, "join_ref": "1"}
        client.send_nowait(named if version == "1.0.0" else ["1", ref, "room:a", event, secret])

    async with serve(RoomChannel) as (_, server):
        client = await server.connect(query=f"vsn={version}&password=hunter2")
        for ref, event in (("1", "phx_join"), ("2", "plain")):
            send(client, ref, event)
            await client.receive()
    shown = "{'name': 'ada', 'password': '[FILTERED]', 'nested': [{'auth_token': '[FILTERED]'}]}"
    assert lines(caplog) == [
        f"JOINED room:a\n  Parameters: {shown}",
        f"HANDLED plain INCOMING ON room:a (RoomChannel)\n  Parameters: {shown}",
    ]
    assert "hunter2" not in caplog.text


# Messages


@pytest.mark.parametrize(
    ("event", "payload", "told"),
    [
        ("plain", {"a": 1}, True),
        ("slow", {}, True),
        ("typed", {"text": "hi"}, True),
        # It has been answered, if not by the handler.
        ("typed", {"text": 7}, True),
        ("any other", [], True),
        ("stop", {}, True),
        # The handler has returned; what it returned crashes the channel.
        ("illegal", {}, True),
        ("crash", {}, False),
        ("crash_slowly", {}, False),
        ("phx_leave", {}, False),
        (7, {}, False),
    ],
)
async def test_a_handled_message_is_told(
    caplog: pytest.LogCaptureFixture, event: Any, payload: Any, told: bool
) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    with listening(CHANNEL_HANDLED_IN) as heard:
        async with serve(RoomChannel) as (_, server):
            client = await server.joined("room:a")
            client.send_nowait(["1", "2", "room:a", event, payload])
            await settle()
    messages = [metadata for _, metadata in heard.entries]
    for metadata in messages:
        assert type(metadata.pop("socket")).__name__ == "UserSocket"
    about = {"channel": RoomChannel, "topic": "room:a", "event": event, "ref": "2", "params": payload}
    assert messages == ([about] if told else [])
    handled = [f"HANDLED {event} INCOMING ON room:a (RoomChannel)\n  Parameters: {payload!r}"]
    assert lines(caplog)[1:] == (handled if told else [])


async def test_a_message_is_told_when_its_handler_has_returned() -> None:
    release = anyio.Event()

    class SlowChannel(Channel):
        @incoming
        async def wait(self, payload: Any) -> Reply:
            await release.wait()
            return Reply.ok()

    with listening(CHANNEL_HANDLED_IN) as told:
        async with serve(SlowChannel) as (_, server):
            client = await server.joined("room:a")
            client.send_nowait(["1", "2", "room:a", "wait", {}])
            await settle()
            assert told.entries == []
            release.set()
            assert await client.receive() == frames.reply("1", "2", "room:a")
            assert len(told.entries) == 1


async def test_a_binary_message_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    with listening(CHANNEL_HANDLED_IN) as told:
        async with serve(RoomChannel) as (_, server):
            client = await server.joined("room:a")
            client.send_nowait(frames.binary_push("1", "2", "room:a", "plain", b"\x00password=hunter2"))
            assert await client.receive() == frames.reply("1", "2", "room:a")
    [(_, metadata)] = told.entries
    assert metadata["params"] == b"\x00password=hunter2"
    assert lines(caplog)[1].endswith("Parameters: '[17 bytes]'")


async def test_a_channel_may_be_silent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")

    class SilentChannel(RoomChannel):
        log_join = False
        log_handle_in = False

    async with serve(SilentChannel) as (_, server):
        client = await server.joined("room:a")
        await client.call("1", "2", "room:a", "plain")
    assert lines(caplog) == []


# Listeners


async def test_a_listener_that_fails_costs_nobody_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("broken listener")

    for event in (CHANNEL_JOINED, CHANNEL_HANDLED_IN, CHANNEL_CRASHED):
        telemetry.attach(event, fail)
    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        assert await client.call("1", "2", "room:a", "plain") == frames.reply("1", "2", "room:a")
        assert await client.call("1", "3", "room:a", "crash") == frames.crashed("1", "room:a")
    assert not any(map(telemetry.attached, telemetry.EVENTS))
    assert caplog.text.count("failed and is detached") == 3


async def test_a_listener_may_broadcast() -> None:
    async with serve(RoomChannel) as (endpoint, server):

        def shout(event: str, *_: Any) -> None:
            endpoint.broadcast("room:a", event, {})

        for event in (CHANNEL_JOINED, CHANNEL_HANDLED_IN):
            telemetry.attach(event, shout)
        try:
            client = await server.joined("room:a")
            assert await client.receive() == frames.broadcast("room:a", CHANNEL_JOINED)
            client.send_nowait(["1", "2", "room:a", "plain", {}])
            assert await client.receive_many(2) == [
                frames.broadcast("room:a", CHANNEL_HANDLED_IN),
                frames.reply("1", "2", "room:a"),
            ]
        finally:
            for event in (CHANNEL_JOINED, CHANNEL_HANDLED_IN):
                telemetry.detach(event, shout)
