"""When does the PostgreSQL driver ask again, and when does it ask many things in one message?"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from psycopg2 import sql
from psycopg2.sql import SQL, Identifier, Literal

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.engines.postgresql import catalog
from rotation.engines.postgresql import questions as questions_module
from rotation.engines.postgresql.connection import PostgreSQLConnection, transaction
from rotation.engines.postgresql.databases import OtherDatabase, visit_other_databases
from rotation.engines.postgresql.questions import Question, Rows
from rotation.engines.postgresql.roles import Role
from rotation.errors import Unreachable
from tests.contract.pairs import RecordInMemory, admin_for, differences, new_pair, set_secret
from tests.contract.postgresql_kit import alter
from tests.laboratories import INVOICES, deadline
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

pytestmark = pytest.mark.thorough(postgresql=OLDER)  # no version makes a difference here


def limit(via: PostgreSQLConnection, user: Credential) -> object:
    """Ask about a role that others can change meanwhile."""
    [(_, oid, *facts)] = via.ask("looking", about(user))
    return Role.from_row(oid, *facts).attributes["CONNECTION LIMIT"]


def about(user: Credential) -> Question:
    return Question(catalog.ROLES, 3 * (user.username,))


def change_limit(via: PostgreSQLConnection, user: Credential, limit: int) -> None:
    statement = SQL("ALTER ROLE {} WITH CONNECTION LIMIT {}").format(Identifier(user.username), Literal(limit))
    via.execute("changing", statement)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield the messages that are sent, as they are."""
    sent: list[str] = []
    run = PostgreSQLConnection._run  # noqa: SLF001 - the only place

    def note(via: PostgreSQLConnection, statement: str, *more: object) -> Rows:
        sent.append(statement)
        return run(via, statement, *more)  # type: ignore[arg-type] # as they come

    with monkeypatch.context() as patch:
        patch.setattr(PostgreSQLConnection, "_run", note)
        yield sent


# When an answer ends

