"""Requests and their responses: refusals, errors, other methods (P-013, P-092, P-095, P-107, P-108)."""

import logging
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from phoenix_channels import (
    Channel,
    ConnectInfo,
    ConnectRefused,
    Endpoint,
    LongPollOptions,
    Response,
    Socket,
    WebSocketOptions,
)
from phoenix_channels.protocol.serializers import V1JSONSerializer, V2JSONSerializer
from tests.support.asgi import serving
from tests.support.loops import settle, soon
from tests.support.polling import PATH, SECRET, Poller, answer_of, ask, mounted, polled, served, socket_of

SOCKET = socket_of(Channel)
PAGE = ("origin", "http://www.example.com")
OTHER_PAGE = ("origin", "https://evil.example.org")


class DemandingSocket(Socket):
    """Does what its params say."""

    connect_timeout = 0.02
    seen: list[tuple[Mapping[str, Any], ConnectInfo]]

    async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        self.seen.append((params, info))
        match params.get("do"):
            case "refuse":
                raise ConnectRefused({"secret": "reason"})
            case "crash":
                raise ZeroDivisionError
            case "hang":
                await anyio.sleep_forever()
            case _:
                pass

    def id(self) -> Any:
        return self.seen[-1][0].get("id")


def demanding() -> type[DemandingSocket]:
    class UserSocket(DemandingSocket):
        seen: list[Any] = []

    return UserSocket


# Refusals


def never(request: object, reason: object) -> Response:
    raise AssertionError


async def test_a_refused_connect_is_403_inside_200_without_its_reason_and_error_handler() -> None:
    """P-095"""
    websocket = WebSocketOptions(error_handler=never)
    async with polled(demanding(), websocket=websocket) as (endpoint, server):
        answer = await ask(server, "GET", query="vsn=2.0.0&do=refuse")
        assert answer.envelope == {"status": 403}
        assert b"secret" not in answer.body
        assert endpoint.statistics().connections == 0


@pytest.mark.parametrize("query", ["vsn=9.9.9", "vsn[a]=2.0.0", "vsn=", "vsn=2.0.0&id[]=x"])
async def test_a_version_that_nobody_speaks_and_an_illegal_id_are_403_inside_200(query: str) -> None:
    async with polled(demanding()) as (endpoint, server):
        assert (await ask(server, "GET", query=query)).envelope == {"status": 403}
        assert endpoint.statistics().connections == 0


async def test_without_a_version_it_is_the_first() -> None:
    """P-029"""
    async with polled(demanding()) as (_, server):
        poller = await Poller(server, query="").open()
        assert await poller.post_body(b'{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"1"}', None) == 200
        status, (reply,) = await poller.poll()
        assert (status, reply["ref"]) == (200, "1")


