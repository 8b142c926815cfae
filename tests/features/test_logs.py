"""What is logged of connects, joins and messages: the rows B013 to B015 of the inventory."""

from __future__ import annotations

import logging
import re

import pytest

from phoenix_channels import Channel, Endpoint, Reply, Socket, incoming
from tests.features.clients import Serve

DURATION = r"\d+(µs|ms)"
SECRETS = {"user": "ada", "password": "hidden", "form": "a=1&token=hidden", "list": [{"the_token": "hidden", "n": 1}]}
SHOWN = {"user": "ada", "password": "[FILTERED]", "form": "[FILTERED]", "list": [{"the_token": "[FILTERED]", "n": 1}]}


class RoomChannel(Channel):
    @incoming
    async def echo(self, payload: object) -> Reply:
        return Reply.ok(payload)


class UserSocket(Socket):
    channels = {"room:*": RoomChannel}


class QuietSocket(UserSocket):
    log = False


def lines(caplog: pytest.LogCaptureFixture, beginning: str) -> list[tuple[int, str]]:
    """Level and text of what was logged in these words."""
    return [
        (record.levelno, record.getMessage())
        for record in caplog.records
        if record.name == "phoenix_channels" and record.getMessage().startswith(beginning)
    ]


@pytest.mark.feature("B013")
async def test_a_connect_is_logged(serve: Serve, version: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")

    class DetailSocket(UserSocket):
        log = logging.DEBUG

    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket)
    endpoint.socket("/detail", DetailSocket)
    async with serve(endpoint) as server:
        await server.connect(version, query="user=ada&password=hidden")
        await server.connect(version, "/detail/websocket")
    (first, usual), (second, detail) = lines(caplog, "CONNECTED TO")
    assert (first, second) == (logging.INFO, logging.DEBUG)
    params = {"vsn": f"{version}.0.0", "user": "ada", "password": "[FILTERED]"}
    assert re.fullmatch(
        rf"CONNECTED TO UserSocket in {DURATION}\n  Transport: websocket\n  Serializer: V{version}JSONSerializer\n"
        rf"  Parameters: {re.escape(repr(params))}",
        usual,
    )
    assert re.match(rf"CONNECTED TO \S*\bDetailSocket in {DURATION}\n", detail)


@pytest.mark.feature("B014")
async def test_a_connect_is_not_logged_when_that_is_switched_off(
    serve: Serve, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    quiet, silent = Endpoint(), Endpoint(logger=False)
    quiet.socket("/socket", QuietSocket)
    silent.socket("/socket", UserSocket)
    for endpoint in (quiet, silent):
        async with serve(endpoint) as server:
            await (await server.connect(version)).heartbeat()
    assert lines(caplog, "") == []


@pytest.mark.feature("B015")
async def test_joins_and_messages_are_logged_without_their_secrets(
    serve: Serve, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    endpoint = Endpoint()
    endpoint.socket("/socket", UserSocket)
    async with serve(endpoint) as server:
        client = await server.connect(version)
        await client.join("room:lobby", SECRETS)
        await client.send("room:lobby", "echo", SECRETS)
        # What is handled sees it all.
        assert (await client.receive())[4]["response"] == SECRETS
        await client.heartbeat()
    shown = re.escape(repr(SHOWN))
    ((level, joined),) = lines(caplog, "JOINED")
    assert level == logging.INFO
    assert re.fullmatch(rf"JOINED room:lobby in {DURATION}\n  Parameters: {shown}", joined)
    ((level, handled),) = lines(caplog, "HANDLED")
    assert level == logging.DEBUG
    assert re.fullmatch(
        rf"HANDLED echo INCOMING ON room:lobby \(RoomChannel\) in {DURATION}\n  Parameters: {shown}", handled
    )
    assert "hidden" not in caplog.text
