"""Sessions: how they end, what they hold, and the tokens that name them (P-090, P-102 to P-105, P-108)."""

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from phoenix_channels import Channel, ConnectInfo, Limits, LongPollOptions, Reply, Socket, incoming
from tests.support import frames
from tests.support.asgi import assert_empty, serving
from tests.support.loops import DEADLINE, Journal, on_virtual_time, settle, soon
from tests.support.polling import (
    SECRET,
    Poller,
    answer_of,
    ask,
    disconnect,
    mounted,
    polled,
    posted,
    served,
    socket_of,
)


class RoomChannel(Channel):
    """Says how it ended."""

    journal: Journal
    shutdown = 0.05

    @incoming
    def echo(self, payload: Any) -> Reply:
        return Reply.ok(payload)

    @incoming
    def boom(self, payload: Any) -> None:
        raise ZeroDivisionError

    async def terminate(self, reason: object) -> None:
        self.journal.add(reason)


def rooms(*, name: str | None = None) -> tuple[type[Socket], Journal]:
    class OwnChannel(RoomChannel):
        journal = Journal()

    return socket_of(OwnChannel, name=name), OwnChannel.journal


# Inactivity


async def test_a_session_that_nobody_polls_ends() -> None:
    """P-102, P-105; what answers is somebody else's poll, or a request: 410."""
    socket_class, journal = rooms()
    async with polled(socket_class, window=0.05) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        await journal.wait_for(("shutdown", "inactive"))
        await settle()
        assert_empty(endpoint)
        await poller.gone()
        assert (await poller.poll())[0] == 410


@on_virtual_time()
async def test_the_time_that_a_session_lives_after_its_last_poll() -> None:
    """P-102: from one and a half to three windows after the poll began."""
    socket_class, journal = rooms()
    async with polled(socket_class, window=10.0) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        await anyio.sleep(14.9)
        assert not journal.entries
        run = poller.start_get()
        await anyio.sleep(9.9)
        assert not run.ended.is_set()
        await anyio.sleep(0.2)
        assert await poller.result(run) == (204, [])
        await anyio.sleep(4.9)
        assert not journal.entries
        await anyio.sleep(15.2)
        assert journal.entries == [("shutdown", "inactive")]


@on_virtual_time()
async def test_posts_do_not_keep_a_session_alive() -> None:
    """P-102"""
    socket_class, journal = rooms()
    async with polled(socket_class, window=10.0) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        before = anyio.current_time()
        for _ in range(20):
            if await poller.post(["1", "2", "room:a", "echo", {}]) != 200:
                break
            await anyio.sleep(2)
        assert journal.entries == [("shutdown", "inactive")]
        assert anyio.current_time() - before <= 30


@on_virtual_time()
async def test_posts_that_had_to_wait_do_not_keep_a_session_alive() -> None:
    """P-102: what makes room for them is no sign of life of the client."""

    class SlowChannel(RoomChannel):
        journal = Journal()

        async def join(self, payload: Any) -> None:
            await anyio.sleep(4)

    async with polled(socket_of(SlowChannel), window=10.0, limits=Limits(waiting_messages=1)) as (_, server):
        poller = await Poller(server).open()
        before = anyio.current_time()
        for number in range(20):
            ref, topic = str(number), f"room:{number}"
            echo = [ref, "2", topic, "echo", {}]
            if await poller.post([ref, ref, topic, "phx_join", {}], echo, echo) != 200:
                break
        assert anyio.current_time() - before <= 30
        await settle()
        assert SlowChannel.journal.count(("shutdown", "inactive")) > 1


@on_virtual_time()
async def test_a_client_that_goes_away_during_a_poll_is_missed_in_time() -> None:
    socket_class, journal = rooms()
    async with polled(socket_class, window=10.0) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        run = poller.start_get()
        await anyio.sleep(5)
        disconnect(run)
        await anyio.sleep(15.1)
        assert journal.entries == [("shutdown", "inactive")]


# Other ends


async def test_a_disconnect_ends_the_session_and_its_poll_at_once() -> None:
    """P-079"""
    socket_class, journal = rooms(name="user:1")
    async with polled(socket_class) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        run = poller.start_get()
        await settle()
        await endpoint.disconnect("user:1")
        assert await poller.result(run) == (204, [])
        await journal.wait_for(("shutdown", "disconnected"))
        assert endpoint.statistics().connections == 0
        await poller.gone()


async def test_a_drain_ends_sessions_and_their_polls_at_once() -> None:
    """P-090, without the wait for the window."""
    socket_class, journal = rooms()
    async with polled(socket_class) as (endpoint, server):
        pollers = [await Poller(server).open() for _ in range(3)]
        for poller in pollers:
            await poller.join("room:a")
        runs = [poller.start_get() for poller in pollers[:2]]
        await settle()
        await soon(endpoint.drain())
        for run, poller in zip(runs, pollers, strict=False):
            assert await poller.result(run) == (204, [])
        assert journal.entries == 3 * [("shutdown", "draining")]
        for poller in pollers:
            await poller.gone()
            assert (await poller.get()).status == 503


