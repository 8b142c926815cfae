"""A mock from its start to its end: what it has seen, what it does of its own accord, and how it comes back."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from phoenix_channels.definitions import DefinitionError
from phoenix_channels.protocol.errors import EncodeError
from phoenix_channels.testing.mock import MockPhoenix, Received
from tests.support import frames
from tests.support.loops import DEADLINE, live_tasks, settle
from tests.transports.clients import V2, connect

UVLOOP = ("asyncio", {"use_uvloop": True})
HEARTBEAT: Any = (None, "h", "phoenix", "heartbeat", {})


# What clients have done


async def test_what_clients_do_is_logged_in_order(phoenix_mock: MockPhoenix) -> None:
    async with connect(phoenix_mock.port, query=f"{V2}&token=t", user_agent_header="tests") as client:
        await client.join("room:1", {"as": "ann"})
        await client.call("room:1", "ping", {"n": 1})
        await client.connection.send(frames.binary_push("1", "3", "room:1", "blob", b"\0"))
        await client.receive()
        await client.send(*HEARTBEAT)
        await client.receive()
        await client.leave("room:1")
        await client.close(4001)
    await phoenix_mock.wait_for("close")
    connected, *rest = phoenix_mock.received
    assert (connected.kind, connected.client, connected.payload) == ("connect", 1, {"vsn": "2.0.0", "token": "t"})
    assert connected.headers["user-agent"] == "tests"
    assert connected.auth_token is None

    def entry(kind: Any, event: str, payload: object, ref: str | None, join_ref: str | None = "1") -> Received:
        topic = "phoenix" if kind == "heartbeat" else "room:1"
        return Received(kind=kind, client=1, topic=topic, event=event, payload=payload, join_ref=join_ref, ref=ref)

    assert rest == [
        entry("join", "phx_join", {"as": "ann"}, "1"),
        entry("push", "ping", {"n": 1}, "2"),
        entry("push", "blob", b"\0", "3"),
        entry("heartbeat", "heartbeat", {}, "h", None),
        entry("leave", "phx_leave", {}, "3"),
        Received(kind="close", client=1, code=4001),
    ]
    assert list(map(str, phoenix_mock.received)) == [
        'client 1 connect {"vsn":"2.0.0","token":"t"}',
        'client 1 join room:1 {"as":"ann"}',
        'client 1 push room:1 ping {"n":1}',
        "client 1 push room:1 blob b'\\x00'",
        "client 1 heartbeat",
        "client 1 leave room:1",
        "client 1 close 4001",
    ]


async def test_a_token_beside_the_url_is_logged(phoenix_mock: MockPhoenix) -> None:
    offered = ["phoenix", "base64url.bearer.phx.c2VjcmV0"]
    async with connect(phoenix_mock.port, subprotocols=offered) as client:
        assert client.connection.subprotocol == "phoenix"
    assert (await phoenix_mock.wait_for("connect")).auth_token == "secret"


async def test_a_refused_connection_is_logged_too(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_connect().refuse()
    with pytest.raises(Exception, match="403"):
        async with connect(phoenix_mock.port):
            pass
    assert (await phoenix_mock.wait_for("connect")).client == 1


async def test_what_cannot_be_decoded_is_logged_and_ends_the_connection(phoenix_mock: MockPhoenix) -> None:
    async with connect(phoenix_mock.port) as client:
        await client.connection.send("[1,")
        assert await client.close_code() == 1011
    assert str(await phoenix_mock.wait_for("malformed")) == 'client 1 malformed "[1,"'


@pytest.mark.parametrize(
    ("topic", "event", "line"),
    [
        ("a\nb", "c\rd", "client 1 push 'a\\nb' 'c\\rd' {}"),
        ("", "", "client 1 push '' '' {}"),
        ({"a": 1}, None, "client 1 push {'a': 1} None {}"),
        ("x" * 300, "e", f"client 1 push {'x' * 200}… e {{}}"),
    ],
)
def test_a_line_is_one_line(topic: Any, event: Any, line: str) -> None:
    assert str(Received(kind="push", client=1, topic=topic, event=event, payload={})) == line


def test_a_line_is_short_or_whole() -> None:
    entry = Received(kind="push", client=1, topic="t", event="e", payload={"x": "x" * 300})
    assert str(entry).endswith('{"x":"' + "x" * 194 + "…")
    assert entry.line().endswith('{"x":"' + "x" * 300 + '"}')


async def test_the_log_is_bounded() -> None:
    async with MockPhoenix(keep=2) as mock, connect(mock.port) as client:
        for number in range(3):
            await client.join(f"room:{number}")
        assert [entry.topic for entry in mock.received] == ["room:1", "room:2"]


async def test_everything_is_told_at_once() -> None:
    told: list[str] = []
    async with MockPhoenix(on_received=lambda entry: told.append(entry.kind)) as mock, connect(mock.port) as client:
        await client.join("room:1")
        assert told == ["connect", "join"]


async def test_each_entry_is_waited_for_once(phoenix_mock: MockPhoenix) -> None:
    async with connect(phoenix_mock.port) as client:
        await client.join("room:1")
        for number in range(3):
            await client.push("room:1", "ping" if number < 2 else "pong", {"n": number})

        async def wait(**wanted: Any) -> Any:
            return (await phoenix_mock.wait_for("push", **wanted)).payload["n"]

        assert await wait(event="pong") == 2
        assert await wait(topic="room:1", payload={"n": lambda n: n > 0}) == 1
        assert await wait() == 0
        assert [entry.kind for entry in phoenix_mock.received] == ["connect", "join", *3 * ["push"]]


async def test_who_waits_in_vain_is_told_what_came_instead(phoenix_mock: MockPhoenix) -> None:
    with pytest.raises(AssertionError, match=r"no leave within 0.01 s; .*\n  nothing$"):
        await phoenix_mock.wait_for("leave", timeout=0.01)
    async with connect(phoenix_mock.port) as client:
        await client.join("room:1")
        await client.call("room:1", "pong", {"n": 2})
        await phoenix_mock.wait_for("connect")
        with pytest.raises(AssertionError) as failed:
            await phoenix_mock.wait_for("push", topic="room:1", event="ping", payload={"n": int}, timeout=0.01)
    assert str(failed.value).split("\n") == [
        "no push, topic 'room:1', event 'ping', payload {'n': int} within 0.01 s; what arrived instead, newest last:",
        "  client 1 join room:1 {}",
        '  client 1 push room:1 pong {"n":2}',
    ]


async def test_what_nobody_can_do_cannot_be_waited_for(phoenix_mock: MockPhoenix) -> None:
    with pytest.raises(DefinitionError, match=r"one of connect, join, .*, close, not 'psuh'"):
        await phoenix_mock.wait_for("psuh")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="set"):
        await phoenix_mock.wait_for("push", payload=set)


# What the mock does of its own accord


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio", pytest.param(UVLOOP, id="uvloop")])
async def test_it_pushes_and_broadcasts_to_all_who_have_joined(phoenix_mock: MockPhoenix) -> None:
    async with connect(phoenix_mock.port) as client, connect(phoenix_mock.port) as other:
        for each in (client, other):
            await each.join("room:1")
        assert phoenix_mock.clients == 2
        assert await phoenix_mock.push("room:1", "news", {"n": 1}) == 2
        assert await phoenix_mock.broadcast("room:1", "news", {"n": 2}) == 2
        assert await phoenix_mock.push("room:1", "blob", b"\0") == 2
        for each in (client, other):
            assert await each.receive() == frames.push("1", "room:1", "news", {"n": 1})
            assert await each.receive() == frames.broadcast("room:1", "news", {"n": 2})
            assert await each.receive() == b"\0\1\6\4" + b"1room:1blob\0"
        await other.send("stale", "9", "room:1", "phx_leave", {})
        assert await other.call("room:1", "ping") == {}
        assert await phoenix_mock.push("room:1", "news", {}) == 2
        assert await other.receive() == frames.push("1", "room:1", "news")
        await other.leave("room:1")
        assert await phoenix_mock.push("room:1", "news", {}) == 1


async def test_it_ends_channels(phoenix_mock: MockPhoenix) -> None:
    async with connect(phoenix_mock.port) as client:
        await client.join("room:1")
        await client.join("room:2")
        assert await phoenix_mock.crash_channels("room:1") == 1
        assert await client.receive() == frames.crashed("1", "room:1")
        assert await phoenix_mock.close_channels("room:2") == 1
        with pytest.raises(AssertionError, match="what is joined: nothing"):
            await phoenix_mock.push("room:2", "too late", {}, timeout=0.01)
        assert await client.receive() == frames.closed("2", "room:2")


async def test_a_push_waits_for_the_first_who_joins(phoenix_mock: MockPhoenix) -> None:
    async with connect(phoenix_mock.port) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(phoenix_mock.push, "room:1", "news", {})
        await settle()
        await client.join("room:1")
        assert await client.receive() == frames.push("1", "room:1", "news")


async def test_a_push_to_a_topic_that_nobody_joins_is_an_error(phoenix_mock: MockPhoenix) -> None:
    with pytest.raises(AssertionError, match=r"nobody has joined 'room:2' within .* s; what is joined: nothing"):
        await phoenix_mock.push("room:2", "news", {}, timeout=0.01)
    async with connect(phoenix_mock.port) as client:
        await client.join("room:1")
        with pytest.raises(AssertionError, match=r"nobody has joined 'room:2' within .* s; what is joined: 'room:1'"):
            await phoenix_mock.broadcast("room:2", "news", {}, timeout=0.01)
    with pytest.raises(EncodeError):
        await phoenix_mock.push("room:1", "news", [])


async def test_it_closes_and_drops_everybody(phoenix_mock: MockPhoenix) -> None:
    for end, code in (
        (phoenix_mock.drop_all, 1006),
        (phoenix_mock.close_all, 1012),
        (lambda: phoenix_mock.close_all(4000), 4000),
    ):
        async with connect(phoenix_mock.port) as client, connect(phoenix_mock.port) as other:
            await client.join("room:1")
            while phoenix_mock.clients < 2:
                await settle()
            await phoenix_mock.push("room:1", "last", {})
            end()
            assert await client.receive() == frames.push("1", "room:1", "last")
            assert [await each.close_code() for each in (client, other)] == [code, code]
    with pytest.raises(DefinitionError, match="not 1006"):
        phoenix_mock.close_all(1006)


# Its life


async def test_a_restart_forgets_clients_and_keeps_rules_and_the_log(phoenix_mock: MockPhoenix) -> None:
    phoenix_mock.on_join("room:1").reply({"n": 1}).times(1)
    port = phoenix_mock.port
    async with connect(port) as client:
        assert await client.join("room:1") == {"n": 1}
        await phoenix_mock.restart()
        assert await client.close_code() == 1006
        assert phoenix_mock.clients == 0
    assert phoenix_mock.port == port
    async with connect(port) as client:
        assert await client.join("room:1") == {}
        assert await phoenix_mock.push("room:1", "news", {}) == 1
    assert [(entry.client, entry.kind) for entry in phoenix_mock.received[:5]] == [
        (1, "connect"), (1, "join"), (1, "close"), (2, "connect"), (2, "join"),
    ]  # fmt: skip


async def test_nobody_gets_in_while_it_is_offline(phoenix_mock: MockPhoenix) -> None:
    async with connect(phoenix_mock.port) as client, phoenix_mock.offline():
        assert await client.close_code() == 1006
        with pytest.raises(OSError, match=r".") as refused:
            await anyio.connect_tcp("127.0.0.1", phoenix_mock.port)
        assert isinstance(refused.value, ConnectionRefusedError) or refused.value.__cause__ is not None
    async with connect(phoenix_mock.port):
        pass


async def test_a_connection_that_says_nothing_does_not_hold_it_up(phoenix_mock: MockPhoenix) -> None:
    async with await anyio.connect_tcp("127.0.0.1", phoenix_mock.port) as stream:
        with anyio.fail_after(DEADLINE):
            await phoenix_mock.restart()
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()


@pytest.mark.parametrize("turns", range(8))
async def test_who_is_just_connecting_is_cut_off_by_a_restart(phoenix_mock: MockPhoenix, turns: int) -> None:
    with socket.create_connection(("127.0.0.1", phoenix_mock.port)) as client:
        client.settimeout(DEADLINE)
        for _ in range(turns):
            await checkpoint()
        await phoenix_mock.restart()
        with suppress(ConnectionResetError):
            assert await anyio.to_thread.run_sync(client.recv, 1) == b""


async def test_nothing_of_it_is_left_behind_its_end() -> None:
    async with MockPhoenix() as mock:
        mock.on_join("room:2").delay(60)
        mock.on_heartbeat().delay(60)
        await settle()
    # Only once there has been one: an event loop has tasks of its own.
    before = live_tasks()
    async with mock, connect(mock.port) as client:
        await client.join("room:1")
        await client.send("7", "7", "room:2", "phx_join", {})
        await client.send(*HEARTBEAT)
        await mock.wait_for("heartbeat")
    await settle()
    assert live_tasks() == before


async def test_a_test_that_is_cancelled_leaves_no_port_behind() -> None:
    with anyio.CancelScope() as scope:
        async with MockPhoenix() as mock:
            scope.cancel()
            await anyio.sleep_forever()
    async with MockPhoenix(port=mock.port):
        pass


async def test_it_may_end_at_once() -> None:
    async with MockPhoenix() as mock:
        pass
    async with MockPhoenix(port=mock.port):
        pass


async def test_where_it_listens_is_for_the_caller_to_say() -> None:
    async with MockPhoenix(path="/live/socket") as mock:
        assert mock.url == f"ws://127.0.0.1:{mock.port}/live/socket"
        async with connect(mock.port, "/live/socket/websocket") as client:
            assert await client.join("room:1") == {}
        with pytest.raises(OSError, match=r"in use|Errno"):
            async with MockPhoenix(port=mock.port):
                pass


async def test_it_listens_once(phoenix_mock: MockPhoenix) -> None:
    with pytest.raises(RuntimeError, match="this mock listens already"):
        async with phoenix_mock:
            pass


async def test_it_is_offline_only_if_it_was_not() -> None:
    with pytest.raises(RuntimeError, match="this mock does not listen"):
        await MockPhoenix().restart()


def test_it_has_no_port_before_it_listens() -> None:
    with pytest.raises(RuntimeError, match="async with MockPhoenix"):
        _ = MockPhoenix().url
    assert MockPhoenix(port=4000).url == "ws://127.0.0.1:4000/socket"
    assert MockPhoenix(host="::1", port=4000).url == "ws://[::1]:4000/socket"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: MockPhoenix(keep=0), r"MockPhoenix\(keep=...\) is a positive int, not 0"),
        (lambda: MockPhoenix(path="socket"), "socket"),
        (lambda: MockPhoenix(path="/socket/websocket"), "without the /websocket that clients add"),
    ],
)
def test_what_cannot_be_is_refused_at_once(wrong: Callable[[], object], text: str) -> None:
    with pytest.raises(DefinitionError, match=text):
        wrong()
