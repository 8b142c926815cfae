"""The ASGI binding, against what the specification lets a server do."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest

from phoenix_channels import URI, Endpoint, PeerData
from phoenix_channels.runtime.limits import Limits
from phoenix_channels.transports import asgi
from tests.support.asgi import Client, Refused, Run, serving
from tests.transports.app import Journal, eventually, make_endpoint

CLOSED = ("shutdown", "closed")
WEBSOCKET = "/socket/websocket"


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def endpoint(journal: Journal) -> Endpoint:
    return make_endpoint(journal)


def bare_scope(kind: str, path: str, *, query: str = "vsn=2.0.0", **more: Any) -> dict[str, Any]:
    """No more than the specification demands, and what is given."""
    headers = [(b"host", b"localhost")]
    return {"type": kind, "method": "GET", "path": path, "headers": headers, "query_string": query.encode(), **more}


# Scopes


async def test_a_scope_of_another_kind(endpoint: Endpoint) -> None:
    run = Run(endpoint, {"type": "telnet"})
    with pytest.raises(NotImplementedError, match="'telnet' here; there are websocket, http and lifespan"):
        await run.run()


@pytest.mark.parametrize(
    ("path", "root", "raw", "served"),
    [
        (WEBSOCKET, "", WEBSOCKET, True),
        # The specification makes both of these optional.
        (WEBSOCKET, None, None, True),
        (WEBSOCKET, "", None, True),
        # Where the application is mounted: the path contains the root path (ASGI 2.4, and every recent server) ...
        (f"/ws{WEBSOCKET}", "/ws", f"/ws{WEBSOCKET}", True),
        (f"/a/b{WEBSOCKET}", "/a/b", f"/a/b{WEBSOCKET}", True),
        (f"/ws/{WEBSOCKET}/", "/ws", None, True),
        # ... or does not: older ones.
        (WEBSOCKET, "/ws", f"/ws{WEBSOCKET}", True),
        (WEBSOCKET, "/ws", WEBSOCKET, True),
        (f"/ws{WEBSOCKET}", "/w", None, False),
        (f"/ws{WEBSOCKET}", "", None, False),
        (f"/ws{WEBSOCKET}", "/other", None, False),
        ("/ws", "/ws", "/ws", False),
        ("/", "", "/", False),
        ("", "", "", False),
        # A proxy's prefix may have been encoded; the socket's own path may not.
        (f"/ä{WEBSOCKET}", "/ä", f"/%C3%A4{WEBSOCKET}", True),
        (WEBSOCKET, "", "/socket/%77ebsocket", False),
        (WEBSOCKET, "", "/socket%2Fwebsocket", False),
        (WEBSOCKET, "", f"{WEBSOCKET}?vsn=2.0.0", True),
    ],
)
async def test_paths(endpoint: Endpoint, path: str, root: str | None, raw: str | None, served: bool) -> None:
    optional: dict[str, Any] = {"root_path": root, "raw_path": None if raw is None else raw.encode()}
    given = {name: value for name, value in optional.items() if value is not None}
    for kind in ("websocket", "http"):
        run = Run(endpoint, bare_scope(kind, path, **given))
        run.incoming.put({"type": "websocket.connect"})
        run.incoming.put({"type": "websocket.disconnect", "code": 1005})
        await run.run()
        answer = run.outgoing.take()
        if kind == "http":
            assert answer["status"] == (400 if served else 404)
        else:
            assert answer["type"] == ("websocket.accept" if served else "websocket.close")


@pytest.mark.parametrize(
    ("scheme", "client", "uri", "peer"),
    [
        ("ws", ("192.0.2.1", 5), ("http", 80), PeerData("192.0.2.1", 5)),
        ("wss", ["2001:db8::1", 6], ("https", 443), PeerData("2001:db8::1", 6)),
        # Some servers have the port as a string, and some have none.
        ("ws", ("192.0.2.1", "5"), ("http", 80), PeerData("192.0.2.1", 5)),
        ("ws", ("192.0.2.1", None), ("http", 80), PeerData("192.0.2.1", 0)),
        ("https", None, ("https", 443), PeerData(None, None)),
    ],
)
async def test_the_info_of_a_connection(
    *, endpoint: Endpoint, journal: Journal, scheme: str, client: Any, uri: tuple[str, int], peer: PeerData
) -> None:
    headers = [("User-Agent", "browser \xe4"), ("Cookie", "secret")]
    async with serving(endpoint) as server:
        await server.connect(scheme=scheme, client=client, headers=headers, query="vsn=2.0.0&a=%C3%A4")
    (params, info), = journal.connects  # fmt: skip
    assert params == {"vsn": "2.0.0", "a": "ä"}
    assert info.uri == URI(uri[0], "www.example.com", uri[1], WEBSOCKET, "vsn=2.0.0&a=%C3%A4")
    assert info.peer_data == peer
    assert info.user_agent == "browser \xe4"
    assert "secret" not in repr(info)


# HTTP

UPGRADE = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "status", "body"),
    [
        ("GET", "/", "", [], 404, b"Not Found"),
        ("POST", "/", "", [], 404, b"Not Found"),
        ("POST", WEBSOCKET, "", [], 400, b""),
        ("HEAD", WEBSOCKET, "", [], 400, b""),
        ("OPTIONS", WEBSOCKET, "", [], 400, b""),
        ("GET", WEBSOCKET, "connect=refuse", [], 403, b""),
        ("GET", WEBSOCKET, "vsn=9.0.0", [], 403, b""),
        ("GET", WEBSOCKET, "", [("origin", "http://evil.example")], 403, b""),
        ("GET", WEBSOCKET, "connect=crash", [], 500, b'{"errors":{"detail":"Internal Server Error"}}'),
        ("GET", WEBSOCKET, "a=%ff", [], 400, b'{"errors":{"detail":"Bad Request"}}'),
        ("GET", WEBSOCKET, "a=" + "x" * 1_000_000, [], 414, b'{"errors":{"detail":"Request-URI Too Long"}}'),
        ("GET", WEBSOCKET, "", [], 400, b"'connection' header must contain 'upgrade', got []"),
        ("GET", WEBSOCKET, "", UPGRADE, 400, b"this server was started without support for WebSocket upgrades"),
    ],
)  # fmt: skip
async def test_http(
    *, endpoint: Endpoint, method: str, path: str, query: str, headers: list[tuple[str, str]], status: int, body: bytes
) -> None:
    async with serving(endpoint) as server:
        assert await server.request(method, path, query=query, headers=headers) == (status, body)


async def test_the_headers_of_a_response(endpoint: Endpoint) -> None:
    for query, headers in (
        ("connect=crash", [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", b"45")]),
        ("connect=refuse", [(b"content-length", b"0")]),
    ):
        run = Run(endpoint, bare_scope("http", WEBSOCKET, query=query))
        await run.run()
        assert run.outgoing.take()["headers"] == headers


# The handshake


@pytest.mark.parametrize(
    ("path", "query", "status", "body"),
    [
        ("/", "", 404, b"Not Found"),
        (WEBSOCKET, "connect=refuse", 403, b""),
        (WEBSOCKET, "connect=crash", 500, b'{"errors":{"detail":"Internal Server Error"}}'),
        (WEBSOCKET, "a=%ff", 400, b'{"errors":{"detail":"Bad Request"}}'),
        (WEBSOCKET, "a=" + "x" * 1_000_000, 414, b'{"errors":{"detail":"Request-URI Too Long"}}'),
    ],
)
async def test_refusals_with_and_without_the_denial_extension(
    endpoint: Endpoint, path: str, query: str, status: int, body: bytes
) -> None:
    async with serving(endpoint) as server:
        with pytest.raises(Refused) as refused:
            await server.connect(path, query=query)
        assert (refused.value.status, refused.value.body) == (status, body)
        with pytest.raises(Refused) as refused:
            await server.connect(path, query=query, denial=False)
        assert refused.value.status == 403
    for extensions in ({"extensions": None}, {}):
        run = Run(endpoint, bare_scope("websocket", path, query=query) | extensions)
        run.incoming.put({"type": "websocket.connect"})
        await run.run()
        assert run.outgoing.take() == {"type": "websocket.close"}


async def test_a_plain_403_is_a_close_on_every_server(endpoint: Endpoint) -> None:
    # The one way of which no server thinks that the application has forgotten the handshake.
    async with serving(endpoint) as server:
        client = server.open(query="connect=refuse")
        await client.wait_ended()
        assert client.outgoing.take() == {"type": "websocket.close"}


async def test_a_client_that_has_gone_before_it_was_accepted(endpoint: Endpoint, journal: Journal) -> None:
    run = Run(endpoint, bare_scope("websocket", WEBSOCKET))
    run.incoming.put({"type": "websocket.disconnect", "code": 1006})
    await run.run()
    assert not run.outgoing
    assert endpoint.statistics().connections == 0


async def test_drained_while_connect_was_running(endpoint: Endpoint) -> None:
    async with serving(endpoint) as server:
        client = server.open()
        send = client.send

        async def drain_before_the_accept(message: Any) -> None:
            if message["type"] == "websocket.accept":
                await endpoint.drain()
            await send(message)

        client.send = drain_before_the_accept  # type: ignore[method-assign]
        await server.accepted(client)
        assert await client.receive_close() == 1012


# The connection


async def test_messages_of_both_kinds_and_with_both_keys(endpoint: Endpoint) -> None:
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        for message in (
            {"text": '["1","2","room:a","echo",{"n":1}]'},
            {"text": '["1","2","room:a","echo",{"n":1}]', "bytes": None},
        ):
            client.incoming.put({"type": "websocket.receive", **message})
            assert await client.receive() == ["1", "2", "room:a", "phx_reply", {"status": "ok", "response": {"n": 1}}]
        binary = b"\x00\x01\x01\x06\x041" + b"3room:aecho" + b"\xff"
        for more in ({}, {"text": None}):
            client.incoming.put({"type": "websocket.receive", "bytes": binary, **more})
            assert await client.receive() == b"\x01\x01\x01\x06\x02" + b"13room:aok" + b"\xff"


async def test_what_has_arrived_already_is_not_all_handled_at_once(endpoint: Endpoint, journal: Journal) -> None:
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        for _ in range(320):
            client.send_nowait(["1", None, "room:a", "note", {}])
        steps = set()
        while len(journal.received) < 320:
            await anyio.lowlevel.checkpoint()
            steps.add(len(journal.received))
        # Others come to their turn in between.
        assert len(steps) >= 5


@pytest.mark.parametrize("message", [{"text": ""}, {"bytes": b""}, {"text": None, "bytes": None}, {}], ids=repr)
async def test_a_message_without_content_is_malformed(
    endpoint: Endpoint, journal: Journal, message: dict[str, Any]
) -> None:
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        client.incoming.put({"type": "websocket.receive", **message})
        assert await client.receive_close() == 1011
    assert journal.terminated == [("room:a", CLOSED)]


async def test_nothing_is_sent_after_the_close(endpoint: Endpoint) -> None:
    async with serving(endpoint) as server:
        client = await server.joined("room:a", query="vsn=2.0.0&user=ada", answers_close=False)
        await endpoint.disconnect("users:ada")
        endpoint.broadcast("room:a", "late", {})
        client.send_nowait(["1", "2", "room:a", "echo", {}])
        assert await client.receive_close() == 1001
        await client.receive_nothing()


async def test_a_server_that_does_not_say_when_the_connection_is_over(
    endpoint: Endpoint, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "CLOSE_TIMEOUT", 0.05)
    async with serving(endpoint) as server:
        client = await server.joined("room:a", query="vsn=2.0.0&user=ada", answers_close=False)
        await endpoint.disconnect("users:ada")
        assert await client.receive_close() == 1001
        await client.wait_ended()
    assert journal.terminated == [("room:a", ("shutdown", "disconnected"))]


async def test_a_client_that_never_reads_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(asgi, "CLOSE_TIMEOUT", 0.05)
    endpoint = make_endpoint(journal, limits=Limits(outbox_bytes=1000))
    async with serving(endpoint) as server:
        slow, fast = await server.joined("room:a"), await server.joined("room:a")
        slow.stop_reading()
        for number in range(20):
            endpoint.broadcast("room:a", "chunk", {"text": "x" * 100, "n": number})
            assert (await fast.receive())[4]["n"] == number
        assert endpoint.statistics().connections == 1
        # Its sends never returned; the application does not wait for them.
        await slow.wait_ended()
        await eventually(lambda: slow.sending == 0)
        await eventually(lambda: journal.terminated == [("room:a", CLOSED)])
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_the_client_goes_away_while_something_is_being_sent(endpoint: Endpoint, journal: Journal) -> None:
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        client.stop_reading()
        endpoint.broadcast("room:a", "one", {})
        endpoint.broadcast("room:a", "two", {})
        await eventually(lambda: client.sending == 1)
        client.vanish()
        # A failed send is enough; no message says it.
        await eventually(lambda: journal.terminated == [("room:a", CLOSED)])
        assert endpoint.statistics().connections == 0


async def test_the_server_cancels_the_application(endpoint: Endpoint, journal: Journal) -> None:
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "hang", {}])
        await eventually(lambda: journal.received == ["hang"])
        client.kill()
        await client.wait_ended()
        await eventually(lambda: journal.terminated == [("room:a", CLOSED)])


async def test_the_application_ends_after_its_channels(endpoint: Endpoint, journal: Journal) -> None:
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", "hang", {}])
        await eventually(lambda: journal.received == ["hang"])
        await client.close()
        assert journal.terminated == [("room:a", CLOSED)]


async def paused(client: Client, journal: Journal) -> None:
    """Have one handler hang, and so much wait behind it that the connection is not read any further."""
    client.send_nowait(["1", "2", "room:a", "hang", {}])
    for number in range(200):
        client.send_nowait(["1", "3", "room:a", "note", {"n": number}])
    await eventually(lambda: journal.received == ["hang"])
    await eventually(lambda: 0 < client.unread < 200)
    await client.receive_nothing()


async def test_a_connection_that_is_not_read(journal: Journal) -> None:
    endpoint = make_endpoint(journal, limits=Limits(paused_seconds=0.1))
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        await paused(client, journal)
        assert await client.receive_close() == 1013
        await client.wait_ended()
    assert journal.terminated == [("room:a", CLOSED)]


async def test_the_end_of_a_connection_that_is_not_read(endpoint: Endpoint, journal: Journal) -> None:
    async with serving(endpoint) as server:
        client = await server.joined("room:a")
        await paused(client, journal)
        await endpoint.drain()
        assert await client.receive_close() == 1012
    assert journal.terminated == [("room:a", ("shutdown", "draining"))]


# The lifespan


async def test_the_lifespan(endpoint: Endpoint, journal: Journal) -> None:
    async with serving(endpoint) as server:
        lifespan = server.lifespan()
        for kind in ("lifespan.unheard_of", "lifespan.startup", "lifespan.unheard_of"):
            lifespan.incoming.put({"type": kind})
        await eventually(lambda: len(lifespan.outgoing) == 1)
        assert lifespan.outgoing.take() == {"type": "lifespan.startup.complete"}
        client = await server.joined("room:a")
        lifespan.incoming.put({"type": "lifespan.shutdown"})
        assert await client.receive_close() == 1012
        await lifespan.wait_ended()
        assert lifespan.outgoing.take() == {"type": "lifespan.shutdown.complete"}
        assert journal.terminated == [("room:a", ("shutdown", "draining"))]
        with pytest.raises(Refused) as refused:
            await server.connect()
        assert refused.value.status == 503


async def test_a_lifespan_that_is_cancelled_drains(endpoint: Endpoint, journal: Journal) -> None:
    async with serving(endpoint) as server:
        lifespan = server.lifespan()
        lifespan.incoming.put({"type": "lifespan.startup"})
        await eventually(lambda: len(lifespan.outgoing) == 1)
        client = await server.joined("room:a")
        with anyio.CancelScope():
            lifespan.kill()
        assert await client.receive_close() == 1012
        await lifespan.wait_ended()
    assert journal.terminated == [("room:a", ("shutdown", "draining"))]
