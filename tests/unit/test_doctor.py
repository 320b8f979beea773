"""What does a doctor say of each stuck state, and do its repairs, carried out word by word, end it?"""

import itertools
import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from rotation.credential import SecretValue
from rotation.deadline import Deadline
from rotation.doctor.diagnosis import State
from rotation.doctor.examination import Examination, Means, examine
from rotation.doctor.versions import Version
from rotation.errors import InvalidSecret
from rotation.kind import Strategy
from rotation.preflight.description import Description
from rotation.steps import Step
from tests.fakes import CURRENT, KIND, PENDING, PREVIOUS, FakeDatabase, FakeSecret, reading, verifier
from tests.laboratories import INVOICES, ORDERS
from tests.unit.scenario import ALTERNATING, APP, CLONE, SINGLE, Scenario
from tests.unit.test_killed import kill_at

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders-AbCdEf"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:rotation-FakeDb"
BEGAN = datetime(2026, 7, 1, tzinfo=UTC)
DESCRIPTION = Description(
    arn=ARN,
    owner="",
    primary_region="",
    is_deleted=False,
    is_enabled=True,
    function_arn=FUNCTION,
    schedule="rate(30 days)",
    next_rotation=None,
    stages={},
)
NEW_PASSWORD = "the password that the operator chose"
STATEMENT = re.compile(r"(ALTER USER|GRANT|REVOKE) (.+?) (PASSWORD '\*\*\*'|UNLOCK|(?:TO|FROM) (\w+))")


def versions(secret: FakeSecret) -> Iterator[Version]:
    """Yield the versions as the service shows them, the newest first."""
    for number, (identity, text) in reversed(list(enumerate(secret.versions.items()))):
        labels = frozenset(label for label, version in secret.labels.items() if version == identity)
        version = Version(identity, labels, BEGAN + timedelta(minutes=number))
        if text is None:
            yield version
            continue
        try:
            yield replace(version, value=SecretValue.parse(text, secret.kind, "reading a test"))
        except InvalidSecret as error:
            yield replace(version, problem=error.cause)


def examined(scenario: Scenario, description: Description = DESCRIPTION) -> Examination:
    """Have a doctor look; it has changed nothing, and few passwords were refused."""
    before = list(scenario.database.log), dict(scenario.secret.labels), dict(scenario.secret.versions)
    scenario.forget_connections()
    stages = {one.identity: sorted(one.labels) for one in versions(scenario.secret)}
    means = Means(
        engine=scenario.database,
        deadline=Deadline(scenario.clock.seconds_left),
        describe=lambda: replace(description, is_enabled=scenario.secret.rotation_enabled, stages=stages),
        versions=lambda _: list(versions(scenario.secret)),
        admin=lambda _: scenario.admin,
        function_arn=FUNCTION,
        try_more_passwords=scenario.try_more_passwords,
    )
    found = examine(means)
    assert (scenario.database.log, scenario.secret.labels, scenario.secret.versions) == before
    for user in {APP, CLONE}:
        assert [one.username for one in scenario.database.refused].count(user) <= (
            7 if scenario.try_more_passwords else 2
        )
    return found


@dataclass
class Operator:
    """Does what a doctor says, word by word."""

    scenario: Scenario

    def do_all(self, examination: Examination) -> None:
        """Carry out each repair."""
        for repair in examination.repairs:
            self.do(repair.command)

    def do(self, command: str) -> None:
        """Run a command, or a statement as the admin."""
        if command.startswith("aws "):
            program, service, operation, *options = shlex.split(command)
            assert (program, service, options[:2]) == ("aws", "secretsmanager", ["--secret-id", ARN])
            getattr(self, operation.replace("-", "_"))(*options[2:])
        else:
            self._execute(command)

    def update_secret_version_stage(self, *options: str) -> None:
        """Move a label, as the service does it."""
        said, labels = dict(itertools.batched(options, 2, strict=True)), self.scenario.secret.labels
        label, source, target = (
            said["--version-stage"],
            said["--remove-from-version-id"],
            said.get("--move-to-version-id"),
        )
        assert labels[label] == source
        if label == CURRENT:
            labels[PREVIOUS] = source
        if target:
            labels[label] = target
        else:
            del labels[label]

    def rotate_secret(self, *options: str) -> None:
        """Begin a rotation, which is refused while one is pending, or only turn rotation on."""
        self.scenario.secret.rotation_enabled = True
        self.scenario.begin()
        if "--no-rotate-immediately" in options:
            self.scenario.secret.abandon()
        else:
            self.scenario.run()

    def put_secret_value(self, *options: str) -> None:
        """Make a new current version."""
        assert options == ("--secret-string", "file://secret.json")
        secret = self.scenario.secret
        assert PENDING not in secret.labels
        fields = json.loads(secret.versions[secret.labels[CURRENT]] or "{}")
        secret.put("version-by-hand", {**fields, "password": NEW_PASSWORD})

    def _execute(self, statement: str) -> None:
        match = STATEMENT.fullmatch(statement)
        assert match, statement
        verb, what, rest, grantee = match.groups()
        users = self.scenario.database.users
        if verb == "ALTER USER":
            password = NEW_PASSWORD if rest.startswith("PASSWORD") else "an old one"
            users[what].verifiers = (verifier(what, password),)
        elif verb == "GRANT":
            users[grantee].rights.add(what)
        else:
            users[grantee].rights.discard(what)


