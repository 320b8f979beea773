"""What else does MariaDB promise, that MySQL does not?"""

import json
import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.engines.mariadb.session import MariaDBSession
from rotation.engines.mysql.connection import MySQLConnection
from rotation.errors import LoginBlocked, NotPermitted, PasswordRefused, StatementFailed, Unsupported
from tests.contract.contract import EngineContract
from tests.contract.mysql_kit import account, add, alter, asked, require_two, shown
from tests.contract.pairs import Pair, changed, clone_status, differences, mirror, new_clone
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory, quoted

pytestmark = pytest.mark.engine("mariadb")


class TestMariaDB(EngineContract):
    """MariaDB keeps the contract."""


LOGGER = "rotation.engines.mariadb.catalog"


def change(laboratory: MySQLLaboratory, user: Credential, new: Credential) -> None:
    with laboratory.engine.connect(user, deadline()) as session:
        session.change_own_password(new.password)


def methods(laboratory: MySQLLaboratory, user: Credential) -> list[tuple[str, str]]:
    """Return plugins and hashes of an account."""
    [(text,)] = asked(laboratory, "SELECT priv FROM mysql.global_priv WHERE user = %s", user.username)
    whole = json.loads(str(text))
    return [
        (entry["plugin"], entry.get("authentication_string", ""))
        for entry in (entry or whole for entry in whole.get("auth_or", [{}]))
    ]


def make_equal(laboratory: MySQLLaboratory, current: Credential, other: Credential) -> None:
    """Mirror, and see that the two are the same and that nothing was done to the current one."""
    before = shown(laboratory, current)
    mirror(laboratory, current, other)
    assert shown(laboratory, current) == before
    assert differences(laboratory, current, other) == []
    assert rights(laboratory, other) == rights(laboratory, current)


def rights(laboratory: MySQLLaboratory, user: Credential) -> list[str]:
    name = "`" + user.username.replace("`", "``") + "`@"
    grants = [row for row in shown(laboratory, user) if not row.startswith(("CREATE USER", "ALTER USER"))]
    plain = (row.replace(name, "`?`@").replace(f"'{user.username}'@", "`?`@") for row in grants)
    return sorted(row.partition(" IDENTIFIED ")[0] for row in plain)


@pytest.fixture
def ed25519(mariadb: MySQLLaboratory) -> str:
    """The plugin, loaded."""
    if asked(mariadb, "SELECT 1 FROM information_schema.plugins WHERE plugin_name = 'ed25519'") == []:
        alter(mariadb, "INSTALL SONAME 'auth_ed25519'")
    return "ed25519"


def new_user_with(laboratory: MySQLLaboratory, plugin: str) -> Credential:
    user = laboratory.new_user()
    alter(laboratory, f"ALTER USER {account(user)} IDENTIFIED VIA {plugin} USING PASSWORD({quoted(user.password)})")
    return user


@contextmanager
def policy(laboratory: MySQLLaboratory) -> Iterator[None]:
    """Install a plugin that judges passwords, for a while."""
    alter(laboratory, "INSTALL SONAME 'simple_password_check'")
    try:
        yield
    finally:
        alter(laboratory, "UNINSTALL SONAME 'simple_password_check'")


# Passwords


@pytest.mark.parametrize("plugin", ["mysql_native_password", "ed25519"])
@pytest.mark.parametrize("text", ["simple", "ü€ 'quotes' \" ` \\"])
def test_a_user_sets_a_hash_of_its_own_plugin(mariadb: MySQLLaboratory, ed25519: str, plugin: str, text: str) -> None:
    assert ed25519
    user = new_user_with(mariadb, plugin)
    new = replace(user, password=text + secrets.token_urlsafe())
    change(mariadb, user, new)
    assert mariadb.logs_in(new)
    assert not mariadb.logs_in(user)
    assert [name for name, _ in methods(mariadb, user)] == [plugin]
    assert new.password not in mariadb.log_text()


