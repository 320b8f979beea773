"""What do many measurements say? A median, a spread, and a ratio of what ran in turn."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Spread:
    """The middle of some measurements, and the half of them that is nearest to it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Take at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    def __str__(self) -> str:
        return f"{shown(self.median)} ({shown(self.low)} to {shown(self.high)})"


def ratio(ours: Sequence[float], others: Sequence[float]) -> str:
    """Return the median of the ratios of what was measured in one turn; "none" if there is nothing to compare."""
    pairs = [one / other for one, other in zip(ours, others, strict=True) if other]
    return f"{statistics.median(pairs):.2f}" if pairs else "none"


def shown(value: float) -> str:
    """Return three digits of a figure, or all that stand before the point."""
    return f"{value:.1f}" if 0 < value < 100 else f"{value:.0f}"
