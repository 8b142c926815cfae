"""What endpoints and mounts are made of: the rows B085, B091, and B150 to B153 of the inventory."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import pytest

from phoenix_channels import (
    Broadcast,
    Channel,
    DefinitionError,
    Endpoint,
    LongPollOptions,
    Socket,
    WebSocketOptions,
    telemetry,
)
from tests.features.clients import Serve
from tests.support import apps
from tests.support.asgi import Refused
from tests.support.loops import settle, soon


class UserSocket(Socket):
    channels = {"room:*": Channel}


@pytest.mark.feature("B150")
async def test_a_subscriber_of_an_endpoint_gets_every_kind_of_broadcast() -> None:
    channels: list[Channel] = []

    class RoomChannel(Channel):
        def after_join(self) -> None:
            channels.append(self)

    async with apps.serve(RoomChannel) as (endpoint, server), endpoint.subscribe("topic") as broadcasts:
        await server.joined("room:a")
        await settle()
        payload = {"key": ["val"]}
        endpoint.broadcast("topic", "broadcast", payload)
        await endpoint.abroadcast("topic", "abroadcast", payload)
        endpoint.broadcast_from(channels[0], "topic", "broadcast_from", payload)
        endpoint.local_broadcast("topic", "local_broadcast", payload)
        endpoint.broadcast("another", "broadcast", payload)
        endpoint.broadcast("topic", "binary", b"\x00")
        assert [await soon(anext(broadcasts)) for _ in range(5)] == [
            *(
                Broadcast("topic", event, payload)
                for event in ("broadcast", "abroadcast", "broadcast_from", "local_broadcast")
            ),
            Broadcast("topic", "binary", b"\x00"),
        ]


@pytest.mark.feature("B151")
@pytest.mark.parametrize(
    ("options", "name", "legal"),
    [
        (WebSocketOptions, "compres", ["compress", "max_frame_size", "error_handler"]),
        (WebSocketOptions, "window", ["timeout", "subprotocols"]),
        (LongPollOptions, "drainer", ["window", "pubsub_timeout", "max_age"]),
    ],
)
def test_an_unknown_option_of_a_transport(options: Any, name: str, legal: list[str]) -> None:
    with pytest.raises(DefinitionError) as raised:
        options(**{name: True})
    for text in (repr(name), *legal):
        assert text in str(raised.value)


@pytest.mark.feature("B151")
def test_an_unknown_option_of_a_mount() -> None:
    with pytest.raises(DefinitionError, match=r"'drain'.*drainer"):
        Endpoint().socket("/socket", UserSocket, drain=False)  # type: ignore[call-arg]


@pytest.mark.feature("B152")
@pytest.mark.parametrize(
    ("of_endpoint", "of_mount"),
    [
        (None, {"check_origin": False, "check_csrf": False}),
        (False, {"check_csrf": False}),
        (True, {"websocket": WebSocketOptions(check_origin=False), "check_csrf": False}),
        (True, {"longpoll": LongPollOptions(check_origin=False), "check_csrf": False}),
    ],
    ids=["mount", "endpoint and mount", "WebSocket", "long poll"],
)
def test_neither_origin_nor_csrf_token_checked(of_endpoint: Any, of_mount: Mapping[str, Any]) -> None:
    endpoint = Endpoint(check_origin=of_endpoint, secret_key_base="k" * 64)
    with pytest.raises(DefinitionError, match=r"check_origin.*check_csrf"):
        endpoint.socket("/socket", UserSocket, **of_mount)
    # One of the two is enough.
    endpoint.socket("/socket", UserSocket, **{**of_mount, "check_csrf": True})
    endpoint.socket("/other", UserSocket, check_origin=["//example.com"], check_csrf=False)


@pytest.mark.feature("B153")
def test_telemetry_tells_that_an_endpoint_starts() -> None:
    heard: list[tuple[str, Mapping[str, float], Mapping[str, Any]]] = []

    def hear(*event: Any) -> None:
        heard.append(event)

    telemetry.attach(telemetry.ENDPOINT_INIT, hear)
    try:
        before = time.time()
        endpoint = Endpoint(host="example.com")
    finally:
        telemetry.detach(telemetry.ENDPOINT_INIT, hear)
    ((event, measurements, metadata),) = heard
    assert event == "phoenix.endpoint.init"
    assert before <= measurements["system_time"] <= time.time()
    assert (metadata["endpoint"], metadata["pid"]) == (endpoint, os.getpid())
    assert metadata["config"]["host"] == "example.com"


# Origins


async def lets_in(serve: Serve, endpoint: Endpoint, *paths: str) -> list[list[str]]:
    """For each path the origins that may connect."""
    origins = ["http://one.example", "http://two.example", "http://host.example"]
    async with serve(endpoint) as server:

        async def status(path: str, origin: str) -> int:
            try:
                await server.open(path, headers=[("origin", origin)])
            except Refused as refused:
                return refused.status
            return 101

        answers = [[(origin, await status(path, origin)) for origin in origins] for path in paths]
    assert {status for row in answers for _, status in row} <= {101, 403}
    return [[origin.removeprefix("http://") for origin, status in row if status == 101] for row in answers]


@pytest.mark.feature("B085")
async def test_a_mount_that_says_nothing_has_the_policy_of_the_endpoint(serve: Serve) -> None:
    endpoint = Endpoint(host="host.example", check_origin=["//one.example"])
    endpoint.socket("/silent", UserSocket)
    endpoint.socket("/list", UserSocket, check_origin=["//two.example"])
    endpoint.socket("/true", UserSocket, check_origin=True)
    endpoint.socket("/false", UserSocket, check_origin=False)
    paths = [f"/{name}/websocket" for name in ("silent", "list", "true", "false")]
    assert await lets_in(serve, endpoint, *paths) == [
        ["one.example"],
        ["two.example"],
        ["host.example"],
        ["one.example", "two.example", "host.example"],
    ]


@pytest.mark.feature("B091")
async def test_one_socket_class_mounted_twice_has_two_origin_policies(serve: Serve) -> None:
    endpoint = Endpoint()
    endpoint.socket("/one", UserSocket, check_origin=["//one.example"])
    endpoint.socket("/two", UserSocket, check_origin=["//two.example"])
    # Also the other way round, and again: nothing is remembered by class.
    paths = ["/one/websocket", "/two/websocket", "/one/websocket"]
    assert await lets_in(serve, endpoint, *paths) == [["one.example"], ["two.example"], ["one.example"]]
