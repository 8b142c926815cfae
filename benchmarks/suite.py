"""All repetitions of all figures, in rounds, and what came of them."""

import sys
from collections.abc import Iterable, Iterator

from . import samples
from .bars import judge
from .document import LIMITS, PYTHON, Document, Limit, Result, Sample, Series
from .figures import Figure
from .machine import mark
from .measure import Bench
from .samples import RATE
from .servers import NotStartedError, Server


class Suite:
    """Fills a document, figure by figure."""

    def __init__(self, bench: Bench, servers: Iterable[Server], document: Document, file_limit: int) -> None:
        self._bench = bench
        self._document = document
        self._file_limit = file_limit
        self._servers: list[Server] = []
        for server in servers:
            if missing := server.missing():
                document.left_out[server.name] = f"{' and '.join(missing)} not installed"
            else:
                self._servers.append(server)
        self.failed = False
        """Has anything gone wrong that is no fault of the machine?"""

    def run(self, figures: Iterable[Figure]) -> Iterator[Result]:
        for figure in figures:
            # A few files are open for other things than connections.
            if figure.connections + 64 > self._file_limit:
                self._document.left_out[figure.name] = f"the limit of open files is {self._file_limit:,} (ulimit -Hn)"
                continue
            result = self._figure(figure)
            self._document.results.append(result)
            self._document.bars = judge(self._document.results, self._document.settings)
            yield result

    def _figure(self, figure: Figure) -> Result:
        """Round by round, and in each round every server beside the loops: what changes meanwhile changes all."""
        limits: dict[str, list[Sample]] = {language: [] for language in LIMITS} if figure.limit else {}
        found: dict[str, list[Sample]] = {}
        repeat = self._document.settings.repeat
        for number in range(1, repeat + 1):
            for language, its in limits.items():
                progress(f"{figure.title}, {number} of {repeat}: send loop in {language}")
                its.append(self._bench.limit(figure.limit, language))
            for server in list(self._servers):
                if figure.peers or server.ours:
                    progress(f"{figure.title}, {number} of {repeat}: {server.name}")
                    self._sample(server, figure, found.setdefault(server.name, []))
        progress("")
        return Result(
            figure.name,
            figure.title,
            list(figure.metrics),
            [self._limit(figure, language, its) for language, its in limits.items()],
            [
                self._series(server, figure, found[server.name], limits)
                for server in self._servers
                if found.get(server.name)
            ],
        )

    def _sample(self, server: Server, figure: Figure, its: list[Sample]) -> None:
        try:
            its.append(self._bench.measure(server, figure))
        except NotStartedError as error:
            self._servers.remove(server)
            self._document.left_out[server.name] = f"it does not start: {error}"
            self.failed = True
        else:
            self.failed |= server.ours and bool(its[-1].errors)

    def _limit(self, figure: Figure, language: str, its: list[Sample]) -> Limit:
        command = f"wsload rawlimit --n {figure.limit} --duration {self._bench.duration:g}"
        if language == PYTHON:
            command += " --python python"
        return Limit(language, command, its, samples.spread(one.values[RATE] for one in its), self._marks(its))

    def _series(self, server: Server, figure: Figure, its: list[Sample], limits: dict[str, list[Sample]]) -> Series:
        command = ["wsload", *self._bench.command(server, figure, self._bench.seconds(figure))]
        return Series(
            server.name,
            server.title,
            server.ours,
            " ".join(command),
            its,
            samples.summarise(figure.metrics, its, limits),
            self._marks(its),
        )

    def _marks(self, its: list[Sample]) -> list[str]:
        return [*mark(self._bench.cores), *samples.marks(its)]


def progress(line: str) -> None:
    """What is being done now, on a line of its own that the next one overwrites."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
