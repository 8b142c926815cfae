"""What a channel may say about slow clients, and by what its frames are compared."""

import functools
import logging
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from phoenix_channels import Channel, DefinitionError
from phoenix_channels.backpressure import Latest, Policy
from phoenix_channels.channel import ChannelSpec
from phoenix_channels.protocol.messages import EncodedBroadcast, Frame, Opcode, Payload

ID_1 = Raw(b'{"id":1}')


def by_id(_: str, payload: Any) -> Any:
    return payload["id"]


def by_payload(_: str, payload: Any) -> Any:
    return payload


def make_frame(event: str = "move", payload: Payload = ID_1) -> Frame:
    frame = Frame(Opcode.TEXT, b"[...]")
    frame.message = EncodedBroadcast("room:a", event, payload)
    return frame


def policy_of(slow_consumer: Any) -> Policy:
    policy = Policy.of(slow_consumer)
    assert policy is not None
    return policy


def test_a_slow_client_is_disconnected_unless_the_channel_says_otherwise() -> None:
    class RoomChannel(Channel):
        pass

    assert RoomChannel.slow_consumer == "disconnect"
    assert ChannelSpec(RoomChannel).policy is None


@pytest.mark.parametrize(
    ("slow_consumer", "makes_room", "keyed"),
    [("drop_newest", False, False), ("drop_oldest", True, False), ("latest", True, True)],
)
def test_a_channel_names_its_policy(slow_consumer: Any, makes_room: bool, keyed: bool) -> None:
    given = slow_consumer

    class RoomChannel(Channel):
        slow_consumer = given

    policy = ChannelSpec(RoomChannel).policy
    assert policy is not None
    assert (policy.name, policy.makes_room, policy.keyed) == (slow_consumer, makes_room, keyed)


def test_a_channel_gives_a_function_by_which_its_frames_are_compared() -> None:
    class RoomChannel(Channel):
        slow_consumer = Latest(key=by_id)

    class SmallRoomChannel(RoomChannel):
        pass

    policy = ChannelSpec(SmallRoomChannel).policy
    assert policy is not None
    assert (policy.name, policy.makes_room, policy.keyed) == ("latest", True, True)
    assert policy.key(make_frame()) == 1


@pytest.mark.parametrize("value", ["drop", None, 1, Latest, ["latest"]], ids=repr)
def test_what_is_no_policy_is_refused_where_the_class_is_defined(value: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        type("RoomChannel", (Channel,), {"slow_consumer": value})
    assert str(caught.value) == (
        'RoomChannel.slow_consumer is "disconnect", "drop_newest", "drop_oldest", "latest" or Latest(key=...), '
        f"not {value!r}"
    )


async def coroutine(event: str, payload: Any) -> str:
    return event


@pytest.mark.parametrize("key", ["id", None, coroutine], ids=["str", "None", "coroutine function"])
def test_a_key_comes_from_a_plain_function(key: Any) -> None:
    with pytest.raises(DefinitionError, match=r"Latest\(key=\.\.\.\) is a plain function of \(event, payload\), not"):
        Latest(key=key)


def test_latest_takes_its_function_by_name() -> None:
    with pytest.raises(DefinitionError, match="Latest takes keywords only: key"):
        Latest(by_id)


# Keys


def test_without_a_function_frames_are_compared_by_their_event() -> None:
    policy = policy_of("latest")
    assert policy.key(make_frame("move")) == policy.key(make_frame("move", Raw(b'{"id":2}')))
    assert policy.key(make_frame("move")) != policy.key(make_frame("shoot"))


def test_the_function_gets_event_and_decoded_payload() -> None:
    policy = policy_of(Latest(key=lambda event, payload: (event, repr(payload))))
    assert policy.key(make_frame("move", Raw(b'{"x":[1,2]}'))) == ("move", "{'x': [1, 2]}")
    assert policy.key(make_frame("move", b"\x00")) == ("move", r"b'\x00'")


def test_a_frame_of_which_nobody_knows_what_it_says_is_like_no_other() -> None:
    for policy in (policy_of("latest"), policy_of(Latest(key=by_id))):
        one, other = Frame(Opcode.TEXT, b"[...]"), Frame(Opcode.TEXT, b"[...]")
        assert policy.key(one) == policy.key(one)
        assert policy.key(one) != policy.key(other)


def test_the_key_of_a_frame_is_computed_once_for_each_function() -> None:
    calls: list[tuple[str, Any]] = []

    def key(event: str, payload: Any, *, name: str) -> str:
        calls.append((name, payload["id"]))
        return name

    latest = Latest(key=functools.partial(key, name="one"))
    # Channel classes that share the function share the key; so do a thousand clients.
    policies = [policy_of(latest), policy_of(latest), policy_of(Latest(key=functools.partial(key, name="other")))]
    frame = make_frame()
    for _ in range(3):
        assert [policy.key(frame) for policy in policies] == ["one", "one", "other"]
    assert calls == [("one", 1), ("other", 1)]


@pytest.mark.parametrize("key", [by_id, by_payload])
def test_where_the_function_fails_the_event_counts(
    key: Callable[[str, Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """By an exception, or by a key that cannot be one."""
    policy = policy_of(Latest(key=key))
    keys = [policy.key(make_frame(event, Raw(b'{"name":1}'))) for event in ("move", "move", "shoot")]
    assert keys[0] == keys[1] != keys[2]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "failed for 'move' on 'room:a'; where it fails the key is the event" in record.getMessage()


def test_the_event_of_a_failure_is_no_key_of_the_application() -> None:
    policy = policy_of(Latest(key=by_id))
    assert policy.key(make_frame("move", Raw(b"{}"))) != policy.key(make_frame("move", Raw(b'{"id":"move"}')))