@pytest.mark.parametrize("what", ["crash", "hang"])
async def test_a_connect_that_crashes_or_hangs_is_an_http_500(what: str, caplog: pytest.LogCaptureFixture) -> None:
    async with polled(demanding()) as (endpoint, server):
        answer = await ask(server, "GET", query=f"vsn=2.0.0&do={what}")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (500, "*")
        assert "connect or id failed" in caplog.text
        assert endpoint.statistics().connections == 0


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_pages_of_other_origins_get_403_inside_200(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """P-013; before anything else is looked at."""
    async with polled(SOCKET) as (_, server):
        poller = await Poller(server, headers=[PAGE]).open()
        query = f"vsn=2.0.0&token={poller.token}"
        answer = await ask(server, method, query=query, headers=[OTHER_PAGE])
        assert answer.envelope == {"status": 403}
        assert "evil.example.org" in caplog.text
        await poller.heartbeat()


async def test_long_polling_may_have_origins_of_its_own() -> None:
    """P-014: what the transport says comes before what the mount says."""
    endpoint = Endpoint(secret_key_base=SECRET, check_origin=["https://endpoint.example"])
    longpoll = LongPollOptions(check_origin=["https://evil.example.org"])
    endpoint.socket("/socket", SOCKET, check_origin=["https://mount.example"], longpoll=longpoll)
    async with served(endpoint) as server:
        assert (await ask(server, "GET", query="vsn=2.0.0", headers=[OTHER_PAGE])).envelope["status"] == 410
        assert (await ask(server, "GET", query="vsn=2.0.0", headers=[PAGE])).envelope["status"] == 403


# What connect sees


async def test_connect_sees_the_request_that_opens_the_session_and_no_other() -> None:
    """P-021, P-095: a stale token included."""
    socket_class = demanding()
    info = ["peer_data", "uri", "user_agent", "x_headers"]
    async with polled(socket_class, connect_info=info, auth_token=True) as (_, server):
        headers = [("user-agent", "first"), ("x-one", "1"), ("x-phoenix-authtoken", "auth")]
        poller = await Poller(server, query="vsn=2.0.0&a=1&token=stale", headers=headers).open()
        poller.headers = [("user-agent", "second"), ("x-phoenix-authtoken", "other")]
        poller.query = "vsn=2.0.0&a=2"
        await poller.heartbeat()
        ((params, seen),) = socket_class.seen
        assert params == {"vsn": "2.0.0", "a": "1", "token": "stale"}
        assert (seen.user_agent, seen.auth_token) == ("first", "auth")
        assert [header for header in seen.x_headers if header[0] == "x-one"] == [("x-one", "1")]
        assert (seen.uri.path, seen.uri.query) == (PATH, "vsn=2.0.0&a=1&token=stale&")
        assert seen.peer_data.address == "127.0.0.1"


@pytest.mark.parametrize("auth_token", [True, False])
async def test_the_auth_token_is_taken_where_the_mount_says_so(auth_token: bool) -> None:
    """P-018, P-021"""
    socket_class = demanding()
    async with polled(socket_class, auth_token=auth_token) as (_, server):
        await Poller(server).open()
        await Poller(server, headers=[("x-phoenix-authtoken", "secret")]).open()
        for (_, info), token in zip(socket_class.seen, (None, "secret"), strict=True):
            if auth_token:
                assert info.auth_token == token
            else:
                with pytest.raises(AttributeError, match="auth_token"):
                    _ = info.auth_token


async def test_the_variables_of_the_path_are_params() -> None:
    """P-003"""
    socket_class = demanding()
    endpoint = Endpoint(secret_key_base=SECRET)
    endpoint.socket("/ws/:user_id", socket_class, longpoll=LongPollOptions(path="/polling/here"))
    async with served(endpoint) as server:
        poller = await Poller(server, path="/ws/ada/polling/here").open()
        await poller.heartbeat()
        assert socket_class.seen[0][0]["user_id"] == "ada"
        assert (await ask(server, "GET", "/ws/ada/longpoll")).status == 404


async def test_the_socket_knows_its_transport_and_what_its_client_speaks() -> None:
    """P-025, P-070: the version, and not what long polling can carry of it."""
    known: list[Any] = []

    class UserSocket(Socket):
        def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            known.append((self.transport, type(self.serializer), self.subprotocol))

    async with polled(UserSocket) as (_, server):
        for vsn in ("1.0.0", "2.0.0"):
            await Poller(server, query=f"vsn={vsn}").open()
            await server.connect(query=f"vsn={vsn}")
    assert known == [
        (transport, version, None)
        for version in (V1JSONSerializer, V2JSONSerializer)
        for transport in ("longpoll", "websocket")
    ]


# Other methods and errors of HTTP


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH", "get"])
async def test_other_methods_are_an_http_400(method: str) -> None:
    """P-092"""
    async with polled(SOCKET) as (endpoint, server):
        answer = await ask(server, method, query="vsn=2.0.0")
        assert answer.status == 400
        assert answer.headers["access-control-allow-origin"] == "*"
        assert endpoint.statistics().connections == 0


@pytest.mark.parametrize("query", ["a=%ff", "a=" + 1_000_000 * "x"])
async def test_a_query_that_cannot_be_read_is_an_error_that_pages_may_see(query: str) -> None:
    """P-092: the header is on every response."""
    async with polled(SOCKET) as (_, server):
        answer = await ask(server, "GET", query=query)
        assert answer.status in (400, 414)
        assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([], ""),
        ([("access-control-request-headers", "content-type")], "content-type"),
        (
            [("access-control-request-headers", "a, b"), PAGE, ("access-control-request-headers", "c")],
            "a, b, c",
        ),
    ],
)
async def test_options(headers: list[tuple[str, str]], allowed: str) -> None:
    """P-107"""
    async with polled(SOCKET) as (endpoint, server):
        answer = await ask(server, "OPTIONS", headers=headers)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers == {
            "access-control-allow-origin": "*",
            "access-control-allow-headers": allowed,
            "access-control-allow-methods": "get, post, options",
            "access-control-max-age": "3600",
            "content-length": "0",
        }
        assert endpoint.statistics().connections == 0


