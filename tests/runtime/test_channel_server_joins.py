"""What a join can come to, and what happens around it (P-051 to P-056)."""

from typing import Any

import anyio
import pytest
from msgspec import Struct

from phoenix_channels import Channel, JoinRefused, Reply, incoming
from tests.support import frames
from tests.support.apps import serve
from tests.support.loops import Journal, settle


class Point(Struct):
    x: int
    y: int = 0


@pytest.mark.parametrize(
    ("result", "response"),
    [
        (None, {}),
        ({}, {}),
        ({"a": [1, None]}, {"a": [1, None]}),
        ("Joined Notification:21", "Joined Notification:21"),
        ([1, 2], [1, 2]),
        (0, 0),
        (Point(1), {"x": 1, "y": 0}),
    ],
)
async def test_the_value_of_join_is_its_reply(result: object, response: object) -> None:
    class RoomChannel(Channel):
        async def join(self, payload: Any) -> object:
            return result

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.connect()
        assert await client.call("3", "4", "room:a", "phx_join") == ["3", "4", "room:a", "phx_reply", {
            "status": "ok", "response": response,
        }]  # fmt: skip
        assert endpoint.statistics().channels == 1
        assert endpoint.statistics().topics == 1


async def test_a_plain_join_is_as_good() -> None:
    class RoomChannel(Channel):
        def join(self, payload: Any) -> object:
            return {"got": payload}

    async with serve(RoomChannel) as (_, server):
        assert await (await server.connect()).join("room:a", {"n": 1}) == {"got": {"n": 1}}


async def test_without_a_join_of_its_own_everybody_may_join() -> None:
    class RoomChannel(Channel):
        pass

    async with serve(RoomChannel) as (_, server):
        assert await (await server.connect()).join("room:a", ["whatever"]) == {}


async def test_bytes_in_and_out_of_join_are_binary_frames() -> None:
    class RoomChannel(Channel):
        async def join(self, payload: bytes) -> bytes:
            return payload[::-1]

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        client.send_nowait(frames.binary_push("16", "16", "room:bin", "phx_join", b"\x03\x02\x01"))
        # P-052: kind 1, the lengths of join_ref, ref, topic and status, then those, then the data.
        assert await client.receive() == b"\x01\x02\x02\x08\x0216" + b"16" + b"room:bin" + b"ok" + b"\x01\x02\x03"


@pytest.mark.parametrize(
    ("refusal", "response"),
    [
        (JoinRefused(reason="unauthorized"), {"reason": "unauthorized"}),
        (JoinRefused(["any", "term"]), ["any", "term"]),
        (JoinRefused(None), None),
        (JoinRefused(), {}),
    ],
)
async def test_a_refused_join_leaves_nothing_behind(refusal: JoinRefused, response: object) -> None:
    journal = Journal()

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            await self.subscribe("another topic")
            self.send_after(60.0, "never")
            raise refusal

        async def terminate(self, reason: object) -> None:
            journal.add(("terminate", reason))

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.connect()
        assert await client.call("13", "14", "room:a", "phx_join") == ["13", "14", "room:a", "phx_reply", {
            "status": "error", "response": response,
        }]  # fmt: skip
        await settle()
        assert (endpoint.statistics().channels, endpoint.statistics().topics) == (0, 0)
        # No channel, no subscription, no close: the next message finds an unmatched topic.
        endpoint.broadcast("room:a", "lost", {})
        assert await client.call("13", "15", "room:a", "x") == frames.unmatched("15", "room:a")
        await client.receive_nothing()
    assert journal.entries == []


async def test_a_refusal_may_be_binary() -> None:
    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            raise JoinRefused(b"\x01")

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        assert await client.call("1", "2", "room:a", "phx_join") == b"\x01\x01\x01\x06\x0512room:aerror\x01"


async def test_a_join_payload_of_the_wrong_shape_is_refused_with_the_reason() -> None:
    journal = Journal()

    class RoomChannel(Channel):
        async def join(self, payload: Point) -> Point:
            journal.add(payload)
            return payload

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        detail = "Expected `int`, got `str` - at `$.x`"
        assert await client.call("1", "1", "room:a", "phx_join", {"x": "1"}) == frames.error(
            "1", "1", "room:a", {"reason": "invalid payload", "detail": detail}
        )
        assert journal.entries == []
        assert await client.join("room:a", {"x": 1, "unknown": True}, ref="2") == {"x": 1, "y": 0}
        assert journal.entries == [Point(1)]


