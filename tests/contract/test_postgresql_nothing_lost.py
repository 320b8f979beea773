"""Does a rotation of a PostgreSQL pair keep what anybody had before: the pair, the admin, an administrator?"""

import logging
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg2
import pytest
from psycopg2.sql import SQL, Identifier, Literal

from rotation.credential import Credential
from rotation.deadline import RESERVED_SECONDS, Deadline
from rotation.engine import CloneStatus
from rotation.engines.postgresql import acting as acting_module
from rotation.engines.postgresql.connection import PostgreSQLConnection
from rotation.errors import NotPermitted, RightsDiffer, StatementFailed
from tests.contract.pairs import differences, mirror, new_pair, proof_of
from tests.contract.postgresql_kit import alter, own_admin
from tests.laboratories import deadline
from tests.laboratories.postgresql import OLDER, PostgreSQLLaboratory

pytestmark = [
    pytest.mark.sample(2),
    pytest.mark.thorough(postgresql=OLDER),  # the contract runs on all versions
]

BOTH_WAYS = pytest.mark.parametrize("current", [0, 1], ids=["from the original", "from the clone"])


def own_memberships(postgresql: PostgreSQLLaboratory) -> list[tuple[object, ...]]:
    options = "admin_option, inherit_option, set_option" if postgresql.version >= 160000 else "admin_option"
    with postgresql.session() as run:
        return run(
            f"SELECT roleid, grantor, {options} FROM pg_auth_members WHERE member = %s::regrole ORDER BY 1, 2",  # noqa: S608 - constants
            postgresql.admin.username,
        )


# The admin's own memberships


OWN = {
    "nothing": [],
    "to act, not to inherit": ["GRANT {role} TO {admin} WITH INHERIT FALSE, SET TRUE"],
    "from another admin": ["GRANT {role} TO {admin} WITH INHERIT FALSE, SET TRUE GRANTED BY {team}"],
    "to inherit, not to act": ["GRANT {role} TO {admin} WITH INHERIT TRUE, SET FALSE GRANTED BY {team}"],
}


@pytest.mark.parametrize("own", OWN)
def test_the_admins_own_memberships_outlive_a_rotation(postgresql: PostgreSQLLaboratory, own: str) -> None:
    """A team administers the pair, and the admin is a member of it: so it is the team that grants."""
    team = f"team_{secrets.token_hex(4)}"
    alter(postgresql, "CREATE ROLE {}", team)
    with own_admin(postgresql) as laboratory:
        user = postgresql.new_user()
        clone = postgresql.new_user(f"{user.username}_clone")
        admin = laboratory.admin.username
        alter(postgresql, "GRANT {} TO {}", team, admin)
        with postgresql.session() as run:
            for role in (user.username, clone.username):
                names = {"role": Identifier(role), "admin": Identifier(admin), "team": Identifier(team)}
                run(SQL("GRANT {role} TO {team} WITH ADMIN OPTION").format(**names))
                if postgresql.version >= 160000:
                    run(SQL("GRANT {role} TO {team} WITH INHERIT FALSE, SET FALSE").format(**names))
                    for statement in OWN[own]:
                        run(SQL(statement).format(**names))
        rotate_both_ways(laboratory, user, clone)


def test_the_memberships_of_an_admin_that_inherits_nothing_outlive_a_rotation(
    postgresql: PostgreSQLLaboratory,
) -> None:
    with own_admin(postgresql) as laboratory:
        alter(postgresql, "ALTER ROLE {} NOINHERIT", laboratory.admin.username)
        user = postgresql.new_user()
        clone = postgresql.new_user(f"{user.username}_clone")
        for role in (user, clone):
            alter(postgresql, "GRANT {} TO {} WITH ADMIN OPTION", role.username, laboratory.admin.username)
        rotate_both_ways(laboratory, user, clone)


def rotate_both_ways(laboratory: PostgreSQLLaboratory, user: Credential, clone: Credential) -> None:
    """Rotate a pair of which each owns something and has default privileges, and compare what the admin has."""
    table = f"made_{user.username}"
    alter(laboratory, "ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT SELECT ON TABLES TO PUBLIC", user.username)
    alter(laboratory, "CREATE TABLE public.{} (id int)", table)
    before = own_memberships(laboratory)
    for one, other in ((user, clone), (clone, user)):
        alter(laboratory, "ALTER TABLE public.{} OWNER TO {}", table, clone.username)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            for who in (user, clone):
                session.require_proven(proof_of(laboratory, who))
            session.mirror(one.username, other.username)
            session.set_password(other.username, other.password)
        assert differences(laboratory, one, other) == []
        assert own_memberships(laboratory) == before
    alter(laboratory, "DROP TABLE public.{}", table)


