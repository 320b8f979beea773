"""Does Db2 keep the contract, and what it alone promises?"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rotation.engines import network
from rotation.engines.db2.users import TASKS
from rotation.errors import (
    InvalidSecret,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    StatementFailed,
    Unreachable,
    Unsafe,
    Untrusted,
)
from tests.contract.contract import HOSTILE, EngineContract
from tests.contract.db2_kit import inside_session
from tests.contract.impostor import Line, posing
from tests.contract.pairs import differences, mirror
from tests.laboratories import deadline
from tests.laboratories.db2 import Db2Laboratory, own, quoted
from tests.local.servers import certificates
from tests.local.stand_ins.db2 import server as db2_server
from tests.local.stand_ins.db2 import wire as drda
from tests.local.stand_ins.db2.database import Instance

if TYPE_CHECKING:
    from rotation.engines.db2.session import Db2Session

pytestmark = pytest.mark.engine("db2")


class TestDb2(EngineContract):
    """Db2 keeps the contract; but its users are the operating system's, whose names are words."""

    @pytest.mark.parametrize("text", HOSTILE)
    def test_hostile_names_and_passwords_are_only_text(self, laboratory: Db2Laboratory, text: str) -> None:  # type: ignore[override]
        user = laboratory.new_user(password=f"{text}'\"`\\ ".replace(";", ","))
        other = replace(user, username=f"{user.username}_clone", password=f"{text}\\'\"`=}}{{ -- 2".replace(";", ","))
        changed = replace(user, password=f"{text} '\"`\\ 3".replace(";", ","))
        with laboratory.engine.connect(user, deadline()) as session:
            session.change_own_password(changed.password)
        assert laboratory.logs_in(changed)
        mirror(laboratory, changed, other)
        assert laboratory.logs_in(other)
        assert differences(laboratory, changed, other) == []


