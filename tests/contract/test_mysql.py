"""What else does MySQL promise, and what do MySQL and MariaDB promise together?"""

import fcntl
import json
import re
import secrets
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.engines.mysql import MySQL, catalog
from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.session import MySQLSession
from rotation.engines.mysql.two_passwords import TwoPasswords
from rotation.errors import (
    DatabaseError,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    StatementFailed,
    Unreachable,
    Unsafe,
    Unsupported,
    Untrusted,
)
from tests.contract.impostor import greeting
from tests.contract.mysql_accounts import Pair, account, alter, asked, changed, differences, mirror, new_clone
from tests.laboratories import deadline
from tests.laboratories_mysql import MySQLLaboratory, quoted
from tests.local.servers import mysql as mysql_server
from tests.servers import mysql_laboratory


def definition(laboratory: MySQLLaboratory, user: Credential) -> list[str]:
    """Return all that the server says of an account, from its tables and not from its memory, but for our mark."""
    with laboratory.session() as run:
        run("FLUSH PRIVILEGES")
        rows = (*run(f"SHOW CREATE USER {account(user)}"), *run(f"SHOW GRANTS FOR {account(user)}"))
    notes = {key: value for key, value in attributes(laboratory, user).items() if key != "rotation"}
    return [*(str(row[0]).partition(" ATTRIBUTE ")[0] for row in rows), json.dumps(notes, sort_keys=True)]


def attributes(laboratory: MySQLLaboratory, user: Credential) -> dict[str, object]:
    """Return what is noted at an account."""
    query = "SELECT attribute FROM information_schema.user_attributes WHERE user = %s AND host = '%%'"
    [(text,)] = asked(laboratory, query, user.username)
    noted: dict[str, object] = json.loads(str(text or "{}"))
    return noted


def anonymous(laboratory: MySQLLaboratory, user: Credential) -> list[str]:
    """Return the same without name, password and mark, columns in one order."""
    name = "`" + user.username.replace("`", "``") + "`@"
    texts = []
    for row in definition(laboratory, user):
        text = re.sub(r" AS .*?(?= (DEFAULT ROLE|REQUIRE) )", "", row.replace(name, "`?`@"), flags=re.DOTALL)
        texts.append(re.sub(r"\(([^)]*)\)", lambda columns: ",".join(sorted(columns[1].split(", "))), text))
    return sorted(texts)


def make_equal(laboratory: MySQLLaboratory, current: Credential, other: Credential) -> None:
    """Mirror, and see that the two are the same and that nothing but our mark was written to the current one."""
    before = definition(laboratory, current)
    mirror(laboratory, current, other)
    assert definition(laboratory, current) == before
    assert anonymous(laboratory, other) == anonymous(laboratory, current)
    assert differences(laboratory, current, other) == []


@contextmanager
def setting(laboratory: MySQLLaboratory, name: str, value: str) -> Iterator[None]:
    """Have a global setting of the server for a while."""
    [(before,)] = asked(laboratory, f"SELECT @@GLOBAL.{name}")
    alter(laboratory, f"SET GLOBAL {name} = {value}")
    try:
        yield
    finally:
        alter(laboratory, f"SET GLOBAL {name} = {quoted(str(before)) if isinstance(before, str) else before}")


@pytest.fixture
def pair(mysql: MySQLLaboratory) -> Pair:
    """A user and its clone, mirrored once, both logging in."""
    user = mysql.new_user()
    clone = new_clone(user)
    mirror(mysql, user, clone)
    return user, clone


@pytest.fixture(params=[False, True], ids=["forth", "back"])
def turn(request: pytest.FixtureRequest, pair: Pair) -> Pair:
    """The pair, the current one first: each of the two once."""
    return (pair[1], pair[0]) if request.param else pair


# Rights

RIGHTS = {
    "static": (["GRANT PROCESS, RELOAD ON *.* TO {}"], ["REVOKE PROCESS ON *.* FROM {}"]),
    "static with grant option": (
        ["GRANT PROCESS ON *.* TO {} WITH GRANT OPTION"],
        ["REVOKE GRANT OPTION ON *.* FROM {}"],
    ),
    "dynamic": (["GRANT XA_RECOVER_ADMIN, ROLE_ADMIN ON *.* TO {}"], ["REVOKE ROLE_ADMIN ON *.* FROM {}"]),
    "dynamic with grant option": (
        ["GRANT ROLE_ADMIN ON *.* TO {} WITH GRANT OPTION", "GRANT XA_RECOVER_ADMIN ON *.* TO {}"],
        ["REVOKE ROLE_ADMIN ON *.* FROM {}", "GRANT ROLE_ADMIN ON *.* TO {}"],
    ),
    "dynamic keeps a grant option that static loses": (
        [
            "GRANT PROCESS ON *.* TO {} WITH GRANT OPTION",
            "GRANT ROLE_ADMIN ON *.* TO {} WITH GRANT OPTION",
            "GRANT XA_RECOVER_ADMIN ON *.* TO {}",
        ],
        ["REVOKE GRANT OPTION ON *.* FROM {}", "GRANT ROLE_ADMIN ON *.* TO {} WITH GRANT OPTION"],
    ),
    "grant option comes later": (
        ["GRANT PROCESS ON *.* TO {}", "GRANT ROLE_ADMIN ON *.* TO {}"],
        ["GRANT PROCESS ON *.* TO {} WITH GRANT OPTION", "GRANT ROLE_ADMIN ON *.* TO {} WITH GRANT OPTION"],
    ),
    "database patterns": (
        [r"GRANT SELECT, UPDATE ON `sh\_p`.* TO {}", "GRANT SELECT ON `a%`.* TO {} WITH GRANT OPTION"],
        [r"REVOKE UPDATE ON `sh\_p`.* FROM {}", "REVOKE ALL PRIVILEGES ON `a%`.* FROM {}"],
    ),
    "hostile databases": (
        ["GRANT SELECT ON `we``ird TO x`.* TO {}", 'GRANT INSERT ON `it\'s ON "x".*`.* TO {}'],
        ["REVOKE SELECT ON `we``ird TO x`.* FROM {}"],
    ),
    "all privileges": (["GRANT ALL ON lab.* TO {} WITH GRANT OPTION"], ["REVOKE DROP, GRANT OPTION ON lab.* FROM {}"]),
    "all privileges at once": (
        ["GRANT ALL ON lab.* TO {} WITH GRANT OPTION"],
        ["REVOKE ALL ON lab.* FROM {}", "REVOKE GRANT OPTION ON lab.* FROM {}"],
    ),
    "all privileges on a table": (
        ["GRANT ALL ON lab.`t ON x` TO {}"],
        ["REVOKE ALL ON lab.`t ON x` FROM {}", "GRANT SELECT (`co,l`) ON lab.`t ON x` TO {}"],
    ),
    "columns": (
        ["GRANT SELECT (id, `co,l`), INSERT, UPDATE (id), REFERENCES (id) ON lab.`t ON x` TO {} WITH GRANT OPTION"],
        ["REVOKE SELECT (id), INSERT, UPDATE (id) ON lab.`t ON x` FROM {}"],
    ),
    "a column remains of a table": (
        ["GRANT SELECT, SELECT (id) ON lab.`t ON x` TO {}"],
        ["REVOKE SELECT ON lab.`t ON x` FROM {}", "GRANT SELECT (id) ON lab.`t ON x` TO {}"],
    ),
    "routines": (
        [
            "GRANT EXECUTE ON PROCEDURE lab.`p' \"q` TO {}",
            "GRANT EXECUTE, ALTER ROUTINE ON FUNCTION lab.f TO {} WITH GRANT OPTION",
        ],
        ["REVOKE EXECUTE ON FUNCTION lab.f FROM {}", "REVOKE ALTER ROUTINE ON FUNCTION lab.f FROM {}"],
    ),
    "roles": (
        [
            "GRANT `r w`, `r``x TO y`@'10.%' TO {} WITH ADMIN OPTION",
            "GRANT lab_ro TO {}",
            "SET DEFAULT ROLE `r w`, lab_ro TO {}",
        ],
        ["REVOKE `r w` FROM {}", "GRANT `r w` TO {}", "SET DEFAULT ROLE `r w` TO {}"],
    ),
}

