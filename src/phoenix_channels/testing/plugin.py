"""The pytest plugin: fixtures for tests of channels, and of their clients.

pytest loads it at every start, wherever this library is installed.  So its fixtures have names that begin with
``phoenix``, and the mock, which brings a server, is imported where a test wants it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import pytest

from phoenix_channels.endpoint import Endpoint
from phoenix_channels.testing.case import ChannelCase

if TYPE_CHECKING:
    from phoenix_channels.testing.mock import MockPhoenix


@pytest.fixture
def phoenix_endpoint() -> Endpoint:
    """The endpoint under test; yours to define."""
    pytest.fail(
        "the fixture `phoenix` needs a fixture `phoenix_endpoint` that returns the Endpoint under test: define one, in "
        "the test module or in conftest.py",
        pytrace=False,
    )


@pytest.fixture
async def phoenix(
    phoenix_endpoint: Endpoint,
    anyio_backend: object,  # noqa: ARG001 - it is run on that event loop
) -> AsyncGenerator[ChannelCase]:
    """Clients of the fixture ``phoenix_endpoint``, on the event loop of the test, closed at its end."""
    async with ChannelCase(phoenix_endpoint) as case:
        yield case


@pytest.fixture
async def phoenix_mock(
    anyio_backend: object,  # noqa: ARG001 - it is run on that event loop
) -> AsyncGenerator[MockPhoenix]:
    """A :class:`~phoenix_channels.testing.mock.MockPhoenix` that listens, without rules."""
    from phoenix_channels.testing.mock import MockPhoenix  # noqa: PLC0415

    async with MockPhoenix() as mock:
        yield mock
