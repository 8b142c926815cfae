from __future__ import annotations

import pytest

from phoenix_channels.protocol.close_codes import CloseCode, may_be_sent


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1010, 1013, 3000, 4999, *CloseCode])
def test_codes_of_the_standard_and_those_of_applications_may_be_sent(code: int) -> None:
    assert may_be_sent(code)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1014, 1015, 2999, 5000, True, 1000.0, "1000", None])
def test_codes_that_are_reserved_or_none_may_not(code: object) -> None:
    assert not may_be_sent(code)
