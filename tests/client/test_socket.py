"""Connecting, being refused, and ending."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from phoenix_channels import Endpoint, Request, Response, WebSocketOptions
from phoenix_channels.client import (
    ChannelClosed,
    Closed,
    ConnectFailed,
    ConnectionState,
    Opened,
    connect,
)
from tests.client.app import deaf_server, make_endpoint, raw_server, restartable
from tests.support.clients import connect_to, connected, serving, until
from tests.support.loops import Journal, live_tasks, settle, soon
from tests.transports.app import eventually
from tests.transports.servers import KINDS, Serve

PEM = Path(__file__).parents[1] / "transports/localhost.pem"


@pytest.mark.parametrize(
    ("anyio_backend", "serve"),
    [KINDS[kind] for kind in ("fast", "fast-uvloop", "uvicorn")],
    ids=["fast", "fast-uvloop", "uvicorn"],
    indirect=["anyio_backend"],
)
async def test_it_talks_to_servers_of_asgi(endpoint: Endpoint, serve: Serve) -> None:
    async with serve(endpoint) as port, connect_to(port) as socket:
        channel = await socket.join("room:a", {"b": 1})
        assert channel.reply == {"you sent": {"b": 1}}
        assert await channel.push("echo", {"c": 2}) == {"c": 2}


async def test_it_is_open_in_the_block_and_closed_behind_it(endpoint: Endpoint, journal: Journal) -> None:
    async with connected(endpoint) as socket:
        assert socket.connected
        assert socket.state is ConnectionState.OPEN
        assert repr(socket) == "<Socket OPEN>"
        assert isinstance(await soon(anext(socket)), Opened)
        channel = await socket.join("room:a")
    assert not socket.connected
    assert socket.state is ConnectionState.IDLE
    assert ("room:a", "terminate", ("shutdown", "closed")) in journal.entries
    with pytest.raises(ChannelClosed):
        await socket.join("room:b")
    with pytest.raises(ChannelClosed):
        channel.push_nowait("echo")
    await soon(channel.leave())
    assert [event async for event in socket] != []


async def test_what_was_pushed_arrives_before_the_end(endpoint: Endpoint, journal: Journal) -> None:
    async with connected(endpoint) as socket:
        channel = await socket.join("room:a")
        for n in range(20):
            channel.push_nowait("note", {"n": n})
    notes = [entry[2]["n"] for entry in journal.entries if entry[1] == "note"]
    assert notes == list(range(20))


async def test_params_headers_and_path(journal: Journal) -> None:
    endpoint = make_endpoint(journal, websocket=WebSocketOptions(path="/live"), connect_info=["x_headers"])
    params = {"list": ["a", "b"], "nested": {"n": 1, "yes": True}, "text": "ä&="}
    async with connected(endpoint, params=params, headers={"X-Test": "1"}, path="/live"):
        pass
    (_, seen, _) = journal.entries[0]
    assert seen == {"list": ["a", "b"], "nested": {"n": "1", "yes": "true"}, "text": "ä&=", "vsn": "2.0.0"}


@pytest.mark.parametrize("token", ["abc.DEF-_", "a?b~c>", "ÿ" * 5])
async def test_an_auth_token_arrives_as_it_is(journal: Journal, token: str) -> None:
    async with connected(make_endpoint(journal, auth_token=True), auth_token=token):
        pass
    assert journal.entries[0][2] == token


async def test_functions_are_asked_before_each_try(journal: Journal) -> None:
    asked: list[str] = []

    async def token() -> str:
        await anyio.sleep(0)
        asked.append("token")
        return f"token {len(asked)}"

    def params() -> dict[str, Any]:
        return {"n": len(asked)}

    endpoint = make_endpoint(journal, auth_token=True)
    async with restartable(endpoint) as server, connect_to(server.port, auth_token=token, params=params) as socket:
        await server.stop()
        await server.start()
        await until(socket, Opened, Closed, Opened)
    first, *_, last = [(entry[1]["n"], entry[2]) for entry in journal.entries if entry[0] == "connect"]
    assert first == ("1", "token 1")
    assert last == (str(len(asked)), f"token {len(asked)}")


async def test_compression(endpoint: Endpoint, journal: Journal) -> None:
    endpoint = make_endpoint(journal, websocket=WebSocketOptions(compress=True))
    async with connected(endpoint, compress=True) as socket:
        channel = await socket.join("room:a")
        payload = {"text": "x" * 10_000}
        assert await channel.push("echo", payload) == payload


async def test_a_proxy(endpoint: Endpoint) -> None:
    asked: list[bytes] = []

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            asked.append((await stream.receive()).partition(b"\r\n")[0])
            async with await anyio.connect_tcp("127.0.0.1", port) as server, anyio.create_task_group() as group:
                await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
                group.start_soon(copy, stream, server)
                group.start_soon(copy, server, stream)

    async def copy(source: anyio.abc.SocketStream, target: anyio.abc.SocketStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for data in source:
                await target.send(data)
            await target.send_eof()

    async with (
        serving(endpoint) as port,
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, serve)
        proxy = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        async with connect_to(port, proxy=proxy) as socket:
            channel = await socket.join("room:a")
            assert await channel.push("echo", {"n": 1}) == {"n": 1}
        group.cancel_scope.cancel()
    assert asked == [f"CONNECT 127.0.0.1:{port} HTTP/1.1".encode()]


# Refused


async def test_a_refusal_has_its_status(endpoint: Endpoint) -> None:
    async with serving(endpoint) as port:
        with pytest.raises(ConnectFailed, match="refused with HTTP 403") as raised:
            async with connect_to(port, params={"user": "nobody"}):
                pass
    assert raised.value.status == 403
    assert raised.value.body == b""


async def test_a_refusal_has_its_body(journal: Journal) -> None:
    def explain(request: Request, reason: object) -> Response:
        return Response(429, b"later")

    endpoint = make_endpoint(journal, websocket=WebSocketOptions(error_handler=explain))
    async with serving(endpoint) as port:
        with pytest.raises(ConnectFailed, match="HTTP 429: later") as raised:
            async with connect_to(port, params={"user": "nobody", "reason": "too many"}):
                pass
    assert (raised.value.status, raised.value.body) == (429, b"later")


async def test_no_server_is_no_connection(endpoint: Endpoint) -> None:
    async with serving(endpoint) as port:
        pass
    with pytest.raises(ConnectFailed) as raised:
        async with connect_to(port):
            pass
    assert raised.value.status is None
    assert isinstance(raised.value.__cause__, OSError)


async def test_tls(endpoint: Endpoint) -> None:
    serving_tls, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context(cafile=PEM)
    serving_tls.load_cert_chain(PEM)
    async with serving(endpoint, ssl=serving_tls) as port:
        async with connect_to(port, scheme="wss", ssl=trusting) as socket:
            channel = await socket.join("room:a")
            assert await channel.push("echo", {"n": 1}) == {"n": 1}
        with pytest.raises(ConnectFailed, match="certificate"):
            async with connect_to(port, scheme="wss"):
                pass


async def test_a_redirect_is_not_followed() -> None:
    async def nobody(connection: Any) -> None:
        raise AssertionError

    def redirect(connection: Any, request: Any) -> Any:
        response = connection.respond(302, "")
        response.headers["Location"] = request.path
        return response

    async with raw_server(nobody, process_request=redirect) as port:
        with pytest.raises(ConnectFailed) as raised:
            async with connect_to(port, auth_token="secret"):
                pass
    assert raised.value.status == 302


async def test_an_error_of_a_function_of_the_user_comes_out() -> None:
    def params() -> dict[str, Any]:
        raise KeyError("no token")

    with pytest.raises(KeyError, match="no token"):
        async with connect("ws://127.0.0.1:1/socket", params=params):
            pass


async def test_such_an_error_is_logged_once_in_a_row(caplog: pytest.LogCaptureFixture) -> None:
    tries = 0

    def params() -> dict[str, Any]:
        nonlocal tries
        tries += 1
        raise KeyError("no token")

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                await eventually(lambda: tries >= 4)
                scope.cancel()

            group.start_soon(wait)
            async with connect_to(1, params=params, retry=True):
                pass
    assert [record.exc_info is None for record in caplog.records][:3] == [False, True, True]
    assert caplog.messages[0] == "ws://127.0.0.1:1/socket/websocket: no params or token: KeyError('no token')"


async def test_it_goes_on_trying_where_that_is_wanted(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with restartable(endpoint) as server:
        await server.stop()
        async with anyio.create_task_group() as group:

            async def come() -> None:
                await eventually(lambda: "ConnectionRefusedError" in caplog.text or "all attempts" in caplog.text)
                await server.start()

            group.start_soon(come)
            async with connect_to(server.port, retry=True, params={"token": "secret"}) as socket:
                failure, *_ = await until(socket, Opened)
                assert isinstance(failure, Closed)
                assert isinstance(failure.error, ConnectFailed)
    assert "secret" not in "".join(line for line in caplog.messages if line.startswith("ws://"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "http://a/socket"}, "is no URL"),
        ({"jitter": 2}, "jitter is between 0 and 1"),
        ({"timeout": 0}, "timeout is a positive number"),
        ({"ssl": True}, "wss://"),
        ({"params": {"a": None}}, "the param 'a' is a NoneType"),
        ({"auth_token": "€"}, "Latin-1"),
        ({"max_messages": 0}, "max_messages=.* is a positive int"),
        ({"max_size": -1}, "max_size=.* is a positive int"),
        ({"open_timeout": 0}, "open_timeout=.* is a positive number"),
        ({"close_timeout": math.nan}, "close_timeout=.* is a positive number"),
        ({"reconnect_after": lambda _: -1}, r"reconnect_after\(1\) is a number of seconds"),
        ({"rejoin_after": lambda _: math.nan}, r"rejoin_after\(1\) is a number of seconds"),
    ],
)
async def test_a_mistake_is_told_at_once(options: dict[str, Any], message: str) -> None:
    more: dict[str, Any] = {name: value for name, value in options.items() if name != "url"}
    with pytest.raises((ValueError, TypeError), match=message):
        async with connect(options.get("url", "ws://127.0.0.1:1/socket"), retry=True, **more):
            pass


# Ending


class Mine(Exception):
    pass


async def test_an_error_in_the_block_comes_out_as_it_is(endpoint: Endpoint) -> None:
    async with serving(endpoint) as port:
        for error in (Mine(), ExceptionGroup("of the user", [Mine()])):
            with pytest.raises(type(error)) as raised:
                async with connect_to(port):
                    raise error
            assert raised.value is error
    assert endpoint.statistics().connections == 0


async def test_who_is_cancelled_leaves_nothing_behind(endpoint: Endpoint, journal: Journal) -> None:
    async with serving(endpoint) as port:
        await settle()
        before = live_tasks()
        with anyio.CancelScope() as scope:
            async with connect_to(port) as socket:
                channel = await socket.join("room:a")
                scope.cancel()
                await anext(channel)
        assert scope.cancelled_caught
        await soon(journal.wait_for(("room:a", "terminate", ("shutdown", "closed"))))
        await eventually(lambda: live_tasks() == before)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_is_cancelled_by_asyncio_waits_for_no_server() -> None:
    async def wait() -> None:
        async with connect_to(port, close_timeout=3600):
            connected.set()
            await anyio.sleep_forever()

    connected = anyio.Event()
    async with deaf_server() as port:
        task = asyncio.create_task(wait())
        await soon(connected.wait())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(task)


async def test_who_is_cancelled_while_it_connects_leaves_nothing_behind() -> None:
    async def serve(stream: Any) -> None:
        async with stream:
            accepted.set()
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    await stream.receive()
            gone.set()

    accepted, gone = anyio.Event(), anyio.Event()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        with anyio.CancelScope() as scope:

            async def cancel() -> None:
                await accepted.wait()
                scope.cancel()

            group.start_soon(cancel)
            async with connect_to(port, retry=True):
                pass
        await soon(gone.wait())
        group.cancel_scope.cancel()


async def test_a_server_that_does_not_close_is_cut_off() -> None:
    async with deaf_server() as port, connect_to(port, close_timeout=0.01) as socket:
        assert socket.connected
    assert socket.state is ConnectionState.IDLE


@pytest.mark.parametrize("cancelled", [True, False])
async def test_iterators_in_other_tasks_end_with_the_block(endpoint: Endpoint, cancelled: bool) -> None:
    async with serving(endpoint) as port, anyio.create_task_group() as group:

        async def watch(source: Any) -> None:
            async for _ in source:
                pass

        with anyio.CancelScope() as scope:
            async with connect_to(port) as socket:
                channel = await socket.join("room:a")
                group.start_soon(watch, channel)
                group.start_soon(watch, socket)
                await settle()
                if cancelled:
                    scope.cancel()


async def test_calls_in_other_tasks_fail_with_the_block(endpoint: Endpoint) -> None:
    async with anyio.create_task_group() as group:

        async def call(event: str) -> None:
            with pytest.raises(ChannelClosed):
                await channel.push(event)

        async def join() -> None:
            with pytest.raises(ChannelClosed):
                await socket.join("room:slow")

        async with connected(endpoint) as socket:
            channel = await socket.join("room:a")
            group.start_soon(call, "note")
            group.start_soon(join)
            await settle()
