"""What can somebody do to a pair that is not hers, with nothing but what every user of PostgreSQL may do?

She can give the clone things. That neither stops a rotation nor gives the pair anything, unless the admin may act as
her: then the pair gets it, from her.
"""

import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from psycopg2.sql import SQL, Identifier

from rotation.credential import Credential
from rotation.errors import RightsDiffer, StatementFailed
from tests.contract.pairs import differences, mirror, new_pair
from tests.contract.postgresql_kit import alter
from tests.laboratories import Run, deadline
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

pytestmark = pytest.mark.thorough(postgresql=OLDER)  # the contract runs on all versions

LOGGER = "rotation.engines"


@dataclass(frozen=True)
class Scenario:
    """A pair, and a stranger with a schema of her own."""

    laboratory: PostgreSQLLaboratory
    pair: tuple[Credential, Credential]
    stranger: Credential
    others: str
    """A role that she may pass on, and that no one but a superuser and she administers."""

    def does(self, *statements: str) -> None:
        """Run statements as her; {s} is her schema, and she, {c} the clone, {o} the original, {g} the role."""
        with self.laboratory.session(self.stranger) as run:
            self._run(run, *statements)

    def is_done(self, *statements: str) -> None:
        """Run statements as a superuser."""
        with self.laboratory.session() as run:
            self._run(run, *statements)

    def _run(self, run: Run, *statements: str) -> None:
        original, clone = (Identifier(one.username) for one in self.pair)
        for statement in statements:
            run(
                SQL(statement).format(
                    s=Identifier(self.stranger.username), c=clone, o=original, g=Identifier(self.others)
                )
            )

    def trust(self) -> None:
        """Let the admin act as her."""
        options = " WITH INHERIT TRUE, SET TRUE" if self.laboratory.version >= 160000 else ""
        alter(
            self.laboratory,
            f"GRANT {{}} TO {{}}{options}",
            self.stranger.username,
            self.laboratory.admin.username,
        )

    def rotate(self, current: int) -> None:
        """Rotate, from the original (0) or from the clone (1)."""
        user, other = self.pair[current], self.pair[1 - current]
        mirror(self.laboratory, user, other)
        assert differences(self.laboratory, user, other) == []
        assert self.laboratory.logs_in(other)


@pytest.fixture
def scenario(postgresql: PostgreSQLLaboratory) -> Scenario:
    """A new pair, and a new stranger."""
    stranger, others = postgresql.new_user(), f"group_{secrets.token_hex(4)}"
    alter(postgresql, "CREATE SCHEMA {0} AUTHORIZATION {0}", stranger.username)
    alter(postgresql, "CREATE ROLE {}", others)
    alter(postgresql, "GRANT {} TO {} WITH ADMIN OPTION", others, stranger.username)
    return Scenario(postgresql, new_pair(postgresql), stranger, others)


FROM = pytest.mark.parametrize("current", [0, 1], ids=["from the original", "from the clone"])

GIFTS = {
    "table": ("CREATE TABLE {s}.t (id int)", "GRANT ALL ON {s}.t TO {c} WITH GRANT OPTION"),
    "column": ("CREATE TABLE {s}.t (id int)", "GRANT SELECT (id), UPDATE (id) ON {s}.t TO {c}"),
    "view": ("CREATE VIEW {s}.v AS SELECT 1", "GRANT SELECT ON {s}.v TO {c}"),
    "sequence": ("CREATE SEQUENCE {s}.q", "GRANT USAGE ON SEQUENCE {s}.q TO {c}"),
    "function": (
        "CREATE FUNCTION {s}.f(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "REVOKE ALL ON FUNCTION {s}.f FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION {s}.f TO {c}",
    ),
    "type": (
        "CREATE TYPE {s}.e AS ENUM ('a')",
        "REVOKE ALL ON TYPE {s}.e FROM PUBLIC",
        "GRANT USAGE ON TYPE {s}.e TO {c}",
    ),
    "domain": (
        "CREATE DOMAIN {s}.d AS int",
        "REVOKE ALL ON DOMAIN {s}.d FROM PUBLIC",
        "GRANT USAGE ON DOMAIN {s}.d TO {c}",
    ),
    "schema": ("GRANT ALL ON SCHEMA {s} TO {c}",),
    "large object": ("DO $$ BEGIN EXECUTE format('GRANT ALL ON LARGE OBJECT %s TO {c}', lo_create(0)); END $$",),
    "default privileges": ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {c}", "CREATE TABLE {s}.t (id int)"),
    "default privileges in a schema": (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {s} GRANT EXECUTE ON ROUTINES TO {c} WITH GRANT OPTION",
    ),
    "odd name": (
        'CREATE TABLE {s}."a""b; DROP TABLE x --\n\x1b[31m" (id int)',
        'GRANT SELECT ON {s}."a""b; DROP TABLE x --\n\x1b[31m" TO {c}',
    ),
}


