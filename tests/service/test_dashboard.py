"""Does the dashboard show what operators look for, from the day of a rotation to a month after the last one?

Its widgets are evaluated on the lines that our code writes in forty days (tests/local/dashboard).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.clients import forget_clients
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.local.dashboard import insights, metrics
from tests.local.dashboard.__main__ import SPAN, body
from tests.local.dashboard.drawing import draw
from tests.local.dashboard.month import DAY, FAILS_ON, OFF_FROM, Entry, Month, settings


@pytest.fixture(scope="module")
def month() -> Iterator[Month]:
    """Forty days; nothing was rotated after the first."""
    with LocalSecretsManager(attempts=1) as service, pytest.MonkeyPatch.context() as patch:
        for name, value in settings(service).items():
            patch.setenv(name, value)
        forget_clients()
        yield Month(service).play()
    forget_clients()


@pytest.fixture(scope="module")
def dashboard() -> "Dashboard":
    """What the template deploys."""
    return Dashboard(*body())


class Dashboard:
    """Widgets, by their titles."""

    def __init__(self, deployed: dict[str, Any], log_group: str) -> None:
        """Take the dashboard's body."""
        self.deployed, self.log_group = deployed, log_group
        self.widgets = {
            widget["properties"]["title"]: widget["properties"]
            for widget in deployed["widgets"]
            if widget["type"] != "text"
        }

    def graph(self, title: str, month: Month, end: datetime) -> dict[str, list[float]]:
        """Return the values of each line of a graph."""
        return {
            series.label: list(series.points.values())
            for series in metrics.graph(self._of(title), month.entries, end - SPAN, end)
        }

    def table(self, title: str, month: Month, end: datetime) -> list[insights.Row]:
        """Return the rows of a table."""
        return insights.table(self._of(title)["query"], self.log_group, month.entries, end - SPAN, end)

    def _of(self, title: str) -> Any:  # noqa: ANN401 - a widget's properties
        [properties] = [one for name, one in self.widgets.items() if name.startswith(title)]
        return properties


def test_a_month_after_the_last_rotation_the_state_of_each_secret_is_seen(dashboard: Dashboard, month: Month) -> None:
    rows = dashboard.table("Attached secrets, as", month, month.end)
    states = {row["secret_arn"]: row["rotation"] for row in rows}
    names = {"orders": "overdue", "billing": "rotates", "ledger": "off", "legacy": "failed"}
    assert states == {month.arns[name]: state for name, state in names.items()}
    assert {round(row["days"]) for row in rows if row["rotation"] != "off"} <= {39, 40, 41}
    assert all(row["said"] > month.end - 2 * DAY for row in rows)


def test_a_month_after_the_last_rotation_the_graphs_are_not_empty(dashboard: Dashboard, month: Month) -> None:
    states = dashboard.graph("Attached secrets that", month, month.end)
    assert {name: values[-1] for name, values in states.items()} == {
        "attached": 4,
        "off": 1,
        "failed": 1,
        "overdue": 1,
    }
    [days] = dashboard.graph("Days since", month, month.end).values()
    assert days == sorted(days)
    assert days[-1] > 39


def test_the_graph_shows_from_when_on_a_secret_did_not_rotate(dashboard: Dashboard, month: Month) -> None:
    properties = next(one for name, one in dashboard.widgets.items() if name.startswith("Attached secrets that"))
    began = {}
    for series in metrics.graph(properties, month.entries, month.begin, month.end):
        began[series.label] = min((at for at, value in series.points.items() if value), default=0)
    day = DAY.total_seconds()
    after = {label: (at - month.begin.timestamp()) / day for label, at in began.items()}
    assert after["off"] == pytest.approx(OFF_FROM, abs=1.1)
    assert after["failed"] == pytest.approx(FAILS_ON, abs=1.1)
    assert after["overdue"] == pytest.approx(30, abs=1.1)


def test_rotations_and_durations_are_those_of_the_engine(dashboard: Dashboard, month: Month) -> None:
    soon = month.begin + 9 * DAY
    finished = dashboard.graph("Finished rotations", month, soon)
    assert finished.pop("PostgreSQL") == [4]
    durations = dashboard.graph("Duration of setSecret", month, soon)
    assert len(durations.pop("PostgreSQL")) == 1
    assert not any([*finished.values(), *durations.values()])
    assert [(row["rotations"], row["finished"]) for row in dashboard.table("Rotations of each", month, soon)] == [
        (1, month.begin)
    ] * 4
    rows = dashboard.table("Duration of each", month, soon)
    assert len(rows) == 4 * 4
    assert all(row["mean"] <= row["longest"] for row in rows)


def test_a_failure_is_one_row_with_its_remedy_and_secrets_that_wait_are_none(
    dashboard: Dashboard, month: Month
) -> None:
    [cause] = dashboard.table("Failed steps, by cause", month, month.end)
    assert (cause["failures"], cause["error"], cause["engine"]) == (1, "LoginRefused", "PostgreSQL")
    [failure] = dashboard.table("The last failures", month, month.end)
    assert failure["secret_arn"] == month.arns["legacy"]
    assert failure["cause"]
    assert failure["remedy"]


def test_a_widget_that_is_not_known_here_is_an_error(month: Month) -> None:
    for query in (
        "SOURCE 'log' | parse x",
        "SOURCE 'other'",
        "SOURCE 'log' | filter a like /b/",
        "SOURCE 'log' | sort a",
    ):
        with pytest.raises(ValueError, match=r"parse|other|like|a"):
            insights.table(query, "log", month.entries, month.begin, month.end)
    search = [[{"expression": "SEARCH('…')", "label": "x"}]]
    with pytest.raises((KeyError, ValueError)):
        metrics.graph({"stat": "Maximum", "period": 60, "metrics": search}, month.entries, month.begin, month.end)


def test_a_metric_with_one_dimension_less_is_another_metric(month: Month) -> None:
    metric = ["SecretRotation", "StepDuration", "engine", "PostgreSQL", "service", "secret-rotation", {"label": "x"}]
    widget = {"stat": "Maximum", "period": 86400, "metrics": [metric]}
    [series] = metrics.graph(widget, month.entries, month.begin, month.end)
    assert not series.points


def test_a_field_that_is_missing_can_be_unequal(month: Month) -> None:
    """Nobody says what Logs Insights does; so a query of ours must not count lines twice because of it."""
    entries = [Entry(month.begin, {"a": "x"}), Entry(month.begin, {"b": "x"})]
    both = insights.table("SOURCE 'log' | filter a != 'y'", "log", entries, month.begin, month.end)
    assert len(both) == 2


def test_the_drawing_is_an_svg_with_every_title(dashboard: Dashboard, month: Month) -> None:
    drawn = draw(dashboard.deployed, dashboard.log_group, month.entries, month.end - SPAN, month.end)
    texts = {element.text for element in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}  # noqa: S314 - ours
    assert dashboard.widgets.keys() <= texts
    assert {"overdue", "failed", "off", "rotates"} <= texts
