"""Does an admin of MySQL or MariaDB run what a user has written? The tests lay traps of all kinds.

Each trap notes as whom it was sprung. Rights on all of them are granted to the pair, by whoever owns them: the user
itself, or somebody else.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import pymysql
import pytest

from rotation.credential import Credential
from rotation.engines.mysql.granting import Granting
from rotation.engines.mysql.rights import Change
from rotation.errors import StatementFailed, Unsupported
from tests.contract.mysql_kit import account, alter, asked, rotate
from tests.contract.pairs import changed, new_clone, proof_of
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory

SPRING = "INSERT INTO {db}.caught VALUES (CONCAT(CURRENT_USER(), ' ', SESSION_USER()))"
"""What a trap does. The table knows no transactions, so that nothing takes it back."""

PREPARED = [
    "ROUND(1.5, {db}.f())", "SUBSTRING('abc', {db}.f())", "STR_TO_DATE('2020', {db}.g())", "TRUNCATE(1.5, {db}.f())",
    "ExtractValue('<a/>', {db}.g())", "UpdateXML('<a/>', {db}.g(), 'b')", "INTERVAL({db}.f(), 1, 2)",
    "ROW(1, 2) = ROW({db}.f(), 2)", "'a' RLIKE {db}.g()", "'a' LIKE {db}.g()", "DATE_FORMAT(NOW(), {db}.g())",
    "JSON_EXTRACT('[]', {db}.g())", "1 IN ({db}.f(), 2)", "LEFT('abc', {db}.f())", "(SELECT {db}.f())",
    "CASE {db}.f() WHEN 1 THEN 1 ELSE 2 END", "CONVERT_TZ(NOW(), {db}.g(), {db}.g())", "{db}.f()",
    "CAST({db}.f() AS DECIMAL(9, 2))", "FORMAT(1.5, {db}.f())", "CONV('1', {db}.f(), 10)", "WEEK(NOW(), {db}.f())",
    "1 + (SELECT MAX({db}.f()) FROM {db}.base)", "DATE_ADD(NOW(), INTERVAL {db}.f() DAY)", "BENCHMARK(1, {db}.f())",
]  # fmt: skip
"""Expressions with a call that a server may make already as it prepares a statement; MariaDB makes those of the first
two lines."""

FORMS = [
    "SELECT {0} AS id, {0} AS c FROM {db}.base",
    "SELECT id, id AS c FROM {db}.base WHERE {0}",
    "SELECT id, c FROM (SELECT {0} AS id, 1 AS c FROM {db}.base LIMIT 1) inner_one",
]

SHADOWS = ("version", "get_lock", "release_lock", "current_user", "user", "is_used_lock", "password", "concat")
"""What the driver calls; a function of somebody's own can have that name, in a database of its own."""


@dataclass(frozen=True)
class Owner:
    """Somebody with a database of its own, full of traps."""

    laboratory: MySQLLaboratory
    user: Credential
    db: str

    def run(self, *statements: str) -> None:
        """Run statements as the owner."""
        with self.laboratory.session(replace(self.user, database=None)) as run:
            for statement in statements:
                run(statement.replace("{db}", self.db).replace("{spring}", SPRING.replace("{db}", self.db)))

    def caught(self) -> list[str]:
        """Return as whom an admin has sprung a trap."""
        query = f"SELECT DISTINCT who FROM {self.db}.caught WHERE who LIKE %s"  # noqa: S608 - a name of our own
        return [str(who) for (who,) in asked(self.laboratory, query, "%admin@%")]

    def forget(self) -> None:
        """Forget what was caught so far."""
        alter(self.laboratory, f"TRUNCATE {self.db}.caught")


def new_owner(laboratory: MySQLLaboratory, user: Credential) -> Owner:
    """Give a user a database, and have it lay traps in it."""
    db = f"trap_{secrets.token_hex(4)}"
    alter(
        laboratory,
        "SET GLOBAL log_bin_trust_function_creators = 1",
        f"CREATE DATABASE {db} CHARACTER SET utf8mb4",
        f"CREATE TABLE {db}.caught (who varchar(200)) ENGINE = MyISAM",
        f"GRANT {ALL} ON {db}.* TO {account(user)} WITH GRANT OPTION",
    )
    owner = Owner(laboratory, user, db)
    owner.run(*TRAPS, *(f"CREATE FUNCTION {{db}}.`{name}`() {BODY}" for name in SHADOWS))
    return owner


ALL = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES,"
    " EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER"
)
"""What an admin on RDS may hand on."""

BODY = "RETURNS int DETERMINISTIC NO SQL SQL SECURITY INVOKER BEGIN {spring}; RETURN 1; END"

