"""Where a client connects to, and what it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from phoenix_channels.client.address import Address, Target


async def url_of(url: str, path: str = "/websocket", params: Mapping[str, Any] | None = None) -> str:
    return (await Address(url, path, params, None).resolve()).url


@pytest.mark.parametrize(
    ("url", "path", "expected"),
    [
        ("ws://a/socket", "/websocket", "ws://a/socket/websocket"),
        ("wss://a:1/socket/", "/websocket", "wss://a:1/socket/websocket"),
        # P-138: always, whatever the mount is called.
        ("ws://a/websocket", "/websocket", "ws://a/websocket/websocket"),
        ("ws://a", "/websocket", "ws://a/websocket"),
        ("ws://a/socket", "/live/2", "ws://a/socket/live/2"),
        ("ws://a/socket/live", "", "ws://a/socket/live"),
    ],
)
async def test_the_path_of_the_transport_is_added(url: str, path: str, expected: str) -> None:
    assert await url_of(url, path) == f"{expected}?vsn=2.0.0"


@pytest.mark.parametrize(
    ("url", "params", "query"),
    [
        ("ws://a/s", {"a": "b c"}, "a=b+c&vsn=2.0.0"),
        ("ws://a/s?x=y", {"a": 1}, "x=y&a=1&vsn=2.0.0"),
        ("ws://a/s", {"vsn": "1.0.0"}, "vsn=2.0.0"),
    ],
)
async def test_params_and_version_go_into_the_query(url: str, params: dict[str, Any], query: str) -> None:
    assert await url_of(url, params=params) == f"ws://a/s/websocket?{query}"


async def test_functions_are_asked_each_time() -> None:
    asked = iter("abcd")

    async def token() -> str:
        return next(asked)

    address = Address("ws://a/s", "/websocket", lambda: {"p": next(asked)}, token)
    # base64 of "a" and "c".
    for param, encoded in (("b", "YQ"), ("d", "Yw")):
        url = f"ws://a/s/websocket?p={param}&vsn=2.0.0"
        assert await address.resolve() == Target(url, ["phoenix", f"base64url.bearer.phx.{encoded}"])


@pytest.mark.parametrize("url", ["http://a/socket", "a/socket", "ws:///socket", "ws://a/socket#b", ""])
def test_what_is_no_url_of_a_websocket_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match="ws://host:4000/socket"):
        Address(url, "/websocket", None, None)


@pytest.mark.parametrize("path", ["websocket", "live/"])
def test_a_path_begins_with_a_slash(path: str) -> None:
    with pytest.raises(ValueError, match="such as '/websocket', or '', not"):
        Address("ws://a/socket", path, None, None)


def test_no_secret_is_shown() -> None:
    with pytest.raises(ValueError, match="is no URL") as raised:
        Address("http://a/socket?token=secret", "/websocket", None, None)
    assert "secret" not in str(raised.value)
    assert Address("wss://me:secret@a:1/s?token=secret", "/live", None, "secret").shown == "wss://a:1/s/live"


def test_what_is_known_and_wrong_is_an_error_at_once() -> None:
    with pytest.raises(TypeError, match="the param 'a' is a NoneType"):
        Address("ws://a/s", "/websocket", {"a": None}, None)  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="Latin-1"):
        Address("ws://a/s", "/websocket", None, "€")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_function_that_somebody_else_cancels_has_failed() -> None:
    """Let through, the cancellation would end the client's own task, and the user's block in its middle."""
    refresh = asyncio.get_running_loop().create_future()
    refresh.cancel()

    async def token() -> str:
        return str(await refresh)

    with pytest.raises(RuntimeError, match="was cancelled by somebody else"):
        await Address("ws://a/socket", "/websocket", None, token).resolve()


async def test_a_function_that_is_cancelled_with_the_client_is_just_that() -> None:
    async def token() -> str:
        scope.cancel()
        await anyio.sleep_forever()
        return ""

    with anyio.CancelScope() as scope:
        await Address("ws://a/socket", "/websocket", None, token).resolve()
    assert scope.cancelled_caught
