"""What else does Oracle promise?"""

import gc
import itertools
import re
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from rotation.credential import Credential
from rotation.engine import CloneStatus
from rotation.engines.oracle import Oracle
from rotation.engines.oracle.connection import OracleConnection
from rotation.errors import (
    DatabaseError,
    InvalidSecret,
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
from tests.contract.impostor import Line, posing
from tests.contract.test_engine import EngineContract, closed_port, silent_port
from tests.laboratories import INVOICES, ORDERS, Laboratory, deadline
from tests.laboratories_oracle import OWNER, ROLLOVER_PROFILE, OracleLaboratory, known, new_password, own, quoted
from tests.local.servers import certificates
from tests.local.stand_ins.oracle import server as oracle_server

READ_ORDERS = f"SELECT 1 FROM {ORDERS}"  # noqa: S608 - a constant

INSERT_ORDER = f"INSERT INTO {ORDERS} VALUES (1)"  # noqa: S608 - a constant

type Pair = tuple[Credential, Credential]

__all__ = ["closed_port", "silent_port"]

LEAKS = pytest.mark.filterwarnings(
    r"ignore:Exception ignored in. <[\w.]*oracle\.wire\.Bounded(TLS)?Socket:pytest.PytestUnraisableExceptionWarning"
)
"""The client leaves it to the garbage collector to close the socket of a connection that was lost."""


@pytest.fixture
def collected() -> Iterator[None]:
    """Have it done at the end of the test, and not in another one, which would be blamed for it."""
    yield
    gc.collect()


@pytest.fixture
def oracle(request: pytest.FixtureRequest, trusted: Callable[[str], Laboratory]) -> OracleLaboratory:
    """Each Oracle server."""
    laboratory = trusted(request.param)
    assert isinstance(laboratory, OracleLaboratory)
    return laboratory


@pytest.fixture
def old_oracle(monkeypatch: pytest.MonkeyPatch) -> Iterator[OracleLaboratory]:
    """A server from before gradual rollover."""
    with own((19, 3, 0, 0, 0)) as laboratory:
        monkeypatch.setenv("DB_CA_BUNDLE", str(laboratory.ca_bundle))
        yield laboratory


@pytest.fixture
def stand_in(oracle: OracleLaboratory) -> oracle_server.Server:
    """What only the stand-in can be made to do."""
    if not oracle.server:
        pytest.skip("a real server does not do that on demand")
    return oracle.server


@pytest.fixture
def pair(oracle: OracleLaboratory) -> Pair:
    """A user and its clone, mirrored once, both logging in."""
    user = oracle.new_user()
    clone = new_clone(user)
    mirror(oracle, user, clone)
    return user, clone


@pytest.fixture(params=[False, True], ids=["forth", "back"])
def turn(request: pytest.FixtureRequest, pair: Pair) -> Pair:
    """The pair, the current one first: each of the two once."""
    return (pair[1], pair[0]) if request.param else pair


@pytest.fixture
def dual(oracle: OracleLaboratory) -> Credential:
    """A user that may have two passwords."""
    user = oracle.new_user()
    oracle.allow_two_passwords(user.username, by_itself=True)
    return user


class TestOracle(EngineContract):
    """Oracle keeps the contract."""

    @pytest.fixture
    def laboratory(self, oracle: OracleLaboratory) -> Laboratory:
        return oracle


def new_clone(user: Credential) -> Credential:
    return replace(user, username=f"{user.username}_clone", password=new_password())


def changed(user: Credential) -> Credential:
    return replace(user, password=new_password())


def name_of(user: Credential) -> str:
    return known(user.username)


def account(user: Credential) -> str:
    return quoted(name_of(user))


def mirror(oracle: OracleLaboratory, user: Credential, other: Credential) -> None:
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        session.mirror(user.username, other.username)
        session.set_password(other.username, other.password)


def differences(oracle: OracleLaboratory, user: Credential, other: Credential) -> list[str]:
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        return list(session.differences(user.username, other.username))


def definition(oracle: OracleLaboratory, user: Credential) -> list[object]:
    """Return all that the dictionary says of a user, but its password."""
    with oracle.session() as run:
        return [sorted(run(query, name_of(user))) for query in DEFINITION]


DEFINITION = (
    "SELECT profile, default_tablespace, temporary_tablespace, initial_rsrc_consumer_group, default_collation,"  # noqa: ISC004
    " read_only FROM sys.dba_users WHERE username = :1",
    "SELECT granted_role, admin_option, default_role FROM sys.dba_role_privs WHERE grantee = :1",
    "SELECT privilege, admin_option FROM sys.dba_sys_privs WHERE grantee = :1",
    "SELECT owner, table_name, privilege, grantable, hierarchy FROM sys.dba_tab_privs WHERE grantee = :1",
    "SELECT owner, table_name, column_name, privilege, grantable FROM sys.dba_col_privs WHERE grantee = :1",
    "SELECT tablespace_name, max_bytes FROM sys.dba_ts_quotas WHERE username = :1 AND max_bytes <> 0",
    "SELECT granted_group, grant_option FROM sys.dba_rsrc_consumer_group_privs WHERE grantee = :1",
    "SELECT synonym_name, table_owner, table_name FROM sys.dba_synonyms WHERE owner = :1",
)


def make_equal(oracle: OracleLaboratory, current: Credential, other: Credential) -> None:
    """Mirror, and see that the two are the same and that nothing was done to the current one."""
    before = definition(oracle, current)
    assert differences(oracle, current, other)
    mirror(oracle, current, other)
    assert definition(oracle, current) == before
    assert definition(oracle, other) == before
    assert differences(oracle, current, other) == []
    assert oracle.logs_in(current)
    assert oracle.logs_in(other)


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


# The way to the server


def test_dbname_may_be_an_sid(oracle: OracleLaboratory, stand_in: oracle_server.Server) -> None:
    user = replace(oracle.new_user(), database=stand_in.database.sid)
    with oracle.engine.connect(user, deadline()) as session:
        session.verify([READ_ORDERS])


def test_a_service_that_the_listener_does_not_know_is_told(oracle: OracleLaboratory) -> None:
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


def test_a_certificate_for_another_host_is_not_trusted(oracle: OracleLaboratory) -> None:
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
    """Talk as Oracle's listener does where there is TLS, which comes first, and go away."""
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
def test_the_suite_that_rds_presets_is_told_from_a_port_without_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    with tls_only(issued, preset) as port, socket.create_connection((certificates.HOST_NAME, port)) as way:
        lax.wrap_socket(way, server_hostname=certificates.HOST_NAME).close()
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
            way, _ = listener.accept()
            with suppress(OSError), way, context.wrap_socket(way, server_side=True):
                pass

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1])