TRAPS = [
    f"CREATE FUNCTION {{db}}.f() {BODY}",
    f"CREATE FUNCTION {{db}}.g() {BODY.replace('RETURNS int', 'RETURNS varchar(20)')}",
    f"CREATE FUNCTION {{db}}.`b` () {BODY.replace('DETERMINISTIC NO SQL', 'NOT DETERMINISTIC MODIFIES SQL DATA')}",
    "CREATE PROCEDURE {db}.p() SQL SECURITY INVOKER BEGIN {spring}; END",
    "CREATE TABLE {db}.base (id int PRIMARY KEY, c int, d date, doubled int AS (c * 2) STORED, CHECK (id > 0))",
    "INSERT INTO {db}.base (id, c) VALUES (1, 1), (2, 2)",
    "CREATE TRIGGER {db}.bi BEFORE INSERT ON {db}.base FOR EACH ROW {spring}",
    "CREATE TRIGGER {db}.bd BEFORE DELETE ON {db}.base FOR EACH ROW {spring}",
    "CREATE TRIGGER {db}.bu BEFORE UPDATE ON {db}.base FOR EACH ROW {spring}",
    "CREATE EVENT {db}.e ON SCHEDULE EVERY 1 DAY COMMENT '/*! SELECT f() */' DO {spring}",
    "CREATE TABLE {db}.noted (id int COMMENT '*/ SELECT f() /*', c int) COMMENT '/*!50000 SELECT f() */'",
    # A table on which there are rights, and in its place a view.
    "CREATE TABLE {db}.swapped (id int, c int)",
    "CREATE SQL SECURITY INVOKER VIEW {db}.invoker AS SELECT {db}.f() AS id, {db}.b() AS c",
    "CREATE SQL SECURITY DEFINER VIEW {db}.definer AS SELECT {db}.f() AS id, {db}.b() AS c FROM {db}.base",
    "CREATE ALGORITHM = TEMPTABLE SQL SECURITY INVOKER VIEW {db}.temporary AS SELECT {db}.f() AS id, 1 AS c",
    "CREATE SQL SECURITY INVOKER VIEW {db}.outer_one AS SELECT id, c FROM {db}.invoker",
    "CREATE SQL SECURITY INVOKER VIEW {db}.`v` TO x @ ('` AS SELECT {db}.f() AS id, 1 AS c".replace("`v` TO", "`v TO"),
    "CREATE TABLE {db}.doomed (id int, c int)",
    "CREATE SQL SECURITY INVOKER VIEW {db}.broken AS SELECT id, {db}.f() AS c FROM {db}.doomed",
]

OBJECTS = (
    "base",
    "noted",
    "swapped",
    "invoker",
    "definer",
    "temporary",
    "outer_one",
    "`v TO x @ ('`",
    "broken",
    "doomed",
)
VIEWS = ("invoker", "definer", "temporary", "outer_one", "`v TO x @ ('`")

GRANTED = [
    *(f"GRANT SELECT, INSERT, UPDATE ON {{db}}.{name} TO {{account}} WITH GRANT OPTION" for name in OBJECTS),
    "GRANT TRIGGER, SHOW VIEW, CREATE VIEW, REFERENCES, INDEX, ALTER, DROP, DELETE ON {db}.base TO {account}",
    "GRANT EXECUTE, ALTER ROUTINE ON FUNCTION {db}.f TO {account} WITH GRANT OPTION",
    "GRANT EXECUTE ON FUNCTION {db}.g TO {account}",
    "GRANT EXECUTE ON PROCEDURE {db}.p TO {account}",
    "GRANT EXECUTE ON FUNCTION {db}.version TO {account}",
    "GRANT SELECT (id), UPDATE (c) ON {db}.base TO {account} WITH GRANT OPTION",
    "GRANT EVENT, CREATE, DROP, SELECT ON {db}.* TO {account}",
]

VIEW_COLUMNS = [
    "GRANT SELECT (c) ON {db}.swapped TO {account}",
    *(f"GRANT SELECT (id), INSERT (c) ON {{db}}.{name} TO {{account}} WITH GRANT OPTION" for name in VIEWS),
]

AFTERWARDS = [
    "DROP TABLE {db}.doomed",
    "DROP TABLE {db}.swapped",
    "CREATE SQL SECURITY INVOKER VIEW {db}.swapped AS SELECT {db}.f() AS id, {db}.g() AS c FROM {db}.base",
    "DROP FUNCTION {db}.g",
    "CREATE FUNCTION {db}.g() RETURNS varchar(20) DETERMINISTIC SQL SECURITY INVOKER BEGIN {spring}; RETURN '1'; END",
    "DROP PROCEDURE {db}.p",
    "CREATE PROCEDURE {db}.p() SQL SECURITY INVOKER BEGIN {spring}; END",
]


