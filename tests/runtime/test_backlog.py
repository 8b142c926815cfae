"""What waits for a client that is behind, and what of it is dropped (architecture: backpressure)."""

from collections import Counter
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from phoenix_channels.backpressure import Latest, Policy, SlowConsumer
from phoenix_channels.protocol.messages import EncodedBroadcast, Frame, Opcode
from phoenix_channels.pubsub.subscription import Subscription
from phoenix_channels.runtime.backlog import Backlog

LIMIT = 100


def ignore(_: object) -> None:
    pass


def make_channel(slow_consumer: SlowConsumer, topic: str = "room:a") -> Subscription:
    return Subscription(topic, ignore, policy=Policy.of(slow_consumer))


def make_frame(name: str, size: int = 10, *, event: str = "event", payload: bytes = b"{}") -> Frame:
    frame = Frame(Opcode.TEXT, name.encode().ljust(size, b"."))
    frame.message = EncodedBroadcast("room:a", event, Raw(payload))
    return frame


def name_of(frame: Frame) -> str:
    return frame.data.decode().rstrip(".")


class Client:
    """A client that is behind, and what was dropped of each channel."""

    def __init__(self, *, limit: int = LIMIT) -> None:
        self.limit = limit
        self.dropped: Counter[Subscription] = Counter()
        self.backlog: Backlog[Frame] = Backlog(self._dropped)

    def _dropped(self, source: Subscription, count: int) -> None:
        assert count > 0
        self.dropped[source] += count

    def put(self, source: Subscription | None, *frames: Frame | str) -> bool:
        return all(
            self.backlog.put(make_frame(frame) if isinstance(frame, str) else frame, source, limit=self.limit)
            for frame in frames
        )

    def take_all(self) -> str:
        names = [name_of(self.backlog.take()) for _ in range(len(self.backlog))]
        assert self.backlog.bytes == 0
        return "".join(names)


ALL: list[SlowConsumer] = ["disconnect", "drop_newest", "drop_oldest"]


@pytest.mark.parametrize("slow_consumer", ALL)
def test_what_has_room_leaves_in_the_order_in_which_it_came(slow_consumer: SlowConsumer) -> None:
    client, channel = Client(), make_channel(slow_consumer)
    assert client.put(None, "a")
    assert client.put(channel, "b", "c")
    assert client.put(None, "d")
    assert (len(client.backlog), client.backlog.bytes) == (4, 40)
    assert client.take_all() == "abcd"
    assert not client.dropped


@pytest.mark.parametrize("slow_consumer", ALL)
def test_the_limit_is_the_last_byte_that_has_room(slow_consumer: SlowConsumer) -> None:
    client, channel = Client(), make_channel(slow_consumer)
    assert client.put(channel, *"abcdefghij")
    assert client.backlog.bytes == client.limit
    assert not client.dropped
    client.put(channel, make_frame("k", 1))
    assert client.backlog.bytes <= client.limit


@pytest.mark.parametrize("slow_consumer", [*ALL, "latest"])
def test_a_frame_larger_than_the_limit_passes_through_an_empty_backlog(slow_consumer: SlowConsumer) -> None:
    client, channel = Client(), make_channel(slow_consumer)
    assert client.put(channel, make_frame("large", 1000))
    assert client.backlog.bytes == 1000
    assert client.take_all() == "large"
    assert client.put(None, make_frame("large", 1000))
    assert client.take_all() == "large"
    assert not client.dropped


def test_what_must_not_be_dropped_and_has_no_room_is_refused_and_changes_nothing() -> None:
    client, droppable = Client(), make_channel("drop_oldest")
    surely = make_channel("disconnect")
    assert client.put(None, *"abcde")
    assert client.put(surely, *"fgh")
    assert client.put(droppable, "i", "j")
    for source in (None, surely):
        assert not client.put(source, make_frame("k", 21))
    assert client.take_all() == "abcdefghij"
    assert not client.dropped


