"""What if one of the questions fails that SQL Server is asked in one message, or if they are about odd databases?"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from rotation.credential import Credential
from rotation.engines import look
from rotation.engines.sqlserver.connection import Question, SQLServerConnection
from rotation.errors import NotPermitted, StatementFailed, Unsupported
from tests.contract.pairs import RecordInMemory, new_pair, set_secret
from tests.contract.sqlserver_kit import alter, known, needs_stand_in
from tests.laboratories import INVOICES, ORDERS, deadline
from tests.laboratories.sqlserver import CONTAINED, DATABASE, DRIVER, SQLServerLaboratory, bracketed
from tests.local.stand_ins.sqlserver.backend import Answer
from tests.local.stand_ins.sqlserver.server import Received, StandInSession

pytestmark = pytest.mark.engine("sqlserver")

WHERE = "SELECT DB_NAME(), %s"
MINE, FORBIDDEN = f"SELECT 1 FROM dbo.{ORDERS}", f"SELECT 1 FROM dbo.{INVOICES}"  # noqa: S608 - constants
ODD_NAMES = {
    "a percent sign": "100%s of %d%",
    "a bracket": "a]; DROP TABLE b--",
    "quotes": 'it\'s "odd"; USE master',
    "128 characters": "x" * 128,
    "capitals": "Lab_Of_CAPITALS",
}


@contextmanager
def connected(user: Credential) -> Iterator[SQLServerConnection]:
    connection = SQLServerConnection(user, deadline())
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
def user(sqlserver: SQLServerLaboratory) -> Credential:
    """One that can enter two databases."""
    user = sqlserver.new_user()
    alter(sqlserver, f"CREATE USER {user.username} FOR LOGIN {user.username}", database=CONTAINED)
    return user


def received(laboratory: SQLServerLaboratory, user: Credential) -> list[Received]:
    """Return what the driver has sent as this user."""
    needs_stand_in(laboratory)
    assert laboratory.log
    return [one for one in laboratory.log.received if (one.program, one.login) == (DRIVER, user.username)]


class TestOneThatFails:
    """Of questions that are asked together."""

    def test_lends_no_answer_to_another_one(self, user: Credential) -> None:
        """The server goes on after it: what comes in its place is the result of the next one, here of two packets."""
        first, last = (Question(CONTAINED, WHERE, (place,)) for place in ("first", "last" * 900))
        with connected(user) as connection:
            connection.ask_together("trying", [first, Question("", FORBIDDEN), last])
            with pytest.raises(NotPermitted, match=r"asking as .*229"):
                connection.ask_server("asking", FORBIDDEN)
            connection.enter(CONTAINED)
            for question in (last, first):
                found = connection.ask("asking", question.text, question.arguments)
                assert found == [(CONTAINED, *question.arguments)]

    def test_makes_all_be_asked_again_when_their_turn_comes(
        self, sqlserver: SQLServerLaboratory, user: Credential
    ) -> None:
        good = [f"SELECT {number}" for number in (1, 2)]
        with connected(user) as connection:
            connection.ask_together("trying", [Question("", one) for one in (*good, FORBIDDEN)])
            assert [connection.ask_server("asking", one) for one in good] == [[(1,)], [(2,)]]
        assert [one.text for one in received(sqlserver, user)][-2:] == good

    def test_leaves_the_session_in_its_database(self, user: Credential) -> None:
        with connected(user) as connection:
            for places in ((CONTAINED, "no_such_database", "master"), (CONTAINED, "master")):
                connection.ask_together("trying", [Question(place, WHERE, ("x",)) for place in places])
                assert connection.execute("asking", "SELECT DB_NAME()") == [(DATABASE,)]

    def test_leaves_the_session_there_also_if_the_server_does_not(
        self, user: Credential, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What follows is sent after USE: it can be a statement that writes."""

        def call(session: StandInSession, text: str, _: object) -> Iterator[Answer]:
            return session.batch(text.replace("@P1", "'x'").replace("@P2", "'x'"))

        monkeypatch.setattr(StandInSession, "call", call)
        with connected(user) as connection:
            connection.ask_together("trying", [Question(place, WHERE, ("x",)) for place in (CONTAINED, "nowhere")])
            assert connection.execute("asking", "SELECT DB_NAME()") == [(DATABASE,)]

    def test_does_not_hide_that_a_database_is_closed(self, user: Credential) -> None:
        with connected(user) as connection:
            connection.ask_together("trying", [Question("no_such_database", WHERE, ("x",))])
            with pytest.raises(StatementFailed, match="entering the database no_such_database"):
                connection.enter("no_such_database")

    @pytest.mark.parametrize("wrong", ["SELECT 7; SELECT 8", "USE master"])
    def test_with_more_results_or_fewer_lends_none_to_another_one(self, user: Credential, wrong: str) -> None:
        with connected(user) as connection:
            connection.ask_together("trying", [Question("", wrong), Question("", "SELECT 1")])
            assert connection.ask_server("asking", "SELECT 1") == [(1,)]

    def test_of_those_at_the_beginning_does_not_lift_the_limit_of_locks(
        self, sqlserver: SQLServerLaboratory, user: Credential
    ) -> None:
        with connected(user) as connection:
            assert connection.begin(MINE, FORBIDDEN) == {}
            last = received(sqlserver, user)[-1].text
            assert last.startswith("SET LOCK_TIMEOUT ")
            assert ";" not in last
            assert connection.begin(MINE) == {MINE: []}


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES)
def test_a_database_is_entered_by_its_own_name(sqlserver: SQLServerLaboratory, user: Credential, name: str) -> None:
    alter(sqlserver, f"CREATE DATABASE {bracketed(name)}")
    alter(sqlserver, f"CREATE USER {user.username} FOR LOGIN {user.username}", database=name)
    try:
        with connected(user) as connection:
            connection.ask_together("trying", [Question(place, WHERE, ("50%",)) for place in (name, "master")])
            before = len(received(sqlserver, user))
            connection.enter(name)
            assert connection.ask("asking", WHERE, ("50%",)) == [(name, "50%")]
            assert len(received(sqlserver, user)) == before
            connection.ask_together("trying", [Question(name, "SELECT DB_NAME()"), Question("", "SELECT 1")])
            assert connection.ask("asking", "SELECT DB_NAME()") == [(name,)]
            connection.enter(DATABASE)
            assert connection.execute("asking", "SELECT DB_NAME()") == [(DATABASE,)]
    finally:
        alter(sqlserver, f"DROP DATABASE {bracketed(name)}")


