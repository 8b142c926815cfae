"""P-028: which version of the protocol a ``vsn`` asks for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.protocol.serializers import SERIALIZERS, V1JSONSerializer, V2JSONSerializer
from phoenix_channels.protocol.versions import DEFAULT_VSN, Requirement, Versions

VERSIONS = Versions([("V1", "~> 1.0.0"), ("V2", "~> 2.0.0")])

# The table of P-028, every row of it, and what borders on it.
TABLE: list[tuple[Any, str | None]] = [
    (DEFAULT_VSN, "V1"),
    ("1.0.0", "V1"),
    ("1.0.9", "V1"),
    ("2.0.0", "V2"),
    ("2.0.5", "V2"),
    ("2.0.0+build", "V2"),
    ("", None),
    ("2", None),
    ("2.0", None),
    ("abc", None),
    ("1.1.0", None),
    ("2.1.0", None),
    ("3.0.0", None),
    ("2.0.0-rc.1", None),
    (["2.0.0"], None),
    ({"a": "2.0.0"}, None),
    (None, None),
    (2, None),
    (2.0, None),
    (b"2.0.0", None),
    ("2.0.10", "V2"),
    ("2.0.0+b.1-x", "V2"),
    ("2.0.1-rc.1", "V2"),
    ("2.0.0-rc.1+build", None),
    ("2.1.0-rc.1", None),
    ("1.0.0 ", None),
    (" 1.0.0", None),
    ("1.0.0\n", None),
    ("v1.0.0", None),
    ("02.0.0", None),
    ("2.00.0", None),
    ("2.0.00", None),
    ("2.0.0.0", None),
    ("2.0.0-", None),
    ("2.0.1-01", None),
    ("2.0.0+", None),
    ("2.0.0+a..b", None),
    ("-2.0.0", None),
    ("2.0.-1", None),
    ("２.0.0", None),  # noqa: RUF001 - a digit, but not of a version
    ("2.0." + "9" * 200, "V2"),
    ("2.0." + "9" * 5000, None),
]


@pytest.mark.feature("C18")
@pytest.mark.parametrize(("vsn", "expected"), TABLE, ids=lambda value: repr(value)[:30])
def test_p028_c18_the_version_table(vsn: Any, expected: str | None) -> None:
    assert VERSIONS.negotiate(vsn) == expected


def test_p028_the_list_of_phoenix() -> None:
    assert SERIALIZERS.requirements == ["~> 1.0.0", "~> 2.0.0"]
    assert isinstance(SERIALIZERS.negotiate("1.0.0"), V1JSONSerializer)
    assert isinstance(SERIALIZERS.negotiate("2.0.0"), V2JSONSerializer)


def test_p028_the_first_requirement_that_matches_wins() -> None:
    versions = Versions([("new", "~> 2.0.3"), ("old", "~> 2.0.0"), ("never", "~> 2.0.3")])
    assert versions.requirements == ["~> 2.0.3", "~> 2.0.0", "~> 2.0.3"]
    assert versions.negotiate("2.0.2") == "old"
    assert versions.negotiate("2.0.3-rc.1") == "old"
    assert versions.negotiate("2.0.3") == "new"
    assert versions.negotiate("2.0.4-rc.1") == "new"


@pytest.mark.parametrize("text", ["", "2.0.0", "~>2.0.0", "~> 2.0", "~> 2", ">= 2.0.0", "~> 2.0.0 ", "~> 2.0.0-rc.1"])
def test_a_requirement_has_one_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"legal is '~> MAJOR\.MINOR\.PATCH'") as caught:
        Requirement(text)
    assert repr(text) in str(caught.value)


NUMBERS = st.integers(0, 30)


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS), st.tuples(NUMBERS, NUMBERS, NUMBERS), st.sampled_from(["", "-rc", "+b"]))
def test_the_same_major_and_minor_and_at_least_the_patch(
    wanted: tuple[int, int, int], offered: tuple[int, int, int], tail: str
) -> None:
    requirement = Requirement("~> {}.{}.{}".format(*wanted))
    # A pre-release comes before its release.
    enough = offered > wanted or (offered == wanted and tail != "-rc")
    assert requirement.matches("{}.{}.{}".format(*offered) + tail) == (enough and offered[:2] == wanted[:2])


@given(st.text() | st.text(st.sampled_from("012.-+ab")) | st.lists(st.text()) | st.none() | st.integers())
def test_no_vsn_breaks_the_negotiation(vsn: Any) -> None:
    assert VERSIONS.negotiate(vsn) in ("V1", "V2", None)
