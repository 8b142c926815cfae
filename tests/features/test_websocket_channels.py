"""Channels over WebSocket: the rows B001 to B028 of the inventory."""

from __future__ import annotations

import logging

import pytest

from phoenix_channels import Channel, Endpoint, Response, Socket, WebSocketOptions
from tests.features.app import make_endpoint
from tests.features.clients import Client, Serve
from tests.support import frames
from tests.support.asgi import Refused
from tests.support.frames import binary_push
from tests.support.loops import Journal, soon

LOBBY = "room:lobby"
CONNECTED = {"status": "connected"}


async def enter(client: Client, topic: str = LOBBY, user: str = "ada") -> None:
    """Join, and take what ``after_join`` sends."""
    await client.join(topic, {"user": user}, CONNECTED)
    assert await client.receive_many(2) == [
        frames.broadcast(topic, "user_entered", {"user": user}),
        frames.push(client.join_ref(topic), topic, "joined", {"user": user}),
    ]


@pytest.mark.feature("B001")
async def test_a_socket_at_a_path_of_several_segments(serve: Serve, version: int) -> None:
    async with serve(make_endpoint(Journal(), "/admin/area/socket")) as server:
        client = await server.connect(version, "/admin/area/socket/websocket")
        await enter(client)


@pytest.mark.feature("B002")
async def test_the_life_of_a_channel(serve: Serve, version: int) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    async with serve(endpoint) as server, endpoint.subscribe(LOBBY) as broadcasts:
        client = await server.connect(version)
        await enter(client)
        assert (await soon(anext(broadcasts))).event == "user_entered"

        await client.send(LOBBY, "new_msg", {"body": "hi"})
        seen = {"body": "hi", "transport": "websocket"}
        assert await client.receive() == frames.push(client.join_ref(LOBBY), LOBBY, "new_msg", seen)
        broadcast = await soon(anext(broadcasts))
        assert (broadcast.topic, broadcast.event, broadcast.payload) == (LOBBY, "new_msg", {"body": "hi"})

        ref = await client.send(LOBBY, "phx_leave")
        # P-064: what terminate pushes comes last.
        assert await client.receive_many(3) == [
            frames.reply(client.join_ref(LOBBY), ref, LOBBY),
            client.closed(LOBBY),
            frames.push(client.join_ref(LOBBY), LOBBY, "you_left", {"message": "bye"}),
        ]
        await journal.wait_for(("terminated", LOBBY, ("shutdown", "left")))
        await client.heartbeat()
        assert endpoint.statistics().channels == 0

        ref = await client.send(LOBBY, "new_msg", {"body": "too late"})
        assert await client.receive() == frames.unmatched(ref, LOBBY)
        endpoint.broadcast(LOBBY, "the next one", {})
        assert (await soon(anext(broadcasts))).event == "the next one"
    assert journal.entries == [("terminated", LOBBY, ("shutdown", "left"))]


class SilentSocket(Socket):
    channels = {"room:*": Channel}


@pytest.mark.feature("B003")
async def test_a_connection_joins_a_hundred_topics_and_no_more(serve: Serve, version: int) -> None:
    endpoint = Endpoint()
    endpoint.socket("/socket", SilentSocket)
    async with serve(endpoint) as server:
        client = await server.connect(version)
        for number in range(100):
            await client.join(f"room:{number}")
        ref = await client.start_join("room:100")
        assert ref == "101"
        assert client.join_ref("room:100") == ("111" if version == 2 else None)
        refusal = {"reason": "too many channels joined"}
        assert await client.receive() == frames.error(client.join_ref("room:100"), "101", "room:100", refusal)
        assert endpoint.statistics().channels == 100


@pytest.mark.feature("B004")
async def test_a_socket_class_with_a_limit_of_its_own(serve: Serve, version: int) -> None:
    class LimitedSocket(SilentSocket):
        max_channels = 1

    endpoint = Endpoint()
    endpoint.socket("/socket", LimitedSocket)
    async with serve(endpoint) as server:
        client = await server.connect(version)
        await client.join("room:1")
        ref = await client.start_join("room:2")
        refusal = {"reason": "too many channels joined"}
        assert await client.receive() == frames.error(client.join_ref("room:2"), ref, "room:2", refusal)
        # The limit is of each connection.
        await (await server.connect(version)).join("room:2")


