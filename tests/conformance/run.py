"""Compare what the application answers with what Phoenix answered, scenario by scenario, on every server.

    python tests/conformance/run.py --all
    python tests/conformance/run.py --server websockets --only 'join_*'

Scenarios run in parallel, on several processes of each server: topics have the same names in all of them, so that two
at once on one process would see each other's broadcasts. The exit status is 1 when a scenario differs that
``allowed.toml`` does not list, and when one is equal that it does list.
"""

import argparse
import asyncio
import difflib
import fnmatch
import gc
import re
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":  # started as a program, it finds only its own folder
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.conformance import transcript
from tests.conformance.servers import SERVERS, AppPool, AppProcess

HERE = Path(__file__).parent
EXPECTED = transcript.load(str(HERE / "phoenix-1.8.12.jsonl"))
LEGAL_REASON = re.compile(
    r"V1|binary|long poll|presence|HTTP on websockets|connect option: \S.*|race: \S.*|deviation [1-8]: \S.*"
    r"|server limit: \S.*\(P-\d{3}\)"
)
# Processes of each server. A scenario sleeps nearly all the time, until the wire has been quiet for a while.
PROCESSES = 12
QUIET = 0.15


def load_allowed(path: Path = HERE / "allowed.toml") -> dict[tuple[str, str], str]:
    """The reason for each (server, scenario) that need not be equal."""
    with path.open("rb") as file:
        tables = tomllib.load(file)
    allowed: dict[tuple[str, str], str] = {}
    for table, entries in tables.items():
        for scenario, reason in entries.items():
            if scenario not in EXPECTED or table not in ("all", *SERVERS) or not LEGAL_REASON.fullmatch(reason):
                raise ValueError(
                    f"{path.name}: no such scenario, server or legal reason: [{table}] {scenario} = {reason!r}"
                )
            for server in SERVERS if table == "all" else (table,):
                if (server, scenario) in allowed:
                    raise ValueError(f"{path.name}: {scenario} is listed twice for {server}")
                allowed[server, scenario] = reason
    return allowed


@dataclass(frozen=True)
class Outcome:
    """One scenario on one server: how the recording differs from Phoenix's, and why that is allowed, if it is."""

    server: str
    scenario: str
    diff: Sequence[str]
    reason: str | None

    @property
    def problem(self) -> str | None:
        name = f"{self.server}: {self.scenario}"
        if self.diff and self.reason is None:
            return "\n".join((f"{name} differs from Phoenix", *self.diff))
        if not self.diff and self.reason is not None and not self.reason.startswith("race:"):
            return f"{name} is equal now; remove it from allowed.toml ({self.reason})"
        return None


class Comparison(NamedTuple):
    outcomes: list[Outcome]
    complaints: list[str]
    """Of the processes, about anything; see ``AppPool``."""


def compare(
    servers: Iterable[str],
    scenarios: Iterable[str] = EXPECTED,
    *,
    processes: int = PROCESSES,
    quiet: float = QUIET,
    progress: Callable[[Outcome], None] | None = None,
) -> Comparison:
    """Record the scenarios on each server and compare them with the recording of Phoenix."""
    servers, scenarios = list(servers), list(scenarios)
    allowed = load_allowed()

    async def record(process: AppProcess, waiting: list[str]) -> list[Outcome]:
        url = f"{await asyncio.to_thread(lambda: process.url)}/socket"
        outcomes: list[Outcome] = []
        while waiting:
            scenario = waiting.pop()
            reason = allowed.get((process.server, scenario))
            expected = comparable(EXPECTED[scenario])
            actual = comparable((await transcript.record(scenario, url, quiet, 60))["log"])
            if reason is None and late(expected, actual):
                actual = comparable((await transcript.record(scenario, url, 4 * quiet, 60))["log"])
            outcomes.append(Outcome(process.server, scenario, difference(expected, actual), reason))
            if progress is not None:
                progress(outcomes[-1])
        return outcomes

    async def record_all(pool: Iterable[AppProcess]) -> list[list[Outcome]]:
        # The longest come last, and are taken first: otherwise one of them is left over when all else is done.
        shortest_first = sorted(scenarios, key=lambda scenario: len(EXPECTED[scenario]))
        waiting = {server: list(shortest_first) for server in servers}
        return await asyncio.gather(*(record(process, waiting[process.server]) for process in pool))

    pool = AppPool(server for server in servers for _ in range(min(processes, len(scenarios))))
    with pool as running:
        outcomes = list(chain.from_iterable(asyncio.run(record_all(running))))
        # The recorder leaves connections that a server hung up on to the garbage collector. A server waits for them.
        gc.collect()
    outcomes.sort(key=lambda outcome: (servers.index(outcome.server), scenarios.index(outcome.scenario)))
    return Comparison(outcomes, pool.complaints)


