"""Every row of the inventory has a test that bears its number, or a reason why it does not apply."""

from __future__ import annotations

import ast
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TESTS = HERE.parent


@dataclass(frozen=True)
class Inventory:
    """The rows, and the reasons of those that need no test."""

    behaviour: Mapping[str, str]
    not_applicable: Mapping[str, str] = field(default_factory=dict)

    def problems(self, covered: Mapping[str, list[str]]) -> list[str]:
        """What does not agree between the rows and the tests that name them."""
        return [
            *(
                f"{number} has neither a test nor a reason: {sentence}"
                for number, sentence in self.behaviour.items()
                if number not in covered and number not in self.not_applicable
            ),
            *(
                f"{number} does not apply, and yet there is {', '.join(covered[number])}"
                for number in self.not_applicable
                if number in covered
            ),
            *(f"{number} has a reason but is no row" for number in self.not_applicable if number not in self.behaviour),
            *(
                f"{number} is no row, but {', '.join(tests)} names it"
                for number, tests in covered.items()
                if number not in self.behaviour
            ),
        ]


def load(path: Path) -> Inventory:
    with path.open("rb") as file:
        return Inventory(**tomllib.load(file))


def marked_tests(folder: Path) -> dict[str, list[str]]:
    """The tests below a folder that bear each number.

    The files are read and not imported, so that the result does not depend on which tests have been selected.
    """
    covered: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        for test, number in _markers(ast.parse(path.read_bytes()), f"{path.relative_to(folder)}"):
            covered.setdefault(number, []).append(test)
    return covered


def _markers(module: ast.Module, where: str) -> Iterator[tuple[str, str]]:
    nodes = list(ast.walk(module))
    calls = {node.func: node for node in nodes if isinstance(node, ast.Call)}
    on_tests = {
        decorator: function.name
        for function in nodes
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test_")
        for decorator in function.decorator_list
    }
    for node in nodes:
        if not (isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.feature"):
            continue
        call = calls.get(node)
        if call is None or call not in on_tests:
            raise ValueError(f'{where}:{node.lineno}: legal is @pytest.mark.feature("B001", ...) on a test function')
        numbers = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        if not numbers or call.keywords or [type(number) for number in numbers] != [str] * len(call.args):
            raise ValueError(f"{where}:{node.lineno}: a feature is named by the numbers of its rows, as strings")
        for number in numbers:
            yield f"{where}::{on_tests[call]}", str(number)


def test_every_row_has_a_test_or_a_reason_and_every_marker_a_row() -> None:
    problems = load(HERE / "inventory.toml").problems(marked_tests(TESTS))
    assert not problems, "\n".join(["", *problems])


def test_the_inventory_is_written_in_sentences() -> None:
    inventory = load(HERE / "inventory.toml")
    for text in (*inventory.behaviour.values(), *inventory.not_applicable.values()):
        assert text.endswith(".")
        assert text.strip() == text


# The comparison itself


def write(folder: Path, name: str, code: str) -> None:
    (folder / name).write_text(textwrap.dedent(code))


def test_markers_are_found_on_tests_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(
        tmp_path / "deep",
        "test_one.py",
        """
        @pytest.mark.parametrize("n", [1])
        @pytest.mark.feature("B001", "B002")
        async def test_a(): ...

        class TestGroup:
            @pytest.mark.feature("B002")
            def test_b(self): ...
        """,
    )
    write(tmp_path, "no_tests.py", '@pytest.mark.feature("B003")\ndef test_c(): ...\n')
    one = str(Path("deep") / "test_one.py")
    assert marked_tests(tmp_path) == {"B001": [f"{one}::test_a"], "B002": [f"{one}::test_a", f"{one}::test_b"]}


@pytest.mark.parametrize(
    "code",
    [
        'pytestmark = pytest.mark.feature("B001")',
        'B1 = pytest.mark.feature\n@B1("B001")\ndef test_a(): ...',
        '@pytest.mark.feature("B001")\ndef helper(): ...',
        '@pytest.mark.feature("B001")\nclass TestA: ...',
        "@pytest.mark.feature\ndef test_a(): ...",
        "@pytest.mark.feature()\ndef test_a(): ...",
        "@pytest.mark.feature(1)\ndef test_a(): ...",
        '@pytest.mark.feature(*["B001"])\ndef test_a(): ...',
        '@pytest.mark.feature(number="B001")\ndef test_a(): ...',
    ],
)
def test_a_marker_that_could_be_overlooked_is_an_error(tmp_path: Path, code: str) -> None:
    write(tmp_path, "test_one.py", code)
    with pytest.raises(ValueError, match=r"test_one\.py:\d"):
        marked_tests(tmp_path)


def test_what_does_not_agree_is_named() -> None:
    inventory = Inventory(
        {"B001": "One.", "B002": "Two.", "B003": "Three.", "B004": "Four."}, {"B003": "No.", "B004": "No.", "B005": "."}
    )
    assert inventory.problems({"B001": ["test_a"], "B003": ["test_b", "test_c"], "B006": ["test_d"]}) == [
        "B002 has neither a test nor a reason: Two.",
        "B003 does not apply, and yet there is test_b, test_c",
        "B005 has a reason but is no row",
        "B006 is no row, but test_d names it",
    ]