def heal(scenario: Scenario) -> Examination:
    """Ask the doctor and obey; then the application logs in, the doctor is content, and the next rotation succeeds."""
    found = examined(scenario)
    Operator(scenario).do_all(found)
    assert scenario.may_log_in(scenario.secret.read())
    assert {one.state for one in examined(scenario).diagnoses} <= {
        State.HEALTHY,
        State.GIVEN_UP,
        State.PENDING_ON_CURRENT,
    }
    scenario.secret.staged_long_ago = False
    scenario.rotate()
    assert scenario.may_log_in(scenario.secret.read())
    return found


# Killed, at every moment


def left(_: Scenario) -> None:
    """Leave the pending version."""


def abandoned(scenario: Scenario) -> None:
    """Take AWSPENDING away, unless the version is current by now."""
    if scenario.secret.labels[PENDING] != scenario.secret.labels[CURRENT]:
        scenario.secret.abandon()


def turned_off(scenario: Scenario) -> None:
    """Turn the rotation off."""
    scenario.secret.rotation_enabled = False


def broken(scenario: Scenario) -> None:
    """Reset the password of the user outside of the secret."""
    scenario.database.users[APP].verifiers = (verifier(APP, "of somebody else"),)


@pytest.mark.parametrize("then", [left, abandoned, turned_off, broken])
@pytest.mark.parametrize("rotations", [0, 1, 2])
@pytest.mark.parametrize("sees", [True, False])
@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_killed_at_any_moment_its_repairs_heal_it(
    strategy: Strategy, rotations: int, then: Callable[[Scenario], None], *, sees: bool
) -> None:
    for moment in itertools.count():
        scenario = Scenario(strategy, database=FakeDatabase(replace(KIND, admin_sees_passwords=sees)))
        for _ in range(rotations):
            scenario.rotate()
        scenario.begin()
        was_killed = kill_at(scenario, moment)
        then(scenario)
        heal(scenario)
        if not was_killed:
            assert moment > 10
            return


# Each state by its name


def begun(scenario: Scenario, *steps: Step) -> Scenario:
    """Begin a rotation, do these steps, and stop."""
    scenario.begin()
    scenario.run(*steps) if steps else None
    return scenario


def state(scenario: Scenario) -> State:
    """Heal it, and return what it was in."""
    return heal(scenario).first.state


def test_a_secret_that_rotates_is_healthy_and_needs_no_repair() -> None:
    scenario = Scenario()
    found = examined(scenario)
    assert (found.first.state, found.repairs) == (State.HEALTHY, [])
    scenario.rotate()
    assert examined(scenario).first.state is State.PENDING_ON_CURRENT
    assert scenario.database.refused == []


def test_a_rotation_that_stopped_before_the_database_goes_on() -> None:
    assert state(begun(Scenario())) is State.PENDING_EMPTY
    assert state(begun(Scenario(), Step.CREATE)) is State.NOT_SET
    assert state(begun(Scenario(ALTERNATING), Step.CREATE)) is State.NOT_SET


def test_a_pair_between_set_and_finish_lacks_only_the_end() -> None:
    assert state(begun(Scenario(ALTERNATING), Step.CREATE, Step.SET)) is State.NOT_FINISHED