async def test_a_session_that_is_not_drained_lives_on() -> None:
    socket_class, _ = rooms()
    endpoint = mounted(socket_class, drainer=False, window=0.05)
    async with serving(endpoint) as server:
        poller = await Poller(server).open()
        await soon(endpoint.drain())
        await poller.heartbeat()
        for driver in tuple(endpoint.hub.current_lane().drivers):
            await soon(driver.wait_ended())


async def test_what_was_sent_before_the_end_reaches_a_poll_that_waits() -> None:
    """It was written to a client that was there to read it."""

    class LeavingChannel(Channel):
        @incoming
        def bye(self, payload: Any) -> Reply:
            self.push("bye", {})
            self.socket.endpoint.local_broadcast("user:1", "disconnect", {})
            return Reply.ok()

    async with polled(socket_of(LeavingChannel, name="user:1")) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        run = poller.start_get()
        await settle()
        await poller.post(["1", "2", "room:a", "bye", {}])
        assert await poller.result(run) == (200, [frames.push("1", "room:a", "bye")])


async def test_a_crash_of_a_channel_is_a_frame_and_the_session_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    socket_class, journal = rooms()
    async with polled(socket_class) as (_, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        assert await poller.call("1", "2", "room:a", "boom", {}) == [frames.crashed("1", "room:a")]
        assert "ZeroDivisionError" in caplog.text
        assert isinstance(journal.entries[0], ZeroDivisionError)
        await poller.join("room:a", ref="3")


# Bounds


async def test_a_client_that_does_not_fetch_is_closed_and_what_is_lost_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its frames wait for nobody any more: all of them are dropped."""
    socket_class, journal = rooms()
    async with polled(socket_class, limits=Limits(outbox_bytes=10_000)) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        for _ in range(9):
            endpoint.broadcast("room:a", "event", {"text": 1_000 * "x"})
        await settle()
        assert endpoint.statistics().dropped_frames == 0
        for _ in range(3):
            endpoint.broadcast("room:a", "event", {"text": 1_000 * "x"})
        await journal.wait_for(("shutdown", "closed"))
        assert endpoint.statistics().dropped_frames == 12
        assert "too slow" in caplog.text
        await poller.gone()


async def test_a_frame_larger_than_the_bound_passes_where_nothing_waits() -> None:
    socket_class, _ = rooms()
    large = {"text": 20_000 * "x"}
    async with polled(socket_class, limits=Limits(outbox_bytes=10_000)) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        endpoint.broadcast("room:a", "event", large)
        assert await poller.poll() == (200, [frames.broadcast("room:a", "event", large)])
        run = poller.start_get()
        await settle()
        endpoint.broadcast("room:a", "event", large)
        assert await poller.result(run) == (200, [frames.broadcast("room:a", "event", large)])


async def test_a_client_that_is_there_to_read_gets_more_at_once_than_may_wait_for_it() -> None:
    """What it is answered with does not wait any more."""
    socket_class, _ = rooms()
    event = frames.broadcast("room:a", "event", {"text": 1_000 * "x"})
    async with polled(socket_class, limits=Limits(outbox_bytes=10_000)) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        run = poller.start_get()
        await settle()
        for _ in range(15):
            endpoint.broadcast("room:a", "event", {"text": 1_000 * "x"})
        status, received = await poller.result(run)
        assert (status, received) == (200, 15 * [event])
        assert endpoint.statistics().dropped_frames == 0


async def test_what_a_client_does_not_fetch_keeps_it_from_posting() -> None:
    """A POST waits while more is buffered than the mark says; fetching lets it go on."""
    socket_class, _ = rooms()
    async with polled(socket_class, limits=Limits(outbox_high_water=1_000)) as (endpoint, server):
        poller = await Poller(server).open()
        await poller.join("room:a")
        endpoint.broadcast("room:a", "event", {"text": 2_000 * "x"})
        run = poller.start_post(["1", "2", "room:a", "echo", 1])
        await settle()
        assert not run.ended.is_set()
        assert len((await poller.poll())[1]) == 1
        assert posted(await answer_of(run)) == 200
        assert await poller.poll() == (200, [frames.reply("1", "2", "room:a", 1)])


@pytest.mark.feature("C09")
async def test_more_sessions_than_allowed_are_an_http_503() -> None:
    socket_class, _ = rooms()
    async with polled(socket_class, limits=Limits(longpoll_sessions=2)) as (endpoint, server):
        pollers = [await Poller(server).open() for _ in range(2)]
        refused = await ask(server, "GET", query="vsn=2.0.0")
        assert (refused.status, refused.headers["access-control-allow-origin"]) == (503, "*")
        for poller in pollers:
            await poller.heartbeat()
        # A WebSocket is none.
        await server.connect()
        assert endpoint.statistics().connections == 3


async def test_the_limit_of_sessions_holds_for_those_that_are_being_made() -> None:
    """Clients that all come while ``connect`` waits for a database."""
    release = anyio.Event()

    class SlowSocket(Socket):
        async def connect(self, params: Mapping[str, Any], info: ConnectInfo) -> None:
            await release.wait()

    async with polled(SlowSocket, limits=Limits(longpoll_sessions=2)) as (endpoint, server):
        runs = [Poller(server).start_get() for _ in range(5)]
        await settle()
        release.set()
        statuses = sorted([(await answer_of(run)).status for run in runs])
        assert statuses == [200, 200, 503, 503, 503]
        assert endpoint.statistics().connections == 2


async def test_a_session_that_has_ended_makes_room_for_another() -> None:
    socket_class, _ = rooms(name="user:1")
    async with polled(socket_class, limits=Limits(longpoll_sessions=1)) as (endpoint, server):
        for _ in range(3):
            await Poller(server).open()
            assert (await ask(server, "GET", query="vsn=2.0.0")).status == 503
            await endpoint.disconnect("user:1")


async def test_cve_2026_56811_a_session_has_as_many_channels_as_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    """P-051: joins beyond the limit are refused, also when all come in one batch, and cost nothing."""
    socket_class, _ = rooms()
    socket_class.max_channels = 10
    async with polled(socket_class) as (endpoint, server):
        poller = await Poller(server).open()
        joins = [[str(n), str(n), f"room:{n}", "phx_join", {}] for n in range(100)]
        assert await poller.post(*joins) == 200
        await settle()
        _, replies = await poller.poll()
        refused = [frame for frame in replies if frame[4]["status"] == "error"]
        assert (len(replies), len(refused)) == (100, 90)
        assert all(frame[4]["response"] == {"reason": "too many channels joined"} for frame in refused)
        assert endpoint.statistics().channels == 10
        assert caplog.text.count("no more than 10 channels") == 90


# Tokens


async def test_a_token_is_good_at_its_own_mount_only() -> None:
    """P-108, recommended; also of two mounts at one path, which may have different rules."""
    socket_class, _ = rooms()
    endpoint = mounted(socket_class)
    endpoint.socket("/other", socket_class, longpoll=True)
    endpoint.socket("/socket", socket_class, websocket=False, longpoll=LongPollOptions(path="/other"))
    async with served(endpoint) as server:
        poller = await Poller(server).open()
        for path in ("/other/longpoll", "/socket/other"):
            assert (await ask(server, "POST", path, query=f"token={poller.token}")).envelope["status"] == 410
            stranger = await ask(server, "GET", path, query=f"vsn=2.0.0&token={poller.token}")
            assert stranger.envelope["status"] == 410
            assert stranger.envelope["token"] != poller.token
        await poller.heartbeat()


async def test_a_token_that_was_changed_anywhere_is_none() -> None:
    socket_class, _ = rooms()
    async with polled(socket_class) as (_, server):
        poller = await Poller(server).open()
        token = str(poller.token)
        changed = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))]
        for bad in [*changed, token[:-1], token + "A", token[1:], f"{token}.{token}"]:
            assert (await ask(server, "POST", query=f"token={bad}", body=b"[]")).envelope == {"status": 410}
        await poller.heartbeat()


@pytest.mark.parametrize(("age", "status"), [(1e-9, 410), (60.0, 200)])
async def test_a_token_expires(age: float, status: int) -> None:
    """P-108; a GET begins a new session then."""
    socket_class, _ = rooms()
    async with polled(socket_class, max_age=age) as (endpoint, server):
        poller = await Poller(server).open()
        assert await poller.post([None, "h", "phoenix", "heartbeat", {}]) == status
        assert (await poller.poll())[0] == status
        assert endpoint.statistics().connections == (2 if status == 410 else 1)


@pytest.mark.parametrize("secret", [SECRET, "another secret of another application"])
async def test_a_token_of_a_server_that_cannot_be_reached_is_gone_at_once(secret: str) -> None:
    """P-103: also one of this very application before it was started anew."""
    socket_class, _ = rooms()
    old, new = mounted(socket_class), mounted(socket_class, secret=secret)
    async with served(old, alone=False) as first, served(new, alone=False) as second:
        poller = await Poller(first).open()
        poller.server = second
        with anyio.fail_after(DEADLINE / 3):
            await poller.gone()
            assert (await poller.poll())[0] == 410
