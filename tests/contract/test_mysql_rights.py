"""Does MySQL bring the other user to the rights, attributes and accounts of the current one?"""

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.session import MySQLSession
from rotation.errors import (
    NotPermitted,
    StatementFailed,
    Unsafe,
    Unsupported,
)
from tests.contract.mysql_kit import account, add, alter, asked, require_two, setting
from tests.contract.pairs import Pair, changed, differences, mirror, new_clone
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory, quoted

pytestmark = [pytest.mark.sample(2), pytest.mark.engine("mysql")]


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


@pytest.mark.thorough(turn=[True], given=[given for given, _ in RIGHTS.values()][1:])
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
    # All that only the other one has goes, even if the current user has lost it.
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


def test_grants_on_what_is_gone_stop_nothing(
    mysql: MySQLLaboratory, turn: Pair, caplog: pytest.LogCaptureFixture
) -> None:
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
    assert f"{other.username} lacks " in caplog.text
    assert f"privilege SELECT on `{schema}`.`t`" in caplog.text
    assert f"`{schema}`.`future`" not in caplog.text
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
        return session.compare(user.username, other.username).sentences


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


def test_a_right_that_the_admin_cannot_grant_is_named_with_the_remedy(mysql: MySQLLaboratory, turn: Pair) -> None:
    current, other = turn
    before = definition(mysql, current)
    for right in ("FILE ON *.*", "SHUTDOWN ON *.*", "SUPER ON *.*"):
        alter(mysql, f"GRANT {right} TO {account(current)}")
        with pytest.raises(NotPermitted, match=r"admin has no right to grant it.*WITH GRANT OPTION.*: GRANT "):
            mirror(mysql, current, other)
        alter(mysql, f"REVOKE {right} FROM {account(current)}")
    assert definition(mysql, current) == before


@pytest.mark.parametrize(
    "right", ["FILE ON *.*", "SYSTEM_VARIABLES_ADMIN ON *.*", "PROXY ON ''@''", "ROLE_ADMIN ON *.*"]
)
def test_a_right_that_the_admin_cannot_grant_is_found_before_anything_is_changed(
    mysql: MySQLLaboratory, right: str
) -> None:
    user, admin = mysql.new_user(), poor_admin(mysql) if right.startswith("ROLE") else mysql.admin
    clone = new_clone(user)
    alter(mysql, f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account(user)}", f"GRANT {right} TO {account(user)}")
    before = definition(mysql, user)
    with pytest.raises(NotPermitted, match="has no right to grant"):
        mirror(replace(mysql, admin=admin), user, clone)
    assert definition(mysql, user) == before
    assert attributes(mysql, user) == {}
    assert asked(mysql, "SELECT 1 FROM mysql.user WHERE user = %s", clone.username) == []


def test_an_admin_that_can_read_two_columns_of_the_accounts_gets_the_remedy(mysql: MySQLLaboratory, pair: Pair) -> None:
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
def test_proxies_follow_if_the_admin_can_pass_them_on(mysql: MySQLLaboratory, turn: Pair, option: str) -> None:
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


@pytest.mark.thorough(turn=[True], given=[given for given, _ in ATTRIBUTES.values()][1:])
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


def test_names_can_be_as_long_as_the_server_takes(mysql: MySQLLaboratory) -> None:
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
