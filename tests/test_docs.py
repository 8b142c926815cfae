"""The documentation: its code is code that runs, its links lead somewhere, and it builds without a warning."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

import phoenix_channels

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
README = ROOT / "README.md"
PAGES = sorted(DOCS.rglob("*.md"))
READMES = [README, *sorted((ROOT / "src").rglob("README.md")), EXAMPLES / "notifications/README.md"]
CODE = {"python", "py", "python3", "javascript", "js", "mjs", "typescript", "ts"}
"""Languages whose blocks the tests have to run."""
OTHER = {"sh", "json", "text"}
"""Languages that a page may write down."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


class Block(NamedTuple):
    """A fenced block: what stands behind the fence, its options, and its content."""

    info: str
    options: dict[str, str]
    content: str

    @property
    def directive(self) -> str | None:
        found = re.match(r"\{([\w-]+)\}", self.info)
        return found[1] if found else None

    @property
    def argument(self) -> str:
        return self.info.partition("}")[2].strip()


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of a page, at any indentation."""
    text = path.read_text(encoding="utf-8")
    for _, _, info, body in re.findall(r"^( *)(`{3,}|~{3,})([^\n`]*)\n(.*?)^\1\2 *$", text, re.MULTILINE | re.DOTALL):
        content = dedent(body)
        options = dict(re.findall(r"^:([\w-]+): *(.*)$", content, re.MULTILINE))
        yield Block(info.strip(), options, content)


def prose(path: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(
        r"^( *)(`{3,}|~{3,})[^\n]*\n.*?^\1\2 *$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )


# Code


@cache
def sources() -> dict[str, str]:
    """The files below ``examples``, by name."""
    return {
        name_of(path): path.read_text(encoding="utf-8")
        for path in sorted(EXAMPLES.rglob("*"))
        if path.suffix in (".py", ".mjs", ".js") and "node_modules" not in path.parts
    }


def is_part(block: str, source: str) -> bool:
    """Are these whole lines of the source, in this order and without gaps, at whatever indentation?"""
    wanted, lines = dedent(block).strip("\n").split("\n"), source.split("\n")
    return any(
        dedent("\n".join(lines[start : start + len(wanted)])).split("\n") == wanted
        for start in range(len(lines) - len(wanted) + 1)
    )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_of_a_page_is_included(page: Path) -> None:
    written = [block.info for block in blocks(page) if block.directive is None and block.info not in OTHER]
    written += [block.info for block in blocks(page) if block.directive in ("code", "code-block", "sourcecode")]
    assert written == [], "code of a page is the literalinclude of a file below examples/"
    assert not re.search(r"^ *\.\. (code|code-block|sourcecode|parsed-literal)::", page.read_text(), re.MULTILINE)


def test_code_of_the_readme_is_part_of_an_example() -> None:
    found = [block for block in blocks(README) if block.info in CODE]
    assert found
    for block in found:
        assert any(is_part(block.content, source) for source in sources().values()), block.content
    assert {block.info for block in blocks(README)} <= CODE | OTHER


INCLUDES = [(page, block) for page in PAGES for block in blocks(page) if block.directive == "literalinclude"]


@pytest.mark.parametrize(("page", "block"), INCLUDES, ids=[f"{page.stem}-{b.argument}" for page, b in INCLUDES])
def test_what_is_included_is_run_by_a_test(page: Path, block: Block) -> None:
    path = (page.parent / block.argument).resolve()
    assert path.is_file()
    # What the tests consist of is run by them.
    assert name_of(path) in run_by_tests() or path.is_relative_to(ROOT / "tests")
    source = path.read_text(encoding="utf-8")
    for option in ("start-after", "start-at", "end-before", "end-at"):
        marker = block.options.get(option, "").strip("\"'")
        assert marker in source


@cache
def run_by_tests() -> frozenset[str]:
    """The examples that a test imports or names, and those that these import."""
    tests = (path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    found: set[str] = set()
    waiting = [name for path in tests for name in examples_named_in(path)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += examples_named_in(ROOT / name) if name.endswith(".py") else []
    return frozenset(found)


def examples_named_in(path: Path) -> Iterator[str]:
    """What a Python file imports from the examples, or names in a string."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*start, *((node.module,) if node.module else ())))
            modules = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            modules = re.findall(r"\bexamples(?:\.\w+)+", node.value)
            yield from (name for name in sources() if not name.endswith(".py") and name.endswith(f"/{node.value}"))
        else:
            continue
        for name in modules:
            yield from files_of(name)


def files_of(module: str) -> list[str]:
    """The example that a module is: its file, or what ``python -m`` runs of a package."""
    path = module.replace(".", "/")
    return [name for name in (f"{path}.py", f"{path}/__main__.py") if name in sources()]


# Links, names, commands


def anchors(path: Path) -> set[str]:
    """What a link may name behind the ``#``: the headings of a page, and its labels."""
    text = prose(path)
    headings = re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))


@pytest.mark.parametrize("page", [*READMES, *PAGES], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("page", [*READMES, *PAGES], ids=name_of)
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)[0].split()
    for target in re.findall(r"(?:^|`)make (\w+)", text, re.MULTILINE):
        assert target in targets
    for path in re.findall(r"`((?:examples|tests|docs|src)/[^`*<> ]*)`", text):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"\b(examples(?:\.\w+)+)(?::\w+)?", re.sub(r"examples(/\w+)+\.\w+", "", text)):
        assert files_of(module), module


def test_the_reference_has_every_public_name() -> None:
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\.\. auto\w+:: (\w+)", text, re.MULTILINE))
    public = {
        name for name, value in vars(phoenix_channels).items() if getattr(value, "__module__", "").startswith("ph")
    }
    assert public
    assert public <= documented


def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="sphinx is needed to build the documentation")
    command = [sys.executable, "-m", "sphinx", "-n", "-W", "--keep-going", "-q", str(DOCS), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
