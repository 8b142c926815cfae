"""Channels as their users write them, end to end: attributes, options, typed payloads, routes."""

import dataclasses
from typing import Any, ClassVar, TypedDict

import pytest
from msgspec import Struct

from phoenix_channels import Channel, DefinitionError, Endpoint, JoinRefused, Reply, Socket, channel, incoming
from tests.support import frames
from tests.support.apps import make_endpoint, serve
from tests.support.asgi import serving
from tests.support.loops import Journal, settle


class UserSocket(Socket):
    name: str

    def connect(self, params: Any, info: Any) -> None:
        self.name = params.get("name", "nobody")

    def id(self) -> str | None:
        return f"user:{self.name}"


class StatsChannel(Channel[UserSocket]):
    """Says what it knows about itself."""

    def __init__(self, period: int = 1, *, unit: str = "s") -> None:
        # Everything is there already, without a super().__init__().
        self.known = [self.topic, self.subtopic, self.socket.name, self.endpoint.host, period, unit]

    async def join(self, payload: Any) -> list[Any]:
        return self.known

    @incoming
    def count(self, payload: Any) -> Reply:
        self.counted = getattr(self, "counted", 0) + 1
        return Reply.ok(self.counted)


async def test_a_channel_knows_its_topic_socket_endpoint_and_options() -> None:
    """The form that the notification system is written in."""

    class OwnSocket(UserSocket):
        channels = {
            "stats:daily": channel(StatsChannel, 7),
            "stats:*": channel(StatsChannel, period=30, unit="d"),
            "*": StatsChannel,
        }

    endpoint = Endpoint(host="www.example.com")
    endpoint.socket("/socket", OwnSocket)
    async with serving(endpoint) as server:
        client = await server.connect(query="vsn=2.0.0&name=ada")
        host = "www.example.com"
        assert await client.join("stats:daily") == ["stats:daily", "", "ada", host, 7, "s"]
        assert await client.join("stats:21") == ["stats:21", "21", "ada", host, 30, "d"]
        assert await client.join("stats:") == ["stats:", "", "ada", host, 30, "d"]
        assert await client.join("anything: *") == ["anything: *", "anything: *", "ada", host, 1, "s"]
        assert await client.join("") == ["", "", "ada", host, 1, "s"]


class RefChannel(Channel):
    def __init__(self) -> None:
        self.first = self.join_ref

    async def join(self, payload: Any) -> list[Any]:
        return [self.first, self.join_ref]

    @incoming
    def again(self, payload: Any) -> Reply:
        return Reply.ok(self.join_ref)


@pytest.mark.parametrize("ref", ["7", "", 7, 0, None, True, [1, {"a": None}], {"b": 2.5}])
async def test_p070_a_channel_knows_the_ref_of_its_join(ref: Any) -> None:
    """As it came (P-031); for null the ref of the join's message stands in, as in later frames (P-056)."""
    known = "1" if ref is None else ref
    async with serve(RefChannel) as (_, server):
        client = await server.connect()
        assert (await client.call(ref, "1", "room:a", "phx_join"))[4]["response"] == [known, known]
        assert (await client.call(ref, "2", "room:a", "again"))[4]["response"] == known
        assert (await client.call("new", "3", "room:a", "phx_join"))[4]["response"] == ["new", "new"]


async def test_every_join_has_an_instance_of_its_own() -> None:
    async with serve({"*": StatsChannel}) as (endpoint, _):
        endpoint.socket("/user", type("OwnSocket", (UserSocket,), {"channels": {"*": StatsChannel}}))
        async with serving(endpoint, alone=False) as server:
            clients = [await server.joined("a", path="/user/websocket") for _ in range(2)]
            for expected in (1, 2, 3):
                for client in clients:
                    assert await client.call("1", "2", "a", "count") == frames.reply("1", "2", "a", expected)


async def test_the_first_pattern_that_matches_wins() -> None:
    """P-050."""

    def named(given: str) -> type[Channel]:
        class NamedChannel(Channel):
            async def join(self, payload: Any) -> list[str]:
                return [given, self.subtopic]

        return NamedChannel

    routes = {"food*": named("food"), "foo*": named("foo"), "foo:bar": named("never"), "x": named("exact")}
    async with serve(routes) as (_, server):
        client = await server.connect()
        for topic, expected in (
            ("food:1", ["food", ":1"]), ("foo", ["foo", ""]), ("foo:bar", ["foo", ":bar"]), ("x", ["exact", ""]),
        ):  # fmt: skip
            assert await client.join(topic) == expected
        for topic in ("fo", "xx", "", "Food"):
            assert await client.call("1", "2", topic, "phx_join") == frames.unmatched("2", topic)


class Point(Struct):
    x: int


@dataclasses.dataclass
class Pair:
    left: int
    right: str = "default"


class Named(TypedDict):
    name: str


