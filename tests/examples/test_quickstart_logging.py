"""The code of the guide to logging and telemetry."""

import logging
from collections.abc import Iterator

import pytest

from examples.quickstart.guides import logging_and_telemetry as guide
from phoenix_channels import telemetry
from tests.support import frames
from tests.support.asgi import serving


@pytest.fixture
def metrics() -> Iterator[None]:
    guide.COUNTS.clear()
    guide.SECONDS.clear()
    guide.start_metrics()
    yield
    guide.stop_metrics()


async def test_levels_and_terms(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    async with serving(guide.endpoint) as server:
        client = await server.joined("search", {"card_number": 4111})
        await client.join("cursors:1", ref="2")
        await client.call("1", "3", "search", "search", {"secret": "x", "words": ["a"]})
    lines = [(record.levelname, *record.message.split("\n  Parameters: ")) for record in caplog.records]
    assert [(level, text.split()[0], params) for level, text, params in lines] == [
        ("DEBUG", "CONNECTED", "{'vsn': '2.0.0'}"),
        ("DEBUG", "JOINED", "{'card_number': '[FILTERED]'}"),
        ("INFO", "HANDLED", "{'secret': '[FILTERED]', 'words': ['a']}"),
    ]


async def test_keep(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    async with serving(guide.strict) as server:
        await server.joined("search", {"id": 7, "name": "ada"})
    assert caplog.messages[-1].endswith("Parameters: {'id': 7, 'name': '[FILTERED]'}")


@pytest.mark.usefixtures("metrics")
async def test_metrics() -> None:
    async with serving(guide.endpoint) as server:
        client = await server.joined("search")
        await client.call("1", "2", "search", "search")
        client.send_nowait(["3", "3", "cursors:1", "phx_join", {}])
        await client.receive()
    joined, handled = telemetry.CHANNEL_JOINED, telemetry.CHANNEL_HANDLED_IN
    counts = {(joined, "SearchChannel"): 1, (joined, "CursorChannel"): 1, (handled, "SearchChannel"): 1}
    assert counts == guide.COUNTS
    assert guide.SECONDS[handled, "SearchChannel"] > 0


async def test_error_reports() -> None:
    guide.start_reports()
    try:
        async with serving(guide.endpoint) as server:
            client = await server.joined("search")
            assert await client.call("1", "2", "search", "unknown") == frames.crashed("1", "search")
    finally:
        telemetry.detach(telemetry.CHANNEL_CRASHED, guide.report)
    [(error, where)] = guide.REPORTS
    guide.REPORTS.clear()
    assert isinstance(error, LookupError)
    assert where == "SearchChannel on search"


def test_a_filter_of_ones_own() -> None:
    assert guide.describe({"name": "ada", "token": "x"}) == "params: {'name': 'ada', 'token': '[FILTERED]'}"


async def test_a_look_inside() -> None:
    assert guide.who_is_here() == []
    async with serving(guide.endpoint) as server:
        await server.joined("search")
        assert guide.who_is_here() == ["somebody on search: joined"]
