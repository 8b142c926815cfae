"""Programs that serve."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.support.processes import Process, running

PROGRAM = """
if __name__ == "__main__":
    from phoenix_channels import serve
    serve({app!r}, {options})
    print("and on it goes", flush=True)
"""


def serving(
    folder: Path, app: str = "tests.server.app:endpoint", *, pass_fds: tuple[int, ...] = (), **options: Any
) -> AbstractContextManager[Process]:
    """A program that calls ``serve`` with these options, on any free port unless they say otherwise."""
    if not {"uds", "fd", "port"} & options.keys():
        options["port"] = 0
    # However slow this machine may be: no worker is taken for dead.
    options["timeout_worker_healthcheck"] = 60
    program = folder / "program.py"
    program.write_text(
        PROGRAM.format(app=app, options=", ".join(f"{name}={value!r}" for name, value in options.items()))
    )
    return running(sys.executable, "-X", "dev", "-W", "error", str(program), pass_fds=pass_fds)
