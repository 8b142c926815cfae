"""A mock is on the network, where time passes by itself: the clock here is the real one."""

from typing import Any

import pytest


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param
