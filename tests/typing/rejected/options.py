"""Options that do not exist, and values that they do not have."""

from collections.abc import Mapping
from typing import Any

from phoenix_channels import (
    Channel,
    ConnectInfo,
    Drainer,
    Endpoint,
    Latest,
    LongPollOptions,
    RawSocket,
    Request,
    Response,
    SessionOptions,
    Socket,
    WebSocketOptions,
)


class UserSocket(Socket):
    def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
        info.peer  # error
        info.transport  # error
        info.cookies  # error
        info.uri.split("/")  # error
        info.user_agent = "mine"  # error
        info.extra["region"] = "us"  # error


class EchoSocket(RawSocket):
    def handle_in(self, data: str | bytes) -> int:  # error
        self.push({"data": data})  # error
        self.close("normal")  # error
        return 1


class PositionChannel(Channel):
    slow_consumer = "drop"  # error


class PriceChannel(Channel):
    slow_consumer = None  # error


class CursorChannel(Channel):
    slow_consumer = Latest  # error


def by_payload(payload: Any) -> str:
    return str(payload)


def by_event_to_list(event: str, payload: Any) -> list[str]:
    return [event]


async def explain_later(request: Request, reason: object) -> Response:
    return Response(429)


def explain_nothing(request: Request) -> Response:
    return Response(429)


def load_text(cookies: Mapping[str, str]) -> str:
    return ""


async def ours_later(origin: object) -> bool:
    return True


Latest()  # error
Latest("id")  # error
Latest(key="id")  # error
Latest(key=by_payload)  # error
Latest(key=by_event_to_list)  # error
latest = Latest(key=lambda event, _: event)
latest.key = latest.key  # error
WebSocketOptions("/live")  # error
WebSocketOptions(time_out=5)  # error
WebSocketOptions(timeout="a minute")  # error
WebSocketOptions(max_frame_size=None)  # error
WebSocketOptions(max_frame_size=1e6)  # error
WebSocketOptions(compress="deflate")  # error
WebSocketOptions(subprotocols=["json", 5])  # error
WebSocketOptions(error_handler=explain_later)  # error
WebSocketOptions(error_handler=explain_nothing)  # error
WebSocketOptions(check_origin="https://example.com")  # error
WebSocketOptions().timeout = 5  # error
LongPollOptions(timeout=5)  # error
LongPollOptions(window=None)  # error
LongPollOptions(check_origin=ours_later)  # error
Drainer(batch_size="all")  # error
Drainer(log="info")  # error
SessionOptions()  # error
SessionOptions(load=load_text)  # error
Response("429")  # error
Response(429, "slow down")  # error
Response(429, b"", {"retry-after": "5"})  # error

endpoint = Endpoint(secret_key_base=b"secret")  # error
Endpoint(check_origin="https://example.com")  # error
Endpoint(filter_parameters=None)  # error
endpoint.socket("/socket", UserSocket, timeout=5)  # error
endpoint.socket("/socket", UserSocket, websocket=LongPollOptions())  # error
endpoint.socket("/socket", UserSocket, longpoll=WebSocketOptions())  # error
endpoint.socket("/socket", UserSocket, websocket={"timeout": 5})  # error
endpoint.socket("/socket", UserSocket, websocket=None)  # error
endpoint.socket("/socket", UserSocket, check_origin="https://example.com")  # error
endpoint.socket("/socket", UserSocket, check_csrf="no")  # error
endpoint.socket("/socket", UserSocket, connect_info=["cookies"])  # error
endpoint.socket("/socket", UserSocket, session=load_text)  # error
endpoint.socket("/socket", UserSocket, extra=["eu"])  # error
endpoint.socket("/socket", UserSocket, serializers=["~> 2.0.0"])  # error
endpoint.socket("/socket", UserSocket, serializers=[(object(), "~> 2.0.0")])  # error
endpoint.socket("/socket", UserSocket, auth_token="token")  # error
endpoint.socket("/socket", UserSocket, drainer=True)  # error
endpoint.socket("/socket", UserSocket, transport_log="info")  # error
