"""A backplane that fails or lies: every request is answered, and nobody else is hurt (P-109)."""

from typing import Any

import anyio
import pytest

from phoenix_channels import BroadcastQueueFull, Channel, Reply, incoming
from tests.support import frames
from tests.support.asgi import Run
from tests.support.backplane import Node
from tests.support.loops import settle, soon
from tests.support.polling import Poller, answer_of, ask, cluster, disconnect, posted, socket_of

failing = pytest.mark.parametrize("kind", [BroadcastQueueFull, OSError])


class RoomChannel(Channel):
    shutdown = 0.05

    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)


SOCKET = socket_of(RoomChannel, name="user:1")


def event(name: str) -> list[Any]:
    return frames.broadcast("room:a", name)


async def status_of(run: Run) -> int:
    """The status that a client sees, real or inside; of the session, or of HTTP."""
    answer = await answer_of(run)
    return int(answer.envelope["status"]) if answer.status == 200 else answer.status


# The node that is asked


@failing
async def test_requests_that_cannot_be_sent_are_answered(kind: type[Exception]) -> None:
    async with cluster(SOCKET, window=0.6, pubsub_timeout=0.1) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        nodes.broker.nodes[1].failure = kind("the broker does not listen")
        assert await status_of(poller.start_post(["1", "2", "room:a", "echo", 1])) in (408, 410, 500, 503)
        assert await status_of(poller.start_get()) in (204, 500, 503)
        nodes.broker.nodes[1].failure = None
        assert nodes.interests == 3
        await poller.heartbeat()


@failing
async def test_a_poll_that_cannot_be_withdrawn_hurts_nobody(kind: type[Exception]) -> None:
    async with cluster(SOCKET, window=0.6, pubsub_timeout=0.1) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        run = poller.start_get()
        await settle()
        nodes.broker.nodes[1].failure = kind("the broker does not listen")
        disconnect(run)
        await run.wait_ended()
        nodes.broker.nodes[1].failure = None
        assert nodes.interests == 3
        assert await poller.poll() == (204, [])
        await poller.heartbeat()


async def test_a_request_that_cannot_ask_the_broker_is_answered() -> None:
    async with cluster(SOCKET, window=0.6, pubsub_timeout=0.1) as nodes:
        poller = await nodes.opened()

        def fail(topic: str) -> None:
            raise OSError("the broker has gone")

        nodes.broker.nodes[1].on_subscribe = fail
        assert await status_of(poller.start_post(["1", "2", "room:a", "echo", 1])) in (408, 410, 500, 503)
        assert await status_of(poller.start_get()) in (204, 500, 503)
        nodes.broker.nodes[1].on_subscribe = None
        await poller.heartbeat()


@pytest.mark.parametrize("topic", ["user:1", "phx:lp"])
async def test_a_session_that_could_not_begin_gives_its_interests_back(topic: str) -> None:
    async with cluster(SOCKET) as nodes:

        def fail(asked: str) -> None:
            if asked.startswith(topic):
                raise OSError("the broker has gone")

        nodes.broker.nodes[0].on_subscribe = fail
        answer = await ask(nodes.servers[0], "GET", query="vsn=2.0.0")
        assert answer.status in (500, 503)
        assert nodes.interests == 0
        assert nodes.endpoints[0].statistics().connections == 0


@pytest.mark.parametrize("topic", ["user:1", "phx:lp"])
async def test_a_session_whose_beginning_hangs_is_given_up_after_the_connect_timeout(topic: str) -> None:
    class ImpatientSocket(SOCKET):  # type: ignore[misc, valid-type]  # the base is made by a function
        connect_timeout = 0.02

    async with cluster(ImpatientSocket) as nodes:

        async def hang(asked: str) -> None:
            if asked.startswith(topic):
                await anyio.sleep_forever()

        nodes.broker.nodes[0].on_subscribe = hang
        answer = await ask(nodes.servers[0], "GET", query="vsn=2.0.0")
        assert answer.status == 500
        assert nodes.interests == 0
        assert nodes.endpoints[0].statistics().connections == nodes.endpoints[0].statistics().longpoll_sessions == 0
        nodes.broker.nodes[0].on_subscribe = None
        await (await nodes.opened()).heartbeat()


# The node that has the session


@failing
async def test_a_session_that_cannot_answer_counts_as_gone_for_others(kind: type[Exception]) -> None:
    async with cluster(SOCKET, window=0.6, pubsub_timeout=0.1) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        nodes.broker.nodes[0].failure = kind("the broker does not listen")
        assert await poller.post(["1", "2", "room:a", "echo", 1]) in (408, 410)
        assert (await poller.get()).envelope["status"] in (204, 410)
        nodes.broker.nodes[0].failure = None
        poller.server = nodes.servers[0]
        # What has come through is there, and the session as well.
        status, received = await poller.poll()
        assert (status, received) in [(204, []), (200, [frames.reply("1", "2", "room:a", 1)])]
        await poller.heartbeat()


@failing
async def test_an_answer_that_is_lost_on_its_way_ends_its_poll_in_time(kind: type[Exception]) -> None:
    """P-098: at most once; what was in it is lost, what comes after it is not."""
    async with cluster(SOCKET, window=0.6, pubsub_timeout=0.1) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        run = poller.start_get()
        await settle()
        nodes.broker.nodes[0].failure = kind("the broker does not listen")
        nodes.endpoints[0].local_broadcast("room:a", "lost", {})
        await settle()
        nodes.broker.nodes[0].failure = None
        assert await poller.result(run) == (204, [])
        nodes.endpoints[0].broadcast("room:a", "kept", {})
        assert await poller.poll() == (200, [event("kept")])


