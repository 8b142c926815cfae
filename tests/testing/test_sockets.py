"""Connections: the handshake, and how they end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from phoenix_channels import (
    Channel,
    ConnectInfo,
    ConnectRefused,
    Endpoint,
    RawSocket,
    Reply,
    Request,
    Response,
    Socket,
    WebSocketOptions,
    incoming,
    telemetry,
)
from phoenix_channels.client.errors import ConnectFailed
from phoenix_channels.protocol.params import Param
from phoenix_channels.protocol.serializers import V1JSONSerializer, V2JSONSerializer
from phoenix_channels.testing import JoinRefused, Refused, connect, make_socket
from tests.support.backplane import Broker
from tests.testing.app import RoomChannel, UserSocket, make_endpoint


async def test_the_params_arrive_as_from_phoenix_js() -> None:
    params: dict[str, Param] = {"token": "t+/=&", "n": 1, "yes": True, "of": {"a": ["x", 1.5]}}
    async with connect(make_endpoint(), params) as socket:
        expected = {"token": "t+/=&", "n": "1", "yes": "true", "of": {"a": ["x", "1.5"]}, "vsn": "2.0.0"}
        assert socket.server.params == expected


async def test_a_socket_is_opened_by_await_or_for_a_block() -> None:
    endpoint = make_endpoint()
    async with connect(endpoint, {"user": "21"}) as socket:
        assert isinstance(socket.server, UserSocket)
        assert socket.server.endpoint is socket.endpoint is endpoint
        assert (socket.server.user, socket.id) == ("21", "users:21")
        assert endpoint.statistics().connections == 1
    assert endpoint.statistics().connections == 0
    socket = await connect(endpoint)
    assert socket.id is None
    assert endpoint.statistics().connections == 1
    await socket.close()
    assert endpoint.statistics().connections == 0


async def test_what_connect_may_know_of_the_request() -> None:
    names = ["peer_data", "uri", "user_agent", "x_headers"]
    endpoint = make_endpoint(connect_info=names, auth_token=True)
    headers = {"user-agent": "kit", "x-one": "1"}
    async with connect(endpoint, headers=headers, auth_token="s3cret~ÿ", peer=("10.0.0.1", 7)) as socket:
        info = socket.server.info
        assert (info.peer_data.address, info.peer_data.port) == ("10.0.0.1", 7)
        assert (info.uri.scheme, info.uri.host, info.uri.path) == ("http", "localhost", "/socket/websocket")
        assert (info.user_agent, info.x_headers) == ("kit", [("x-one", "1")])
        assert info.auth_token == "s3cret~ÿ"
    async with connect(endpoint, headers=[("Host", "example.com:4000")]) as socket:
        assert (socket.server.info.uri.host, socket.server.info.uri.port) == ("example.com", 4000)


async def test_who_is_refused() -> None:
    endpoint = make_endpoint(websocket=WebSocketOptions(error_handler=explain))
    with pytest.raises(Refused, match=r"^refused with 403$") as refused:
        await connect(endpoint, {"user": "nobody"})
    assert refused.value.response.status == 403
    assert isinstance(refused.value.__cause__, ConnectRefused)
    with pytest.raises(Refused, match="refused with 403") as refused:
        await connect(endpoint, vsn="9.9.9")
    assert refused.value.__cause__ is None
    with pytest.raises(Refused, match="refused with 403"):
        await connect(endpoint, headers={"origin": "https://evil.example"})
    await endpoint.drain()
    with pytest.raises(Refused, match="refused with 503"):
        await connect(endpoint)


def explain(request: Request, reason: Any) -> Response:
    return Response(429, f"{reason}: {request.path}".encode(), (("retry-after", "5"),))


async def test_the_response_of_a_refusal_with_a_reason() -> None:
    class BusySocket(Socket):
        def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            raise ConnectRefused("busy")

    endpoint = Endpoint()
    endpoint.socket("/socket", BusySocket, websocket=WebSocketOptions(error_handler=explain))
    with pytest.raises(Refused, match="refused with 429: busy: /socket/websocket") as refused:
        await connect(endpoint)
    assert refused.value.response.headers == (("retry-after", "5"),)
    # Whoever tests through a function that has the client's errors in mind.
    assert isinstance(refused.value, ConnectFailed)
    assert (refused.value.status, refused.value.body) == (429, b"busy: /socket/websocket")


async def test_a_connect_that_raises_is_the_cause_of_the_refusal() -> None:
    with pytest.raises(Refused, match="refused with 500") as refused:
        await connect(make_endpoint(), {"user": "broken"})
    assert isinstance(refused.value.__cause__, LookupError)
    assert str(refused.value.__cause__) == "no database"
    assert not telemetry.attached(telemetry.CONNECT_CRASHED)


async def test_the_cause_of_a_refusal_does_not_depend_on_what_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "phoenix_channels")
    with pytest.raises(Refused) as refused:
        await connect(make_endpoint(), {"user": "broken"})
    assert isinstance(refused.value.__cause__, LookupError)


async def test_the_cause_of_a_refusal_is_that_of_this_connection() -> None:
    class SlowSocket(Socket):
        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            await anyio.sleep(1)
            raise LookupError(params["user"])

    endpoint = Endpoint()
    endpoint.socket("/socket", SlowSocket)
    causes: dict[str, str] = {}

    async def fail(user: str) -> None:
        with pytest.raises(Refused) as refused:
            await connect(endpoint, {"user": user})
        causes[user] = str(refused.value.__cause__)

    async with anyio.create_task_group() as group:
        for user in ("ada", "grace"):
            group.start_soon(fail, user)
    assert causes == {"ada": "ada", "grace": "grace"}


async def test_no_auth_token() -> None:
    async with connect(make_endpoint(auth_token=True), auth_token=None) as socket:
        assert socket.server.info.auth_token is None


def test_an_option_that_does_not_exist() -> None:
    with pytest.raises(TypeError, match=r"no option 'token'; there are path, headers, auth_token, peer, vsn"):
        connect(make_endpoint(), token="t")  # type: ignore[call-overload]


def test_a_connection_that_is_not_awaited() -> None:
    opening: Any = connect(make_endpoint())
    with pytest.raises(AttributeError, match="'join' is not of this, but of what it opens: await it"):
        opening.join("room:1")


@pytest.mark.parametrize(("token", "error"), [("€", ValueError), (b"t", TypeError)])
def test_an_auth_token_that_no_client_could_send(token: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="auth_token"):
        connect(make_endpoint(auth_token=True), auth_token=token)


async def test_several_sockets_are_told_apart_by_path_or_class() -> None:
    class AdminSocket(Socket): ...

    endpoint = make_endpoint()
    endpoint.socket("/admin/:tenant", AdminSocket, websocket=WebSocketOptions(path="/live"))
    endpoint.socket("/raw", Echo)
    async with connect(endpoint, socket_class=UserSocket) as socket:
        assert isinstance(socket.server, UserSocket)
    async with connect(endpoint, path="/socket/") as socket:
        assert isinstance(socket.server, UserSocket)
    async with connect(endpoint, path="/admin/acme%20inc") as socket:
        assert isinstance(socket.server, AdminSocket)
    async with make_socket(endpoint, AdminSocket, path="/admin/acme") as admin:
        assert isinstance(admin.server, AdminSocket)


class Echo(RawSocket):
    def handle_in(self, data: str | bytes) -> None:
        self.push(data)


def test_a_socket_that_cannot_be_found() -> None:
    with pytest.raises(ValueError, match=r"has no sockets .* at '/other'; there are: '/socket' \(UserSocket\)"):
        connect(make_endpoint(), path="/other")
    with pytest.raises(ValueError, match="no sockets with a WebSocket and channels; there are: none"):
        connect(Endpoint())
    raw = Endpoint()
    raw.socket("/raw", Echo)
    with pytest.raises(ValueError, match="there are: none"):
        connect(raw)
    polled = Endpoint(secret_key_base="x" * 48)
    polled.socket("/socket", UserSocket, websocket=False, longpoll=True)
    with pytest.raises(ValueError, match="there are: none"):
        connect(polled)
    with pytest.raises(ValueError, match="no sockets with a WebSocket and channels with a OtherSocket"):
        make_socket(make_endpoint(), OtherSocket)
    twice = make_endpoint()
    twice.socket("/again", UserSocket)
    with pytest.raises(ValueError, match="has 2 sockets"):
        connect(twice)


class OtherSocket(Socket): ...


async def test_a_version_that_the_client_does_not_speak() -> None:
    with pytest.raises(ValueError, match=r"speaks version 2 of the protocol, .* and not what V1JSONSerializer does"):
        await connect(make_endpoint(), vsn="1.0.0")
    first = make_endpoint(serializers=[(V1JSONSerializer(), "~> 2.0.0")])
    with pytest.raises(ValueError, match="and not what V1JSONSerializer does"):
        await make_socket(first, UserSocket)
    async with connect(make_endpoint(serializers=[(V2JSONSerializer(), "~> 3.1.0")]), vsn="3.1.4") as socket:
        await socket.join("room:1")


async def test_a_param_that_no_query_can_hold() -> None:
    with pytest.raises(TypeError, match="the param 'user' is a object"):
        connect(make_endpoint(), {"user": object()})  # type: ignore[dict-item]


async def test_a_socket_that_is_made_without_connect() -> None:
    async with make_socket(make_endpoint(), UserSocket, id="users:7", user="7", more=[1]) as socket:
        assert (socket.id, socket.server.user) == ("users:7", "7")
        assert not hasattr(socket.server, "params")
        assert socket.server.transport == "websocket"
        assert isinstance(socket.server.serializer, V2JSONSerializer)
        channel = await socket.join("room:1", channel_class=RoomChannel)
        assert channel.server.socket is socket.server
        await socket.endpoint.disconnect("users:7")
        await socket.assert_broadcast("disconnect")
        await socket.assert_closed(1001)


USER: ContextVar[str] = ContextVar("USER", default="nobody")


class ContextChannel(Channel):
    @incoming
    def who(self, payload: Any) -> Reply:
        return Reply.ok(USER.get())


class ContextSocket(Socket):
    channels = {"context": ContextChannel}

    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        assert USER.get() == "the test"
        USER.set(params["user"])


async def test_each_connection_has_a_context_of_its_own() -> None:
    endpoint = Endpoint()
    endpoint.socket("/socket", ContextSocket)
    USER.set("the test")
    async with connect(endpoint, {"user": "one"}) as one, connect(endpoint, {"user": "two"}) as two:
        assert USER.get() == "the test"
        for socket, user in ((one, "one"), (two, "two")):
            await (await socket.join("context")).push("who").assert_reply("ok", user)


async def test_a_connect_is_cancelled_with_the_test() -> None:
    class SlowSocket(Socket):
        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            await anyio.sleep(20)

    endpoint = Endpoint()
    endpoint.socket("/socket", SlowSocket)
    with anyio.move_on_after(10) as scope:
        await connect(endpoint)
    assert scope.cancelled_caught
    async with connect(endpoint):
        assert endpoint.statistics().connections == 1


async def test_closing_waits_until_every_channel_has_terminated() -> None:
    endpoint = make_endpoint()
    socket = await connect(endpoint)
    one, two = [await socket.join(topic, channel_class=RoomChannel) for topic in ("room:1", "room:2")]
    two.push("sleep", 2)
    await anyio.sleep(1)
    start = anyio.current_time()
    await socket.close()
    assert anyio.current_time() - start == pytest.approx(1)
    assert one.server.ended == two.server.ended == ("shutdown", "closed")
    now = endpoint.statistics()
    assert (now.connections, now.channels, now.topics) == (0, 0, 0)
    # Again, and whatever else is done with it then.
    await socket.close()
    one.push("echo")
    one.leave()


async def test_a_connection_that_the_server_closes() -> None:
    async with connect(make_endpoint(), {"user": "21"}) as socket:
        channel = await socket.join("room:1", channel_class=RoomChannel)
        await socket.endpoint.disconnect("users:21")
        assert await socket.assert_closed() == 1001
        await socket.assert_closed(1001)
        assert channel.server.ended == ("shutdown", "disconnected")
        with pytest.raises(AssertionError, match="closed the connection with 1001, not with 1012"):
            await socket.assert_closed(1012)
        await socket.assert_broadcast("disconnect")
        await socket.refute_broadcast()


async def test_a_drained_endpoint_closes_its_connections() -> None:
    async with connect(make_endpoint()) as socket:
        await socket.endpoint.drain()
        await socket.assert_closed(1012)


async def test_the_client_is_never_silent() -> None:
    async with connect(make_endpoint()) as socket:
        channel = await socket.join("room:1")
        await anyio.sleep(86_400)
        await channel.push("echo", 1).assert_reply("ok", 1)


async def test_a_frame_that_is_too_large_closes() -> None:
    async with connect(make_endpoint(websocket=WebSocketOptions(max_frame_size=100))) as socket:
        channel = await socket.join("room:1")
        channel.push("echo", "x" * 100)
        await socket.assert_closed(1009)


async def test_a_socket_without_an_id_has_no_topic_of_its_own() -> None:
    async with connect(make_endpoint()) as socket:
        with pytest.raises(LookupError, match="this UserSocket has no id"):
            await socket.assert_broadcast("disconnect")
        with pytest.raises(LookupError, match="this UserSocket has no id"):
            await socket.refute_broadcast()


@pytest.mark.parametrize(("call", "error"), [(1, OSError), (2, RuntimeError)], ids=["the test", "the connection"])
async def test_a_connection_that_cannot_begin(call: int, error: type[Exception]) -> None:
    """The backplane takes neither the subscription of the test nor that of the connection for granted."""
    node = Broker().node()

    def refuse(topic: str) -> None:
        if len(node.asked) == call:
            raise OSError("the backplane is down")

    node.on_subscribe = refuse
    endpoint = Endpoint(pubsub=node)
    endpoint.socket("/socket", UserSocket)
    with pytest.raises(error, match=r"the backplane is down|the connection could not begin"):
        await connect(endpoint, {"user": "21"})
    assert (endpoint.statistics().connections, endpoint.statistics().topics) == (0, 0)
    assert not telemetry.attached(telemetry.CHANNEL_CRASHED)


async def test_joins_from_another_task() -> None:
    async with connect(make_endpoint()) as socket, anyio.create_task_group() as group:

        async def join(topic: str) -> None:
            channel = await socket.join(topic)
            await channel.push("echo", topic).assert_reply("ok", topic)

        for number in range(3):
            group.start_soon(join, f"room:{number}")
    with pytest.raises(AssertionError, match="because the test has closed the connection"):
        await socket.join("room:4")


async def test_a_refused_join_leaves_nothing_behind() -> None:
    endpoint = make_endpoint()
    async with connect(endpoint) as socket:
        with pytest.raises(JoinRefused):
            await socket.join("room:secret")
        assert endpoint.statistics().topics == 0
