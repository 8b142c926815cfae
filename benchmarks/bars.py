"""The bars that our servers are to reach, and whether they do."""

from collections.abc import Iterable
from dataclasses import dataclass

from .document import PYTHON, Result, Settings, Verdict
from .figures import DELIVERIES, GROWTH, JOINS, KEPT, MEMORY, REPLIES, SLOWEST


@dataclass(frozen=True)
class Bar:
    """A bound for the median of one metric, or of its ratio to the loop in Python."""

    title: str
    server: str
    figure: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    of_loop: bool = False
    unit: str = ""
    digits: int = 0
    scale: float = 1

    @property
    def target(self) -> str:
        sign, bound = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        return f"{sign} {self.shown(bound or 0)}"

    def shown(self, value: float) -> str:
        return f"{value / self.scale:,.{self.digits}f} {self.unit}"

    def reached_by(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


def of_loop(title: str, server: str, figure: str, at_least: float, metric: str = DELIVERIES.name) -> Bar:
    return Bar(title, server, figure, metric, at_least=at_least, of_loop=True, unit="of the loop in Python", digits=3)


def dead_readers(server: str) -> tuple[Bar, ...]:
    who = f"2 of 50 never read, {server}"
    return (
        Bar(
            f"{who}: the others keep their rate",
            server,
            "dead-readers",
            KEPT.name,
            at_least=0.9,
            unit="of it",
            digits=2,
        ),
        # The outboxes of the two have 1 MiB each. Without a bound it would be hundreds.
        Bar(f"{who}: memory is bounded", server, "dead-readers", GROWTH.name, at_most=32, unit="MiB of growth"),
    )


BARS = (
    of_loop("fan-out to 1,000, one outstanding", "fast", "fan-out-1000-w1", 0.80),
    of_loop("fan-out to 1,000, ten outstanding", "fast", "fan-out-1000-w10", 5),
    of_loop("fan-out to 10,000, one outstanding", "fast", "fan-out-10000-w1", 0.75),
    of_loop("fan-out to 1,000 on websockets", "websockets", "fan-out-1000-w1", 0.75),
    of_loop("fan-out to 1,000 on any uvicorn", "uvicorn", "fan-out-1000-w1", 0.28),
    Bar(
        "no stall on any uvicorn when 5 % never read",
        "uvicorn",
        "dead-readers-1000",
        SLOWEST.name,
        at_most=1000,
        unit="ms",
    ),
    of_loop("push and reply", "fast", "push-reply", 0.145, REPLIES.name),
    Bar(
        "memory of a joined connection",
        "fast",
        "connect",
        MEMORY.name,
        at_most=12 * 1024,
        scale=1024,
        unit="KiB",
        digits=1,
    ),
    Bar("connect and join", "fast", "connect", JOINS.name, at_least=4000, unit="joins/s"),
    *(bar for server in ("fast", "websockets", "uvicorn") for bar in dead_readers(server)),
)


def judge(results: Iterable[Result], settings: Settings, bars: Iterable[Bar] = BARS) -> list[Verdict]:
    """What came of every bar whose figure was measured."""
    found = {result.name: result for result in results}
    return [verdict(bar, found[bar.figure], settings) for bar in bars if bar.figure in found]


def verdict(bar: Bar, result: Result, settings: Settings) -> Verdict:
    series = next((series for series in result.series if series.server == bar.server), None)
    summary = series.summary.get(bar.metric) if series is not None else None
    if series is None or summary is None:
        return Verdict(bar.title, bar.target, "", "not measured")
    value = summary.ratios[PYTHON] if bar.of_loop else summary.value
    # Whoever loses messages has reached nothing.
    right = not any(sample.errors or sample.lost for sample in series.samples)
    text = "reached" if right and bar.reached_by(value.median) else "missed"
    if settings.quick:
        text = f"indicative: {text}"
    return Verdict(bar.title, bar.target, bar.shown(value.median), "; ".join([text, *series.marks]))