def test_an_unreadable_bundle_is_told(oracle: OracleLaboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(Untrusted, match="DB_CA_BUNDLE"), oracle.engine.connect(oracle.admin, deadline()):
        pass


def test_a_port_without_tls_is_told_and_gets_no_password(
    oracle: OracleLaboratory, stand_in: oracle_server.Server
) -> None:
    before = oracle.logins()
    with (
        pytest.raises((Untrusted, Unreachable), match=r"2484.*\"ssl\": false"),
        oracle.engine.connect(replace(oracle.admin, port=stand_in.plain_port), deadline()),
    ):
        pass
    assert oracle.logins() == before


def test_without_tls_where_the_secret_says_so(oracle: OracleLaboratory, stand_in: oracle_server.Server) -> None:
    user = replace(oracle.new_user(), port=stand_in.plain_port, tls=False)
    with oracle.engine.connect(user, deadline()) as session:
        session.change_own_password(changed(user).password)


@LEAKS
def test_a_port_with_tls_only_is_told(oracle: OracleLaboratory, tmp_path: Path) -> None:
    with tls_only(certificates.issue(tmp_path)) as port:
        plain = replace(oracle.admin, port=port, tls=False)
        with pytest.raises(Unreachable, match=r'"ssl": true'), oracle.engine.connect(plain, deadline()):
            pass


@LEAKS
def test_a_listener_that_says_nothing_is_not_waited_for(oracle: OracleLaboratory) -> None:
    began, before = time.monotonic(), set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        plain = replace(oracle.admin, port=listener.getsockname()[1], tls=False)
        with pytest.raises(Unreachable, match="no answer within"), oracle.engine.connect(plain, deadline(2.5)):
            pass
        assert time.monotonic() - began < 3
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), "it ends now, as the way to the server does"


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
        ("ALTER USER {} PASSWORD EXPIRE", LoginBlocked, "ORA-28001"),
        ("REVOKE CREATE SESSION FROM {}", LoginBlocked, "ORA-01045"),
        ("DROP USER {}", LoginRefused, "ORA-01017"),
    ],
)
def test_what_keeps_a_login_out_is_told(
    oracle: OracleLaboratory, statement: str, problem: type[DatabaseError], cause: str
) -> None:
    user = oracle.new_user()
    oracle.alter(statement.format(account(user)))
    with pytest.raises(problem, match=cause), oracle.engine.connect(user, deadline()):
        pass


def test_a_password_in_its_grace_period_logs_in(oracle: OracleLaboratory, stand_in: oracle_server.Server) -> None:
    user = oracle.new_user()
    stand_in.database.users[name_of(user)].grace = True
    with oracle.engine.connect(user, deadline()) as session:
        session.change_own_password(changed(user).password)


# Passwords


def test_no_statement_holds_the_password_that_a_user_gives_itself(
    oracle: OracleLaboratory, stand_in: oracle_server.Server
) -> None:
    user = oracle.new_user()
    before = len(stand_in.database.audit)
    with oracle.engine.connect(user, deadline()) as session:
        session.change_own_password(changed(user).password)
    assert stand_in.database.audit[before:] == [f"LOGON {name_of(user)} 0", f"{name_of(user)} 0 PASSWORD CHANGE"]