# Roles that the clone made, and memberships that somebody else granted


@BOTH_WAYS
def test_a_role_that_the_clone_made_belongs_to_both(postgresql: PostgreSQLLaboratory, current: int) -> None:
    """With CREATEROLE, outside of its role: from version 16 on, only its creator and superusers administer it."""
    pair = new_pair(postgresql)
    alter(postgresql, "ALTER ROLE {} CREATEROLE", pair[0].username)
    mirror(postgresql, *pair)
    made = f"made_{pair[0].username}"
    with postgresql.session(pair[1]) as run:
        run("SET ROLE NONE")
        run("SET createrole_self_grant TO 'set, inherit'" if postgresql.version >= 160000 else "SELECT 1")
        run(SQL("CREATE ROLE {}").format(Identifier(made)))
        run(SQL("CREATE ROLE {}").format(Identifier(f"{made}_2")))
    before = own_memberships(postgresql)
    user, other = pair[current], pair[1 - current]
    for one, two in ((user, other), (other, user)):
        mirror(postgresql, one, two)
        assert differences(postgresql, one, two) == []
    assert own_memberships(postgresql) == before
    for who in pair:
        with postgresql.session(who) as run:
            run(SQL("ALTER ROLE {} CONNECTION LIMIT 3").format(Identifier(made)))
            run(SQL("GRANT {} TO {}").format(Identifier(made), Identifier(postgresql.new_user().username)))


@BOTH_WAYS
def test_a_role_that_another_admin_gave_the_clone_is_handed_over_or_refused(
    postgresql: PostgreSQLLaboratory, current: int
) -> None:
    """From version 16 on, only who has the grantor's rights can revoke what it granted."""
    pair, group = new_pair(postgresql), f"group_{secrets.token_hex(4)}"
    user, other = pair[current], pair[1 - current]
    alter(postgresql, "CREATE ROLE {}", group)
    alter(postgresql, "GRANT {} TO {} WITH ADMIN OPTION", group, postgresql.admin.username)
    alter(postgresql, "GRANT {} TO {}", group, pair[1].username)
    if current == 0 and postgresql.version >= 160000:
        with pytest.raises(RightsDiffer) as raised:
            mirror(postgresql, user, other)
        take = raised.value.remedy.removeprefix("Run as postgres: ").partition(";")[0]
        with postgresql.session() as run:
            run(take)
    mirror(postgresql, user, other)
    assert differences(postgresql, user, other) == []
    with postgresql.session() as run:
        has = run("SELECT pg_has_role(%s, %s, 'MEMBER')", pair[0].username, group)
    assert has == [(current == 1,)]
    mirror(postgresql, other, user)
    assert differences(postgresql, other, user) == []


# Policies and user mappings


OWNERS = ["the original", "the clone", "a role of the pair's", "a role of the admin's", "a superuser"]


@BOTH_WAYS
@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("thing", ["policy", "user mapping"])
def test_what_was_made_for_the_clone_alone_is_refused_by_name_before_anything_has_changed(
    postgresql: PostgreSQLLaboratory, thing: str, owner: str, current: int
) -> None:
    pair, name = new_pair(postgresql), f"thing_{secrets.token_hex(4)}"
    alter(postgresql, "CREATE ROLE {}", name)
    owners = dict(zip(OWNERS, (pair[0].username, pair[1].username, name, name, "postgres"), strict=True))
    if "role" in owner:
        member = pair[0] if "pair" in owner else postgresql.admin
        alter(postgresql, "GRANT {} TO {}", name, member.username)
    with postgresql.session() as run:
        names = {"name": Identifier(name), "owner": Identifier(owners[owner]), "clone": Identifier(pair[1].username)}
        for statement in THINGS[thing]:
            run(SQL(statement).format(**names))
    before = dump(postgresql, pair)
    with pytest.raises(RightsDiffer, match=f"{thing} .*{name}") as raised:
        mirror(postgresql, pair[current], pair[1 - current])
    assert dump(postgresql, pair) == before
    statement = raised.value.remedy.removeprefix("Run as its owner: ").partition("; or")[0]
    with postgresql.session() as run:
        run(statement.replace("(…), with its options", "(password 'theirs')"))
    if owner != "the clone" or thing == "user mapping":
        mirror(postgresql, pair[current], pair[1 - current])
        assert differences(postgresql, pair[current], pair[1 - current]) == []
    with postgresql.session() as run:
        run(SQL(DROPS[thing]).format(Identifier(name)))


