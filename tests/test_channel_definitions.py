"""Channel classes and routes: what is legal, and what the others are told."""

from collections.abc import Callable
from typing import Any

import pytest

from phoenix_channels.channel import Channel, ChannelRoute, ChannelSpec, ReplyRef, channel
from phoenix_channels.definitions import DefinitionError
from phoenix_channels.endpoint import Endpoint
from phoenix_channels.handlers import incoming, intercept
from phoenix_channels.results import Reply
from phoenix_channels.socket import Socket


class RoomChannel(Channel):
    pass


class StatsChannel(Channel):
    def __init__(self, name: str = "stats", *, period: float) -> None:
        self.name, self.period = name, period


class UserSocket(Socket):
    channels = {"room:lobby": RoomChannel, "room:*": RoomChannel, "stats:*": channel(StatsChannel, period=7)}


def definition_error(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as caught:
        define()
    return str(caught.value)


def make_channel(**namespace: Any) -> type[Channel[Any]]:
    return type("BadChannel", (Channel,), namespace)


# Channel classes


@pytest.mark.parametrize("name", ["shutdown", "join_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, None, "5", True], ids=repr)
def test_times_are_positive_numbers_of_seconds(name: str, seconds: object) -> None:
    text = definition_error(lambda: make_channel(**{name: seconds}))
    assert text == f"BadChannel.{name} is a positive number of seconds, not {seconds!r}"


def test_what_a_channel_does_by_default(caplog: pytest.LogCaptureFixture) -> None:
    room = RoomChannel()
    assert (room.join({}), room.after_join(), room.terminate("normal")) == (None, None, None)
    assert room.handle_info("hello") is None
    assert [record.getMessage() for record in caplog.records] == [
        "RoomChannel has no handle_info, but got the message 'hello'"
    ]
    with pytest.raises(LookupError, match="RoomChannel has no handler for the event 'shout'"):
        room.handle_in("shout", {})


def test_p062_a_reply_ref_takes_replies_only() -> None:
    replies: list[Reply] = []
    ref = ReplyRef(replies.append)
    ref.reply(Reply.ok())
    ref.reply(Reply.ok())
    with pytest.raises(
        TypeError, match=r"takes Reply\.ok\(\.\.\.\), Reply\.error\(\.\.\.\) or Reply\(status, \.\.\.\)"
    ):
        ref.reply({"status": "ok"})  # type: ignore[arg-type]
    assert replies == [Reply.ok(), Reply.ok()]


# Routes


def test_a_route_carries_the_options_of_its_channel() -> None:
    route = channel(StatsChannel, "daily", period=7)
    assert (route.channel_class, route.args, route.options) == (StatsChannel, ("daily",), {"period": 7})
    first, second = route.make(Context()), route.make(Context())
    assert first is not second
    assert isinstance(first, StatsChannel)
    assert (first.name, first.period) == ("daily", 7)


class Context:
    """Stands for the runtime, and notes what is asked of it."""

    topic = "stats:daily"
    subtopic = "daily"
    subscription: Any = None

    def __init__(self) -> None:
        self.socket = UserSocket()
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **options: self.calls.append((name, *args, *options.values()))

    async def subscribe(self, topic: str) -> None:
        self.calls.append(("subscribe", topic))

    async def unsubscribe(self, topic: str) -> None:
        self.calls.append(("unsubscribe", topic))


def test_topic_and_socket_are_there_before_init() -> None:
    class EarlyChannel(Channel[UserSocket]):
        def __init__(self) -> None:
            self.seen = (self.topic, self.subtopic, self.socket, self.endpoint)

    context = Context()
    context.socket.endpoint = Endpoint()
    made = channel(EarlyChannel).make(context)
    assert isinstance(made, EarlyChannel)
    assert made.seen == ("stats:daily", "daily", context.socket, context.socket.endpoint)


async def test_what_a_channel_can_do_is_done_by_the_runtime() -> None:
    context = Context()
    room = channel(RoomChannel).make(context)
    room.push("a", {})
    room.broadcast("b", {})
    room.broadcast_from("c", {})
    room.send("d")
    room.send_after(5, "e")
    room.start_soon(room.subscribe, "f")
    room.reply_later()
    await room.subscribe("g")
    await room.unsubscribe("h")
    assert context.calls == [
        *[("push", "a", {}), ("broadcast", "b", {}, True), ("broadcast", "c", {}, False), ("send", "d")],
        *[("send_after", 5, "e"), ("start_soon", room.subscribe, "f"), ("reply_later",)],
        *[("subscribe", "g"), ("unsubscribe", "h")],
    ]


@pytest.mark.parametrize(
    ("arguments", "options", "complaint"),
    [
        ((), {"perod": 7}, "missing a required argument: 'period'"),
        ((), {"period": 7, "perod": 7}, "got an unexpected keyword argument 'perod'"),
        ((), {}, "missing a required argument: 'period'"),
        (("a", "b"), {"period": 7}, "too many positional arguments"),
        (("a",), {"name": "b", "period": 7}, "multiple values for argument 'name'"),
    ],
)
def test_options_that_a_channel_does_not_take(
    arguments: tuple[Any, ...], options: dict[str, Any], complaint: str
) -> None:
    text = definition_error(lambda: channel(StatsChannel, *arguments, **options))
    assert text.startswith(f"channel(StatsChannel, ...): {complaint}; its options are StatsChannel(name: ")
    assert "period: " in text


def test_a_channel_that_takes_no_options() -> None:
    text = definition_error(lambda: channel(RoomChannel, period=7))  # type: ignore[call-arg]
    assert text == (
        "channel(RoomChannel, ...): got an unexpected keyword argument 'period'; its options are RoomChannel()"
    )


@pytest.mark.parametrize("target", [None, "room", Socket, RoomChannel(), object, print], ids=repr)
def test_a_route_leads_to_a_channel_class(target: Any) -> None:
    for define in (lambda: channel(target), lambda: ChannelSpec(target), lambda: ChannelRoute(target, (), {})):
        text = definition_error(define)
        assert text == f"a route leads to a subclass of Channel, not to {target!r}"


def test_a_spec_is_a_route_made_ready() -> None:
    class FullChannel(RoomChannel):
        def after_join(self) -> None: ...

        @incoming
        def shout(self, payload: Any) -> None: ...

        @intercept("secret")
        def hide(self, payload: Any) -> None: ...

    spec = ChannelSpec(FullChannel)
    assert (spec.route.channel_class, spec.route.args, spec.route.options) == (FullChannel, (), {})
    assert set(spec.table.incoming) == {"shout"}
    assert (set(spec.table.intercepts), spec.after_join) == ({"secret"}, True)
    plain = ChannelSpec(channel(StatsChannel, period=7))
    assert plain.route.options == {"period": 7}
    assert (set(plain.table.intercepts), plain.after_join) == (set(), False)


def test_a_spec_needs_the_options_that_have_no_default() -> None:
    text = definition_error(lambda: ChannelSpec(StatsChannel))
    assert text.startswith("channel(StatsChannel, ...): missing a required argument: 'period'")
