"""Which cases of a table a run of pytest asks for, so that only those are recorded."""

from collections.abc import Callable
from typing import cast

import pytest


def wanted_cases(session: pytest.Session, test: Callable[..., None]) -> list[tuple[str, str]]:
    """The (server, name) pairs that the selected tests of one function, parametrised by ``case``, are about."""
    return [
        cast("tuple[str, str]", item.callspec.params["case"])
        for item in session.items
        if isinstance(item, pytest.Function) and item.function is test
    ]