THINGS = (
    "CREATE TABLE IF NOT EXISTS lab.`t ON x` (id int, `co,l` int)",
    "CREATE PROCEDURE IF NOT EXISTS lab.`p' \"q`() SELECT 1",
    "CREATE FUNCTION IF NOT EXISTS lab.f() RETURNS int DETERMINISTIC NO SQL RETURN 1",
    "CREATE ROLE IF NOT EXISTS `r w`, lab_ro, `r``x TO y`@'10.%'",
)


@pytest.mark.parametrize(("given", "taken"), RIGHTS.values(), ids=list(RIGHTS))
def test_rights_follow_the_current_user(
    mysql: MySQLLaboratory, turn: Pair, given: Sequence[str], taken: Sequence[str]
) -> None:
    current, other = turn
    alter(mysql, *THINGS)
    plain = anonymous(mysql, current)
    for statements in (given, taken):
        alter(mysql, *(statement.format(account(current)) for statement in statements))
        assert differences(mysql, current, other)
        make_equal(mysql, current, other)
    # What the other one has besides goes, whatever it is: also where it is the current user that has less.
    alter(mysql, *(statement.format(account(other)) for statement in given))
    make_equal(mysql, current, other)
    alter(mysql, f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account(current)}")
    mysql.allow(current.username, "lab_orders")
    alter(mysql, f"REVOKE `r w`, lab_ro, `r``x TO y`@'10.%' FROM {account(current)}")
    make_equal(mysql, current, other)
    assert anonymous(mysql, other) == plain