@pytest.mark.thorough(postgresql=OLDER, gift=list(GIFTS)[1:])
@pytest.mark.parametrize("gift", GIFTS)
def test_what_a_stranger_gives_the_clone_stops_nothing_gives_nothing_and_is_reported(
    scenario: Scenario, gift: str, caplog: pytest.LogCaptureFixture
) -> None:
    scenario.does(*GIFTS[gift])
    before = rights(scenario)
    with caplog.at_level(logging.WARNING, LOGGER):
        scenario.rotate(0)
        scenario.rotate(1)
    assert rights(scenario) == before
    assert all("strangers gave" in record.getMessage() for record in caplog.records)
    assert [record.getMessage().isprintable() for record in caplog.records] == [True, True]


@FROM
@pytest.mark.thorough(postgresql=OLDER, gift=list(GIFTS)[1:])
@pytest.mark.parametrize("gift", GIFTS)
def test_what_a_stranger_gives_the_clone_is_passed_on_if_the_admin_can_act_as_her(
    scenario: Scenario, gift: str, current: int
) -> None:
    scenario.trust()
    scenario.does(*GIFTS[gift])
    given = rights(scenario, of=1)
    assert given
    scenario.rotate(current)
    assert rights(scenario, of=1) == []
    assert rights(scenario, of=0) == (given if current else [])


def rights(scenario: Scenario, of: int | None = None) -> list[tuple[object, ...]]:
    """Return what each of the pair, or one of them, has from the stranger."""
    acls = " UNION ALL ".join(
        f"SELECT '{table}' AS which, oid, 0 AS number, {column} AS acl FROM {table}"  # noqa: S608 - constants
        for table, column in {
            "pg_class": "relacl", "pg_proc": "proacl", "pg_type": "typacl", "pg_namespace": "nspacl",
            "pg_largeobject_metadata": "lomacl", "pg_default_acl": "defaclacl",
        }.items()
    )  # fmt: skip
    with scenario.laboratory.session() as run:
        found = run(
            f"SELECT r.rolname, which, a.oid, number, e.privilege_type, e.is_grantable FROM ({acls}"  # noqa: S608 - constants
            " UNION ALL SELECT 'pg_attribute', attrelid, attnum, attacl FROM pg_attribute) a"
            " CROSS JOIN aclexplode(acl) e JOIN pg_roles r ON r.oid = e.grantee"
            " WHERE pg_get_userbyid(e.grantor) = %s AND r.rolname = ANY (%s) ORDER BY 1, 2, 3, 4, 5",
            scenario.stranger.username,
            [one.username for one in scenario.pair],
        )
    if of is None:
        return found
    return [tuple(rest) for name, *rest in found if name == scenario.pair[of].username]


@FROM
def test_a_policy_of_a_strangers_for_the_clone_stays_and_stops_nothing(scenario: Scenario, current: int) -> None:
    scenario.does(
        "CREATE TABLE {s}.t (id int)",
        "ALTER TABLE {s}.t ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY p ON {s}.t TO {c} USING (true)",
        "GRANT SELECT ON {s}.t TO {c}",
    )
    scenario.rotate(current)
    with scenario.laboratory.session() as run:
        assert run("SELECT polname FROM pg_policy WHERE polroles = ARRAY[%s::regrole::oid]", scenario.pair[1].username)


