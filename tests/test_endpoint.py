"""The endpoint as an ASGI application, and what it knows about itself."""

from collections.abc import Mapping
from typing import Any

import anyio
import anyio.to_thread
import pytest

from phoenix_channels import (
    URI,
    Channel,
    ConnectInfo,
    ConnectRefused,
    DefinitionError,
    Endpoint,
    Health,
    Limits,
    PeerData,
    Reply,
    Socket,
    Statistics,
    WebSocketOptions,
    incoming,
    telemetry,
)  # fmt: skip
from tests.support import frames
from tests.support.apps import make_endpoint, serve
from tests.support.asgi import Refused, serving
from tests.support.loops import settle, soon


class RoomChannel(Channel):
    @incoming
    async def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)


class GateSocket(Socket):
    """Does what its params ask for."""

    channels = {"room:*": RoomChannel}
    connect_timeout = 0.01
    infos: list[ConnectInfo] = []

    def __init__(self) -> None:
        if self.broken:
            raise RuntimeError("no socket")

    broken = False

    async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> Any:
        self.infos.append(info)
        self.socket_id: Any = None
        match params.get("do"):
            case "refuse":
                raise ConnectRefused
            case "refuse with a reason":
                raise ConnectRefused("no token")
            case "crash":
                raise RuntimeError("connect failed")
            case "hang":
                await anyio.sleep_forever()
            case "exit":
                raise SystemExit
            case "refuse in a group":
                async with anyio.create_task_group() as group:
                    group.start_soon(self._refuse)
            case "return":
                return "something"
            case "id":
                self.socket_id = 7
            case "bad id":
                self.socket_id = ["x"]
        return None

    async def _refuse(self) -> None:
        raise ConnectRefused

    def id(self) -> Any:
        return self.socket_id


class BrokenSocket(GateSocket):
    broken = True


def gate_endpoint(**options: Any) -> Endpoint:
    endpoint = Endpoint(**options)
    endpoint.socket("/socket", GateSocket, connect_info=["peer_data", "uri", "user_agent"])
    return endpoint


@pytest.mark.parametrize("host", ["", "https://example.com", "example.com:443", "example.com/x", 7, b"example.com"])
def test_the_host_is_a_bare_name(host: Any) -> None:
    with pytest.raises(ValueError, match=r"example\.com"):
        Endpoint(host=host)


