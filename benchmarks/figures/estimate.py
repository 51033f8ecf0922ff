"""Medians of interleaved samples, with their spread.

What is compared was measured in the same round, when the machine was as busy for the
one as for the other: ratios, differences and slopes are taken in each round, and their
median is the value. Where nothing else runs, that is the ratio of the medians.

The spread is the interquartile range over the rounds: unlike the range from least to
most it does not grow with the number of rounds, and one bad round does not show.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A median over rounds, and how much single rounds differ."""

    value: float
    quartiles: tuple[float, float]
    """The first and the third."""

    @property
    def spread(self) -> float:
        """The interquartile range."""
        return self.quartiles[1] - self.quartiles[0]

    def scaled(self, factor: float) -> Estimate:
        """Returns the same in another unit."""
        low, high = self.quartiles
        return Estimate(self.value * factor, (low * factor, high * factor))

    def to_json(self) -> dict[str, float]:
        """Returns value and spread."""
        return {"value": self.value, "spread": self.spread}


def median(samples: Sequence[float]) -> Estimate:
    """Returns the median of samples."""
    if len(samples) == 1:
        return Estimate(samples[0], (samples[0], samples[0]))
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Estimate(middle, (low, high))


def ratio(over: Sequence[float], under: Sequence[float]) -> Estimate:
    """Returns the median of the rounds' ratios.

    Args:
        over: Samples of the numerator, one for each round.
        under: Samples of the denominator from the same rounds.
    """
    return median([a / b for a, b in zip(over, under, strict=True)])


def difference(
    whole: Sequence[float], part: Sequence[float], weight: float = 1.0
) -> Estimate:
    """Returns the median of what each round's whole exceeds its part by.

    Args:
        whole: Samples of what is subtracted from, one for each round.
        part: Samples of what is subtracted, from the same rounds.
        weight: What to multiply the latter by.
    """
    return median([a - weight * b for a, b in zip(whole, part, strict=True)])


def slope(samples: Mapping[float, Sequence[float]]) -> Estimate:
    """Returns the median slope of the rounds' least-squares lines.

    Args:
        samples: For each x the samples of y, one for each round.
    """
    x = list(samples)
    rounds = zip(*samples.values(), strict=True)
    return median([statistics.linear_regression(x, y).slope for y in rounds])
