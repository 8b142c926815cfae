"""The load generator, ``wsload.c``: how it is built and run."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .machine import Cores

SOURCE = Path(__file__).with_name("wsload.c")

Result = dict[str, Any]


def build(folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        sys.exit("the load generator needs Linux and a C compiler (cc or gcc)")
    folder.mkdir(exist_ok=True)
    program = folder / "wsload"
    subprocess.run([compiler, "-O2", "-o", program, SOURCE], check=True)
    return program


class Wsload:
    """The program, pinned to its core."""

    def __init__(self, program: Path, cores: Cores) -> None:
        self._program = program
        self._cores = cores

    def run(self, arguments: Sequence[str], *, port: int, pid: int) -> Result:
        return self._run([*arguments, "--port", str(port), "--pid", str(pid)])

    def limit(self, n: int, seconds: float, *, python: bool) -> Result:
        """What one core can send when it does nothing else: a loop of ``send``, in Python or in C."""
        arguments = ["rawlimit", "--n", str(n), "--duration", str(seconds), "--server-cpu", str(self._cores.server)]
        return self._run([*arguments, "--python", sys.executable] if python else arguments)

    def _run(self, arguments: Sequence[str]) -> Result:
        pinned = () if self._cores.load is None else ("--cpu", str(self._cores.load))
        done = subprocess.run([self._program, *arguments, *pinned], capture_output=True, text=True, check=False)
        if not done.stdout.strip():
            return {"ok": False, "errors": [done.stderr.strip() or f"wsload ended with status {done.returncode}"]}
        result: Result = json.loads(done.stdout)
        return result
