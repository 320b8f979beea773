"""Do the saved queries answer their questions, on lines that our code writes?

They are evaluated by our own reading of the few things that they use (tests/local/dashboard/insights.py).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from rotation.strategies import BY_ADMIN
from tests.clients import forget_clients
from tests.fakes import PRIMARY, FakeDatabase, reading, verifier
from tests.laboratories import ORDERS
from tests.local.aws import template
from tests.local.aws.secrets_manager import LocalSecretsManager
from tests.local.dashboard import insights
from tests.local.dashboard.month import DAY, FAILS_ON, Entry, Month, settings
from tests.service.invoking import STEPS, Context, Invoke, event
from tests.service.scenario import Scenario

RESOURCES = template.resources(template.load(template.SOURCE), "AWS::Logs::QueryDefinition")
FIVE = ["FailedQuery", "HistoryQuery", "RotatedQuery", "SlowestQuery", "RepairedQuery"]


@pytest.fixture(scope="module")
def month() -> Iterator[Month]:
    """Forty days; four secrets rotate on the first, and one fails later."""
    with LocalSecretsManager(attempts=1) as service, pytest.MonkeyPatch.context() as patch:
        for name, value in settings(service).items():
            patch.setenv(name, value)
        forget_clients()
        yield Month(service).play()
    forget_clients()


def ask(query: str, entries: list[Entry], begin: datetime, end: datetime, **words: str) -> list[insights.Row]:
    """Return the rows of a saved query for this span, with words in the place of others."""
    text: str = RESOURCES[query]["QueryString"]
    for word, other in words.items():
        text = text.replace(word, other)
    return insights.answer(text, entries, begin, end)


def test_there_is_a_query_for_each_question_and_its_name_says_which() -> None:
    assert list(RESOURCES) == FIVE
    for number, query in enumerate(RESOURCES.values(), 1):
        assert query["Name"]["Fn::Sub"].startswith(f"${{AWS::StackName}}/{number} ")
        assert query["LogGroupNames"] == [{"Ref": "LogGroup"}]


def test_which_secrets_failed_today_and_why(month: Month) -> None:
    today = month.begin + FAILS_ON * DAY
    [row] = ask("FailedQuery", month.entries, today - DAY / 2, today + DAY / 2)
    assert (row["secret_arn"], row["failures"]) == (month.arns["legacy"], 1)
    assert (row["last_step"], row["last_error"], row["last"]) == ("setSecret", "LoginRefused", today)
    assert row["why"]
    assert row["what_to_do"]
    assert ask("FailedQuery", month.entries, today - 2 * DAY, today - DAY) == []


def test_what_happened_to_a_secret_in_its_order(month: Month) -> None:
    rows = ask("HistoryQuery", month.entries, month.begin, month.end, NAME="legacy")
    assert [row["step"] for row in rows][:6] == [*STEPS, None, None]
    assert [row["@timestamp"] for row in rows] == sorted(row["@timestamp"] for row in rows)
    assert [row["step"] for row in rows if row["level"] == "ERROR" and row["step"]] == ["setSecret"]
    assert rows[-1]["state"] == "failed"
    assert all("legacy" in row["message"] or row["version_token"] for row in rows)


def test_which_secrets_rotated(month: Month) -> None:
    rows = ask("RotatedQuery", month.entries, month.begin, month.begin + 30 * DAY)
    assert {row["secret_arn"] for row in rows} == set(month.arns.values())
    assert {(row["rotations"], row["how"], row["engine"]) for row in rows} == {(1, "single-user", "PostgreSQL")}
    assert all(0 <= row["mean_seconds"] <= row["longest_seconds"] < 60 for row in rows)
    assert ask("RotatedQuery", month.entries, month.begin + DAY, month.end) == []


def test_which_steps_were_slowest(month: Month) -> None:
    rows = ask("SlowestQuery", month.entries, month.begin, month.end)
    durations = [row["duration_ms"] for row in rows]
    assert durations == sorted(durations, reverse=True)
    assert len(rows) == 4 * 4 + 2  # the rotation that failed ended in its second step
    assert all(row["secret_arn"] and row["step"] in STEPS for row in rows)


class Asked(Context):
    """What Lambda tells a function that an operator invokes."""

    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:secret-rotation-FakeDb"


def test_what_was_recovered_or_repaired(
    invoke: Invoke, service: LocalSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOW_ADMIN_REPAIR", "true")
    monkeypatch.setenv("ALLOW_DOCTOR_REPAIR", "true")
    database = FakeDatabase()
    database.new_user("admin", "Kadmin-7x", is_admin=True)
    database.new_user("app", "a password that was set by hand", reading(ORDERS))
    admin = Scenario(service, username="admin", password="Kadmin-7x")
    recovered = Scenario(service, host=PRIMARY, masterarn=admin.arn).begin()
    lines = [line for step in STEPS for line in invoke(database, event(recovered, step)).lines]
    repaired = Scenario(service, password="an earlier password").begin()
    repaired.secret().is_staged()
    repaired.secret().stage(repaired.successor())
    database.users["app"].verifiers = (verifier("app", "password-1"),)
    lines += invoke(database, {"Step": "doctor", "SecretId": repaired.arn, "Repair": True}, Asked()).lines
    now = datetime.now(UTC)
    entries = [Entry(now + timedelta(seconds=number), line) for number, line in enumerate(lines)]
    later, earlier = ask("RepairedQuery", entries, now, now + DAY)
    assert (earlier["secret_arn"], earlier["step"], earlier["recovered"]) == (recovered.arn, "setSecret", BY_ADMIN)
    assert (later["secret_arn"], later["step"]) == (repaired.arn, "doctor")
    assert later["repaired"]
    assert entries[-1].line["level"] == "WARNING"


def test_a_condition_whose_parts_could_bind_either_way_is_not_known_here(month: Month) -> None:
    with pytest.raises(ValueError, match="or ispresent"):
        insights.answer("filter ispresent(a) and ispresent(b) or ispresent(c)", month.entries, month.begin, month.end)