class TypedChannel(Channel):
    """One event for every kind of annotation."""

    @incoming
    async def struct(self, payload: Point) -> Reply:
        return Reply.ok(["Point", payload.x])

    @incoming
    def pair(self, payload: Pair) -> Reply:
        return Reply.ok(["Pair", payload.left, payload.right])

    @incoming
    async def named(self, payload: Named) -> Reply:
        return Reply.ok(["Named", payload["name"]])

    @incoming
    def number(self, payload: int | None) -> Reply:
        return Reply.ok(["number", payload])

    @incoming
    async def data(self, payload: bytes) -> Reply:
        return Reply.ok(payload)

    @incoming
    async def either(self, payload: Point | bytes) -> Reply:
        return Reply.ok(payload if isinstance(payload, bytes) else ["Point", payload.x])

    @incoming
    async def anything(self, payload: Any) -> Reply:
        return Reply.ok(payload)

    @incoming("with a name of its own")
    async def other(self, payload: dict[str, int]) -> Reply:
        return Reply.ok(payload)

    async def handle_in(self, event: str, payload: Any) -> Reply:
        return Reply.ok(["handle_in", event, payload.decode() if isinstance(payload, bytes) else payload])


@pytest.mark.parametrize(
    ("event", "payload", "response"),
    [
        ("struct", {"x": 1}, ["Point", 1]),
        ("pair", {"left": 1}, ["Pair", 1, "default"]),
        ("named", {"name": "ada"}, ["Named", "ada"]),
        ("number", 7, ["number", 7]),
        ("number", None, ["number", None]),
        ("either", {"x": 2}, ["Point", 2]),
        ("anything", [1, {"a": None}], [1, {"a": None}]),
        ("anything", "text", "text"),
        ("with a name of its own", {"n": 1}, {"n": 1}),
        ("other", {"n": 1}, ["handle_in", "other", {"n": 1}]),
        ("phx_reply", {}, ["handle_in", "phx_reply", {}]),
        ("phx_close", {}, ["handle_in", "phx_close", {}]),
        ("phx_error", {}, ["handle_in", "phx_error", {}]),
        ("", {}, ["handle_in", "", {}]),
    ],
)
async def test_a_payload_is_what_its_annotation_says(event: str, payload: object, response: object) -> None:
    async with serve(TypedChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", event, payload])
        assert await client.receive() == frames.reply("1", "2", "room:a", response)


@pytest.mark.parametrize(
    ("event", "payload", "detail"),
    [
        ("struct", {"x": "1"}, "Expected `int`, got `str` - at `$.x`"),
        ("struct", {}, "Object missing required field `x`"),
        ("struct", [], "Expected `object`, got `array`"),
        ("pair", {"left": None}, "Expected `int`, got `null` - at `$.left`"),
        ("number", "7", "Expected `int | null`, got `str`"),
        ("number", 1.5, "Expected `int | null`, got `float`"),
        ("data", "AAEC", "Expected a binary payload"),
        ("either", "AAEC", "Expected `object`, got `str`"),
        ("with a name of its own", {"n": "1"}, "Expected `int`, got `str` - at `$[...]`"),
    ],
)
async def test_a_payload_of_the_wrong_shape_is_answered_and_the_channel_lives(
    event: str, payload: object, detail: str
) -> None:
    """Deviation 4."""
    async with serve(TypedChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", event, payload])
        assert await client.receive() == frames.error(
            "1", "2", "room:a", {"reason": "invalid payload", "detail": detail}
        )
        assert await client.call("1", "3", "room:a", "anything") == frames.reply("1", "3", "room:a")


async def test_binary_payloads_are_bytes_and_nothing_else() -> None:
    """P-042: a binary frame never carries JSON."""
    async with serve(TypedChannel) as (_, server):
        client = await server.joined("room:a")
        for event in ("data", "either", "anything"):
            client.send_nowait(frames.binary_push("1", "2", "room:a", event, b'{"x":1}'))
            assert await client.receive() == b'\x01\x01\x01\x06\x0212room:aok{"x":1}'
        client.send_nowait(frames.binary_push("1", "2", "room:a", "other", b"text"))
        assert await client.receive() == frames.reply("1", "2", "room:a", ["handle_in", "other", "text"])
        client.send_nowait(frames.binary_push("1", "2", "room:a", "struct", b'{"x":1}'))
        detail = "Expected `Point`, got a binary payload"
        assert await client.receive() == frames.error(
            "1", "2", "room:a", {"reason": "invalid payload", "detail": detail}
        )
        # Binary frames without a join_ref, and for reserved events.
        client.send_nowait(frames.binary_push("", "3", "room:a", "data", b""))
        assert await client.receive() == b"\x01\x01\x01\x06\x0213room:aok"
        client.send_nowait(frames.binary_push("", "4", "phoenix", "heartbeat", b""))
        assert await client.receive() == frames.reply(None, "4", "phoenix")
        client.send_nowait(frames.binary_push("1", "5", "room:a", "phx_leave", b"ignored"))
        assert await client.receive_many(2) == [frames.reply("1", "5", "room:a"), frames.closed("1", "room:a")]


@pytest.mark.parametrize("event", [7, None, ["shout"], {"a": 1}, True])
async def test_an_event_that_is_no_string_is_a_crash(event: object) -> None:
    """Nobody handles it, handle_in included: that takes names."""
    async with serve(TypedChannel) as (_, server):
        client = await server.joined("room:a")
        client.send_nowait(["1", "2", "room:a", event, {}])
        assert await client.receive() == frames.crashed("1", "room:a")


@pytest.mark.parametrize("topic", [7, None, ["room:a"], True])
async def test_a_topic_that_is_no_string_matches_nothing(topic: Any) -> None:
    """P-031."""
    async with serve({"*": TypedChannel}) as (_, server):
        client = await server.connect()
        assert await client.call("1", "2", topic, "shout") == frames.unmatched("2", topic)
        assert await client.call("1", "3", topic, "phx_join") == frames.unmatched("3", topic)


async def test_an_event_without_a_handler_is_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    class SilentChannel(Channel):
        pass

    async with serve(SilentChannel) as (_, server):
        client = await server.joined("room:a")
        assert await client.call("1", "2", "room:a", "shout") == frames.crashed("1", "room:a")
    assert "SilentChannel has no handler for the event 'shout'" in caplog.text


async def test_a_whole_life(caplog: pytest.LogCaptureFixture) -> None:
    """The notification channel of the first page of the documentation, and nothing in the log."""
    journal = Journal()

    class NewNotification(Struct):
        body: str

    class NotificationChannel(Channel[UserSocket]):
        async def join(self, payload: Any) -> str:
            if self.subtopic != self.socket.name:
                raise JoinRefused(reason="unauthorized")
            return f"Joined Notification:{self.subtopic}"

        @incoming
        async def new_notification(self, payload: NewNotification) -> None:
            self.broadcast("new_notification", payload)

        async def terminate(self, reason: object) -> None:
            journal.add(reason)

    class OwnSocket(UserSocket):
        channels = {"notifications:*": NotificationChannel}

    endpoint = Endpoint()
    endpoint.socket("/socket", OwnSocket)
    async with serving(endpoint) as server:
        ada, tab = [await server.connect(query="vsn=2.0.0&name=ada") for _ in range(2)]
        refused = await ada.call("1", "1", "notifications:grace", "phx_join")
        assert refused == frames.error("1", "1", "notifications:grace", {"reason": "unauthorized"})
        for client in (ada, tab):
            assert await client.join("notifications:ada") == "Joined Notification:ada"
        ada.send_nowait(["1", "2", "notifications:ada", "new_notification", {"body": "hello"}])
        endpoint.broadcast("notifications:ada", "new_notification", {"body": "hi"})
        for client in (ada, tab):
            bodies = [(await client.receive())[4]["body"] for _ in range(2)]
            assert sorted(bodies) == ["hello", "hi"]
        await endpoint.disconnect("user:ada")
        for client in (ada, tab):
            assert await client.receive_close() == 1001
        await settle()
    assert journal.entries == 2 * [("shutdown", "disconnected")]
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


# Definitions


@pytest.mark.parametrize("name", ["shutdown", "join_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, "5", None, True, float("nan")])
def test_times_are_positive_numbers_of_seconds(name: str, seconds: Any) -> None:
    with pytest.raises(DefinitionError, match=rf"RoomChannel\.{name}"):
        type("RoomChannel", (Channel,), {name: seconds})


def test_the_times_of_a_channel_may_be_whole_or_broken_numbers() -> None:
    class RoomChannel(Channel):
        shutdown: ClassVar[float] = 1
        join_timeout = 0.5

    assert (RoomChannel.shutdown, RoomChannel.join_timeout) == (1, 0.5)


@pytest.mark.parametrize("target", [None, 7, "RoomChannel", object(), int, Channel()])
def test_a_route_leads_to_a_channel_class(target: Any) -> None:
    with pytest.raises(DefinitionError, match="subclass of Channel"):
        channel(target)
    with pytest.raises(DefinitionError, match="subclass of Channel"):
        make_endpoint({"room:*": target})


def test_options_that_the_channel_does_not_take_are_named() -> None:
    wrong: list[dict[str, Any]] = [{"unknown": 1}, {"period": 1, "unknown": 2}]
    for options in wrong:
        with pytest.raises(DefinitionError, match=r"unknown.*its options are StatsChannel\(period"):
            channel(StatsChannel, **options)
    with pytest.raises(DefinitionError, match="too many"):
        channel(StatsChannel, 1, 2)  # type: ignore[call-arg, arg-type]

    class NeedsOption(Channel):
        def __init__(self, period: int) -> None:
            self.period = period

    with pytest.raises(DefinitionError, match="period"):
        make_endpoint(NeedsOption)
