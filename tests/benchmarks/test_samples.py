from benchmarks.document import PYTHON, C, Metric, Sample, Spread
from benchmarks.samples import RATE, marks, quietest, spread, summarise

RATE_OF_MESSAGES = Metric("deliveries", "deliveries/s", of_limit=True)
MEMORY = Metric("memory", "bytes")


def rated(*values: float) -> list[Sample]:
    return [Sample({RATE: value}) for value in values]


def delivering(*values: float) -> list[Sample]:
    return [Sample({"deliveries": value}) for value in values]


def test_a_spread_is_the_median_the_lowest_and_the_highest() -> None:
    assert spread([5, 1, 2, 9, 3]) == Spread(3, 1, 9)


def test_a_ratio_is_taken_within_each_round_before_the_median_is() -> None:
    # In the second round the whole machine was at half its speed.
    found = summarise(
        [RATE_OF_MESSAGES], delivering(80, 40, 90), {PYTHON: rated(100, 50, 100), C: rated(200, 100, 200)}
    )
    assert found["deliveries"].value == Spread(80, 40, 90)
    assert found["deliveries"].ratios == {PYTHON: Spread(0.8, 0.8, 0.9), C: Spread(0.4, 0.4, 0.45)}


def test_what_is_no_rate_of_messages_has_no_ratio() -> None:
    found = summarise([MEMORY], [Sample({"memory": 12.0})], {PYTHON: rated(100)})
    assert found["memory"].ratios == {}


def test_a_metric_that_no_repetition_has_is_left_out() -> None:
    assert summarise([RATE_OF_MESSAGES], [Sample({}, errors=["stalled"])], {PYTHON: rated(100)}) == {}


def test_a_repetition_that_failed_does_not_shift_the_ratios_of_the_others() -> None:
    samples = [Sample({}, errors=["stalled"]), *delivering(50)]
    found = summarise([RATE_OF_MESSAGES], samples, {PYTHON: rated(1000, 100)})
    assert found["deliveries"].ratios[PYTHON] == Spread(0.5, 0.5, 0.5)


class Attempts:
    """Measurements that are known beforehand."""

    def __init__(self, *samples: Sample) -> None:
        self._samples = iter(samples)

    def __call__(self) -> Sample:
        return next(self._samples)


def test_a_quiet_attempt_is_the_only_one() -> None:
    assert quietest(Attempts(Sample({RATE: 1}, other_cpu=0.1)), 3) == Sample({RATE: 1}, other_cpu=0.1)


def test_a_noisy_attempt_is_repeated_until_one_is_quiet() -> None:
    attempts = Attempts(Sample({RATE: 1}, other_cpu=0.9), Sample({RATE: 2}, other_cpu=0.0), Sample({RATE: 3}))
    assert quietest(attempts, 3) == Sample({RATE: 2}, other_cpu=0.0, attempts=2)


def test_the_quietest_of_the_noisy_attempts_counts_when_none_is_quiet() -> None:
    attempts = Attempts(*(Sample({RATE: number}, other_cpu=noise) for number, noise in enumerate((0.9, 0.3, 0.5))))
    assert quietest(attempts, 3) == Sample({RATE: 1}, other_cpu=0.3, attempts=3)


def test_a_failure_is_not_repeated_until_it_is_gone() -> None:
    failed = Sample({}, other_cpu=0.9, errors=["stalled"])
    assert quietest(Attempts(failed, Sample({RATE: 1})), 3) == failed


def test_a_quiet_and_complete_series_has_no_marks() -> None:
    assert marks(delivering(1, 2, 3)) == []


def test_marks_say_what_makes_a_series_doubtful() -> None:
    samples = [
        Sample({}, errors=["stalled"]),
        Sample({}, lost=1200),
        Sample({}, other_cpu=0.4, load_cpu=0.99),
        Sample({}, load_cpu=0.98),
        Sample({}, load_cpu=1.0),
    ]
    assert marks(samples) == [
        "failed: stalled",
        "lost 1,200 messages",
        "noisy: 1 of 5",
        "the load generator is the limit",
    ]
