"""The bounds are positive numbers of the right kind."""

from typing import Any

import pytest

from phoenix_channels import Limits


def test_the_defaults_and_every_bound_of_its_own() -> None:
    for name in Limits.__struct_fields__:
        assert getattr(Limits(), name) > 0
        assert getattr(Limits(**{name: 1}), name) == 1


@pytest.mark.parametrize("name", Limits.__struct_fields__)
@pytest.mark.parametrize("value", [0, -1, "1", None, True, 1.5])
def test_wrong_bounds_are_named(name: str, value: Any) -> None:
    if name.endswith("_seconds") and value == 1.5:
        assert getattr(Limits(**{name: value}), name) == 1.5
        return
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})


def test_unknown_bounds_are_refused() -> None:
    with pytest.raises(TypeError):
        Limits(unknown=1)  # type: ignore[call-arg]