def comparable(log: Iterable[str]) -> list[str]:
    return [transcript.comparable(entry, False) for entry in log]


def late(expected: Sequence[str], actual: Sequence[str]) -> bool:
    """Whether each client got what it should, in order, as far as it got, but not all of it in the step it belongs to.

    A busy machine does that: the next step begins when the wire has been quiet for a while. A frame that is wrong, or
    out of order, is no such case.
    """
    wanted, got = received(expected), received(actual)
    return expected != actual and all(wanted.get(name, [])[: len(frames)] == frames for name, frames in got.items())


def received(log: Iterable[str]) -> dict[str, list[str]]:
    frames: dict[str, list[str]] = {}
    for entry in log:
        if found := re.match(r"[\w-]+(?=<)", entry):
            frames.setdefault(found[0], []).append(entry)
    return frames


def difference(expected: Sequence[str], actual: Sequence[str]) -> list[str]:
    lines = difflib.unified_diff(expected, actual, "Phoenix", "here", lineterm="", n=2)
    return [line if len(line) <= 600 else f"{line[:600]}..." for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="every server (the default)")
    which.add_argument("--server", action="append", choices=SERVERS)
    parser.add_argument(
        "--only", action="append", metavar="PATTERN", help="scenarios, such as 'join_*'; may be repeated"
    )
    parser.add_argument(
        "--processes", type=int, default=PROCESSES, help="processes of each server (default %(default)s)"
    )
    parser.add_argument("--quiet", type=float, default=QUIET, metavar="SECONDS", help="when a step counts as answered")
    parser.add_argument("--show-allowed", action="store_true", help="print the differences that are allowed, too")
    options = parser.parse_args()

    scenarios = [name for name in EXPECTED if not options.only or any(fnmatch.fnmatch(name, p) for p in options.only)]
    if not scenarios:
        parser.error("no scenario has such a name")
    servers = options.server or SERVERS
    started = time.monotonic()

    def progress(outcome: Outcome) -> None:
        if outcome.problem:
            print(outcome.problem, end="\n\n", flush=True)
        elif outcome.diff and options.show_allowed:
            print(
                f"{outcome.server}: {outcome.scenario} may differ: {outcome.reason}",
                *outcome.diff,
                sep="\n",
                end="\n\n",
            )

    outcomes, complaints = compare(
        servers, scenarios, processes=options.processes, quiet=options.quiet, progress=progress
    )
    for server in servers:
        own = [outcome for outcome in outcomes if outcome.server == server]
        equal = sum(not outcome.diff for outcome in own)
        problems = sum(outcome.problem is not None for outcome in own)
        print(f"{server}: {equal} of {len(own)} scenarios equal, {len(own) - equal} not equal, {problems} unexpected")
    print(f"{time.monotonic() - started:.1f} s")
    for complaint in complaints:
        print(f"\n{complaint}")
    sys.exit(bool(complaints) or any(outcome.problem for outcome in outcomes))


if __name__ == "__main__":
    main()
