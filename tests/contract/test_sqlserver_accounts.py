"""Is it the account that logged in, and no other of its name, that an admin changes on SQL Server?

A user named `victim` can be a login, a user of any contained database, or nobody who could ever log in. Who owns a
database decides what of this an admin sees in it.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import cast

import pymssql
import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.engines.sqlserver.accounts import SQLServerAccount
from rotation.engines.sqlserver.connection import SQLServerConnection
from rotation.engines.sqlserver.pair import clone_sid
from rotation.errors import LoginRefused, NotPermitted, RightsDiffer, StatementFailed, Unsafe
from tests.contract.pairs import changed, clone_status, new_clone, proof_of, set_secret
from tests.contract.sqlserver_kit import agree, alter, asked, has
from tests.laboratories import INVOICES, ORDERS, deadline, new_password
from tests.laboratories.sqlserver import CONTAINED, DATABASE, SQLServerLaboratory, bracketed, quoted

pytestmark = pytest.mark.engine("sqlserver")


@dataclass(frozen=True)
class Owner:
    """Somebody who owns a contained database, and nothing else of the server."""

    login: Credential
    database: str

    def run(self, laboratory: SQLServerLaboratory, *statements: str) -> None:
        """Run statements as the owner, in that database."""
        with laboratory.session(replace(self.login, database=self.database)) as run:
            for statement in statements:
                run(statement)


@pytest.fixture
def owner(sqlserver: SQLServerLaboratory) -> Iterator[Owner]:
    """The owner of a contained database, into which the admin was let."""
    login = sqlserver.new_user()
    alter(sqlserver, f"GRANT CREATE ANY DATABASE TO {login.username}")
    database = f"hers_{secrets.token_hex(3)}"
    with sqlserver.session(replace(login, database="master")) as run:
        run(f"CREATE DATABASE {database} CONTAINMENT = PARTIAL")
    owner = Owner(login, database)
    owner.run(sqlserver, f"CREATE USER {sqlserver.admin.username} FOR LOGIN {sqlserver.admin.username}")
    yield owner
    alter(sqlserver, f"DROP DATABASE {database}")


@pytest.fixture
def victim(sqlserver: SQLServerLaboratory) -> Credential:
    """A login that belongs to somebody else."""
    return sqlserver.new_user()


def logins(laboratory: SQLServerLaboratory) -> list[tuple[object, ...]]:
    """Return what an admin could have changed of all logins."""
    return asked(laboratory, "SELECT name, sid, is_disabled, default_database_name FROM sys.sql_logins ORDER BY name")


def principals(laboratory: SQLServerLaboratory, database: str) -> list[tuple[object, ...]]:
    query = "SELECT name, sid, default_schema_name FROM sys.database_principals ORDER BY name"
    return asked(laboratory, query, database=database)


# A contained user in front of a login


def impersonated(laboratory: SQLServerLaboratory, owner: Owner, victim: Credential) -> Credential:
    """Make a user of the victim's name, as the owner, with a password of her own."""
    hers = replace(victim, password=new_password(), database=owner.database)
    owner.run(laboratory, f"CREATE USER {victim.username} WITH PASSWORD = {quoted(hers.password)}")
    return hers


def test_a_contained_user_that_the_admin_cannot_see_is_not_taken_for_the_login_of_that_name(
    sqlserver: SQLServerLaboratory, owner: Owner, victim: Credential
) -> None:
    hers = impersonated(sqlserver, owner, victim)
    owner.run(sqlserver, f"DENY VIEW DEFINITION TO {sqlserver.admin.username}")
    before = logins(sqlserver), has(sqlserver, victim.username, DATABASE)
    with pytest.raises(Unsafe, match=r"a user of a contained database.*a login of that name is somebody else.*GRANT"):
        set_secret(sqlserver, hers)
    assert (logins(sqlserver), has(sqlserver, victim.username, DATABASE)) == before
    assert sqlserver.logs_in(victim)


def test_a_contained_user_that_the_admin_sees_is_rotated_and_the_login_of_that_name_is_not(
    sqlserver: SQLServerLaboratory, owner: Owner, victim: Credential
) -> None:
    hers = impersonated(sqlserver, owner, victim)
    owner.run(sqlserver, f"ALTER ROLE db_owner ADD MEMBER {sqlserver.admin.username}")
    before = logins(sqlserver)
    pending = set_secret(sqlserver, hers)
    assert sqlserver.logs_in(pending)
    assert logins(sqlserver) == before
    assert sqlserver.logs_in(victim)


