"""Which passwords log in to MySQL and MariaDB before and after a rotation, and what do the servers answer otherwise?"""

import secrets
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pymysql
import pytest

from rotation.credential import Credential
from rotation.engine import KeepsOldPassword, Proof, SeesPasswords
from rotation.engines.driver import CORRECT_CAUSE
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL
from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.problems import LOGIN_PROBLEMS
from rotation.engines.mysql.session import MySQLSession
from rotation.errors import (
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    RotationError,
    StatementFailed,
    Unsupported,
)
from rotation.kind import Strategy
from rotation.steps import Step
from tests.contract.mysql_kit import account, add, alter, asked, serving, setting
from tests.contract.pairs import changed, new_clone, proof_of, set_secret
from tests.contract.test_few_logins import Rotated
from tests.faults.in_process import until
from tests.laboratories import deadline, new_password
from tests.laboratories.mysql import MySQLLaboratory, quoted

BEFORE_THE_LOGIN = (1040, 1041, 1043, 1053, 1129, 1130, 1135, 3032, 3168, 9001, 9501)
"""What a server, or a proxy, can answer to a connection."""


def change(laboratory: MySQLLaboratory, user: Credential) -> Credential:
    """Let a user change its own password; return what it has then."""
    new = changed(user)
    with laboratory.engine.connect(user, deadline()) as session:
        session.change_own_password(new.password)
    return new


def reset(laboratory: MySQLLaboratory, user: Credential) -> Credential:
    """Let the admin change the password of a user that logged in, twice; return what it has then."""
    new, known = changed(user), proof_of(laboratory, user)
    for _ in range(2):
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.require_proven(known)
            session.reset_password(user.username, new.password)
    return new


def log_in(laboratory: MySQLLaboratory, user: Credential) -> RotationError:
    """Try to log in; return what came of it."""
    with pytest.raises(RotationError) as raised, laboratory.engine.connect(user, deadline()):
        pass
    assert "security groups" not in str(raised.value), "it answered"
    return raised.value


def expire(laboratory: MySQLLaboratory, user: Credential) -> None:
    alter(laboratory, f"ALTER USER {account(user)} PASSWORD EXPIRE")


def retained(mysql: MySQLLaboratory, *, by_itself: bool) -> tuple[Credential, Credential]:
    """Return a user, and what it has besides as a second password."""
    second = mysql.new_user()
    mysql.allow_two_passwords(second.username, by_itself=by_itself)
    user = changed(second)
    alter(mysql, f"ALTER USER {account(user)} IDENTIFIED BY {quoted(user.password)} RETAIN CURRENT PASSWORD")
    assert mysql.logs_in(second)
    return user, second


def two_methods(mariadb: MySQLLaboratory) -> tuple[Credential, Credential]:
    """Return a user, and what it has besides as a second method."""
    user = mariadb.new_user()
    second = changed(user)
    ways = " OR ".join(f"mysql_native_password USING PASSWORD({quoted(one.password)})" for one in (user, second))
    alter(mariadb, f"ALTER USER {account(user)} IDENTIFIED VIA {ways}")
    assert mariadb.logs_in(second)
    return user, second


