"""Is a pair of SQL Server promoted only if the pending user can enter every database that the current one can?

The admin does not see into each database, and not each database is online, or can be written.
"""

import logging
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace

import pymssql
import pytest

from rotation.credential import Credential
from rotation.errors import RightsDiffer, Unsupported
from tests.contract.pairs import Pair, RecordInMemory, new_clone, set_secret
from tests.contract.sqlserver_kit import agree, alter, asked, has, mirror, needs_stand_in
from tests.laboratories import ORDERS
from tests.laboratories.sqlserver import DATABASE, SQLServerLaboratory, account, bracketed, quoted

pytestmark = pytest.mark.engine("sqlserver")


LOGGER = "rotation.engines.sqlserver.login_pair"
ACCEPTED = frozenset({"databases"})


@pytest.fixture
def closed(sqlserver: SQLServerLaboratory) -> Iterator[str]:
    """A database that the admin cannot enter."""
    name = f"it's ]] closed {secrets.token_hex(3)}"
    alter(sqlserver, f"CREATE DATABASE {bracketed(name)}")
    alter(sqlserver, "CREATE TABLE dbo.t (a int)", database=name)
    yield name
    alter(sqlserver, f"DROP DATABASE {bracketed(name)}")


def admit(sqlserver: SQLServerLaboratory, username: str, database: str) -> None:
    alter(sqlserver, f"CREATE USER {username} FOR LOGIN {username}", database=database)


def let_admin_in(sqlserver: SQLServerLaboratory, database: str) -> None:
    admit(sqlserver, sqlserver.admin.username, database)
    alter(sqlserver, f"ALTER ROLE db_owner ADD MEMBER {sqlserver.admin.username}", database=database)


def enters(sqlserver: SQLServerLaboratory, user: Credential, database: str) -> bool:
    try:
        with sqlserver.session(replace(user, database=database)):
            return True
    except pymssql.Error as error:
        if "severity 14" not in account(error):  # what the client says last of a login that the server refused
            raise
        return False


def logins(sqlserver: SQLServerLaboratory) -> list[tuple[object, ...]]:
    return asked(sqlserver, "SELECT name FROM sys.sql_logins ORDER BY name")


# Databases that the admin cannot enter


def test_a_database_that_only_the_current_one_can_enter_is_refused_before_anything_changes(
    sqlserver: SQLServerLaboratory, closed: str
) -> None:
    user = sqlserver.new_user()
    admit(sqlserver, user.username, closed)
    before = logins(sqlserver)
    with pytest.raises(Unsupported) as raised:
        set_secret(sqlserver, user)
    admin = sqlserver.admin.username
    assert f"{user.username} has a user in the database {closed}" in raised.value.cause
    assert f"CREATE USER [{admin}] FOR LOGIN [{admin}]; ALTER ROLE db_owner ADD MEMBER [{admin}]" in raised.value.cause
    assert '"accept": ["databases"]' in raised.value.remedy
    assert logins(sqlserver) == before
    let_admin_in(sqlserver, closed)
    assert enters(sqlserver, set_secret(sqlserver, user), closed)


def test_a_database_that_the_current_one_cannot_enter_is_no_matter(
    sqlserver: SQLServerLaboratory, pair: Pair, closed: str, caplog: pytest.LogCaptureFixture
) -> None:
    user, clone = pair
    admit(sqlserver, clone.username, closed)
    with caplog.at_level(logging.WARNING, LOGGER):
        pending = set_secret(sqlserver, user)
    assert not caplog.records
    assert enters(sqlserver, pending, closed)


def test_who_does_not_see_all_databases_cannot_say_that_it_has_no_user(
    sqlserver: SQLServerLaboratory, pair: Pair, closed: str
) -> None:
    user, _ = pair
    alter(sqlserver, f"DENY VIEW ANY DATABASE TO {user.username}")
    unknown = f"it is not known whether {user.username} has a user in the database {re.escape(closed)}"
    with pytest.raises(Unsupported, match=unknown):
        set_secret(sqlserver, user)


def test_of_a_user_that_has_not_logged_in_nothing_is_known(
    sqlserver: SQLServerLaboratory, pair: Pair, closed: str
) -> None:
    with pytest.raises(Unsupported, match=f"not known whether .* database {re.escape(closed)}"):
        mirror(sqlserver, *pair)


def test_a_guest_has_no_user(sqlserver: SQLServerLaboratory, pair: Pair, closed: str) -> None:
    """All logins can enter, the admin and the other one as well; so what counts is a user of one's own."""
    user, _ = pair
    alter(sqlserver, "GRANT CONNECT TO guest", database=closed)
    assert enters(sqlserver, set_secret(sqlserver, user), closed)
    admit(sqlserver, user.username, closed)
    with pytest.raises(Unsupported, match=f"{user.username} has a user in the database {re.escape(closed)}"):
        set_secret(sqlserver, user)


