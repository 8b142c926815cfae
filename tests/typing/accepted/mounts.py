"""Mounts as a user writes them, with every option."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal, assert_type

from phoenix_channels import (
    URI,
    ConnectInfo,
    Drainer,
    Endpoint,
    Keep,
    LongPollOptions,
    Origin,
    PeerData,
    RawSocket,
    Request,
    Response,
    SessionOptions,
    Socket,
    WebSocketOptions,
)
from phoenix_channels.protocol.serializers import V1JSONSerializer, V2JSONSerializer


class UserSocket(Socket):
    log = logging.DEBUG

    async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        assert_type(info.peer_data, PeerData)
        assert_type(info.peer_data.port, int | None)
        assert_type(info.uri, URI)
        assert_type(info.uri.port, int)
        assert_type(info.user_agent, str | None)
        assert_type(info.x_headers, list[tuple[str, str]])
        assert_type(info.trace_context_headers, list[tuple[str, str]])
        assert_type(info.sec_websocket_headers, list[tuple[str, str]])
        assert_type(info.session, Mapping[str, Any] | None)
        assert_type(info.auth_token, str | None)
        assert_type(info.extra, Mapping[str, object])
        assert_type(self.transport, Literal["websocket", "longpoll"])


class QuietSocket(Socket):
    log = False


class EchoSocket(RawSocket):
    def handle_in(self, data: str | bytes) -> str | bytes:
        return data

    async def handle_control(self, payload: bytes, opcode: Literal["ping", "pong"]) -> None:
        self.ping(payload)


def explain(request: Request, reason: object) -> Response:
    assert_type(request.header("user-agent"), str | None)
    return Response(429, str(reason).encode(), (("retry-after", "5"),))


def load(cookies: Mapping[str, str]) -> dict[str, Any] | None:
    return {"user": cookies.get("sid")}


async def load_later(cookies: Mapping[str, str]) -> Mapping[str, Any] | None:
    return None


def verify(state: Any, token: str) -> bool:
    return bool(state == token)


def ours(origin: Origin) -> bool:
    return origin.host is not None and origin.host.endswith(".example.com")


def drainer() -> Drainer | Literal[False]:
    return Drainer(batch_size=10)


websocket = WebSocketOptions(
    path="/live/:project_id",
    timeout=30,
    max_frame_size=1_000_000,
    compress=True,
    subprotocols=["json", "xml"],
    error_handler=explain,
    check_origin="conn",
)
longpoll = LongPollOptions(path="/poll", window=5, pubsub_timeout=0.5, max_age=3600, check_origin=["//a.example"])
assert_type(websocket.timeout, float | None)
assert_type(longpoll.window, float)

endpoint = Endpoint(
    host="example.com",
    secret_key_base="s" * 64,
    check_origin=["https://example.com", "//*.example.com"],
    filter_parameters=["secret"],
    logger=False,
)
endpoint.socket(
    "/ws/:user_id",
    UserSocket,
    websocket=websocket,
    longpoll=longpoll,
    check_origin=ours,
    check_csrf=True,
    connect_info=[
        "peer_data", "uri", "user_agent", "x_headers", "trace_context_headers", "sec_websocket_headers", "session",
    ],
    session=SessionOptions(load=load, csrf_token_key="csrf", verify_csrf=verify),
    extra={"region": "eu"},
    serializers=[(V1JSONSerializer(), "~> 1.0.0"), (V2JSONSerializer(), "~> 2.0.0")],
    auth_token=True,
    drainer=Drainer(batch_size=10, batch_interval=0.5, shutdown=5, log=False),
    transport_log=logging.INFO,
)  # fmt: skip
endpoint.socket("/polled", QuietSocket, websocket=False, longpoll=True, drainer=False, transport_log=False)
session = SessionOptions(load=load_later)
endpoint.socket("/echo", EchoSocket, check_origin=None, drainer=drainer, connect_info=["session"], session=session)
endpoint.socket("/open", EchoSocket, websocket=WebSocketOptions(timeout=None, check_origin=False), longpoll=False)
Endpoint(filter_parameters=Keep("id"), check_origin=ours)
