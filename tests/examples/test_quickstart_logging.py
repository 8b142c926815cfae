"""The code of the guide to logging and telemetry."""

import logging
from collections.abc import Iterator

import pytest

from examples.quickstart.guides import logging_and_telemetry as guide
from phoenix_channels import telemetry
from phoenix_channels.testing import connect


@pytest.fixture
def metrics() -> Iterator[None]:
    guide.COUNTS.clear()
    guide.SECONDS.clear()
    guide.start_metrics()
    yield
    guide.stop_metrics()


async def test_levels_and_terms(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    async with connect(guide.endpoint) as socket:
        channel = await socket.join("search", {"card_number": 4111})
        await socket.join("cursors:1")
        await channel.push("search", {"secret": "x", "words": ["a"]}).assert_reply()
    lines = [(record.levelname, *record.message.split("\n  Parameters: ")) for record in caplog.records]
    assert [(level, text.split()[0], params) for level, text, params in lines] == [
        ("DEBUG", "CONNECTED", "{'vsn': '2.0.0'}"),
        ("DEBUG", "JOINED", "{'card_number': '[FILTERED]'}"),
        ("INFO", "HANDLED", "{'secret': '[FILTERED]', 'words': ['a']}"),
    ]


async def test_keep(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "phoenix_channels")
    async with connect(guide.strict) as socket:
        await socket.join("search", {"id": 7, "name": "ada"})
    assert caplog.messages[-1].endswith("Parameters: {'id': 7, 'name': '[FILTERED]'}")


@pytest.mark.usefixtures("metrics")
async def test_metrics() -> None:
    async with connect(guide.endpoint) as socket:
        channel = await socket.join("search")
        await channel.push("search").assert_reply()
        await socket.join("cursors:1")
    joined, handled = telemetry.CHANNEL_JOINED, telemetry.CHANNEL_HANDLED_IN
    counts = {(joined, "SearchChannel"): 1, (joined, "CursorChannel"): 1, (handled, "SearchChannel"): 1}
    assert counts == guide.COUNTS
    assert guide.SECONDS[handled, "SearchChannel"] > 0


async def test_error_reports() -> None:
    guide.start_reports()
    try:
        async with connect(guide.endpoint) as socket:
            channel = await socket.join("search")
            with channel.expect_crash(LookupError):
                channel.push("unknown")
                await channel.assert_errored()
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
    async with connect(guide.endpoint) as socket:
        await socket.join("search")
        assert guide.who_is_here() == ["somebody on search: joined"]
