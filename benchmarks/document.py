"""What a run finds out, as it is written to JSON and read from it."""

from pathlib import Path

import msgspec
from msgspec import Struct, field

from .machine import Machine

PYTHON, C = "Python", "C"
LIMITS = (PYTHON, C)
"""The languages in which a loop of ``send`` shows what one core can do at most."""


class Settings(Struct, frozen=True):
    repeat: int
    duration: float
    quick: bool = False


class Sample(Struct, frozen=True):
    """One repetition."""

    values: dict[str, float]
    """By the name of the metric."""
    server_cpu: float = 0
    load_cpu: float = 0
    other_cpu: float = 0
    """What everybody else used meanwhile, in cores."""
    lost: int = 0
    errors: list[str] = []
    attempts: int = 1
    """More than one when the machine had other things to do."""


class Spread(Struct, frozen=True):
    median: float
    low: float
    high: float


class Summary(Struct, frozen=True):
    value: Spread
    ratios: dict[str, Spread]
    """To the loop of each language, taken in the same round."""


class Metric(Struct, frozen=True):
    name: str
    unit: str
    digits: int = 0
    of_limit: bool = False
    """Is it a rate of messages, to be seen against the loop's?"""


class Series(Struct, frozen=True):
    """All repetitions of one server."""

    server: str
    title: str
    ours: bool
    command: str
    samples: list[Sample]
    summary: dict[str, Summary]
    marks: list[str]
    """What is to be known before the figures are believed."""


class Limit(Struct, frozen=True):
    """All repetitions of the loop in one language."""

    language: str
    command: str
    samples: list[Sample]
    rate: Spread
    marks: list[str]


class Result(Struct, frozen=True):
    """One figure."""

    name: str
    title: str
    metrics: list[Metric]
    limits: list[Limit]
    series: list[Series]


class Verdict(Struct, frozen=True):
    """One bar, and what came of it."""

    title: str
    target: str
    measured: str
    verdict: str


class Document(Struct):
    settings: Settings
    machine: Machine
    remarks: list[str] = []
    left_out: dict[str, str] = {}
    results: list[Result] = []
    bars: list[Verdict] = field(default_factory=list)


def write(document: Document, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")


def read(path: Path) -> Document:
    return msgspec.json.decode(path.read_bytes(), type=Document)
