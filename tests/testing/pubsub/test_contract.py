"""The contract of pub/sub adapters: kept by those of this library, and failed by one that breaks a rule."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from phoenix_channels.pubsub.base import PubSub
from phoenix_channels.pubsub.local import LocalPubSub
from phoenix_channels.testing.pubsub import ClusterContract, PubSubContract
from phoenix_channels.testing.pubsub.contract import PAYLOADS, TOPICS
from phoenix_channels.testing.pubsub.node import Node
from tests.support.backplane import Broker
from tests.testing.pubsub.broken import (
    Contagious,
    Echo,
    EndingAll,
    FirstWaits,
    Folding,
    Forgetful,
    Globbing,
    Hasty,
    Lingering,
    Lossy,
    NeverEnding,
    Once,
    OncePerInterest,
    OneThread,
    Refusing,
    Replaying,
    SharedInterests,
    SharedUncounted,
    Swapped,
    ToEverybody,
    ToOne,
    Twice,
    Unclosable,
    Uncounted,
    Underflow,
    ascii_topics,
    cluster,
    json_only,
    short_topics,
    small_only,
    text_only,
    written_anew,
)


class TestLocalPubSub(PubSubContract):
    @pytest.fixture
    async def pubsubs(self) -> list[PubSub]:
        return [LocalPubSub()]


class TestBackplaneOfTheTests(ClusterContract):
    @pytest.fixture
    async def pubsubs(self) -> AsyncGenerator[list[PubSub]]:
        broker = Broker()
        yield [broker.node() for _ in range(3)]
        assert broker.nodes == []


CONTRACT = ClusterContract()
RULES = {name: rule for name, rule in inspect.getmembers(CONTRACT, inspect.ismethod) if name.startswith("test_")}
MUTANTS: list[tuple[Any, Any, dict[str, Any]]] = [
    (Echo, CONTRACT.test_what_a_node_publishes_does_not_come_back_to_it, {}),
    (Underflow, CONTRACT.test_interests_may_be_added_and_ended_again_and_again, {}),
    (Refusing, CONTRACT.test_threads_may_publish, {}),
    (Unclosable, CONTRACT.test_an_adapter_that_was_not_used_can_be_closed, {}),
    (Twice, CONTRACT.test_every_other_node_with_an_interest_gets_it_once, {}),
    (ToOne, CONTRACT.test_every_other_node_with_an_interest_gets_it_once, {}),
    (ToEverybody, CONTRACT.test_a_node_without_an_interest_gets_nothing, {}),
    (SharedInterests, CONTRACT.test_a_node_without_an_interest_gets_nothing, {}),
    (Echo, CONTRACT.test_the_publisher_does_not_get_it_though_it_has_an_interest, {}),
    (Globbing, CONTRACT.test_a_topic_is_no_pattern, {}),
    (Folding, CONTRACT.test_a_topic_is_no_pattern, {}),
    (Hasty, CONTRACT.test_what_is_published_behind_a_subscribe_is_delivered, {}),
    (Replaying, CONTRACT.test_what_was_published_before_a_subscribe_is_not_delivered, {}),
    (OncePerInterest, CONTRACT.test_interests_are_counted_and_deliveries_are_not, {}),
    (Uncounted, CONTRACT.test_interests_are_counted_and_deliveries_are_not, {}),
    (NeverEnding, CONTRACT.test_behind_the_last_interest_deliveries_end, {}),
    (EndingAll, CONTRACT.test_behind_the_last_interest_deliveries_end, {}),
    (Once, CONTRACT.test_an_interest_may_begin_anew, {}),
    (Once, CONTRACT.test_an_interest_that_ends_does_not_take_a_new_one_along, {}),
    (FirstWaits, CONTRACT.test_every_subscribe_waits_also_beside_others, {}),
    (SharedUncounted, CONTRACT.test_nodes_have_interests_of_their_own, {}),
    (Swapped, CONTRACT.test_what_a_node_publishes_keeps_its_order, {}),
    (Lossy, CONTRACT.test_what_a_node_publishes_keeps_its_order, {}),
    (Swapped, CONTRACT.test_what_two_nodes_publish_keeps_the_order_of_each, {}),
    (Lossy, CONTRACT.test_what_two_nodes_publish_keeps_the_order_of_each, {}),
    (OneThread, CONTRACT.test_threads_publish_side_by_side_each_in_its_order, {}),
    (Swapped, CONTRACT.test_threads_publish_side_by_side_each_in_its_order, {}),
    (Twice, CONTRACT.test_threads_publish_side_by_side_each_in_its_order, {}),
    (Forgetful, CONTRACT.test_what_the_broker_has_accepted_is_delivered, {}),
    (short_topics, CONTRACT.test_every_topic_is_carried, {"topic": TOPICS["long"]}),
    (ascii_topics, CONTRACT.test_every_topic_is_carried, {"topic": TOPICS["unicode"]}),
    (text_only, CONTRACT.test_every_payload_arrives_as_it_is, {"payload": PAYLOADS["bytes"]}),
    (json_only, CONTRACT.test_every_payload_arrives_as_it_is, {"payload": PAYLOADS["bytes that look like JSON"]}),
    (small_only, CONTRACT.test_every_payload_arrives_as_it_is, {"payload": PAYLOADS["large"]}),
    (written_anew, CONTRACT.test_every_payload_arrives_as_it_is, {"payload": PAYLOADS["as it was written"]}),
    (Lingering, CONTRACT.test_behind_its_end_a_node_gets_nothing_and_the_others_go_on, {}),
    (Contagious, CONTRACT.test_behind_its_end_a_node_gets_nothing_and_the_others_go_on, {}),
]


@pytest.mark.parametrize(
    ("mutant", "rule", "arguments"),
    MUTANTS,
    ids=[f"{mutant.__name__}-{rule.__name__.removeprefix('test_')}" for mutant, rule, _ in MUTANTS],
)
async def test_an_adapter_that_breaks_a_rule_fails(mutant: Any, rule: Any, arguments: dict[str, Any]) -> None:
    nodes = [Node(pubsub, CONTRACT.patience) for pubsub in cluster(mutant)]
    with pytest.raises((AssertionError, RuntimeError)):
        await rule(nodes, **arguments)


def test_every_rule_has_an_adapter_that_breaks_it() -> None:
    assert {rule.__name__ for _, rule, _ in MUTANTS} == {*RULES}


async def test_a_failure_says_what_was_delivered_and_what_was_expected() -> None:
    one, two, _ = (Node(pubsub, CONTRACT.patience) for pubsub in cluster(text_only))
    await two.pubsub.subscribe("room:1")
    published = one.publish("room:1", "news", b"\xff")
    with pytest.raises(AssertionError, match=r"'news' on 'room:1' \(b'\\xef\\xbf\\xbd'\) was delivered where"):
        await two.receive_exactly(published)
    with pytest.raises(AssertionError, match=r"'news' on 'room:1' .* was not delivered within 5 s"):
        await two.receive_exactly(published)


async def test_the_contract_asks_for_nodes() -> None:
    with pytest.raises(NotImplementedError, match="ClusterContract has to override the fixture pubsubs"):
        await inspect.unwrap(ClusterContract.pubsubs)(CONTRACT)


async def test_the_contract_asks_for_as_many_as_it_needs() -> None:
    nodes = inspect.unwrap(ClusterContract.nodes)(CONTRACT, [LocalPubSub()])
    with pytest.raises(AssertionError, match=r"ClusterContract\.pubsubs gives 3 adapters, not 1"):
        await anext(nodes)
