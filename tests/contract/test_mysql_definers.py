"""Is what a pair of MySQL or MariaDB cannot share, the definer of its objects, known before anything is changed?"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from rotation.engines.mysql.session import MySQLSession
from rotation.errors import NotPermitted, StatementFailed, Unsupported
from tests.contract.mysql_kit import account, alter, hosts, rotate, shown
from tests.contract.pairs import Pair, new_clone, new_pair, proof_of
from tests.contract.test_mysql_traps import AFTERWARDS, lay_views, new_owner
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory, quoted

OBJECTS = {
    "view": "CREATE VIEW {db}.v AS SELECT id FROM {db}.t",
    "routine": "CREATE PROCEDURE {db}.p() SELECT 1",
    "trigger": "CREATE TRIGGER {db}.tr BEFORE INSERT ON {db}.t FOR EACH ROW SET NEW.id = 1",
    "event": "CREATE EVENT {db}.e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
}
NAMES = {"view": "v", "routine": "p", "trigger": "tr", "event": "e"}

RIGHTS = (
    "SELECT, INSERT, CREATE, DROP, ALTER, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT,"
    " TRIGGER"
)


def unshared(laboratory: MySQLLaboratory, user: Credential, other: Credential) -> Sequence[str]:
    """Return what the two cannot share, as the strategy asks for it."""
    known = proof_of(laboratory, user)
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        session.require_proven(known)
        found = session.unshared(user.username, other.username)
    assert {one.kind for one in found} <= laboratory.engine.kind.unshared_kinds
    return [one.what for one in found]


class Family:
    """What the two promise together; a subclass says where."""

    setter: str
    """The right to set another definer."""
    readers: Sequence[str] = ("SELECT ON *.*",)
    """The rights to read the bodies of routines."""
    lendings: Sequence[tuple[str, str]] = (("GRANT PROXY ON {} TO {}", "REVOKE PROXY ON {} FROM {}"),)
    """How an account comes to have the rights of another one, and how that ends."""

    @pytest.fixture
    def db(self, laboratory: MySQLLaboratory) -> Iterator[str]:
        db = f"own_{secrets.token_hex(4)}"
        alter(laboratory, f"CREATE DATABASE {db}", f"CREATE TABLE {db}.t (id int)")
        yield db
        alter(laboratory, f"DROP DATABASE {db}")

    @pytest.fixture
    def pair(self, laboratory: MySQLLaboratory, db: str) -> Pair:
        user = replace(laboratory.new_user(), database=None)
        alter(laboratory, f"GRANT {RIGHTS} ON {db}.* TO {account(user)}")
        return user, new_clone(user)

    @pytest.mark.parametrize("kind", OBJECTS)
    def test_objects_whose_definer_is_the_current_user_are_named_in_both_directions(
        self, laboratory: MySQLLaboratory, pair: Pair, db: str, kind: str
    ) -> None:
        user, clone = pair
        assert unshared(laboratory, user, clone) == []
        assert rotate(laboratory, user, clone) == []
        for current, other in (pair, (clone, user)):
            with laboratory.session(current) as run:
                run(OBJECTS[kind].format(db=db))
            [what] = unshared(laboratory, current, other)
            assert f"{kind} `{db}`.`{NAMES[kind]}`: their definer is {current.username}@%" in what
            assert f"{other.username} can neither ALTER such a view" in what
            assert unshared(laboratory, other, current) == []
            alter(laboratory, f"DROP {kind if kind != 'routine' else 'PROCEDURE'} {db}.{NAMES[kind]}")
            assert unshared(laboratory, current, other) == []

    def test_an_admin_that_has_no_more_rights_than_the_user_finds_them_all(
        self, laboratory: MySQLLaboratory, pair: Pair, db: str
    ) -> None:
        admin = replace(laboratory.new_user(f"admin_{secrets.token_hex(4)}"), database=None)
        alter(
            laboratory,
            f"GRANT CREATE USER ON *.* TO {account(admin)}",
            f"GRANT SELECT ON mysql.* TO {account(admin)}",
            f"GRANT {RIGHTS} ON {db}.* TO {account(admin)} WITH GRANT OPTION",
            f"GRANT SELECT ON lab.* TO {account(admin)} WITH GRANT OPTION",
        )
        with laboratory.session(pair[0]) as run:
            for statement in OBJECTS.values():
                run(statement.format(db=db))
        [what] = unshared(replace(laboratory, admin=admin), *pair)
        assert all(f"{kind} `{db}`.`{name}`" in what for kind, name in NAMES.items())
        alter(laboratory, f"DROP USER {account(admin)}")

    def test_many_objects_are_counted_and_few_are_named(self, laboratory: MySQLLaboratory, pair: Pair, db: str) -> None:
        with laboratory.session(pair[0]) as run:
            for number in range(9):
                run(f"CREATE VIEW {db}.v{number} AS SELECT 1")
            run(f"CREATE PROCEDURE {db}.p() SELECT 1")
        [what] = unshared(laboratory, *pair)
        assert what.count(".`v") == 5
        assert f" and more; routine `{db}`.`p`: " in what

    def test_objects_of_somebody_else_and_of_a_name_that_is_only_alike_are_no_reason(
        self, laboratory: MySQLLaboratory, pair: Pair, db: str
    ) -> None:
        user = pair[0]
        for name, host in ((user.username.upper(), "%"), (user.username, "10.%"), (f"{user.username}x", "%")):
            alter(
                laboratory,
                f"CREATE USER {account(name, host)} IDENTIFIED BY 'another'",
                f"CREATE DEFINER = {account(name, host)} VIEW {db}.`{name}@{host}` AS SELECT 1",
                f"CREATE DEFINER = {account(name, host)} PROCEDURE {db}.`{name}@{host}`() SELECT 1",
            )
        assert unshared(laboratory, *pair) == []

    def test_every_account_of_the_user_that_is_meant_is_looked_at(
        self, laboratory: MySQLLaboratory, pair: Pair, db: str
    ) -> None:
        user = pair[0]
        alter(
            laboratory,
            f"CREATE USER {account(user, '10.%')} IDENTIFIED BY {quoted(user.password)}",
            f"CREATE DEFINER = {account(user, '10.%')} VIEW {db}.v AS SELECT 1",
        )
        [what] = unshared(laboratory, *pair)
        assert f"{user.username}@% and {user.username}@10.%" in what

    def test_a_user_that_can_set_definers_loses_only_the_bodies_of_routines(
        self, laboratory: MySQLLaboratory, pair: Pair, db: str
    ) -> None:
        with laboratory.session(pair[0]) as run:
            for statement in OBJECTS.values():
                run(statement.format(db=db))
        alter(laboratory, f"GRANT {self.setter} ON *.* TO {account(pair[0])}")
        [what] = unshared(laboratory, *pair)
        assert what.startswith(f"routine `{db}`.`p`: ")
        for right in self.readers:
            alter(laboratory, f"GRANT {right} TO {account(pair[0])}")
            assert unshared(laboratory, *pair) == []
            reader = laboratory.new_user()
            alter(laboratory, f"GRANT {right} TO {account(reader)}", f"GRANT SELECT ON {db}.* TO {account(reader)}")
            with laboratory.session(reader) as run:
                [(_, _, body, *_)] = run(f"SHOW CREATE PROCEDURE {db}.p")
                assert body
            alter(laboratory, f"REVOKE {right} FROM {account(pair[0])}")

    def test_what_is_said_to_be_lost_is_lost(self, laboratory: MySQLLaboratory, pair: Pair, db: str) -> None:
        user, clone = pair
        with laboratory.session(user) as run:
            for statement in OBJECTS.values():
                run(statement.format(db=db))
        assert rotate(laboratory, *pair) == []
        for statement in (
            f"ALTER VIEW {db}.v AS SELECT id + 1 FROM {db}.t",  # noqa: S608 - a name of ours
            f"CREATE DEFINER = {account(user)} VIEW {db}.w AS SELECT 1",
        ):
            with laboratory.engine.connect(clone, deadline()) as session:
                assert isinstance(session, MySQLSession)
                with pytest.raises(NotPermitted, match=rf"GRANT {self.setter} ON \*\.\* TO {clone.username}"):
                    session.connection.execute("changing a view", statement)
        with laboratory.session(clone) as run:
            [(_, _, body, *_)] = run(f"SHOW CREATE PROCEDURE {db}.p")
            assert body is None
            run(f"CREATE OR REPLACE VIEW {db}.v AS SELECT id + 1 FROM {db}.t")  # noqa: S608 - a name of ours

    def test_looking_for_definers_calls_nothing_and_waits_for_no_table(
        self, laboratory: MySQLLaboratory, pair: Pair, db: str
    ) -> None:
        owner = new_owner(laboratory, laboratory.new_user())
        lay_views(owner)
        owner.run(*AFTERWARDS)
        owner.forget()
        with laboratory.session() as run:
            run(f"LOCK TABLES {db}.t WRITE, {owner.db}.base WRITE")
            assert unshared(laboratory, *pair) == []
            [what] = unshared(laboratory, owner.user, new_clone(owner.user))
        assert all(f"{kind}s `{owner.db}`" in what for kind in ("view", "routine", "trigger"))
        assert f"event `{owner.db}`.`e`" in what
        assert owner.caught() == []
        alter(laboratory, f"DROP DATABASE {owner.db}")

    def test_an_account_that_objects_run_as_is_not_dropped_with_its_twin(
        self, laboratory: MySQLLaboratory, pair: Pair, db: str
    ) -> None:
        user, clone = pair
        alter(laboratory, f"CREATE USER {account(user, '10.%')} IDENTIFIED BY {quoted(user.password)}")
        assert rotate(laboratory, user, clone) == []
        alter(
            laboratory,
            f"CREATE DEFINER = {account(clone, '10.%')} VIEW {db}.v AS SELECT 1",
            f"DROP USER {account(user, '10.%')}",
        )
        before = shown(laboratory, clone, "10.%")
        with pytest.raises(Unsupported, match=rf"dropping {clone.username}@10.%.*by view `{db}`.`v`.*CREATE USER"):
            rotate(laboratory, user, clone)
        assert shown(laboratory, clone, "10.%") == before
        alter(laboratory, f"DROP VIEW {db}.v")
        assert rotate(laboratory, user, clone) == []
        assert hosts(laboratory, clone) == ["%"]

    def test_an_account_that_others_act_as_is_not_dropped_with_its_twin(
        self, laboratory: MySQLLaboratory, pair: Pair
    ) -> None:
        user, clone = pair
        alter(laboratory, f"CREATE USER {account(user, '10.%')} IDENTIFIED BY {quoted(user.password)}")
        assert rotate(laboratory, user, clone) == []
        alter(laboratory, f"DROP USER {account(user, '10.%')}")
        borrower, left = laboratory.new_user(), account(clone, "10.%")
        for given, taken in self.lendings:
            alter(laboratory, given.format(left, account(borrower)))
            with pytest.raises(Unsupported, match=rf"still used, by {borrower.username}@%.*or CREATE USER"):
                rotate(laboratory, user, clone)
            assert "10.%" in hosts(laboratory, clone)
            alter(laboratory, taken.format(left, account(borrower)))
        assert rotate(laboratory, user, clone) == []
        assert hosts(laboratory, clone) == ["%"]


class TestMySQL(Family):
    """MySQL keeps them."""

    setter = "SET_ANY_DEFINER"
    readers = (*Family.readers, "SHOW_ROUTINE ON *.*")
    lendings = (*Family.lendings, ("GRANT {} TO {}", "REVOKE {} FROM {}"))

    @pytest.fixture
    def laboratory(self, mysql: MySQLLaboratory) -> MySQLLaboratory:
        return mysql

    def test_a_clone_that_a_dump_names_as_definer_is_refused_before_anything_is_changed(
        self, mysql: MySQLLaboratory, pair: Pair, db: str
    ) -> None:
        user, clone = pair
        alter(mysql, f"CREATE DEFINER = {account(clone)} VIEW {db}.dumped AS SELECT 1")
        before = shown(mysql, user)
        remedy = r"Give them another definer, or GRANT ALLOW_NONEXISTENT_DEFINER ON \*\.\* TO admin"
        with pytest.raises(Unsupported, match=rf"view `{db}`.`dumped`: .*{clone.username}, so the server.*{remedy}"):
            rotate(mysql, user, clone)
        assert shown(mysql, user) == before
        assert rotate(replace(mysql, admin=mysql.superuser), user, clone) == []
        assert mysql.logs_in(clone)

    def test_a_statement_that_a_definer_prevents_has_a_remedy(
        self, mysql: MySQLLaboratory, pair: Pair, db: str
    ) -> None:
        alter(mysql, f"CREATE DEFINER = {account(pair[0])} VIEW {db}.v AS SELECT 1")
        with mysql.engine.connect(mysql.admin, deadline()) as session:
            assert isinstance(session, MySQLSession)
            with pytest.raises(StatementFailed, match=r"error 4006.*Give the objects whose definer is this account"):
                session.connection.execute("dropping", f"DROP USER {account(pair[0])}")


class TestMariaDB(Family):
    """MariaDB keeps them."""

    setter = "SET USER"
    readers = (*Family.readers, "SELECT ON mysql.*", "SELECT ON mysql.proc")

    @pytest.fixture
    def laboratory(self, mariadb: MySQLLaboratory) -> MySQLLaboratory:
        return mariadb

    def test_an_admin_that_may_not_look_for_objects_hears_it_when_it_is_asked_to(
        self, mariadb: MySQLLaboratory
    ) -> None:
        user, other = new_pair(mariadb)
        admin = replace(mariadb.new_user(f"admin_{secrets.token_hex(4)}"), database=None)
        alter(mariadb, *(f"GRANT SELECT ON mysql.{table} TO {account(admin)}" for table in ("user", "global_priv")))
        with mariadb.engine.connect(admin, deadline()) as session:
            session.require_proven(proof_of(mariadb, user))
            assert session.clone_status(user.username, other.username) is CloneStatus.OURS
            with pytest.raises(NotPermitted, match="looking for objects"):
                session.unshared(user.username, other.username)

    def test_a_clone_that_a_dump_names_as_definer_is_created(
        self, mariadb: MySQLLaboratory, pair: Pair, db: str
    ) -> None:
        user, clone = pair
        alter(mariadb, f"CREATE DEFINER = {account(clone)} VIEW {db}.dumped AS SELECT 1")
        assert rotate(mariadb, user, clone) == []
        assert mariadb.logs_in(clone)


def test_a_secret_accepts_them_by_their_word() -> None:
    assert MySQL.kind.unshared_kinds == MariaDB.kind.unshared_kinds == {"definers", "wider-accounts"}
