"""The machine that measures: which cores, which versions, how many files."""

import os
import platform
import resource
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec import Struct

PACKAGES = (
    "phoenix-channels",
    "msgspec",
    "websockets",
    "uvicorn",
    "uvloop",
    "httptools",
    "starlette",
    "python-socketio",
    "litestar",
    "channels",
    "django",
    "daphne",
)


class Cores(Struct, frozen=True):
    """Where the server runs, and where the load generator does; None when it has to share."""

    server: int
    load: int | None
    siblings: bool = False
    """Two threads of one core: each slows the other down."""


class Machine(Struct, frozen=True):
    cpu: str
    cpus: int
    cores: Cores
    kernel: str
    python: str
    versions: dict[str, str]


def describe(cores: Cores) -> Machine:
    return Machine(
        cpu=cpu_model(),
        cpus=len(os.sched_getaffinity(0)),
        cores=cores,
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions={package: found for package in PACKAGES if (found := version_of(package))},
    )


def mark(cores: Cores) -> list[str]:
    """What is wrong with every figure of this machine, in two words, to stand beside each."""
    return ["shared core"] if cores.load is None or cores.siblings else []


def remarks(cores: Cores) -> list[str]:
    """What is wrong with every figure of this machine."""
    if cores.load is None:
        return ["One core only: the server and the load generator share it, so no figure here is worth keeping."]
    if cores.siblings:
        return ["The server and the load generator are two threads of one core, and slow each other down."]
    return []


def choose_cores() -> Cores:
    allowed = os.sched_getaffinity(0)
    return pick(allowed, {cpu: siblings_of(cpu) for cpu in allowed})


def pick(allowed: Iterable[int], siblings: Mapping[int, frozenset[int]]) -> Cores:
    """The first core for the server; for the load generator the next one that is no thread of the same core."""
    server, *others = sorted(allowed)
    apart = [cpu for cpu in others if cpu not in siblings[server]]
    load = next(iter(apart or others), None)
    return Cores(server, load, siblings=load is not None and not apart)


def siblings_of(cpu: int) -> frozenset[int]:
    try:
        listed = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return frozenset({cpu})
    return parse_cpus(listed)


def parse_cpus(listed: str) -> frozenset[int]:
    """A list as the kernel writes it: ``0,64`` or ``0-1``."""
    found: set[int] = set()
    for part in listed.strip().split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def open_file_limit() -> int:
    """How many files a server may have open, raised as far as allowed; it inherits what this process has.

    A login shell usually has 1024, which a server with 1000 connections exceeds.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def peak_memory(pid: int) -> int:
    """The most bytes that a process has ever had in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"the kernel does not tell the peak memory of process {pid}")
