import pytest

from benchmarks.bars import BARS, Bar, judge
from benchmarks.document import PYTHON, Limit, Metric, Result, Sample, Series, Settings, Verdict
from benchmarks.figures import FIGURES
from benchmarks.samples import RATE, marks, spread, summarise
from benchmarks.servers import SERVERS

FULL, QUICK = Settings(repeat=5, duration=3), Settings(repeat=1, duration=1, quick=True)
METRICS = [Metric("deliveries", "deliveries/s", of_limit=True), Metric("memory", "bytes/connection")]
FAST = Bar("fan-out", "fast", "fan-out", "deliveries", at_least=0.8, of_loop=True, unit="of the loop", digits=2)
SMALL = Bar("memory", "fast", "fan-out", "memory", at_most=12 * 1024, unit="KiB", scale=1024)


def measured(sample: Sample, limit: float = 100) -> Result:
    """One repetition of one figure, on the fast lane."""
    loop = Sample({RATE: limit})
    summary = summarise(METRICS, [sample], {PYTHON: [loop]})
    return Result(
        "fan-out",
        "Fan-out",
        METRICS,
        [Limit(PYTHON, "wsload rawlimit", [loop], spread([limit]), [])],
        [
            Series(
                "fast",
                "the fast lane",
                ours=True,
                command="",
                samples=[sample],
                summary=summary,
                marks=marks([sample]),
            )
        ],
    )


def test_a_ratio_that_is_high_enough_reaches_its_bar() -> None:
    [found] = judge([measured(Sample({"deliveries": 80}))], FULL, [FAST])
    assert found == Verdict("fan-out", "≥ 0.80 of the loop", "0.80 of the loop", "reached")


def test_a_ratio_that_is_too_low_misses_it() -> None:
    [found] = judge([measured(Sample({"deliveries": 79}))], FULL, [FAST])
    assert found == Verdict("fan-out", "≥ 0.80 of the loop", "0.79 of the loop", "missed")


@pytest.mark.parametrize(("memory", "verdict"), [(12 * 1024, "reached"), (12 * 1024 + 1, "missed")])
def test_a_bar_may_be_a_bound_from_above(memory: float, verdict: str) -> None:
    [found] = judge([measured(Sample({"memory": memory}))], FULL, [SMALL])
    assert (found.target, found.measured, found.verdict) == ("≤ 12 KiB", "12 KiB", verdict)


def test_who_loses_messages_reaches_nothing() -> None:
    [found] = judge([measured(Sample({"deliveries": 99}, lost=1))], FULL, [FAST])
    assert found.verdict == "missed; lost 1 messages"


def test_a_quick_run_only_indicates() -> None:
    [found] = judge([measured(Sample({"deliveries": 99}))], QUICK, [FAST])
    assert found.verdict == "indicative: reached"


def test_a_noisy_run_says_so_beside_the_verdict() -> None:
    [found] = judge([measured(Sample({"deliveries": 99}, other_cpu=0.5))], FULL, [FAST])
    assert found.verdict == "reached; noisy: 1 of 1"


def test_a_server_that_was_left_out_is_not_measured() -> None:
    [found] = judge(
        [measured(Sample({"deliveries": 99}))], FULL, [Bar("x", "other", "fan-out", "deliveries", at_least=1)]
    )
    assert found.verdict == "not measured"


def test_a_figure_that_was_not_asked_for_has_no_verdict() -> None:
    assert judge([], FULL, [FAST]) == []


def test_every_bar_is_about_something_that_is_measured() -> None:
    figures = {figure.name: figure for figure in FIGURES}
    ours = {server.name for server in SERVERS if server.ours}
    for bar in BARS:
        assert bar.server in ours
        metrics = {metric.name: metric for metric in figures[bar.figure].metrics}
        assert metrics[bar.metric].of_limit or not bar.of_loop
        assert figures[bar.figure].limit or not bar.of_loop
