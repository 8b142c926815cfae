"""How fast is it here?  ``make bench`` prints a table and writes ``build/benchmarks.json``.

Each server runs the conformance application on one core, the load generator (``wsload.c``) on another.  Absolute
figures are about the machine; read the ratios to the bare Python ``send`` loop, which is measured in the same run.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
SERVERS = ("uvicorn", "websockets")
SERVER_CPU, LOAD_CPU = 0, 1


@dataclass(frozen=True)
class Figure:
    """One kind of measurement: how wsload is called, and which of its numbers counts."""

    name: str
    unit: str
    key: str
    arguments: tuple[str, ...]


CONNECT = ("connect", "--n", "1000", "--hold", "1")
FAN_OUT = ("fanout", "--n", "1000")
FIGURES = (
    Figure("fan-out to 1000, one outstanding", "deliveries/s", "deliveries_per_s", (*FAN_OUT, "--window", "1")),
    Figure("fan-out to 1000, ten outstanding", "deliveries/s", "deliveries_per_s", (*FAN_OUT, "--window", "10")),
    Figure("push and reply, 100 x 4 outstanding", "replies/s", "replies_per_s", ("rtt", "--n", "100", "--window", "4")),
    Figure("connect and join, 1000 clients", "joins/s", "joins_per_s", CONNECT),
    Figure("memory of a joined client, of 1000", "bytes", "bytes_per_conn", CONNECT),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--duration", type=float, default=3.0, help="seconds of each measurement")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each measurement; the median counts")
    parser.add_argument("--server", choices=SERVERS, action="append", help="measure this one only; may be repeated")
    options = parser.parse_args()
    wsload = build_wsload()
    limit = median([run_limit(wsload, options.duration) for _ in range(options.repeat)])
    print(f"bare Python send loop, 1000 connections: {limit:,.0f} deliveries/s")
    results: list[dict[str, Any]] = []
    for server in options.server or SERVERS:
        for figure in FIGURES:
            values = [measure(wsload, server, figure, options.duration) for _ in range(options.repeat)]
            results.append({"server": server, "figure": figure.name, "unit": figure.unit, "values": values})
            ratio = f"{median(values) / limit:7.2f} x send loop" if figure.unit.endswith("/s") else ""
            spread = f"({min(values):,.0f} to {max(values):,.0f})"
            print(
                f"{server:11} {figure.name:48} {median(values):11,.0f} {figure.unit:12} {spread:24} {ratio}", flush=True
            )
    BUILD.mkdir(exist_ok=True)
    output = BUILD / "benchmarks.json"
    output.write_text(json.dumps({"send_loop": limit, "results": results}, indent=2) + "\n")
    print(f"written to {output.relative_to(ROOT)}")
    return 0


def build_wsload() -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        sys.exit("the load generator needs Linux and a C compiler (cc or gcc)")
    BUILD.mkdir(exist_ok=True)
    program = BUILD / "wsload"
    subprocess.run([compiler, "-O2", "-o", program, Path(__file__).with_name("wsload.c")], check=True)
    return program


def median(values: list[float]) -> float:
    return statistics.median(values)


def cpus() -> tuple[str, ...]:
    """The load generator's core, when there is one besides the server's."""
    return ("--cpu", str(LOAD_CPU)) if (os.cpu_count() or 1) > 1 else ()


def wsload_json(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
    if done.returncode or not result.get("ok"):
        sys.exit(f"{' '.join(command)} failed: {result.get('errors')} {done.stderr}")
    return result


def run_limit(wsload: Path, duration: float) -> float:
    command = [str(wsload), "rawlimit", "--n", "1000", "--duration", str(duration), "--python", sys.executable, *cpus()]
    return float(wsload_json([*command, "--server-cpu", str(SERVER_CPU)])["deliveries_per_s"])


def measure(wsload: Path, server: str, figure: Figure, duration: float) -> float:
    with running(server) as (port, pid):
        command = [
            str(wsload),
            *figure.arguments,
            "--port",
            str(port),
            "--path",
            "/socket/websocket",
            "--pid",
            str(pid),
        ]
        if "--hold" not in figure.arguments:
            command += ["--duration", str(duration)]
        return float(wsload_json([*command, *cpus()])[figure.key])


@contextmanager
def running(server: str) -> Iterator[tuple[int, int]]:
    """A fresh server process on a core of its own: its port and its process id."""
    program = ROOT / "tests" / "conformance" / "app.py"
    process = subprocess.Popen(
        [sys.executable, program, "--port", "0", "--server", server], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(process.pid, {SERVER_CPU})
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit(f"the {server} server did not start")
        yield json.loads(line)["port"], process.pid
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
