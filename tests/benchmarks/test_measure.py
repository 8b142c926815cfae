"""The whole way once, for so short a time that the figures mean nothing: messages arrive, and metrics are found."""

import shutil
import sys
from dataclasses import replace

import pytest

from benchmarks import wsload
from benchmarks.document import PYTHON
from benchmarks.figures import FIGURES, Figure, Kind
from benchmarks.machine import choose_cores
from benchmarks.measure import Bench
from benchmarks.samples import RATE
from benchmarks.servers import SERVERS, NotStartedError, Server

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not (shutil.which("cc") or shutil.which("gcc")),
    reason="the load generator needs Linux and a C compiler",
)
# Of the last kind the one with rounds: it sends as much as it has to, however slow the machine is.
FIGURE_OF_KIND = {Kind.LOAD: FIGURES[0]} | {figure.kind: figure for figure in FIGURES if figure.kind is not Kind.LOAD}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    cores = choose_cores()
    program = wsload.build(tmp_path_factory.mktemp("wsload"))
    # One attempt is enough where nothing depends on the rest of the machine.
    return Bench(wsload.Wsload(program, cores), cores, duration=0.2, quick=True)


def server_called(name: str) -> Server:
    return next(server for server in SERVERS if server.name == name)


def small(figure: Figure) -> Figure:
    return replace(
        figure, arguments=(*figure.arguments, "--n", "10", "--warmup", "0.1"), dead=min(figure.dead, 1), seconds=None
    )


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_figure_finds_all_its_metrics(bench: Bench, kind: Kind) -> None:
    figure = FIGURE_OF_KIND[kind]
    found = bench.measure(server_called("websockets"), small(figure))
    assert (found.lost, found.errors) == (0, [])
    assert set(found.values) == {metric.name for metric in figure.metrics}


def test_dead_readers_for_whom_too_little_was_sent_show_nothing(bench: Bench) -> None:
    figure = small(FIGURE_OF_KIND[Kind.DEAD])
    found = bench.measure(server_called("websockets"), replace(figure, arguments=(*figure.arguments, "--rounds", "3")))
    assert (found.errors, set(found.values)) == ([], {"sent"})


def test_a_peer_delivers_what_it_is_sent(bench: Bench) -> None:
    found = bench.measure(server_called("websockets.broadcast"), small(FIGURES[0]))
    assert (found.lost, found.errors) == (0, [])
    assert found.values["deliveries"] > 0


def test_the_loop_has_a_rate(bench: Bench) -> None:
    assert bench.limit(10, PYTHON).values[RATE] > 0


def test_a_server_that_does_not_start_says_why(bench: Bench) -> None:
    broken = Server("broken", "broken", "benchmarks.peers.absent", "/")
    with pytest.raises(NotStartedError, match=r"No module named benchmarks.peers\.absent"):
        bench.measure(broken, FIGURES[0])