@pytest.mark.feature("B016")
async def test_an_exception_in_a_handler_is_a_phx_error(
    serve: Serve, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal()
    async with serve(make_endpoint(journal)) as server:
        client = await server.connect(version)
        await enter(client)
        await client.send(LOBBY, "boom")
        left = frames.push(client.join_ref(LOBBY), LOBBY, "you_left", {"message": "bye"})
        # P-066: no reply, and what terminate pushes comes first.
        assert await client.receive_many(2) == [left, client.crashed(LOBBY)]
        await client.heartbeat()
        ((_, topic, reason),) = journal.entries
        assert (topic, type(reason), str(reason)) == (LOBBY, RuntimeError, "boom")
        (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
        assert record.exc_info is not None
        assert record.exc_info[1] is reason


@pytest.mark.feature("B017")
async def test_a_client_that_closes_ends_all_its_channels(serve: Serve, version: int) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    async with serve(endpoint) as server:
        client, other = await server.connect(version), await server.connect(version)
        await enter(client, "room:1")
        await enter(client, "room:2")
        await enter(other, "room:3")
        await client.close()
        await journal.wait_length(2)
        assert sorted(journal.entries) == [
            ("terminated", "room:1", ("shutdown", "closed")), ("terminated", "room:2", ("shutdown", "closed")),
        ]  # fmt: skip
        await other.heartbeat()
        assert endpoint.statistics().channels == 1


@pytest.mark.feature("B018")
async def test_a_push_to_a_topic_that_is_not_joined(serve: Serve, version: int) -> None:
    endpoint = make_endpoint(Journal())
    async with serve(endpoint) as server, endpoint.subscribe(LOBBY) as broadcasts:
        client = await server.connect(version)
        ref = await client.send(LOBBY, "new_msg", {"body": "hi"})
        assert await client.receive() == frames.unmatched(ref, LOBBY)
        endpoint.broadcast(LOBBY, "the first one", {})
        assert (await soon(anext(broadcasts))).event == "the first one"


@pytest.mark.feature("B019")
async def test_pages_of_allowed_origins_only(serve: Serve, version: int, caplog: pytest.LogCaptureFixture) -> None:
    async with serve(make_endpoint(Journal(), check_origin=["https://example.com"])) as server:
        await enter(await server.connect(version, headers=[("origin", "https://example.com")]))
        with pytest.raises(Refused) as refused:
            await server.connect(version, headers=[("origin", "http://notallowed.com")])
    assert (refused.value.status, refused.value.body) == (403, b"")
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert "'http://notallowed.com'" in record.getMessage()


@pytest.mark.feature("B020")
async def test_a_refused_connect(serve: Serve, version: int) -> None:
    endpoint = make_endpoint(Journal())
    async with serve(endpoint) as server:
        with pytest.raises(Refused) as refused:
            await server.connect(version, query="reject=")
        assert (refused.value.status, refused.value.body) == (403, b"")
        assert endpoint.statistics().connections == 0


@pytest.mark.feature("B021")
async def test_a_refusal_with_a_reason_goes_through_the_error_handler(serve: Serve, version: int) -> None:
    reasons: list[object] = []

    def handle_error(request: object, reason: object) -> Response:
        reasons.append(reason)
        return Response(429, b"slow down", (("retry-after", "5"),))

    endpoint = make_endpoint(Journal(), websocket=WebSocketOptions(error_handler=handle_error))
    async with serve(endpoint) as server:
        with pytest.raises(Refused) as refused:
            await server.connect(version, query="reject=too+many")
        assert (refused.value.status, refused.value.body) == (429, b"slow down")
        with pytest.raises(Refused) as refused:
            await server.connect(version, query="reject=")
        assert (refused.value.status, refused.value.body) == (403, b"")
        await enter(await server.connect(version))
    assert reasons == ["too many"]


@pytest.mark.feature("B022")
async def test_disconnect_on_the_id_of_a_socket(serve: Serve, version: int) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    async with serve(endpoint) as server:
        client = await server.connect(version, query="user=ada")
        other = await server.connect(version, query="user=grace")
        for topic in ("room:1", "room:2"):
            await enter(client, topic)
        await enter(other, "room:3")
        endpoint.broadcast("users:ada", "something else", {})
        await client.heartbeat()
        endpoint.broadcast("users:ada", "disconnect", {})
        assert await client.receive_close() == 1001
        await journal.wait_length(2)
        assert sorted(journal.entries) == [
            ("terminated", "room:1", ("shutdown", "disconnected")),
            ("terminated", "room:2", ("shutdown", "disconnected")),
        ]
        await other.heartbeat()


@pytest.mark.feature("B023")
async def test_a_second_join_of_a_joined_topic(serve: Serve, version: int) -> None:
    journal = Journal()
    endpoint = make_endpoint(journal)
    async with serve(endpoint) as server:
        client = await server.connect(version)
        await enter(client)
        old = client.closed(LOBBY)
        ref = await client.start_join(LOBBY, {"user": "ada again"})
        assert (ref, client.join_ref(LOBBY)) == ("2", "12" if version == 2 else None)
        assert await client.receive_many(4) == [
            frames.reply(client.join_ref(LOBBY), "2", LOBBY, CONNECTED),
            old,
            frames.broadcast(LOBBY, "user_entered", {"user": "ada again"}),
            frames.push(client.join_ref(LOBBY), LOBBY, "joined", {"user": "ada again"}),
        ]
        await client.heartbeat()
        assert endpoint.statistics().channels == 1


@pytest.mark.feature("B024")
async def test_a_version_that_nobody_speaks(serve: Serve, version: int, caplog: pytest.LogCaptureFixture) -> None:
    async with serve(make_endpoint(Journal())) as server:
        with pytest.raises(Refused) as refused:
            await server.connect(version, query="vsn=123.1.1")
    assert (refused.value.status, refused.value.body) == (403, b"")
    (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    for text in ("'123.1.1'", "~> 1.0.0", "~> 2.0.0"):
        assert text in record.getMessage()


@pytest.mark.feature("B025")
async def test_a_heartbeat_and_then_silence(serve: Serve, version: int) -> None:
    journal = Journal()
    async with serve(make_endpoint(journal, websocket=WebSocketOptions(timeout=0.2))) as server:
        client = await server.connect(version)
        await enter(client)
        ref = await client.send("phoenix", "heartbeat")
        assert await client.receive() == frames.reply(None, ref, "phoenix")
        assert await client.receive_close() == 1002
        await journal.wait_for(("terminated", LOBBY, ("shutdown", "closed")))


@pytest.mark.feature("B026")
async def test_a_join_without_a_route(serve: Serve, version: int, caplog: pytest.LogCaptureFixture) -> None:
    async with serve(make_endpoint(Journal())) as server:
        client = await server.connect(version)
        ref = await client.start_join("nowhere")
        assert await client.receive() == frames.unmatched(ref, "nowhere")
        (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
        assert "'nowhere'" in record.getMessage()


@pytest.mark.feature("B028")
async def test_binary_messages_in_both_directions(serve: Serve) -> None:
    async with serve(make_endpoint(Journal())) as server:
        client = await server.connect(2)
        await enter(client)
        ref = await client.send(LOBBY, "binary", b"\x00\xff")
        assert (client.join_ref(LOBBY), ref) == ("11", "2")
        assert await client.receive_many(2) == [
            b"\x00\x02\x0a\x0b" + b"11" + b"room:lobby" + b"binary_push" + b"\x00\xffpushed",
            b"\x01\x02\x01\x0a\x02" + b"11" + b"2" + b"room:lobby" + b"ok" + b"\x00\xffreplied",
        ]
        # What was sent is a frame of the form that P-035 has.
        assert binary_push("11", ref, LOBBY, "binary", b"\x00") == (
            b"\x00\x02\x01\x0a\x06" + b"11" + b"2" + b"room:lobby" + b"binary" + b"\x00"
        )
