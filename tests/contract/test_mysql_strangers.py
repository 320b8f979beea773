"""What can any user of MySQL or MariaDB do to stop another user's rotation? It is harmless, or the error names it.

A stranger has a database of its own, with the right to grant what is in it, and an account of its own.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from rotation.credential import Credential
from rotation.engine import KeepsOldPassword
from rotation.engines.mysql.locks import find_holder, lock_is_held
from rotation.engines.mysql.session import MySQLSession
from rotation.errors import NotPermitted, StatementFailed, Unsupported
from tests.contract.mysql_kit import account, alter, asked, rotate, shown
from tests.contract.pairs import Pair, changed, new_clone
from tests.laboratories import Run, deadline
from tests.laboratories.mysql import MySQLLaboratory

HERE = "127.0.0.1"


@dataclass(frozen=True)
class Stranger:
    """Somebody with a database."""

    laboratory: MySQLLaboratory
    user: Credential
    db: str

    @contextmanager
    def session(self) -> Iterator[Run]:
        """Log in as the stranger, and stay."""
        with self.laboratory.session(self.user) as run:
            yield run

    def run(self, *statements: str) -> None:
        """Run statements as the stranger."""
        with self.session() as run:
            for statement in statements:
                run(statement)


class Family:
    """What the two promise together; a subclass says where."""

    @pytest.fixture
    def stranger(self, laboratory: MySQLLaboratory) -> Iterator[Stranger]:
        user, db = replace(laboratory.new_user(), database=None), f"own_{secrets.token_hex(4)}"
        rights = "SELECT, INSERT, CREATE, DROP, ALTER, LOCK TABLES, CREATE VIEW, EXECUTE, CREATE ROUTINE"
        alter(
            laboratory,
            f"CREATE DATABASE {db}",
            f"RENAME USER {account(user)} TO {account(user, HERE)}",
            f"GRANT {rights} ON {db}.* TO {account(user, HERE)} WITH GRANT OPTION",
        )
        stranger = Stranger(laboratory, user, db)
        stranger.run(f"CREATE TABLE {db}.t (id int, c int)", f"CREATE TABLE {db}.u (id int)")
        yield stranger
        alter(laboratory, f"DROP USER {account(user, HERE)}", f"DROP DATABASE {db}")

    @pytest.fixture(params=[False, True], ids=["forth", "back"])
    def turn(self, request: pytest.FixtureRequest, laboratory: MySQLLaboratory) -> Pair:
        """A pair that has been rotated, the current one first: each of the two once."""
        user = replace(laboratory.new_user(), database=None)
        clone = new_clone(user)
        assert rotate(laboratory, user, clone) == []
        return (clone, user) if request.param else (user, clone)

    def test_rights_on_what_is_hers_come_and_go(
        self, laboratory: MySQLLaboratory, stranger: Stranger, turn: Pair
    ) -> None:
        for form in ("SELECT, INSERT ON {}.*", "SELECT ON {}.t", "SELECT (id), INSERT (c) ON {}.t"):
            rights = form.format(stranger.db)
            stranger.run(f"GRANT {rights} TO {account(turn[1])} WITH GRANT OPTION")
            assert rotate(laboratory, *turn) == []  # and takes it
            stranger.run(f"GRANT {rights} TO {account(turn[0])} WITH GRANT OPTION")
            assert rotate(laboratory, *turn) == []
            stranger.run(f"REVOKE {rights} FROM {account(turn[0])}")
            assert rotate(laboratory, *turn) == []

    def test_rights_on_what_she_has_dropped_or_put_something_else_in_the_place_of_stop_nobody(
        self, laboratory: MySQLLaboratory, stranger: Stranger, turn: Pair
    ) -> None:
        db, (current, _) = stranger.db, turn
        stranger.run(
            f"CREATE VIEW {db}.v AS SELECT id FROM {db}.u",  # noqa: S608 - names of ours
            f"GRANT SELECT, INSERT ON {db}.t TO {account(current)} WITH GRANT OPTION",
            f"GRANT SELECT (c) ON {db}.t TO {account(current)}",
            f"GRANT SELECT ON {db}.v TO {account(current)}",
            f"DROP TABLE {db}.u",
            f"ALTER TABLE {db}.t DROP COLUMN c",
        )
        assert rotate(laboratory, *turn) == []
        stranger.run(f"DROP TABLE {db}.t")
        assert rotate(laboratory, *turn) == []

    def test_a_proxy_of_herself_is_neither_copied_nor_taken(
        self, laboratory: MySQLLaboratory, stranger: Stranger, turn: Pair
    ) -> None:
        for one in turn:
            for option in ("", " WITH GRANT OPTION"):
                stranger.run(f"GRANT PROXY ON {account(stranger.user, HERE)} TO {account(one)}{option}")
                assert rotate(laboratory, *turn) == []
            query = "SELECT 1 FROM mysql.proxies_priv WHERE user = %s"
            assert asked(laboratory, query, one.username) == [(1,)]
            stranger.run(f"REVOKE PROXY ON {account(stranger.user, HERE)} FROM {account(one)}")

    def test_a_table_that_she_locks_is_named(self, laboratory: MySQLLaboratory, stranger: Stranger, turn: Pair) -> None:
        stranger.run(f"GRANT SELECT (id) ON {stranger.db}.t TO {account(turn[0])}")
        with stranger.session() as run:
            run(f"LOCK TABLES {stranger.db}.t WRITE")
            with (
                pytest.raises(StatementFailed, match=rf"`{stranger.db}`.`t`.*error (1205|1969).*holds the lock|busy"),
                laboratory.engine.connect(laboratory.admin, deadline(5.0)) as session,
            ):
                session.mirror(turn[0].username, turn[1].username)
        assert rotate(laboratory, *turn) == []

    def test_a_table_that_she_locks_blocks_nobody_if_there_is_nothing_to_do(
        self, laboratory: MySQLLaboratory, stranger: Stranger, turn: Pair
    ) -> None:
        for one in turn:
            stranger.run(f"GRANT SELECT (id), INSERT (c) ON {stranger.db}.t TO {account(one)}")
        with stranger.session() as run:
            run(f"LOCK TABLES {stranger.db}.t WRITE, {stranger.db}.u WRITE")
            assert rotate(laboratory, *turn) == []

    def test_an_open_transaction_of_hers_blocks_nobody(
        self, laboratory: MySQLLaboratory, stranger: Stranger, turn: Pair
    ) -> None:
        stranger.run(f"GRANT SELECT, INSERT (c) ON {stranger.db}.t TO {account(turn[0])}")
        with stranger.session() as run:
            run("START TRANSACTION")
            run(f"INSERT INTO {stranger.db}.t VALUES (1, 1)")  # noqa: S608 - a name of ours
            assert rotate(laboratory, *turn) == []


@pytest.mark.engine("mysql")
class TestMySQL(Family):
    """MySQL keeps them."""

    def test_columns_of_a_view_whose_table_she_has_dropped_stop_nobody(
        self, mysql: MySQLLaboratory, stranger: Stranger, turn: Pair
    ) -> None:
        db = stranger.db
        stranger.run(
            f"CREATE VIEW {db}.v AS SELECT id FROM {db}.u",  # noqa: S608 - names of ours
            f"GRANT SELECT (id) ON {db}.v TO {account(turn[0])}",
            f"DROP TABLE {db}.u",
        )
        assert rotate(mysql, *turn) == []

    def test_columns_of_a_view_that_the_admin_cannot_use_are_not_taken_for_gone(
        self, mysql: MySQLLaboratory, stranger: Stranger, turn: Pair
    ) -> None:
        """The server's number is the same."""
        db, poor = stranger.db, replace(mysql.new_user(f"admin_{secrets.token_hex(4)}"), database=None)
        stranger.run(
            f"CREATE SQL SECURITY INVOKER VIEW {db}.v AS SELECT id FROM {db}.u",  # noqa: S608 - names of ours
            f"GRANT SELECT (id) ON {db}.v TO {account(turn[0])}",
        )
        alter(
            mysql,
            f"GRANT CREATE USER ON *.* TO {account(poor)}",
            f"GRANT SELECT ON mysql.* TO {account(poor)}",
            f"GRANT SELECT ON lab.* TO {account(poor)} WITH GRANT OPTION",
            f"GRANT SELECT ON {db}.v TO {account(poor)} WITH GRANT OPTION",
        )
        with pytest.raises(StatementFailed, match=rf"`{db}`.`v`.*error 1356.*Repair or drop the view.*grant the admin"):
            rotate(replace(mysql, admin=poor), *turn)

    @pytest.mark.parametrize("through_admin", [False, True], ids=["alone", "through an admin"])
    def test_who_holds_the_lock_of_a_rotation_is_named(
        self, mysql: MySQLLaboratory, stranger: Stranger, through_admin: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rotation.engines.mysql.locks.LOCK_SECONDS", 1)
        user = mysql.new_user()
        mysql.allow_two_passwords(user.username, by_itself=True)
        orphan, new = changed(user), changed(user)
        who = mysql.admin if through_admin else user
        for password, is_held in ((orphan, False), (new, True), (new, False)):
            with stranger.session() as run:
                [(number,)] = run("SELECT CONNECTION_ID()")
                if is_held:
                    run(f"SELECT GET_LOCK('rotation:{user.username}', 0)")
                with mysql.engine.connect(who, deadline()) as session:
                    assert isinstance(session, KeepsOldPassword)
                    if is_held:
                        name = rf" of {stranger.user.username} from {HERE}" if through_admin else ""
                        with pytest.raises(StatementFailed, match=rf"connection {number}{name}.*KILL {number}"):
                            session.add_password(user.username, user.password, password.password)
                    else:
                        session.add_password(user.username, user.password, password.password)
            assert mysql.logs_in(user)
        assert mysql.logs_in(new)

    def test_a_lock_that_was_let_go_meanwhile_has_no_holder(self, mysql: MySQLLaboratory) -> None:
        with mysql.engine.connect(mysql.admin, deadline()) as session:
            assert isinstance(session, MySQLSession)
            holder = find_holder(session.connection, "rotation:nobody", "asking")
        problem = lock_is_held("rotation:nobody", holder, "asking")
        assert "another invocation" in problem.cause


@pytest.mark.engine("mariadb")
class TestMariaDB(Family):
    """MariaDB keeps them."""

    def test_columns_of_a_view_whose_table_she_has_dropped_come_with_the_statement_to_run(
        self, mariadb: MySQLLaboratory, stranger: Stranger, turn: Pair
    ) -> None:
        db, (current, other) = stranger.db, turn
        stranger.run(
            f"CREATE VIEW {db}.v AS SELECT id FROM {db}.u",  # noqa: S608 - names of ours
            f"GRANT SELECT (id), INSERT (id) ON {db}.v TO {account(current)}",
            f"DROP TABLE {db}.u",
        )
        before = shown(mariadb, other)
        with pytest.raises(Unsupported, match=r"it is no plain table.*; or REVOKE ") as caught:
            rotate(mariadb, *turn)
        assert shown(mariadb, other) == before
        alter(mariadb, caught.value.remedy.rpartition("; or ")[2])
        assert rotate(mariadb, *turn) == []

    def test_a_role_that_she_administers_and_the_admin_does_not_is_named(
        self, mariadb: MySQLLaboratory, stranger: Stranger, turn: Pair
    ) -> None:
        role = f"role_{secrets.token_hex(4)}"
        alter(mariadb, f"CREATE ROLE {role}", f"GRANT {role} TO {account(stranger.user, HERE)} WITH ADMIN OPTION")
        for one, verb in ((turn[0], "GRANT"), (turn[1], "REVOKE")):
            stranger.run(f"GRANT {role} TO {account(one)}")
            before = shown(mariadb, turn[1])
            with pytest.raises(NotPermitted, match=rf"take it from {one.username}@%: {verb} `{role}`"):
                rotate(mariadb, *turn)
            assert shown(mariadb, turn[1]) == before
            stranger.run(f"REVOKE {role} FROM {account(one)}")
            assert rotate(mariadb, *turn) == []
