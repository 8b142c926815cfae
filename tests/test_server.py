"""What the server of our own does not do; what it does is tested in a process of its own."""

from __future__ import annotations

from typing import Any

import pytest

from phoenix_channels import DefinitionError, serve


@pytest.mark.parametrize("option", [{"workers": 2}, {"reload": True}])
def test_more_processes_are_the_business_of_uvicorn(option: dict[str, Any]) -> None:
    """uvicorn starts them in its own command only: here they would be ignored without a word."""
    (name,) = option
    with pytest.raises(DefinitionError, match=rf"serve\(\) runs one process: {name} is for uvicorn's own command"):
        serve("no.such.module:app", port=0, **option)
