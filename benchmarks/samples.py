"""Arithmetic on repetitions: medians, ratios, and whether one is worth keeping."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median

from msgspec.structs import replace

from .document import Metric, Sample, Spread, Summary

NOISY = 0.15
"""More than this much of a core for others, and the repetition is repeated."""
ATTEMPTS = 4
SATURATED = 0.97

RATE = "rate"
"""The name of the one value that a repetition of the loop has."""


def spread(values: Iterable[float]) -> Spread:
    found = list(values)
    return Spread(median(found), min(found), max(found))


def is_noisy(sample: Sample) -> bool:
    return sample.other_cpu > NOISY


def quietest(measure: Callable[[], Sample], attempts: int) -> Sample:
    """Measure until nobody else uses the machine, or for the last time; the quietest attempt counts.

    An attempt that failed counts at once: what went wrong is a result, not noise.
    """
    found: list[Sample] = []
    while len(found) < attempts:
        found.append(measure())
        if found[-1].errors:
            return replace(found[-1], attempts=len(found))
        if not is_noisy(found[-1]):
            break
    return replace(min(found, key=lambda sample: sample.other_cpu), attempts=len(found))


def summarise(
    metrics: Iterable[Metric], samples: Sequence[Sample], limits: Mapping[str, Sequence[Sample]]
) -> dict[str, Summary]:
    """The median of every metric that was measured.

    A ratio is taken within a round, and then the median of the ratios: what changes in the course of an hour, the clock
    or the neighbours, changes both sides alike.
    """
    found: dict[str, Summary] = {}
    for metric in metrics:
        values = [sample.values[metric.name] for sample in samples if metric.name in sample.values]
        if not values:
            continue
        ratios = {
            language: [
                sample.values[metric.name] / limit.values[RATE]
                for sample, limit in zip(samples, its, strict=True)
                if metric.name in sample.values and limit.values.get(RATE)
            ]
            for language, its in limits.items()
            if metric.of_limit
        }
        found[metric.name] = Summary(spread(values), {language: spread(its) for language, its in ratios.items() if its})
    return found


def marks(samples: Sequence[Sample]) -> list[str]:
    """What a reader must know of a series, in short words."""
    found: list[str] = []
    if failed := [error for sample in samples for error in sample.errors]:
        found.append(f"failed: {failed[0]}")
    if lost := sum(sample.lost for sample in samples):
        found.append(f"lost {lost:,} messages")
    if noisy := sum(map(is_noisy, samples)):
        found.append(f"noisy: {noisy} of {len(samples)}")
    # A server that waits for the load generator is faster than the figure says.
    if sum(sample.load_cpu >= SATURATED for sample in samples) * 2 > len(samples):
        found.append("the load generator is the limit")
    return found
