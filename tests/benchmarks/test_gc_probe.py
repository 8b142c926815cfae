import gc
import os
from pathlib import Path

import pytest

from benchmarks import gc_probe
from benchmarks.gc_probe import Pause, Pauses, within


def test_only_pauses_of_the_measured_time_count() -> None:
    pauses = [Pause(0.5, 0.9), Pause(1.0, 1.002), Pause(2.5, 2.501), Pause(3.0, 3.5)]
    found = within(pauses, start=1.0, seconds=2.0)
    assert found.longest_ms == pytest.approx(2)
    assert found.ms_per_second == pytest.approx(1.5)


def test_a_time_without_pauses_has_none() -> None:
    assert within([], start=1.0, seconds=2.0) == Pauses(0, 0)


def test_every_collection_is_written_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "pauses"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    before = list(gc.callbacks)
    try:
        gc_probe.record(file)
        gc.collect()
        gc.collect()
    finally:
        gc.callbacks[:] = before
        os.close(file)
    pauses = gc_probe.read(path)
    assert len(pauses) >= 2
    assert all(pause.start <= pause.end for pause in pauses)


def test_a_record_that_was_cut_off_by_the_end_of_the_process_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "pauses").write_bytes(bytes(16 + 5))
    assert gc_probe.read(tmp_path / "pauses") == [Pause(0, 0)]
