# The part of transcript.py that is called here; the program itself is kept as it was when it recorded Phoenix.

from collections.abc import Callable
from typing import TypedDict

class Recording(TypedDict):
    name: str
    log: list[str]

RACY: tuple[str, ...]
SCENARIOS: dict[str, object]
canonical: Callable[[str], str | None]

async def record(name: str, url: str, quiet: float, timeout: float) -> Recording: ...
def load(path: str) -> dict[str, list[str]]: ...
def comparable(entry: str, headers: bool) -> str: ...
