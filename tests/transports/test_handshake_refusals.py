"""What ``connect`` and ``id`` may do, and what the client is answered (P-010)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest

from phoenix_channels import ConnectInfo, ConnectRefused, Request, Response, Socket, WebSocketOptions, telemetry
from phoenix_channels.transports.handshake import Accepted
from phoenix_channels.transports.options import MountOptions
from tests.transports.handshakes import BROKEN, FORBIDDEN, ask, request


def socket_that(connect: Callable[..., Any]) -> type[Socket]:
    class AskedSocket(Socket):
        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> Any:
            return await connect()

    return AskedSocket


@pytest.mark.parametrize(
    ("connect", "status", "level", "log"),
    [
        ("refuse", 403, logging.DEBUG, "refused a connection: None"),
        ("refuse+with+reason", 403, logging.DEBUG, "refused a connection: 'expired'"),
        ("crash", 500, logging.ERROR, "connect or id failed"),
        ("return", 403, logging.ERROR, "connect returned False; legal is None"),
    ],
)
async def test_what_connect_may_do(
    caplog: pytest.LogCaptureFixture, connect: str, status: int, level: int, log: str
) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    result, _ = await ask(request(b"connect=" + connect.encode()), logger=False)
    assert result == (BROKEN if status == 500 else FORBIDDEN)
    (record,) = caplog.records
    assert record.levelno == level
    assert log in record.getMessage()
    assert (record.exc_info is not None) is (connect == "crash")


async def test_a_plain_connect_that_returns_something(caplog: pytest.LogCaptureFixture) -> None:
    class LegacySocket(Socket):
        def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> Any:
            return True

    result, _ = await ask(request(), cls=LegacySocket)
    assert result == FORBIDDEN
    assert "LegacySocket.connect returned True; legal is None" in caplog.text


async def test_a_connect_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    class SlowSocket(Socket):
        connect_timeout = 0.01

        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            await anyio.sleep_forever()

    with anyio.fail_after(5):
        result, _ = await ask(request(), cls=SlowSocket)
    assert result == BROKEN
    assert "SlowSocket" in caplog.text


async def test_a_connect_that_hangs_and_resists(caplog: pytest.LogCaptureFixture) -> None:
    class StubbornSocket(Socket):
        connect_timeout = 0.01

        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.03)

    result, _ = await ask(request(), cls=StubbornSocket)
    assert result == BROKEN
    assert "StubbornSocket" in caplog.text


class Panic(BaseException):
    """As extensions in other languages raise it."""


@pytest.mark.parametrize("error", [Panic, SystemExit, asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("asynchronous", [True, False])
async def test_whatever_connect_raises_is_the_failure_of_one_request(
    error: type[BaseException], asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """On trio, what leaves the application ends the whole server."""

    class RaisingSocket(Socket):
        def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> Any:
            if asynchronous:
                return self.fail_later()
            raise error

        async def fail_later(self) -> None:
            await anyio.lowlevel.checkpoint()
            raise error

    result, _ = await ask(request(), cls=RaisingSocket)
    assert result == BROKEN
    assert "RaisingSocket: connect or id failed" in caplog.text


async def test_a_refusal_in_a_task_group_is_one() -> None:
    async def refuse() -> None:
        raise ConnectRefused("in a group")

    async def in_a_group() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(refuse)

    result, _ = await ask(request(), cls=socket_that(in_a_group))
    assert result == FORBIDDEN


@pytest.mark.parametrize(
    ("user", "result", "log"),
    [("number", FORBIDDEN, "id returned 7; legal are a string and None"), ("", Accepted, ""), ("ada", Accepted, "")],
)
async def test_what_id_may_return(caplog: pytest.LogCaptureFixture, user: str, result: Any, log: str) -> None:
    found, _ = await ask(request(b"user=" + user.encode()))
    assert found == result if isinstance(result, Response) else isinstance(found, result)
    assert log in caplog.text


async def test_an_id_that_turns_out_to_be_asynchronous(caplog: pytest.LogCaptureFixture) -> None:
    class LateSocket(Socket):
        def id(self) -> Any:
            return anyio.sleep(0)

    result, _ = await ask(request(), cls=LateSocket)
    assert result == FORBIDDEN
    assert "LateSocket.id returned <coroutine" in caplog.text


async def test_an_id_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    result, _ = await ask(request(b"user[]=ada"))  # str + list
    assert result == BROKEN
    assert "TypeError" in caplog.text


# The error handler


class Handler:
    """An error handler, and what it was asked."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.calls: list[tuple[Request, object]] = []

    def __call__(self, request: Request, reason: object) -> Any:
        self.calls.append((request, reason))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @property
    def mount(self) -> MountOptions:
        return {"websocket": WebSocketOptions(error_handler=self, subprotocols=["json"])}


LIMITED = Response(429, b"slow down", (("retry-after", "5"),))
JSON = ("Sec-WebSocket-Protocol", "json")