@failing
@pytest.mark.parametrize("how", ["disconnect", "drain"])
async def test_a_poll_that_cannot_be_answered_does_not_hold_up_the_end_of_its_session(
    kind: type[Exception], how: str
) -> None:
    async with cluster(SOCKET, window=0.6, pubsub_timeout=0.1) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        remote = poller.start_get()
        await settle()
        poller.server = nodes.servers[0]
        local = poller.start_get()
        await settle()
        nodes.broker.nodes[0].failure = kind("the broker does not listen")
        if how == "disconnect":
            nodes.endpoints[0].local_broadcast("user:1", "disconnect", {})
            await settle()
        else:
            await soon(nodes.endpoints[0].drain())
        # The other poll has its answer at once.
        assert local.ended.is_set()
        assert await poller.result(local) == (204, [])
        assert await poller.result(remote) == (204, [])
        await soon(nodes.endpoints[0].drain())
        assert nodes.endpoints[0].statistics().channels == 0
        nodes.broker.nodes[0].failure = None
        await poller.gone()


@failing
async def test_other_sessions_of_the_node_go_on_meanwhile(kind: type[Exception]) -> None:
    async with cluster(SOCKET, window=0.6, pubsub_timeout=0.1) as nodes:
        remote = await nodes.opened()
        await remote.join("room:a")
        own = await Poller(nodes.servers[0]).open()
        await own.join("room:a")
        client = await nodes.servers[0].joined("room:a")
        waits, run = remote.start_get(), own.start_get()
        await settle()
        nodes.broker.nodes[0].failure = kind("the broker does not listen")
        nodes.endpoints[0].local_broadcast("room:a", "event", {})
        assert await own.result(run) == (200, [event("event")])
        assert await client.receive() == event("event")
        nodes.broker.nodes[0].failure = None
        assert await remote.result(waits) == (204, [])


# Lies


def private_topics(node: Node) -> list[str]:
    return [topic for topic in node.interests if topic.startswith("phx:lp:")]


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("poll", {}),
        ("poll", {"ref": 1}),
        ("poll", b"bytes"),
        ("post", {"ref": "a", "messages": "none"}),
        ("post", {"ref": "a", "messages": [[99, "AAAA"]]}),
        ("post", {"ref": "a", "messages": [[1, "no base64!"]]}),
        ("withdraw", {"ref": "nobody's"}),
        ("withdraw", b"\xff"),
        ("answer", {"status": "x"}),
        ("answer", b"\xff\xfe"),
        ("ack", {"any": "thing"}),
        ("other", {}),
    ],
)
async def test_what_nobody_understands_is_ignored(name: str, payload: object) -> None:
    """On the topics of the session and of the answer; a poll that waits is still answered."""
    async with cluster(SOCKET) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        run = poller.start_get()
        await settle()
        topics = [topic for node in nodes.broker.nodes for topic in private_topics(node)]
        assert len(topics) == 2
        for topic in topics:
            nodes.endpoints[0].broadcast(topic, name, payload)
            nodes.endpoints[1].broadcast(topic, name, payload)
        await settle()
        assert not run.ended.is_set()
        nodes.endpoints[0].broadcast("room:a", "event", {})
        assert await poller.result(run) == (200, [event("event")])


@pytest.mark.parametrize(("name", "payload"), [("poll", {"ref": 1}), ("post", {}), ("withdraw", b"\xff")])
async def test_what_nobody_understands_is_logged(name: str, payload: object, caplog: pytest.LogCaptureFixture) -> None:
    async with cluster(SOCKET) as nodes:
        await nodes.opened()
        (topic,) = private_topics(nodes.broker.nodes[0])
        nodes.endpoints[1].broadcast(topic, name, payload)
        assert "no request for a session" in caplog.text
        assert topic in caplog.text


async def test_a_duplicated_answer_and_a_late_one_change_nothing() -> None:
    async with cluster(SOCKET) as nodes:
        poller = await nodes.opened()
        await poller.join("room:a")
        run = poller.start_get()
        await settle()
        (topic,) = private_topics(nodes.broker.nodes[1])
        nodes.endpoints[0].broadcast("room:a", "event", {})
        for _ in range(2):
            nodes.endpoints[0].broadcast(topic, "answer", {"status": 204, "messages": []})
        status, received = await poller.result(run)
        assert (status, received) in [(200, [event("event")]), (204, [])]
        nodes.endpoints[0].broadcast(topic, "answer", {"status": 200, "messages": []})
        await poller.heartbeat()


async def test_the_topics_of_a_session_cannot_be_guessed() -> None:
    """P-108: they are random, of at least 128 bits, and those of requests differ each time."""
    async with cluster(SOCKET) as nodes:
        for _ in range(5):
            poller = await nodes.opened()
            for _ in range(3):
                assert posted(await answer_of(poller.start_post([None, "h", "phoenix", "heartbeat", {}]))) == 200
        asked = [topic for node in nodes.broker.nodes for topic in node.asked if topic.startswith("phx:lp:")]
        assert len(set(asked)) == len(asked) == 20
        names = [topic.rpartition(":")[2] for topic in asked]
        assert all(len(name) >= 22 for name in names)
        # A client knows its token, and nothing else of this.
        with anyio.fail_after(1):
            await settle()