@pytest.fixture(params=[True, False], ids=["their own", "a stranger's"])
def is_own(request: pytest.FixtureRequest) -> bool:
    """Whether it is the pair's user that lays the traps."""
    return bool(request.param)


class Family:
    """What the two promise together; a subclass says where."""

    view_columns: Sequence[str] = ()
    """Grants of columns of views, if an admin may pass them on."""

    @pytest.fixture
    def pair(self, laboratory: MySQLLaboratory) -> tuple[Credential, Credential]:
        user = replace(laboratory.new_user(), database=None)
        return user, new_clone(user)

    @pytest.fixture
    def owner(self, laboratory: MySQLLaboratory, pair: tuple[Credential, Credential], is_own: bool) -> Iterator[Owner]:
        owner = new_owner(laboratory, pair[0] if is_own else laboratory.new_user())
        yield owner
        alter(laboratory, f"DROP DATABASE {owner.db}")

    def test_the_traps_work(self, laboratory: MySQLLaboratory, owner: Owner) -> None:
        for statement in (
            "SELECT 1 FROM {db}.invoker LIMIT 0",
            "SELECT * FROM {db}.`v TO x @ ('`",
            "CALL {db}.p()",
            "INSERT INTO {db}.base (id) VALUES (3)",
            "SELECT {db}.version()",
        ):
            with laboratory.session(laboratory.admin) as run:
                run(statement.replace("{db}", owner.db))
            assert owner.caught(), statement
            owner.forget()

    def test_no_trap_is_sprung_by_a_rotation_in_either_direction(
        self, laboratory: MySQLLaboratory, pair: tuple[Credential, Credential], owner: Owner
    ) -> None:
        current, pending = pair
        given = [*GRANTED, *self.view_columns]
        with laboratory.session(replace(owner.user, database=owner.db)) as temporary:
            temporary("CREATE TEMPORARY TABLE base (id int)")
            owner.run(*(grant.replace("{account}", account(current)) for grant in given))
            owner.run(*AFTERWARDS)
            for taken in (
                [],
                [
                    "REVOKE SELECT, INSERT ON {db}.base FROM {account}",
                    "REVOKE EXECUTE ON FUNCTION {db}.f FROM {account}",
                ],
                ["GRANT SELECT ON {db}.base TO {account}", "GRANT SELECT (id, c) ON {db}.noted TO {account}"],
                ["REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}", "GRANT SELECT ON {db}.invoker TO {account}"],
            ):
                alter(laboratory, *(s.replace("{db}", owner.db).replace("{account}", account(current)) for s in taken))
                for _ in range(2):
                    owner.forget()
                    assert rotate(laboratory, current, pending) == []
                    assert owner.caught() == []
                    assert laboratory.logs_in(replace(pending, database=None))
                    current, pending = pending, changed(current)

    def test_an_admin_in_the_users_database_calls_none_of_its_functions(
        self, laboratory: MySQLLaboratory, pair: tuple[Credential, Credential], owner: Owner
    ) -> None:
        user, clone = pair
        within = replace(laboratory, admin=replace(laboratory.admin, database=owner.db))
        mode = "'IGNORE_SPACE,PIPES_AS_CONCAT,ANSI'"
        [(before,)] = asked(laboratory, "SELECT @@GLOBAL.sql_mode")
        alter(laboratory, f"SET GLOBAL sql_mode = {mode}")
        try:
            assert rotate(within, user, clone) == []
            assert rotate(within, clone, changed(user)) == []
        finally:
            alter(laboratory, f"SET GLOBAL sql_mode = '{before}'")
        assert owner.caught() == []

    def test_a_user_and_its_admin_add_passwords_and_spring_no_trap(
        self, laboratory: MySQLLaboratory, pair: tuple[Credential, Credential], owner: Owner
    ) -> None:
        user, new = pair[0], changed(pair[0])
        known = proof_of(laboratory, user)
        within = replace(laboratory.admin, database=owner.db)
        with laboratory.engine.connect(within, deadline()) as session:
            session.require_proven(known)
            session.add_password(user.username, user.password, new.password)  # type: ignore[attr-defined]
            session.reset_password(user.username, user.password)
        assert laboratory.logs_in(user)
        assert owner.caught() == []


@pytest.mark.engine("mysql")
class TestMySQL(Family):
    """MySQL keeps them."""

    view_columns = VIEW_COLUMNS

    @pytest.mark.parametrize("is_own", [False], ids=[""])
    def test_columns_of_a_view_are_granted_and_nothing_in_it_is_called(
        self, mysql: MySQLLaboratory, pair: tuple[Credential, Credential], owner: Owner
    ) -> None:
        names = [*lay_views(owner)]
        alter(mysql, *(f"GRANT SELECT (id), INSERT (c) ON {owner.db}.{name} TO {account(pair[0])}" for name in names))
        owner.forget()
        assert rotate(mysql, *pair) == []
        assert owner.caught() == []
        assert len(names) > len(PREPARED)