THINGS = {
    "policy": (
        "CREATE TABLE public.{name} (id int)",
        "CREATE POLICY {name} ON public.{name} TO {clone}",
        "ALTER TABLE public.{name} OWNER TO {owner}",
    ),
    "user mapping": (
        "CREATE FOREIGN DATA WRAPPER {name}",
        "GRANT USAGE ON FOREIGN DATA WRAPPER {name} TO PUBLIC",
        "CREATE SERVER {name} FOREIGN DATA WRAPPER {name}",
        "CREATE USER MAPPING FOR {clone} SERVER {name} OPTIONS (password 'theirs')",
        "ALTER SERVER {name} OWNER TO {owner}",
    ),
}
DROPS = {"policy": "DROP TABLE public.{}", "user mapping": "DROP FOREIGN DATA WRAPPER {} CASCADE"}


def dump(postgresql: PostgreSQLLaboratory, pair: tuple[Credential, Credential]) -> list[list[tuple[object, ...]]]:
    """Return all that depends on a pair, and what it is."""
    names = [one.username for one in pair]
    with postgresql.session() as run:
        return [
            run(
                "SELECT classid, objid, objsubid, refobjid, deptype FROM pg_shdepend"
                " WHERE refobjid = ANY (SELECT oid FROM pg_roles WHERE rolname = ANY (%s)) ORDER BY 1, 2, 3, 4, 5",
                names,
            ),
            run("SELECT rolname, rolpassword, rolcanlogin FROM pg_authid WHERE rolname = ANY (%s) ORDER BY 1", names),
            run("SELECT roleid, member FROM pg_auth_members ORDER BY 1, 2"),
            run("SELECT srvname, usename, umoptions FROM pg_user_mappings ORDER BY 1, 2"),
            run("SELECT polname, polroles FROM pg_policy ORDER BY 1"),
        ]


# Adopting a pair of AWS's template


WRITING = """
    SELECT a.usename, l.locktype FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE a.application_name = 'secret-rotation' AND l.locktype = 'transactionid' AND a.pid <> ALL (%s)"""
"""Which sessions of ours have changed something that they have not committed, so that others wait for it."""


@pytest.fixture
def template_pair(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Credential, Credential, list[str]]]:
    """What AWS's template makes, which owns and has things in three databases; a login beside a writer is an error.

    The statements are those of SecretsManagerRDSPostgreSQLRotationMultiUser.
    """
    user = postgresql.new_user()
    clone = replace(user, username=f"{user.username}_clone", password=secrets.token_urlsafe())
    names = {"user": Identifier(user.username), "clone": Identifier(clone.username)}
    with postgresql.session(postgresql.admin) as run:
        run(SQL("CREATE ROLE {clone} WITH LOGIN PASSWORD {password}").format(password=Literal(clone.password), **names))
        run(SQL("GRANT {user} TO {clone}").format(**names))
    databases = [f"one_{user.username}", f"two_{user.username}"]
    for database in databases:
        alter(postgresql, "CREATE DATABASE {} OWNER {}", database, user.username)
    for database in ("postgres", *databases):
        with postgresql.session(database=database) as run:
            for statement in (
                "CREATE SCHEMA {user} AUTHORIZATION {user}",
                "CREATE TABLE {user}.of_clone (id int)",
                "ALTER TABLE {user}.of_clone OWNER TO {clone}",
                "CREATE TABLE {user}.read_by_clone (id int)",
                "ALTER TABLE {user}.read_by_clone OWNER TO {user}",
                "GRANT SELECT ON {user}.read_by_clone TO {clone}",
                "ALTER DEFAULT PRIVILEGES FOR ROLE {user} GRANT SELECT ON TABLES TO {clone}",
            ):
                run(SQL(statement).format(**names))
    log_in = PostgreSQLConnection.__init__

    def log_in_beside_no_writer(connection: PostgreSQLConnection, credential: Credential, until: Deadline) -> None:
        with postgresql.session() as run:
            assert run(WRITING, []) == []
        log_in(connection, credential, until)

    monkeypatch.setattr(PostgreSQLConnection, "__init__", log_in_beside_no_writer)
    yield user, clone, databases
    for database in databases:
        alter(postgresql, "DROP DATABASE {}", database)


