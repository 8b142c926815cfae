"""Presence sync of a client; the same cases are put to phoenix.js in ``tests/node``."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from phoenix_channels.protocol.errors import RemoteProtocolError
from phoenix_channels.protocol.messages import EMPTY, payload_size
from phoenix_channels.protocol.payloads import encode_term
from phoenix_channels.protocol.presence_sync import PresenceJoined, PresenceLeft, PresenceSync
from tests.protocol.presence_cases import CASES, in_brief, results


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_presences_follow_states_and_diffs_p150(case: dict[str, Any]) -> None:
    told = results(case["steps"])
    assert [in_brief(result) for result in told] == case["news"]
    present = [[key, [meta["phx_ref"] for meta in presence["metas"]]] for key, presence in told[-1]["list"]]
    assert present == [[key, refs] for key, refs in case["list"].items()]


def presence(*refs: str, **more: Any) -> dict[str, Any]:
    return {"metas": [{"phx_ref": ref} for ref in refs], **more}


def diff(joins: Any = None, leaves: Any = None) -> Any:
    return encode_term({"joins": joins or {}, "leaves": leaves or {}})


def test_news_are_presences_with_the_metas_that_came_or_went() -> None:
    sync = PresenceSync()
    [first] = sync.state(encode_term({"u1": presence("1", user="U")}), "1")
    assert first == PresenceJoined("u1", None, presence("1", user="U"))
    both = sync.diff(diff({"u1": presence("2", user="V")}, {"u1": presence("1")}), "1")
    assert both == [
        PresenceJoined("u1", presence("1", user="U"), presence("2", user="V")),
        PresenceLeft("u1", presence("2", user="V"), presence("1")),
    ]
    assert sync.list() == {"u1": presence("2", user="V")}


def test_the_list_is_the_callers_own() -> None:
    sync = PresenceSync()
    sync.state(encode_term({"u1": presence("1")}), "1")
    sync.list().clear()
    assert list(sync.list()) == ["u1"]


def test_after_a_rejoin_the_list_is_the_past_until_the_state_comes() -> None:
    sync = PresenceSync()
    sync.state(encode_term({"u1": presence("1")}), "1")
    assert sync.diff(diff({"u2": presence("2")}), "7") is None
    assert list(sync.list()) == ["u1"]
    sync.state(EMPTY, "7")
    assert list(sync.list()) == ["u2"]


def test_when_too_much_waits_the_oldest_diffs_are_forgotten_but_never_the_last() -> None:
    size = payload_size(diff({"u1": presence("1")}))
    sync = PresenceSync(max_waiting_bytes=2 * size)
    for _ in range(2):
        # After a state there is room again.
        for ref in "123":
            assert sync.diff(diff({f"u{ref}": presence(ref)}), "7") is None
        sync.state(EMPTY, "5")
        assert list(sync.list()) == ["u2", "u3"]
    sync = PresenceSync(max_waiting_bytes=1)
    sync.diff(diff({"u1": presence("1")}), "1")
    assert len(sync.state(EMPTY, "1")) == 1


@pytest.mark.parametrize(
    "payload",
    [b"", Raw(b"null"), Raw(b"[]"), Raw(b'{"u1":{}}'), Raw(b'{"u1":{"metas":{}}}'), Raw(b'{"u1":{"metas":[{}]}}')],
)
def test_what_are_no_presences_are_refused_and_change_nothing(payload: Any) -> None:
    sync = PresenceSync()
    sync.state(encode_term({"u1": presence("1")}), "1")
    with pytest.raises(RemoteProtocolError, match="no presences: ") as caught:
        sync.state(payload, "2")
    assert caught.value.close_code == 1007
    with pytest.raises(RemoteProtocolError, match="no presences: "):
        sync.diff(payload, "1")
    assert sync.diff(diff(), "1") == []
    assert list(sync.list()) == ["u1"]


REFS = st.lists(st.sampled_from("12345"), unique=True, max_size=3)
PRESENCES = st.dictionaries(st.sampled_from("abc"), REFS.map(lambda refs: presence(*refs)), max_size=3)


@given(PRESENCES, PRESENCES, PRESENCES, PRESENCES)
def test_what_was_handed_out_is_never_changed(first: Any, second: Any, joins: Any, leaves: Any) -> None:
    sync = PresenceSync()
    given_away: list[Any] = []
    for take, payload in [(sync.state, first), (sync.state, second), (sync.diff, {"joins": joins, "leaves": leaves})]:
        given_away += [take(encode_term(payload), "1"), sync.list()]
        copies = copy.deepcopy(given_away)
    sync.state(EMPTY, "1")
    assert given_away == copies


METAS = st.frozensets(st.tuples(st.sampled_from("ab"), st.sampled_from("12345")))


def as_presences(metas: frozenset[tuple[str, str]]) -> dict[str, Any]:
    keys = sorted({key for key, _ in metas})
    return {key: presence(*sorted(ref for other, ref in metas if other == key)) for key in keys}


def metas_of(presences: Any) -> set[tuple[str, str]]:
    return {(key, meta["phx_ref"]) for key, found in presences.items() for meta in found["metas"]}


@given(METAS, st.lists(METAS, min_size=1, max_size=6), st.data())
def test_wherever_the_state_comes_between_the_diffs_the_client_knows_who_is_there_p115(
    known: frozenset[tuple[str, str]], truth: list[frozenset[tuple[str, str]]], data: st.DataObject
) -> None:
    # The server's presences go through `truth`; its state may be as old as the join, and come as late as the end.
    sync = PresenceSync()
    sync.state(encode_term(as_presences(known)), "1")
    taken = data.draw(st.integers(0, len(truth) - 1))
    sent = data.draw(st.integers(taken, len(truth) - 1))
    for at, (before, after) in enumerate(zip([truth[0], *truth], truth, strict=False)):
        sync.diff(diff(as_presences(after - before), as_presences(before - after)), "2")
        if at == sent:
            sync.state(encode_term(as_presences(truth[taken])), "2")
    assert metas_of(sync.list()) == truth[-1]