def test_a_clone_has_the_plugin_of_its_user(mariadb: MySQLLaboratory, ed25519: str) -> None:
    user = new_user_with(mariadb, ed25519)
    clone = new_clone(user)
    mirror(mariadb, user, clone)
    assert mariadb.logs_in(clone)
    assert methods(mariadb, clone)[0][0] == ed25519
    [_, (plugin, mark)] = methods(mariadb, clone)
    ways = f"{plugin} USING PASSWORD({quoted(clone.password)}) OR {plugin} USING {quoted(mark)}"
    alter(mariadb, f"ALTER USER {account(clone)} IDENTIFIED VIA {ways}")
    assert any("plugin" in text for text in differences(mariadb, user, clone))
    mirror(mariadb, user, clone)
    assert methods(mariadb, clone)[0][0] == ed25519
    assert differences(mariadb, user, clone) == []
    mirror(mariadb, clone, changed(user))


def test_a_policy_gets_the_clear_text_and_the_log_the_reason(
    mariadb: MySQLLaboratory, ed25519: str, caplog: pytest.LogCaptureFixture
) -> None:
    native, other = mariadb.new_user(), new_user_with(mariadb, ed25519)
    before = new_clone(native)
    mirror(mariadb, native, before)
    with policy(mariadb), caplog.at_level(logging.WARNING, LOGGER):
        for user in (other, native):
            new, clone = changed(user), changed(new_clone(user))
            change(mariadb, user, new)
            assert mariadb.logs_in(new)
            for _ in range(2):
                mirror(mariadb, new, clone)
                assert mariadb.logs_in(clone)
            assert differences(mariadb, new, clone) == []
            assert methods(mariadb, clone)[0][0] == methods(mariadb, user)[0][0]
            newer = changed(user)
            mirror(mariadb, clone, newer)
            assert mariadb.logs_in(newer)
        known, added = last(mariadb, native), changed(native)
        add(mariadb, mariadb.admin, known, added)
        assert mariadb.logs_in(known)
        assert mariadb.logs_in(added)
    assert {record.name for record in caplog.records} == {LOGGER}
    assert all("password policy" in record.getMessage() for record in caplog.records)
    assert not any("Aa1-" in record.getMessage() for record in caplog.records)


def last(mariadb: MySQLLaboratory, user: Credential) -> Credential:
    """Give the user a password that is known here."""
    new = changed(user)
    alter(mariadb, f"ALTER USER {account(user)} IDENTIFIED BY {quoted(new.password)}")
    return new


