"""Does an admin of MySQL or MariaDB change the account that logged in, and no other one of its name?"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from rotation.credential import Credential
from rotation.engine import CloneStatus, KeepsOldPassword, Proof
from rotation.engines.mariadb import MariaDB
from rotation.engines.mysql import MySQL, catalog
from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.definition import Row
from rotation.engines.mysql.names import Account
from rotation.engines.mysql.session import MySQLSession
from rotation.errors import Unsafe, Unsupported
from tests.contract.mysql_kit import account, alter, asked, hosts, rotate, shown
from tests.contract.pairs import changed, differences, mirror, new_clone, proof_of
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory, quoted

HERE, ELSEWHERE = "127.0.0.1", "10.%"
"""A pattern of hosts that comes before "%", and one from which nobody logs in."""


def new_account(laboratory: MySQLLaboratory, user: Credential, host: str, more: str = "") -> Credential:
    """Give a user's name an account for other hosts, with a password of its own, and a right."""
    other = replace(changed(user), database=None)
    alter(
        laboratory,
        f"CREATE USER {account(user, host)} IDENTIFIED BY {quoted(other.password)} {more}",
        f"GRANT SELECT ON lab.lab_invoices TO {account(user, host)}",
    )
    return other


def opens(laboratory: MySQLLaboratory, user: Credential, host: str) -> bool:
    """Tell whether a password is the one of an account from which nobody logs in."""
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        assert isinstance(session, MySQLSession)
        return session.accounts.has_password(Account(user.username, host), user.password)


@contextmanager
def shadowed(laboratory: MySQLLaboratory, user: Credential) -> Iterator[Credential]:
    """Make an anonymous account that comes before every user; yield a user that then logs in as it."""
    anonymous = replace(changed(user), database=None)
    with laboratory.session() as run:  # which then could not log in itself
        run(f"CREATE USER ''@{quoted(HERE)} IDENTIFIED BY {quoted(anonymous.password)}")
        try:
            yield anonymous
        finally:
            run(f"DROP USER ''@{quoted(HERE)}")


def test_an_admin_needs_no_database_to_change_a_user() -> None:
    assert not MySQL.kind.admin_needs_database
    assert not MariaDB.kind.admin_needs_database


