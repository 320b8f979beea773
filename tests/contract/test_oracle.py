"""What else does Oracle promise?"""

import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from rotation.credential import Credential
from rotation.deadline import within
from rotation.engine import CloneStatus
from rotation.engines.oracle import Oracle
from rotation.engines.oracle.connection import OracleConnection
from rotation.errors import (
    DatabaseError,
    InvalidSecret,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    StatementFailed,
    Unreachable,
    Unsafe,
    Unsupported,
    Untrusted,
)
from tests.contract.contract import EngineContract
from tests.contract.impostor import Line, posing
from tests.contract.oracle_kit import (
    LEAKS,
    account,
    name_of,
)
from tests.contract.pairs import changed, differences, mirror, new_clone
from tests.laboratories import INVOICES, ORDERS, deadline, new_password
from tests.laboratories.oracle import OWNER, OracleLaboratory, quoted
from tests.local.servers import certificates
from tests.local.stand_ins.oracle import server as oracle_server

pytestmark = pytest.mark.engine("oracle")

READ_ORDERS = f"SELECT 1 FROM {ORDERS}"  # noqa: S608 - a constant

INSERT_ORDER = f"INSERT INTO {ORDERS} VALUES (1)"  # noqa: S608 - a constant


class TestOracle(EngineContract):
    """Oracle keeps the contract."""


# Names


@pytest.mark.parametrize("written", [str.lower, str.upper, str.title])
def test_without_quotes_the_case_of_a_name_makes_no_difference(oracle: OracleLaboratory, written: object) -> None:
    user = oracle.new_user()
    assert callable(written)
    with oracle.engine.connect(replace(user, username=written(user.username)), deadline()) as session:
        session.change_own_password(changed(user).password)
    assert not oracle.logs_in(user)


def test_a_name_in_quotes_is_exactly_that_name(oracle: OracleLaboratory) -> None:
    text = f"app {secrets.token_hex(3)}"
    user = oracle.new_user(f'"{text}"')
    other = replace(user, username=oracle.engine.kind.counterpart(user.username), password=new_password())
    assert other.username == f'"{text}_clone"'
    mirror(oracle, user, other)
    assert oracle.logs_in(other)
    assert not oracle.logs_in(replace(user, username=text))
    with pytest.raises(LoginRefused), oracle.engine.connect(replace(user, username=text), deadline()):
        pass


def test_a_name_with_brackets_is_no_proxy(oracle: OracleLaboratory) -> None:
    victim = oracle.new_user()
    user = oracle.new_user(f"app[{victim.username}]")
    with oracle.engine.connect(user, deadline()) as session:
        session.verify([READ_ORDERS])
    oracle.alter(f"ALTER USER {account(victim)} GRANT CONNECT THROUGH {account(user)}")
    with oracle.engine.connect(user, deadline()) as session:
        assert session.connection.username == name_of(user)


@pytest.mark.parametrize("username", ['a"b', '"', '""', '"a"b"'])
def test_what_can_be_no_name_goes_nowhere(oracle: OracleLaboratory, username: str) -> None:
    with pytest.raises(InvalidSecret), oracle.engine.connect(replace(oracle.admin, username=username), deadline()):
        pass


# How the server is reached


def test_dbname_can_be_an_sid(oracle: OracleLaboratory, stand_in: oracle_server.Server) -> None:
    user = replace(oracle.new_user(), database=stand_in.database.sid)
    with oracle.engine.connect(user, deadline()) as session:
        session.verify([READ_ORDERS])


def test_a_service_that_the_listener_does_not_know_is_reported(oracle: OracleLaboratory) -> None:
    with (
        pytest.raises(LoginBlocked, match=r'Correct "dbname"') as raised,
        oracle.engine.connect(replace(oracle.admin, database="nowhere"), deadline()),
    ):
        pass
    assert "CONNECTION_ID" not in str(raised.value)


@pytest.mark.parametrize("database", [None, "", "orcl)(SERVER=POOLED", "orcl/x", "o rcl"])
def test_dbname_is_a_name_and_nothing_more(oracle: OracleLaboratory, database: str | None) -> None:
    with (
        pytest.raises(InvalidSecret, match="dbname"),
        oracle.engine.connect(replace(oracle.admin, database=database), deadline()),
    ):
        pass