class Family:
    """What the two promise together; a subclass says where."""

    # An admin sees which passwords log in

    @pytest.mark.parametrize(
        "happened", ["nothing", "setSecret", "setSecret and long ago", "a wrong secret", "an abandoned rotation"]
    )
    def test_a_single_user_with_an_admin_has_no_refused_login_whatever_happened(
        self, laboratory: MySQLLaboratory, happened: str
    ) -> None:
        secret = Rotated(laboratory, Strategy.SINGLE_USER, through_admin=True)
        secret.begin()
        if happened != "nothing":
            secret.run(Step.CREATE, Step.SET)
        if happened == "an abandoned rotation":
            secret.secret.abandon()
            secret.begin()
        secret.secret.staged_long_ago = happened.endswith("long ago")
        if happened == "a wrong secret":
            laboratory.change_password(changed(secret.user))
            with pytest.raises(LoginRefused, match="the server has none of the passwords"):
                secret.run(Step.SET)
        else:
            secret.run()
            secret.run(Step.SET)
            assert secret.logs_in()
        assert secret.refused() == 0

    def test_an_admin_says_which_passwords_log_in_and_nothing_if_it_may_not_read(
        self, laboratory: MySQLLaboratory
    ) -> None:
        user, weak = laboratory.new_user(), laboratory.new_user()
        wrong = changed(user).password
        for who, accepted in ((laboratory.admin, [user.password]), (weak, None)):
            with laboratory.engine.connect(who, deadline()) as session:
                assert isinstance(session, SeesPasswords)
                assert session.accepted(user.username, [wrong, user.password]) == accepted
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert isinstance(session, SeesPasswords)
            assert session.accepted("nobody", [wrong]) == []

    # An expired password is a right one

    def test_an_expired_password_is_renewed_by_its_user(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        expire(laboratory, user)
        log_in_wrong = log_in(laboratory, changed(user))
        assert isinstance(log_in_wrong, LoginRefused)
        new = change(laboratory, user)
        assert laboratory.logs_in(new)
        assert not laboratory.logs_in(user)

    def test_an_expired_password_rotates_in_each_strategy(self, laboratory: MySQLLaboratory) -> None:
        for strategy in Strategy:
            secret = Rotated(laboratory, strategy, through_admin=strategy is not Strategy.SINGLE_USER)
            expire(laboratory, secret.user)
            secret.rotate()
            assert secret.logs_in()
            assert secret.refused() == 0

    def test_an_expired_password_proves_the_account_that_it_opens_and_no_other(
        self, laboratory: MySQLLaboratory
    ) -> None:
        user = laboratory.new_user()
        stranger = replace(changed(user), database=None)
        alter(laboratory, f"CREATE USER {account(user, '10.%')} IDENTIFIED BY {quoted(stranger.password)}")
        expire(laboratory, user)
        known = proof_of(laboratory, user)
        assert known == Proof(user.username, user.password, "")
        new = changed(user)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.require_proven(known)
            session.reset_password(user.username, new.password)
            assert isinstance(session, SeesPasswords)
            both = [new.password, stranger.password]
            assert session.accepted(user.username, both) == both
        assert laboratory.logs_in(new)

    def test_an_expired_password_verifies_nothing_and_stops_an_admin(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        expire(laboratory, user)
        expired = pytest.raises(LoginBlocked, match="expired")
        with expired, laboratory.engine.connect(user, deadline()) as session:
            session.verify([])
        with expired, laboratory.engine.connect(user, deadline()) as session:
            session.reset_password("somebody", "x")

    # What the server answers

    @pytest.mark.parametrize("need", ["REQUIRE SSL", "REQUIRE X509"])
    def test_a_refusal_for_another_reason_than_the_password_has_a_remedy(
        self, laboratory: MySQLLaboratory, need: str
    ) -> None:
        user = laboratory.new_user()
        alter(laboratory, f"ALTER USER {account(user)} {need}")
        refused = log_in(laboratory, replace(user, tls=need == "REQUIRE X509"))
        assert isinstance(refused, LoginRefused)
        assert "without REQUIRE X509 or a second factor: run SELECT user, host, ssl_type" in refused.remedy
        assert f"'{user.username}'" in refused.remedy
        assert ('"ssl": false' in refused.remedy) == (need == "REQUIRE SSL")

    def test_an_init_connect_that_fails_is_named(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        with setting(laboratory, "init_connect", "'SELECT 1 FROM nowhere.nothing'"):
            refused = log_in(laboratory, user)
        assert isinstance(refused, LoginBlocked)
        assert "error 1184" in refused.cause
        assert "init_connect" in refused.remedy

    def test_a_database_of_somebody_else_is_no_wrong_password(self, laboratory: MySQLLaboratory) -> None:
        refused = log_in(laboratory, replace(laboratory.new_user(), database="mysql"))
        assert isinstance(refused, LoginBlocked)
        assert "error 1044" in refused.cause

    @pytest.mark.parametrize("number", [*BEFORE_THE_LOGIN, 4999])
    def test_whatever_a_server_answers_before_the_login_is_no_silence(
        self, laboratory: MySQLLaboratory, number: int
    ) -> None:
        """A number that nobody knows comes with the server's words, without secrets, bounded and on one line."""
        words = b"a word\nand IDENTIFIED BY 'hidden-away-1' " + b"x" * 2000
        packet = b"\xff" + struct.pack("<H", number) + b"#HY000" + words
        with serving(lambda sock: sock.sendall(struct.pack("<I", len(packet)) + packet)) as port:
            refused = log_in(laboratory, replace(laboratory.new_user(), port=port))
        assert isinstance(refused, LoginBlocked)
        assert f"(error {number})" in refused.cause
        assert "a word and" in refused.cause
        assert "hidden-away-1" not in refused.cause
        assert len(refused.cause) < 700
        assert number in LOGIN_PROBLEMS or refused.remedy == CORRECT_CAUSE

    def test_a_limit_of_the_account_is_no_silence(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        alter(laboratory, f"ALTER USER {account(user)} WITH MAX_CONNECTIONS_PER_HOUR 1")
        laboratory.logs_in(user)
        refused = log_in(laboratory, user)
        assert isinstance(refused, LoginBlocked)
        assert "error 1226" in refused.cause

    def test_the_other_engine_is_one_sentence(self, laboratory: MySQLLaboratory) -> None:
        other = MySQL() if laboratory.engine.kind.name == "MariaDB" else MariaDB()
        user = laboratory.new_user()
        with pytest.raises(LoginBlocked) as raised, other.connect(user, deadline()):
            pass
        ours, theirs = other.kind.name, laboratory.engine.kind.name
        assert raised.value.cause.startswith(f"the server there is {theirs} {laboratory.version[:4]}")
        assert raised.value.cause.endswith(f"are for {ours}")
        assert f"Attach the rotation function for {theirs}" in raised.value.remedy

    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT COUNT(*) FROM {many} a, {many} b, {many} c WHERE a.id + b.id > c.id",
            "INSERT INTO lab.slow SELECT COUNT(*) FROM {many} a, {many} b, {many} c WHERE a.id + b.id > c.id",
        ],
        ids=["SELECT", "INSERT"],
    )
    def test_a_statement_of_verify_that_takes_long_ends_on_the_server_too(
        self, laboratory: MySQLLaboratory, statement: str
    ) -> None:
        user = laboratory.new_user()
        alter(
            laboratory,
            "CREATE TABLE IF NOT EXISTS lab.slow (id bigint)",
            "CREATE TABLE IF NOT EXISTS lab.many (id int)",
            f"GRANT SELECT, INSERT ON lab.* TO {account(user)}",
        )
        if asked(laboratory, "SELECT COUNT(*) FROM lab.many") == [(0,)]:
            alter(laboratory, *["INSERT INTO lab.many VALUES (1), (2), (3), (4)"] * 50)
            alter(laboratory, "INSERT INTO lab.many SELECT a.id FROM lab.many a, lab.many b LIMIT 20000")
        began = time.monotonic()
        with (
            pytest.raises(StatementFailed, match=r"statement 1 of verify"),
            laboratory.engine.connect(user, deadline(5.5)) as session,
        ):
            session.verify([statement.format(many="lab.many")])
        assert time.monotonic() - began < 6
        query = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = %s AND command <> 'Killed'"
        assert until(lambda: asked(laboratory, query, user.username) == [(0,)])


@pytest.mark.engine("mysql")
class TestMySQL(Family):
    """What only MySQL does, and what both do."""

    # One password is left

    @pytest.mark.parametrize("policy", ["", "PASSWORD HISTORY 5", "PASSWORD REQUIRE CURRENT"])
    def test_a_second_password_ends_if_the_user_may_end_it(self, mysql: MySQLLaboratory, policy: str) -> None:
        user, second = retained(mysql, by_itself=True)
        alter(mysql, f"ALTER USER {account(user)} {policy}")
        new = change(mysql, user)
        assert mysql.logs_in(new)
        assert not mysql.logs_in(user)
        assert not mysql.logs_in(second)

    @pytest.mark.parametrize("by_itself", [True, False])
    def test_a_password_that_does_not_meet_the_policy_any_more_is_replaced(
        self, mysql: MySQLLaboratory, *, by_itself: bool
    ) -> None:
        user = mysql.new_user(password="simple")
        mysql.allow_two_passwords(user.username, by_itself=by_itself)
        unlike = "validate_password.changed_characters_percentage"
        with mysql.password_policy(user.username), setting(mysql, unlike, "4"):
            new = replace(user, password=new_password())
            with mysql.engine.connect(user, deadline()) as session:
                session.change_own_password(new.password)
            newer = change(mysql, new)
        assert [mysql.logs_in(one) for one in (newer, new, user)] == [True, False, False]

    def test_who_logs_in_with_the_second_password_keeps_only_the_new_one(self, mysql: MySQLLaboratory) -> None:
        primary, user = retained(mysql, by_itself=True)
        new = change(mysql, user)
        assert [mysql.logs_in(one) for one in (new, user, primary)] == [True, False, False]

    @pytest.mark.parametrize(("policy", "by_itself"), [("", False), ("PASSWORD REQUIRE CURRENT", True)])
    def test_a_second_password_that_the_user_may_not_end_is_refused_and_ended_by_an_admin(
        self, mysql: MySQLLaboratory, policy: str, *, by_itself: bool
    ) -> None:
        primary, user = retained(mysql, by_itself=by_itself)
        alter(mysql, f"ALTER USER {account(user)} {policy}")
        with pytest.raises(NotPermitted, match='"masterarn"'):
            change(mysql, user)
        assert mysql.logs_in(user)
        new = reset(mysql, user)
        assert [mysql.logs_in(one) for one in (new, user, primary)] == [True, False, False]

    @pytest.mark.parametrize("knows", ["primary", "second", "neither"])
    def test_an_admin_that_resets_a_password_leaves_one(self, mysql: MySQLLaboratory, knows: str) -> None:
        user, second = retained(mysql, by_itself=False)
        new = changed(user)
        with mysql.engine.connect(mysql.admin, deadline()) as session:
            if knows != "neither":
                session.require_proven(proof_of(mysql, user if knows == "primary" else second))
            session.reset_password(user.username, new.password)
        assert [mysql.logs_in(one) for one in (new, user, second)] == [True, False, False]

    def test_the_password_that_logged_in_works_until_the_admin_has_set_the_new_one(
        self, mysql: MySQLLaboratory
    ) -> None:
        _, user = retained(mysql, by_itself=False)
        new, known = changed(user), proof_of(mysql, user)
        seen: list[bool] = []

        class Looking(MySQLConnection):
            def execute(
                self, operation: str, statement: str, remedy: str = "", expected: frozenset[int] = frozenset()
            ) -> list[tuple[object, ...]]:
                seen.append(mysql.logs_in(user))
                return super().execute(operation, statement, remedy, expected)

        with mysql.engine.connect(mysql.admin, deadline()) as session:
            session.require_proven(known)
            assert isinstance(session, MySQLSession)
            session.connection.__class__ = Looking
            session.reset_password(user.username, new.password)
        assert len(seen) > 3
        assert all(seen)

    def test_two_deliveries_of_a_step_leave_one_password(self, mysql: MySQLLaboratory) -> None:
        user, second = retained(mysql, by_itself=True)
        new = changed(user)
        with (
            mysql.engine.connect(user, deadline()) as first,
            mysql.engine.connect(user, deadline()) as other,
        ):
            first.change_own_password(new.password)
            other.change_own_password(new.password)
        assert [mysql.logs_in(one) for one in (new, user, second)] == [True, False, False]

    def test_a_finished_rotation_after_one_with_two_passwords_leaves_one(self, mysql: MySQLLaboratory) -> None:
        user = mysql.new_user()
        mysql.allow_two_passwords(user.username, by_itself=True)
        new = changed(user)
        add(mysql, user, user, new)
        newer = change(mysql, new)
        assert [mysql.logs_in(one) for one in (newer, new, user)] == [True, False, False]

    # An expired password

    def test_an_expired_password_is_renewed_whatever_the_policy_says(self, mysql: MySQLLaboratory) -> None:
        for policy in ("PASSWORD HISTORY 5", "PASSWORD REUSE INTERVAL 5 DAY", "PASSWORD REQUIRE CURRENT"):
            user = mysql.new_user()
            alter(mysql, f"ALTER USER {account(user)} {policy}")
            mysql.allow_two_passwords(user.username, by_itself=True)
            user = change(mysql, user)
            retain = f"IDENTIFIED BY {quoted(user.password + '1')} RETAIN CURRENT PASSWORD"
            alter(mysql, f"ALTER USER {account(user)} {retain}")
            second, user = user, replace(user, password=user.password + "1")
            expire(mysql, user)
            assert mysql.logs_in(change(mysql, user))
            assert not mysql.logs_in(user)
            assert not mysql.logs_in(second)

    def test_who_logs_in_with_the_second_password_and_it_expired_needs_the_admin(self, mysql: MySQLLaboratory) -> None:
        primary, user = retained(mysql, by_itself=True)
        expire(mysql, user)
        with pytest.raises(NotPermitted, match="has expired"):
            change(mysql, user)
        new, known = changed(user), proof_of(mysql, user)
        with mysql.engine.connect(mysql.admin, deadline()) as session:
            session.require_proven(known)
            session.reset_password(user.username, new.password)
        assert [mysql.logs_in(one) for one in (new, user, primary)] == [True, False, False]

    @pytest.mark.parametrize("by_itself", [True, False])
    def test_an_account_whose_hash_the_server_does_not_take_any_more_is_renewed(
        self, mysql: MySQLLaboratory, *, by_itself: bool
    ) -> None:
        user = mysql.new_user()
        mysql.allow_two_passwords(user.username, by_itself=by_itself)
        with mysql.session() as run:  # which could not log in any more
            run("SET GLOBAL caching_sha2_password_storage_format = PBKDF2_SHA512")
            try:
                run("SET GLOBAL caching_sha2_password_enforce_storage_format = ON")
                assert mysql.logs_in(change(mysql, user))
            finally:
                run("SET GLOBAL caching_sha2_password_enforce_storage_format = OFF")
                run("SET GLOBAL caching_sha2_password_storage_format = CRYPT5")

    def test_a_user_whose_password_expired_adds_one_by_itself(self, mysql: MySQLLaboratory) -> None:
        user = mysql.new_user()
        mysql.allow_two_passwords(user.username, by_itself=True)
        expire(mysql, user)
        new = changed(user)
        with mysql.engine.connect(user, deadline()) as session:
            assert isinstance(session, KeepsOldPassword)
            session.require_two_passwords()
            session.add_password(user.username, user.password, new.password)
        assert mysql.logs_in(user)
        assert mysql.logs_in(new)

    def test_an_expired_password_that_needs_quotes_is_left_to_the_admin(self, mysql: MySQLLaboratory) -> None:
        user = mysql.new_user(password="it's" + secrets.token_urlsafe())
        expire(mysql, user)
        with pytest.raises(NotPermitted, match="has expired"):
            change(mysql, user)
        with mysql.engine.connect(mysql.admin, deadline()) as session:
            session.require_proven(proof_of(mysql, user))
            session.reset_password(user.username, "new" + user.password)
        assert mysql.logs_in(replace(user, password="new" + user.password))

    def test_a_second_factor_is_refused_with_a_remedy(self, mysql: MySQLLaboratory) -> None:
        user = mysql.new_user()
        with setting(mysql, "authentication_policy", "'*,*,'"):
            alter(mysql, "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'")
            alter(mysql, f"ALTER USER {account(user)} ADD 2 FACTOR IDENTIFIED WITH auth_socket")
            refused = log_in(mysql, user)
            alter(mysql, f"DROP USER {account(user)}", "UNINSTALL PLUGIN auth_socket")
        assert isinstance(refused, LoginRefused)
        assert "or a second factor" in refused.remedy

    def test_a_blocked_account_is_told_the_statement_that_helps(self, mysql: MySQLLaboratory) -> None:
        user = mysql.new_user()
        alter(mysql, f"ALTER USER {account(user)} FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED")
        assert not mysql.logs_in(changed(user))
        refused = log_in(mysql, user)
        assert isinstance(refused, LoginBlocked)
        assert f"ALTER USER '{user.username}' ACCOUNT UNLOCK" in refused.remedy


@pytest.mark.engine("mariadb")
class TestMariaDB(Family):
    """What only MariaDB does, and what both do."""

    @pytest.mark.parametrize("by", ["the first", "the second"])
    def test_a_second_method_is_refused_and_ended_by_an_admin(self, mariadb: MySQLLaboratory, by: str) -> None:
        user, second = two_methods(mariadb)
        who = user if by == "the first" else second
        with pytest.raises(NotPermitted, match=r'"masterarn"; or run ALTER USER .* IDENTIFIED VIA'):
            change(mariadb, who)
        assert mariadb.logs_in(user)
        assert mariadb.logs_in(second)
        new = reset(mariadb, who)
        assert [mariadb.logs_in(one) for one in (new, user, second)] == [True, False, False]

    def test_the_mark_of_a_pair_is_no_second_password(self, mariadb: MySQLLaboratory) -> None:
        user = mariadb.new_user()
        clone = set_secret(mariadb, user)
        for one in (user, clone):
            new = reset(mariadb, change(mariadb, one))
            assert mariadb.logs_in(new)
        with mariadb.engine.connect(mariadb.admin, deadline()) as session:
            assert session.clone_status(user.username, new_clone(user).username).name == "OURS"

    def test_a_password_behind_a_method_without_one_is_not_sent_in_clear(
        self, mariadb: MySQLLaboratory, caplog: pytest.LogCaptureFixture
    ) -> None:
        user = mariadb.new_user()
        ways = f"unix_socket OR mysql_native_password USING PASSWORD({quoted(user.password)})"
        alter(mariadb, f"ALTER USER {account(user)} IDENTIFIED VIA {ways}")
        with pytest.raises(NotPermitted, match="unix_socket or mysql_native_password"):
            change(mariadb, user)
        assert mariadb.logs_in(user)
        new = reset(mariadb, user)
        assert mariadb.logs_in(new)
        assert not mariadb.logs_in(user)
        assert not caplog.records
        assert new.password not in mariadb.log_text()
        assert "unix_socket" in str(asked(mariadb, f"SHOW CREATE USER {account(user)}"))

    def test_an_expired_password_is_renewed_as_a_hash_and_under_a_policy_in_clear(
        self, mariadb: MySQLLaboratory
    ) -> None:
        for policy in ((), ("INSTALL SONAME 'simple_password_check'", "UNINSTALL SONAME 'simple_password_check'")):
            user = mariadb.new_user(password=f"Aa1-{secrets.token_urlsafe()}")
            expire(mariadb, user)
            alter(mariadb, *policy[:1])
            with suppress_policy(mariadb, policy[1:]):
                new = change(mariadb, user)
            assert mariadb.logs_in(new)
            assert (new.password in mariadb.log_text()) == bool(policy)

    def test_a_server_that_refuses_used_passwords_cannot_keep_one(self, mariadb: MySQLLaboratory) -> None:
        if mariadb.version.startswith(("10.4", "10.5", "10.6")):  # they have no such plugin
            return
        user = mariadb.new_user()
        alter(mariadb, "INSTALL SONAME 'password_reuse_check'")
        try:
            with pytest.raises(Unsupported, match="UNINSTALL SONAME 'password_reuse_check'"):
                add(mariadb, mariadb.admin, user, changed(user))
        finally:
            alter(mariadb, "UNINSTALL SONAME 'password_reuse_check'")
        assert mariadb.logs_in(user)

    def test_a_random_password_meets_what_the_server_asks_for(self, mariadb: MySQLLaboratory) -> None:
        user = mariadb.new_user()
        clone = new_clone(user)
        alter(mariadb, "INSTALL SONAME 'simple_password_check'")
        try:
            with (
                setting(mariadb, "simple_password_check_digits", "9"),
                mariadb.engine.connect(mariadb.admin, deadline()) as session,
            ):
                session.mirror(user.username, clone.username)
        finally:
            alter(mariadb, "UNINSTALL SONAME 'simple_password_check'")

    def test_a_name_that_is_too_long_for_this_version_has_a_remedy(self, mariadb: MySQLLaboratory) -> None:
        user = mariadb.new_user()
        alter(mariadb, f"GRANT CREATE USER ON *.* TO {account(user)}")
        with mariadb.engine.connect(user, deadline()) as session:
            assert isinstance(session, MySQLSession)
            with pytest.raises(StatementFailed, match=r"error 1470.*Use a shorter user name"):
                session.connection.execute("creating", f"CREATE USER {account('u' * 129)}")

    def test_a_plugin_that_the_client_lacks_is_named(self, mariadb: MySQLLaboratory) -> None:
        if mariadb.version.startswith("10."):  # it has no such plugin
            return
        user = mariadb.new_user()
        alter(mariadb, "INSTALL SONAME 'auth_parsec'")
        try:
            way = f"VIA parsec USING PASSWORD({quoted(user.password)})"
            alter(mariadb, f"ALTER USER {account(user)} IDENTIFIED {way}")
            refused = log_in(mariadb, user)
            with mariadb.engine.connect(mariadb.admin, deadline()) as session:
                assert isinstance(session, SeesPasswords)
                assert session.accepted(user.username, [user.password, "x"]) == [user.password]
            alter(mariadb, f"DROP USER {account(user)}")
        finally:
            alter(mariadb, "UNINSTALL SONAME 'auth_parsec'")
        assert isinstance(refused, LoginBlocked)
        assert "Change the account's plugin to ed25519 or mysql_native_password" in refused.remedy

    def test_an_account_that_the_server_blocks_gets_a_statement_that_helps(self, mariadb: MySQLLaboratory) -> None:
        user = mariadb.new_user()
        with setting(mariadb, "max_password_errors", "1"):
            for _ in range(2):
                mariadb.logs_in(changed(user))
            refused = log_in(mariadb, user)
            assert isinstance(refused, LoginBlocked)
            assert "error 4150" in refused.cause
            assert "FLUSH PRIVILEGES" in refused.remedy
            alter(mariadb, "FLUSH PRIVILEGES")
            assert mariadb.logs_in(user)


@contextmanager
def suppress_policy(laboratory: MySQLLaboratory, statements: tuple[str, ...]) -> Iterator[None]:
    """Run statements at the end."""
    try:
        yield
    finally:
        with suppress(pymysql.MySQLError):
            alter(laboratory, *statements)
