"""What does a widget of metrics show? The part of CloudWatch's rules that the dashboard uses.

CloudWatch reads metrics from the log, in its Embedded Metric Format. A metric is its namespace, its name and exactly
its dimensions: one dimension more or less is another metric
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html). A metric that is named in a
widget is shown however old it is; SEARCH finds those of the last two weeks only, and so is not known here.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.local.dashboard.month import Entry

type Widget = Mapping[str, Any]

STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Maximum": max,
    "Sum": sum,
    "p90": lambda values: sorted(values)[math.ceil(0.9 * len(values)) - 1],
}


@dataclass(frozen=True)
class Series:
    """One line of a graph."""

    label: str
    points: Mapping[float, float]
    """Values by the beginning of their period, in seconds since 1970; a period without figures has none."""


def graph(properties: Widget, entries: Sequence[Entry], begin: datetime, end: datetime) -> list[Series]:
    """Return the lines of a widget. Raises KeyError if it uses what is not known here."""
    statistic, period = STATISTICS[properties["stat"]], properties["period"]
    return [_series(metric, statistic, period, _within(entries, begin, end)) for metric in properties["metrics"]]


def _within(entries: Sequence[Entry], begin: datetime, end: datetime) -> list[Entry]:
    return [entry for entry in entries if begin <= entry.at <= end]


def _series(
    metric: Sequence[Any], statistic: Callable[[Sequence[float]], float], period: int, entries: Sequence[Entry]
) -> Series:
    *parts, options = metric
    namespace, name, *rest = parts
    dimensions = dict(zip(rest[::2], rest[1::2], strict=True))
    values: dict[float, list[float]] = {}
    for entry in entries:
        for value in _values(entry.line, namespace, name, dimensions):
            values.setdefault(entry.at.timestamp() // period * period, []).append(value)
    return Series(options["label"], {at: statistic(values[at]) for at in sorted(values)})


def _values(line: Mapping[str, Any], namespace: str, name: str, dimensions: Mapping[str, str]) -> Iterator[float]:
    """Yield the values that a line adds to a metric."""
    for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
        is_named = namespace == directive["Namespace"] and name in {one["Name"] for one in directive["Metrics"]}
        for names in directive["Dimensions"] if is_named else ():
            if {key: line[key] for key in names} == dimensions:
                yield from line[name]
