"""What the tests of the runtime share."""

import pytest


@pytest.fixture(params=[True, False], ids=["prompt", "not prompt"])
def prompt(request: pytest.FixtureRequest) -> bool:
    """Does a send return at once while the client reads?  With some servers it never does."""
    return bool(request.param)
