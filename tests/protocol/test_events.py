from typing import Any

import pytest
from msgspec import Raw

from phoenix_channels.protocol import events
from phoenix_channels.protocol.events import Entry
from phoenix_channels.protocol.states import State


def make_entry(join_ref: Any = "1", ref: Any = "2") -> Entry[str]:
    return Entry("room:lobby", "target", "lobby", join_ref, ref)


def test_an_entry_begins_with_its_join() -> None:
    entry = make_entry()
    assert (entry.topic, entry.target, entry.subtopic) == ("room:lobby", "target", "lobby")
    assert (entry.join_ref, entry.ref) == ("1", "2")
    assert entry.state is State.JOINING
    assert entry.waiting == []
    assert entry.replaces is None


@pytest.mark.parametrize(
    ("join_ref", "ref", "expected"),
    [("1", "2", "1"), (None, "2", "2"), (None, None, None), ("", "2", ""), (0, "2", 0), (False, "2", False)],
)
def test_only_for_a_null_join_ref_the_ref_stands_in_p032_p056(join_ref: Any, ref: Any, expected: Any) -> None:
    entry = make_entry(join_ref, ref)
    assert entry.push_join_ref is expected
    assert entry.join_ref is join_ref


def test_two_joins_of_one_topic_are_two_entries() -> None:
    first, second = make_entry(), make_entry()
    assert first != second
    assert len({first, second}) == 2


def test_the_repr_names_what_one_looks_for() -> None:
    assert repr(make_entry(join_ref={"any": "term"})) == "<Entry 'room:lobby' join_ref={'any': 'term'} JOINING>"


@pytest.mark.parametrize(
    "event",
    [
        events.JoinRequested(make_entry(), Raw(b"{}")),
        events.MessageReceived(make_entry(), "shout", b"\0", "7"),
        events.LeaveRequested(make_entry(), "7"),
        events.RejoinWaiting(make_entry()),
        events.UnmatchedTopic("nowhere"),
        events.TooManyChannels("room:101", 100),
    ],
    ids=lambda event: type(event).__name__,
)
def test_events_cannot_be_changed(event: Any) -> None:
    for name in event.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(event, name, None)