async def test_after_join_comes_after_the_reply_and_before_everything_else() -> None:
    """P-053, P-055: the reply is first; pushes and broadcasts are possible from after_join on."""
    joining = anyio.Event()

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> str:
            self.send("sent by join")
            await joining.wait()
            return "joined"

        async def after_join(self) -> None:
            self.push("first", {})
            self.broadcast("second", {})

        async def handle_info(self, message: object) -> None:
            self.push("third", {"message": message})

        @incoming
        async def hello(self, payload: Any) -> Reply:
            return Reply.ok("fourth")

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        client.send_nowait(["1", "1", "room:a", "phx_join", {}])
        client.send_nowait(["1", "2", "room:a", "hello", {}])
        await settle()
        joining.set()
        received = await client.receive_many(5)
        assert received[:3] == [
            frames.reply("1", "1", "room:a", "joined"),
            frames.push("1", "room:a", "first"),
            frames.broadcast("room:a", "second"),
        ]
        # Between a message of its own and one of its client there is only the order of arrival.
        assert frames.push("1", "room:a", "third", {"message": "sent by join"}) in received[3:]
        assert frames.reply("1", "2", "room:a", "fourth") in received[3:]


async def test_the_default_callbacks_may_be_called() -> None:
    """Cooperative inheritance ends somewhere: the base class has something to call for each."""
    journal = Journal()

    class RoomChannel(Channel):
        def join(self, payload: Any) -> object:
            return super().join(payload)

        def after_join(self) -> Any:
            return super().after_join()

        def terminate(self, reason: object) -> Any:
            journal.add(reason)
            return super().terminate(reason)

    async with serve(RoomChannel) as (_, server):
        client = await server.joined("room:a")
        await client.receive_nothing()
        await client.close()
    assert journal.entries == [("shutdown", "closed")]


async def test_a_plain_after_join_and_one_that_fails() -> None:
    class RoomChannel(Channel):
        def after_join(self) -> None:
            self.push("welcome", {})
            raise RuntimeError("no")

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        client.send_nowait(["1", "1", "room:a", "phx_join", {}])
        assert await client.receive_many(3) == [
            frames.reply("1", "1", "room:a"),
            frames.push("1", "room:a", "welcome"),
            frames.crashed("1", "room:a"),
        ]


@pytest.mark.feature("C06")
async def test_broadcasts_around_a_join_come_after_its_reply_and_none_of_them_twice() -> None:
    """P-053: from the first broadcast that a client gets, it gets all of them, and the join's reply before."""
    go = anyio.Event()

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            self.endpoint.broadcast(self.topic, "n", {"n": -1})
            await go.wait()

    async with serve(RoomChannel) as (endpoint, server):
        client = await server.connect()
        client.send_nowait(["1", "1", "room:a", "phx_join", {}])

        async def broadcast_all() -> None:
            for n in range(50):
                endpoint.broadcast("room:a", "n", {"n": n})
                if n == 10:
                    go.set()
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            group.start_soon(broadcast_all)
        await settle()
        received = await client.receive_many(len(client.outgoing))
        assert received[0] == frames.reply("1", "1", "room:a")
        numbers = [frame[4]["n"] for frame in received[1:]]
        assert numbers == list(range(numbers[0], 50))
        assert 10 <= numbers[0] < 50


@pytest.mark.feature("C06")
async def test_a_broadcast_made_right_after_the_acceptance_is_not_lost() -> None:
    """One step: whoever sees the reply, sees every broadcast after it."""

    class RoomChannel(Channel):
        async def join(self, payload: Any) -> None:
            return None

    async with serve(RoomChannel) as (endpoint, server):
        for attempt in range(20):
            client = await server.connect()
            assert await client.call("1", "1", "room:a", "phx_join") == frames.reply("1", "1", "room:a")
            endpoint.broadcast("room:a", "now", {"attempt": attempt})
            assert await client.receive() == frames.broadcast("room:a", "now", {"attempt": attempt})
            await client.close()


@pytest.mark.feature("C03")
async def test_a_null_join_ref_is_replaced_by_the_ref_except_in_the_last_frame() -> None:
    """P-056."""

    class RoomChannel(Channel):
        @incoming
        async def pushreply(self, payload: Any) -> Reply:
            self.push("p1", {})
            return Reply.ok()

    async with serve(RoomChannel) as (_, server):
        client = await server.connect()
        assert await client.call(None, "90", "room:n", "phx_join") == frames.reply(None, "90", "room:n")
        # Its join_ref is null: one that equals the ref is stale.
        client.send_nowait(["90", "91", "room:n", "pushreply", {}])
        client.send_nowait([None, "93", "room:n", "pushreply", {}])
        assert await client.receive_many(2) == [frames.push("90", "room:n", "p1"), frames.reply("90", "93", "room:n")]
        assert await client.call(None, "94", "room:n", "unknown") == frames.crashed(None, "room:n")
