"""What does a preflight say of an SQL Server that is not as a rotation wants it, and does its remedy end that?"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engines.sqlserver.inspection import version
from rotation.errors import NotPermitted
from rotation.finding import Finding, Outcome
from rotation.kind import Strategy
from tests.contract.impostor import greeting, posing
from tests.contract.pairs import RecordInMemory, set_secret
from tests.contract.sqlserver_kit import alter, needs_stand_in
from tests.contract.test_preflight import bad, looked
from tests.contract.test_sqlserver_logins import expire
from tests.laboratories import deadline, new_password
from tests.laboratories.sqlserver import CONTAINED, DATABASE, DRIVER, SQLServerLaboratory, bracketed, quoted
from tests.local.stand_ins.sqlserver import server as sqlserver_server

pytestmark = pytest.mark.engine("sqlserver")

SINGLE, ALTERNATING = Strategy.SINGLE_USER, Strategy.ALTERNATING_USERS
ON_SERVER = ("VIEW ANY DEFINITION", "ALTER ANY LOGIN")
LOOKS = ("SELECT ", "USE ", "use ", "SET LOCK_TIMEOUT ", "BEGIN TRANSACTION", "ROLLBACK TRANSACTION")


def with_rotator(sqlserver: SQLServerLaboratory, *permissions: str, database: str = DATABASE) -> SQLServerLaboratory:
    """Return the laboratory with an admin that has these permissions on the server, and a user in a database."""
    name = f"rotator_{secrets.token_hex(4)}"
    admin = replace(sqlserver.admin, username=name, password=new_password())
    alter(sqlserver, f"CREATE LOGIN {name} WITH PASSWORD = {quoted(admin.password)}, CHECK_POLICY = OFF")
    alter(sqlserver, *(f"GRANT {permission} TO {name}" for permission in permissions))
    alter(sqlserver, f"CREATE USER {name} FOR LOGIN {name}", database=database)
    sqlserver.admins.add(name)
    return replace(sqlserver, admin=admin)


def own(sqlserver: SQLServerLaboratory, database: str = DATABASE) -> None:
    """Let the admin do everything in a database."""
    alter(sqlserver, f"ALTER ROLE db_owner ADD MEMBER {sqlserver.admin.username}", database=database)


def pair_of(sqlserver: SQLServerLaboratory, user: Credential) -> Mapping[str, Finding]:
    """Take a preflight of a pair."""
    return looked(sqlserver, user, ALTERNATING, through_admin=True)


def single(sqlserver: SQLServerLaboratory, user: Credential, *, admin: bool = False) -> Mapping[str, Finding]:
    """Take a preflight of a single user."""
    return looked(sqlserver, user, SINGLE, through_admin=admin)


def obey(sqlserver: SQLServerLaboratory, finding: Finding) -> str:
    """Run the statements of a remedy as the superuser, in master, and return them."""
    statements = finding.remedy.removeprefix("Run ").removeprefix("in master: ").removesuffix(", in master")
    alter(sqlserver, statements)
    return statements


def policed(sqlserver: SQLServerLaboratory) -> Credential:
    """Make a login with CHECK_POLICY, as SQL Server does by itself."""
    return sqlserver.new_user(password=f"Aa1-{new_password()}"[:40], policy=True)


class TestTheAdmin:
    """What an admin lacks is said as statements, which are enough."""

    def test_lacks_permissions_and_gets_them_one_after_the_other(self, sqlserver: SQLServerLaboratory) -> None:
        rotator, user = with_rotator(sqlserver, "VIEW ANY DEFINITION"), sqlserver.new_user()
        ran = []
        while (finding := pair_of(rotator, user)["admin's rights"]).outcome is Outcome.FAIL:
            ran.append(obey(sqlserver, finding))
        name = rotator.admin.username
        assert ran == [
            f"GRANT ALTER ANY LOGIN TO [{name}]",
            f"USE [{DATABASE}]; ALTER ROLE db_owner ADD MEMBER [{name}]",
        ]
        assert finding.outcome is Outcome.PASS
        set_secret(rotator, user)

    def test_lacks_what_the_user_has_on_the_server(self, sqlserver: SQLServerLaboratory) -> None:
        rotator, user = with_rotator(sqlserver, *ON_SERVER), sqlserver.new_user()
        own(rotator)
        role, name = f"role_{secrets.token_hex(4)}", rotator.admin.username
        alter(
            sqlserver,
            f"CREATE SERVER ROLE {role}",
            *(f"ALTER SERVER ROLE {one} ADD MEMBER {user.username}" for one in ("serveradmin", role)),
            f"GRANT ALTER TRACE TO {user.username}",
            f"GRANT VIEW SERVER STATE TO {name} WITH GRANT OPTION",
            f"GRANT VIEW SERVER STATE TO {user.username}",
        )
        with pytest.raises(NotPermitted):
            set_secret(rotator, user, pair=(record := RecordInMemory()))
        finding = pair_of(rotator, user)["admin's rights"]
        assert finding.outcome is Outcome.FAIL
        assert obey(sqlserver, finding).split("; ") == [
            f"GRANT ALTER ON SERVER ROLE::[{role}] TO [{name}]",
            f"ALTER SERVER ROLE [serveradmin] ADD MEMBER [{name}]",
            f"GRANT ALTER TRACE TO [{name}] WITH GRANT OPTION",
        ]
        assert pair_of(rotator, user)["admin's rights"].outcome is Outcome.PASS
        set_secret(rotator, user, pair=record)

    def test_has_through_a_role_what_it_needs(self, sqlserver: SQLServerLaboratory) -> None:
        rotator, user = with_rotator(sqlserver, *ON_SERVER), sqlserver.new_user()
        own(rotator)
        role = f"role_{secrets.token_hex(4)}"
        alter(
            sqlserver,
            f"CREATE SERVER ROLE {role}",
            f"GRANT ALTER TRACE TO {role} WITH GRANT OPTION",
            f"ALTER SERVER ROLE {role} ADD MEMBER {rotator.admin.username}",
            f"GRANT ALTER TRACE TO {user.username}",
        )
        assert pair_of(rotator, user)["admin's rights"].outcome is Outcome.PASS

    def test_needs_no_option_for_rights_on_logins(self, sqlserver: SQLServerLaboratory) -> None:
        rotator, user, somebody = with_rotator(sqlserver, *ON_SERVER), sqlserver.new_user(), sqlserver.new_user()
        own(rotator)
        alter(sqlserver, f"GRANT VIEW DEFINITION ON LOGIN::{somebody.username} TO {user.username}")
        assert pair_of(rotator, user)["admin's rights"].outcome is Outcome.PASS
        set_secret(rotator, user)

    def test_alters_one_login_and_one_role_without_a_permission_for_all(self, sqlserver: SQLServerLaboratory) -> None:
        rotator, user = with_rotator(sqlserver, "VIEW ANY DEFINITION"), sqlserver.new_user()
        name = rotator.admin.username
        finding = single(rotator, user, admin=True)["admin's rights"]
        assert finding.outcome is Outcome.WARN
        assert finding.remedy == f"Run in master: GRANT ALTER ANY LOGIN TO [{name}]"
        alter(sqlserver, f"GRANT ALTER ON LOGIN::{user.username} TO {name}")
        assert single(rotator, user, admin=True)["admin's rights"].outcome is Outcome.PASS

    def test_cannot_change_who_controls_the_server(self, sqlserver: SQLServerLaboratory) -> None:
        rotator, user = with_rotator(sqlserver, *ON_SERVER), sqlserver.new_user()
        own(rotator)
        alter(sqlserver, f"GRANT CONTROL SERVER TO {user.username}")
        findings = single(rotator, user, admin=True)
        assert "admin's triggers" not in findings
        finding = findings["admin's rights"]
        assert finding.outcome is Outcome.WARN, "the user changes its own password"
        assert "GRANT CONTROL SERVER TO" in finding.remedy
        finding = pair_of(rotator, user)["admin's rights"]
        assert finding.outcome is Outcome.FAIL
        obey(sqlserver, finding)
        assert pair_of(rotator, user)["admin's rights"].outcome is Outcome.PASS

    def test_is_warned_if_it_is_no_owner_of_the_database(self, sqlserver: SQLServerLaboratory) -> None:
        rotator, user = with_rotator(sqlserver, *ON_SERVER), sqlserver.new_user()
        alter(sqlserver, f"GRANT ALTER ANY USER TO {rotator.admin.username}", database=DATABASE)
        finding = pair_of(rotator, user)["admin's rights"]
        assert finding.outcome is Outcome.WARN
        obey(sqlserver, finding)
        assert pair_of(rotator, user)["admin's rights"].outcome is Outcome.PASS

    def test_does_not_fire_what_others_wrote(self, sqlserver: SQLServerLaboratory, database: str) -> None:
        user = sqlserver.new_user()
        alter(sqlserver, f"CREATE USER {user.username} FOR LOGIN {user.username}", database=database)
        assert pair_of(sqlserver, user)["admin's triggers"].outcome is Outcome.PASS
        trigger = "CREATE TRIGGER trap ON DATABASE FOR CREATE_USER AS GRANT CONTROL TO public"
        alter(sqlserver, trigger, database=database)
        finding = pair_of(sqlserver, user)["admin's triggers"]
        assert finding.outcome is Outcome.FAIL
        alter(sqlserver, "DISABLE TRIGGER [trap] ON DATABASE", database=database)
        assert "DISABLE TRIGGER [trap] ON DATABASE" in finding.remedy
        assert pair_of(sqlserver, user)["admin's triggers"].outcome is Outcome.PASS


class TestTheServer:
    """What the server shows, and what it does not."""

    def test_does_not_show_the_policy_that_it_checks(
        self, sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = policed(sqlserver)
        findings = single(sqlserver, user)
        assert {findings[item].outcome for item in ("lockout", "password rules")} == {Outcome.NOT_LOOKED_AT}
        monkeypatch.setenv("REQUIRE_EACH_INCLUDED_TYPE", "false")
        finding = single(sqlserver, user)["password rules"]
        assert finding.outcome is Outcome.WARN
        assert "REQUIRE_EACH_INCLUDED_TYPE" in finding.remedy
        alter(sqlserver, f"ALTER LOGIN {user.username} WITH CHECK_POLICY = OFF")
        findings = single(sqlserver, user)
        assert {findings[item].outcome for item in ("lockout", "password rules")} == {Outcome.PASS}

    def test_holds_replicas(self, sqlserver: SQLServerLaboratory, database: str) -> None:
        user = replace(sqlserver.new_user(), database="master")
        assert replica(sqlserver, user).outcome is Outcome.PASS
        with changed(sqlserver, database, "HADR AVAILABILITY GROUP = ag", "HADR OFF"):
            needs_stand_in(sqlserver)
            finding = replica(sqlserver, user)
            assert finding.outcome is Outcome.WARN
            assert database in finding.said
        alter(sqlserver, f"DENY VIEW ANY DATABASE TO {user.username}")
        assert replica(sqlserver, user).outcome is Outcome.NOT_LOOKED_AT

    def test_is_a_replica_that_can_be_read(self, sqlserver: SQLServerLaboratory) -> None:
        needs_stand_in(sqlserver)
        user, contained = sqlserver.new_user(), sqlserver.new_contained_user()
        for one in (DATABASE, CONTAINED):
            alter(sqlserver, f"ALTER DATABASE {one} SET HADR AVAILABILITY GROUP = readable")
        try:
            login, alone = single(sqlserver, user), single(sqlserver, contained)
        finally:
            alter(sqlserver, *(f"ALTER DATABASE {one} SET HADR OFF" for one in (DATABASE, CONTAINED)))
        assert bad(login, Outcome.FAIL) == {}
        assert list(bad(alone, Outcome.FAIL)) == ["rights"]
        assert DATABASE in login["replica"].said
        assert CONTAINED not in login["replica"].said
        assert {one.outcome for one in (login["replica"], alone["replica"])} == {Outcome.WARN}
        assert 'Name the primary in "host"' in alone["rights"].remedy

    def test_is_read_only_where_contained_users_are(self, sqlserver: SQLServerLaboratory) -> None:
        user = sqlserver.new_contained_user()
        assert bad(single(sqlserver, user), Outcome.FAIL) == {}
        with changed(sqlserver, CONTAINED, "READ_ONLY", "READ_WRITE"):
            alone, pair = single(sqlserver, user), pair_of(sqlserver, user)
        assert list(bad(alone, Outcome.FAIL)) == ["rights"]
        assert "admin's rights" in bad(pair, Outcome.FAIL)
        assert alone["rights"].remedy == f"Run ALTER DATABASE [{CONTAINED}] SET READ_WRITE"

    def test_is_read_only_and_no_login_minds(self, sqlserver: SQLServerLaboratory) -> None:
        user = sqlserver.new_user()
        with changed(sqlserver, DATABASE, "READ_ONLY", "READ_WRITE"):
            findings = single(sqlserver, user, admin=True)
        assert bad(findings, Outcome.FAIL) == {}
        assert "read-only" in findings["replica"].said

    def test_says_nothing_to_an_expired_password(self, sqlserver: SQLServerLaboratory) -> None:
        user = policed(sqlserver)
        expire(sqlserver, user)
        findings = single(sqlserver, user)
        assert findings["login"].outcome is Outcome.PASS
        assert findings["expiry"].outcome is Outcome.WARN
        assert {findings[item].outcome for item in ("version", "replica", "rights")} == {Outcome.NOT_LOOKED_AT}

    def test_changes_nothing_and_locks_nobody(self, sqlserver: SQLServerLaboratory) -> None:
        needs_stand_in(sqlserver)
        log, user = sqlserver.log, sqlserver.new_user()
        assert log
        before, refused = len(log.received), log.refused
        findings = pair_of(sqlserver, user)
        assert bad(findings, Outcome.FAIL) == {}
        heard = [one.text.strip() for one in log.received[before:] if one.program == DRIVER]
        assert heard
        assert [text for text in heard if not text.startswith(LOOKS)] == []
        assert log.refused == refused


class TestContainedUsers:
    """A contained user's admin acts in its database."""

    @pytest.mark.parametrize("strategy", [SINGLE, ALTERNATING])
    def test_pass(self, sqlserver: SQLServerLaboratory, strategy: Strategy) -> None:
        user = sqlserver.new_contained_user()
        findings = looked(sqlserver, user, strategy, through_admin=True)
        assert bad(findings, Outcome.FAIL) == {}
        assert {findings[item].outcome for item in ("lockout", "admin's rights", "admin's triggers")} == {Outcome.PASS}
        assert findings["password rules"].outcome is Outcome.NOT_LOOKED_AT, "no contained user has CHECK_POLICY = OFF"

    def test_need_an_owner(self, sqlserver: SQLServerLaboratory) -> None:
        rotator, user = with_rotator(sqlserver, database=CONTAINED), sqlserver.new_contained_user()
        name = rotator.admin.username
        alter(sqlserver, f"GRANT VIEW DEFINITION TO {name}", database=CONTAINED)
        finding = pair_of(rotator, user)["admin's rights"]
        assert finding.outcome is Outcome.FAIL
        statement, _, place = finding.remedy.partition(", in the database ")
        assert (statement, place) == (f"GRANT ALTER ANY USER TO [{name}]", CONTAINED)
        alter(sqlserver, statement, database=CONTAINED)
        finding = pair_of(rotator, user)["admin's rights"]
        assert finding.outcome is Outcome.WARN
        obey(sqlserver, finding)
        assert pair_of(rotator, user)["admin's rights"].outcome is Outcome.PASS