async def test_requests_and_the_status_of_their_responses_are_logged_without_the_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """P-086"""
    caplog.set_level(logging.DEBUG)
    async with polled(SOCKET, transport_log=logging.DEBUG) as (_, server):
        poller = await Poller(server).open()
        await poller.heartbeat()
        assert str(poller.token) not in caplog.text
    lines = [record.getMessage() for record in caplog.records if record.getMessage().endswith("-> 200")]
    assert lines == [f"{method} '{PATH}' -> 200" for method in ("GET", "POST", "GET")]


async def test_without_long_polling_there_is_nothing_at_its_path() -> None:
    endpoint = Endpoint()
    endpoint.socket("/socket", SOCKET)
    async with serving(endpoint) as server:
        assert (await ask(server, "GET", query="vsn=2.0.0")).status == 404


async def test_while_and_after_draining_there_are_no_new_sessions() -> None:
    """Deviation 7."""
    async with polled(SOCKET) as (endpoint, server):
        await soon(endpoint.drain())
        answer = await ask(server, "GET", query="vsn=2.0.0")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (503, "*")
        assert endpoint.statistics().connections == 0


async def test_a_session_whose_connect_was_running_when_the_drain_began_is_over_at_once() -> None:
    connecting, release = anyio.Event(), anyio.Event()

    class SlowSocket(Socket):
        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            connecting.set()
            await release.wait()

    async with polled(SlowSocket) as (endpoint, server):
        poller = Poller(server)
        run = poller.start_get()
        await soon(connecting.wait())
        await soon(endpoint.drain())
        release.set()
        answer = await answer_of(run)
        if answer.status == 200:
            poller.token = answer.envelope["token"]
            await poller.gone()
        else:
            assert answer.status == 503
        assert endpoint.statistics().connections == 0
        await settle()


async def test_a_client_that_leaves_while_its_session_is_made() -> None:
    """The session it does not hear of ends when nobody polls it."""
    connecting, release = anyio.Event(), anyio.Event()

    class SlowSocket(Socket):
        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            connecting.set()
            await release.wait()

    endpoint = mounted(SlowSocket, window=0.02)
    async with serving(endpoint) as server:
        run = Poller(server).start_get()
        await soon(connecting.wait())
        run.incoming.put({"type": "http.disconnect"})
        release.set()
        await run.wait_ended()
        for driver in tuple(endpoint.hub.current_lane().drivers):
            await soon(driver.wait_ended())


async def test_a_poll_where_there_is_no_long_polling_is_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The client only says that it cannot parse "Not Found"."""
    endpoint = Endpoint()
    endpoint.socket("/socket", Socket)
    async with serving(endpoint) as server:
        assert (await server.request("GET", "/socket/longpoll"))[0] == 404
        assert "longpoll=True" in caplog.text
        caplog.clear()
        assert (await server.request("GET", "/favicon.ico"))[0] == 404
        assert not caplog.records
