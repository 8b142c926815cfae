"""What is measured: how the load generator is called, and which of its numbers count."""

from dataclasses import dataclass
from enum import Enum, auto

from .document import Metric

DELIVERIES = Metric("deliveries", "deliveries/s", of_limit=True)
REPLIES = Metric("replies", "replies/s", of_limit=True)
JOINS = Metric("joins", "joins/s")
MEMORY = Metric("memory", "bytes/connection")
P50 = Metric("p50", "ms, median", digits=1)
P99 = Metric("p99", "ms, 99 %", digits=1)
P999 = Metric("p999", "ms, 99.9 %", digits=1)
LONGEST_PAUSE = Metric("longest", "ms, longest", digits=2)
PAUSES = Metric("total", "ms in a second", digits=2)
KEPT = Metric("kept", "of the rate is kept", digits=2)
SLOWEST = Metric("slowest", "ms, slowest delivery", digits=0)
GROWTH = Metric("growth", "MiB of growth", digits=1)
SENT = Metric("sent", "MiB for each dead reader", digits=0)

# What wsload calls them, and what a number of it is in the unit of the metric.
WSLOAD: dict[str, tuple[str, float]] = {
    DELIVERIES.name: ("deliveries_per_s", 1),
    REPLIES.name: ("replies_per_s", 1),
    JOINS.name: ("joins_per_s", 1),
    MEMORY.name: ("bytes_per_conn", 1),
    P50.name: ("lat_p50_us", 0.001),
    P99.name: ("lat_p99_us", 0.001),
    P999.name: ("lat_p999_us", 0.001),
    SLOWEST.name: ("lat_max_us", 0.001),
}


class Kind(Enum):
    LOAD = auto()
    GC = auto()
    """The same, while the server notes the pauses of its garbage collector."""
    DEAD = auto()
    """Twice: without and with clients that never read."""


@dataclass(frozen=True)
class Figure:
    name: str
    title: str
    arguments: tuple[str, ...]
    metrics: tuple[Metric, ...]
    connections: int
    limit: int = 0
    """With how many connections the loop is measured beside it; 0 for none."""
    peers: bool = False
    kind: Kind = Kind.LOAD
    dead: int = 0
    seconds: float | None = None
    """Where it takes another time than the rest."""
    quick: bool = True
    """Part of ``--quick`` without being named?"""


def fan_out(n: int, window: int) -> Figure:
    outstanding = {1: "one", 10: "ten"}[window]
    return Figure(
        f"fan-out-{n}-w{window}",
        f"Fan-out to {n:,} subscribers, {outstanding} outstanding",
        ("fanout", "--n", str(n), "--window", str(window), "--stall", "20"),
        (DELIVERIES,),
        connections=n + 1,
        limit=n,
        peers=n <= 1000,
        quick=n <= 1000,
    )


def dead_readers(
    name: str, *arguments: str, readers: int, dead: int, size: int, seconds: float | None = None
) -> Figure:
    return Figure(
        name,
        f"{dead} of {readers + dead:,} subscribers never read, {size // 1024} KiB payloads",
        ("fanout", "--n", str(readers), "--size", str(size), *arguments),
        (DELIVERIES, KEPT, SLOWEST, GROWTH, SENT),
        connections=readers + dead + 1,
        kind=Kind.DEAD,
        dead=dead,
        seconds=seconds,
    )


FIGURES = (
    *(fan_out(n, window) for n in (100, 1000, 10_000) for window in (1, 10)),
    Figure(
        "notify",
        "One to one: 1,000 topics with one subscriber each, 64 outstanding",
        # The publisher joins every topic, more than a connection may elsewhere.
        ("notify", "--n", "1000", "--window", "64", "--path", "/bench/websocket"),
        (DELIVERIES,),
        connections=1001,
        limit=1000,
    ),
    Figure(
        "push-reply",
        "Push and reply, 100 connections with 4 outstanding each",
        ("rtt", "--n", "100", "--window", "4"),
        (REPLIES,),
        connections=100,
        limit=1000,
    ),
    Figure(
        "connect",
        "Connect and join, 5,000 connections, then idle",
        ("connect", "--n", "5000", "--hold", "3"),
        (JOINS, MEMORY),
        connections=5000,
        peers=True,
    ),
    Figure(
        "latency",
        "Time to delivery, 1,000 subscribers, 20 broadcasts/s",
        # The window is so wide that it never holds a broadcast back.
        ("fanout", "--n", "1000", "--rate", "20", "--window", "256"),
        (P50, P99, P999),
        connections=1001,
    ),
    Figure(
        "gc",
        "Pauses of the garbage collector, fan-out to 1,000 subscribers",
        ("fanout", "--n", "1000", "--window", "1"),
        (LONGEST_PAUSE, PAUSES, DELIVERIES),
        connections=1001,
        kind=Kind.GC,
        seconds=10,
    ),
    dead_readers("dead-readers", "--window", "8", readers=48, dead=2, size=4096, seconds=30),
    # So many rounds, however long they take: what a second of them amounts to would fit into the kernel's buffers.
    dead_readers("dead-readers-1000", *("--window", "1", "--rounds", "250"), readers=950, dead=50, size=65536),
)