def test_the_password_of_a_contained_user_is_not_given_to_the_login_of_that_name(
    sqlserver: SQLServerLaboratory, owner: Owner, victim: Credential
) -> None:
    hers = impersonated(sqlserver, owner, victim)
    owner.run(sqlserver, f"DENY VIEW DEFINITION TO {sqlserver.admin.username}")
    proof = proof_of(sqlserver, hers)
    with (
        sqlserver.engine.connect(replace(sqlserver.admin, database=owner.database), deadline()) as session,
        pytest.raises(Unsafe, match="contained database"),
    ):
        session.require_proven(proof)
    # An operator may let the admin act upon a name alone: even so, it must see which of the two it is.
    with (
        sqlserver.engine.connect(replace(sqlserver.admin, database=owner.database), deadline()) as session,
        pytest.raises(NotPermitted, match=r"would not see .* if it is a user there.*GRANT VIEW DEFINITION"),
    ):
        session.reset_password(victim.username, new_password())
    assert sqlserver.logs_in(victim)


def test_a_contained_user_of_another_database_with_the_same_name_and_sid_is_somebody_else(
    sqlserver: SQLServerLaboratory, owner: Owner
) -> None:
    theirs = sqlserver.new_contained_user()
    [(sid,)] = asked(
        sqlserver, "SELECT sid FROM sys.database_principals WHERE name = %s", theirs.username, database=CONTAINED
    )
    assert isinstance(sid, bytes)
    hers = replace(theirs, password=new_password(), database=owner.database)
    owner.run(
        sqlserver,
        f"CREATE USER {hers.username} WITH PASSWORD = {quoted(hers.password)}, SID = 0x{sid.hex()}",
    )
    with (
        sqlserver.engine.connect(replace(sqlserver.admin, database=CONTAINED), deadline()) as session,
        pytest.raises(Unsafe, match=f"sees no such user in {CONTAINED}"),
    ):
        session.require_proven(proof_of(sqlserver, hers))


# A login in front of a contained user


def test_a_login_is_rotated_and_the_contained_users_of_its_names_are_not(
    sqlserver: SQLServerLaboratory, owner: Owner, victim: Credential
) -> None:
    clone = new_clone(victim)
    for name in (victim.username, clone.username):
        owner.run(sqlserver, f"CREATE USER {name} WITH PASSWORD = {quoted(new_password())}")
    owner.run(sqlserver, f"ALTER ROLE db_owner ADD MEMBER {sqlserver.admin.username}")
    before = principals(sqlserver, owner.database)
    # If a login may enter, nobody can have mistaken the contained user for it.
    with pytest.raises(LoginRefused):
        set_secret(sqlserver, replace(victim, database=owner.database))
    proof = proof_of(sqlserver, victim)
    with sqlserver.engine.connect(replace(sqlserver.admin, database=owner.database), deadline()) as session:
        session.require_proven(proof)
        assert session.clone_status(victim.username, clone.username) is CloneStatus.ABSENT
        session.mirror(victim.username, clone.username)
        assert session.compare(victim.username, clone.username).sentences == []
        session.set_password(clone.username, clone.password)
    assert sqlserver.may_read(clone, ORDERS)
    assert not sqlserver.logs_in(replace(clone, database=owner.database))
    assert principals(sqlserver, owner.database) == before


def test_the_user_that_a_login_is_in_a_database_has_any_name(
    sqlserver: SQLServerLaboratory, owner: Owner, victim: Credential
) -> None:
    """A user with the login's name there has not logged in, nor has an orphan."""
    lost = sqlserver.new_user()
    alter(
        sqlserver,
        f"DROP USER {victim.username}",
        f"CREATE USER alias_{victim.username} FOR LOGIN {victim.username}",
        f"GRANT SELECT ON dbo.{INVOICES} TO alias_{victim.username}",
        f"CREATE USER {victim.username} WITHOUT LOGIN",
        f"GRANT SELECT ON dbo.{ORDERS} TO {victim.username}",
        database=DATABASE,
    )
    owner.run(
        sqlserver,
        f"CREATE USER {victim.username} FOR LOGIN {lost.username}",
        f"ALTER ROLE db_owner ADD MEMBER {sqlserver.admin.username}",
    )
    alter(sqlserver, f"DROP USER {lost.username}", database=DATABASE)
    alter(sqlserver, f"DROP LOGIN {lost.username}")
    before = principals(sqlserver, owner.database)
    pending = set_secret(sqlserver, victim)
    assert sqlserver.may_read(pending, INVOICES)
    assert not sqlserver.may_read(pending, ORDERS)
    assert principals(sqlserver, owner.database) == before


def test_names_that_differ_in_case_are_one_login(sqlserver: SQLServerLaboratory, victim: Credential) -> None:
    shouted = replace(victim, username=victim.username.upper())
    pending = set_secret(sqlserver, shouted)
    assert pending.username == f"{shouted.username}_clone"
    assert sqlserver.may_read(pending, ORDERS)
    again = set_secret(sqlserver, pending)
    assert sqlserver.logs_in(again)
    assert not sqlserver.logs_in(victim)