@pytest.fixture
def server(scenario: Scenario) -> Iterator[str]:
    """A foreign server of the stranger's."""
    wrapper = f"wrapper_{scenario.stranger.username}"
    alter(scenario.laboratory, "CREATE FOREIGN DATA WRAPPER {}", wrapper)
    alter(scenario.laboratory, "GRANT USAGE ON FOREIGN DATA WRAPPER {} TO {}", wrapper, scenario.stranger.username)
    with scenario.laboratory.session(scenario.stranger) as run:
        run(SQL("CREATE SERVER {0} FOREIGN DATA WRAPPER {0}").format(Identifier(wrapper)))
    yield wrapper
    alter(scenario.laboratory, "DROP FOREIGN DATA WRAPPER {} CASCADE", wrapper)


@FROM
def test_a_user_mapping_of_a_strangers_for_the_clone_stays_and_stops_nothing(
    scenario: Scenario, server: str, current: int
) -> None:
    scenario.does(f"CREATE USER MAPPING FOR {{c}} SERVER \"{server}\" OPTIONS (password 'hers')")
    give_the_clone_a_table(scenario)
    scenario.rotate(current)
    assert mappings(scenario) == [(scenario.pair[1].username, ["password=hers"])]


def mappings(scenario: Scenario) -> list[tuple[object, ...]]:
    with scenario.laboratory.session() as run:
        return run(
            "SELECT usename, umoptions FROM pg_user_mappings WHERE usename = ANY (%s)",
            [one.username for one in scenario.pair],
        )


def give_the_clone_a_table(scenario: Scenario) -> None:
    scenario.is_done("CREATE TABLE {s}.of_clone (id int)", "ALTER TABLE {s}.of_clone OWNER TO {c}")
    scenario.is_done("GRANT ALL ON SCHEMA {s} TO {o}")


@FROM
def test_an_operators_user_mapping_for_the_clone_is_refused_and_stays(
    scenario: Scenario, server: str, current: int
) -> None:
    alter(scenario.laboratory, "ALTER SERVER {} OWNER TO {}", server, "postgres")
    scenario.is_done(f"CREATE USER MAPPING FOR {{c}} SERVER \"{server}\" OPTIONS (password 'ours')")
    give_the_clone_a_table(scenario)
    original, clone = (one.username for one in scenario.pair)
    with pytest.raises(
        RightsDiffer, match=f"user mapping for server {server}.*CREATE USER MAPPING FOR {original} SERVER {server}"
    ):
        scenario.rotate(current)
    assert mappings(scenario) == [(clone, ["password=ours"])]
    scenario.is_done(f"CREATE USER MAPPING FOR {{o}} SERVER \"{server}\" OPTIONS (password 'ours')")
    scenario.rotate(current)
    assert len(mappings(scenario)) == 2


@FROM
def test_an_operators_policy_for_the_clone_is_refused_and_stays(scenario: Scenario, current: int) -> None:
    table = f"guarded_{scenario.stranger.username}"
    alter(scenario.laboratory, "CREATE TABLE public.{} (id int)", table)
    alter(scenario.laboratory, "CREATE POLICY p ON public.{} TO {}", table, scenario.pair[1].username)
    with pytest.raises(RightsDiffer, match=f"policy p on table public.{table}"):
        scenario.rotate(current)
    alter(scenario.laboratory, "ALTER POLICY p ON public.{} TO {}, {}", table, *(one.username for one in scenario.pair))
    scenario.rotate(current)
    alter(scenario.laboratory, "DROP TABLE public.{}", table)


# Memberships


@FROM
def test_a_role_that_a_stranger_gives_the_clone_stops_nothing(scenario: Scenario, current: int) -> None:
    scenario.does("GRANT {g} TO {c}")
    scenario.rotate(current)
    scenario.rotate(1 - current)


