"""How fast is it here?  ``make bench`` prints tables and writes ``build/benchmarks.json``.

Each server runs on one core, the load generator (``wsload.c``) on another.  Absolute figures are about the machine;
read the ratios to a bare loop of ``send``, which is measured in the same round.
"""

import argparse
import sys
from pathlib import Path

from . import document, machine, report, wsload
from .document import Document, Settings
from .figures import FIGURES
from .measure import Bench
from .servers import ROOT, SERVERS
from .suite import Suite

BUILD = ROOT / "build"
OUTPUT = BUILD / "benchmarks.json"


def main() -> int:
    options = parse()
    if options.plot is not None:
        from .plot import publish  # noqa: PLC0415 -- matplotlib is not needed to measure

        for written in publish(document.read(options.plot), ROOT / "docs/figures"):
            print(f"written to {written.relative_to(ROOT)}")
        return 0
    cores = machine.choose_cores()
    settings = Settings(options.repeat, options.duration, quick=options.quick)
    found = Document(settings, machine.describe(cores), machine.remarks(cores))
    bench = Bench(wsload.Wsload(wsload.build(BUILD), cores), cores, settings.duration, quick=settings.quick)
    suite = Suite(
        bench,
        [server for server in SERVERS if server.name in (options.server or [server.name])],
        found,
        machine.open_file_limit(),
    )
    print(report.remarks_text(found), flush=True)
    figures = [
        figure
        for figure in FIGURES
        if (figure.name in options.figure if options.figure else figure.quick or not settings.quick)
    ]
    for result in suite.run(figures):
        print(f"\n{report.text(result)}", flush=True)
        document.write(found, OUTPUT)
    if found.bars:
        print(f"\n{report.bars_text(found.bars)}")
    for name, reason in found.left_out.items():
        print(f"left out: {name}: {reason}")
    print(f"written to {OUTPUT.relative_to(ROOT)}")
    return 1 if suite.failed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repetition of a second, no large fan-out")
    parser.add_argument("--duration", type=float, help="seconds of each measurement (default: 3)")
    parser.add_argument("--repeat", type=int, help="repetitions of each; the median counts (default: 5)")
    parser.add_argument(
        "--server",
        choices=[server.name for server in SERVERS],
        action="append",
        metavar="NAME",
        help="this one only, may be repeated: %(choices)s",
    )
    parser.add_argument(
        "--figure",
        choices=[figure.name for figure in FIGURES],
        action="append",
        metavar="NAME",
        help="this one only, may be repeated: %(choices)s",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        nargs="?",
        const=OUTPUT,
        metavar="FILE",
        help=f"measure nothing; make the page's table and plot of a file (default: {OUTPUT.relative_to(ROOT)})",
    )
    options = parser.parse_args()
    options.repeat = options.repeat or (1 if options.quick else 5)
    options.duration = options.duration or (1.0 if options.quick else 3.0)
    return options


if __name__ == "__main__":
    sys.exit(main())
