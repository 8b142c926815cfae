"""Look for bytes that the decoders cannot stand: a million inputs for every target.

    python tests/fuzz/run.py
    python tests/fuzz/run.py --inputs 50000 v2_text token

With atheris, where it is installed, the inputs are led by what they cover; without it they are mutations of valid ones.
The first input that fails is shrunk and printed as a literal, and the exit status is 1.
"""

# ruff: noqa: T201 (a program that prints its result)

import argparse
import importlib
import importlib.util
import os
import secrets
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NoReturn

if __name__ == "__main__":  # started as a program, it finds only its own folder
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.corpus import MAX_LENGTH
from tests.fuzz.mutate import Check, Mutator, hunt, shrink

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

WITH_ATHERIS = importlib.util.find_spec("atheris") is not None
INSTRUMENTED = ["phoenix_channels.protocol", "phoenix_channels.token"]


def main(arguments: Sequence[str] | None = None) -> int:
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description="Fuzz whatever takes bytes from strangers.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for every target (default: a million)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="(default: another one every time)")
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    print(f"{'atheris' if WITH_ATHERIS else 'mutations'}, --seed {options.seed}", flush=True)
    # A process for each, so that one that hangs or dies takes no other with it.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        names = options.targets or TARGETS
        runs = [pool.submit(start, name, options.inputs, options.seed) for name in names]
        passed = [run.result() for run in as_completed(runs)]
    return 0 if all(passed) else 1


def start(name: str, inputs: int, seed: int) -> bool:
    """Run one target in a process of its own, and print how it went."""
    with tempfile.TemporaryDirectory() as folder:
        since = time.perf_counter()
        command = [sys.executable, __file__, "--alone", name, str(inputs), str(seed), folder]
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        seconds = time.perf_counter() - since
        report = Path(folder, "report")
        if run.returncode == 0 and report.exists():
            speed = f"{inputs / seconds:,.0f} inputs/second"
            print(f"{name}: {inputs:,} inputs, {report.read_text()} of them valid, {speed}", flush=True)
            return True
        # What ends a process (a crash, no end, too much memory) is left behind by atheris.
        found = [f"{path.name.partition('-')[0]}: {path.read_bytes()!r}" for path in Path(folder).glob("*-*")]
        lines = [line for line in run.stdout.splitlines() if not line.startswith(("INFO: ", "WARNING: "))]
        print(f"{name}: FAILED", *lines[-100:], *found, sep="\n", flush=True)
        return False


def alone(name: str, inputs: int, seed: int, folder: Path) -> NoReturn:
    """Run one target in this process, and end it."""
    if not WITH_ATHERIS:
        from tests.fuzz.targets import TARGETS

        target = TARGETS[name]
        accepted, failing = hunt(target.check, Mutator(target.seeds, target.words, Random(seed)), inputs)
        if failing is not None:
            sys.exit(describe(name, target.check, failing))
        (folder / "report").write_text(f"{accepted:,}")
        sys.exit()
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    count = accepted = 0

    def check(data: bytes) -> None:
        nonlocal count, accepted
        count += 1
        failed = True
        with suppress(Exception):
            accepted += target.check(data)
            failed = False
        if failed:
            print(describe(name, target.check, data), flush=True)
            os._exit(1)
        if count == inputs:
            # Its last: libFuzzer ends the process by itself.
            (folder / "report").write_text(f"{accepted:,}")

    atheris.Setup([name, *flags(target, inputs, seed, folder)], check)
    atheris.Fuzz()
    sys.exit()


def flags(target: "Target", inputs: int, seed: int, folder: Path) -> list[str]:
    """The arguments for libFuzzer; it reads the seeds and the words from files."""
    seeds = folder / "seeds"
    seeds.mkdir()
    for number, data in enumerate(target.seeds):
        (seeds / str(number)).write_bytes(data)
    words = folder / "words"
    words.write_text("".join('"' + "".join(rf"\x{byte:02x}" for byte in word) + '"\n' for word in target.words))
    limits = [f"-runs={inputs}", f"-max_len={MAX_LENGTH}", "-timeout=10", "-rss_limit_mb=1024"]
    return [*limits, f"-seed={seed}", f"-dict={words}", f"-artifact_prefix={folder}/", "-verbosity=0", str(seeds)]


def describe(name: str, check: Check, failing: bytes) -> str:
    """How it fails, and the smallest input found that does, to be pasted into a test."""
    failing = shrink(check, failing)
    try:
        check(failing)
    except Exception:
        how = traceback.format_exc()
    else:
        how = "It does not fail when it is tried again.\n"
    return f"{how}TARGETS[{name!r}].check({failing!r})"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        alone(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
    sys.exit(main())