@FROM
def test_a_role_that_a_stranger_gives_the_clone_and_that_is_a_member_of_the_pair_stops_nothing(
    scenario: Scenario, current: int
) -> None:
    """Given to the original, it would be a member of itself."""
    scenario.is_done("GRANT {o} TO {g}")
    scenario.does("GRANT {g} TO {c}")
    scenario.rotate(current)
    scenario.rotate(1 - current)


def test_a_role_that_a_stranger_gives_the_clone_is_passed_on_if_the_admin_may(scenario: Scenario) -> None:
    scenario.is_done(f'GRANT {{g}} TO "{scenario.laboratory.admin.username}" WITH ADMIN OPTION')
    scenario.does("GRANT {g} TO {c}")
    scenario.rotate(1)
    assert membership(scenario.laboratory, scenario.others, scenario.pair[0])


def test_many_roles_of_strangers_are_not_all_tried(scenario: Scenario) -> None:
    """Each try could cost the time that a lock is waited for. These are members of the pair: to pass one on fails."""
    for number in range(10):
        more = f"{scenario.others}_{number}"
        scenario.is_done(f"CREATE ROLE {more}", f"GRANT {{o}} TO {more}", f"GRANT {more} TO {{s}} WITH ADMIN OPTION")
        scenario.does(f"GRANT {more} TO {{c}}")
    scenario.rotate(1)
    tried = {text for text in statements(scenario) if text.startswith(f'GRANT "{scenario.others}_')}
    assert len(tried) == 3


def test_what_a_stranger_has_open_holds_up_no_membership(scenario: Scenario) -> None:
    scenario.trust()
    scenario.does("GRANT {g} TO {c}")
    with scenario.laboratory.session(scenario.stranger) as run:
        run("BEGIN")
        run(SQL("GRANT {} TO {}").format(Identifier(scenario.others), Identifier(scenario.pair[0].username)))
        scenario.rotate(1)


OPTIONS = [f"{option} {value}" for option in ("INHERIT", "SET", "ADMIN") for value in ("TRUE", "FALSE")]


@pytest.mark.parametrize("option", OPTIONS)
def test_the_options_of_a_membership_are_handed_over(postgresql: PostgreSQLLaboratory, option: str) -> None:
    if postgresql.version < 160000 and option != "ADMIN TRUE":
        return  # there is no such option
    user, clone = new_pair(postgresql)
    group = f"group_{user.username}"
    with postgresql.session(postgresql.admin) as run:
        run(SQL("CREATE ROLE {}").format(Identifier(group)))
        options = f"WITH {option}" if postgresql.version >= 160000 else "WITH ADMIN OPTION"
        run(SQL(f"GRANT {{}} TO {{}} {options}").format(Identifier(group), Identifier(clone.username)))
    before = membership(postgresql, group, clone)
    assert before
    mirror(postgresql, clone, user)
    assert membership(postgresql, group, user) == before
    assert membership(postgresql, group, clone) == []
    assert differences(postgresql, clone, user) == []


def test_options_that_the_original_has_stay(postgresql: PostgreSQLLaboratory) -> None:
    if postgresql.version < 160000:
        return
    user, clone = new_pair(postgresql)
    group = f"group_{user.username}"
    with postgresql.session(postgresql.admin) as run:
        run(SQL("CREATE ROLE {}").format(Identifier(group)))
        for who, options in (
            (user, "INHERIT TRUE, SET FALSE, ADMIN TRUE"),
            (clone, "INHERIT FALSE, SET TRUE, ADMIN FALSE"),
        ):
            run(SQL(f"GRANT {{}} TO {{}} WITH {options}").format(Identifier(group), Identifier(who.username)))
    mirror(postgresql, clone, user)
    assert membership(postgresql, group, user) == [(True, True, True)]