@BOTH_WAYS
def test_a_pair_that_a_template_made_is_adopted_and_no_session_of_ours_waits_for_another(
    postgresql: PostgreSQLLaboratory, template_pair: tuple[Credential, Credential, list[str]], current: int
) -> None:
    *pair, databases = template_pair
    user, other = pair[current], pair[1 - current]
    for _ in range(2):
        with postgresql.engine.connect(postgresql.admin, deadline()) as session:
            session.require_proven(proof_of(postgresql, user))
            if session.clone_status(user.username, other.username) is CloneStatus.UNKNOWN:
                session.require_proven(proof_of(postgresql, other))
            assert session.unshared(user.username, other.username) == ()
            session.mirror(user.username, other.username)
            session.set_password(other.username, other.password)
        assert differences(postgresql, user, other) == []
        user, other = other, user
    for database in ("postgres", *databases):
        for who in pair:
            with postgresql.session(who, database) as run:
                run(SQL("SELECT FROM {}.of_clone").format(Identifier(user.username.removesuffix("_clone"))))


# Locks


def test_once_the_applications_tables_are_locked_no_other_lock_is_waited_for_long(
    postgresql: PostgreSQLLaboratory,
) -> None:
    """Somebody is changing the original, whose password is set last: the tables must not be locked meanwhile."""
    user, clone = new_pair(postgresql)
    table = f"of_{clone.username}"
    alter(postgresql, "CREATE TABLE public.{} (id int)", table)
    alter(postgresql, "ALTER TABLE public.{} OWNER TO {}", table, clone.username)
    with postgresql.session() as run:
        run("BEGIN")
        run(SQL("ALTER ROLE {} CONNECTION LIMIT 9").format(Identifier(user.username)))
        began = time.monotonic()
        with pytest.raises(StatementFailed, match="setting the password"):
            mirror(postgresql, clone, user)
    assert time.monotonic() - began < 10
    mirror(postgresql, clone, user)


def test_the_server_knows_how_long_a_session_of_ours_can_be_idle(postgresql: PostgreSQLLaboratory) -> None:
    """It can be idle while others of ours work, whatever the database says, and no longer than the function."""
    database = f"impatient_{secrets.token_hex(4)}"
    alter(postgresql, "CREATE DATABASE {}", database)
    alter(postgresql, "ALTER DATABASE {} SET idle_in_transaction_session_timeout TO 1", database)
    user = replace(postgresql.new_user(), database=database)
    with postgresql.engine.connect(user, deadline(90.0 + RESERVED_SECONDS)) as session:
        shown = session.connection.execute("asking", "SHOW idle_in_transaction_session_timeout")
    alter(postgresql, "DROP DATABASE {}", database)
    assert shown == [("90s",)]


# Default privileges


KINDS = {
    "TABLES": "SELECT", "SEQUENCES": "USAGE", "ROUTINES": "EXECUTE", "TYPES": "USAGE", "SCHEMAS": "USAGE",
    "LARGE OBJECTS": "SELECT",
}  # fmt: skip


@pytest.mark.thorough(postgresql=OLDER, kind=list(KINDS)[1:])
@pytest.mark.thorough(option=[" WITH GRANT OPTION"], kind=list(KINDS)[1:])
@pytest.mark.parametrize("option", ["", " WITH GRANT OPTION"])
@pytest.mark.parametrize("place", ["", " IN SCHEMA public"], ids=["everywhere", "in a schema"])
@pytest.mark.parametrize("kind", KINDS)
def test_default_privileges_of_the_pair_for_itself_are_no_difference(
    postgresql: PostgreSQLLaboratory, kind: str, place: str, option: str
) -> None:
    if (kind == "LARGE OBJECTS" and postgresql.version < 180000) or (place and kind in {"SCHEMAS", "LARGE OBJECTS"}):
        return  # there are none
    pair = new_pair(postgresql)
    for owner in pair:
        for grantee in pair:
            grant = f"ALTER DEFAULT PRIVILEGES FOR ROLE {{}}{place} GRANT {KINDS[kind]} ON {kind} TO {{}}{option}"
            alter(postgresql, grant, owner.username, grantee.username)
            for user, other in (pair, pair[::-1]):
                mirror(postgresql, user, other)
                assert differences(postgresql, user, other) == []


# As whom the two act


