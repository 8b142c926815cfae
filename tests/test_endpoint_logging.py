"""The options of endpoints and classes about the log, and what an endpoint tells of itself and of its connections."""

import logging
import re
from typing import Any

import pytest

from phoenix_channels import Channel, ConnectRefused, DefinitionError, Endpoint, Keep, Socket, telemetry
from tests.support.asgi import Refused, serving


class UserSocket(Socket):
    channels = {"room:*": Channel}

    def connect(self, params: Any, info: Any) -> None:
        if "refuse" in params:
            raise ConnectRefused
        if "crash" in params:
            raise RuntimeError("connect")


class QuietSocket(UserSocket):
    log = False


def make_endpoint(**options: Any) -> Endpoint:
    endpoint = Endpoint(**options)
    endpoint.socket("/socket", UserSocket)
    endpoint.socket("/quiet", QuietSocket)
    return endpoint


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines that are no warnings or errors, without durations."""
    ours = (record for record in caplog.records if record.name == "phoenix_channels")
    return [re.sub(r"in \d+[µm]s", "in ...", record.message) for record in ours if record.levelno <= logging.INFO]


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "phoenix_channels")
    return caplog


@pytest.mark.feature("B013", "B015")
async def test_connections_and_joins_are_logged(log: pytest.LogCaptureFixture) -> None:
    async with serving(make_endpoint()) as server:
        await server.joined("room:a", {"password": "x"}, query="vsn=2.0.0&token=x")
        await server.connect(query="vsn=1.0.0")
    connected, transport = "CONNECTED TO UserSocket in ...", "Transport: websocket"
    assert [line.split("\n  ") for line in lines(log)] == [
        [connected, transport, "Serializer: V2JSONSerializer", "Parameters: {'vsn': '2.0.0', 'token': '[FILTERED]'}"],
        ["JOINED room:a in ...", "Parameters: {'password': '[FILTERED]'}"],
        [connected, transport, "Serializer: V1JSONSerializer", "Parameters: {'vsn': '1.0.0'}"],
    ]


async def test_refused_connections_are_logged_and_crashed_ones_are_not(log: pytest.LogCaptureFixture) -> None:
    async with serving(make_endpoint()) as server:
        for query in ("vsn=2.0.0&refuse=1", "vsn=2.0.0&crash=1", "vsn=7.0.0"):
            with pytest.raises(Refused):
                await server.connect(query=query)
    [line] = lines(log)
    assert line.startswith("REFUSED CONNECTION TO UserSocket in ...\n")


@pytest.mark.feature("B014")
async def test_a_socket_class_or_an_endpoint_may_be_silent(log: pytest.LogCaptureFixture) -> None:
    async with serving(make_endpoint()) as server:
        await server.connect("/quiet/websocket")
    async with serving(make_endpoint(logger=False)) as server:
        await server.joined("room:a")
    assert lines(log) == []


async def test_the_option_filter_parameters_replaces_the_default(log: pytest.LogCaptureFixture) -> None:
    query = "vsn=2.0.0&token=1&secret=2"
    for option in (["secret"], Keep("token")):
        async with serving(make_endpoint(filter_parameters=option)) as server:
            await server.connect(query=query)
    assert [line.splitlines()[-1] for line in lines(log)] == [
        "  Parameters: {'vsn': '2.0.0', 'token': '1', 'secret': '[FILTERED]'}",
        "  Parameters: {'vsn': '[FILTERED]', 'token': '1', 'secret': '[FILTERED]'}",
    ]


@pytest.mark.parametrize("options", [{"filter_parameters": "password"}, {"filter_parameters": None}, {"logger": None}])
def test_wrong_options_are_errors(options: Any) -> None:
    with pytest.raises(DefinitionError):
        Endpoint(**options)


@pytest.mark.feature("B153")
def test_an_endpoint_tells_that_it_is_made_without_its_secret() -> None:
    told: list[Any] = []

    def hear(event: str, measurements: Any, metadata: Any) -> None:
        told.append(metadata)

    telemetry.attach(telemetry.ENDPOINT_INIT, hear)
    try:
        endpoint = Endpoint(host="example.com", secret_key_base="a secret of twenty bytes")
    finally:
        telemetry.detach(telemetry.ENDPOINT_INIT, hear)
    [metadata] = told
    assert metadata["endpoint"] is endpoint
    assert metadata["config"]["host"] == "example.com"
    assert "a secret of twenty bytes" not in repr(metadata)


async def test_a_listener_to_connections_that_fails_hurts_nobody(log: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("broken listener")

    telemetry.attach(telemetry.SOCKET_CONNECTED, fail)
    async with serving(make_endpoint()) as server:
        await server.joined("room:a")
    assert not telemetry.attached(telemetry.SOCKET_CONNECTED)
    assert "failed and is detached" in log.text


# The levels of classes


@pytest.mark.parametrize(
    ("base", "name", "default"),
    [
        (Socket, "log", logging.INFO),
        (Channel, "log_join", logging.INFO),
        (Channel, "log_handle_in", logging.DEBUG),
    ],
)
def test_a_level_is_one_of_logging_or_false(base: type, name: str, default: int) -> None:
    assert getattr(base, name) == default
    for legal in (False, 0, logging.DEBUG, 15):
        assert getattr(type("Legal", (base,), {name: legal}), name) == legal
    for wrong in (True, None, "info", -1, 1.5):
        with pytest.raises(
            DefinitionError, match=rf"Wrong\.{name} is a level of logging, such as logging.INFO, or False"
        ):
            type("Wrong", (base,), {name: wrong})
