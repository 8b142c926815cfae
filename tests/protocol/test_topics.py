"""P-050: an ordered list of patterns; the first match in declaration order wins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoenix_channels.protocol.topics import Route, Routes, TopicPattern

TOPICS = st.text(st.sampled_from("ab:"), max_size=6)


@pytest.mark.parametrize(
    ("pattern", "topic", "subtopic"),
    [
        ("room:lobby", "room:lobby", ""),
        ("room:lobby", "room:lobby2", None),
        ("room:lobby", "room:lobb", None),
        ("room:*", "room:lobby", "lobby"),
        ("room:*", "room:", ""),
        ("room:*", "room:a:b", "a:b"),
        ("room:*", "room:*", "*"),
        ("room:*", "room", None),
        ("room:*", "Room:lobby", None),
        ("room:*", "xroom:lobby", None),
        ("*", "anything", "anything"),
        ("*", "", ""),
        ("größe*", "größer", "r"),
    ],
)
def test_p050_what_a_pattern_matches(pattern: str, topic: str, subtopic: str | None) -> None:
    assert TopicPattern.parse(pattern).match(topic) == subtopic


@pytest.mark.parametrize("pattern", ["", "**", "*:room", "room:*:x", "room:**", "a*b*"])
def test_p050_a_star_anywhere_else_is_a_definition_error(pattern: str) -> None:
    with pytest.raises(ValueError, match="invalid topic pattern") as caught:
        TopicPattern.parse(pattern)
    assert repr(pattern) in str(caught.value)
    assert "'room:lobby'" in str(caught.value)
    assert "'room:*'" in str(caught.value)


def test_a_pattern_is_a_string() -> None:
    with pytest.raises(TypeError, match=r"a topic pattern is a string .*, not 5"):
        TopicPattern.parse(5)  # type: ignore[arg-type]


@pytest.mark.feature("B077")
def test_p050_declaration_order_decides() -> None:
    routes = Routes([("room:lobby", 1), ("room:*", 2), ("room:late", 3), ("*", 4)])
    assert routes.match("room:lobby") == Route(1, "")
    assert routes.match("room:other") == Route(2, "other")
    assert routes.match("room:late") == Route(2, "late")
    assert routes.match("elsewhere") == Route(4, "elsewhere")


@pytest.mark.feature("B077")
def test_no_route_no_match() -> None:
    assert Routes[int]([]).match("room:lobby") is None
    assert Routes([("room:*", 1)]).match("stats:1") is None


def test_routes_fail_when_they_are_made() -> None:
    with pytest.raises(ValueError, match="invalid topic pattern"):
        Routes([("room:*", 1), ("a*b", 2)])


@given(TOPICS, TOPICS)
def test_a_prefix_matches_what_begins_with_it(prefix: str, topic: str) -> None:
    subtopic = TopicPattern.parse(prefix + "*").match(topic)
    assert (subtopic is not None) == topic.startswith(prefix)
    assert subtopic is None or prefix + subtopic == topic


@given(st.lists(st.tuples(TOPICS.filter(bool), st.booleans()), max_size=5), TOPICS)
def test_the_first_match_wins(table: list[tuple[str, bool]], topic: str) -> None:
    routes = Routes((prefix + "*" * star, number) for number, (prefix, star) in enumerate(table))
    matches = [n for n, (prefix, star) in enumerate(table) if topic == prefix or (star and topic.startswith(prefix))]
    route = routes.match(topic)
    assert (None if route is None else route.target) == (matches[0] if matches else None)