@pytest.fixture
def acting_pair(postgresql: PostgreSQLLaboratory) -> Iterator[tuple[Credential, Credential, str]]:
    """A pair, whose secret names a database of its own, and a role that the pair can act as."""
    pair, owner = new_pair(postgresql), f"owner_{secrets.token_hex(4)}"
    alter(postgresql, "CREATE ROLE {}", owner)
    alter(postgresql, "GRANT {} TO {}", owner, pair[0].username)
    alter(postgresql, "CREATE DATABASE {} OWNER {}", owner, owner)
    user, clone = (replace(one, database=owner) for one in pair)
    yield user, clone, owner
    alter(postgresql, "DROP DATABASE {}", owner)


def acting(postgresql: PostgreSQLLaboratory, *users: Credential) -> set[tuple[object, ...]]:
    found: set[tuple[object, ...]] = set()
    for user in users:
        with postgresql.session(user) as run:
            found |= set(run("SELECT current_user, current_schemas(true)::text"))
    return found


@BOTH_WAYS
def test_a_pair_that_the_database_makes_act_as_two_is_refused_and_the_remedy_helps(
    postgresql: PostgreSQLLaboratory, acting_pair: tuple[Credential, Credential, str], current: int
) -> None:
    *pair, owner = acting_pair
    user, other = pair[current], pair[1 - current]
    alter(postgresql, "ALTER DATABASE {} SET role TO {}", owner, owner)
    assert len(acting(postgresql, *pair)) == 2
    before = dump(postgresql, (pair[0], pair[1]))
    with pytest.raises(RightsDiffer, match=f"makes {pair[0].username} act as {owner}") as raised:
        mirror(postgresql, user, other)
    assert dump(postgresql, (pair[0], pair[1])) == before
    assert any(" acts as " in text for text in differences(postgresql, user, other))
    with postgresql.session() as run:
        run(raised.value.remedy.partition(";")[0])
    mirror(postgresql, user, other)
    mirror(postgresql, other, user)
    assert differences(postgresql, other, user) == []
    [(role, _)] = acting(postgresql, *pair)
    assert role == owner


def test_a_database_that_names_a_role_that_the_pair_cannot_act_as_changes_nothing(
    postgresql: PostgreSQLLaboratory, acting_pair: tuple[Credential, Credential, str]
) -> None:
    user, clone, owner = acting_pair
    alter(postgresql, "ALTER DATABASE {} SET role TO postgres", owner)
    mirror(postgresql, user, clone)
    mirror(postgresql, clone, user)
    assert differences(postgresql, clone, user) == []
    [(role, _)] = acting(postgresql, user, clone)
    assert role == user.username