class TestReaching:
    """Before the login."""

    def test_a_server_without_tls_gets_no_login(
        self, sqlserver: SQLServerLaboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with sqlserver_server.start(has_tls=False) as server:
            monkeypatch.setenv("DB_CA_BUNDLE", str(server.ca_bundle))
            user = replace(sqlserver.superuser, host=server.host, port=server.port)
            findings = single(sqlserver, user)
            assert server.log.tried == 0
        assert list(bad(findings, Outcome.FAIL)) == ["network"]
        assert findings["TCP"].outcome is Outcome.PASS
        assert '"ssl": false' in findings["network"].remedy

    def test_another_engine_is_named_and_learns_nothing(self, sqlserver: SQLServerLaboratory) -> None:
        with posing(lambda line: line.say(greeting())) as impostor:
            user = replace(sqlserver.superuser, port=impostor.port)
            findings = single(sqlserver, user)
        assert list(bad(findings, Outcome.FAIL)) == ["network"]
        assert "MySQL" in findings["network"].said
        assert findings["login"].outcome is Outcome.NOT_LOOKED_AT
        assert user.username.encode("utf-16-le") not in impostor.heard

    @pytest.mark.parametrize(
        ("number", "words"),
        [
            ("13.0.5026.0", "SQL Server 2016"),
            ("17.0.1000.7", "SQL Server 2025"),
            ("12.0.2000.8", "of 2016 to 2025"),
        ],
    )
    def test_a_version_is_named_and_nobody_claims_to_have_tried_it(self, number: str, words: str) -> None:
        finding = version(number)
        assert finding.outcome is Outcome.WARN
        assert words in finding.said


def replica(sqlserver: SQLServerLaboratory, user: Credential) -> Finding:
    """Return what a session says about replicas."""
    with sqlserver.engine.connect(user, deadline()) as session:
        return {finding.item: finding for finding in session.inspect_server()}["replica"]


@contextmanager
def changed(sqlserver: SQLServerLaboratory, database: str, change: str, back: str) -> Iterator[None]:
    """Change a setting of a database until the block ends."""
    alter(sqlserver, f"ALTER DATABASE {bracketed(database)} SET {change}")
    try:
        yield
    finally:
        alter(sqlserver, f"ALTER DATABASE {bracketed(database)} SET {back}")
