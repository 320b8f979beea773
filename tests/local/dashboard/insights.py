"""What does a query of a log show? The part of the language of Logs Insights that the dashboard and the queries use.

Comments, SOURCE, filter (=, !=, like a text, ispresent; all joined by `and`, or all by `or`), stats (count, latest,
avg, max, by), fields, sort and limit
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html). A field that is missing or null is not
present. It is not said whether it is != a text: here it is, so that a query must not rely on it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tests.local.dashboard.month import Entry

type Row = dict[str, Any]

_COMPARISON = re.compile(r"(?P<field>[@\w]+) (?P<sign>=|!=) '(?P<text>[^']*)'")
_LIKENESS = re.compile(r"(?P<field>[@\w]+) like '(?P<text>[^']*)'")
_PRESENCE = re.compile(r"ispresent\((?P<field>[@\w]+)\)")
_STATISTIC = re.compile(r"(?P<name>count|latest|avg|max)\((?P<field>\*|[@\w]+)\) as (?P<alias>\w+)")
_SORT = re.compile(r"(?P<field>[@\w]+) (?P<order>asc|desc)")


def table(query: str, log_group: str, entries: Sequence[Entry], begin: datetime, end: datetime) -> list[Row]:
    """Return the rows of a query. Raises ValueError if it uses what is not known here."""
    source, _, rest = query.partition(" | ")
    if source != f"SOURCE '{log_group}'":
        raise ValueError(source)
    return answer(rest, entries, begin, end)


def answer(query: str, entries: Sequence[Entry], begin: datetime, end: datetime) -> list[Row]:
    """Return the rows of a query that names no log group. Raises ValueError if it uses what is not known here."""
    commands = " ".join(line for line in query.splitlines() if not line.startswith("#")).split(" | ")
    rows: list[Row] = [{**entry.line, "@timestamp": entry.at} for entry in entries if begin <= entry.at <= end]
    for command in commands:
        verb, _, rest = command.partition(" ")
        if verb not in _COMMANDS:
            raise ValueError(command)
        rows = _COMMANDS[verb](rows, rest)
    return rows


def _filter(rows: list[Row], condition: str) -> list[Row]:
    if " and " in condition and " or " in condition:
        raise ValueError(condition)  # which of them binds is not said here
    meets = any if " or " in condition else all
    tests = [_test(part) for part in re.split(" and | or ", condition)]
    return [row for row in rows if meets(test(row) for test in tests)]


def _test(condition: str) -> Callable[[Row], bool]:
    if match := _PRESENCE.fullmatch(condition):
        return lambda row: row.get(match["field"]) is not None
    if likeness := _LIKENESS.fullmatch(condition):
        return lambda row: likeness["text"] in str(row.get(likeness["field"]) or "")
    compared = _matched(_COMPARISON, condition)
    return lambda row: (row.get(compared["field"]) == compared["text"]) is (compared["sign"] == "=")


def _stats(rows: list[Row], rest: str) -> list[Row]:
    wanted, _, by = rest.partition(" by ")
    statistics = [_matched(_STATISTIC, part) for part in wanted.split(", ")]
    keys = by.split(", ") if by else []
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    return [
        {**dict(zip(keys, values, strict=True)), **{one["alias"]: _value(one, group) for one in statistics}}
        for values, group in groups.items()
    ]


def _value(statistic: Mapping[str, str] | re.Match[str], rows: Sequence[Row]) -> Any:  # noqa: ANN401 - as in the log
    values = [row[statistic["field"]] for row in rows if row.get(statistic["field"]) is not None]
    match statistic["name"]:
        case "count":
            return len(rows)
        case "latest":
            return max((row for row in rows), key=lambda row: row["@timestamp"]).get(statistic["field"])
        case "max":
            return max(values, default=None)
        case _:
            return sum(values) / len(values) if values else None


def _fields(rows: list[Row], names: str) -> list[Row]:
    return [{name: row.get(name) for name in names.split(", ")} for row in rows]


def _sort(rows: list[Row], rest: str) -> list[Row]:
    """Sort; what has no value comes last."""
    order = _matched(_SORT, rest)
    present = [row for row in rows if row.get(order["field"]) is not None]
    absent = [row for row in rows if row.get(order["field"]) is None]
    return sorted(present, key=lambda row: row[order["field"]], reverse=order["order"] == "desc") + absent


def _limit(rows: list[Row], count: str) -> list[Row]:
    return rows[: int(count)]


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return match


_COMMANDS: Mapping[str, Callable[[list[Row], str], list[Row]]] = {
    "filter": _filter,
    "stats": _stats,
    "fields": _fields,
    "sort": _sort,
    "limit": _limit,
}
