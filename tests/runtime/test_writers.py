"""Who sends for whom, and that a send which takes a while holds up nobody else."""

import asyncio
from collections import deque
from itertools import pairwise

import anyio
import pytest
from anyio.lowlevel import checkpoint

from phoenix_channels.runtime.tasks import current_loop
from phoenix_channels.runtime.writers import SLICE, Writer, Writers
from tests.support.loops import live_tasks, settle

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


class Room:
    """Clients, and what they were sent in which order."""

    def __init__(self) -> None:
        self.writers = Writers(current_loop())
        self.sent: list[str] = []
        self.tasks: set[int] = set()
        self.held_up: list[str] = []
        self.sending = 0
        self.most_sending = 0

    def client(self, name: str, *frames: str) -> "Client":
        client = Client(self, name)
        client.write(*frames)
        return client


class Client:
    """A client whose sends return at once, or wait for an event."""

    def __init__(self, room: Room, name: str) -> None:
        self.room = room
        self.name = name
        self.takes: anyio.Event | None = None
        self.waiting: deque[str] = deque()
        self.writer: Writer | None = None
        self.active = False

    def write(self, *frames: str) -> None:
        self.waiting.extend(frames)
        if frames and not self.active:
            self.active = True
            self.room.writers.add(self)

    def cancel(self) -> None:
        self.waiting.clear()
        assert self.writer is not None
        self.room.writers.cancel(self.writer)

    async def send_waiting(self, writer: Writer) -> int:
        room, sent = self.room, 0
        room.tasks.add(anyio.get_current_task().id)
        assert self.writer is None, "two writers send to one client"
        self.writer = writer
        room.sending += 1
        room.most_sending = max(room.most_sending, room.sending)
        try:
            while self.waiting and sent < SLICE:
                frame = self.waiting.popleft()
                await self.send()
                room.sent.append(frame)
                sent += 1
        finally:
            room.sending -= 1
            self.writer = None
            self.active = bool(self.waiting)
            if self.active:
                room.writers.add(self)
        return sent

    async def send(self) -> None:
        if self.takes is not None:
            await self.takes.wait()

    def held_up(self) -> None:
        self.room.held_up.append(self.name)


class SlowClient(Client):
    """Each of its sends takes some turns of the loop, as it is with some servers."""

    async def send(self) -> None:
        for _ in range(5):
            await checkpoint()


async def test_one_task_sends_to_all_in_the_order_in_which_they_came() -> None:
    before, room = live_tasks(), Room()
    names = [str(n) for n in range(1000)]
    for name in names:
        room.client(name, name)
    assert live_tasks() == before + 1
    await settle()
    assert room.sent == names
    assert len(room.tasks) == 1
    assert room.held_up == []
    assert live_tasks() == before


async def test_a_writer_comes_back_whenever_something_waits() -> None:
    before, room = live_tasks(), Room()
    client = room.client("a")
    for n in range(5):
        client.write(str(n))
        await settle()
        assert room.sent[-1] == str(n)
        assert live_tasks() == before


async def test_a_send_that_takes_a_while_holds_up_only_its_own_client() -> None:
    before, room = live_tasks(), Room()
    slow = room.client("slow", "s1", "s2")
    slow.takes = anyio.Event()
    others = [room.client(str(n), str(n)) for n in range(300)]
    await settle()
    assert sorted(room.sent) == sorted(str(n) for n in range(300))
    assert room.held_up == ["slow"]
    # Its writer waits with it, and no other task.
    assert live_tasks() == before + 1
    for client in others:
        client.write("again")
    slow.write("s3")
    await settle()
    assert room.sent[300:] == 300 * ["again"]
    slow.takes.set()
    await settle()
    assert room.sent[600:] == ["s1", "s2", "s3"]
    assert live_tasks() == before


async def test_many_that_do_not_read_hold_up_nobody() -> None:
    room = Room()
    clients = [room.client(str(n)) for n in range(400)]
    dead = clients[::5]
    gate = anyio.Event()
    for client in dead:
        client.takes = gate
    for n in range(5):
        for client in clients:
            client.write(f"{client.name}/{n}")
        await settle()
        expected = [f"{client.name}/{n}" for client in clients if client not in dead]
        assert sorted(room.sent) == sorted(expected)
        room.sent.clear()
    assert sorted(room.held_up) == sorted(client.name for client in dead)
    gate.set()
    await settle()
    # Each in its own order.
    for client in dead:
        assert [frame for frame in room.sent if frame.startswith(f"{client.name}/")] == [
            f"{client.name}/{n}" for n in range(5)
        ]


async def test_where_every_send_takes_a_while_many_are_under_way_at_once() -> None:
    room = Room()
    for n in range(300):
        SlowClient(room, str(n)).write(str(n), f"{n} again")
    await settle()
    assert len(room.sent) == 600
    assert room.most_sending > 50


async def test_others_get_their_turn_while_a_thousand_are_served() -> None:
    room = Room()
    turns: list[int] = []

    async def others() -> None:
        while len(room.sent) < 1000:
            turns.append(len(room.sent))
            await checkpoint()

    for n in range(1000):
        room.client(str(n), str(n))
    async with anyio.create_task_group() as group:
        group.start_soon(others)
    steps = [later - earlier for earlier, later in pairwise(turns)]
    # Of two tasks that are due, trio runs either first.
    assert max(steps) <= 2 * SLICE
    assert len(room.tasks) == 1


async def test_a_client_for_which_much_waits_takes_turns_with_the_others() -> None:
    room = Room()
    room.client("much", *(f"much {n}" for n in range(3 * SLICE)))
    room.client("little", "little")
    await settle()
    assert room.sent.index("little") == SLICE
    room.sent.remove("little")
    assert room.sent == [f"much {n}" for n in range(3 * SLICE)]
    assert room.held_up == []


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "not noticed yet"])
async def test_the_send_that_is_under_way_can_be_ended_alone(noticed: bool) -> None:
    before, room = live_tasks(), Room()
    gone = room.client("gone", "g1", "g2")
    gone.takes = anyio.Event()
    for n in range(3):
        room.client(str(n), str(n))
    while gone.writer is None:
        await checkpoint()
    if noticed:
        await settle()
        assert room.held_up == ["gone"]
    gone.cancel()
    await settle()
    assert sorted(room.sent) == ["0", "1", "2"]
    assert live_tasks() == before
    # It is as good as any other afterwards.
    gone.takes = None
    gone.write("g3")
    await settle()
    assert room.sent[3:] == ["g3"]


@on_asyncio
async def test_whoever_cancels_all_tasks_ends_no_more_than_what_is_under_way() -> None:
    """As servers do that end: what else waits is sent all the same, as long as the loop runs."""
    before, room = asyncio.all_tasks(), Room()
    slow = room.client("slow", "s1")
    slow.takes = anyio.Event()
    for n in range(3):
        room.client(str(n), str(n))
    while slow.writer is None:
        await checkpoint()
    for task in asyncio.all_tasks() - before:
        task.cancel()
    await settle()
    assert room.sent == ["0", "1", "2"]