def test_a_server_that_ignores_the_role_of_a_user_is_found_out(
    postgresql: PostgreSQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As 16.5 does. Here the clone's session began before the setting was there, and this minor version is too old."""
    user, clone = new_pair(postgresql)
    major, minor = divmod(postgresql.version, 10000)
    monkeypatch.setattr(acting_module, "REPAIRED", {major: minor + 1})
    alter(postgresql, "ALTER ROLE {} RESET role", clone.username)
    with postgresql.engine.connect(clone, deadline()) as session:
        alter(postgresql, "ALTER ROLE {} SET role TO {}", clone.username, user.username)
        [difference] = session.compare(user.username, clone.username).sentences
    assert difference == (
        f"{clone.username} acts as {clone.username}, although it is set to act as {user.username}."
        f" PostgreSQL {major}.{minor + 1} repairs this, and this is {major}.{minor}"
    )


# Other databases


@pytest.fixture
def operators_database(postgresql: PostgreSQLLaboratory) -> Iterator[str]:
    """A database of a superuser's, into which nobody else is let."""
    name = f"closed_{secrets.token_hex(4)}"
    alter(postgresql, "CREATE DATABASE {}", name)
    alter(postgresql, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
    yield name
    alter(postgresql, "DROP DATABASE {}", name)


@BOTH_WAYS
def test_a_closed_database_in_which_the_clone_owns_something_is_named_before_anything_has_changed(
    postgresql: PostgreSQLLaboratory, operators_database: str, current: int
) -> None:
    pair = new_pair(postgresql)
    alter(postgresql, "CREATE TABLE public.theirs (id int)", database=operators_database)
    alter(postgresql, "ALTER TABLE public.theirs OWNER TO {}", pair[1].username, database=operators_database)
    before = dump(postgresql, pair)
    with pytest.raises(NotPermitted) as raised:
        mirror(postgresql, pair[current], pair[1 - current])
    assert dump(postgresql, pair) == before
    with postgresql.session() as run:
        run(raised.value.remedy)
    mirror(postgresql, pair[current], pair[1 - current])
    alter(postgresql, "DROP TABLE public.theirs", database=operators_database)


@BOTH_WAYS
@pytest.mark.parametrize("closed", ["no right to connect", "no connections"])
def test_a_closed_database_in_which_the_clone_has_a_right_stops_nothing_and_is_named(
    postgresql: PostgreSQLLaboratory,
    operators_database: str,
    current: int,
    closed: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pair = new_pair(postgresql)
    with postgresql.session(database=operators_database) as run:
        names = {"original": Identifier(pair[0].username), "clone": Identifier(pair[1].username)}
        run("CREATE TABLE public.t (id int)")
        run(SQL("GRANT SELECT ON public.t TO {original}, {clone}").format(**names))
    if closed == "no connections":
        alter(postgresql, "GRANT CONNECT ON DATABASE {} TO PUBLIC", operators_database)
        alter(postgresql, "ALTER DATABASE {} CONNECTION LIMIT 0", operators_database)
    with caplog.at_level(logging.WARNING, "rotation.engines"):
        mirror(postgresql, pair[current], pair[1 - current])
    assert differences(postgresql, pair[current], pair[1 - current]) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"{pair[1].username} can hold rights in databases that were not checked: {operators_database}"
    ]


@BOTH_WAYS
def test_a_right_that_both_have_is_taken_from_the_clone_so_that_no_rotation_looks_for_it_again(
    postgresql: PostgreSQLLaboratory, current: int
) -> None:
    pair, database = new_pair(postgresql), f"other_{secrets.token_hex(4)}"
    user, other = pair[current], pair[1 - current]
    alter(postgresql, "CREATE DATABASE {} OWNER {}", database, postgresql.admin.username)
    names = {"original": Identifier(pair[0].username), "clone": Identifier(pair[1].username)}
    with postgresql.session(postgresql.admin, database) as run:
        for statement in (
            "CREATE TABLE public.given (id int)",
            "GRANT SELECT ON public.given TO {original}, {clone}",
            "CREATE TABLE public.everybodys (id int)",
            "GRANT SELECT ON public.everybodys TO PUBLIC, {clone}",
            "CREATE TABLE public.theirs (id int)",
            "GRANT SELECT ON public.theirs TO {clone}",
        ):
            run(SQL(statement).format(**names))
    alter(postgresql, "ALTER TABLE public.theirs OWNER TO {}", pair[0].username, database=database)
    mirror(postgresql, user, other)
    before = logins_to(postgresql, database)
    assert differences(postgresql, user, other) == []
    mirror(postgresql, other, user)
    assert differences(postgresql, other, user) == []
    assert logins_to(postgresql, database) == before
    for who in pair:
        with postgresql.session(who, database) as run:
            for table in ("given", "everybodys", "theirs"):
                run(SQL("SELECT FROM public.{}").format(Identifier(table)))
    alter(postgresql, "DROP DATABASE {}", database)


def logins_to(postgresql: PostgreSQLLaboratory, database: str) -> int:
    return postgresql.log_text().count(f"database={database} application_name=secret-rotation")


# Signals


@pytest.mark.parametrize("way", ["as it is", "out of the role", "with pg_signal_backend"])
def test_how_an_application_ends_its_own_sessions_while_the_clone_is_current(
    postgresql: PostgreSQLLaboratory, way: str
) -> None:
    """As docs/engines/postgresql.md says: its sessions belong to the clone, and act as the original."""
    user, clone = new_pair(postgresql)
    if way == "with pg_signal_backend":
        alter(postgresql, "GRANT pg_signal_backend, pg_read_all_stats TO {}", user.username)
    with postgresql.session(clone) as one, postgresql.session(clone) as another:
        [(pid,)] = one("SELECT pg_backend_pid()")
        if way == "out of the role":
            another("SET ROLE NONE")
        if way == "as it is":
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                another("SELECT pg_cancel_backend(%s)", pid)
        else:
            assert another("SELECT pg_cancel_backend(%s)", pid) == [(True,)]
        hidden = another("SELECT query = '<insufficient privilege>' FROM pg_stat_activity WHERE pid = %s", pid)
        assert hidden == [(way == "as it is",)]
    mirror(postgresql, clone, user)
    assert differences(postgresql, clone, user) == []