ENDS: dict[str, Callable[[PostgreSQLConnection, Credential], object]] = {
    "a statement of ours": lambda via, _: via.execute("looking", catalog.ENCRYPTION),
    "a commit": lambda via, _: via.commit(),
    "a rollback": lambda via, _: via.rollback(),
    "a caller that is done": lambda via, _: via.forget(),
    "work in another database": lambda via, _: visit_other_databases(
        via,
        [
            OtherDatabase(
                "template1", clone_owns_something=True, is_operators=True, is_enterable=True, has_unmovable=False
            )
        ],
        lambda *_: None,
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_answer_holds_until(postgresql: PostgreSQLLaboratory, end: str) -> None:
    user = postgresql.new_user()
    with transaction(admin_for(postgresql, user), deadline()) as connection:
        assert limit(connection, user) == -1
        alter(postgresql, "ALTER ROLE {} CONNECTION LIMIT 5", user.username)
        assert limit(connection, user) == -1
        ENDS[end](connection, user)
        assert limit(connection, user) == 5


def test_what_this_session_has_changed_itself_is_read_anew(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    with transaction(admin_for(postgresql, user), deadline()) as connection:
        connection.ask_all("looking", [about(user)])
        change_limit(connection, user, 7)
        assert limit(connection, user) == 7
        connection.before_next("SAVEPOINT attempt")
        change_limit(connection, user, 8)
        assert limit(connection, user) == 8
        connection.execute("taking it back", "ROLLBACK TO SAVEPOINT attempt")
        assert limit(connection, user) == 7


def test_each_comparison_of_a_session_reads_anew(postgresql: PostgreSQLLaboratory) -> None:
    user, clone = new_pair(postgresql)
    with postgresql.engine.connect(admin_for(postgresql, user), deadline()) as session:
        assert session.compare(user.username, clone.username).sentences == []
        alter(postgresql, "ALTER ROLE {} CONNECTION LIMIT 5", clone.username)
        assert len(session.compare(user.username, clone.username).sentences) == 1


def test_a_difference_that_another_rotation_ends_meanwhile_does_not_count(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, clone = new_pair(postgresql)
    ask_all = PostgreSQLConnection.ask_all

    def ask_and_end(via: PostgreSQLConnection, operation: str, questions: list[Question], remedy: str = "") -> None:
        ask_all(via, operation, questions, remedy)
        alter(postgresql, "ALTER ROLE {} CONNECTION LIMIT -1", clone.username)

    alter(postgresql, "ALTER ROLE {} CONNECTION LIMIT 5", clone.username)
    monkeypatch.setattr(PostgreSQLConnection, "ask_all", ask_and_end)
    with postgresql.engine.connect(admin_for(postgresql, user), deadline()) as session:
        assert session.compare(user.username, clone.username).sentences == []


def test_a_mark_that_another_delivery_has_made_meanwhile_is_seen(postgresql: PostgreSQLLaboratory) -> None:
    user, clone = new_pair(postgresql)
    mark = comment_of(postgresql, clone)
    alter(postgresql, "COMMENT ON ROLE {} IS NULL", clone.username)
    with postgresql.engine.connect(admin_for(postgresql, user), deadline()) as session:
        assert session.clone_status(user.username, clone.username) is CloneStatus.UNKNOWN
        alter(postgresql, f"COMMENT ON ROLE {{}} IS '{mark}'", clone.username)
        assert session.clone_status(user.username, clone.username) is CloneStatus.OURS


def test_a_comment_that_somebody_has_written_meanwhile_stays(postgresql: PostgreSQLLaboratory) -> None:
    """Secrets Manager is asked between the comparison and `mirror`, which can take long."""
    user, clone = new_pair(postgresql)
    comment = f"{comment_of(postgresql, clone)}\nof the team for orders"
    with postgresql.engine.connect(admin_for(postgresql, user), deadline()) as session:
        session.clone_status(user.username, clone.username)
        alter(postgresql, f"COMMENT ON ROLE {{}} IS '{comment}'", clone.username)
        session.mirror(user.username, clone.username)
    assert comment_of(postgresql, clone) == comment


def comment_of(postgresql: PostgreSQLLaboratory, user: Credential) -> str:
    with postgresql.session() as run:
        [(comment,)] = run("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s", user.username)
    return str(comment)


def test_what_was_read_before_the_lock_is_read_again_behind_it(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another invocation of the step, or an administrator, can be at work until the lock is there."""
    (user, clone), record = new_pair(postgresql), RecordInMemory()
    pending = set_secret(postgresql, user, clone, pair=record)
    execute, done = PostgreSQLConnection.execute, list[bool]()

    def change_and_execute(via: PostgreSQLConnection, operation: str, statement: sql.Composable | str, *more, **others):  # type: ignore[no-untyped-def] # noqa: ANN002, ANN003, ANN202
        if "COMMENT" in repr(statement) and not done:
            done.append(True)
            alter(postgresql, "ALTER ROLE {} CONNECTION LIMIT 5", pending.username)
            alter(postgresql, "ALTER ROLE {} SET work_mem TO '7MB'", pending.username)
            alter(postgresql, "GRANT SELECT ON public.{} TO {}", INVOICES, clone.username)
        return execute(via, operation, statement, *more, **others)

    monkeypatch.setattr(PostgreSQLConnection, "execute", change_and_execute)
    user = set_secret(postgresql, pending, user, pair=record)
    assert done
    assert differences(postgresql, pending, user) == []


# What is asked together


def rich_pair(postgresql: PostgreSQLLaboratory) -> tuple[Credential, Credential]:
    """Make a pair that has something of everything, with names that need quotes."""
    user = postgresql.new_user(f'we"ird {{}} %s é {secrets.token_hex(4)}')
    user, clone = new_pair(postgresql, user)
    role, schema = f"röle {secrets.token_hex(4)}", f"sch'ema {secrets.token_hex(4)}"
    for username in (user.username, clone.username):
        alter(postgresql, "ALTER ROLE {} SET work_mem TO '7MB'", username)
        alter(postgresql, "ALTER ROLE {} IN DATABASE postgres SET search_path TO 'a\"b', '\\c', ''", username)
    alter(postgresql, "CREATE ROLE {}", role)
    alter(postgresql, "GRANT {} TO {}, {}", role, user.username, clone.username)
    alter(postgresql, "CREATE SCHEMA {}", schema)
    alter(postgresql, "GRANT USAGE ON SCHEMA {} TO {}", schema, clone.username)
    alter(
        postgresql,
        "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT SELECT ON TABLES TO PUBLIC",
        user.username,
        schema,
    )
    alter(postgresql, "ALTER ROLE {} VALID UNTIL '2099-01-02 03:04:05+00'", user.username)
    return user, clone


def test_an_answer_is_the_same_whether_it_comes_alone_or_with_others(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The states of a pair are hashes of answers, and labels keep them from one rotation to the next."""
    user, clone = rich_pair(postgresql)
    asked: list[Question] = []
    ask_all = PostgreSQLConnection.ask_all

    def note(via: PostgreSQLConnection, operation: str, questions: list[Question], remedy: str = "") -> None:
        asked.extend(questions)
        ask_all(via, operation, questions, remedy)

    with monkeypatch.context() as patch:
        patch.setattr(PostgreSQLConnection, "ask_all", note)
        assert differences(postgresql, user, clone)
        with postgresql.engine.connect(admin_for(postgresql, user), deadline()) as session:
            assert session.compare(user.username, clone.username).differences
    with transaction(admin_for(postgresql, user), deadline()) as alone:
        expected = [alone.ask("asking", question) for question in asked]
    with transaction(admin_for(postgresql, user), deadline()) as together, counted(monkeypatch) as sent:
        together.ask_all("asking", asked)
        assert [together.ask("asking", question) for question in asked] == expected
        assert len(sent) == 1
    assert sum(map(bool, expected)) > len(set(map(repr, asked))) / 2


def test_an_answer_that_is_too_long_for_a_message_of_many_comes_alone(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, clone = rich_pair(postgresql)
    with postgresql.engine.connect(admin_for(postgresql, user), deadline()) as session:
        expected = session.compare(user.username, clone.username)
        monkeypatch.setattr(questions_module, "MOST_BYTES", 3)
        with counted(monkeypatch) as sent:
            assert session.compare(user.username, clone.username) == expected
    assert len(sent) > len(set(sent)) / 2 > 4


# How many messages there are, besides those of the logins


def test_a_rotation_of_an_equal_pair_sends_few_messages(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In setSecret the current user's session sends 3, and the admin's 10."""
    (user, clone), record = new_pair(postgresql), RecordInMemory()
    pending = set_secret(postgresql, user, clone, pair=record)
    with counted(monkeypatch) as sent:
        tested = set_secret(postgresql, pending, user, pair=record)
    assert len(sent) == 13
    with counted(monkeypatch) as sent, postgresql.engine.connect(tested, deadline()) as session:
        session.surroundings()
        assert session.compare(pending.username, tested.username).sentences == []
        session.verify(["SELECT 1"])
        session.proof()
    assert len(sent) == 8


def test_a_rotation_of_one_user_sends_few_messages(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = postgresql.new_user()
    with counted(monkeypatch) as sent:
        with postgresql.engine.connect(user, deadline()) as session:
            session.change_own_password("new-" + user.password)
        assert len(sent) == 4
        with postgresql.engine.connect(replace(user, password="new-" + user.password), deadline()) as session:
            session.verify(["SELECT 1"])
            session.proof()
    assert len(sent) == 7


# When the server is gone


def test_a_lost_connection_is_one_at_each_statement(postgresql: PostgreSQLLaboratory) -> None:
    user = postgresql.new_user()
    connection = PostgreSQLConnection(user, deadline())
    connection.begin()
    for statement in (
        lambda: connection.execute("ending", "SELECT pg_terminate_backend(pg_backend_pid())"),
        lambda: connection.execute("looking", catalog.ENCRYPTION),
        lambda: connection.ask("looking", about(user)),
        lambda: connection.ask_all("looking", [about(user)]),
        connection.rollback,
    ):
        with pytest.raises(Unreachable):
            statement()
    connection.close()