def test_a_certificate_of_another_authority_is_not_trusted(
    oracle: OracleLaboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", str(certificates.issue(tmp_path).ca))
    before = oracle.logins()
    with pytest.raises(Untrusted, match="DB_CA_BUNDLE"), oracle.engine.connect(oracle.admin, deadline()):
        pass
    assert oracle.logins() == before, "no credential was sent"


def test_a_certificate_for_another_host_name_is_not_trusted(oracle: OracleLaboratory) -> None:
    before = oracle.logins()
    elsewhere = replace(oracle.admin, host=socket.gethostbyname(oracle.admin.host))
    with pytest.raises(Untrusted, match="certificate"), oracle.engine.connect(elsewhere, deadline()):
        pass
    assert oracle.logins() == before, "no credential was sent"


@LEAKS
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize(("days", "problem", "cause"), [(1, Unreachable, None), (-1, Untrusted, "expired")])
def test_an_expired_certificate_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, problem: type[DatabaseError], cause: str | None
) -> None:
    issued = certificates.issue(tmp_path, ends=timedelta(days=days))
    monkeypatch.setenv("DB_CA_BUNDLE", str(issued.ca))
    with (
        posing(partial(show, issued)) as impostor,
        pytest.raises(problem, match=cause),
        Oracle().connect(elsewhere(impostor.port), deadline()),
    ):
        pass
    assert bool(impostor.heard) is (days > 0), "the one that has not ended is spoken to, the other one told nothing"


def show(issued: certificates.Certificates, line: Line) -> None:
    """Talk as Oracle's listener does with TLS, which comes first, and hang up."""
    line.show(issued)
    line.hear()
    raise ConnectionError


def elsewhere(port: int) -> Credential:
    """Return a login at what is no server of ours."""
    return Credential(
        engine="oracle",
        host=certificates.HOST_NAME,
        port=port,
        database="ORCL",
        username="app",
        password=new_password(),
        tls=True,
    )


@LEAKS
@pytest.mark.usefixtures("collected")
def test_the_suite_that_rds_presets_is_not_a_port_without_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's names of the two are SSL_RSA_WITH_AES_256_CBC_SHA and TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384."""
    preset, better = "AES256-SHA", "ECDHE-RSA-AES256-GCM-SHA384"
    # Without ECDHE, the key of the certificate has to be one of RSA, as on RDS.
    monkeypatch.setattr(ec, "generate_private_key", lambda _: rsa.generate_private_key(65537, 2048))
    issued = certificates.issue(tmp_path)
    monkeypatch.setenv("DB_CA_BUNDLE", str(issued.ca))
    with (
        tls_only(issued, preset) as port,
        pytest.raises(Untrusted, match=r"no cipher suite in common.*SQLNET\.CIPHER_SUITE") as raised,
        Oracle().connect(elsewhere(port), deadline()),
    ):
        pass
    assert "there is no TLS" not in raised.value.cause
    lax = ssl.create_default_context(cafile=issued.ca)
    lax.set_ciphers(preset)
    with tls_only(issued, preset) as port, socket.create_connection((certificates.HOST_NAME, port)) as connection:
        lax.wrap_socket(connection, server_hostname=certificates.HOST_NAME).close()
    with tls_only(issued, better) as port, pytest.raises(Unreachable), Oracle().connect(elsewhere(port), deadline()):
        pass