def test_the_owner_of_a_closed_database_has_a_user_there(
    sqlserver: SQLServerLaboratory, pair: Pair, closed: str
) -> None:
    user, _ = pair
    alter(sqlserver, f"ALTER AUTHORIZATION ON DATABASE::{bracketed(closed)} TO {user.username}")
    try:
        with pytest.raises(Unsupported, match=f"{user.username} has a user in the database {re.escape(closed)}"):
            set_secret(sqlserver, user)
    finally:
        alter(sqlserver, f"ALTER AUTHORIZATION ON DATABASE::{bracketed(closed)} TO sa")


def test_a_database_that_the_admin_cannot_enter_is_named_in_the_log(
    sqlserver: SQLServerLaboratory, pair: Pair, closed: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If the secret accepts that it is left as it is."""
    user, _ = pair
    admit(sqlserver, user.username, closed)
    with caplog.at_level(logging.WARNING, LOGGER):
        set_secret(sqlserver, user, accept=ACCEPTED)
    [text] = [record.getMessage() for record in caplog.records]
    assert text == f"{closed} was not changed, because the secret accepts that"


def test_nothing_is_dropped_when_the_admin_is_let_in_later(
    sqlserver: SQLServerLaboratory, closed: str, caplog: pytest.LogCaptureFixture
) -> None:
    user = sqlserver.new_user()
    admit(sqlserver, user.username, closed)
    alter(sqlserver, f"GRANT SELECT ON dbo.t TO {user.username}", database=closed)
    with caplog.at_level(logging.WARNING, LOGGER):
        clone = set_secret(sqlserver, user, accept=ACCEPTED)
        assert f"{closed} was not changed, because the secret accepts that" in caplog.text
        let_admin_in(sqlserver, closed)
        before = has(sqlserver, user.username, closed)[1:]
        again = set_secret(sqlserver, clone)
    assert has(sqlserver, user.username, closed)[1:] == before
    assert f"{user.username} is the user {user.username} in the database {closed}" in caplog.text
    # Somebody could have dropped the clone's user while only the clone was current.
    with pytest.raises(RightsDiffer, match=f"CREATE USER .*{clone.username}"):
        set_secret(sqlserver, again)
    agree(sqlserver, again, clone)
    pending = set_secret(sqlserver, again)
    with sqlserver.session(replace(pending, database=closed)) as run:
        run("SELECT a FROM dbo.t")


# Databases that are not online, or keep nearly everybody out

UNAVAILABLE = [
    ("ALTER DATABASE {} SET OFFLINE", "ALTER DATABASE {} SET ONLINE", "OFFLINE"),
    ("ALTER DATABASE {} SET EMERGENCY", "ALTER DATABASE {} SET ONLINE", "EMERGENCY"),
    ("BACKUP LOG {} TO DISK = 'NUL' WITH NORECOVERY", "RESTORE DATABASE {} WITH RECOVERY", "RESTORING"),
    ("ALTER DATABASE {} SET SINGLE_USER", "ALTER DATABASE {} SET MULTI_USER", "SINGLE_USER"),
    ("ALTER DATABASE {} SET RESTRICTED_USER", "ALTER DATABASE {} SET MULTI_USER", "RESTRICTED_USER"),
    ("ALTER DATABASE {} SET HADR AVAILABILITY GROUP = ag", "ALTER DATABASE {} SET HADR OFF", "replica"),
]


@pytest.mark.parametrize(("begin", "end", "why"), UNAVAILABLE)
def test_a_database_that_nobody_can_look_into_is_named_and_neither_lost_nor_in_the_way_for_ever(
    sqlserver: SQLServerLaboratory, closed: str, begin: str, end: str, why: str
) -> None:
    needs_stand_in(sqlserver)
    user = sqlserver.new_user()
    admit(sqlserver, user.username, closed)
    alter(sqlserver, begin.format(bracketed(closed)))
    with pytest.raises(Unsupported) as raised:
        set_secret(sqlserver, user)
    assert f"it is not known whether {user.username} has a user in the database {closed}" in raised.value.cause
    assert why in raised.value.cause
    assert (end.format(bracketed(closed)) if why != "replica" else 'name the primary in "host"') in raised.value.cause
    clone = set_secret(sqlserver, user, accept=ACCEPTED)
    assert sqlserver.logs_in(clone)
    alter(sqlserver, end.format(bracketed(closed)))
    let_admin_in(sqlserver, closed)
    again = set_secret(sqlserver, clone)
    assert enters(sqlserver, again, closed)
    agree(sqlserver, again, clone)
    assert enters(sqlserver, set_secret(sqlserver, again), closed)


def test_a_database_that_rds_took_offline_has_the_statement_of_rds(
    sqlserver: SQLServerLaboratory, pair: Pair, closed: str
) -> None:
    alter(sqlserver, f"ALTER DATABASE {bracketed(closed)} SET OFFLINE")
    with pytest.raises(Unsupported, match=re.escape(f"EXEC rdsadmin.dbo.rds_set_database_online {quoted(closed)}")):
        set_secret(sqlserver, pair[0])


# Databases that cannot be written


def test_a_read_only_database_is_reported(sqlserver: SQLServerLaboratory, pair: Pair, closed: str) -> None:
    user, clone = pair
    record = RecordInMemory()
    read_only, writable = (f"ALTER DATABASE {bracketed(closed)} SET {how}" for how in ("READ_ONLY", "READ_WRITE"))
    let_admin_in(sqlserver, closed)
    alter(sqlserver, read_only)
    assert sqlserver.logs_in(set_secret(sqlserver, user, pair=record))
    alter(sqlserver, writable)
    admit(sqlserver, user.username, closed)
    alter(sqlserver, read_only)
    with pytest.raises(Unsupported) as raised:
        set_secret(sqlserver, user, pair=record)
    assert f"in the database {closed}: it is read-only" in raised.value.cause
    assert writable in raised.value.cause
    assert "primary" not in str(raised.value)
    assert not enters(sqlserver, set_secret(sqlserver, user, accept=ACCEPTED, pair=record), closed)
    alter(sqlserver, writable)
    assert enters(sqlserver, set_secret(sqlserver, user, pair=record), closed)
    alter(sqlserver, read_only)
    pending = set_secret(sqlserver, user, pair=record)
    assert enters(sqlserver, pending, closed)
    assert pending.username == clone.username
    assert enters(sqlserver, set_secret(sqlserver, pending, user), closed)


def test_a_snapshot_that_is_older_than_the_clones_user_is_named(sqlserver: SQLServerLaboratory, closed: str) -> None:
    user, name = sqlserver.new_user(), f"snapshot_{secrets.token_hex(3)}"
    make = f"CREATE DATABASE {name} ON (NAME = data, FILENAME = 'file') AS SNAPSHOT OF {bracketed(closed)}"
    let_admin_in(sqlserver, closed)
    admit(sqlserver, user.username, closed)
    alter(sqlserver, make)
    try:
        with pytest.raises(Unsupported, match=rf"database {name}: it is read-only.*DROP DATABASE \[{name}\]"):
            set_secret(sqlserver, user)
        pending = set_secret(sqlserver, user, accept=ACCEPTED)
        alter(sqlserver, f"DROP DATABASE {name}", make)
        assert enters(sqlserver, pending, name)
        assert enters(sqlserver, set_secret(sqlserver, pending), name)
    finally:
        alter(sqlserver, f"DROP DATABASE {name}")


# Pairs that AWS's template made


def made_by_template(sqlserver: SQLServerLaboratory) -> Pair:
    """Make a pair by the statements of SecretsManagerRDSSQLServerRotationMultiUser: a user in one database only."""
    user = sqlserver.new_user()
    clone = new_clone(user)
    alter(
        sqlserver,
        f"CREATE LOGIN {clone.username} WITH PASSWORD = {quoted(clone.password)}, CHECK_POLICY = OFF",
        f"GRANT CONNECT SQL TO {clone.username}",
    )
    alter(
        sqlserver,
        f"CREATE USER {clone.username} FOR LOGIN {clone.username}",
        f"GRANT CONNECT TO {clone.username}",
        f"GRANT SELECT ON OBJECT::dbo.{ORDERS} TO {clone.username}",
        database=DATABASE,
    )
    return user, clone


def test_a_pair_of_the_template_is_adopted_while_the_original_is_current(
    sqlserver: SQLServerLaboratory, closed: str
) -> None:
    user, clone = made_by_template(sqlserver)
    let_admin_in(sqlserver, closed)
    admit(sqlserver, user.username, closed)
    with pytest.raises(RightsDiffer, match=rf"CREATE USER \[{clone.username}\].*") as raised:
        set_secret(sqlserver, user, clone)
    assert "no rotation has recorded that they were equal" in raised.value.cause
    agree(sqlserver, user, clone)
    pending = set_secret(sqlserver, user, clone)
    assert enters(sqlserver, pending, closed)
    assert sqlserver.may_read(pending, ORDERS)


def test_a_pair_of_the_template_is_adopted_while_the_clone_is_current(
    sqlserver: SQLServerLaboratory, closed: str
) -> None:
    user, clone = made_by_template(sqlserver)
    let_admin_in(sqlserver, closed)
    admit(sqlserver, user.username, closed)
    alter(sqlserver, f"GRANT SELECT ON dbo.t TO {user.username}", database=closed)
    before = has(sqlserver, user.username, closed)[1:]
    pending = set_secret(sqlserver, clone, user)
    assert has(sqlserver, user.username, closed)[1:] == before
    assert enters(sqlserver, pending, closed)
    assert sqlserver.may_read(pending, ORDERS)
    with pytest.raises(RightsDiffer, match=f"{user.username} has a user in the database"):
        set_secret(sqlserver, pending)
    agree(sqlserver, pending, clone)
    again = set_secret(sqlserver, pending)
    with sqlserver.session(replace(again, database=closed)) as run:
        run("SELECT a FROM dbo.t")
