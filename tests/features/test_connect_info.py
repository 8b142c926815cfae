"""What ``connect`` learns of the request: the rows B005 to B012, and B032 to B035, of the inventory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from phoenix_channels import URI, Channel, ConnectInfo, PeerData, SessionOptions
from tests.features.app import Curious, CuriousSocket
from tests.features.clients import Client, Serve
from tests.features.longpoll import ServeNodes


async def told(
    serve: Serve, version: int, name: str, *, headers: list[tuple[str, str]], query: str = "", **options: Any
) -> tuple[Any, Client]:
    """What a client's ``connect`` is told under this name, and the client."""
    curious = Curious(connect_info=[name], **options)
    async with serve(curious.endpoint) as server:
        client = await server.connect(version, query=query, headers=headers)
        await client.heartbeat()
    (info,) = curious.infos
    return getattr(info, name), client


@pytest.mark.feature("B005")
async def test_headers_that_begin_with_x(serve: Serve, version: int) -> None:
    headers = [
        ("X-Foo", "Bar"),
        ("xylophone", "no"),
        ("authorization", "secret"),
        ("x-application", "Phoenix"),
        ("cookie", "x-foo=secret"),
    ]
    found, _ = await told(serve, version, "x_headers", headers=headers)
    assert found == [("x-foo", "Bar"), ("x-application", "Phoenix")]


@pytest.mark.feature("B006")
async def test_headers_that_begin_with_sec_websocket(serve: Serve, version: int) -> None:
    headers = [("Sec-WebSocket-Foo", "Bar, Baz"), ("sec-other", "no")]
    found, _ = await told(serve, version, "sec_websocket_headers", headers=headers)
    assert sorted(name for name, _ in found) == ["sec-websocket-foo", "sec-websocket-key", "sec-websocket-version"]
    assert dict(found)["sec-websocket-foo"] == "Bar, Baz"
    assert dict(found)["sec-websocket-version"] == "13"
    assert len(dict(found)["sec-websocket-key"]) == 24


@pytest.mark.feature("B007")
async def test_trace_context_headers(serve: Serve, version: int) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = [("traceparent", traceparent), ("tracestate", "congo=t61rcWkgMzE"), ("x-trace", "no")]
    found, _ = await told(serve, version, "trace_context_headers", headers=headers)
    assert found == headers[:2]


@pytest.mark.feature("B008")
async def test_the_peer(serve: Serve, version: int) -> None:
    found, client = await told(serve, version, "peer_data", headers=[])
    assert found == PeerData(*client.peer, ssl_cert=None)


@pytest.mark.feature("B009")
async def test_the_uri(serve: Serve, version: int) -> None:
    curious = Curious(connect_info=["uri"])
    async with serve(curious.endpoint) as server:
        await server.connect(version, query="a=%C3%A4+b")
        host, port = server.authority
    (info,) = curious.infos
    assert info.uri == URI("http", host, port, "/socket/websocket", f"vsn={version}.0.0&a=%C3%A4+b")


@pytest.mark.feature("B010")
@pytest.mark.parametrize(("headers", "expected"), [([("User-Agent", "a browser")], "a browser"), ([], None)])
async def test_the_user_agent(serve: Serve, version: int, headers: list[tuple[str, str]], expected: str | None) -> None:
    found, _ = await told(serve, version, "user_agent", headers=headers)
    assert found == expected


SESSION = {"user": "ada", "_csrf_token": "state"}


def load(cookies: Mapping[str, str]) -> Mapping[str, Any] | None:
    return SESSION if cookies.get("session") == "valid" else None


@pytest.mark.feature("B011")
@pytest.mark.parametrize(
    ("cookie", "query", "expected"),
    [
        ("a=1; session=valid; b=2", "_csrf_token=state", SESSION),
        (None, "_csrf_token=state", None),
        ("session=forged", "_csrf_token=state", None),
        ("session=valid", "_csrf_token=other", None),
        ("session=valid", "", None),
    ],
    ids=["session", "no cookie", "invalid cookie", "bad token", "no token"],
)
async def test_the_session(
    serve: Serve, version: int, cookie: str | None, query: str, expected: Mapping[str, Any] | None
) -> None:
    headers = [] if cookie is None else [("cookie", cookie)]
    # The client is connected in any case.
    found, _ = await told(serve, version, "session", headers=headers, query=query, session=SessionOptions(load=load))
    assert found == expected


@pytest.mark.feature("B012")
async def test_keys_of_the_mounts_own(serve: Serve, version: int) -> None:
    signing = object()
    curious = Curious(connect_info=["user_agent"], extra={"region": "eu", "signing": signing})
    async with serve(curious.endpoint) as server:
        await server.connect(version)
    (info,) = curious.infos
    assert dict(info.extra) == {"region": "eu", "signing": signing}
    with pytest.raises(AttributeError, match="'peer_data'"):
        _ = info.peer_data


# Over long polling: it is the request that makes the session (P-024), whichever node is asked later.


class AnsweringSocket(CuriousSocket):
    channels = {"room:*": Channel}


async def told_over_longpoll(
    nodes: ServeNodes, name: str, headers: list[tuple[str, str]], query: str = ""
) -> tuple[Any, tuple[str, int]]:
    """What ``connect`` is told under this name, and the authority of the server that was asked."""

    class RoomSocket(AnsweringSocket):
        infos: list[ConnectInfo] = []

    async with nodes(RoomSocket, connect_info=[name]) as running:
        session = running.session(2, query=query)
        await session.open(headers)
        await session.start_join("room:lobby")
        await session.fetch(1)
        (info,) = RoomSocket.infos
        return getattr(info, name), running.servers[0].authority


@pytest.mark.feature("B032")
async def test_long_poll_headers_that_begin_with_x(nodes: ServeNodes) -> None:
    headers = [("X-Foo", "Bar"), ("xylophone", "no"), ("authorization", "secret"), ("x-application", "Phoenix")]
    found, _ = await told_over_longpoll(nodes, "x_headers", headers)
    assert found == [("x-foo", "Bar"), ("x-application", "Phoenix")]


@pytest.mark.feature("B033")
async def test_long_poll_trace_context_headers(nodes: ServeNodes) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = [("traceparent", traceparent), ("tracestate", "congo=t61rcWkgMzE"), ("x-trace", "no")]
    found, _ = await told_over_longpoll(nodes, "trace_context_headers", headers)
    assert found == headers[:2]


@pytest.mark.feature("B034")
async def test_long_poll_the_peer(nodes: ServeNodes) -> None:
    found, _ = await told_over_longpoll(nodes, "peer_data", [])
    assert found == PeerData("127.0.0.1", found.port, ssl_cert=None)
    assert 0 < found.port < 65536


@pytest.mark.feature("B035")
async def test_long_poll_the_uri(nodes: ServeNodes) -> None:
    found, authority = await told_over_longpoll(nodes, "uri", [], "a=%C3%A4+b")
    assert found == URI("http", *authority, "/socket/longpoll", "vsn=2.0.0&a=%C3%A4+b")
