"""What else does MySQL promise, and what do MySQL and MariaDB promise together?"""

import fcntl
import secrets
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from rotation.credential import Credential
from rotation.engines.mysql import MySQL, catalog, two_passwords
from rotation.engines.mysql.connection import MySQLConnection
from rotation.engines.mysql.session import MySQLSession
from rotation.errors import (
    DatabaseError,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    StatementFailed,
    Unreachable,
    Unsupported,
    Untrusted,
)
from tests.contract.contract import EngineContract
from tests.contract.impostor import greeting
from tests.contract.mysql_kit import account, add, alter, asked, require_two, serving, setting
from tests.contract.pairs import Pair, RecordInMemory, changed, differences, mirror, new_clone, new_pair, set_secret
from tests.laboratories import deadline
from tests.laboratories.mysql import MySQLLaboratory, quoted
from tests.local.servers import mysql as mysql_server

pytestmark = pytest.mark.engine("mysql")


class TestMySQL(EngineContract):
    """MySQL keeps the contract."""


# Two passwords


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


def test_a_delivery_that_is_overtaken_while_it_recovers_is_content(
    mysql: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = mysql.new_user()
    mysql.allow_two_passwords(user.username, by_itself=True)
    orphan, new = changed(user), changed(user)
    add(mysql, user, user, orphan)

    real = two_passwords.make_primary

    def overtaken(connection: MySQLConnection, current: str, operation: str) -> None:
        real(connection, current, operation)
        add(mysql, user, user, new)

    monkeypatch.setattr(two_passwords, "make_primary", overtaken)
    with mysql.engine.connect(user, deadline()) as session:
        assert isinstance(session, MySQLSession)
        session.add_password(user.username, user.password, new.password)
    assert mysql.logs_in(user)
    assert mysql.logs_in(new)


def test_a_user_that_cannot_keep_its_password_gets_the_remedy(mysql: MySQLLaboratory) -> None:
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


# Errors, and how the server is reached


def test_a_policy_is_met_by_a_clone_and_a_password_against_it_has_a_remedy(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user(password="Strong-" + secrets.token_urlsafe() + "-9a")
    clone = replace(new_clone(user), password="Strong-" + secrets.token_urlsafe() + "-9a")
    alter(mysql, "INSTALL COMPONENT 'file://component_validate_password'")
    try:
        mirror(mysql, user, clone)
        assert mysql.logs_in(clone)
        refused = pytest.raises(PasswordRefused, match=r"error 1819.*enough characters of each kind.*Rotate again")
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
        with pytest.raises(PasswordRefused, match=r"error 3638.*Rotate again"):
            session.change_own_password(new.password)


def test_a_password_in_the_history_can_be_set_again_by_the_same_delivery(mysql: MySQLLaboratory, pair: Pair) -> None:
    user, clone = pair
    alter(mysql, f"ALTER USER {account(user)} PASSWORD HISTORY 5 PASSWORD REUSE INTERVAL 6 DAY")
    for _ in range(2):
        mirror(mysql, user, clone)
        assert mysql.logs_in(clone)


def test_a_locked_account_is_not_a_wrong_password(mysql: MySQLLaboratory) -> None:
    user = mysql.new_user()
    alter(mysql, f"ALTER USER {account(user)} ACCOUNT LOCK")
    with pytest.raises(LoginBlocked, match="error 3118"), mysql.engine.connect(user, deadline()):
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
        writer = MySQLLaboratory.on(MySQL(), server, mysql_server.create_rds_master(server))
        user = writer.new_user()
        clone = new_clone(user)
        mirror(writer, user, clone)
        server.execute("SHUTDOWN")
        with (tmp_path / "data" / "ibdata1").open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)  # the server has it until it has written everything
    with mysql_server.start(tmp_path, again=server, options=["--innodb-read-only"]) as server:
        reader = MySQLLaboratory.on(MySQL(), server, writer.admin.password)
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

    def test_what_cannot_be_rolled_back_is_reported(self, laboratory: MySQLLaboratory) -> None:
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
            assert session.compare(user.username, f"{user.username}_clone").sentences == []
        assert laboratory.logs_in(replace(user, username=f"{user.username}_clone", password="p\\'\"`"))

    def test_a_servers_character_set_and_autocommit_do_not_confuse_us(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user(f"ü_{secrets.token_hex(4)}")
        with (
            setting(laboratory, "init_connect", quoted("SET NAMES latin1, autocommit = 0")),
            laboratory.engine.connect(user, deadline()) as session,
        ):
            assert isinstance(session, MySQLSession)
            asked_of_session = "SELECT 'ü', CHAR_LENGTH('ü'), @@SESSION.autocommit"
            assert session.connection.execute("asking", asked_of_session) == [("ü", 1, 1)]
            session.change_own_password("ü-Aa1" + secrets.token_hex(8))
            assert session.proof().username == user.username

    def test_a_servers_limit_of_rows_hides_no_account(self, laboratory: MySQLLaboratory) -> None:
        (user, clone), record = new_pair(laboratory), RecordInMemory()
        with setting(laboratory, "sql_select_limit", "1"):
            pending = set_secret(laboratory, user, clone, pair=record)
            set_secret(laboratory, pending, user, pair=record)
            assert differences(laboratory, user, clone) == []

    def test_a_server_that_ends_a_session_with_its_transaction_keeps_ours(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        with setting(laboratory, "completion_type", "2"), laboratory.engine.connect(user, deadline()) as session:
            session.verify(["SELECT 1"])
            assert session.proof().username == user.username

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

    def test_a_bundle_that_cannot_be_read_is_reported(
        self, laboratory: MySQLLaboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DB_CA_BUNDLE", "/nowhere.pem")
        with pytest.raises(Untrusted, match="DB_CA_BUNDLE"), laboratory.engine.connect(laboratory.admin, deadline()):
            pass

    def test_without_tls_only_if_the_secret_says_so(self, laboratory: MySQLLaboratory) -> None:
        user = laboratory.new_user()
        for tls in (True, False):
            with laboratory.engine.connect(replace(user, tls=tls), deadline()) as session:
                assert isinstance(session, MySQLSession)
                [(_, cipher)] = session.connection.execute("asking", "SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            assert bool(cipher) is tls

    def test_a_database_that_does_not_exist_is_not_a_wrong_password(self, laboratory: MySQLLaboratory) -> None:
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

    def test_a_statement_that_one_cannot_run_is_no_refused_login(self, laboratory: MySQLLaboratory) -> None:
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


@pytest.mark.engine("mysql")
class TestFamilyOnMySQL(Family):
    """MySQL keeps them."""


@pytest.mark.engine("mariadb")
class TestFamilyOnMariaDB(Family):
    """MariaDB keeps them."""
