"""What can an old answer, or a statement that waits for the next one, do to a rotation of PostgreSQL?"""

import secrets
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from rotation.credential import Credential
from rotation.deadline import Deadline
from rotation.engines.postgresql.connection import PostgreSQLConnection, Statement, transaction
from rotation.engines.postgresql.databases import OtherDatabase, visit_other_databases
from rotation.engines.postgresql.questions import Rows
from rotation.errors import RightsDiffer, StatementFailed, Unsafe
from tests.contract.pairs import RecordInMemory, admin_for, new_pair, set_secret
from tests.contract.postgresql_kit import alter
from tests.laboratories import deadline, new_password
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

pytestmark = pytest.mark.thorough(postgresql=OLDER)  # no version makes a difference here


def facts(postgresql: PostgreSQLLaboratory, user: Credential) -> tuple[str, bool]:
    """Return the comment of a role, and whether it is a member of another one."""
    with postgresql.session() as run:
        [(comment, is_member)] = run(
            "SELECT coalesce(shobj_description(oid, 'pg_authid'), ''), EXISTS (SELECT FROM pg_auth_members"
            " WHERE member = r.oid) FROM pg_roles r WHERE rolname = %s",
            user.username,
        )
    return str(comment), bool(is_member)


def before_the_lock(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> list[bool]:
    """Do this just before the first COMMENT is sent."""
    execute, done = PostgreSQLConnection.execute, list[bool]()

    def work_and_execute(
        via: PostgreSQLConnection,
        operation: str,
        statement: Statement,
        *more: Any,  # noqa: ANN401 - passed on
        **others: Any,  # noqa: ANN401 - the same
    ) -> Rows:
        if "COMMENT" in repr(statement) and not done:
            done.append(True)
            work()
        return execute(via, operation, statement, *more, **others)

    monkeypatch.setattr(PostgreSQLConnection, "execute", work_and_execute)
    return done


def test_a_role_that_took_the_clones_name_before_the_lock_gets_nothing(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, clone = new_pair(postgresql)

    def exchange() -> None:
        alter(postgresql, "ALTER ROLE {} RENAME TO {}", clone.username, f"old_{secrets.token_hex(4)}")
        alter(postgresql, "CREATE ROLE {}", clone.username)
        alter(postgresql, "GRANT {} TO {} WITH ADMIN OPTION", clone.username, admin_for(postgresql, user).username)

    with monkeypatch.context() as patch:
        done = before_the_lock(patch, exchange)
        with pytest.raises(Unsafe, match="no longer the role that it was"):
            set_secret(postgresql, user, clone, pair=RecordInMemory())
    assert done
    assert facts(postgresql, clone) == ("", False)


def test_a_comment_that_is_written_while_other_databases_are_visited_stays(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, clone = new_pair(postgresql)
    table, database = f"of_{clone.username}", f"other_{secrets.token_hex(4)}"
    alter(postgresql, "CREATE DATABASE {}", database)
    alter(postgresql, "CREATE TABLE public.{} (id int)", table, database=database)
    alter(postgresql, "ALTER TABLE public.{} OWNER TO {}", table, clone.username, database=database)
    comment = f"{facts(postgresql, clone)[0]}\nof the team for orders"
    written = list[bool]()

    def visit_and_comment(
        via: PostgreSQLConnection,
        databases: Iterable[OtherDatabase],
        work: Callable[[PostgreSQLConnection, str], None],
    ) -> list[str]:
        databases = list(databases)
        left = visit_other_databases(via, databases, work)
        if databases:
            alter(postgresql, f"COMMENT ON ROLE {{}} IS '{comment}'", clone.username)
            written.append(True)
        return left

    monkeypatch.setattr("rotation.engines.postgresql.pair.visit_other_databases", visit_and_comment)
    with postgresql.engine.connect(admin_for(postgresql, user), deadline()) as session:
        session.mirror(user.username, clone.username)
    assert written == [True]
    assert facts(postgresql, clone)[0] == comment
    alter(postgresql, "DROP DATABASE {}", database)


def test_what_the_server_refuses_near_the_deadline_is_taken_back(postgresql: PostgreSQLLaboratory) -> None:
    """A transaction that has failed takes no shorter timeout, and nothing but the way back."""
    seconds = [20.0]
    with transaction(postgresql.new_user(), Deadline(lambda: seconds[0])) as connection:
        connection.before_next("SAVEPOINT attempt")
        with pytest.raises(StatementFailed, match="division by zero"):
            connection.execute("trying", "SELECT 1 / 0")
        seconds[0] = 7.0
        connection.execute("taking it back", "ROLLBACK TO SAVEPOINT attempt")
        assert connection.execute("looking", "SHOW statement_timeout") == [("4s",)]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER ROLE {} NOLOGIN",
        "ALTER ROLE {} CONNECTION LIMIT 7",
        "ALTER ROLE {} VALID UNTIL '2035-01-01'",
        "ALTER ROLE {} SET work_mem TO '3MB'",
        "ALTER ROLE {} CREATEDB",
    ],
)
def test_what_is_done_to_the_other_user_after_the_look_is_not_undone(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The pair was compared, and found equal; so nobody has looked whether a rotation may end this."""
    (user, clone), record = new_pair(postgresql), RecordInMemory()
    pending = set_secret(postgresql, user, clone, pair=record)
    with monkeypatch.context() as patch:
        done = before_the_lock(patch, lambda: alter(postgresql, change, user.username))
        with pytest.raises(RightsDiffer, match=r"somebody changed \S+ meanwhile"):
            set_secret(postgresql, pending, user, pair=record)
    assert done
    with pytest.raises(RightsDiffer, match=r"was changed since the last rotation|somebody has locked"):
        set_secret(postgresql, pending, user, pair=record)


def test_a_user_that_can_change_all_changes_no_role_that_took_its_name(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    alter(postgresql, "ALTER ROLE {} SUPERUSER", user.username)

    def change_late() -> None:
        with postgresql.engine.connect(user, deadline()) as session:
            alter(postgresql, "ALTER ROLE {} RENAME TO {}", user.username, f"old_{user.username}")
            alter(postgresql, "CREATE ROLE {}", user.username)
            session.change_own_password(new_password())

    with pytest.raises(Unsafe, match="no longer the role"):
        change_late()
    with postgresql.session() as run:
        assert run("SELECT rolpassword FROM pg_authid WHERE rolname = %s", user.username) == [(None,)]


def test_what_the_clone_is_given_in_another_database_after_the_look_stays(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (user, clone), record = new_pair(postgresql), RecordInMemory()
    current = set_secret(postgresql, set_secret(postgresql, user, clone, pair=record), user, pair=record)
    database = f"other_{secrets.token_hex(4)}"
    alter(postgresql, "CREATE DATABASE {}", database)
    alter(postgresql, "CREATE SCHEMA {}", "s", database=database)
    with monkeypatch.context() as patch:
        give = "GRANT USAGE ON SCHEMA s TO {}"
        done = before_the_lock(patch, lambda: alter(postgresql, give, clone.username, database=database))
        with pytest.raises(RightsDiffer, match=rf"it has something in the database {database}"):
            set_secret(postgresql, current, clone, pair=record)
    assert done
    with pytest.raises(RightsDiffer, match=rf"has USAGE on schema s, .*\(in database {database}\)"):
        set_secret(postgresql, current, clone, pair=record)
    alter(postgresql, "DROP DATABASE {}", database)