# What an account is


def test_a_session_tells_its_account_by_who_lets_it_in_and_its_sid(
    sqlserver: SQLServerLaboratory, victim: Credential
) -> None:
    contained = sqlserver.new_contained_user()
    [(sid,)] = asked(sqlserver, "SELECT sid FROM sys.sql_logins WHERE name = %s", victim.username)
    [(number,)] = asked(sqlserver, "SELECT database_id FROM sys.databases WHERE name = %s", CONTAINED)
    of_login, of_user = (SQLServerAccount.parse(proof_of(sqlserver, user).principal) for user in (victim, contained))
    assert (of_login.database, of_login.sid) == (0, sid)
    assert of_user.database == number
    assert of_user.sid != sid
    for proof, user in ((proof_of(sqlserver, user), user) for user in (victim, contained)):
        assert (proof.username, proof.password) == (user.username, user.password)
        assert user.password not in repr(proof)
        assert str(SQLServerAccount.parse(proof.principal)) == proof.principal


def test_a_refused_statement_leaves_the_proof(sqlserver: SQLServerLaboratory, victim: Credential) -> None:
    with sqlserver.engine.connect(victim, deadline()) as session:
        before = session.proof()
        with pytest.raises(StatementFailed, match="Invalid object name"):
            session.verify(["SELECT 1 FROM dbo.nowhere"])
        assert session.proof() == before


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(0, 5, None, b"user")],
        [(7, 5, b"login", b"user")],  # of another database than the one that it is in
        [(5, 5, b"login", None)],  # it does not see itself
        [(None, 5, b"login", b"user")],
        [(0, 5, b"login", None), (5, 5, None, b"user")],
    ],
)
def test_a_session_that_does_not_tell_who_it_is_proves_nothing(rows: list[tuple[object, ...]]) -> None:
    with pytest.raises(Unsafe, match="does not tell"):
        SQLServerAccount.of_session(rows, "victim")


def test_an_account_that_logged_in_is_found_under_its_name_only(
    sqlserver: SQLServerLaboratory, victim: Credential
) -> None:
    proof = proof_of(sqlserver, victim)
    other = sqlserver.new_user()
    with sqlserver.engine.connect(sqlserver.admin, deadline()) as session:
        with pytest.raises(Unsafe, match=f'Write "username": "{victim.username}"'):
            session.require_proven(replace(proof, username=other.username))
        with pytest.raises(Unsafe, match="is not among the logins"):
            session.require_proven(replace(proof, principal=str(SQLServerAccount(0, bytes(16)))))
        session.require_proven(proof)
        session.reset_password(victim.username, (now := changed(victim)).password)
    assert [sqlserver.logs_in(one) for one in (victim, now, other)] == [False, True, True]


@pytest.mark.parametrize("name", ["admin", "superuser"])
def test_nobody_is_changed_who_is_the_admin_or_the_servers_own(sqlserver: SQLServerLaboratory, name: str) -> None:
    user: Credential = getattr(sqlserver, name)
    proof = proof_of(sqlserver, user)
    with (
        sqlserver.engine.connect(sqlserver.admin, deadline()) as session,
        pytest.raises(Unsafe, match=r"is the admin itself|the server's own"),
    ):
        session.require_proven(proof)


@pytest.mark.parametrize("kind", ["CREATE SERVER ROLE", "CREATE LOGIN"])
def test_a_server_principal_of_the_clones_name_is_left_alone(
    sqlserver: SQLServerLaboratory, victim: Credential, kind: str
) -> None:
    """A role, and a login whose password no version of the secret holds."""
    clone = new_clone(victim)
    password = "" if kind.endswith("ROLE") else f" WITH PASSWORD = {quoted(new_password())}"
    alter(sqlserver, f"{kind} {clone.username}{password}")
    query = "SELECT name, sid, type FROM sys.server_principals WHERE name = %s"
    before = asked(sqlserver, query, clone.username)
    with pytest.raises(Unsafe, match=r"is a role, or|no version of the secret has its password"):
        set_secret(sqlserver, victim)
    assert asked(sqlserver, query, clone.username) == before


def test_an_account_that_has_gone_since_it_logged_in_is_nobody(
    sqlserver: SQLServerLaboratory, victim: Credential
) -> None:
    """Another login of that name is somebody else."""
    proof = proof_of(sqlserver, victim)
    alter(sqlserver, f"DROP USER {victim.username}", database=DATABASE)
    alter(
        sqlserver,
        f"DROP LOGIN {bracketed(victim.username)}",
        f"CREATE LOGIN {victim.username} WITH PASSWORD = {quoted(new_password())}",
    )
    with (
        sqlserver.engine.connect(sqlserver.admin, deadline()) as session,
        pytest.raises(Unsafe, match="is not among the logins"),
    ):
        session.require_proven(proof)