class TestDb2Alone:
    """What Db2 alone promises."""

    def test_a_certificate_of_another_authority_is_not_trusted(
        self, laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("DB_CA_BUNDLE")
        with (
            pytest.raises(Untrusted, match=r"414.*certificate of the RDS authorities"),
            laboratory.engine.connect(laboratory.admin, deadline()),
        ):
            pass

    def test_a_certificate_for_another_host_name_is_not_trusted(
        self, laboratory: Db2Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        issued = certificates.issue(tmp_path)
        monkeypatch.setenv("DB_CA_BUNDLE", str(issued.ca))
        # The whole of 127.0.0.0/8 is this machine, on Linux.
        with (
            shaking_hands(issued, "127.0.0.2") as (port, heard),
            pytest.raises(Untrusted, match=r"SQL20576N.*host name that the certificate is for"),
            laboratory.engine.connect(replace(laboratory.admin, host="127.0.0.2", port=port), deadline()),
        ):
            pass
        assert laboratory.admin.password.encode() not in b"".join(heard)

    def test_an_expired_certificate_is_not_trusted(
        self, laboratory: Db2Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expired = certificates.issue(tmp_path, ends=timedelta(days=-1))
        monkeypatch.setenv("DB_CA_BUNDLE", str(expired.ca))
        with (
            posing(partial(show, expired)) as impostor,
            pytest.raises(Untrusted, match=r"414.*certificate of the RDS authorities"),
            laboratory.engine.connect(replace(laboratory.admin, port=impostor.port), deadline()),
        ):
            pass
        assert impostor.heard == b"", "neither user nor password"

    def test_an_authority_anywhere_in_the_bundle_is_trusted(
        self, laboratory: Db2Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bundle = tmp_path / "bundle.pem"
        certs = Path(network.__file__).parents[1] / "certs" / "rds-global-bundle.pem"
        bundle.write_bytes(certs.read_bytes() + laboratory.ca_bundle.read_bytes())
        monkeypatch.setenv("DB_CA_BUNDLE", str(bundle))
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.verify([])

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_a_bundle_that_cannot_be_read_is_reported(
        self, laboratory: Db2Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
    ) -> None:
        bundle = tmp_path / "bundle.pem"
        if content:
            bundle.write_text(content)
        monkeypatch.setenv("DB_CA_BUNDLE", str(bundle))
        with pytest.raises(Untrusted, match="DB_CA_BUNDLE"), laboratory.engine.connect(laboratory.admin, deadline()):
            pass

    def test_a_port_without_tls_learns_nothing_and_the_remedy_names_the_other_port(
        self, laboratory: Db2Laboratory
    ) -> None:
        with (
            serving_once(b"no TLS here") as (port, heard),
            pytest.raises(Untrusted, match=r'ssl_svcename.*"ssl": false'),
            laboratory.engine.connect(replace(laboratory.admin, port=port), deadline()),
        ):
            pass
        assert laboratory.admin.password.encode() not in b"".join(heard)

    def test_without_tls_only_if_the_secret_says_so(self, laboratory: Db2Laboratory) -> None:
        with laboratory.engine.connect(replace(laboratory.admin, tls=False), deadline()) as session:
            session.verify([])

    def test_without_tls_the_client_gets_the_address_that_was_checked(
        self, laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The client asks the system itself what a name leads to, and the system does not know this one."""
        place = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", laboratory.admin.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: place)
        plain = replace(laboratory.admin, host="db.example", tls=False)
        with laboratory.engine.connect(plain, deadline()) as session:
            session.verify([])

    def test_nobody_is_followed_to_another_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server names others when it accepts a login; a client can go on there if the connection is lost."""
        pack = drda.pack

        def lose(*_: object) -> None:
            raise ConnectionResetError

        # The server is one of its own: the client keeps such a list for as long as the process lives.
        with own() as laboratory, posing(lambda _: None) as other:
            address = pack(drda.Code.IPADDR, socket.inet_aton("127.0.0.1"), struct.pack(">H", other.port))
            one = pack(drda.Code.SRVLSRV, drda.number(drda.Code.SRVPRTY, 1), address)
            others = pack(drda.Code.SRVLST, drda.number(drda.Code.SRVLCNT, 1), one)
            monkeypatch.setattr(
                db2_server,
                "pack",
                lambda code, *parts: pack(code, *parts, *([others] if code == drda.Code.ACCRDBRM else [])),
            )
            monkeypatch.setattr(db2_server._Conversation, "_prepare", lose)  # noqa: SLF001 - the stand-in is bent
            plain = replace(laboratory.admin, tls=False)
            with pytest.raises(Unreachable), laboratory.engine.connect(plain, deadline()) as session:
                session.verify(["SELECT 1 FROM SYSIBM.SYSDUMMY1"])
        assert not other.lines

    def test_a_server_that_falls_silent_after_the_handshake_is_left_in_time(
        self, laboratory: Db2Laboratory, instance: Instance
    ) -> None:
        with (
            held(instance.lock),
            pytest.raises(Unreachable, match="no answer within"),
            laboratory.engine.connect(laboratory.admin, deadline(2.5)),
        ):
            pass

    def test_a_statement_that_is_never_answered_is_left_in_time(
        self, laboratory: Db2Laboratory, instance: Instance
    ) -> None:
        with (
            pytest.raises(Unreachable, match=r"looking at tasks.*: (the server gave no answer within|SQL30081N)"),
            laboratory.engine.connect(replace(laboratory.admin, database="RDSADMIN"), deadline(3.0)) as session,
            held(instance.lock),
        ):
            session.connection.execute("looking at tasks", TASKS.format(which="1", kind="NULL"))

    @pytest.mark.parametrize("database", [None, "", "A;UID=other", "TOOLONGNAME", "1ST", "{A}"])
    def test_a_database_is_named_and_is_one_name(self, laboratory: Db2Laboratory, database: str | None) -> None:
        with (
            pytest.raises(InvalidSecret, match='"dbname"'),
            laboratory.engine.connect(replace(laboratory.admin, database=database), deadline()),
        ):
            pass

    @pytest.mark.parametrize("text", ["x;Security=", "{x;y}", '"x;y"', "'x;y'", " x", "x" * 256, "ß" * 128])
    def test_what_the_client_cannot_take_is_never_sent(self, laboratory: Db2Laboratory, text: str) -> None:
        for who in (replace(laboratory.admin, password=text), replace(laboratory.admin, username=text)):
            field = "password" if who.password == text else "username"
            with pytest.raises(InvalidSecret, match=f'"{field}"') as caught, laboratory.engine.connect(who, deadline()):
                pass
            assert laboratory.admin.password not in str(caught.value)
            assert who.password not in str(caught.value)
        with laboratory.engine.connect(laboratory.new_user(), deadline()) as session, pytest.raises(InvalidSecret):
            session.change_own_password(text)

    def test_a_password_arrives_as_it_is(self, laboratory: Db2Laboratory) -> None:
        everything = "".join(chr(code) for code in range(33, 127) if chr(code) != ";") + "äß€😀 "
        user = laboratory.new_user()
        with laboratory.engine.connect(user, deadline()) as session:
            session.change_own_password(everything)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.set_password(user.username, everything)
        with laboratory.engine.connect(replace(user, password=everything), deadline()) as session:
            session.change_own_password("{" + "x" * 254)
        assert laboratory.logs_in(replace(user, password="{" + "x" * 254))

    def test_a_wrong_password_has_a_remedy_and_is_not_shown(self, laboratory: Db2Laboratory) -> None:
        user = replace(laboratory.new_user(), password="wrong-password")
        with (
            pytest.raises(LoginRefused, match=r"SQL30082N.*Put the user's real password") as caught,
            laboratory.engine.connect(user, deadline()),
        ):
            pass
        assert "wrong-password" not in str(caught.value)

    def test_what_keeps_a_login_out_is_no_wrong_password(self, laboratory: Db2Laboratory, instance: Instance) -> None:
        user = laboratory.new_user()
        known = instance.user(user.username)
        assert known
        for change, database, match in (
            ("", "NOWHERE", r'SQL30061N.*"dbname"'),
            ("", "RDSADMIN", "SQL1060N.*GRANT CONNECT"),
            ("is_expired", user.database, "PASSWORD EXPIRED.*by hand"),
            ("is_disabled", user.database, "DISABLED.*Enable"),
        ):
            if change:
                setattr(known, change, True)
            with (
                pytest.raises(LoginBlocked, match=match),
                laboratory.engine.connect(replace(user, database=database), deadline()) as session,
            ):
                session.verify([])
            if change:
                setattr(known, change, False)
        assert laboratory.logs_in(user)

    def test_a_server_that_changes_no_passwords_leaves_it_to_the_admin(
        self, laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = laboratory.new_user()
        monkeypatch.setattr(instance, "changes_passwords", False)
        with (
            pytest.raises(NotPermitted, match=r'changing the password of .*"masterarn"'),
            laboratory.engine.connect(user, deadline()) as session,
        ):
            session.change_own_password("Another-1")
        assert laboratory.logs_in(user)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.set_password(user.username, "Another-1")
        assert laboratory.logs_in(replace(user, password="Another-1"))

    def test_a_password_against_the_policy_has_a_remedy(
        self, laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = laboratory.new_user()
        monkeypatch.setattr(instance, "shortest_password", 12)
        with (
            pytest.raises(NotPermitted, match=r"SQL30083N.*NEW PASSWORD INVALID.*PASSWORD_LENGTH.*masterarn") as caught,
            laboratory.engine.connect(user, deadline()) as session,
        ):
            session.change_own_password("Another-1")
        assert "Another-1" not in str(caught.value)
        assert laboratory.logs_in(user)
        with laboratory.engine.connect(user, deadline()) as session:
            session.change_own_password("Another-longer-1")
        assert laboratory.logs_in(replace(user, password="Another-longer-1"))

    def test_a_user_without_the_packages_of_dynamic_sql_gets_the_remedy(self, laboratory: Db2Laboratory) -> None:
        user = laboratory.new_user()
        with laboratory.session() as run:
            run(f"REVOKE ROLE ROLE_NULLID_PACKAGES FROM USER {quoted(user.username.upper())}")
        with laboratory.engine.connect(user, deadline()) as session:
            session.change_own_password("Another-1")
            with pytest.raises(NotPermitted, match="ROLE_NULLID_PACKAGES"):
                session.verify(["SELECT 1 FROM lab_orders"])

    # Who has logged in

    @pytest.mark.parametrize(
        ("register", "attribute", "name"),
        [("SESSION_USER", "authid", "ADMIN"), ("SYSTEM_USER", "system_user", "SHARED")],
    )
    def test_who_is_another_one_to_the_server_has_proved_nothing(
        self, laboratory: Db2Laboratory, instance: Instance, register: str, attribute: str, name: str
    ) -> None:
        """A procedure that runs at the connect can set the session's user; a directory can map names."""
        with laboratory.engine.connect(laboratory.new_user(), deadline()) as session:
            session.verify(["SELECT ID FROM lab_orders"])
            setattr(instance.sessions[-1], attribute, name)
            with pytest.raises(Unsafe, match=rf"{name} \({register}\)"):
                session.proof()

    def test_who_is_gone_is_not_found(self, laboratory: Db2Laboratory) -> None:
        user = laboratory.new_user()
        with laboratory.engine.connect(user, deadline()) as session:
            proof = session.proof()
        laboratory.administer("CALL RDSADMIN.REMOVE_USER(?)", user.username)
        with (
            pytest.raises(Unsafe, match=f"there is no user {user.username}"),
            laboratory.engine.connect(laboratory.admin, deadline()) as session,
        ):
            session.require_proven(proof)

    def test_who_logged_in_to_another_database_is_not_found(self, laboratory: Db2Laboratory) -> None:
        user = laboratory.new_user()
        with laboratory.engine.connect(user, deadline()) as session:
            proof = session.proof()
        with (
            pytest.raises(Unsafe, match="another user logged in, or to another database"),
            laboratory.engine.connect(replace(laboratory.admin, database="RDSADMIN"), deadline()) as session,
        ):
            session.require_proven(proof)

    # What runs at the connect

    def test_if_a_procedure_runs_at_the_connect_an_admin_changes_nothing(
        self, laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = laboratory.new_user()
        clone = f"{user.username}_clone"
        with connect_procedure(instance, "TRAPS.AT_CONNECT"):
            with laboratory.engine.connect(user, deadline()) as session:
                proof = session.proof()
            changes: tuple[Callable[[Db2Session], object], ...] = (
                lambda session: session.require_proven(proof),
                lambda session: session.clone_status(user.username, clone),
                lambda session: session.mirror(user.username, clone),
                lambda session: session.set_password(user.username, "Another-1"),
                lambda session: session.reset_password(user.username, "Another-1"),
            )
            for change in changes:
                with (
                    pytest.raises(Unsafe, match=r"TRAPS\.AT_CONNECT.*ALLOW_FOREIGN_TRIGGERS"),
                    laboratory.engine.connect(laboratory.admin, deadline()) as session,
                ):
                    change(session)
            assert not instance.user(clone)
            assert laboratory.logs_in(user)
            monkeypatch.setenv("ALLOW_FOREIGN_TRIGGERS", "true")
            with laboratory.engine.connect(laboratory.admin, deadline()) as session:
                session.mirror(user.username, clone)
        assert instance.user(clone)

    # Statements

    def test_a_lock_is_waited_for_no_longer_than_the_time_allows(
        self, laboratory: Db2Laboratory, instance: Instance
    ) -> None:
        user = laboratory.new_user()
        with inside_session(instance) as other:
            other.store.execute("BEGIN IMMEDIATE")
            with (
                pytest.raises(StatementFailed, match=r"SQL0911N.*holds the lock"),
                laboratory.engine.connect(laboratory.admin, deadline(6.0)) as session,
            ):
                session.mirror(user.username, f"{user.username}_clone")
            other.store.execute("ROLLBACK")

    @pytest.mark.parametrize("statement", ["COMMIT", "CALL x()", "TRUNCATE t IMMEDIATE", "-- SELECT", "/* */ SELECT"])
    def test_what_could_not_be_rolled_back_is_not_run(self, laboratory: Db2Laboratory, statement: str) -> None:
        with (
            pytest.raises(StatementFailed, match="Begin it with one of SELECT"),
            laboratory.engine.connect(laboratory.new_user(), deadline()) as session,
        ):
            session.verify([statement])

    def test_what_verify_writes_is_rolled_back(self, laboratory: Db2Laboratory) -> None:
        user = laboratory.new_user()
        with laboratory.session() as run:
            run(f"GRANT INSERT ON TABLE LAB.LAB_ORDERS TO USER {quoted(user.username.upper())}")
        with laboratory.engine.connect(user, deadline()) as session:
            session.verify(["INSERT INTO lab_orders VALUES (7)", "SELECT ID FROM lab_orders"])
        with laboratory.session() as run:
            assert run("SELECT ID FROM LAB.LAB_ORDERS") == []

    def test_the_text_of_a_syntax_error_is_not_passed_on(self, laboratory: Db2Laboratory) -> None:
        with (
            pytest.raises(StatementFailed, match="SQL0104N") as caught,
            laboratory.engine.connect(laboratory.new_user(), deadline()) as session,
        ):
            session.connection.execute("asking", "ALTER USER x PASSWORD 'hidden'")
        assert "hidden" not in str(caught.value)


@contextmanager
def connect_procedure(instance: Instance, name: str) -> Iterator[None]:
    """Name a procedure in the database configuration that runs at each connect."""
    update = "UPDATE \"SYSIBMADM.DBCFG\" SET VALUE = ?, DEFERRED_VALUE = ? WHERE NAME = 'connect_proc'"
    with inside_session(instance) as session:
        session.store.execute(update, (name, name))
        try:
            yield
        finally:
            session.store.execute(update, ("", ""))


@contextmanager
def held(lock: "threading.RLock") -> Iterator[None]:
    """Hold a lock in another thread."""
    taken, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        release.set()
        thread.join()


@contextmanager
def serving_once(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answer all connections with some bytes, and collect what they say."""
    heard: list[bytes] = []
    with socket.create_server(("localhost", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with closing(connection), suppress(OSError):
                    heard.append(connection.recv(4096))
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1]), heard


def show(issued: certificates.Certificates, line: Line) -> None:
    """Talk as Db2 does with TLS, which comes first."""
    line.show(issued)


@contextmanager
def shaking_hands(issued: certificates.Certificates, host: str) -> Iterator[tuple[int, list[bytes]]]:
    """Speak TLS at an address, and collect what is said inside."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    heard: list[bytes] = []
    with socket.create_server((host, 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with (
                    closing(connection),
                    suppress(OSError),
                    context.wrap_socket(connection, server_side=True) as protected,
                ):
                    heard.append(protected.recv(4096))

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1]), heard