def test_a_single_user_between_set_and_finish_is_locked_out_and_the_label_moves() -> None:
    scenario = begun(Scenario(), Step.CREATE, Step.SET)
    found = heal(scenario)
    assert found.first.state is State.LOCKED_OUT
    [repair] = found.repairs
    assert repair.command == (
        f"aws secretsmanager update-secret-version-stage --secret-id {ARN} --version-stage AWSCURRENT"
        " --move-to-version-id version-1 --remove-from-version-id version-0"
    )
    assert repair.safe


@pytest.mark.parametrize("is_abandoned", [False, True])
def test_to_let_applications_read_another_user_is_for_a_person_to_decide(*, is_abandoned: bool) -> None:
    scenario = begun(Scenario(ALTERNATING), Step.CREATE, Step.SET)
    if is_abandoned:
        scenario.secret.abandon()
        scenario.begin()
    scenario.database.users[APP].verifiers = (verifier(APP, "of somebody else"),)
    found = heal(scenario)
    assert found.first.state is (State.ABANDONED if is_abandoned else State.LOCKED_OUT)
    assert "--move-to-version-id version-1" in found.repairs[-1].command
    assert not [one for one in found.repairs if one.safe]


def test_an_abandoned_rotation_that_set_the_password_is_found() -> None:
    scenario = begun(Scenario(), Step.CREATE, Step.SET)
    scenario.secret.abandon()
    assert state(scenario) is State.ABANDONED


def test_an_abandoned_rotation_is_found_behind_the_next_one_if_the_pending_password_was_not_set() -> None:
    scenario = begun(Scenario(), Step.CREATE, Step.SET)
    scenario.secret.abandon()
    scenario.begin()
    assert state(scenario) is State.ABANDONED


def test_a_version_that_was_given_up_is_no_harm() -> None:
    scenario = begun(Scenario(), Step.CREATE)
    scenario.secret.abandon()
    found = heal(scenario)
    assert (found.first.state, found.repairs) == (State.GIVEN_UP, [])


@pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
def test_a_password_that_was_reset_is_reset_again(strategy: Strategy) -> None:
    scenario = Scenario(strategy)
    scenario.database.new_user(APP, "of somebody else", reading(ORDERS))
    found = heal(scenario)
    assert found.first.state is State.NONE_LOGS_IN
    assert [one.command.partition(" --secret-id")[0] for one in found.repairs] == [
        "ALTER USER app PASSWORD '***'",
        "aws secretsmanager put-secret-value",
    ]
    assert not [one for one in found.repairs if one.safe]


def restored(**fields: object) -> Scenario:
    """Rotate, and restore a snapshot of the database from before."""
    scenario = Scenario(**fields)  # type: ignore[arg-type] # one strategy for all
    scenario.rotate()
    scenario.database.users[APP].verifiers = (verifier(APP, "password-0"),)
    return scenario


def test_a_restored_snapshot_is_seen_with_more_passwords_and_the_label_goes_back() -> None:
    scenario = restored()
    scenario.try_more_passwords = True
    assert state(scenario) is State.RESTORED


def test_a_restored_snapshot_is_seen_by_the_admin_and_nobody_is_refused() -> None:
    database = FakeDatabase(replace(KIND, admin_sees_passwords=True))
    scenario = restored(database=database, masterarn="arn:admin", rotation={"strategy": SINGLE})
    found = examined(scenario)
    assert found.first.state is State.RESTORED
    assert database.refused == []
    heal(scenario)


def test_a_replica_that_is_behind_is_no_restored_snapshot_and_moves_no_label_by_itself() -> None:
    scenario = Scenario(host="replica.test", masterarn="arn:admin", rotation={"strategy": SINGLE})
    scenario.database.new_replica("replica.test", lag=50)
    begun(scenario, Step.CREATE)
    scenario.database.users[APP].verifiers = (verifier(APP, "password-1"),)
    scenario.database.written()
    scenario.run(Step.FINISH)
    scenario.try_more_passwords = True
    found = examined(scenario)
    assert found.first.state is State.RESTORED
    assert "at another host than replica.test" in found.first.sentence
    assert not [one for one in found.repairs if one.safe]


