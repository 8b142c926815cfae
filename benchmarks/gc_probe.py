"""Runs a module as a program, and notes in a file when its garbage collector stopped it, and for how long.

    python -m benchmarks.gc_probe FILE MODULE [ARGUMENT ...]

Each pause is written at its end: servers end by signals, and nothing that waits for an orderly exit would be written.
"""

import gc
import os
import runpy
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_RECORD = struct.Struct("=dd")


class Pause(NamedTuple):
    """In seconds, on the clock that all processes of a machine share."""

    start: float
    end: float


class Pauses(NamedTuple):
    """What the pauses of a measured time amount to."""

    longest_ms: float
    ms_per_second: float


def record(file: int) -> None:
    """Write every pause from now on to a file descriptor."""
    begun = 0.0

    def on_gc(phase: str, _: dict[str, int]) -> None:
        nonlocal begun
        if phase == "start":
            begun = time.monotonic()
        else:
            os.write(file, _RECORD.pack(begun, time.monotonic()))

    gc.callbacks.append(on_gc)


def read(path: Path) -> list[Pause]:
    data = path.read_bytes()
    return [Pause(*found) for found in _RECORD.iter_unpack(data[: len(data) // _RECORD.size * _RECORD.size])]


def within(pauses: Iterable[Pause], start: float, seconds: float) -> Pauses:
    lengths = [pause.end - pause.start for pause in pauses if start <= pause.start < start + seconds]
    return Pauses(max(lengths, default=0.0) * 1000, sum(lengths) * 1000 / seconds)


def main() -> None:
    path, module, *arguments = sys.argv[1:]
    record(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