async def test_the_error_handler_makes_the_response_of_the_reason() -> None:
    handler = Handler(LIMITED)
    asked = request(b"connect=refuse+with+reason", ("X-One", "1"))
    result, journal = await ask(asked, handler.mount)
    assert result == LIMITED
    assert handler.calls == [(asked, "expired")]
    assert len(journal.connects) == 1


@pytest.mark.parametrize("reason", [False, 0, "", {"retry": 5}, RuntimeError("why")], ids=repr)
async def test_any_reason_but_none_is_one(reason: object) -> None:
    async def refuse() -> None:
        raise ConnectRefused(reason)

    handler = Handler(LIMITED)
    result, _ = await ask(request(), handler.mount, socket_that(refuse))
    assert result == LIMITED
    assert [asked[1] for asked in handler.calls] == [reason]


@pytest.mark.parametrize(
    ("query", "response"),
    [(b"connect=refuse", FORBIDDEN), (b"connect=return", FORBIDDEN), (b"connect=crash", BROKEN), (b"vsn=9", FORBIDDEN)],
)
async def test_the_error_handler_is_not_asked_without_a_reason(query: bytes, response: Response) -> None:
    handler = Handler(LIMITED)
    result, _ = await ask(request(query), handler.mount)
    assert (result, handler.calls) == (response, [])


async def test_a_subprotocol_is_echoed_in_a_refusal_too() -> None:
    handler = Handler(LIMITED)
    result, _ = await ask(request(b"connect=refuse+with+reason", JSON), handler.mount)
    assert result == LIMITED.with_header("sec-websocket-protocol", "json")
    for query in (b"connect=refuse", b"connect=return", b"vsn=9"):
        result, _ = await ask(request(query, JSON), handler.mount)
        assert result == FORBIDDEN.with_header("sec-websocket-protocol", "json")
    # Not with the error page: there the response is made anew, in Phoenix as well.
    result, _ = await ask(request(b"connect=crash", JSON), handler.mount)
    assert result == BROKEN


@pytest.mark.parametrize("answer", [None, 429, "no", (429, b""), {"status": 429}, Response], ids=repr)
async def test_an_error_handler_that_returns_something_else(caplog: pytest.LogCaptureFixture, answer: object) -> None:
    result, _ = await ask(request(b"connect=refuse+with+reason"), Handler(answer).mount)
    assert result == BROKEN
    assert f"the error_handler returned {answer!r}; legal is a Response(status, ...)" in caplog.text


async def test_an_error_handler_that_turns_out_to_be_asynchronous(caplog: pytest.LogCaptureFixture) -> None:
    async def later(request: Request, reason: object) -> Response:
        return LIMITED

    def handle(request: Request, reason: object) -> Any:
        return later(request, reason)

    mount: MountOptions = {"websocket": WebSocketOptions(error_handler=handle)}
    result, _ = await ask(request(b"connect=refuse+with+reason"), mount)
    assert result == BROKEN
    assert "the error_handler returned <coroutine" in caplog.text


async def test_an_error_handler_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    result, _ = await ask(request(b"connect=refuse+with+reason"), Handler(ZeroDivisionError("why")).mount)
    assert result == BROKEN
    assert "ZeroDivisionError: why" in caplog.text


async def test_an_error_handler_that_refuses_again(caplog: pytest.LogCaptureFixture) -> None:
    result, _ = await ask(request(b"connect=refuse+with+reason"), Handler(ConnectRefused("again")).mount)
    assert result == BROKEN
    assert "again" in caplog.text


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (b"user=ada", ["ok"]),
        (b"connect=refuse", ["error"]),
        (b"connect=return", ["error"]),
        (b"user=number", ["error"]),
        (b"connect=crash", []),
        (b"user[]=ada", []),
    ],
)
async def test_p027_telemetry_and_log_are_told_how_it_ended(
    query: bytes, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the reason of a refusal is: what ``connect`` or ``id`` returned is one, too."""
    caplog.set_level(logging.INFO, "phoenix_channels")
    results: list[str] = []

    def hear(event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        results.append(metadata["result"])

    telemetry.attach(telemetry.SOCKET_CONNECTED, hear)
    try:
        await ask(request(query))
    finally:
        telemetry.detach(telemetry.SOCKET_CONNECTED, hear)
    assert results == told
    assert ("CONNECTED TO" in caplog.text, "REFUSED CONNECTION TO" in caplog.text) == (
        told == ["ok"],
        told == ["error"],
    )


async def test_p027_telemetry_is_told_before_the_error_handler_is_asked() -> None:
    order: list[str] = []

    def handle(request: Request, reason: object) -> Response:
        order.append("handler")
        return LIMITED

    def hear(event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        order.append(metadata["result"])

    telemetry.attach(telemetry.SOCKET_CONNECTED, hear)
    try:
        await ask(request(b"connect=refuse+with+reason"), {"websocket": WebSocketOptions(error_handler=handle)})
    finally:
        telemetry.detach(telemetry.SOCKET_CONNECTED, hear)
    assert order == ["error", "handler"]
