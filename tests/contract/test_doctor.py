"""What does a doctor say of a stuck secret on a real server, and does its statement let the user in again?"""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from rotation.credential import Credential, SecretValue
from rotation.doctor.diagnosis import State
from rotation.doctor.examination import Examination, Means, examine
from rotation.doctor.versions import Version
from rotation.kind import Strategy
from tests.contract.mysql_kit import account, alter
from tests.contract.pairs import admin_for, changed, new_clone
from tests.contract.test_preflight import DESCRIPTION
from tests.laboratories import INVOICES, Laboratory, deadline
from tests.laboratories.db2 import Db2Laboratory
from tests.laboratories.mysql import MySQLLaboratory
from tests.laboratories.postgresql import PostgreSQLLaboratory

pytestmark = pytest.mark.newest

CURRENT, PENDING, PREVIOUS = ["AWSCURRENT"], ["AWSPENDING"], ["AWSPREVIOUS"]


def value(laboratory: Laboratory, user: Credential, strategy: Strategy, *, through_admin: bool) -> SecretValue:
    """Return a secret for this user."""
    place = {"engine": user.engine, "host": user.host, "port": user.port, "ssl": user.tls}
    database = {"dbname": user.database} if user.database else {}
    admin = {"masterarn": "arn:admin"} if through_admin else {}
    login = {"username": user.username, "password": user.password}
    text = json.dumps({**place, **database, **login, **admin, "rotation": {"strategy": strategy}})
    return SecretValue.parse(text, laboratory.engine.kind, "reading a test")


def examined(laboratory: Laboratory, *versions: tuple[Sequence[str], SecretValue]) -> Examination:
    """Have a doctor look at a secret with these versions, the newest first; few logins were refused."""
    before = laboratory.logins()
    found = [
        Version(f"version-{number}", frozenset(labels), value=one) for number, (labels, one) in enumerate(versions)
    ]
    means = Means(
        engine=laboratory.engine,
        deadline=deadline(),
        describe=lambda: replace(DESCRIPTION, stages={one.identity: sorted(one.labels) for one in found}),
        versions=lambda _: found,
        admin=lambda current: admin_for(laboratory, current.credential),
        function_arn=DESCRIPTION.function_arn,
    )
    examination = examine(means)
    after = laboratory.logins()
    if before and after:
        assert (after - before).refused <= 2
    return examination


def run(laboratory: Laboratory, statement: str) -> None:
    """Run a statement as the administrator of the server."""
    if isinstance(laboratory, Db2Laboratory) and "RDSADMIN" in statement:
        laboratory.administer(statement)
        return
    with laboratory.session() as execute:  # type: ignore[attr-defined] # every laboratory of a server has it
        execute(statement)