def test_a_password_against_the_policy_has_a_remedy(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    refused = pytest.raises(PasswordRefused, match=r"1819.*enough characters of each kind.*Rotate again")
    with policy(mariadb):
        with refused:
            change(mariadb, user, replace(user, password="weak"))
        with refused, mariadb.engine.connect(mariadb.admin, deadline()) as session:
            session.set_password(user.username, "weak")


def test_no_password_is_in_the_servers_log(mariadb: MySQLLaboratory, ed25519: str) -> None:
    made = []
    for plugin in ("mysql_native_password", ed25519):
        user = new_user_with(mariadb, plugin)
        new, clone = changed(user), new_clone(user)
        change(mariadb, user, new)
        mirror(mariadb, new, clone)
        made += [new, clone]
    user = mariadb.new_user()
    added = changed(user)
    add(mariadb, mariadb.admin, user, added)
    made.append(added)
    text = mariadb.log_text()
    for credential in made:
        assert credential.username in text
        assert credential.password not in text


# Two passwords


def test_an_addition_can_be_repeated_and_an_orphan_ends(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    require_two(mariadb, user)
    orphan, new, newer = changed(user), changed(user), changed(user)
    add(mariadb, mariadb.admin, user, orphan)
    for _ in range(3):
        add(mariadb, mariadb.admin, user, new)
        assert mariadb.logs_in(user)
        assert mariadb.logs_in(new)
    assert not mariadb.logs_in(orphan)
    add(mariadb, mariadb.admin, new, newer)
    assert not mariadb.logs_in(user)
    assert mariadb.logs_in(new)
    assert mariadb.logs_in(newer)


def test_a_user_cannot_keep_its_old_password_by_itself(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    with pytest.raises(NotPermitted, match='"masterarn"'):
        add(mariadb, user, user, changed(user))
    assert mariadb.logs_in(user)


def test_an_account_with_another_plugin_has_one_password(mariadb: MySQLLaboratory, ed25519: str) -> None:
    user = new_user_with(mariadb, ed25519)
    with pytest.raises(Unsupported, match=r"ed25519.*mysql_native_password alone"):
        require_two(mariadb, user)
    user = mariadb.new_user()
    alter(
        mariadb,
        f"ALTER USER {account(user)} IDENTIFIED VIA mysql_native_password USING PASSWORD({quoted(user.password)})"
        " OR unix_socket",
    )
    before = methods(mariadb, user)
    with pytest.raises(Unsupported, match="unix_socket"):
        require_two(mariadb, user)
    with pytest.raises(Unsupported, match="unix_socket"):
        add(mariadb, mariadb.admin, user, changed(user))
    assert methods(mariadb, user) == before


def test_an_account_with_another_password_is_left_alone(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    alter(mariadb, f"CREATE USER {account(user, '10.%')} IDENTIFIED BY 'another'")
    before = shown(mariadb, user, "10.%")
    add(mariadb, mariadb.admin, user, changed(user))
    assert shown(mariadb, user, "10.%") == before
    with pytest.raises(Unsupported, match="no account of"):
        add(mariadb, mariadb.admin, changed(user), changed(user))


@pytest.mark.parametrize("name", ["x IDENTIFIED VIA ed25519 OR y", "a` WITH `b", "c REQUIRE 'd'"])
def test_a_name_is_no_plugin(mariadb: MySQLLaboratory, name: str) -> None:
    user = mariadb.new_user(f"{name}{secrets.token_hex(2)}")
    require_two(mariadb, user)
    new = changed(user)
    change(mariadb, user, new)
    assert mariadb.logs_in(new)


# The pair

RIGHTS = {
    "roles": (
        [
            "GRANT `r w` TO {} WITH ADMIN OPTION",
            "GRANT `r``x TO y` TO {}",
            "GRANT lab_ro TO {}",
            "SET DEFAULT ROLE lab_ro FOR {}",
        ],
        ["REVOKE ADMIN OPTION FOR `r w` FROM {}", "SET DEFAULT ROLE `r w` FOR {}"],
    ),
    "a default role that is revoked": (
        ["GRANT lab_ro TO {}", "SET DEFAULT ROLE lab_ro FOR {}"],
        ["REVOKE lab_ro FROM {}"],
    ),
    "global": (
        ["GRANT SELECT, PROCESS ON *.* TO {} WITH GRANT OPTION"],
        ["REVOKE PROCESS, GRANT OPTION ON *.* FROM {}"],
    ),
    "patterns": (
        [r"GRANT SELECT, UPDATE ON `sh\_p`.* TO {}", "GRANT SELECT ON `we``ird TO x`.* TO {} WITH GRANT OPTION"],
        [r"REVOKE UPDATE ON `sh\_p`.* FROM {}"],
    ),
    "columns": (
        ["GRANT SELECT (id, `co,l`), INSERT, UPDATE (id) ON lab.`t ON x` TO {} WITH GRANT OPTION"],
        ["REVOKE SELECT (id), INSERT ON lab.`t ON x` FROM {}"],
    ),
    "routines": (
        ["GRANT EXECUTE ON PROCEDURE lab.`p' \"q` TO {}", "GRANT ALTER ROUTINE ON FUNCTION lab.f TO {}"],
        ["REVOKE EXECUTE ON PROCEDURE lab.`p' \"q` FROM {}"],
    ),
}

THINGS = (
    "CREATE TABLE IF NOT EXISTS lab.`t ON x` (id int, `co,l` int)",
    "CREATE PROCEDURE IF NOT EXISTS lab.`p' \"q`() SELECT 1",
    "CREATE FUNCTION IF NOT EXISTS lab.f() RETURNS int DETERMINISTIC NO SQL RETURN 1",
)

ROLES = ("`r w`", "lab_ro", "`r``x TO y`")


def make_things(mariadb: MySQLLaboratory) -> None:
    """Make what there are rights on; the roles are the admin's, who lets the superuser grant them."""
    alter(mariadb, *THINGS)
    with mariadb.session(mariadb.admin) as run:
        for role in ROLES:
            run(f"CREATE ROLE IF NOT EXISTS {role}")
            run(f"GRANT {role} TO root@'%' WITH ADMIN OPTION")


@pytest.mark.parametrize(("given", "taken"), RIGHTS.values(), ids=list(RIGHTS))
def test_rights_follow_the_current_user(
    mariadb: MySQLLaboratory, turn: Pair, given: Sequence[str], taken: Sequence[str]
) -> None:
    current, other = turn
    make_things(mariadb)
    for statements in (given, taken):
        alter(mariadb, *(statement.format(account(current)) for statement in statements))
        assert differences(mariadb, current, other)
        make_equal(mariadb, current, other)
    alter(mariadb, *(statement.format(account(other)) for statement in given))
    make_equal(mariadb, current, other)


def test_a_default_role_is_active_at_login(mariadb: MySQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    make_things(mariadb)
    alter(mariadb, "GRANT SELECT ON lab.lab_invoices TO lab_ro", f"GRANT lab_ro TO {account(user)}")
    alter(mariadb, f"SET DEFAULT ROLE lab_ro FOR {account(user)}")
    mirror(mariadb, user, clone)
    assert mariadb.may_read(clone, "lab_invoices")


def test_what_everybody_has_is_not_copied(mariadb: MySQLLaboratory, pair: Pair) -> None:
    alter(mariadb, "CREATE DATABASE IF NOT EXISTS open_")
    if not mariadb.version.startswith("10.5"):  # it knows no PUBLIC, so nobody can give everybody anything
        alter(mariadb, "GRANT SELECT ON open_.* TO PUBLIC")
    make_equal(mariadb, *pair)
    make_equal(mariadb, pair[1], changed(pair[0]))
    assert not any("open_" in row for row in shown(mariadb, pair[1]))


ATTRIBUTES = {
    "certificate": (
        "REQUIRE SUBJECT '/CN=a''b' AND ISSUER '/CN=c`d\\\\e' AND CIPHER 'TLS_AES_256_GCM_SHA384'",
        "REQUIRE X509",
    ),
    "ssl": ("REQUIRE SSL", "REQUIRE NONE"),
    "limits": (
        (
            "WITH MAX_QUERIES_PER_HOUR 1000 MAX_UPDATES_PER_HOUR 200 MAX_CONNECTIONS_PER_HOUR 300"
            " MAX_USER_CONNECTIONS 4 MAX_STATEMENT_TIME 5.5"
        ),
        "WITH MAX_QUERIES_PER_HOUR 0 MAX_STATEMENT_TIME 0",
    ),
    "expiry": ("PASSWORD EXPIRE INTERVAL 30 DAY", "PASSWORD EXPIRE NEVER"),
    "expiry by default": ("PASSWORD EXPIRE NEVER", "PASSWORD EXPIRE DEFAULT"),
}


@pytest.mark.parametrize(("given", "taken"), ATTRIBUTES.values(), ids=list(ATTRIBUTES))
def test_attributes_follow_the_current_user(mariadb: MySQLLaboratory, turn: Pair, given: str, taken: str) -> None:
    current, other = turn
    for attributes in (given, taken):
        alter(mariadb, f"ALTER USER {account(current)} {attributes}")
        assert differences(mariadb, current, other)
        make_equal(mariadb, current, other)
    alter(mariadb, f"ALTER USER {account(other)} {given}")
    make_equal(mariadb, current, other)


def test_the_clone_carries_a_mark_that_lets_nobody_in(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    clone = new_clone(user)
    with mariadb.engine.connect(mariadb.admin, deadline()) as session:
        session.mirror(user.username, clone.username)
    assert "ACCOUNT LOCK" in shown(mariadb, clone)[0]
    assert not mariadb.logs_in(replace(clone, password=""))
    mirror(mariadb, user, clone)
    [(_, own), (plugin, mark)] = methods(mariadb, clone)
    assert plugin == "mysql_native_password"
    assert mark != own
    for guess in ("", mark, mark[1:], user.username, f"rotation:{user.username}", own):
        assert not mariadb.logs_in(replace(clone, password=guess))
    assert len(methods(mariadb, user)) == 1
    # The clone changes its own password, as in the single-user strategy, and the mark stays.
    new = changed(clone)
    change(mariadb, clone, new)
    assert mariadb.logs_in(new)
    assert methods(mariadb, clone)[1] == (plugin, mark)
    assert clone_status(mariadb, user, clone) is clone_status(mariadb, clone, user) is CloneStatus.OURS


def test_a_locked_account_without_a_mark_is_not_ours(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    clone = mariadb.new_user(f"{user.username}_clone", "Aa1-" + secrets.token_urlsafe())
    alter(mariadb, f"ALTER USER {account(clone)} ACCOUNT LOCK")
    assert clone_status(mariadb, user, clone) is CloneStatus.UNKNOWN
    with policy(mariadb):
        assert clone_status(mariadb, user, clone) is CloneStatus.UNKNOWN


def test_a_clone_made_under_a_policy_is_continued_and_marked_without_it(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    clone = changed(new_clone(user))
    with policy(mariadb):
        with mariadb.engine.connect(mariadb.admin, deadline()) as session:
            session.mirror(user.username, clone.username)
        assert clone_status(mariadb, user, clone) is CloneStatus.OURS
        mirror(mariadb, user, clone)
        assert mariadb.logs_in(clone)
    mirror(mariadb, user, clone)
    assert clone_status(mariadb, user, clone) is CloneStatus.OURS


class Killed(Exception):
    """The function was stopped."""


def test_a_mirror_that_was_killed_at_any_statement_is_continued(mariadb: MySQLLaboratory, ed25519: str) -> None:
    make_things(mariadb)

    class Dying(MySQLConnection):
        lives = 0

        def execute(
            self, operation: str, statement: str, remedy: str = "", expected: frozenset[int] = frozenset()
        ) -> list[tuple[object, ...]]:
            if statement.startswith(("CREATE", "ALTER", "GRANT", "REVOKE", "SET DEFAULT")):
                if Dying.lives == 0:
                    raise Killed
                Dying.lives -= 1
            return super().execute(operation, statement, remedy, expected)

    user = new_user_with(mariadb, ed25519)
    clone = new_clone(user)
    alter(mariadb, *(statement.format(account(user)) for given, _ in RIGHTS.values() for statement in given))
    alter(mariadb, f"ALTER USER {account(user)} REQUIRE SSL PASSWORD EXPIRE NEVER")
    for lives in range(100):
        Dying.lives = lives
        with suppress(Killed), mariadb.engine.connect(mariadb.admin, deadline()) as session:
            assert isinstance(session, MariaDBSession)
            session.connection.__class__ = Dying
            session.mirror(user.username, clone.username)
            break
        assert not mariadb.logs_in(clone)
        assert clone_status(mariadb, user, clone) is (CloneStatus.OURS if lives else CloneStatus.ABSENT)
        mirror(mariadb, user, clone)
        assert differences(mariadb, user, clone) == []
        alter(mariadb, f"DROP USER {account(clone)}")
    assert lives > 8


def test_a_password_that_was_left_over_ends_in_an_alternating_pair(mariadb: MySQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    new, newer = changed(user), changed(user)
    add(mariadb, mariadb.admin, user, new)
    mirror(mariadb, new, clone)
    assert mariadb.logs_in(user)  # nothing is done to the current user
    mirror(mariadb, clone, newer)
    assert mariadb.logs_in(newer)
    assert not mariadb.logs_in(user)
    assert not mariadb.logs_in(new)


def test_several_hosts_of_a_user_are_mirrored_one_by_one(mariadb: MySQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    alter(mariadb, f"CREATE USER {account(user, '10.%')} IDENTIFIED BY 'x' REQUIRE SSL ACCOUNT LOCK")
    mirror(mariadb, user, clone)
    assert "REQUIRE SSL ACCOUNT LOCK" in shown(mariadb, clone, "10.%")[0]
    assert differences(mariadb, user, clone) == []
    assert mariadb.logs_in(clone)
    alter(mariadb, f"DROP USER {account(user, '10.%')}")
    mirror(mariadb, user, clone)
    assert asked(mariadb, "SELECT host FROM mysql.user WHERE user = %s", clone.username) == [("%",)]


def test_a_role_of_the_same_name_is_no_account(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    clone = new_clone(user)
    alter(mariadb, f"CREATE ROLE {quoted(clone.username)}")
    mirror(mariadb, user, clone)
    assert mariadb.logs_in(clone)
    mirror(mariadb, clone, changed(user))
    assert asked(mariadb, "SELECT 1 FROM mysql.user WHERE user = %s AND is_role = 'Y'", clone.username) == [(1,)]


def test_an_account_that_needs_no_password_has_no_clone(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    alter(mariadb, f"CREATE USER {account(user, 'localhost')} IDENTIFIED VIA unix_socket")
    with pytest.raises(Unsupported, match="unix_socket"):
        mirror(mariadb, user, new_clone(user))
    assert asked(mariadb, "SELECT 1 FROM mysql.user WHERE user = %s", f"{user.username}_clone") == []


def test_names_can_be_as_long_as_the_server_takes(mariadb: MySQLLaboratory) -> None:
    assert mariadb.engine.kind.username_limit == 128
    limit = 80 if mariadb.version.startswith("10.5") else 128
    user = mariadb.new_user("ü" * (limit - len("_clone")))
    clone = new_clone(user)
    make_equal(mariadb, user, clone)
    assert mariadb.logs_in(clone)
    assert len(clone.username) == limit


def test_proxies_follow_if_the_admin_can_pass_them_on(mariadb: MySQLLaboratory, turn: Pair) -> None:
    current, other = turn
    alter(mariadb, f"GRANT PROXY ON `o'r`@`10.%` TO {account(current)} WITH GRANT OPTION")
    with pytest.raises(NotPermitted, match=r"GRANT PROXY ON ''@'' TO admin WITH GRANT OPTION"):
        mirror(mariadb, current, other)
    as_superuser = replace(mariadb, admin=mariadb.superuser)
    make_equal(as_superuser, current, other)
    alter(mariadb, f"REVOKE PROXY ON `o'r`@`10.%` FROM {account(current)}")
    make_equal(as_superuser, current, other)


def test_all_privileges_on_a_database_need_an_admin_that_has_them_all(mariadb: MySQLLaboratory, turn: Pair) -> None:
    current, other = turn
    alter(mariadb, f"GRANT ALL ON lab.* TO {account(current)} WITH GRANT OPTION")
    with pytest.raises(NotPermitted, match=r"error 1044.*Let admin grant it.*GRANT ALL PRIVILEGES ON `lab`"):
        mirror(mariadb, current, other)
    as_superuser = replace(mariadb, admin=mariadb.superuser)
    make_equal(as_superuser, current, other)
    alter(mariadb, f"REVOKE ALL, GRANT OPTION FROM {account(current)}")
    mariadb.allow(current.username, "lab_orders")
    with pytest.raises(NotPermitted, match=r"error 1044.*Let admin revoke it.*REVOKE ALL PRIVILEGES ON `lab`"):
        mirror(mariadb, current, other)
    make_equal(as_superuser, current, other)


def test_a_privilege_with_an_underscore_comes_and_goes_like_any_other(mariadb: MySQLLaboratory, turn: Pair) -> None:
    current, other = turn
    as_superuser = replace(mariadb, admin=mariadb.superuser)
    for statement in (
        "GRANT READ_ONLY ADMIN, PROCESS ON *.* TO {} WITH GRANT OPTION",
        "REVOKE GRANT OPTION ON *.* FROM {}",
        "REVOKE READ_ONLY ADMIN ON *.* FROM {}",
        "GRANT READ_ONLY ADMIN ON *.* TO {} WITH GRANT OPTION",
        "REVOKE ALL PRIVILEGES, GRANT OPTION FROM {}",
    ):
        alter(mariadb, statement.format(account(current)))
        make_equal(as_superuser, current, other)


# Errors


def test_a_locked_account_and_a_user_without_password_login_are_distinguished(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    alter(mariadb, f"ALTER USER {account(user)} ACCOUNT LOCK")
    with pytest.raises(LoginBlocked, match=r"error 4151.*ACCOUNT UNLOCK"), mariadb.engine.connect(user, deadline()):
        pass


def test_an_expired_password_is_renewed_although_the_server_disconnects_other_clients(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    new = changed(user)
    alter(mariadb, f"ALTER USER {account(user)} PASSWORD EXPIRE", "SET GLOBAL disconnect_on_expired_password = 1")
    try:
        change(mariadb, user, new)
    finally:
        alter(mariadb, "SET GLOBAL disconnect_on_expired_password = 0")
    assert mariadb.logs_in(new)


def test_an_account_statement_behind_a_lock_waits_no_longer_than_the_time_allows(mariadb: MySQLLaboratory) -> None:
    user = mariadb.new_user()
    with mariadb.session() as run:
        run("FLUSH TABLES WITH READ LOCK")
        with (
            pytest.raises(StatementFailed, match=r"error (1205|1969)"),
            mariadb.engine.connect(mariadb.admin, deadline(4.0)) as session,
        ):
            session.set_password(user.username, "x")
