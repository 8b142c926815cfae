"""Deadlines against the naive way: a dict that is searched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.protocol.deadlines import Deadlines

KEYS = st.sampled_from("abcdef")
TIMES = st.integers(0, 20)
STEPS = st.lists(
    st.tuples(st.just("set"), KEYS, TIMES)
    | st.tuples(st.just("cancel"), KEYS, st.none())
    | st.tuples(st.just("due"), st.none(), TIMES),
    max_size=200,
)


@given(STEPS)
def test_the_earliest_comes_first_and_only_the_last_deadline_of_a_key_counts(
    steps: list[tuple[str, str | None, int | None]],
) -> None:
    deadlines, naive = Deadlines[str](), dict[str, int]()
    for step, key, time in steps:
        if step == "set" and key is not None and time is not None:
            deadlines.set(key, time)
            # A dict keeps the place of a key that it has.
            naive.pop(key, None)
            naive[key] = time
        elif step == "cancel" and key is not None:
            deadlines.cancel(key)
            naive.pop(key, None)
        elif time is not None:
            due = sorted((key for key in naive if naive[key] <= time), key=naive.__getitem__)
            assert list(deadlines.due(time)) == due
            for done in due:
                del naive[done]
        assert deadlines.next() == min(naive.values(), default=None)


def test_what_is_cancelled_while_others_are_dealt_with_is_not_due() -> None:
    deadlines = Deadlines[str]()
    for key in "abc":
        deadlines.set(key, 1)
    seen = []
    for key in deadlines.due(2):
        seen.append(key)
        deadlines.cancel("b")
    assert seen == ["a", "c"]


def test_what_is_set_and_due_at_once_is_for_the_next_call() -> None:
    deadlines = Deadlines[str]()
    deadlines.set("a", 1)
    for key in deadlines.due(2):
        deadlines.set(key, 1)
    assert deadlines.next() == 1
    assert list(deadlines.due(2)) == ["a"]
    assert deadlines.next() is None


@pytest.mark.parametrize("how", ["cancelled", "replaced", "due"])
def test_what_does_not_count_any_more_does_not_pile_up(how: str) -> None:
    deadlines = Deadlines[int]()
    for at in range(10_000):
        deadlines.set(0 if how == "replaced" else at, at)
        if how == "cancelled":
            deadlines.cancel(at)
        elif how == "due":
            assert list(deadlines.due(at)) == [at]
    assert len(deadlines._heap) < 100
    assert len(deadlines._numbers) == (how == "replaced")