# What is ours

type Kind = tuple[str, Callable[[SQLServerLaboratory], Credential], str]

KINDS: list[Kind] = [
    ("LOGIN", SQLServerLaboratory.new_user, "master"),
    ("USER", SQLServerLaboratory.new_contained_user, CONTAINED),
]


@pytest.fixture(params=KINDS, ids=["logins", "contained"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return cast("Kind", request.param)


def sid_of(laboratory: SQLServerLaboratory, user: Credential, kind: Kind) -> bytes:
    view = "sql_logins" if kind[0] == "LOGIN" else "database_principals"
    [(sid,)] = asked(laboratory, f"SELECT sid FROM sys.{view} WHERE name = %s", user.username, database=kind[2])  # noqa: S608
    assert isinstance(sid, bytes)
    return sid


def make_with_sid(laboratory: SQLServerLaboratory, user: Credential, kind: Kind, sid: bytes) -> None:
    """Make an account as whoever may make accounts can: its SID is chosen, to be that of somebody's clone."""
    with_ = f"PASSWORD = {quoted(user.password)}, SID = 0x{sid.hex()}"
    alter(laboratory, f"CREATE {kind[0]} {user.username} WITH {with_}", database=kind[2])
    if kind[0] == "LOGIN":
        alter(laboratory, f"CREATE USER {user.username} FOR LOGIN {user.username}", database=DATABASE)


def test_the_sid_of_a_clone_proves_nothing(sqlserver: SQLServerLaboratory, kind: Kind) -> None:
    """Neither that of the other one, nor, in the next rotation, that of the current one."""
    user = kind[1](sqlserver)
    clone = new_clone(user)
    make_with_sid(sqlserver, clone, kind, clone_sid(sid_of(sqlserver, user, kind)))
    for current, other in ((user, clone), (clone, user)):
        assert clone_status(sqlserver, current, other) is CloneStatus.UNKNOWN
        with pytest.raises(Unsafe, match="no version of the secret has its password"):
            set_secret(sqlserver, current)
        assert sqlserver.logs_in(other)


def test_what_is_written_on_ones_own_account_proves_nothing(sqlserver: SQLServerLaboratory, kind: Kind) -> None:
    """Whoever controls the current one can deny anybody to act as it."""
    user, alice = kind[1](sqlserver), kind[1](sqlserver)
    clone = new_clone(user)
    make_with_sid(sqlserver, clone, kind, sid_of(sqlserver, user, kind)[:-1] + b"?")
    alter(sqlserver, f"GRANT CONTROL ON {kind[0]}::{user.username} TO {alice.username}", database=kind[2])
    for one, another, may in ((clone, user, True), (user, clone, False)):
        refused = nullcontext() if may else pytest.raises(pymssql.Error, match="15151")
        with refused, sqlserver.session(replace(alice, database=kind[2])) as run:
            run(f"DENY IMPERSONATE ON {kind[0]}::{another.username} TO {one.username}")
    assert clone_status(sqlserver, user, clone) is CloneStatus.UNKNOWN


def test_a_pair_without_a_mark_is_proved_by_a_password_and_marked(sqlserver: SQLServerLaboratory, kind: Kind) -> None:
    """As those are that AWS's template has made, and that an older version of this project has."""
    user = kind[1](sqlserver)
    clone = new_clone(user)
    make_with_sid(sqlserver, clone, kind, clone_sid(sid_of(sqlserver, user, kind)))
    with pytest.raises(RightsDiffer, match="no rotation has recorded that they were equal"):
        set_secret(sqlserver, user, clone)
    agree(sqlserver, user, clone)
    pending = set_secret(sqlserver, user, clone)
    assert sqlserver.logs_in(pending)
    assert clone_status(sqlserver, user, clone) is clone_status(sqlserver, clone, user) is CloneStatus.OURS
    assert sqlserver.logs_in(set_secret(sqlserver, pending))


def test_a_clone_is_never_there_without_its_mark(
    sqlserver: SQLServerLaboratory, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, original = kind[1](sqlserver), SQLServerConnection.execute

    def execute(
        connection: SQLServerConnection, operation: str, statement: str, *more: str
    ) -> list[tuple[object, ...]]:
        if statement.startswith("DENY"):
            raise KeyboardInterrupt
        return original(connection, operation, statement, *more)

    monkeypatch.setattr(SQLServerConnection, "execute", execute)
    with pytest.raises(KeyboardInterrupt):
        set_secret(sqlserver, user)
    monkeypatch.setattr(SQLServerConnection, "execute", original)
    assert clone_status(sqlserver, user, new_clone(user)) is CloneStatus.ABSENT
    assert sqlserver.logs_in(set_secret(sqlserver, user))
