from pathlib import Path

from benchmarks import document, plot, report
from benchmarks.document import PYTHON, C, Limit, Metric, Result, Sample, Series, Spread, Summary

PUBLISHED = Path(__file__).parents[2] / "docs/figures"
RESULT = Result(
    "fan-out",
    "Fan-out",
    [Metric("deliveries", "deliveries/s", of_limit=True), Metric("slowest", "ms", digits=1)],
    [
        Limit(PYTHON, "", [], Spread(1000, 900, 1100), []),
        Limit(C, "", [], Spread(2000, 2000, 2000), ["noisy: 1 of 5"]),
    ],
    [
        Series(
            "fast",
            "fast lane",
            ours=True,
            command="",
            samples=[],
            summary={
                "deliveries": Summary(
                    Spread(800, 700, 900), {PYTHON: Spread(0.8, 0.7, 0.9), C: Spread(0.4, 0.35, 0.45)}
                ),
                "slowest": Summary(Spread(7.25, 7, 8), {}),
            },
            marks=[],
        ),
        Series("broken", "broken", ours=False, command="", samples=[], summary={}, marks=["failed: stalled"]),
    ],
)


def test_a_table_has_the_loops_first_and_a_row_for_every_metric() -> None:
    assert report.text(RESULT).splitlines() == [
        "Fan-out",
        "  server               median  lowest – highest  unit          of Python loop  of C loop",
        "  send loop in Python   1,000       900 – 1,100  deliveries/s",
        "  send loop in C        2,000                    deliveries/s                             noisy: 1 of 5",
        "  fast lane               800         700 – 900  deliveries/s           0.800      0.400",
        "                          7.2         7.0 – 8.0  ms",
        "  broken                    –                                                             failed: stalled",
    ]


def test_the_table_of_a_page_has_the_same_rows() -> None:
    lines = list(report.markdown_table(*report.compact(RESULT)))
    assert lines[:2] == [
        "| server | median | lowest – highest | unit | of Python loop | of C loop |  |",
        "| --- | ---: | ---: | --- | ---: | ---: | --- |",
    ]
    assert lines[4] == "| fast lane | 800 | 700 – 900 | deliveries/s | 0.800 | 0.400 |  |"
    assert len(lines) == len(report.text(RESULT).splitlines())


def test_columns_in_which_nothing_stands_are_left_out() -> None:
    result = Result("x", "X", RESULT.metrics[1:], [], RESULT.series[:1])
    assert report.compact(result) == (
        [("server", "median", "lowest – highest", "unit"), ("fast lane", "7.2", "7.0 – 8.0", "ms")],
        [True, False, False, True],
    )


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    found = document.read(PUBLISHED / "benchmarks.json")
    document.write(found, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (PUBLISHED / "benchmarks.json").read_bytes()


def test_the_tables_of_the_page_are_those_of_its_measurements() -> None:
    found = document.read(PUBLISHED / "benchmarks.json")
    assert report.markdown(found) + "\n" == (PUBLISHED / "benchmarks.txt").read_text(encoding="utf-8")


def test_the_same_measurements_make_the_same_drawing() -> None:
    found = document.read(PUBLISHED / "benchmarks.json")
    drawing = plot.svg(found)
    assert drawing == plot.svg(found)
    # Both would be about the whole page, or about a day.
    assert "<style" not in drawing
    assert "<metadata" not in drawing
    assert found.results[0].series[0].title in drawing


def test_a_sample_says_whether_messages_were_lost_even_when_none_were() -> None:
    assert '"lost": 0' in (PUBLISHED / "benchmarks.json").read_text()
    assert Sample({}).lost == 0