def test_for_what_must_not_be_dropped_the_oldest_of_all_channels_make_room() -> None:
    client, one, other = Client(), make_channel("drop_newest"), make_channel("drop_oldest", "room:b")
    client.put(None, "a")
    client.put(one, "b")
    client.put(other, "c")
    client.put(one, "d")
    client.put(make_channel("latest"), "e")
    client.put(None, *"fghij")
    assert client.put(None, make_frame("k", 21))
    assert client.dropped == {one: 2, other: 1}
    assert client.take_all() == "aefghijk"


def test_a_large_reply_may_displace_everything() -> None:
    client, channel = Client(), make_channel("drop_newest")
    client.put(channel, *"abc")
    assert client.put(None, make_frame("large", 1000))
    assert client.dropped == {channel: 3}
    assert client.take_all() == "large"


def test_drop_newest_drops_what_does_not_fit() -> None:
    client, channel = Client(), make_channel("drop_newest")
    client.put(None, *"abcdefgh")
    assert client.put(channel, "i", make_frame("j", 11), "k", "l")
    assert client.dropped == {channel: 2}
    assert client.take_all() == "abcdefghik"


def test_drop_oldest_drops_the_oldest_of_its_channel() -> None:
    client, channel, other = Client(), make_channel("drop_oldest"), make_channel("drop_oldest", "room:b")
    client.put(other, "a")
    client.put(channel, "b")
    client.put(None, "c")
    client.put(channel, *"defghij")
    assert client.put(channel, make_frame("k", 15))
    assert client.dropped == {channel: 2}
    assert client.take_all() == "acefghijk"


def test_drop_oldest_drops_a_frame_for_which_its_channel_cannot_make_room() -> None:
    client, channel = Client(), make_channel("drop_oldest")
    client.put(None, *"abcdefgh")
    client.put(channel, "i", "j")
    assert client.put(channel, make_frame("k", 21))
    assert client.dropped == {channel: 1}
    assert client.take_all() == "abcdefghij"


def test_latest_keeps_the_newest_of_each_event_at_the_place_of_its_coming() -> None:
    client, channel, other = Client(), make_channel("latest"), make_channel("latest", "room:b")
    client.put(channel, make_frame("a", event="move"), make_frame("b", event="shoot"))
    client.put(other, make_frame("c", event="move"))
    client.put(None, "d")
    client.put(channel, make_frame("e", event="move"))
    client.put(channel, make_frame("f", event="move"))
    assert client.dropped == {channel: 2}
    assert client.take_all() == "bcdf"
    # What has left is compared with nothing any more.
    client.put(channel, make_frame("g", event="move"))
    assert client.take_all() == "g"
    assert client.dropped == {channel: 2}


def test_latest_keeps_the_newest_of_each_key_of_the_application() -> None:
    def by_id(event: str, payload: Any) -> Any:
        return event, payload["id"]

    client, channel = Client(), make_channel(Latest(key=by_id))
    for name, number in zip("abcabd", (1, 2, 3, 1, 2, 4), strict=True):
        client.put(channel, make_frame(name.upper(), payload=b'{"id":%d}' % number))
    assert client.dropped == {channel: 2}
    assert client.take_all() == "CABD"


def test_latest_without_room_drops_the_oldest_of_its_channel() -> None:
    client, channel = Client(), make_channel("latest")
    client.put(None, *"abcdefg")
    client.put(channel, *(make_frame(name, event=name) for name in "hij"))
    client.put(channel, make_frame("k", event="k"))
    assert client.dropped == {channel: 1}
    # The old one has left its place already.
    client.put(channel, make_frame("J", 20, event="j"))
    assert client.dropped == {channel: 3}
    assert client.take_all() == "abcdefgkJ"


def test_latest_that_has_no_room_at_all_leaves_the_older_one() -> None:
    client, channel = Client(), make_channel("latest")
    client.put(None, *"abcdefghi")
    client.put(channel, "j")
    client.put(channel, make_frame("k", 11))
    assert client.dropped == {channel: 1}
    assert client.take_all() == "abcdefghij"


def test_the_limit_may_change() -> None:
    """Before the loop has turned nobody is slow, and afterwards what had room then still has."""
    client, channel = Client(limit=1000), make_channel("drop_oldest")
    client.put(channel, *"abcdefghijkl")
    client.limit = LIMIT
    assert client.put(channel, "m")
    assert client.dropped == {channel: 3}
    assert client.backlog.bytes == LIMIT