def test_wrong_mounts_are_named() -> None:
    endpoint = gate_endpoint()
    for path, socket_class, options in (
        ("/socket", GateSocket, {}), ("socket", GateSocket, {}), (7, GateSocket, {}), ("/x", Channel, {}),
        ("/x", None, {}), ("/x", GateSocket, {"unknown": 1}), ("/x", GateSocket, {"check_origin": 1}),
        ("/x", GateSocket, {"timeout": 5}), ("/x", GateSocket, {"websocket": None}),
    ):  # fmt: skip
        with pytest.raises(DefinitionError):
            endpoint.socket(path, socket_class, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/socket/websocket", "/socket/websocket/", "//socket//websocket"])
async def test_a_socket_answers_below_its_mount(path: str) -> None:
    """P-001, P-002."""
    async with serving(gate_endpoint()) as server:
        client = await server.connect(path)
        await client.join("room:a")
        await client.heartbeat()


@pytest.mark.parametrize("path", ["/", "/socket", "/websocket", "/socket/websocket/more", "/Socket/websocket"])
async def test_other_paths_are_not_found(path: str) -> None:
    async with serving(gate_endpoint()) as server:
        with pytest.raises(Refused) as refused:
            await server.connect(path)
        assert refused.value.status == 404
        with pytest.raises(Refused) as refused:
            await server.connect(path, denial=False)
        assert refused.value.status == 403
        assert await server.request("GET", path) == (404, b"Not Found")


@pytest.mark.parametrize(
    ("do", "status"),
    [
        ("refuse", 403),
        ("refuse with a reason", 403),
        ("crash", 500),
        ("return", 403),
        ("id", 403),
        ("bad id", 403),
        ("hang", 500),
        ("exit", 500),
        ("refuse in a group", 403),
    ],
)
async def test_who_is_not_let_in(do: str, status: int) -> None:
    """P-010: and nothing is left of them."""
    async with serving(gate_endpoint()) as server:
        with pytest.raises(Refused) as refused:
            await server.connect(query=f"vsn=2.0.0&do={do}")
        assert refused.value.status == status
        with pytest.raises(Refused) as refused:
            await server.connect(query=f"vsn=2.0.0&do={do}", denial=False)
        assert refused.value.status == 403
        assert (await server.request("GET", "/socket/websocket", query=f"vsn=2.0.0&do={do}"))[0] == status


async def test_a_socket_that_cannot_be_made_is_an_error_of_the_server() -> None:
    endpoint = gate_endpoint()
    endpoint.socket("/broken", BrokenSocket)
    async with serving(endpoint) as server:
        with pytest.raises(Refused) as refused:
            await server.connect("/broken/websocket")
        assert refused.value.status == 500
        await (await server.connect()).heartbeat()


async def test_every_attempt_that_is_decided_reaches_telemetry() -> None:
    """P-027: accepted or refused; not what raises, nor what is turned away before."""
    seen = []

    def handler(event: str, measurements: Any, metadata: Any) -> None:
        assert measurements["duration"] >= 0
        seen.append((metadata["user_socket"], metadata["params"].get("do"), metadata["vsn"], metadata["result"]))

    telemetry.attach(telemetry.SOCKET_CONNECTED, handler)
    try:
        async with serving(gate_endpoint()) as server:
            await server.connect()
            for query in ("vsn=2.0.0&do=refuse", "vsn=2.0.0&do=crash", "vsn=3.0.0"):
                with pytest.raises(Refused):
                    await server.connect(query=query)
    finally:
        telemetry.detach(telemetry.SOCKET_CONNECTED, handler)
    assert seen == [(GateSocket, None, "2.0.0", "ok"), (GateSocket, "refuse", "2.0.0", "error")]


async def test_a_plain_request_for_a_socket_is_told_what_it_lacks() -> None:
    """P-008, P-009."""
    async with serving(gate_endpoint()) as server:
        status, body = await server.request("GET", "/socket/websocket", query="vsn=2.0.0")
        assert status == 400
        assert b"'connection' header must contain 'upgrade'" in body
        assert await server.request("POST", "/socket/websocket") == (400, b"")


async def test_the_version_is_negotiated(caplog: pytest.LogCaptureFixture) -> None:
    """Without a version a client speaks the first one."""
    async with serving(gate_endpoint()) as server:
        client = await server.connect(query="")
        client.send_nowait({"topic": "phoenix", "event": "heartbeat", "payload": {}, "ref": "1"})
        reply = {"status": "ok", "response": {}}
        assert await client.receive() == {"topic": "phoenix", "event": "phx_reply", "payload": reply, "ref": "1"}
        with pytest.raises(Refused) as refused:
            await server.connect(query="vsn=123.1.1")
        assert refused.value.status == 403
    assert "123.1.1" in caplog.text
    assert "~> 2.0.0" in caplog.text


async def test_the_origin_is_the_host_of_the_request_or_the_configured_one() -> None:
    async with serving(gate_endpoint()) as server:
        await server.connect(headers=[("origin", "https://www.example.com:8443")])
        for origin in ("https://evil.com", "null"):
            with pytest.raises(Refused):
                await server.connect(headers=[("origin", origin)])
    endpoint = gate_endpoint(host="example.com")
    endpoint.socket("/open", GateSocket, check_origin=False)
    async with serving(endpoint) as server:
        await server.connect(headers=[("origin", "http://example.com")])
        await server.connect("/open/websocket", headers=[("origin", "https://evil.com")])
        with pytest.raises(Refused):
            await server.connect(headers=[("origin", "https://www.example.com")])


async def test_connect_is_told_of_the_request() -> None:
    """As far as they are safe to know."""
    async with serving(gate_endpoint()) as server:
        GateSocket.infos.clear()
        await server.connect(query="vsn=2.0.0&a=1", headers=[("user-agent", "test"), ("cookie", "secret")])
        assert GateSocket.infos == [
            ConnectInfo(
                uri=URI("http", "www.example.com", 80, "/socket/websocket", "vsn=2.0.0&a=1"),
                peer_data=PeerData("127.0.0.1", 50000),
                user_agent="test",
            )
        ]
        assert "secret" not in repr(GateSocket.infos)


async def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="http2"):
        await Endpoint()({"type": "http2"}, None, None)