def membership(postgresql: PostgreSQLLaboratory, group: str, user: Credential) -> list[tuple[object, ...]]:
    options = "admin_option, inherit_option, set_option" if postgresql.version >= 160000 else "admin_option"
    with postgresql.session() as run:
        return run(
            f"SELECT {options} FROM pg_auth_members WHERE roleid = %s::regrole AND member = %s::regrole",  # noqa: S608 - constants
            group,
            user.username,
        )


# Locks


def test_a_lock_that_anybody_can_take_holds_up_nothing(scenario: Scenario) -> None:
    mark = f"Takes turns with {scenario.pair[0].username}: rotated by AWS Secrets Manager"
    with scenario.laboratory.session(scenario.stranger) as run:
        run("BEGIN")
        run("SELECT pg_advisory_xact_lock(hashtext(%s)), pg_advisory_lock(hashtext(%s))", mark, mark)
        scenario.rotate(0)


def test_who_has_a_role_locked_is_named_where_she_can(scenario: Scenario) -> None:
    """From version 16 on, anybody can: ALTER ROLE without a change asks for no right."""
    with scenario.laboratory.session(scenario.stranger) as run:
        run("BEGIN")
        [(session,)] = run("SELECT pg_backend_pid()")
        alteration = SQL("ALTER ROLE {}").format(Identifier(scenario.pair[1].username))
        if scenario.laboratory.version < 160000:
            with pytest.raises(Exception, match="permission denied"):
                run(alteration)
            return
        run(alteration)
        with pytest.raises(StatementFailed) as raised:
            short(scenario.laboratory, scenario.pair)
    assert f"session {session} of {scenario.stranger.username}" in raised.value.cause
    assert f"pg_terminate_backend({session})" in raised.value.remedy


def short(postgresql: PostgreSQLLaboratory, pair: tuple[Credential, Credential]) -> None:
    """Mirror in a time that is too short to wait for anybody."""
    with postgresql.engine.connect(postgresql.admin, deadline(4.0)) as session:
        session.mirror(pair[0].username, pair[1].username)
        session.set_password(pair[1].username, pair[1].password)


def test_what_a_stranger_has_open_holds_up_no_right(scenario: Scenario) -> None:
    scenario.trust()
    scenario.does("CREATE TABLE {s}.t (id int)", "GRANT SELECT ON {s}.t TO {c}")
    with scenario.laboratory.session(scenario.stranger) as run:
        run("BEGIN")
        run(SQL("GRANT SELECT ON {}.t TO PUBLIC").format(Identifier(scenario.stranger.username)))
        scenario.rotate(1)


def test_a_table_that_somebody_reads_is_waited_for_a_moment_only_and_named(scenario: Scenario) -> None:
    give_the_clone_a_table(scenario)
    scenario.is_done("GRANT SELECT ON {s}.of_clone TO {s}")
    with scenario.laboratory.session(scenario.stranger) as run:
        run("BEGIN")
        [(session,)] = run("SELECT pg_backend_pid()")
        run(SQL("SELECT FROM {}").format(Identifier(scenario.stranger.username, "of_clone")))
        blocker = scenario.stranger.username
        held = rf"lock timeout.*held by session {session} of {blocker}.*pg_terminate_backend\({session}\)"
        with pytest.raises(StatementFailed, match=rf"owns \(table {blocker}\.of_clone\).*{held}"):
            mirror(scenario.laboratory, scenario.pair[1], scenario.pair[0])
    before, _, _ = "\n".join(statements(scenario)).partition(f'REASSIGN OWNED BY "{scenario.pair[1].username}"')
    assert before.rpartition("lock_timeout TO ")[2].split()[0] == "2000"
    scenario.rotate(1)


def statements(scenario: Scenario) -> list[str]:
    """Return what the admin has sent since there is the pair."""
    return list(scenario.laboratory.said_by_admins(since=scenario.pair[0].username))


# Databases