@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_if_the_server_has_the_pending_password_the_application_is_locked_out(
    every_laboratory: Laboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    user = every_laboratory.new_user()
    old = value(every_laboratory, changed(user), strategy, through_admin=through_admin)
    new = value(every_laboratory, user, strategy, through_admin=through_admin)
    found = examined(every_laboratory, (PENDING, new), (CURRENT, old))
    assert found.first.state is State.LOCKED_OUT
    [repair] = found.repairs
    assert repair.safe
    assert "--move-to-version-id version-0 --remove-from-version-id version-1" in repair.command
    assert examined(every_laboratory, (CURRENT, new)).first.state is State.HEALTHY


@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_if_no_password_logs_in_the_statement_sets_one_that_does(
    every_laboratory: Laboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    user = every_laboratory.new_user()
    old = value(every_laboratory, changed(user), strategy, through_admin=through_admin)
    found = examined(every_laboratory, (CURRENT, old))
    assert found.first.state is State.NONE_LOGS_IN
    chosen = changed(user)
    run(every_laboratory, found.repairs[0].command.replace("***", chosen.password))
    assert every_laboratory.logs_in(chosen)
    new = value(every_laboratory, chosen, strategy, through_admin=through_admin)
    assert examined(every_laboratory, (CURRENT, new), ([], old)).first.state is State.HEALTHY


HOSTILE = {
    "PostgreSQL": "we\"ird'; DROP ROLE x; --",
    "MySQL": "we`ird'\\; --",
    "MariaDB": "we`ird'\\; --",
    "Oracle": '"we\'ird; -- "',
    "SQL Server": "we]ird'; DROP LOGIN x; --",
}
"""By engine, a user's name that ends a statement, if it is not quoted. On Db2 there is none."""


@pytest.mark.strategies(Strategy.SINGLE_USER)
def test_the_statement_is_about_the_user_whatever_its_name_is(
    every_laboratory: Laboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    name = HOSTILE.get(every_laboratory.engine.kind.name)
    if not name or through_admin:
        return
    user = every_laboratory.new_user(name)
    old = value(every_laboratory, changed(user), strategy, through_admin=False)
    found = examined(every_laboratory, (CURRENT, old))
    chosen = changed(user)
    for repair in found.repairs[:-1]:
        run(every_laboratory, repair.command.replace("***", chosen.password))
    assert every_laboratory.logs_in(chosen)


@pytest.mark.strategies(Strategy.ALTERNATING_USERS)
def test_a_half_privileged_clone_is_seen_and_the_statements_end_it(
    every_laboratory: Laboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    user = every_laboratory.new_user()
    clone = every_laboratory.new_user(f"{user.username}_clone")
    every_laboratory.allow(user.username, INVOICES)
    previous = value(every_laboratory, user, strategy, through_admin=through_admin)
    current = value(every_laboratory, clone, strategy, through_admin=through_admin)
    found = examined(every_laboratory, (CURRENT, current), (PREVIOUS, previous))
    assert found.first.state is State.PAIR_DIFFERS
    for repair in found.repairs:
        run(every_laboratory, repair.command)
    assert every_laboratory.may_read(clone, INVOICES)
    assert examined(every_laboratory, (CURRENT, current), (PREVIOUS, previous)).first.state is State.HEALTHY


@pytest.mark.strategies(Strategy.ALTERNATING_USERS)
def test_a_pair_without_its_clone_is_healthy(
    every_laboratory: Laboratory, strategy: Strategy, *, through_admin: bool
) -> None:
    user = every_laboratory.new_user()
    current = value(every_laboratory, user, strategy, through_admin=through_admin)
    pending = value(every_laboratory, new_clone(user), strategy, through_admin=through_admin)
    assert examined(every_laboratory, (CURRENT, current)).first.state is State.HEALTHY
    assert examined(every_laboratory, (PENDING, pending), (CURRENT, current)).first.state is State.NOT_SET


def an_expired_password(laboratory: MySQLLaboratory) -> None:
    user = laboratory.new_user()
    alter(laboratory, f"ALTER USER {account(user)} PASSWORD EXPIRE")
    current = value(laboratory, user, Strategy.SINGLE_USER, through_admin=False)
    found = examined(laboratory, (CURRENT, current))
    assert found.first.state is State.EXPIRED
    assert [one.command.partition(" --secret-id")[0] for one in found.repairs] == ["aws secretsmanager rotate-secret"]


def test_an_expired_password_of_mysql_is_not_healthy(mysql: MySQLLaboratory) -> None:
    an_expired_password(mysql)


def test_an_expired_password_of_mariadb_is_not_healthy(mariadb: MySQLLaboratory) -> None:
    an_expired_password(mariadb)


@pytest.mark.engine("postgresql")
def test_a_password_that_is_set_again_logs_in_whatever_date_it_was_valid_until(
    laboratory: PostgreSQLLaboratory,
) -> None:
    user = laboratory.new_user()
    run(laboratory, f"ALTER ROLE \"{user.username}\" VALID UNTIL '2001-01-01'")
    current = value(laboratory, user, Strategy.SINGLE_USER, through_admin=False)
    found = examined(laboratory, (CURRENT, current))
    chosen = changed(user)
    for one in found.repairs[:-1]:
        run(laboratory, one.command.replace("***", chosen.password))
    assert laboratory.logs_in(chosen)