@contextmanager
def tls_only(issued: certificates.Certificates, suites: str = "DEFAULT") -> Iterator[int]:
    """Shake hands with a client, as TLS 1.2 has it, and hang up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suites)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with suppress(OSError), connection, context.wrap_socket(connection, server_side=True):
                pass

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1])


def test_a_bundle_that_cannot_be_read_is_reported(oracle: OracleLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(Untrusted, match="DB_CA_BUNDLE"), oracle.engine.connect(oracle.admin, deadline()):
        pass


def test_a_port_without_tls_is_reported_and_gets_no_password(
    oracle: OracleLaboratory, stand_in: oracle_server.Server
) -> None:
    before = oracle.logins()
    with (
        pytest.raises((Untrusted, Unreachable), match=r"2484.*\"ssl\": false"),
        oracle.engine.connect(replace(oracle.admin, port=stand_in.plain_port), deadline()),
    ):
        pass
    assert oracle.logins() == before


def test_without_tls_only_if_the_secret_says_so(oracle: OracleLaboratory, stand_in: oracle_server.Server) -> None:
    user = replace(oracle.new_user(), port=stand_in.plain_port, tls=False)
    with oracle.engine.connect(user, deadline()) as session:
        session.change_own_password(changed(user).password)


@LEAKS
def test_a_port_with_tls_only_is_reported(oracle: OracleLaboratory, tmp_path: Path) -> None:
    with tls_only(certificates.issue(tmp_path)) as port:
        plain = replace(oracle.admin, port=port, tls=False)
        with pytest.raises(Unreachable, match=r'"ssl": true'), oracle.engine.connect(plain, deadline()):
            pass


@LEAKS
def test_a_listener_that_says_nothing_is_not_waited_for(oracle: OracleLaboratory) -> None:
    began, before = time.monotonic(), set(threading.enumerate()) - {within(10, threading.current_thread)}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        plain = replace(oracle.admin, port=listener.getsockname()[1], tls=False)
        with pytest.raises(Unreachable, match="no answer within"), oracle.engine.connect(plain, deadline(2.5)):
            pass
        assert time.monotonic() - began < 3
    before.add(within(10, threading.current_thread))  # the one that waits for work
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), "it ends now, because the connection does"


@LEAKS
def test_a_statement_that_hangs_ends_in_time(oracle: OracleLaboratory, stand_in: oracle_server.Server) -> None:
    began = time.monotonic()
    with (
        pytest.raises(Unreachable, match="timeout"),
        oracle.engine.connect(oracle.new_user(), deadline(2.5)) as session,
        stand_in.lock,
    ):
        session.verify(["SELECT 1 FROM dual"])
    assert time.monotonic() - began < 4


# What keeps a login out


@pytest.mark.parametrize(
    ("statement", "problem", "cause"),
    [
        ("ALTER USER {} ACCOUNT LOCK", LoginBlocked, "ORA-28000"),
        ("REVOKE CREATE SESSION FROM {}", LoginBlocked, "ORA-01045"),
        ("DROP USER {}", LoginRefused, "ORA-01017"),
    ],
)
def test_what_keeps_a_login_out_is_no_wrong_password(
    oracle: OracleLaboratory, statement: str, problem: type[DatabaseError], cause: str
) -> None:
    user = oracle.new_user()
    oracle.alter(statement.format(account(user)))
    with pytest.raises(problem, match=cause), oracle.engine.connect(user, deadline()):
        pass


# Whose user it is


def test_a_creation_that_was_cut_off_is_ours(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    clone = new_clone(user)
    oracle.alter(f"CREATE USER {account(clone)} IDENTIFIED BY {quoted(new_password())} ACCOUNT LOCK")
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        assert session.clone_status(user.username, clone.username) is CloneStatus.OURS


@pytest.mark.parametrize(
    "statement", ["GRANT CREATE SESSION TO {}", "GRANT CONNECT TO {}", "ALTER USER {} QUOTA UNLIMITED ON users"]
)
def test_a_locked_user_that_has_anything_is_not_ours(oracle: OracleLaboratory, statement: str) -> None:
    user = oracle.new_user()
    clone = new_clone(user)
    oracle.alter(f"CREATE USER {account(clone)} IDENTIFIED BY {quoted(new_password())} ACCOUNT LOCK")
    oracle.alter(statement.replace("{}", account(clone)))
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        assert session.clone_status(user.username, clone.username) is CloneStatus.UNKNOWN


def test_a_connection_for_another_reason_is_no_mark(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    clone = oracle.new_user(f"{user.username}_clone")
    oracle.alter(f"ALTER USER {account(clone)} GRANT CONNECT THROUGH {account(user)}")
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        assert session.clone_status(user.username, clone.username) is CloneStatus.UNKNOWN


def test_the_admin_and_what_oracle_maintains_are_nobodys_clone(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        for one, other in (
            (user.username, oracle.admin.username.lower()),
            (oracle.admin.username, user.username),
            (user.username, "sys"),
            ("nobody_here", user.username),
        ):
            with pytest.raises(Unsafe):
                session.clone_status(one, other)


def test_a_common_user_has_no_clone(oracle: OracleLaboratory, stand_in: oracle_server.Server) -> None:
    user = oracle.new_user()
    stand_in.database.users[name_of(user)].common = True
    with (
        pytest.raises(Unsupported, match="common user"),
        oracle.engine.connect(oracle.admin, deadline()) as session,
    ):
        session.mirror(user.username, f"{user.username}_clone")


def test_a_user_that_cannot_see_the_dictionary_gets_the_remedy(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    with (
        pytest.raises(NotPermitted, match="GRANT SELECT_CATALOG_ROLE TO"),
        oracle.engine.connect(user, deadline()) as session,
    ):
        session.clone_status(user.username, f"{user.username}_clone")


def test_a_remedy_is_about_the_user_and_not_about_its_namesake_in_capitals(oracle: OracleLaboratory) -> None:
    """Whoever runs it as it is told would give another user the right to change passwords."""
    admin, user = oracle.new_user(f'"rotator {secrets.token_hex(4)}"'), oracle.new_user()
    namesake = oracle.new_user(f'"low_{secrets.token_hex(4)}"')
    for one in (admin, namesake):
        with pytest.raises(NotPermitted) as refused, oracle.engine.connect(one, deadline()) as session:
            session.clone_status(user.username, f"{user.username}_clone")
        assert refused.value.remedy.startswith(f"GRANT SELECT_CATALOG_ROLE TO {one.username}; or GRANT SELECT ON SYS.")
        oracle.alter(refused.value.remedy.partition(";")[0])
        with oracle.engine.connect(one, deadline()) as session:
            assert session.clone_status(user.username, f"{user.username}_clone") is CloneStatus.ABSENT
        with pytest.raises(NotPermitted) as refused, oracle.engine.connect(one, deadline()) as session:
            session.set_password(user.username, new_password())
        assert refused.value.remedy == f"GRANT ALTER USER TO {one.username}"


# Interruptions


@pytest.mark.parametrize("is_new", [True, False], ids=["a new clone", "an old one"])
def test_mirroring_goes_on_wherever_it_was_cut_off(
    oracle: OracleLaboratory, things: str, monkeypatch: pytest.MonkeyPatch, stride: int, *, is_new: bool
) -> None:
    real = OracleConnection.execute
    number = 0
    while True:
        number += stride if is_new else 3  # most of it is the same, and was looked at with the other
        user = oracle.new_user()
        clone = new_clone(user)
        if not is_new:
            mirror(oracle, user, clone)
            oracle.allow(clone.username, INVOICES)
        prepare(oracle, things, user)
        if not cut_off(oracle, user, clone, number, monkeypatch):
            break
        monkeypatch.setattr(OracleConnection, "execute", real)
        assert oracle.logs_in(clone) is not is_new, "a new clone cannot log in before its password is set"
        with oracle.engine.connect(oracle.admin, deadline()) as session:
            assert session.clone_status(user.username, clone.username) in (CloneStatus.OURS, CloneStatus.ABSENT)
        mirror(oracle, user, clone)
        assert differences(oracle, user, clone) == []
        assert oracle.logs_in(clone)
    assert number > 12


def prepare(oracle: OracleLaboratory, things: str, user: Credential) -> None:
    oracle.alter(
        f"GRANT {things}_ROLE TO {account(user)} WITH ADMIN OPTION",
        f"ALTER USER {account(user)} DEFAULT ROLE NONE",
        f"GRANT SELECT, UPDATE (price) ON {things}.parts TO {account(user)}",
        f"ALTER USER {account(user)} QUOTA 1048576 ON users",
        f"CREATE SYNONYM {account(user)}.parts FOR {things}.parts",
    )


def cut_off(
    oracle: OracleLaboratory, user: Credential, clone: Credential, number: int, monkeypatch: pytest.MonkeyPatch
) -> bool:
    """Mirror, and end it right after a statement; return whether there was one."""
    real, count = OracleConnection.execute, 0

    def execute(connection: OracleConnection, *arguments: object, **named: object) -> object:
        nonlocal count
        count += 1
        result = real(connection, *arguments, **named)  # type: ignore[arg-type]
        if count == number:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(OracleConnection, "execute", execute)
    try:
        with oracle.engine.connect(oracle.admin, deadline()) as session:
            session.mirror(user.username, clone.username)
    except KeyboardInterrupt:
        return True
    finally:
        monkeypatch.setattr(OracleConnection, "execute", real)
    return False


# Statements to verify


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE own (id NUMBER)", "BEGIN NULL; END;", "COMMIT", "/* x */ DROP TABLE lab_orders", "", "LOCK TABLE x"],
)
def test_what_could_not_be_rolled_back_is_not_run(oracle: OracleLaboratory, statement: str) -> None:
    with (
        pytest.raises(StatementFailed, match="a transaction cannot take it back"),
        oracle.engine.connect(oracle.new_user(), deadline()) as session,
    ):
        session.verify([statement])


def test_what_verify_writes_is_rolled_back(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    oracle.alter(f"GRANT INSERT ON {OWNER}.{ORDERS} TO {account(user)}")
    before = oracle.asked(f"SELECT COUNT(*) FROM {ORDERS}")  # noqa: S608 - a constant
    with oracle.engine.connect(user, deadline()) as session:
        session.verify([INSERT_ORDER, READ_ORDERS])
        session.change_own_password(new_password())  # which ends a transaction well, were there one
    assert oracle.asked(f"SELECT COUNT(*) FROM {ORDERS}") == before  # noqa: S608 - a constant


@pytest.mark.parametrize(
    "statement", ["SELECT 1 FROM nothing_here", 'SELECT 1 FROM "', "SELECT :x FROM dual", "SELECT 1; DROP USER x"]
)
def test_a_statement_that_does_not_run_is_reported(oracle: OracleLaboratory, statement: str) -> None:
    with (
        pytest.raises((StatementFailed, NotPermitted), match="running statement 1 of verify"),
        oracle.engine.connect(oracle.new_user(), deadline()) as session,
    ):
        session.verify([statement])