class Family:
    """What the two promise together; a subclass says where."""

    def test_a_proof_names_the_account_that_the_server_chose(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        for host in ("%", "127.0.0.0/255.0.0.0", HERE):
            here = user if host == "%" else new_account(laboratory, user, host)
            known = proof_of(laboratory, here)
            assert known == Proof(user.username, here.password, f"{user.username}@{host}")
            with laboratory.engine.connect(laboratory.admin, deadline()) as session:
                session.require_proven(known)
            assert here.password not in repr(known)

    def test_an_account_that_is_not_there_is_not_taken_for_another_of_its_name(
        self, laboratory: MySQLLaboratory
    ) -> None:
        user = laboratory.new_user()
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            for principal in (f"{user.username}@{HERE}", f"{user.username}@", f"x{user.username}@%"):
                with pytest.raises(Unsafe, match="has no such account"):
                    session.require_proven(Proof(user.username, user.password, principal))

    def test_an_anonymous_account_is_nobody(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        with (
            shadowed(laboratory, user) as anonymous,
            laboratory.engine.connect(anonymous, deadline()) as session,
            pytest.raises(Unsafe, match=f"another account.*DROP USER ''@'{HERE}'"),
        ):
            session.proof()

    def test_who_is_let_in_as_an_anonymous_account_changes_no_password(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        with shadowed(laboratory, user) as anonymous:
            with laboratory.engine.connect(anonymous, deadline()) as session, pytest.raises(Unsafe):
                session.change_own_password("another")
            assert laboratory.logs_in(anonymous)

    def test_an_account_with_another_password_is_left_alone_by_a_pair(
        self, laboratory: MySQLLaboratory, caplog: pytest.LogCaptureFixture
    ) -> None:
        current = laboratory.new_user()
        new_account(laboratory, current, ELSEWHERE)
        before, pending = shown(laboratory, current, ELSEWHERE), new_clone(current)
        user = current
        for _ in range(4):
            assert rotate(laboratory, current, pending) == []
            assert laboratory.logs_in(pending)
            assert sorted(hosts(laboratory, current) + hosts(laboratory, pending)) == sorted(["%", "%", ELSEWHERE])
            current, pending = pending, changed(current)
        assert shown(laboratory, user, ELSEWHERE) == before
        assert f"{user.username}@{ELSEWHERE} is left alone" in caplog.text

    def test_an_account_with_another_password_is_left_alone_by_an_admin_that_resets_one(
        self, laboratory: MySQLLaboratory
    ) -> None:
        user = laboratory.new_user()
        new_account(laboratory, user, ELSEWHERE)
        before, new = shown(laboratory, user, ELSEWHERE), changed(user)
        known = proof_of(laboratory, user)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.require_proven(known)
            session.reset_password(user.username, new.password)
        assert laboratory.logs_in(new)
        assert shown(laboratory, user, ELSEWHERE) == before

    def test_an_account_with_another_password_is_left_alone_by_an_admin_that_adds_one(
        self, laboratory: MySQLLaboratory
    ) -> None:
        user = laboratory.new_user()
        new_account(laboratory, user, ELSEWHERE)
        before, known = shown(laboratory, user, ELSEWHERE), proof_of(laboratory, user)
        new = changed(user)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.require_proven(known)
            assert isinstance(session, KeepsOldPassword)
            session.add_password(user.username, user.password, new.password)
        assert laboratory.logs_in(user)
        assert laboratory.logs_in(new)
        assert shown(laboratory, user, ELSEWHERE) == before

    def test_an_account_that_the_same_password_opens_is_of_the_pair(self, laboratory: MySQLLaboratory) -> None:
        current = laboratory.new_user()
        new_account(laboratory, current, ELSEWHERE)
        alter(laboratory, f"ALTER USER {account(current, ELSEWHERE)} IDENTIFIED BY {quoted(current.password)}")
        pending = new_clone(current)
        for _ in range(3):
            assert rotate(laboratory, current, pending) == []
            assert set(hosts(laboratory, pending)) == {"%", ELSEWHERE}
            assert opens(laboratory, pending, ELSEWHERE)
            assert opens(laboratory, pending, "%")
            current, pending = pending, changed(current)

    def test_an_account_that_the_same_password_opens_is_reset_with_it(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        new_account(laboratory, user, ELSEWHERE, "ACCOUNT LOCK")
        alter(laboratory, f"ALTER USER {account(user, ELSEWHERE)} IDENTIFIED BY {quoted(user.password)}")
        known, new = proof_of(laboratory, user), changed(user)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.require_proven(known)
            session.reset_password(user.username, new.password)
        assert opens(laboratory, new, ELSEWHERE)
        assert "ACCOUNT LOCK" in shown(laboratory, user, ELSEWHERE)[0]

    def test_a_locked_account_of_another_has_a_locked_twin_and_is_itself_left_alone(
        self, laboratory: MySQLLaboratory
    ) -> None:
        current = laboratory.new_user()
        new_account(laboratory, current, ELSEWHERE, "ACCOUNT LOCK")
        user, pending = current, new_clone(current)
        before, clone = shown(laboratory, user, ELSEWHERE), pending
        for _ in range(4):
            assert rotate(laboratory, current, pending) == []
            current, pending = pending, changed(current)
            assert "ACCOUNT LOCK" in shown(laboratory, clone, ELSEWHERE)[0]
            assert shown(laboratory, user, ELSEWHERE) == before
            assert not opens(laboratory, clone, ELSEWHERE)
        alter(laboratory, f"ALTER USER {account(user, ELSEWHERE)} ACCOUNT UNLOCK")
        rotate(laboratory, current, pending)
        assert hosts(laboratory, clone) == ["%"]

    def test_another_owners_pair_of_the_same_names_is_left_alone(self, laboratory: MySQLLaboratory) -> None:
        current = laboratory.new_user()
        pending = new_clone(current)
        for user in (current, pending):
            new_account(laboratory, user, ELSEWHERE)
        before = [shown(laboratory, user, ELSEWHERE) for user in (current, pending)]
        for _ in range(3):
            assert rotate(laboratory, current, pending) == []
            current, pending = pending, changed(current)
        assert [shown(laboratory, user, ELSEWHERE) for user in (pending, current)] == before

    def test_an_account_of_the_clones_name_is_ours_for_its_own_password_only(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        clone = laboratory.new_user(f"{user.username}_clone")
        for one in (user, clone):
            new_account(laboratory, one, ELSEWHERE)
        alter(laboratory, f"ALTER USER {account(user, ELSEWHERE)} IDENTIFIED BY {quoted(user.password)}")
        before, proofs = shown(laboratory, clone, ELSEWHERE), [proof_of(laboratory, one) for one in (user, clone)]
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.require_proven(proofs[0])
            assert session.clone_status(user.username, clone.username) is CloneStatus.UNKNOWN
            session.require_proven(proofs[1])
            with pytest.raises(Unsafe, match=f"{clone.username}@{ELSEWHERE} was not created by this rotation"):
                session.mirror(user.username, clone.username)
        assert shown(laboratory, clone, ELSEWHERE) == before

    def test_a_clone_that_its_own_password_proves_is_mirrored_and_marked(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        clone = laboratory.new_user(f"{user.username}_clone")
        proofs = [proof_of(laboratory, one) for one in (user, clone)]
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.require_proven(proofs[0])
            session.require_proven(proofs[1])
            session.mirror(user.username, clone.username)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.clone_status(user.username, clone.username) is CloneStatus.OURS
            assert session.clone_status(clone.username, user.username) is CloneStatus.OURS

    def test_without_a_proof_every_account_of_the_name_is_meant(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        new_account(laboratory, user, ELSEWHERE)
        clone, new = new_clone(user), changed(user)
        mirror(laboratory, user, clone)
        assert set(hosts(laboratory, clone)) == {"%", ELSEWHERE}
        assert differences(laboratory, user, clone) == []
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.reset_password(user.username, new.password)
        assert opens(laboratory, new, ELSEWHERE)

    def test_names_that_look_like_patterns_and_accounts_are_only_names(self, laboratory: MySQLLaboratory) -> None:
        for name in ("%", "a@b", "a@", "@a", "_", "a'@'%"):
            user = laboratory.new_user(f"{name}{secrets.token_hex(2)}@")
            assert proof_of(laboratory, user).principal == f"{user.username}@%"
            assert rotate(laboratory, user, new_clone(user)) == []


@pytest.mark.engine("mysql")
class TestMySQL(Family):
    """MySQL keeps them."""

    def test_an_account_that_a_proxy_put_in_a_users_place_is_somebody_else(self, mysql: MySQLLaboratory) -> None:
        user, proxied = mysql.new_user(), mysql.new_user()
        settings = ("check_proxy_users", "caching_sha2_password_proxy_users")
        alter(mysql, f"GRANT PROXY ON {account(proxied)} TO {account(user)}")
        alter(mysql, *(f"SET GLOBAL {name} = ON" for name in settings))
        try:
            with mysql.engine.connect(replace(user, database=None), deadline()) as session:
                for change in (session.proof, lambda: session.change_own_password("another")):
                    with pytest.raises(Unsafe, match=rf"{proxied.username}@%.*REVOKE PROXY ON .*{user.username}"):
                        change()
        finally:
            alter(mysql, *(f"SET GLOBAL {name} = OFF" for name in settings))
        assert mysql.logs_in(proxied)

    def test_a_clone_in_whose_place_a_stranger_puts_herself_is_not_taken_for_the_user(
        self, mysql: MySQLLaboratory
    ) -> None:
        user, stranger = mysql.new_user(), mysql.new_user()
        alter(mysql, f"GRANT ALL ON lab.* TO {account(stranger)}")
        clone = new_clone(user)
        assert rotate(mysql, user, clone) == []
        with mysql.session(stranger) as run:
            run(f"GRANT PROXY ON {account(stranger)} TO {account(clone)}")
        settings = ("check_proxy_users", "caching_sha2_password_proxy_users")
        alter(mysql, *(f"SET GLOBAL {name} = ON" for name in settings))
        try:
            for statements in ([], ["SELECT 1"]):
                with (
                    pytest.raises(Unsafe, match=rf"{stranger.username}@%, which is another account.*REVOKE PROXY"),
                    mysql.engine.connect(clone, deadline()) as session,
                ):
                    session.verify(statements)
        finally:
            alter(mysql, *(f"SET GLOBAL {name} = OFF" for name in settings))

    @pytest.mark.parametrize("plugin", ["caching_sha2_password", "sha256_password"])
    @pytest.mark.parametrize("scheme", ["CRYPT5", "PBKDF2_SHA512"])
    def test_a_second_password_opens_an_account_whatever_the_hash(
        self, mysql: MySQLLaboratory, plugin: str, scheme: str
    ) -> None:
        user = mysql.new_user()
        alter(mysql, f"SET GLOBAL caching_sha2_password_storage_format = {scheme}")
        try:
            new_account(mysql, user, ELSEWHERE)
            for password in (user.password, changed(user).password):
                statement = f"IDENTIFIED WITH {plugin} BY {quoted(password)}"
                kept = "" if password == user.password else " RETAIN CURRENT PASSWORD"
                statement = statement if not kept else f"IDENTIFIED BY {quoted(password)}"
                alter(mysql, f"ALTER USER {account(user, ELSEWHERE)} {statement}{kept}")
        finally:
            alter(mysql, "SET GLOBAL caching_sha2_password_storage_format = DEFAULT")
        [(stored,)] = asked(
            mysql,
            "SELECT authentication_string FROM mysql.user WHERE user = %s AND host = %s",
            user.username,
            ELSEWHERE,
        )
        if plugin == "caching_sha2_password":
            assert str(stored).startswith({"CRYPT5": "$A$", "PBKDF2_SHA512": "$B$"}[scheme])
        assert opens(mysql, user, ELSEWHERE)
        assert not opens(mysql, changed(user), ELSEWHERE)

    def test_two_passwords_through_an_admin_and_a_history_know_the_hashes_of_pbkdf2(
        self, mysql: MySQLLaboratory
    ) -> None:
        alter(mysql, "SET GLOBAL caching_sha2_password_storage_format = PBKDF2_SHA512")
        try:
            user = mysql.new_user()
            known, orphan, new = proof_of(mysql, user), changed(user), changed(user)
            for password in (orphan, new, new):
                with mysql.engine.connect(mysql.admin, deadline()) as session:
                    session.require_proven(known)
                    assert isinstance(session, KeepsOldPassword)
                    session.add_password(user.username, user.password, password.password)
            assert mysql.logs_in(user)
            assert mysql.logs_in(new)
            assert not mysql.logs_in(orphan)
            alter(mysql, f"ALTER USER {account(user)} PASSWORD HISTORY 5")
            clone = new_clone(user)
            for _ in range(2):  # a history refuses a password that is set again
                assert rotate(mysql, user, clone) == []
        finally:
            alter(mysql, "SET GLOBAL caching_sha2_password_storage_format = DEFAULT")

    def test_a_proven_account_whose_hash_is_not_known_is_not_passed_over_for_another(
        self, mysql: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = mysql.new_user()
        new_account(mysql, user, ELSEWHERE)
        alter(mysql, f"ALTER USER {account(user, ELSEWHERE)} IDENTIFIED BY {quoted(user.password)}")
        known = proof_of(mysql, user)
        with mysql.engine.connect(mysql.admin, deadline()) as session:
            session.require_proven(known)
            assert isinstance(session, KeepsOldPassword)
            real = catalog.row

            def row(connection: MySQLConnection, one: Account) -> Row:
                found = real(connection, one)
                return {**found, "authentication_string": "$C$"} if one.host == "%" else found

            monkeypatch.setattr(catalog, "row", row)
            with pytest.raises(Unsupported, match="in a format known here"):
                session.add_password(user.username, user.password, changed(user).password)


@pytest.mark.engine("mariadb")
class TestMariaDB(Family):
    """MariaDB keeps them."""

    def test_each_method_opens_an_account_whatever_the_hash(self, mariadb: MySQLLaboratory) -> None:
        for plugin in ("ed25519", "parsec"):
            loaded = asked(mariadb, "SELECT 1 FROM information_schema.plugins WHERE plugin_name = %s", plugin)
            if not loaded and plugin == "parsec" and mariadb.version < "11.6":
                continue  # it does not know it yet
            if not loaded:
                alter(mariadb, f"INSTALL SONAME 'auth_{plugin}'")
            user = mariadb.new_user()
            ways = f"mysql_native_password USING PASSWORD('x') OR {plugin} USING PASSWORD({quoted(user.password)})"
            alter(mariadb, f"CREATE USER {account(user, ELSEWHERE)} IDENTIFIED VIA {ways}")
            assert opens(mariadb, user, ELSEWHERE)
            assert opens(mariadb, replace(user, password="x"), ELSEWHERE)
            assert not opens(mariadb, changed(user), ELSEWHERE)