def test_a_default_role_is_active_at_login(mysql: MySQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    alter(mysql, *THINGS, "GRANT SELECT ON lab.lab_invoices TO lab_ro", f"GRANT lab_ro TO {account(user)}")
    alter(mysql, f"SET DEFAULT ROLE lab_ro TO {account(user)}")
    mirror(mysql, user, clone)
    assert mysql.may_read(clone, "lab_invoices")


def test_partial_revokes_follow_and_are_never_missing_for_an_instant(mysql: MySQLLaboratory, turn: Pair) -> None:
    current, other = turn
    alter(mysql, f"GRANT SELECT, INSERT ON *.* TO {account(current)}")
    with setting(mysql, "partial_revokes", "ON"):
        alter(mysql, f"REVOKE INSERT ON mysql.* FROM {account(current)}")
        alter(mysql, rf"REVOKE SELECT ON `sh\_p`.* FROM {account(current)}")  # noqa: S608 - a name of our own
        assert differences(mysql, current, other)
        assert is_locked_before(mysql, current, other, "REVOKE INSERT ON `mysql`")
        make_equal(mysql, current, other)
        alter(mysql, f"GRANT INSERT ON mysql.* TO {account(current)}")
        make_equal(mysql, current, other)
        alter(mysql, f"REVOKE SELECT, INSERT ON *.* FROM {account(current)}")
        make_equal(mysql, current, other)


def is_locked_before(mysql: MySQLLaboratory, current: Credential, other: Credential, at: str) -> bool:
    """Mirror, and tell whether the other one was locked when a statement that begins so was about to be run."""
    locked: list[bool] = []

    class Watching(MySQLConnection):
        def execute(
            self, operation: str, statement: str, remedy: str = "", expected: frozenset[int] = frozenset()
        ) -> list[tuple[object, ...]]:
            if statement.startswith(at):
                locked.append(not mysql.logs_in(other))
            return super().execute(operation, statement, remedy, expected)

    with watched(mysql, Watching) as session:
        session.mirror(current.username, other.username)
    return bool(locked) and all(locked)


@contextmanager
def watched(mysql: MySQLLaboratory, kind: type[MySQLConnection]) -> Iterator[MySQLSession]:
    """Log in as the admin with a connection of another class."""
    with mysql.engine.connect(mysql.admin, deadline()) as session:
        assert isinstance(session, MySQLSession)
        session.connection.__class__ = kind
        yield session


def test_grants_on_what_is_gone_do_not_stand_in_the_way(mysql: MySQLLaboratory, turn: Pair) -> None:
    current, other = turn
    schema = f"gone_{current.username}"
    alter(
        mysql,
        f"CREATE DATABASE {schema}",
        f"CREATE TABLE {schema}.t (id int, c int)",
        f"CREATE TABLE {schema}.u (id int, c int)",
        f"CREATE PROCEDURE {schema}.p() SELECT 1",
        f"GRANT SELECT, INSERT (id) ON {schema}.t TO {account(current)} WITH GRANT OPTION",
        f"GRANT SELECT (id), SELECT (c) ON {schema}.u TO {account(current)}",
        f"GRANT EXECUTE ON PROCEDURE {schema}.p TO {account(current)}",
        f"GRANT CREATE ON {schema}.future TO {account(current)}",
        f"ALTER TABLE {schema}.u DROP COLUMN c",
        f"DROP TABLE {schema}.t",
    )
    assert mirrored_differences(mysql, current, other) == []
    rights = anonymous(mysql, other)
    assert f"GRANT SELECT `id` ON `{schema}`.`u` TO `?`@`%`" in rights
    assert f"GRANT CREATE ON `{schema}`.`future` TO `?`@`%`" in rights
    alter(mysql, f"DROP DATABASE {schema}")
    assert mirrored_differences(mysql, current, other) == []
    alter(mysql, f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account(current)}")
    make_equal(mysql, current, other)


def mirrored_differences(mysql: MySQLLaboratory, user: Credential, other: Credential) -> list[str]:
    """Mirror, and compare in the same session, as setSecret does: it has learned what is gone."""
    with mysql.engine.connect(mysql.admin, deadline()) as session:
        session.mirror(user.username, other.username)
        return list(session.differences(user.username, other.username))


def test_what_the_admin_cannot_see_is_not_taken_for_gone(mysql: MySQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    alter(mysql, *THINGS)
    for right in ("SELECT ON lab.lab_invoices", "EXECUTE ON FUNCTION lab.f"):
        poor = poor_admin(mysql)
        alter(mysql, f"GRANT {right} TO {account(user)}")
        with (
            pytest.raises(NotPermitted, match=r"giving .* the grants of"),
            mysql.engine.connect(poor, deadline()) as session,
        ):
            session.mirror(user.username, clone.username)
        alter(mysql, f"REVOKE {right} FROM {account(user)}")


def poor_admin(mysql: MySQLLaboratory) -> Credential:
    """An admin that may make users, and grant nothing."""
    admin = mysql.new_user(f"admin_{secrets.token_hex(4)}")
    alter(
        mysql,
        f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account(admin)}",
        f"GRANT CREATE USER ON *.* TO {account(admin)}",
        f"GRANT SELECT ON mysql.* TO {account(admin)}",
    )
    return replace(admin, database=None)


def test_a_right_that_the_admin_may_not_grant_is_named_with_the_remedy(mysql: MySQLLaboratory, turn: Pair) -> None:
    current, other = turn
    before = definition(mysql, current)
    for right in ("FILE ON *.*", "SHUTDOWN ON *.*", "SUPER ON *.*"):
        alter(mysql, f"GRANT {right} TO {account(current)}")
        # The server's number is 1045 here, as for a wrong password.
        with pytest.raises(NotPermitted, match=r"error 1045.*WITH GRANT OPTION.*: GRANT "):
            mirror(mysql, current, other)
        alter(mysql, f"REVOKE {right} FROM {account(current)}")
    assert definition(mysql, current) == before


def test_an_admin_that_may_read_two_columns_of_the_accounts_is_told_the_remedy(
    mysql: MySQLLaboratory, pair: Pair
) -> None:
    admin = poor_admin(mysql)
    alter(mysql, f"REVOKE SELECT ON mysql.* FROM {account(admin)}")  # noqa: S608 - a name of our own
    for grant in ("", "GRANT SELECT (user, host) ON mysql.user TO "):
        if grant:
            alter(mysql, grant + account(admin))
        with pytest.raises(NotPermitted, match=r"GRANT SELECT ON mysql\.\*"):
            mirror(replace(mysql, admin=admin), *pair)


def test_system_user_is_copied_only_by_an_admin_that_has_it(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    clone = new_clone(user)
    alter(mysql, f"GRANT SYSTEM_USER ON *.* TO {account(user)}")
    with pytest.raises(NotPermitted, match="Revoke SYSTEM_USER from"):
        mirror(mysql, user, clone)
    assert asked(mysql, "SELECT 1 FROM mysql.user WHERE user = %s", clone.username) == []
    as_superuser = replace(mysql, admin=mysql.superuser)
    make_equal(as_superuser, user, clone)
    make_equal(as_superuser, clone, changed(user))


@pytest.mark.parametrize("option", ["", " WITH GRANT OPTION"])
def test_proxies_follow_where_the_admin_may_pass_them_on(mysql: MySQLLaboratory, turn: Pair, option: str) -> None:
    current, other = turn
    alter(mysql, f"GRANT PROXY ON `o'r`@`10.%` TO {account(current)}{option}")
    before = definition(mysql, current)
    with pytest.raises(NotPermitted, match=r"GRANT PROXY ON ''@'' TO admin WITH GRANT OPTION"):
        mirror(mysql, current, other)
    assert definition(mysql, current) == before
    as_superuser = replace(mysql, admin=mysql.superuser)
    make_equal(as_superuser, current, other)
    alter(mysql, f"REVOKE PROXY ON `o'r`@`10.%` FROM {account(current)}", f"GRANT PROXY ON ''@'' TO {account(current)}")
    make_equal(as_superuser, current, other)
    alter(mysql, f"REVOKE PROXY ON ''@'' FROM {account(current)}")
    make_equal(as_superuser, current, other)


# Attributes

ATTRIBUTES = {
    "ssl": ("REQUIRE SSL", "REQUIRE NONE"),
    "x509": ("REQUIRE X509", "REQUIRE SSL"),
    "certificate": (
        "REQUIRE SUBJECT '/CN=a''b' AND ISSUER '/CN=c`d\\\\e' AND CIPHER 'TLS_AES_256_GCM_SHA384'",
        "REQUIRE ISSUER '/CN=x'",
    ),
    "limits": (
        "WITH MAX_QUERIES_PER_HOUR 1000 MAX_UPDATES_PER_HOUR 200 MAX_CONNECTIONS_PER_HOUR 300 MAX_USER_CONNECTIONS 4",
        "WITH MAX_QUERIES_PER_HOUR 0 MAX_CONNECTIONS_PER_HOUR 0",
    ),
    "expiry": ("PASSWORD EXPIRE INTERVAL 30 DAY", "PASSWORD EXPIRE NEVER"),
    "expiry by default": ("PASSWORD EXPIRE NEVER", "PASSWORD EXPIRE DEFAULT"),
    "history": ("PASSWORD HISTORY 5 PASSWORD REUSE INTERVAL 6 DAY", "PASSWORD HISTORY DEFAULT"),
    "require current": ("PASSWORD REQUIRE CURRENT", "PASSWORD REQUIRE CURRENT OPTIONAL"),
    "require current by default": ("PASSWORD REQUIRE CURRENT OPTIONAL", "PASSWORD REQUIRE CURRENT DEFAULT"),
    "failed logins": ("FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME UNBOUNDED", "PASSWORD_LOCK_TIME 2"),
    "no failed logins": (
        "FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME 1",
        "FAILED_LOGIN_ATTEMPTS 0 PASSWORD_LOCK_TIME 0",
    ),
    "comment": ("COMMENT 'it''s the \\\"Ünicode\\\" one'", "COMMENT 'another'"),
    "attribute": (
        """ATTRIBUTE '{"team": "a", "more": {"x": 1, "z": {"deep": [1, null]}}}'""",
        """ATTRIBUTE '{"team": null, "more": {"x": null, "y": 2, "z": {"deep": "flat"}}}'""",
    ),
}


@pytest.mark.parametrize(("given", "taken"), ATTRIBUTES.values(), ids=list(ATTRIBUTES))
def test_attributes_follow_the_current_user(mysql: MySQLLaboratory, turn: Pair, given: str, taken: str) -> None:
    current, other = turn
    for attributes in (given, taken):
        alter(mysql, f"ALTER USER {account(current)} {attributes}")
        assert differences(mysql, current, other)
        make_equal(mysql, current, other)
    alter(mysql, f"ALTER USER {account(other)} {given}")
    make_equal(mysql, current, other)


def test_a_note_at_the_other_one_goes_and_the_mark_stays(mysql: MySQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    alter(mysql, f"""ALTER USER {account(clone)} ATTRIBUTE '{{"own": {{"x": 1}}}}'""")
    make_equal(mysql, user, clone)
    assert attributes(mysql, clone) == attributes(mysql, user)
    assert list(attributes(mysql, clone)) == ["rotation"]


@pytest.mark.parametrize("plugin", ["caching_sha2_password", "sha256_password"])
def test_the_account_keeps_its_plugin(mysql: MySQLLaboratory, turn: Pair, plugin: str) -> None:
    current, other = turn
    alter(mysql, f"ALTER USER {account(current)} IDENTIFIED WITH {plugin} BY {quoted(current.password)}")
    make_equal(mysql, current, other)
    again = changed(current)
    with mysql.engine.connect(current, deadline()) as session:
        session.change_own_password(again.password)
    for who in (again, other):
        assert mysql.logs_in(who)
        assert plugin in str(definition(mysql, who)[0])


def test_an_account_without_a_password_has_no_clone(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    if asked(mysql, "SELECT 1 FROM information_schema.plugins WHERE plugin_name = 'auth_socket'") == []:
        alter(mysql, "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'")
    alter(mysql, f"CREATE USER {account(user, 'localhost')} IDENTIFIED WITH auth_socket")
    with pytest.raises(Unsupported, match="auth_socket"):
        mirror(mysql, user, new_clone(user))
    assert asked(mysql, "SELECT 1 FROM mysql.user WHERE user = %s", f"{user.username}_clone") == []


# Accounts


def test_several_hosts_of_a_user_are_mirrored_one_by_one(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    clone = new_clone(user)
    hosts = ("127.0.0.1", "10.0.0.0/255.0.0.0")
    for host in hosts:
        alter(mysql, f"CREATE USER {account(user, host)} IDENTIFIED BY {quoted(user.password)} REQUIRE SSL")
        alter(mysql, f"GRANT SELECT ON lab.lab_invoices TO {account(user, host)}")
    mirror(mysql, user, clone)
    assert mysql.may_read(clone, "lab_invoices")  # as from 127.0.0.1
    assert differences(mysql, user, clone) == []
    for host in hosts:
        assert asked(mysql, f"SHOW GRANTS FOR {account(clone, host)}")
    alter(mysql, f"DROP USER {account(user, '127.0.0.1')}")
    assert any("127.0.0.1" in difference for difference in differences(mysql, user, clone))
    mirror(mysql, user, clone)
    assert not mysql.may_read(clone, "lab_invoices")
    assert differences(mysql, user, clone) == []


def test_an_account_of_the_clones_name_that_would_keep_hosts_out_is_neither_dropped_nor_passed_over(
    mysql: MySQLLaboratory, pair: Pair
) -> None:
    user, clone = pair
    alter(mysql, f"CREATE USER {account(clone, '10.%')}")
    with pytest.raises(Unsafe, match=rf"Drop {clone.username}@10.%, or create {user.username}@10.%"):
        mirror(mysql, user, clone)
    assert asked(mysql, f"SHOW GRANTS FOR {account(clone, '10.%')}")


def test_an_account_that_is_locked_on_one_host_has_a_locked_clone_there(mysql: MySQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    mysql_host = "127.0.0.1"
    alter(mysql, f"CREATE USER {account(user, mysql_host)} IDENTIFIED BY {quoted(user.password)}")
    mirror(mysql, user, clone)
    assert mysql.logs_in(replace(clone, database=None))
    alter(mysql, f"ALTER USER {account(user, mysql_host)} ACCOUNT LOCK")
    assert differences(mysql, user, clone) == [
        f"{user.username}@{mysql_host} is locked, {clone.username}@{mysql_host} is not"
    ]
    mirror(mysql, user, clone)
    assert not mysql.logs_in(replace(clone, database=None))
    assert differences(mysql, user, clone) == []


def test_an_account_elsewhere_than_everywhere_is_found(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    alter(mysql, f"RENAME USER {account(user)} TO {account(user, '127.0.0.1')}")
    clone, other = new_clone(user), changed(user)
    mirror(mysql, user, clone)
    assert mysql.may_read(clone, "lab_orders")
    mirror(mysql, clone, other)
    assert mysql.logs_in(other)
    with mysql.engine.connect(other, deadline()) as session:
        session.change_own_password(user.password)
    assert mysql.logs_in(user)


def test_names_may_be_as_long_as_the_server_takes(mysql: MySQLLaboratory) -> None:
    limit = mysql.engine.kind.username_limit
    user = mysql.new_user("ü" * (limit - len("_clone")))
    clone = new_clone(user)
    make_equal(mysql, user, clone)
    assert len(clone.username) == limit == 32
    with pytest.raises(StatementFailed, match="too long"):
        mirror(mysql, user, replace(clone, username=clone.username + "x"))


@pytest.mark.parametrize(
    "name", ["a` TO `b", "x IDENTIFIED WITH 'y'", 'o\'r @ "w"@%', "back\\`slash", " ON *.* ", "ü€"]
)
def test_hostile_names_are_only_names(mysql: MySQLLaboratory, name: str) -> None:
    user = mysql.new_user(f"{name}{secrets.token_hex(2)}")
    clone = new_clone(user)
    alter(mysql, f"GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO {account(user)}")
    if name != name.lstrip():  # the server takes the blanks away from its name
        user = replace(user, username=user.username.strip())
        clone = new_clone(user)
    make_equal(mysql, user, clone)
    make_equal(mysql, clone, user)
    new = changed(user)
    require_two(mysql, user)
    add(mysql, user, user, new)
    assert mysql.logs_in(user)
    assert mysql.logs_in(new)


def test_a_clone_is_created_locked_and_marked(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    clone = new_clone(user)
    with mysql.engine.connect(mysql.admin, deadline()) as session:
        session.mirror(user.username, clone.username)
    [(locked,)] = asked(mysql, "SELECT account_locked FROM mysql.user WHERE user = %s", clone.username)
    assert locked == "Y"
    assert attributes(mysql, clone) == attributes(mysql, user) != {}


def test_a_user_that_the_admins_server_does_not_know_is_refused(mysql: MySQLLaboratory) -> None:
    with pytest.raises(Unsafe, match="there is no user"), mysql.engine.connect(mysql.admin, deadline()) as session:
        session.clone_status("nobody", "nobody_clone")
    with (
        pytest.raises(StatementFailed, match="there is no such user"),
        mysql.engine.connect(mysql.admin, deadline()) as session,
    ):
        session.set_password("nobody", "x")


class Killed(Exception):
    """The function was stopped."""


def test_a_mirror_that_was_killed_at_any_statement_is_continued(mysql: MySQLLaboratory) -> None:
    alter(mysql, *THINGS)
    everything = [statement for given, _ in RIGHTS.values() for statement in given]
    statements = 0

    class Dying(MySQLConnection):
        lives = 0

        def execute(
            self, operation: str, statement: str, remedy: str = "", expected: frozenset[int] = frozenset()
        ) -> list[tuple[object, ...]]:
            if statement.startswith(("CREATE", "ALTER", "GRANT", "REVOKE", "DROP")):
                if Dying.lives == 0:
                    raise Killed
                Dying.lives -= 1
            return super().execute(operation, statement, remedy, expected)

    user = mysql.new_user()
    clone = new_clone(user)
    alter(mysql, *(statement.format(account(user)) for statement in everything))
    alter(mysql, f"ALTER USER {account(user)} REQUIRE SSL COMMENT 'x'")
    before = definition(mysql, user)
    # Each life is enough for one statement more.
    while True:
        Dying.lives = statements
        with suppress(Killed), watched(mysql, Dying) as session:
            session.mirror(user.username, clone.username)
            break
        assert not mysql.logs_in(clone)
        with mysql.engine.connect(mysql.admin, deadline()) as look:
            created = statements > 1  # the first one marks the user
            assert look.clone_status(user.username, clone.username) is (
                CloneStatus.OURS if created else CloneStatus.ABSENT
            )
        if statements % 4 == 0:
            mirror(mysql, user, clone)
            assert differences(mysql, user, clone) == []
        alter(
            mysql,
            f"DROP USER IF EXISTS {account(clone)}",
            f"""ALTER USER {account(user)} ATTRIBUTE '{{"rotation": null}}'""",
        )
        statements += 1
    assert statements > 10
    make_equal(mysql, user, clone)
    assert definition(mysql, user) == before


def test_a_password_that_was_left_over_is_discarded_in_an_alternating_pair(mysql: MySQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    mysql.allow_two_passwords(user.username, by_itself=True)
    new, newer = changed(user), changed(user)
    add(mysql, user, user, new)
    mirror(mysql, new, clone)
    assert mysql.logs_in(user)  # nothing is done to the current user
    mirror(mysql, clone, newer)
    assert mysql.logs_in(newer)
    assert not mysql.logs_in(user)
    assert not mysql.logs_in(new)


# Two passwords


def require_two(mysql: MySQLLaboratory, user: Credential) -> None:
    with mysql.engine.connect(user, deadline()) as session:
        assert isinstance(session, MySQLSession)
        session.require_two_passwords()


def add(mysql: MySQLLaboratory, who: Credential, current: Credential, new: Credential) -> None:
    with mysql.engine.connect(who, deadline()) as session:
        assert isinstance(session, MySQLSession)
        session.add_password(current.username, current.password, new.password)


@pytest.fixture(params=[False, True], ids=["alone", "through an admin"])
def through_admin(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def two(mysql: MySQLLaboratory, through_admin: bool) -> tuple[Credential, Credential | None]:
    """A user that may have two passwords, and the admin who gives them, if it is not the user itself."""
    user = mysql.new_user()
    mysql.allow_two_passwords(user.username, by_itself=not through_admin)
    return user, mysql.admin if through_admin else None


type Two = tuple[Credential, Credential | None]


@pytest.mark.parametrize("plugin", ["caching_sha2_password", "sha256_password"])
def test_a_repeated_addition_keeps_both_passwords(mysql: MySQLLaboratory, two: Two, plugin: str) -> None:
    user, admin = two
    alter(mysql, f"ALTER USER {account(user)} IDENTIFIED WITH {plugin} BY {quoted(user.password)}")
    require_two(mysql, user)
    new = changed(user)
    for _ in range(3):
        add(mysql, admin or user, user, new)
        assert mysql.logs_in(user)
        assert mysql.logs_in(new)


def test_the_next_rotation_ends_the_oldest_password(mysql: MySQLLaboratory, two: Two) -> None:
    user, admin = two
    new, newer = changed(user), changed(user)
    add(mysql, admin or user, user, new)
    add(mysql, admin or new, new, newer)
    assert not mysql.logs_in(user)
    assert mysql.logs_in(new)
    assert mysql.logs_in(newer)


def test_an_orphan_of_an_abandoned_rotation_is_replaced(mysql: MySQLLaboratory, two: Two) -> None:
    user, admin = two
    orphan, new = changed(user), changed(user)
    add(mysql, admin or user, user, orphan)
    for _ in range(2):
        add(mysql, admin or user, user, new)
        assert mysql.logs_in(user)
        assert mysql.logs_in(new)
        assert not mysql.logs_in(orphan)


def test_at_no_statement_of_the_healing_is_the_current_password_refused(mysql: MySQLLaboratory, two: Two) -> None:
    user, admin = two
    orphan, new = changed(user), changed(user)
    add(mysql, admin or user, user, orphan)
    seen: list[bool] = []

    class Looking(MySQLConnection):
        def execute(
            self, operation: str, statement: str, remedy: str = "", expected: frozenset[int] = frozenset()
        ) -> list[tuple[object, ...]]:
            try:
                return super().execute(operation, statement, remedy, expected)
            finally:
                seen.append(mysql.logs_in(user))

    with mysql.engine.connect(admin or user, deadline()) as session:
        assert isinstance(session, MySQLSession)
        session.connection.__class__ = Looking
        session.add_password(user.username, user.password, new.password)
    assert len(seen) > 3
    assert all(seen)


@pytest.mark.parametrize("option", ["PASSWORD HISTORY 5", "PASSWORD REUSE INTERVAL 5 DAY", "PASSWORD REQUIRE CURRENT"])
def test_an_orphan_under_a_policy_is_replaced_by_the_admin(mysql: MySQLLaboratory, option: str) -> None:
    user = mysql.new_user()
    mysql.allow_two_passwords(user.username, by_itself=True)
    alter(mysql, f"ALTER USER {account(user)} {option}")
    alter(mysql, f"ALTER USER {account(user)} IDENTIFIED BY {quoted(user.password + '1')}")
    user = replace(user, password=user.password + "1")  # now the history knows it
    orphan, new = changed(user), changed(user)
    add(mysql, user, user, orphan)
    with pytest.raises(NotPermitted, match='"masterarn"'):
        add(mysql, user, user, new)
    assert mysql.logs_in(user)
    for _ in range(2):
        add(mysql, mysql.admin, user, new)
        assert mysql.logs_in(user)
        assert mysql.logs_in(new)
        assert not mysql.logs_in(orphan)


def test_a_user_that_must_give_its_password_adds_another_and_changes_it(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    mysql.allow_two_passwords(user.username, by_itself=True)
    alter(mysql, f"ALTER USER {account(user)} PASSWORD REQUIRE CURRENT")
    new, newer = changed(user), changed(user)
    add(mysql, user, user, new)
    assert mysql.logs_in(user)
    with mysql.engine.connect(new, deadline()) as session:
        session.change_own_password(newer.password)
    assert mysql.logs_in(newer)


def test_deliveries_at_the_same_time_keep_both_passwords(mysql: MySQLLaboratory, two: Two) -> None:
    user, admin = two
    orphan, new = changed(user), changed(user)
    add(mysql, admin or user, user, orphan)
    errors: list[DatabaseError] = []

    def deliver() -> None:
        try:
            add(mysql, admin or user, user, new)
        except DatabaseError as error:
            errors.append(error)

    threads = [threading.Thread(target=deliver) for _ in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert mysql.logs_in(user)
    for thread in threads:
        thread.join()
    assert errors == []
    assert mysql.logs_in(user)
    assert mysql.logs_in(new)


def test_a_delivery_that_is_overtaken_while_it_heals_is_content(
    mysql: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = mysql.new_user()
    mysql.allow_two_passwords(user.username, by_itself=True)
    orphan, new = changed(user), changed(user)
    add(mysql, user, user, orphan)

    real = TwoPasswords._make_primary  # noqa: SLF001 - a moment that cannot be met

    def overtaken(passwords: TwoPasswords, current: str, operation: str) -> None:
        real(passwords, current, operation)
        add(mysql, user, user, new)

    monkeypatch.setattr(TwoPasswords, "_make_primary", overtaken)
    with mysql.engine.connect(user, deadline()) as session:
        assert isinstance(session, MySQLSession)
        session.add_password(user.username, user.password, new.password)
    assert mysql.logs_in(user)
    assert mysql.logs_in(new)


def test_a_user_that_may_not_keep_its_password_is_told_what_to_grant(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    require_two(mysql, user)
    with pytest.raises(
        NotPermitted, match=r'GRANT APPLICATION_PASSWORD_ADMIN ON \*\.\* TO .*, or put an admin into "masterarn"'
    ):
        add(mysql, user, user, changed(user))
    assert mysql.logs_in(user)


def test_a_server_or_a_plugin_with_one_password_is_refused_with_the_reason(
    mysql: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = mysql.new_user()

    real = catalog.own_definition

    def foreign(connection: MySQLConnection, operation: str) -> str:
        return real(connection, operation).replace("caching_sha2_password", "AWSAuthenticationPlugin")

    for reason in ("AWSAuthenticationPlugin", "MySQL 5.7.44 keeps one password"):
        with mysql.engine.connect(user, deadline()) as session:
            assert isinstance(session, MySQLSession)
            monkeypatch.setattr(catalog, "own_definition", foreign)
            with pytest.raises(Unsupported, match=reason):
                session.require_two_passwords()
            monkeypatch.setattr(MySQLConnection, "version", lambda _: (5, 7, 44))


def test_an_account_with_another_password_is_left_alone(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    alter(mysql, f"CREATE USER {account(user, '10.%')} IDENTIFIED BY 'another'")
    before = asked(mysql, f"SHOW CREATE USER {account(user, '10.%')}")
    add(mysql, mysql.admin, user, changed(user))
    assert asked(mysql, f"SHOW CREATE USER {account(user, '10.%')}") == before
    with pytest.raises(Unsupported, match="no account of"):
        add(mysql, mysql.admin, changed(user), changed(user))


# Errors and the way


def test_a_policy_is_met_by_a_clone_and_a_password_against_it_has_a_remedy(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user(password="Strong-" + secrets.token_urlsafe() + "-9a")
    clone = replace(new_clone(user), password="Strong-" + secrets.token_urlsafe() + "-9a")
    alter(mysql, "INSTALL COMPONENT 'file://component_validate_password'")
    try:
        mirror(mysql, user, clone)
        assert mysql.logs_in(clone)
        refused = pytest.raises(PasswordRefused, match=r"error 1819.*PASSWORD_LENGTH")
        with refused, mysql.engine.connect(mysql.admin, deadline()) as session:
            session.set_password(user.username, "weak")
        with refused, mysql.engine.connect(user, deadline()) as session:
            session.change_own_password("weak")
    finally:
        alter(mysql, "UNINSTALL COMPONENT 'file://component_validate_password'")


def test_a_password_in_the_history_has_a_remedy(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    alter(mysql, f"ALTER USER {account(user)} PASSWORD HISTORY 5")
    new = changed(user)
    with mysql.engine.connect(user, deadline()) as session:
        session.change_own_password(new.password)
        with pytest.raises(PasswordRefused, match=r"error 3638.*PASSWORD_LENGTH"):
            session.change_own_password(new.password)


def test_a_password_in_the_history_may_be_set_again_by_the_same_delivery(mysql: MySQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    alter(mysql, f"ALTER USER {account(user)} PASSWORD HISTORY 5 PASSWORD REUSE INTERVAL 6 DAY")
    for _ in range(2):
        mirror(mysql, user, clone)
        assert mysql.logs_in(clone)


def test_a_locked_account_is_told_from_a_wrong_password(mysql: MySQLLaboratory) -> None:
    for lock, number in (
        ("ACCOUNT LOCK", 3118),
        ("PASSWORD EXPIRE", 1862),
    ):
        user = mysql.new_user()
        alter(mysql, f"ALTER USER {account(user)} {lock}")
        with pytest.raises(LoginBlocked, match=f"error {number}"), mysql.engine.connect(user, deadline()):
            pass
    user = mysql.new_user()
    alter(mysql, f"ALTER USER {account(user)} FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1")
    assert not mysql.logs_in(changed(user))
    with pytest.raises(LoginBlocked, match=r"error 3955.*ACCOUNT UNLOCK"), mysql.engine.connect(user, deadline()):
        pass


def test_a_server_that_wants_tls_is_no_wrong_password(mysql: MySQLLaboratory) -> None:
    user = replace(mysql.new_user(), tls=False)
    with (
        setting(mysql, "require_secure_transport", "ON"),
        pytest.raises(LoginBlocked, match=r'error 3159.*"ssl": false'),
        mysql.engine.connect(user, deadline()),
    ):
        pass


def test_a_server_whose_tables_are_read_only_is_no_defect_of_a_statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a reader of Aurora."""
    monkeypatch.setenv("DB_CA_BUNDLE", str(tmp_path / "ca.crt"))
    with mysql_server.start(tmp_path) as server:
        writer = mysql_laboratory(MySQL(), server, mysql_server.create_rds_master(server))
        user = writer.new_user()
        clone = new_clone(user)
        mirror(writer, user, clone)
        server.execute("SHUTDOWN")
        with (tmp_path / "data" / "ibdata1").open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)  # the server has it until it has written everything
    with mysql_server.start(tmp_path, again=server, options=["--innodb-read-only"]) as server:
        reader = mysql_laboratory(MySQL(), server, writer.admin.password)
        refused = pytest.raises(NotPermitted, match=r"error 3501.*Name the primary in .host.*wait")
        with refused:
            mirror(reader, user, changed(clone))
        with refused, reader.engine.connect(user, deadline()) as session:
            session.change_own_password(changed(user).password)


def sees(laboratory: MySQLLaboratory, user: Credential) -> list[object]:
    """Return what an application sees of its session."""
    query = (
        "SELECT @@SESSION.sql_mode, @@SESSION.time_zone, CURRENT_ROLE(), DATABASE(), SUBSTRING_INDEX(@set, '@', -1),"
        " SUBSTRING_INDEX(CURRENT_USER(), '@', -1)"
    )
    with laboratory.session(user) as run:
        [row] = run(query)
        names = ("character_set_connection", "collation_connection", "autocommit", "transaction_isolation")
        return [*row, run("SHOW SESSION VARIABLES WHERE variable_name IN %s", names)]


class Family:
    """What the two promise together; a subclass says where."""

    def test_an_orderly_session_leaves_no_trace_of_an_aborted_one(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        status = "SHOW GLOBAL STATUS LIKE 'Aborted_clients'"
        before = asked(laboratory, status)
        for _ in range(3):
            with laboratory.engine.connect(user, deadline()) as session:
                session.verify(["SELECT 1"])
        assert asked(laboratory, status) == before

    @pytest.mark.parametrize(
        "statement",
        [
            "COMMIT",
            "CREATE TABLE lab.made (id int)",
            "CALL lab.commits()",
            "/*! COMMIT */",
            "/*!50000 COMMIT */",
            "/* SELECT */ COMMIT",
            "-- SELECT\nCOMMIT",
            "SET autocommit = 1",
            "BEGIN",
            " ",
            ";",
        ],
    )
    def test_a_statement_that_cannot_be_rolled_back_is_not_run(
        self, laboratory: MySQLLaboratory, statement: str
    ) -> None:
        user = laboratory.new_user()
        alter(
            laboratory,
            "CREATE TABLE IF NOT EXISTS lab.kept (id int) ENGINE = InnoDB",
            "CREATE PROCEDURE IF NOT EXISTS lab.commits() COMMIT",
            f"GRANT ALL ON lab.* TO {account(user)}",
        )
        with (
            pytest.raises(
                StatementFailed, match=r"statement 2 of verify.*a transaction cannot take it back.*Begin it with"
            ),
            laboratory.engine.connect(user, deadline()) as session,
        ):
            session.verify(["INSERT INTO lab.kept VALUES (1)", statement])
        assert asked(laboratory, "SELECT * FROM lab.kept") == []

    def test_several_statements_in_one_are_not_run(self, laboratory: MySQLLaboratory) -> None:
        with (
            pytest.raises(StatementFailed, match="has a syntax error"),
            laboratory.engine.connect(laboratory.new_user(), deadline()) as session,
        ):
            session.verify(["SELECT 1; COMMIT"])

    def test_what_verify_writes_is_rolled_back(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        alter(
            laboratory,
            "CREATE TABLE IF NOT EXISTS lab.kept (id int) ENGINE = InnoDB",
            f"GRANT SELECT, INSERT, DELETE ON lab.kept TO {account(user)}",
        )
        with laboratory.engine.connect(user, deadline()) as session:
            session.verify(
                [
                    "INSERT INTO kept VALUES (1)",
                    "DELETE FROM kept WHERE id = (SELECT 2 WHERE '100%' LIKE '%s')",
                    "(SELECT 1) UNION (SELECT 2)",
                    "SELECT(1)",
                ]
            )
            session.verify(["SELECT 1 FROM kept LIMIT 0"])
        assert asked(laboratory, "SELECT * FROM lab.kept") == []

    def test_what_cannot_be_rolled_back_is_said(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        alter(
            laboratory,
            "CREATE TABLE IF NOT EXISTS lab.old (id int) ENGINE = MyISAM",
            f"GRANT INSERT ON lab.old TO {account(user)}",
        )
        with (
            pytest.raises(StatementFailed, match="table without transactions"),
            laboratory.engine.connect(user, deadline()) as session,
        ):
            session.verify(["INSERT INTO old VALUES (1)"])

    def test_verify_has_the_servers_own_sql_mode(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        with (
            setting(laboratory, "sql_mode", "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'"),
            laboratory.engine.connect(user, deadline()) as session,
        ):
            session.verify(['SELECT "id" FROM "lab_orders"', r"""SELECT 1 WHERE '\' <> '' """])
            session.change_own_password("it's a \\ \" `")
        assert laboratory.logs_in(replace(user, password="it's a \\ \" `"))

    def test_verify_has_the_sql_mode_that_init_connect_sets_and_the_application_sees_the_same_as_either(
        self, laboratory: MySQLLaboratory
    ) -> None:
        user = laboratory.new_user()
        clone = new_clone(user)
        role = f"role_{secrets.token_hex(4)}"
        with laboratory.session(laboratory.admin) as run:
            run(f"CREATE ROLE {role}")
            run(f"GRANT {role} TO {account(user)}")
        default = (
            f"SET DEFAULT ROLE {role} {'FOR' if laboratory.engine.kind.name == 'MariaDB' else 'TO'} {account(user)}"
        )
        alter(laboratory, default)
        mirror(laboratory, user, clone)
        init = "SET SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+03:00', @set = USER()"
        with setting(laboratory, "init_connect", quoted(init)):
            assert sees(laboratory, clone) == sees(laboratory, user)
            assert sees(laboratory, user)[:2] == ["ANSI_QUOTES", "+03:00"]
            assert role in str(sees(laboratory, user)[2])
            with laboratory.engine.connect(clone, deadline()) as session:
                for _ in range(2):
                    session.verify(['SELECT "id" FROM "lab_orders"', "SELECT 1"])

    @pytest.mark.parametrize("mode", ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"])
    def test_a_servers_sql_mode_does_not_confuse_us(self, laboratory: MySQLLaboratory, mode: str) -> None:
        user = laboratory.new_user(f"a\\`\"'{secrets.token_hex(2)}")
        with (
            setting(laboratory, "sql_mode", quoted(mode)),
            setting(laboratory, "sql_quote_show_create", "0"),
            laboratory.engine.connect(laboratory.admin, deadline()) as session,
        ):
            session.mirror(user.username, f"{user.username}_clone")
            session.set_password(f"{user.username}_clone", "p\\'\"`")
            assert session.differences(user.username, f"{user.username}_clone") == []
        assert laboratory.logs_in(replace(user, username=f"{user.username}_clone", password="p\\'\"`"))

    def test_a_certificate_of_another_authority_is_not_trusted(
        self, laboratory: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("DB_CA_BUNDLE")
        with (
            pytest.raises(Untrusted, match=r"self-signed|unable to get"),
            laboratory.engine.connect(laboratory.admin, deadline()),
        ):
            pass

    def test_a_certificate_for_another_host_name_is_not_trusted(
        self, laboratory: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", laboratory.admin.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: place)
        with (
            pytest.raises(Untrusted, match=r"[Hh]ostname mismatch"),
            laboratory.engine.connect(replace(laboratory.admin, host="db.example"), deadline()),
        ):
            pass

    def test_a_bundle_that_cannot_be_read_is_said(
        self, laboratory: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DB_CA_BUNDLE", "/nowhere.pem")
        with pytest.raises(Untrusted, match="DB_CA_BUNDLE"), laboratory.engine.connect(laboratory.admin, deadline()):
            pass

    def test_without_tls_only_where_the_secret_says_so(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        for tls in (True, False):
            with laboratory.engine.connect(replace(user, tls=tls), deadline()) as session:
                assert isinstance(session, MySQLSession)
                [(_, cipher)] = session.connection.execute("asking", "SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            assert bool(cipher) is tls

    def test_a_database_that_is_not_there_is_not_a_wrong_password(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        for who, number in ((user, 1044), (laboratory.admin, 1049)):
            with (
                pytest.raises(LoginBlocked, match=rf'error {number}.*"dbname"'),
                laboratory.engine.connect(replace(who, database="nowhere"), deadline()),
            ):
                pass

    def test_a_wrong_password_has_a_remedy_and_is_not_shown(self, laboratory: MySQLLaboratory) -> None:
        user = changed(laboratory.new_user())
        with (
            pytest.raises(LoginRefused, match=r"error 1045.*Put the user's real password") as caught,
            laboratory.engine.connect(user, deadline()),
        ):
            pass
        assert user.password not in str(caught.value)

    def test_a_statement_that_one_may_not_run_is_no_refused_login(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert isinstance(session, MySQLSession)
            with pytest.raises(NotPermitted, match="error 1045"):
                session.connection.execute("granting", f"GRANT FILE ON *.* TO {account(user)}")

    def test_the_text_of_a_syntax_error_is_not_passed_on(self, laboratory: MySQLLaboratory) -> None:
        with laboratory.engine.connect(laboratory.new_user(), deadline()) as session:
            assert isinstance(session, MySQLSession)
            with pytest.raises(StatementFailed, match="1064") as caught:
                session.connection.execute("asking", "ALTER USERS x IDENTIFIED BY 'hidden'")
        assert "hidden" not in str(caught.value)

    def test_too_many_connections_are_no_wrong_password(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        alter(laboratory, f"ALTER USER {account(user)} WITH MAX_USER_CONNECTIONS 1")
        with (
            laboratory.engine.connect(user, deadline()),
            pytest.raises(LoginBlocked, match=r"error 1226.*Raise the connection limit"),
            laboratory.engine.connect(user, deadline()),
        ):
            pass

    def test_a_lock_is_waited_for_no_longer_than_the_time_allows(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        alter(laboratory, f"GRANT INSERT ON lab.lab_invoices TO {account(user)}")
        with laboratory.session() as run:
            run("LOCK TABLES lab.lab_orders WRITE, lab.lab_invoices WRITE")
            for statement in ("SELECT 1 FROM lab_orders", "INSERT INTO lab_invoices VALUES (1)"):
                with (
                    pytest.raises(StatementFailed, match=r"error (1205|1969|3024).*holds the lock|busy"),
                    laboratory.engine.connect(user, deadline(4.0)) as session,
                ):
                    session.verify([statement])

    def test_a_server_that_drips_is_left_within_the_time(self, laboratory: MySQLLaboratory) -> None:
        with (
            serving(drip) as port,
            pytest.raises(Unreachable, match="timed out"),
            laboratory.engine.connect(replace(laboratory.admin, port=port), deadline(2.5)),
        ):
            pass

    def test_a_server_that_drips_as_tls_begins_is_left_within_the_time(self, laboratory: MySQLLaboratory) -> None:
        with (
            serving(drip_tls) as port,
            pytest.raises((Unreachable, Untrusted), match="timed out"),
            laboratory.engine.connect(replace(laboratory.admin, port=port), deadline(2.5)),
        ):
            pass

    @pytest.mark.parametrize(
        "greeting",
        [
            b"SSH-2.0-OpenSSH_9.2p1\r\n",
            b"220 mail\r\n",
            b"",
            b"\x01\0\0\0\x0a",
            b"\x03\0\0\0abc",
            b"\x02\0\0\0\xff\x01",
            b"\0\0\0\0",
        ],
    )
    def test_what_is_no_database_is_unreachable(self, laboratory: MySQLLaboratory, greeting: bytes) -> None:
        def greet(connection: socket.socket) -> None:
            connection.sendall(greeting)

        with (
            serving(greet) as port,
            pytest.raises(Unreachable),
            laboratory.engine.connect(replace(laboratory.admin, port=port), deadline(2.5)),
        ):
            pass

    def test_a_server_without_tls_learns_nothing_about_the_password(self, laboratory: MySQLLaboratory) -> None:
        heard: list[bytes] = []

        def greet(connection: socket.socket) -> None:
            connection.sendall(GREETING_WITHOUT_TLS)
            heard.append(connection.recv(4096))

        with (
            serving(greet) as port,
            pytest.raises(Untrusted, match='Switch TLS on at the server, or write "ssl": false'),
            laboratory.engine.connect(replace(laboratory.admin, port=port), deadline(2.5)),
        ):
            pass
        assert heard == [b""]


def _packet(payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + payload


GREETING_WITHOUT_TLS = _packet(
    b"\x0a9.7.0\0"
    + struct.pack("<I", 7)
    + b"saltsalt\0"
    + struct.pack("<HBHHB", 0xFFFF & ~0x0800, 45, 2, 0x000F | 0x0008, 21)
    + bytes(10)
    + b"saltsaltsalt\0"
    + b"caching_sha2_password\0"
)


def drip(connection: socket.socket, begin: bytes = b"\xff\x0f\0\0") -> None:
    """Send a greeting, a byte every tenth of a second, until the other side has had enough."""
    connection.settimeout(0.1)
    with suppress(OSError):
        for byte in begin + bytes(10_000):
            connection.sendall(bytes([byte]))
            with suppress(TimeoutError):
                if connection.recv(1) == b"":
                    return


def drip_tls(connection: socket.socket) -> None:
    """Send a greeting, and the server's part of TLS as slowly."""
    connection.sendall(greeting(tls=True))
    connection.recv(65536)
    drip(connection, b"\x16\x03\x03\x3f\xff\x02\0\x3f\xfb\x03\x03")


type Serve = Callable[[socket.socket], None]


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """Take one connection at a port, and talk."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            connection, _ = listener.accept()
            with closing(connection), suppress(ssl.SSLError, OSError):
                serve(connection)

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            thread.join()


class TestMySQL(Family):
    """MySQL keeps them."""

    @pytest.fixture
    def laboratory(self, mysql: MySQLLaboratory) -> MySQLLaboratory:
        return mysql


class TestMariaDB(Family):
    """MariaDB keeps them."""

    @pytest.fixture
    def laboratory(self, mariadb: MySQLLaboratory) -> MySQLLaboratory:
        return mariadb