@pytest.mark.engine("mariadb")
class TestMariaDB(Family):
    """MariaDB keeps them."""

    @pytest.mark.parametrize("is_own", [False], ids=[""])
    def test_columns_of_a_view_are_not_granted_for_the_server_calls_what_is_in_it(
        self, mariadb: MySQLLaboratory, pair: tuple[Credential, Credential], owner: Owner
    ) -> None:
        user, clone = pair
        names, sprung = lay_views(owner), []
        for name in names:
            owner.forget()
            with mariadb.session(mariadb.admin) as run:
                run(f"GRANT SELECT (id) ON {owner.db}.{name} TO {account(user)}")
            sprung += owner.caught()
            owner.forget()
            with pytest.raises(Unsupported, match=rf"it is no plain table.*{name} TO '{clone.username}'@'%'"):
                rotate(mariadb, user, clone)
            assert owner.caught() == []
            alter(mariadb, f"REVOKE SELECT (id) ON {owner.db}.{name} FROM {account(user)}")  # noqa: S608 - ours
        assert sprung, "the server does that"
        assert rotate(mariadb, user, clone) == []

    @pytest.mark.parametrize("is_own", [False], ids=[""])
    def test_columns_of_a_view_that_somebody_else_granted_are_there(
        self, mariadb: MySQLLaboratory, pair: tuple[Credential, Credential], owner: Owner
    ) -> None:
        user, clone = pair
        assert rotate(mariadb, user, clone) == []
        owner.run(*(f"GRANT SELECT (id) ON {{db}}.invoker TO {account(one)}" for one in pair))
        owner.forget()
        assert rotate(mariadb, user, clone) == []
        assert owner.caught() == []

    @pytest.mark.parametrize("is_own", [False], ids=[""])
    def test_nobody_puts_a_view_in_the_place_of_a_table_just_then(
        self,
        mariadb: MySQLLaboratory,
        pair: tuple[Credential, Credential],
        owner: Owner,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        user, clone = pair
        [name] = lay_views(owner)[:1]
        owner.run(f"GRANT SELECT (id) ON {{db}}.noted TO {account(user)}")
        owner.forget()
        tried: list[int] = []

        real = Granting.make

        def slow(granting: Granting, change: Change, *gone: frozenset[int]) -> None:
            if change.is_for_columns:
                swap(owner, name, tried)
            real(granting, change, *gone)

        monkeypatch.setattr(Granting, "make", slow)
        with mariadb.engine.connect(mariadb.admin, deadline()) as session:
            session.mirror(user.username, clone.username)
            assert session.compare(user.username, clone.username).sentences == []
        assert tried == [1205], "the table was held"
        assert owner.caught() == []

    @pytest.mark.parametrize("is_own", [False], ids=[""])
    def test_a_table_that_is_not_let_go_is_named(
        self, mariadb: MySQLLaboratory, pair: tuple[Credential, Credential], owner: Owner
    ) -> None:
        user, clone = pair
        owner.run(f"GRANT SELECT (id) ON {{db}}.noted TO {account(user)}")
        with mariadb.session(replace(owner.user, database=None)) as run:
            run(f"LOCK TABLES {owner.db}.noted WRITE")
            with (
                pytest.raises(StatementFailed, match=rf"`{owner.db}`.`noted`.*error (1205|1969)"),
                mariadb.engine.connect(mariadb.admin, deadline(5.0)) as session,
            ):
                session.mirror(user.username, clone.username)


def lay_views(owner: Owner) -> list[str]:
    """Make views with calls in all sorts of places; return the names of those that the server takes."""
    made: list[str] = []
    for form in FORMS:
        for expression in PREPARED:
            name = f"`prepared {len(made)}`"
            view = form.replace("{0}", expression)
            with suppress(pymysql.MySQLError):
                owner.run(f"CREATE ALGORITHM = UNDEFINED SQL SECURITY INVOKER VIEW {{db}}.{name} AS {view}")
                made.append(name)
    return made


def swap(owner: Owner, name: str, tried: list[int]) -> None:
    """Put a view in the place of a table, or note the number of the error."""
    try:
        rename = f"RENAME TABLE {{db}}.noted TO {{db}}.away, {{db}}.{name} TO {{db}}.noted"
        owner.run("SET SESSION lock_wait_timeout = 1", rename)
    except pymysql.OperationalError as error:
        tried.append(int(error.args[0]))