def test_names_that_differ_in_case_are_two_databases(sqlserver: SQLServerLaboratory, user: Credential) -> None:
    """As on a server whose collation knows the difference: an answer of one is none of the other."""
    with connected(user) as connection:
        connection.ask_together("trying", [Question("master", WHERE, ("x",))])
        before = len(received(sqlserver, user))
        connection.enter("MASTER")
        connection.ask("asking", WHERE, ("x",))
        assert [one.text for one in received(sqlserver, user)[before:]] == ["USE [MASTER]", "SELECT DB_NAME(), @P1"]


def test_a_long_answer_is_read_once_although_the_look_does_not_keep_it(
    sqlserver: SQLServerLaboratory, user: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "SELECT name FROM sys.databases"
    monkeypatch.setattr(look, "MOST_ROWS", 4)
    with connected(user) as connection:
        connection.ask_together("trying", [Question("", long), Question("", "SELECT 1")])
        for number_of_messages in (1, 2):
            assert len(connection.ask_server("asking", long)) > look.MOST_ROWS
            assert len(received(sqlserver, user)) == number_of_messages


class TestRotation:
    """What a rotation asks together."""

    def test_a_database_that_closes_meanwhile_does_not_count_as_seen(
        self, sqlserver: SQLServerLaboratory, database: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The list of databases says that it is open, and the message about all of them fails."""
        user = sqlserver.new_user()
        alter(sqlserver, f"CREATE USER {user.username} FOR LOGIN {user.username}", database=database)
        ask_together = SQLServerConnection.ask_together

        def close_and_ask(connection: SQLServerConnection, operation: str, questions: Sequence[Question]) -> None:
            if database in {question.database for question in questions}:
                alter(sqlserver, f"ALTER DATABASE {bracketed(database)} SET OFFLINE")
            ask_together(connection, operation, questions)

        monkeypatch.setattr(SQLServerConnection, "ask_together", close_and_ask)
        try:
            with pytest.raises(Unsupported, match=r"has a user in the database it's .*cannot enter it"):
                set_secret(sqlserver, user, pair=RecordInMemory())
        finally:
            alter(sqlserver, f"ALTER DATABASE {bracketed(database)} SET ONLINE")

    def test_a_login_that_is_dropped_meanwhile_is_no_defect_of_ours(
        self, sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was found, and is gone when its rights are read."""
        pair = new_pair(sqlserver)
        ask_together = SQLServerConnection.ask_together

        def drop_and_ask(connection: SQLServerConnection, operation: str, questions: Sequence[Question]) -> None:
            if operation.startswith("reading the rights") and not questions[0].database:
                alter(sqlserver, f"DROP LOGIN {pair[1].username}")
            ask_together(connection, operation, questions)

        monkeypatch.setattr(SQLServerConnection, "ask_together", drop_and_ask)
        with pytest.raises(StatementFailed, match="the account was dropped during the rotation"):
            set_secret(sqlserver, *pair)

    def test_nothing_that_writes_is_sent_with_something_else(self, sqlserver: SQLServerLaboratory) -> None:
        before = len(received(sqlserver, sqlserver.admin))
        user, clone = new_pair(sqlserver)
        record = known(sqlserver, user, clone)
        sqlserver.allow(user.username, INVOICES)
        set_secret(sqlserver, user, clone, pair=record)
        said = [one.text for one in received(sqlserver, sqlserver.admin)[before:]]
        together = [text for text in said if "; " in text]
        assert together
        assert {statement.split()[0] for text in together for statement in text.split("; ")} == {"SET", "USE", "SELECT"}

    def test_nothing_is_asked_together_in_a_transaction(self, sqlserver: SQLServerLaboratory) -> None:
        """An error of a question can end it: then what follows would be committed at once."""
        before = len(received(sqlserver, sqlserver.admin))
        new_pair(sqlserver)
        is_open, inside = False, list[str]()
        for one in received(sqlserver, sqlserver.admin)[before:]:
            is_open = one.text == "BEGIN TRANSACTION" or (is_open and one.text != "COMMIT TRANSACTION")
            inside += [one.text.strip()] if is_open else []
        assert any(text.startswith("SELECT") for text in inside)
        assert not [text for text in inside if "; " in text]