def test_two_passwords_that_both_work_are_not_said_to_be_one() -> None:
    database = FakeDatabase(replace(KIND, strategies=frozenset(Strategy)))
    scenario = Scenario(database=database, rotation={"strategy": Strategy.DUAL_PASSWORD})
    begun(scenario, Step.CREATE)
    database.users[APP].verifiers = (verifier(APP, "password-1"), verifier(APP, "password-0"))
    found = examined(scenario)
    assert found.first.state is State.NOT_FINISHED
    assert "AWSPENDING was not tried" in found.first.sentence


def test_an_admin_that_is_the_user_itself_is_said() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.admin = replace(scenario.admin, username=APP, password="password-0")
    found = examined(scenario)
    assert found.first.state is State.NOT_KNOWN
    assert "is the admin itself" in found.first.sentence


def test_without_more_passwords_the_doctor_says_how_many_were_not_tried() -> None:
    found = examined(restored())
    assert found.first.state is State.NONE_LOGS_IN
    assert "1 more versions were not tried; TRY_MORE_PASSWORDS" in found.first.sentence


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        '{"engine": "fake", "host": "primary.test", "username": "boss", "password": "x"}',
        '{"engine": "fake", "host": "elsewhere.test", "username": "app", "password": "x"}',
    ],
)
@pytest.mark.parametrize("is_locked_out", [False, True])
def test_a_pending_version_that_can_never_become_current_is_given_up(text: str, *, is_locked_out: bool) -> None:
    scenario = Scenario()
    if is_locked_out:
        begun(scenario, Step.CREATE, Step.SET)
        scenario.secret.abandon()
    scenario.begin()
    scenario.secret.versions[scenario.secret.token] = text
    found = heal(scenario)
    assert found.first.state is State.SUPERSEDED
    assert found.repairs[0].safe
    assert len(found.repairs) == 1 + is_locked_out
    assert {one.host for one in scenario.database.tried} == {"primary.test"}


def test_rotation_that_is_off_is_turned_on() -> None:
    scenario = Scenario()
    scenario.secret.rotation_enabled = False
    assert state(scenario) is State.ROTATION_OFF


def test_another_function_is_named() -> None:
    other = FUNCTION.replace("rotation", "another")
    found = examined(Scenario(), replace(DESCRIPTION, function_arn=other))
    assert found.first.state is State.OTHER_FUNCTION
    assert other in found.first.sentence
    assert FUNCTION in found.repairs[0].command


def half_privileged() -> Scenario:
    """Return a pair as AWS's template leaves it: the clone is current, and can do less."""
    scenario = Scenario(ALTERNATING)
    scenario.rotate()
    scenario.database.users[CLONE].rights.clear()
    for label in [one for one in scenario.secret.labels if one.startswith("Rotation")]:
        del scenario.secret.labels[label]
    return scenario


def test_a_half_privileged_clone_gets_what_the_original_has() -> None:
    scenario = half_privileged()
    found = heal(scenario)
    assert found.first.state is State.PAIR_DIFFERS
    assert [one.command for one in found.repairs] == [f"GRANT {reading(ORDERS)} TO {CLONE}"]
    assert scenario.database.users[APP].rights == scenario.database.users[CLONE].rights == {reading(ORDERS)}


def test_a_pair_without_a_mark_is_proved_with_one_password_of_its_other_user() -> None:
    scenario = half_privileged()
    for user in (APP, CLONE):
        scenario.database.users[user].mark = None
    heal(scenario)
    scenario = half_privileged()
    for user in (APP, CLONE):
        scenario.database.users[user].mark = None
    scenario.database.users[APP].verifiers = (verifier(APP, "of somebody else"),)
    assert examined(scenario).first.state is State.PAIR_DIFFERS
    assert [(one.username, one.password) for one in scenario.database.refused] == [(APP, "password-0")]


def test_a_clone_that_was_given_more_loses_it() -> None:
    scenario = Scenario(ALTERNATING)
    for _ in range(2):
        scenario.rotate()
    scenario.database.users[CLONE].rights.add(reading(INVOICES))
    found = heal(scenario)
    assert [one.command for one in found.repairs] == [f"REVOKE {reading(INVOICES)} FROM {CLONE}"]


def test_a_clone_that_somebody_locked_is_unlocked() -> None:
    scenario = Scenario(ALTERNATING)
    for _ in range(2):
        scenario.rotate()
    scenario.database.users[CLONE].verifiers = ()
    found = heal(scenario)
    assert found.first.state is State.CLONE_LOCKED