async def test_a_client_that_goes_before_it_is_accepted() -> None:
    async with serving(gate_endpoint()) as server:
        client = server.open()
        await client.incoming.get()
        client.close_nowait()
        await client.wait_ended()
        assert len(client.outgoing) == 0


async def test_statistics_count_what_there_is_and_what_was_lost() -> None:
    limits = Limits(subscription_messages=1, outbox_bytes=100)
    async with serve(RoomChannel, limits=limits, socket_id="user:1") as (endpoint, server):
        nothing = Statistics(**dict.fromkeys(Statistics.__struct_fields__, 0))
        assert endpoint.statistics() == nothing
        clients = [await server.joined("room:a") for _ in range(3)]
        await clients[0].join("room:b", ref="2")
        there = endpoint.statistics()
        assert (there.connections, there.channels, there.topics) == (3, 4, 3)
        async with endpoint.subscribe("elsewhere"):
            endpoint.broadcast("elsewhere", "event", {})
            endpoint.broadcast("elsewhere", "event", {})
            assert endpoint.statistics().topics == 4
        # From any thread.
        assert (await anyio.to_thread.run_sync(endpoint.statistics)).dropped_broadcasts == 1
        for client in clients:
            await client.close()
        assert endpoint.statistics() == Statistics(**{**_fields(nothing), "dropped_broadcasts": 1})
        with pytest.raises(AttributeError):
            endpoint.statistics().connections = 1  # type: ignore[misc]


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


async def test_health_is_about_draining() -> None:
    endpoint = make_endpoint(RoomChannel)
    assert endpoint.health() == Health(ok=True, draining=False)
    await soon(endpoint.drain())
    assert endpoint.health() == Health(ok=False, draining=True)
    assert await anyio.to_thread.run_sync(endpoint.health) == Health(ok=False, draining=True)


async def test_two_endpoints_know_nothing_of_each_other() -> None:
    async with serve(RoomChannel) as (first, server), serve(RoomChannel, alone=False) as (second, other_server):
        client, other = await server.joined("room:a"), await other_server.joined("room:a")
        first.broadcast("room:a", "event", {})
        assert await client.receive() == frames.broadcast("room:a", "event")
        await other.receive_nothing()
        assert (first.statistics().connections, second.statistics().connections) == (1, 1)
        await soon(second.drain())
        await client.heartbeat()
        assert first.health().ok


async def test_one_socket_class_may_be_mounted_twice() -> None:
    """P-004: with other options, and with one pub/sub."""
    endpoint = gate_endpoint()
    endpoint.socket("/a/b/c", GateSocket, websocket=WebSocketOptions(timeout=None))
    async with serving(endpoint) as server:
        first = await server.joined("room:a")
        second = await server.joined("room:a", path="/a/b/c/websocket")
        endpoint.broadcast("room:a", "event", {})
        for client in (first, second):
            assert await client.receive() == frames.broadcast("room:a", "event")


async def test_a_mount_below_another_application() -> None:
    """`root_path` is what the outer application has taken off, or still has in front of the path."""
    async with serving(gate_endpoint()) as server:
        for path in ("/outer/socket/websocket", "/socket/websocket"):
            client = await server.connect(path, root_path="/outer")
            await client.heartbeat()
        with pytest.raises(Refused):
            await server.connect("/outersocket/websocket", root_path="/outer")
        await settle()


@pytest.mark.parametrize(
    ("option", "text"), [("limits", "limits is a Limits"), ("pubsub", "pubsub is a PubSub adapter")]
)
def test_what_is_no_such_thing_is_refused(option: str, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        Endpoint(**{option: {"outbox_bytes": 3}})  # type: ignore[arg-type]
