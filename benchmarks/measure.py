"""One repetition of one figure, on a fresh server."""

import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import gc_probe
from .deadreaders import dead_readers
from .document import PYTHON, Sample
from .figures import DELIVERIES, GROWTH, KEPT, LONGEST_PAUSE, PAUSES, SENT, WSLOAD, Figure, Kind
from .machine import Cores, peak_memory
from .samples import ATTEMPTS, RATE, quietest
from .servers import Server, running
from .wsload import Result, Wsload

# The kernel takes 4 MB for a client that does not read, and only then does the server meet it; its outbox is 1 MiB.
# With less than this, nothing is known of the server.
ENOUGH_FOR_THE_DEAD = 10.0
# Long enough for that, on the slowest of our servers.
QUICK_SECONDS = 5.0
# What wsload does between the last join and the measured time: it settles, and warms up.
BEFORE_MEASURING = 0.1 + 1.0


@dataclass(frozen=True)
class Bench:
    wsload: Wsload
    cores: Cores
    duration: float
    quick: bool = False

    @property
    def attempts(self) -> int:
        return 1 if self.quick else ATTEMPTS

    def seconds(self, figure: Figure) -> float:
        if figure.seconds is None:
            return self.duration
        return min(figure.seconds, QUICK_SECONDS) if self.quick else figure.seconds

    def command(self, server: Server, figure: Figure, seconds: float) -> list[str]:
        """What wsload is told, but for the port, the process and the core."""
        mode, *options = figure.arguments
        timed = [] if mode == "connect" or "--rounds" in options else ["--duration", f"{seconds:g}"]
        # The figure's own come last: wsload takes the last of two.
        return [mode, "--path", server.path, *server.wsload, *options, *timed, "--timeout", "120"]

    def limit(self, n: int, language: str) -> Sample:
        def once() -> Sample:
            result = self.wsload.limit(n, self.duration, python=language == PYTHON)
            return sample({RATE: float(result.get("deliveries_per_s", 0))}, result)

        return quietest(once, self.attempts)

    def measure(self, server: Server, figure: Figure) -> Sample:
        """Raises ``NotStartedError``."""
        once = {Kind.LOAD: self._load, Kind.GC: self._gc, Kind.DEAD: self._dead}[figure.kind]
        return quietest(lambda: once(server, figure), self.attempts)

    def _load(self, server: Server, figure: Figure) -> Sample:
        with running(server, self.cores) as (port, pid):
            result = self.wsload.run(self.command(server, figure, self.seconds(figure)), port=port, pid=pid)
        return sample(values(figure, result), result)

    def _gc(self, server: Server, figure: Figure) -> Sample:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pauses"
            with running(server, self.cores, ("benchmarks.gc_probe", str(file))) as (port, pid):
                begun = time.monotonic()
                result = self.wsload.run(self.command(server, figure, self.seconds(figure)), port=port, pid=pid)
            pauses = gc_probe.read(file)
        found = values(figure, result)
        if result.get("window_s"):
            start = begun + result["connect_s"] + BEFORE_MEASURING
            its = gc_probe.within(pauses, start, result["window_s"])
            found |= {LONGEST_PAUSE.name: its.longest_ms, PAUSES.name: its.ms_per_second}
        return sample(found, result)

    def _dead(self, server: Server, figure: Figure) -> Sample:
        with running(server, self.cores) as (port, pid):
            alone = self.wsload.run(self.command(server, figure, self.duration), port=port, pid=pid)
        command = self.command(server, figure, self.seconds(figure))
        with running(server, self.cores) as (port, pid), dead_readers(figure.dead, port, server.path):
            result = self.wsload.run(command, port=port, pid=pid)
            peak = peak_memory(pid)
        found = values(figure, result)
        # As it was for the others, and for the dead if the server had sent them everything.
        found[SENT.name] = result.get("broadcasts_total", 0) * payload_size(figure) / 2**20
        if found[SENT.name] < ENOUGH_FOR_THE_DEAD:
            return sample({SENT.name: found[SENT.name]}, alone, result)
        if rate := alone.get("deliveries_per_s"):
            found[KEPT.name] = found.get(DELIVERIES.name, 0) / rate
        if joined := result.get("rss_joined"):
            found[GROWTH.name] = max(0, peak - joined) / 2**20
        return sample(found, alone, result)


def payload_size(figure: Figure) -> int:
    return int(figure.arguments[figure.arguments.index("--size") + 1])


def values(figure: Figure, result: Result) -> dict[str, float]:
    """The metrics that wsload has measured itself."""
    found: dict[str, float] = {}
    for metric in figure.metrics:
        key, factor = WSLOAD.get(metric.name, ("", 1))
        # Where nothing was measured, because it failed before, there is no figure, not even zero.
        if result.get(key):
            found[metric.name] = float(result[key]) * factor
    return found


def sample(values: Mapping[str, float], *results: Result) -> Sample:
    """What one or more calls of wsload have found; the last is the one that counts."""
    return Sample(
        values=dict(values),
        server_cpu=results[-1].get("server_cpu", 0),
        load_cpu=results[-1].get("cpu", 0),
        other_cpu=max(result.get("other_cpu", 0) for result in results),
        lost=sum(result.get("lost", 0) for result in results),
        errors=[error for result in results for error in errors(result)],
    )


def errors(result: Result) -> Iterable[str]:
    return [] if result.get("ok") else result.get("errors") or ["wsload failed and does not say why"]