@pytest.fixture
def her_database(scenario: Scenario) -> Iterator[Credential]:
    """A database of hers, in which the clone may read a table."""
    name = f"hers_{scenario.stranger.username}"
    alter(scenario.laboratory, "CREATE DATABASE {} OWNER {}", name, scenario.stranger.username)
    alter(scenario.laboratory, "GRANT ALL ON SCHEMA public TO PUBLIC", database=name)
    with scenario.laboratory.session(scenario.stranger, name) as run:
        run("CREATE TABLE public.t (id int)")
        run(SQL("GRANT SELECT ON public.t TO {}").format(Identifier(scenario.pair[1].username)))
    yield replace(scenario.stranger, database=name)
    alter(scenario.laboratory, "DROP DATABASE {}", name)


LOCKED_DOORS = {
    "open": "COMMENT ON DATABASE {} IS 'nothing special'",
    "nobody may enter": "REVOKE ALL ON DATABASE {} FROM PUBLIC",
    "no connections": "ALTER DATABASE {} CONNECTION LIMIT 0",
    "no time": "ALTER DATABASE {} SET statement_timeout TO 1",
    "no time between": "ALTER DATABASE {} SET idle_in_transaction_session_timeout TO 1",
    "no errors": "ALTER DATABASE {} SET exit_on_error TO on",
}


@FROM
@pytest.mark.thorough(postgresql=OLDER, door=list(LOCKED_DOORS)[1:])
@pytest.mark.parametrize("door", LOCKED_DOORS)
def test_a_strangers_database_stops_nothing(
    scenario: Scenario, her_database: Credential, door: str, current: int
) -> None:
    with scenario.laboratory.session(scenario.stranger) as run:
        run(SQL(LOCKED_DOORS[door]).format(Identifier(str(her_database.database))))
    scenario.rotate(current)


def test_the_databases_of_strangers_get_so_much_time_and_no_more(
    scenario: Scenario, her_database: Credential, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rotation.engines.postgresql.databases.STRANGERS_SECONDS", 0.0)
    with caplog.at_level(logging.WARNING, LOGGER):
        scenario.rotate(1)
    [record] = caplog.records
    assert record.getMessage() == (
        f"{scenario.pair[1].username} can hold rights in databases that were not checked: {her_database.database}"
    )


def test_a_strangers_database_is_looked_into_if_the_clone_owns_something(
    scenario: Scenario, her_database: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rotation.engines.postgresql.databases.STRANGERS_SECONDS", 0.0)
    with scenario.laboratory.session(database=her_database.database) as run:
        run("CREATE TABLE public.of_clone (id int)")
        run(SQL("ALTER TABLE public.of_clone OWNER TO {}").format(Identifier(scenario.pair[1].username)))
    scenario.rotate(1)
    with scenario.laboratory.session(scenario.pair[0], her_database.database) as run:
        run("DROP TABLE public.of_clone")


def test_a_database_of_an_operators_that_the_admin_cannot_enter_stops_nothing(scenario: Scenario) -> None:
    name = f"closed_{scenario.stranger.username}"
    alter(scenario.laboratory, "CREATE DATABASE {}", name)
    alter(scenario.laboratory, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
    alter(scenario.laboratory, "GRANT CONNECT, CREATE ON DATABASE {} TO {}", name, scenario.stranger.username)
    with scenario.laboratory.session(scenario.stranger, name) as run:
        run("CREATE SCHEMA hers")
        run(SQL("GRANT ALL ON SCHEMA hers TO {}").format(Identifier(scenario.pair[1].username)))
    scenario.rotate(1)
    scenario.rotate(0)
    alter(scenario.laboratory, "DROP DATABASE {}", name)


# Masses


def test_many_gifts_of_a_stranger_stop_nothing(scenario: Scenario) -> None:
    scenario.trust()
    scenario.does(
        "DO $$ BEGIN FOR i IN 1..3000 LOOP EXECUTE"
        " format('GRANT ALL ON LARGE OBJECT %s TO {c}', lo_create(0)); END LOOP; END $$"
    )
    scenario.rotate(1)
    gifts = [text for text in statements(scenario) if text.startswith("GRANT ") and "LARGE OBJECT" in text]
    assert len([text for text in gifts if f'TO "{scenario.pair[0].username}"' in text]) == 100
    scenario.rotate(0)
