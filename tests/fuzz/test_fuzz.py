"""Some thousand inputs for every target, the same in every run; `make fuzz` has a million."""

import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.mutate import Mutator, hunt, shrink
from tests.fuzz.run import describe, main
from tests.fuzz.targets import TARGETS

INPUTS = 3_000


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_a_stranger_sends_is_taken_or_refused(name: str) -> None:
    target = TARGETS[name]
    _, failing = hunt(target.check, Mutator(target.seeds, target.words, Random(1)), INPUTS)
    assert failing is None, describe(name, target.check, failing)


@pytest.mark.parametrize("name", TARGETS)
def test_the_inputs_begin_with_valid_ones(name: str) -> None:
    target = TARGETS[name]
    assert sum(map(target.check, target.seeds)) > len(target.seeds) / 2


def no_brackets(data: bytes) -> bool:
    if b"[" in data and b"]" in data:
        raise AttributeError("brackets")
    return b"ok" in data


def test_a_failure_is_found_and_shrunk_to_what_fails() -> None:
    mutator = Mutator([b"ok, and more", b"also ok"], [b"[", b"]", b"some words"], Random(1))
    _, failing = hunt(no_brackets, mutator, INPUTS)
    assert failing is not None
    assert sorted(shrink(no_brackets, failing)) == sorted(b"[]")


def test_the_search_goes_on_from_what_was_accepted() -> None:
    def not_many_words(data: bytes) -> bool:
        assert data.count(b"word") < 20
        return b"word" in data

    _, failing = hunt(not_many_words, Mutator([b""], [b"word"], Random(1)), INPUTS)
    assert failing is not None


def test_a_failure_is_told_as_a_literal_that_repeats_it() -> None:
    text = describe("v2_text", no_brackets, b"say [ok] to \xff\n")
    assert text.endswith("TARGETS['v2_text'].check(b'[]')")
    assert "AttributeError: brackets" in text


def test_an_unknown_target_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["v3_text"])
    assert "no such target: v3_text; there are v2_binary, v2_text" in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 1])
def test_the_program_fails_when_a_target_does(status: int, tmp_path: Path) -> None:
    # The target is broken from outside: what is fuzzed lives in a process of its own.
    (tmp_path / "sitecustomize.py").write_text("import hmac; hmac.compare_digest = None" if status else "")
    command = [sys.executable, str(Path(__file__).parent / "run.py"), "--inputs", "300", "--seed", "1", "body", "token"]
    run = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert run.returncode == status, run.stdout + run.stderr
    outcome = r"FAILED\n(?s:.*)TARGETS\['token'\].check\(b'" if status else r"300 inputs, \d+ of them valid, "
    assert re.search(f"token: {outcome}", run.stdout), run.stdout