def test_all_of_it_can_be_forgotten() -> None:
    client = Client()
    client.put(None, "a")
    client.put(make_channel("latest"), "b")
    assert client.backlog.clear() == 2
    assert (len(client.backlog), client.backlog.bytes) == (0, 0)
    assert not client.dropped
    client.put(make_channel("drop_oldest"), "c")
    assert client.take_all() == "c"


def test_who_is_told_of_dropped_frames_may_write_again() -> None:
    """Listeners of telemetry are told, and may broadcast."""
    told: list[tuple[Subscription, int]] = []

    def dropped(source: Subscription, count: int) -> None:
        told.append((source, count))
        if len(told) < 3:
            backlog.put(make_frame(f"again {len(told)}"), source, limit=20)

    backlog: Backlog[Frame] = Backlog(dropped)
    channel = make_channel("drop_oldest")
    for name in "abc":
        backlog.put(make_frame(name), channel, limit=20)
    assert told == 3 * [(channel, 1)]
    assert [name_of(backlog.take()) for _ in range(len(backlog))] == ["again 1", "again 2"]


def test_a_key_function_may_write_too() -> None:
    def by_nothing(event: str, payload: Any) -> None:
        if event == "outer":
            client.put(channel, make_frame("inner", event="inner"))

    client, channel = Client(), make_channel(Latest(key=by_nothing))
    client.put(channel, make_frame("outer", event="outer"))
    assert client.take_all() == "outer"
    assert client.dropped == {channel: 1}


# Against a model


class Waiting(NamedTuple):
    """One frame of the model."""

    frame: Frame
    channel: int | None
    event: str


CHANNELS: list[SlowConsumer] = ["disconnect", "drop_newest", "drop_oldest", "latest", "latest"]


class Model:
    """The same in lists that are searched from the front."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.dropped = 0

    def put(self, new: Waiting) -> bool:
        policy = "disconnect" if new.channel is None else CHANNELS[new.channel]
        if policy == "disconnect":
            victims = [old for old in self.waiting if old.channel is not None and CHANNELS[old.channel] != "disconnect"]
        elif policy == "drop_newest":
            victims = []
        else:
            victims = [old for old in self.waiting if old.channel == new.channel]
        if not self.fits(new, [old for old in self.waiting if old not in victims]):
            self.dropped += policy != "disconnect"
            return policy != "disconnect"
        if policy == "latest":
            self.drop([old for old in victims if old.event == new.event])
            victims = [old for old in victims if old.event != new.event]
        while not self.fits(new, self.waiting):
            self.drop([victims.pop(0)])
        self.waiting.append(new)
        return True

    @staticmethod
    def fits(new: Waiting, waiting: list[Waiting]) -> bool:
        return not waiting or sum(len(old.frame) for old in waiting) + len(new.frame) <= LIMIT

    def drop(self, victims: list[Waiting]) -> None:
        self.dropped += len(victims)
        self.waiting = [old for old in self.waiting if old not in victims]


puts = st.tuples(
    st.none() | st.integers(0, len(CHANNELS) - 1), st.sampled_from("xyz"), st.integers(1, 40) | st.just(LIMIT + 1)
)


@given(st.lists(puts | st.none(), max_size=60))
def test_it_does_what_the_model_does(steps: list[tuple[int | None, str, int] | None]) -> None:
    client, model = Client(), Model()
    channels = [make_channel(slow_consumer, f"room:{n}") for n, slow_consumer in enumerate(CHANNELS)]
    for number, step in enumerate(steps):
        if step is not None:
            channel, event, size = step
            frame = make_frame(str(number), size, event=event)
            fits = client.put(None if channel is None else channels[channel], frame)
            assert fits == model.put(Waiting(frame, channel, event))
        elif model.waiting:
            assert client.backlog.take() is model.waiting.pop(0).frame
        assert client.dropped.total() == model.dropped
        assert client.backlog.bytes == sum(len(old.frame) for old in model.waiting)
    assert [client.backlog.take() for _ in range(len(client.backlog))] == [old.frame for old in model.waiting]
