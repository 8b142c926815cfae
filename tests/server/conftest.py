"""The servers of these tests are programs; their clients run on asyncio."""

import pytest


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"
