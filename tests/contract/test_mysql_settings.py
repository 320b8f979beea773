"""Do settings that let a MySQL or MariaDB server refuse, end or hide something keep a rotation from ending well?"""

import secrets
from dataclasses import replace

import pytest

from rotation.engines.mysql.session import MySQLSession
from rotation.errors import StatementFailed
from tests.contract.mysql_kit import OnMariaDB, OnMySQL, account, add, alter, setting
from tests.contract.pairs import RecordInMemory, changed, set_secret
from tests.laboratories import INVOICES, ORDERS, deadline
from tests.laboratories.mysql import MySQLLaboratory, quoted

STRICT = [("max_error_count", "0"), ("max_join_size", "1"), ("sql_big_selects", "0"), ("sql_safe_updates", "1")]

OWN = "SELECT @@SESSION.sql_mode, @@SESSION.sql_big_selects, @@SESSION.autocommit"


def rotates_in_each_strategy(laboratory: MySQLLaboratory) -> None:
    user, record = laboratory.new_user(), RecordInMemory()
    new, more = changed(user), changed(user)
    with laboratory.engine.connect(user, deadline()) as session:
        session.change_own_password(new.password)
    add(laboratory, laboratory.admin, new, more)
    other = set_secret(laboratory, more, pair=record)
    laboratory.allow(other.username, INVOICES)
    again = set_secret(laboratory, other, more, pair=record)
    assert laboratory.may_read(again, INVOICES)
    with laboratory.engine.connect(again, deadline()) as session:
        session.verify([laboratory.statement_that_reads(ORDERS)])


class Family:
    """What the two promise together; a subclass says where."""

    @pytest.mark.parametrize(("name", "value"), STRICT)
    def test_every_strategy_rotates(self, laboratory: MySQLLaboratory, name: str, value: str) -> None:
        with setting(laboratory, name, value):
            rotates_in_each_strategy(laboratory)

    def test_verify_says_so_if_the_server_hides_that_something_was_not_rolled_back(
        self, laboratory: MySQLLaboratory
    ) -> None:
        user = laboratory.new_user()
        alter(
            laboratory,
            "CREATE TABLE IF NOT EXISTS lab.old (id int) ENGINE = MyISAM",
            f"GRANT INSERT ON lab.old TO {account(user)}",
        )
        with setting(laboratory, "max_error_count", "0"), laboratory.engine.connect(user, deadline()) as session:
            session.verify(["SELECT 1"])
            with pytest.raises(StatementFailed, match="Set max_error_count"):
                session.verify(["INSERT INTO old VALUES (1)"])

    def test_a_server_whose_transactions_only_read_is_said_to_be_one(self, laboratory: MySQLLaboratory) -> None:
        """A session that writes although the operator wants none to write would find out too little in verify."""
        user = laboratory.new_user()
        with (
            setting(laboratory, "transaction_read_only", "1"),
            laboratory.engine.connect(user, deadline()) as session,
            pytest.raises(StatementFailed, match="SET GLOBAL transaction_read_only = OFF"),
        ):
            session.change_own_password(changed(user).password)
        assert laboratory.logs_in(user)

    def test_verify_may_join_as_much_as_the_application(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        numbers = "(SELECT 1 UNION SELECT 2)"
        join = (
            f"SELECT * FROM {ORDERS} AS a JOIN {ORDERS} AS b JOIN {ORDERS} AS c JOIN {numbers} AS d JOIN {numbers} AS e"  # noqa: S608 - constants
        )
        with laboratory.engine.connect(user, deadline()) as session:
            session.verify([join])
        with (
            setting(laboratory, "max_join_size", "1"),
            laboratory.engine.connect(user, deadline()) as session,
            pytest.raises(StatementFailed, match="MAX_JOIN_SIZE"),
        ):
            session.verify([join])

    def test_after_verify_the_session_has_its_own_settings_again(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        with (
            setting(laboratory, "sql_mode", quoted("ANSI_QUOTES")),
            setting(laboratory, "max_join_size", "1"),
            laboratory.engine.connect(user, deadline()) as session,
        ):
            assert isinstance(session, MySQLSession)
            ask = session.connection.execute
            before = ask("asking", OWN)
            session.verify(["SELECT 1"])
            assert ask("asking", OWN) == before
            assert before[0][1:] == (1, 1)


class TestMySQL(OnMySQL, Family):
    """MySQL."""


class TestMariaDB(OnMariaDB, Family):
    """MariaDB."""

    def test_every_strategy_rotates_if_the_server_gives_others_little_time(self, mariadb: MySQLLaboratory) -> None:
        with setting(mariadb, "max_statement_time", "0.5"):
            rotates_in_each_strategy(mariadb)

    @pytest.mark.parametrize("has_expired", [False, True], ids=["valid", "expired"])
    def test_a_password_that_must_be_sent_in_clear_is_not_hashed_as_before_mysql_4_1(
        self, mariadb: MySQLLaboratory, has_expired: bool
    ) -> None:
        """No client of today logs in with such a hash."""
        user = mariadb.new_user()
        new = replace(user, password=f"Aa1-{secrets.token_urlsafe()}")
        if has_expired:
            alter(mariadb, f"ALTER USER {account(user)} PASSWORD EXPIRE")
        with setting(mariadb, "old_passwords", "1"), mariadb.password_policy(user.username):
            with mariadb.engine.connect(user, deadline()) as session:
                session.change_own_password(new.password)
            assert mariadb.logs_in(new)
