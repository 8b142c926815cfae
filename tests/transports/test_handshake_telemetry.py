from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from phoenix_channels import Socket, telemetry
from tests.transports.handshakes import ask, request


@pytest.mark.parametrize(
    ("query", "results"),
    [
        (b"vsn=2.0.0&token=secret", ["ok"]),
        (b"connect=refuse", ["error"]),
        # Neither these: P-027.
        (b"connect=crash", []),
        (b"vsn=9.0.0", []),
        (b"a=%ff", []),
    ],
)
async def test_p027_telemetry_is_told_of_each_attempt(query: bytes, results: list[str]) -> None:
    told: list[Mapping[str, Any]] = []

    def hear(event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        assert event == "phoenix.socket_connected"
        assert measurements["duration"] >= 0
        told.append(metadata)

    telemetry.attach(telemetry.SOCKET_CONNECTED, hear)
    try:
        _, journal = await ask(request(query))
    finally:
        telemetry.detach(telemetry.SOCKET_CONNECTED, hear)
    assert [metadata["result"] for metadata in told] == results
    for metadata in told:
        assert metadata["params"] == journal.connects[0][0]
        assert metadata["connect_info"] == journal.connects[0][1]
        assert metadata["transport"] == "websocket"


async def test_a_crash_of_connect_reaches_telemetry() -> None:
    told: list[Mapping[str, Any]] = []

    def hear(event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        told.append(metadata)

    telemetry.attach(telemetry.CONNECT_CRASHED, hear)
    try:
        await ask(request(b"connect=refuse"))
        assert told == []
        await ask(request(b"connect=crash"))
    finally:
        telemetry.detach(telemetry.CONNECT_CRASHED, hear)
    (metadata,) = told
    assert issubclass(metadata["socket"], Socket)
    assert metadata["transport"] == "websocket"
    assert isinstance(metadata["error"], Exception)
