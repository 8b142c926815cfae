"""Signed tokens and encrypted ones, for tests that hold for both."""

from collections.abc import Callable
from typing import Any

import pytest

from phoenix_channels.token import decrypt, encrypt, sign, verify

Make = Callable[..., str]
Read = Callable[..., Any]
both_kinds = pytest.mark.parametrize(
    ("make", "read"), [pytest.param(sign, verify, id="signed"), pytest.param(encrypt, decrypt, id="encrypted")]
)