@pytest.mark.parametrize("text", [None, "no JSON"])
def test_a_current_version_without_a_login_is_written(text: str | None) -> None:
    scenario = Scenario()
    scenario.secret.versions["version-0"] = text
    found = examined(scenario)
    assert found.first.state is State.NO_CURRENT
    assert scenario.database.tried == []
    assert "put-secret-value" in found.repairs[0].command


def test_a_server_that_is_down_is_no_diagnosis_of_a_password() -> None:
    scenario = begun(Scenario(), Step.CREATE)
    scenario.database.unreachable.add("primary.test")
    found = examined(scenario)
    assert (found.first.state, found.repairs) == (State.NOT_KNOWN, [])
    assert "no answer" in found.first.sentence
    assert len(scenario.database.tried) == 1


@pytest.mark.parametrize(
    "fields", [{"owner": "rds"}, {"primary_region": "us-east-1"}, {"is_deleted": True}], ids=lambda one: next(iter(one))
)
def test_a_secret_that_is_not_ours_is_not_read(fields: dict[str, object]) -> None:
    scenario = Scenario()
    found = examined(scenario, replace(DESCRIPTION, **fields))  # type: ignore[arg-type] # each has its own type
    assert (found.first.state, found.repairs) == (State.NOT_OURS, [])
    assert scenario.database.tried == []


# Few tries


def test_two_passwords_of_a_user_meet_the_server_and_no_more() -> None:
    scenario = Scenario()
    for _ in range(4):
        begun(scenario, Step.CREATE)
        scenario.secret.abandon()
    scenario.database.new_user(APP, "of somebody else")
    assert examined(scenario).first.state is State.NONE_LOGS_IN
    assert [one.password for one in scenario.database.refused] == ["password-0", "password-4"]


def test_it_stops_at_the_password_that_works() -> None:
    scenario = begun(Scenario(), Step.CREATE)
    examined(scenario)
    assert {one.password for one in scenario.database.tried} == {"password-0"}


def test_a_password_of_another_host_is_sent_nowhere() -> None:
    scenario = begun(Scenario(), Step.CREATE, Step.SET)
    scenario.secret.abandon()
    text = scenario.secret.versions["version-1"] or ""
    scenario.secret.versions["version-1"] = text.replace("primary.test", "elsewhere.test")
    assert examined(scenario).first.state is State.NONE_LOGS_IN
    assert [one.password for one in scenario.database.tried] == ["password-0"]


def test_a_version_with_a_label_of_others_is_left_alone() -> None:
    scenario = begun(Scenario(), Step.CREATE, Step.SET)
    scenario.secret.abandon()
    scenario.secret.labels["CANARY"] = "version-1"
    assert examined(scenario).first.state is State.NONE_LOGS_IN
    assert [one.password for one in scenario.database.tried] == ["password-0"]


# The admin


def test_the_admin_looks_at_a_pair_only_after_its_user_has_logged_in() -> None:
    scenario = Scenario(ALTERNATING)
    scenario.database.new_user(APP, "of somebody else")
    assert examined(scenario).first.state is State.NONE_LOGS_IN
    assert scenario.users_tried() == [APP]


def test_the_admin_looks_at_the_account_that_logged_in_and_no_other() -> None:
    scenario = half_privileged()

    def replace_account(what: str) -> None:
        if what == "log in as admin":
            scenario.database.users[CLONE].principal = "another account of that name"

    scenario.database.before = replace_account
    found = examined(scenario)
    assert found.first.state is State.NOT_KNOWN
    assert found.repairs == []


def test_the_proof_of_a_pair_without_a_mark_counts_among_the_two_tries() -> None:
    scenario = Scenario(ALTERNATING)
    for _ in range(2):
        scenario.rotate()
    for user in (APP, CLONE):
        scenario.database.users[user].mark = None
    begun(scenario, Step.CREATE)
    scenario.secret.abandon()
    begun(scenario, Step.CREATE)
    scenario.database.users[CLONE].verifiers = (verifier(CLONE, "of somebody else"),)
    assert examined(scenario).first.state is State.NOT_SET
    assert [one.username for one in scenario.database.refused] == [CLONE, CLONE]