def test_a_verify_function_gets_the_old_password(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    profile = new_profile(oracle, "PASSWORD_VERIFY_FUNCTION ora12c_verify_function")
    oracle.alter(f"ALTER USER {account(user)} PROFILE {profile}")
    now = changed(user)
    with oracle.engine.connect(user, deadline()) as session:
        session.change_own_password(now.password)
    assert oracle.logs_in(now)
    with pytest.raises(PasswordRefused, match="PASSWORD_LENGTH"), oracle.engine.connect(now, deadline()) as session:
        session.change_own_password(f"{now.password[:-1]}!")
    assert oracle.logs_in(now)


def test_a_history_does_not_stand_in_the_way_of_a_repetition(oracle: OracleLaboratory, pair: Pair) -> None:
    _, clone = pair
    profile = new_profile(oracle, "PASSWORD_REUSE_MAX 5 PASSWORD_REUSE_TIME UNLIMITED")
    oracle.alter(f"ALTER USER {account(clone)} PROFILE {profile}")
    now, later = changed(clone), changed(clone)
    for _ in range(2):
        with oracle.engine.connect(oracle.admin, deadline()) as session:
            session.set_password(clone.username, now.password)
    assert oracle.logs_in(now)
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        session.set_password(clone.username, later.password)
        with pytest.raises(PasswordRefused, match="PASSWORD_LENGTH"):
            session.set_password(clone.username, now.password)
    assert oracle.logs_in(later)


def test_what_is_too_long_for_the_server_is_the_name_or_the_password(old_oracle: OracleLaboratory) -> None:
    user = old_oracle.new_user()
    with (
        pytest.raises(StatementFailed, match=r"ORA-00972.*the user's name or the password.*PASSWORD_LENGTH") as raised,
        old_oracle.engine.connect(old_oracle.admin, deadline()) as session,
    ):
        session.set_password(user.username, "x" * 31)
    assert not raised.value.ends_version, "a shorter name may do as well"
    assert old_oracle.logs_in(user)


def test_the_admin_unlocks_a_user_that_failed_too_often(oracle: OracleLaboratory, pair: Pair) -> None:
    _, clone = pair
    profile = new_profile(oracle, "FAILED_LOGIN_ATTEMPTS 2")
    oracle.alter(f"ALTER USER {account(clone)} PROFILE {profile}")
    for _ in range(2):
        assert not oracle.logs_in(changed(clone))
    assert not oracle.logs_in(clone)
    now = changed(clone)
    with oracle.engine.connect(oracle.admin, deadline()) as session:
        session.set_password(clone.username, now.password)
    assert oracle.logs_in(now)


def test_a_lock_for_failed_logins_ends_by_itself(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, pair: Pair
) -> None:
    _, clone = pair
    profile = new_profile(oracle, "FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME 1/24")
    oracle.alter(f"ALTER USER {account(clone)} PROFILE {profile}")
    for _ in range(2):
        assert not oracle.logs_in(changed(clone))
    with pytest.raises(LoginBlocked, match="ORA-28000"), oracle.engine.connect(clone, deadline()):
        pass
    stand_in.pass_time(3601)
    assert oracle.logs_in(clone)


# Two passwords


def add(oracle: OracleLaboratory, user: Credential, now: Credential, through: Credential | None = None) -> None:
    with oracle.engine.connect(through or user, deadline()) as session:
        if not through:
            session.require_two_passwords()
        session.add_password(user.username, user.password, now.password)


@pytest.fixture(params=[False, True], ids=["by itself", "through admin"])
def through(request: pytest.FixtureRequest, oracle: OracleLaboratory) -> Credential | None:
    """Who adds a password: the user, or the admin."""
    return oracle.admin if request.param else None


def test_two_passwords_are_accepted_however_often_it_is_done(
    oracle: OracleLaboratory, dual: Credential, through: Credential | None
) -> None:
    now = changed(dual)
    for _ in range(3):
        add(oracle, dual, now, through)
        assert oracle.logs_in(dual)
        assert oracle.logs_in(now)


def test_the_one_before_ends_with_the_next_rotation(
    oracle: OracleLaboratory, dual: Credential, through: Credential | None
) -> None:
    passwords = [dual, *(changed(dual) for _ in range(4))]
    for before, now in itertools.pairwise(passwords):
        add(oracle, before, now, through)
        assert [oracle.logs_in(user) for user in passwords] == [user in (before, now) for user in passwords]


def test_an_abandoned_rotation_takes_nothing_from_the_current_password(
    oracle: OracleLaboratory, dual: Credential, through: Credential | None
) -> None:
    orphan, now = changed(dual), changed(dual)
    add(oracle, dual, orphan, through)
    add(oracle, dual, now, through)
    assert [oracle.logs_in(user) for user in (dual, orphan, now)] == [True, False, True]


def test_the_old_password_ends_with_the_period_which_begins_anew_with_each_rotation(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, dual: Credential
) -> None:
    first, second = changed(dual), changed(dual)
    add(oracle, dual, first)
    stand_in.pass_time(20 * 3600)
    add(oracle, first, second)
    stand_in.pass_time(20 * 3600)
    assert oracle.logs_in(first)
    stand_in.pass_time(5 * 3600)
    assert [oracle.logs_in(user) for user in (dual, first, second)] == [False, False, True]


def test_at_no_instant_is_the_current_password_refused(oracle: OracleLaboratory, dual: Credential) -> None:
    before, now = changed(dual), changed(dual)
    add(oracle, dual, before)
    done = threading.Event()
    refused: list[bool] = []

    def watch() -> None:
        while not done.is_set():
            refused.append(not oracle.logs_in(before))

    watcher = threading.Thread(target=watch)
    watcher.start()
    deliveries = [threading.Thread(target=lambda: suppressed(oracle, before, now)) for _ in range(4)]
    for delivery in deliveries:
        delivery.start()
    for delivery in deliveries:
        delivery.join()
    done.set()
    watcher.join()
    assert len(refused) > 3
    assert not any(refused)
    assert oracle.logs_in(now)


def suppressed(oracle: OracleLaboratory, user: Credential, now: Credential) -> None:
    """Add a password, as one of several deliveries of a step that may lose a race."""
    for _ in range(5):
        with suppress(DatabaseError):
            add(oracle, user, now)


def test_a_profile_without_rollover_is_refused_with_the_reason(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    with (
        oracle.engine.connect(user, deadline()) as session,
        pytest.raises(Unsupported, match=r"no PASSWORD_ROLLOVER_TIME.*ALTER PROFILE"),
    ):
        session.require_two_passwords()


@pytest.mark.parametrize("decimal", [".", ","])
def test_a_rollover_of_less_than_a_day_is_one_wherever_the_database_is(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, monkeypatch: pytest.MonkeyPatch, decimal: str
) -> None:
    monkeypatch.setattr(stand_in.database, "decimal", decimal)
    user = oracle.new_user()
    oracle.alter(f"ALTER USER {account(user)} PROFILE {new_profile(oracle, 'PASSWORD_ROLLOVER_TIME 1/24')}")
    [(limit,)] = limits_of(oracle, user)
    assert limit == f"{decimal}0417"
    now = changed(user)
    add(oracle, user, now)
    assert [oracle.logs_in(one) for one in (user, now)] == [True, True]


def limits_of(oracle: OracleLaboratory, user: Credential) -> list[tuple[object, ...]]:
    with oracle.session(user) as run:
        return run("SELECT limit FROM user_password_limits WHERE resource_name = 'PASSWORD_ROLLOVER_TIME'")


def test_a_server_from_before_rollover_is_refused_with_the_reason(old_oracle: OracleLaboratory) -> None:
    with (
        old_oracle.engine.connect(old_oracle.new_user(), deadline()) as session,
        pytest.raises(Unsupported, match=r"19\.3\.0\.0\.0.*19\.12 and 21c"),
    ):
        session.require_two_passwords()


def test_the_profile_is_the_users_whatever_schema_a_trigger_set(oracle: OracleLaboratory, dual: Credential) -> None:
    other = oracle.new_user()
    with oracle.engine.connect(dual, deadline()) as session:
        session.connection.execute("setting", f"ALTER SESSION SET CURRENT_SCHEMA = {account(other)}")
        session.require_two_passwords()


def test_in_a_rollover_period_a_verify_function_needs_the_admin(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    limits = "PASSWORD_ROLLOVER_TIME 1 PASSWORD_VERIFY_FUNCTION ora12c_verify_function"
    oracle.alter(f"ALTER USER {account(user)} PROFILE {new_profile(oracle, limits)}")
    first, now = changed(user), changed(user)
    add(oracle, user, first)
    add(oracle, user, first)  # delivered again: it is there already
    with pytest.raises(NotPermitted, match=r"rollover period.*masterarn"):
        add(oracle, first, now)
    assert oracle.logs_in(first)
    add(oracle, first, now, oracle.admin)
    assert [oracle.logs_in(one) for one in (user, first, now)] == [False, True, True]


def test_in_a_rollover_period_a_history_is_told_and_takes_nothing(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    limits = "PASSWORD_ROLLOVER_TIME 1 PASSWORD_REUSE_MAX 5"
    oracle.alter(f"ALTER USER {account(user)} PROFILE {new_profile(oracle, limits)}")
    first, now = changed(user), changed(user)
    for through in (None, oracle.admin):
        add(oracle, user, first, through)
    with pytest.raises(NotPermitted, match="ORA-28007"):
        add(oracle, first, now)
    with pytest.raises(StatementFailed, match="PASSWORD_ROLLOVER_TIME is over"):
        add(oracle, first, now, oracle.admin)
    assert [oracle.logs_in(one) for one in (user, first, now)] == [True, True, False]


def test_the_user_of_that_name_on_another_server_is_left_alone(oracle: OracleLaboratory, dual: Credential) -> None:
    elsewhere = replace(dual, password=new_password())
    with (
        oracle.engine.connect(oracle.admin, deadline()) as session,
        pytest.raises(Unsupported, match='"host" in the admin secret'),
    ):
        session.add_password(dual.username, elsewhere.password, new_password())
    assert oracle.logs_in(dual)


# Rights


def new_profile(oracle: OracleLaboratory, limits: str) -> str:
    name = f"LAB_{secrets.token_hex(4)}".upper()
    oracle.alter(f"CREATE PROFILE {name} LIMIT {limits}")
    return name


@pytest.fixture
def things(oracle: OracleLaboratory) -> str:
    """Roles, and a schema with a table or two, once for each server; returns the schema."""
    if oracle.admin.username not in SCHEMAS:
        schema = SCHEMAS[oracle.admin.username] = f"LAB_{secrets.token_hex(4)}".upper()
        oracle.alter(
            f"CREATE USER {schema} IDENTIFIED BY {quoted(new_password())}",
            f"ALTER USER {schema} QUOTA UNLIMITED ON users",
            f'CREATE TABLE {schema}."t ON x TO y" (id NUMBER, "co,l" NUMBER)',
            f"CREATE TABLE {schema}.parts (id NUMBER, price NUMBER)",
            f"CREATE ROLE {schema}_ROLE",
            f'CREATE ROLE "{schema} role; --"',
            f"CREATE SEQUENCE {schema}.numbers",
        )
    return SCHEMAS[oracle.admin.username]


SCHEMAS: dict[str, str] = {}
"""By the admin, whom each laboratory has for itself."""

MAPPING = (
    "BEGIN sys.dbms_resource_manager.create_pending_area;"
    " sys.dbms_resource_manager.set_consumer_group_mapping(sys.dbms_resource_manager.oracle_user, '{n}', '{g}');"
    " sys.dbms_resource_manager.submit_pending_area; END;"
)

RIGHTS = {
    "system privileges": (["GRANT CREATE TABLE, CREATE VIEW TO {}"], ["REVOKE CREATE VIEW FROM {}"]),
    "a system privilege to pass on": (
        ["GRANT CREATE TABLE TO {} WITH ADMIN OPTION"],
        ["REVOKE CREATE TABLE FROM {}", "GRANT CREATE TABLE TO {}"],
    ),
    "it may be passed on later": (["GRANT CREATE TABLE TO {}"], ["GRANT CREATE TABLE TO {} WITH ADMIN OPTION"]),
    "roles": (['GRANT {s}_ROLE, "{s} role; --" TO {}'], ["REVOKE {s}_ROLE FROM {}"]),
    "a role to pass on": (
        ["GRANT {s}_ROLE TO {} WITH ADMIN OPTION"],
        ["REVOKE {s}_ROLE FROM {}", "GRANT {s}_ROLE TO {}"],
    ),
    "default roles": (
        ['GRANT {s}_ROLE, "{s} role; --" TO {}', 'ALTER USER {} DEFAULT ROLE "{s} role; --"'],
        ["ALTER USER {} DEFAULT ROLE NONE"],
    ),
    "default roles, all again": (
        ["GRANT {s}_ROLE TO {}", "ALTER USER {} DEFAULT ROLE NONE"],
        ["ALTER USER {} DEFAULT ROLE ALL"],
    ),
    "a role more, while only some are default roles": (
        ['GRANT "{s} role; --" TO {}', "ALTER USER {} DEFAULT ROLE NONE"],
        ["GRANT {s}_ROLE TO {}"],
    ),
    "objects": (
        ['GRANT SELECT, INSERT, UPDATE ON {s}."t ON x TO y" TO {}', "GRANT SELECT ON {s}.numbers TO {}"],
        ['REVOKE INSERT ON {s}."t ON x TO y" FROM {}'],
    ),
    "an object to pass on": (
        ["GRANT SELECT, INSERT ON {s}.parts TO {} WITH GRANT OPTION"],
        ["REVOKE SELECT ON {s}.parts FROM {}", "GRANT SELECT ON {s}.parts TO {}"],
    ),
    "a hierarchy": (["GRANT SELECT ON {s}.parts TO {} WITH HIERARCHY OPTION"], ["REVOKE SELECT ON {s}.parts FROM {}"]),
    "columns": (
        ['GRANT UPDATE (id, "co,l"), REFERENCES (id) ON {s}."t ON x TO y" TO {} WITH GRANT OPTION'],
        ['REVOKE UPDATE ON {s}."t ON x TO y" FROM {}', 'GRANT UPDATE (id) ON {s}."t ON x TO y" TO {}'],
    ),
    "columns remain of a table": (
        ["GRANT UPDATE ON {s}.parts TO {}", "GRANT UPDATE (price) ON {s}.parts TO {}"],
        ["REVOKE UPDATE ON {s}.parts FROM {}", "GRANT UPDATE (price) ON {s}.parts TO {}"],
    ),
    "a schema (23ai)": (
        ["GRANT SELECT ANY TABLE, INSERT ANY TABLE ON SCHEMA {s} TO {}"],
        ["REVOKE INSERT ANY TABLE ON SCHEMA {s} FROM {}"],
    ),
    "quotas": (
        ["ALTER USER {} QUOTA 10485760 ON users", "ALTER USER {} QUOTA UNLIMITED ON system"],
        ["ALTER USER {} QUOTA UNLIMITED ON users", "ALTER USER {} QUOTA 0 ON system"],
    ),
    "profile": (["ALTER USER {} PROFILE " + ROLLOVER_PROFILE], ["ALTER USER {} PROFILE default"]),
    "a collation": (["ALTER USER {} DEFAULT COLLATION BINARY_CI"], ["ALTER USER {} DEFAULT COLLATION USING_NLS_COMP"]),
    "reading only (23ai)": (["ALTER USER {} READ ONLY"], ["ALTER USER {} READ WRITE"]),
    "tablespaces": (["ALTER USER {} DEFAULT TABLESPACE system"], ["ALTER USER {} DEFAULT TABLESPACE users"]),
    "synonyms": (
        ["CREATE SYNONYM {}.parts FOR {s}.parts", 'CREATE SYNONYM {}."x y" FOR {s}."t ON x TO y"'],
        ["DROP SYNONYM {}.parts", 'CREATE OR REPLACE SYNONYM {}."x y" FOR {s}.parts'],
    ),
    "consumer groups": (
        [
            "BEGIN sys.dbms_resource_manager_privs.grant_switch_consumer_group('{n}', 'BATCH_GROUP', TRUE); END;",
            "BEGIN sys.dbms_resource_manager_privs.grant_switch_consumer_group('{n}', 'LOW_GROUP', FALSE); END;",
        ],
        [
            "BEGIN sys.dbms_resource_manager_privs.revoke_switch_consumer_group('{n}', 'LOW_GROUP'); END;",
            "BEGIN sys.dbms_resource_manager_privs.grant_switch_consumer_group('{n}', 'BATCH_GROUP', FALSE); END;",
        ],
    ),
    "an initial consumer group": (
        [MAPPING.replace("{g}", "BATCH_GROUP")],
        [MAPPING.replace("{g}", "LOW_GROUP")],
    ),
}


def filled(statement: str, user: Credential, things: str) -> str:
    """Return a statement about a user, in which {} is its name, {n} the same without quotes, and {s} a schema."""
    return statement.replace("{}", account(user)).replace("{n}", name_of(user)).replace("{s}", things)


@pytest.mark.parametrize("sort", RIGHTS)
def test_rights_follow(oracle: OracleLaboratory, things: str, turn: Pair, sort: str) -> None:
    current, other = turn
    for statements in RIGHTS[sort]:
        oracle.alter(*(filled(text, current, things) for text in statements))
        make_equal(oracle, current, other)


@pytest.mark.parametrize("sort", RIGHTS)
def test_what_the_other_alone_has_goes(oracle: OracleLaboratory, things: str, turn: Pair, sort: str) -> None:
    current, other = turn
    oracle.alter(*(filled(text, other, things) for text in RIGHTS[sort][0]))
    make_equal(oracle, current, other)


@pytest.mark.parametrize(
    "clauses",
    ["", "WITH NO ROLES", "WITH ROLE {s}_ROLE", 'WITH ROLE ALL EXCEPT "{s} role; --"', "AUTHENTICATION REQUIRED"],
)
def test_proxies_follow_in_both_directions(oracle: OracleLaboratory, things: str, turn: Pair, clauses: str) -> None:
    current, other = turn
    middle, end = oracle.new_user(), oracle.new_user()
    oracle.alter(f'GRANT {things}_ROLE, "{things} role; --" TO {account(current)}, {account(end)}')
    clauses = clauses.replace("{s}", things)
    oracle.alter(f"ALTER USER {account(current)} GRANT CONNECT THROUGH {account(middle)} {clauses}")
    oracle.alter(f"ALTER USER {account(end)} GRANT CONNECT THROUGH {account(current)} {clauses}")
    make_equal(oracle, current, other)
    assert proxies(oracle, other) == proxies(oracle, current)
    oracle.alter(
        f"ALTER USER {account(current)} REVOKE CONNECT THROUGH {account(middle)}",
        f"ALTER USER {account(end)} REVOKE CONNECT THROUGH {account(current)}",
    )
    make_equal(oracle, current, other)
    assert proxies(oracle, other) == proxies(oracle, current) == []


def proxies(oracle: OracleLaboratory, user: Credential) -> list[tuple[object, ...]]:
    """Return who may connect as the user, and as whom it may connect, the pair itself aside."""
    name = name_of(user)
    columns = "client, proxy, authentication, authorization_constraint, role"
    rows = oracle.asked(f"SELECT {columns} FROM sys.dba_proxies WHERE client = :1 OR proxy = :2", name, name)  # noqa: S608 - constants
    others = [row for row in rows if str(row[0]).removesuffix("_CLONE") != str(row[1]).removesuffix("_CLONE")]
    return sorted(tuple(value if value != name else "-" for value in row) for row in others)


def test_the_mark_lets_nobody_do_anything(oracle: OracleLaboratory, pair: Pair) -> None:
    user, clone = pair
    columns = "client, proxy, authentication, authorization_constraint"
    rows = oracle.asked(f"SELECT {columns} FROM sys.dba_proxies WHERE client = :1", name_of(clone))  # noqa: S608 - constants
    assert rows == [(name_of(clone), name_of(user), "YES", "NO CLIENT ROLES MAY BE ACTIVATED")]
    assert not oracle.asked(f"SELECT {columns} FROM sys.dba_proxies WHERE client = :1", name_of(user))  # noqa: S608 - constants


def test_a_right_that_the_admin_may_not_give_is_an_error_that_says_how(
    oracle: OracleLaboratory, things: str, pair: Pair
) -> None:
    user, clone = pair
    admin = oracle.new_user()
    oracle.alter(
        f"GRANT SELECT_CATALOG_ROLE TO {account(admin)}",
        f"GRANT CREATE USER, ALTER USER TO {account(admin)}",
        f"GRANT {things}_ROLE TO {account(user)}",
    )
    wanted = rf'GRANT ANY ROLE.*GRANT "{things}_ROLE" TO "{name_of(clone)}"'
    with pytest.raises(NotPermitted, match=wanted), oracle.engine.connect(admin, deadline()) as session:
        session.mirror(user.username, clone.username)
    assert oracle.logs_in(user)
    lacking = {f"the role {things}_ROLE", f"{things}_ROLE as a default role"}
    assert set(differences(oracle, user, clone)) == {f"{name_of(clone)} lacks {what}" for what in lacking}


AS_DOCUMENTED = (
    'CREATE USER rotator IDENTIFIED BY "…"',
    "REVOKE INHERIT PRIVILEGES ON USER rotator FROM PUBLIC",
    "GRANT CREATE SESSION, ALTER USER TO rotator",
    "GRANT SELECT_CATALOG_ROLE TO rotator",
    "GRANT CREATE USER TO rotator",
    "GRANT CREATE SESSION TO rotator WITH ADMIN OPTION",
    "GRANT CREATE TABLE TO rotator WITH ADMIN OPTION",
    "GRANT that_role TO rotator WITH ADMIN OPTION",
    "GRANT GRANT ANY OBJECT PRIVILEGE TO rotator",
)
"""The admin, as the page of Oracle has it; all but its beginning is for alternating users."""
FOR_ONE_USER = AS_DOCUMENTED[:4]


def documented(oracle: OracleLaboratory, role: str, statements: Sequence[str] = AS_DOCUMENTED) -> Credential:
    """Make an admin by these statements, and by nothing else."""
    admin = replace(oracle.admin, username=f"rotator_{secrets.token_hex(3)}", password=new_password())
    oracle.admins.add(name_of(admin))
    for statement in statements:
        named = statement.replace("rotator", admin.username).replace("that_role", role)
        oracle.alter(named.replace('"…"', quoted(admin.password)))
    return admin


def test_the_page_of_oracle_tells_what_is_tested_here() -> None:
    page = (Path(__file__).parents[2] / "docs/engines/oracle.md").read_text()
    [block] = re.findall(r"```sql\n(CREATE USER rotator.*?)```", page, re.DOTALL)
    assert tuple(re.sub(r"\s*--.*", "", block).split(";\n")) == (*AS_DOCUMENTED, "")


def test_an_admin_as_documented_makes_and_keeps_a_pair(oracle: OracleLaboratory, things: str) -> None:
    user, role = oracle.new_user(), f"{things}_ROLE"
    clone = new_clone(user)
    oracle.alter(
        f"GRANT CREATE TABLE, {role} TO {account(user)}",
        f"GRANT SELECT, UPDATE (price) ON {things}.parts TO {account(user)}",
        f"ALTER USER {account(user)} QUOTA 1048576 ON users",
        f"ALTER USER {account(user)} PROFILE {ROLLOVER_PROFILE}",
    )
    admin = documented(oracle, role)
    for current, other in ((user, clone), (clone, changed(user))):
        with oracle.engine.connect(admin, deadline()) as session:
            assert session.clone_status(current.username, other.username) is not CloneStatus.UNKNOWN
            session.mirror(current.username, other.username)
            session.set_password(other.username, other.password)
            assert session.differences(current.username, other.username) == []
        assert oracle.may_read(other, ORDERS)
        assert definition(oracle, current) == definition(oracle, other)


def test_an_admin_as_documented_serves_a_single_user_and_two_passwords(
    oracle: OracleLaboratory, dual: Credential
) -> None:
    now, later = changed(dual), changed(dual)
    with oracle.engine.connect(documented(oracle, "", FOR_ONE_USER), deadline()) as session:
        session.reset_password(dual.username, now.password)
    oracle.alter(f"ALTER USER {account(dual)} EXPIRE PASSWORD ROLLOVER PERIOD")
    add(oracle, now, later, documented(oracle, "", FOR_ONE_USER))
    assert [oracle.logs_in(one) for one in (dual, now, later)] == [False, True, True]


def test_objects_of_sys_are_a_matter_of_rds(
    oracle: OracleLaboratory, stand_in: oracle_server.Server, pair: Pair
) -> None:
    user, clone = pair
    stand_in.database.object_grants.update(sys_grant(name_of(user)))
    with (
        pytest.raises(NotPermitted, match=r'grant_sys_object.*GRANT SELECT ON "SYS"."V_\$SESSION"'),
        oracle.engine.connect(oracle.admin, deadline()) as session,
    ):
        session.mirror(user.username, clone.username)
    stand_in.database.object_grants.update(sys_grant(name_of(clone)))
    mirror(oracle, user, clone)
    assert differences(oracle, user, clone) == []


def sys_grant(grantee: str) -> dict[oracle_server.Held, oracle_server.Options]:
    held = oracle_server.Held(grantee, "SYS", "V_$SESSION", "SELECT", "", "SYS")
    return {held: oracle_server.Options()}


def test_directories_are_named_as_such(oracle: OracleLaboratory, stand_in: oracle_server.Server, pair: Pair) -> None:
    user, clone = pair
    for who in pair:
        held = oracle_server.Held(name_of(who), "SYS", "LAB_FILES", "READ", "", "SYS")
        if who is user:
            stand_in.database.object_grants[held] = oracle_server.Options()
    with (
        pytest.raises(NotPermitted, match=r'GRANT READ ON DIRECTORY "LAB_FILES" TO'),
        oracle.engine.connect(oracle.admin, deadline()) as session,
    ):
        session.mirror(user.username, clone.username)


# What a user owns


def test_what_a_user_owns_must_have_been_shared_by_hand(oracle: OracleLaboratory, pair: Pair) -> None:
    user, clone = pair
    oracle.alter(
        f"ALTER USER {account(user)} QUOTA UNLIMITED ON users",
        f"CREATE TABLE {account(user)}.own (id NUMBER)",
        f"CREATE SEQUENCE {account(user)}.numbers",
    )
    with (
        pytest.raises(Unsupported, match="owns the sequence NUMBERS, the table OWN"),
        oracle.engine.connect(oracle.admin, deadline()) as session,
    ):
        session.mirror(user.username, clone.username)
    assert any("has no right on the table OWN" in text for text in differences(oracle, user, clone))
    oracle.alter(
        f"GRANT SELECT, INSERT ON {account(user)}.own TO {account(clone)}",
        f"GRANT SELECT ON {account(user)}.numbers TO {account(clone)}",
        f"CREATE SYNONYM {account(clone)}.own FOR {account(user)}.own",
    )
    for current, other in (pair, pair[::-1], pair):
        mirror(oracle, current, other)
        assert differences(oracle, current, other) == []
    with oracle.session(clone) as run:
        run("SELECT 1 FROM own")


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


def test_who_may_not_see_the_dictionary_is_told_what_it_needs(oracle: OracleLaboratory) -> None:
    user = oracle.new_user()
    with (
        pytest.raises(NotPermitted, match="GRANT SELECT_CATALOG_ROLE TO"),
        oracle.engine.connect(user, deadline()) as session,
    ):
        session.clone_status(user.username, f"{user.username}_clone")


# Interruptions


@pytest.mark.parametrize("is_new", [True, False], ids=["a new clone", "an old one"])
def test_mirroring_goes_on_wherever_it_was_cut_off(
    oracle: OracleLaboratory, things: str, monkeypatch: pytest.MonkeyPatch, *, is_new: bool
) -> None:
    real = OracleConnection.execute
    number = 0
    while True:
        number += 1 if is_new else 3  # most of it is the same, and was looked at with the other
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
    assert number > 20


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


def test_what_is_verified_is_rolled_back(oracle: OracleLaboratory) -> None:
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
def test_a_statement_that_does_not_run_is_told(oracle: OracleLaboratory, statement: str) -> None:
    with (
        pytest.raises((StatementFailed, NotPermitted), match="running statement 1 of verify"),
        oracle.engine.connect(oracle.new_user(), deadline()) as session,
    ):
        session.verify([statement])
