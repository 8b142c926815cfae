"""The public types as a user meets them: mypy and pyright, both strict, over code that is right and code that is wrong.

Every file of ``accepted/`` passes both checkers. In ``rejected/`` a line that ends in ``# error`` (or in
``# error: why``) is a misuse: both checkers report it, and report nothing else. So a signature that lets too much
through is noticed as well as one that is in the way.
"""

import json
import re
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import TypeAlias

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ACCEPTED = sorted((HERE / "accepted").glob("*.py"))
REJECTED = sorted((HERE / "rejected").glob("*.py"))
FILES = [*ACCEPTED, *REJECTED]
MARK = re.compile(r"# error(:|$)")

Place: TypeAlias = tuple[Path, int]  # a file and a line of it


def main() -> int:
    if not ACCEPTED or not REJECTED:
        print("tests/typing: accepted/ and rejected/ must both hold files", file=sys.stderr)
        return 1
    marked = {place for file in REJECTED for place in marked_lines(file)}
    faults = [f"{shown((file, 1))}: no line is marked `# error`" for file in REJECTED if not marked_lines(file)]
    for name, checker in (("mypy", mypy), ("pyright", pyright)):
        found = checker()
        faults += [f"{shown(place)}: {name} accepts this" for place in sorted(marked - found.keys())]
        faults += [f"{shown(place)}: {name}: {found[place]}" for place in sorted(found.keys() - marked)]
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"{len(ACCEPTED)} accepted files, {len(marked)} rejected lines, {len(faults)} faults")
    return 1 if faults else 0


def marked_lines(file: Path) -> set[Place]:
    # Tokens and not text: a string may well contain the mark.
    with tokenize.open(file) as source:
        tokens = list(tokenize.generate_tokens(source.readline))
    return {(file, token.start[0]) for token in tokens if token.type == tokenize.COMMENT and MARK.match(token.string)}


def mypy() -> dict[Place, str]:
    reports = map(json.loads, run("mypy", "--strict", "--output", "json", *map(str, FILES)).splitlines())
    return {
        ((ROOT / report["file"]).resolve(), report["line"]): f"{report['message']} [{report['code']}]"
        for report in reports
        if report["severity"] == "error"
    }


def pyright() -> dict[Place, str]:
    # A project of its own, since pyproject.toml keeps the rejected files out of the ordinary run.
    output = json.loads(run("pyright", "--project", str(HERE), "--pythonpath", sys.executable, "--outputjson"))
    if output["summary"]["filesAnalyzed"] < len(FILES):
        raise SystemExit(f"pyright looked at {output['summary']['filesAnalyzed']} of {len(FILES)} files")
    reports = [report for report in output["generalDiagnostics"] if report["severity"] == "error"]
    return {
        # Pyright counts lines from 0.
        (Path(report["file"]).resolve(), report["range"]["start"]["line"] + 1): (
            f"{report['message']} [{report.get('rule', 'syntax')}]"
        )
        for report in reports
    }


def run(checker: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", checker, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    # 0: nothing found; 1: errors found; anything else: the checker did not do its work.
    if done.returncode not in {0, 1}:
        raise SystemExit(f"{checker} failed ({done.returncode}):\n{done.stdout}")
    return done.stdout


def shown(place: Place) -> str:
    file, line = place
    return f"{file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}:{line}"


if __name__ == "__main__":
    sys.exit(main())
