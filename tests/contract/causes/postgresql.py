"""Which causes has PostgreSQL?"""

import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rotation.errors import (
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    RightsDiffer,
    RotationError,
    StatementFailed,
    Unreachable,
    Unsafe,
    Unsupported,
    Untrusted,
)
from rotation.steps import Step
from tests.contract.causes.kit import DUAL, SINGLE, Case, Cause
from tests.contract.impostor import CLEAR, SASL, SCRAM, TLS, Line, Talk, authentication, message
from tests.contract.pairs import changed, new_pair
from tests.contract.postgresql_kit import alter, own_admin
from tests.laboratories import INVOICES
from tests.local.servers import certificates

ENGINE = "postgresql"
LOGIN = "logging in as {user} at {host}"
CONNECTIONS = "Raise the connection limit"


def role(case: Case, attribute: str) -> None:
    """Give the user an attribute."""
    alter(case.laboratory, f"ALTER ROLE {{}} {attribute}", case.user.username)


def database(case: Case, *statements: str) -> None:
    """Let the secret name a new database, about which statements say something."""
    name = f"place_{secrets.token_hex(4)}"
    for statement in statements:
        alter(case.laboratory, statement, name)
    case.use(database=name)
    case.stack.callback(alter, case.laboratory, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def gate(case: Case) -> None:
    """Let an event trigger keep the user out."""
    body = f"IF session_user = '{case.user.username}' THEN RAISE EXCEPTION 'come back on Monday'; END IF;"
    alter(case.laboratory, f"CREATE FUNCTION gate() RETURNS event_trigger LANGUAGE plpgsql AS $f$BEGIN {body} END$f$")
    alter(case.laboratory, "CREATE EVENT TRIGGER gate ON login EXECUTE FUNCTION gate()")
    case.stack.callback(alter, case.laboratory, "DROP FUNCTION gate()")
    case.stack.callback(alter, case.laboratory, "DROP EVENT TRIGGER gate")


def saying(code: str, text: str, *, asked: bool = True) -> Talk:
    """Answer a login with an error, as a server or a pooler does."""

    def talk(line: Line) -> None:
        line.hear()
        if asked:
            line.say(authentication(SASL, SCRAM))
            line.hear()
        line.say(message(b"E", f"SFATAL\0VFATAL\0C{code}\0M{text}\0\0".encode()))

    return talk


def in_clear(line: Line) -> None:
    """Ask for the password in clear."""
    line.hear()
    line.say(authentication(CLEAR))


def wants_no_tls(line: Line) -> None:
    """Have no TLS."""
    line.hear()
    line.say(b"N")


def stranger(case: Case) -> None:
    """Make a user of the clone's name."""
    case.laboratory.new_user(f"{case.user.username}_clone")
    case.pair()


def unequal(case: Case) -> None:
    """Make a pair of which the other one has more."""
    _, clone = new_pair(case.laboratory, case.user)
    case.laboratory.allow(clone.username, INVOICES)
    case.pair()


def locked(case: Case) -> None:
    """Make a pair of which the other one is locked."""
    _, clone = new_pair(case.laboratory, case.user)
    case.laboratory.lock_user(clone.username)
    case.pair()


def long_name(case: Case) -> None:
    """Put a name into the secret that leaves no room for a clone's."""
    case.use(username="a" * 60)
    case.pair()


def admin_itself(case: Case) -> None:
    """Put the admin into the secret, and name it as the admin."""
    case.become(case.laboratory.admin)
    case.pair()


def made_by_another(case: Case) -> None:
    """Let an admin that has not made the user mirror it."""
    case.pair(case.stack.enter_context(own_admin(case.laboratory)).admin)


def obvious(case: Case) -> None:
    """Load passwordcheck for the user, and stage its name."""
    case.during(case.laboratory.password_policy(case.user.username))
    case.stage(case.user.username)


def other_trust(case: Case) -> None:
    """Trust the authorities of RDS only."""
    case.patch.delenv("DB_CA_BUNDLE")


def other_name(case: Case) -> None:
    """Answer with a certificate for another host."""
    folder = Path(case.stack.enter_context(TemporaryDirectory()))
    other = certificates.issue(folder, host="elsewhere.example.com")

    def talk(line: Line) -> None:
        line.hear()
        line.say(TLS)
        line.show(other)

    case.answers(talk)
    case.patch.setenv("DB_CA_BUNDLE", str(other.ca))


def no_trust(case: Case) -> None:
    """Name no readable file."""
    case.patch.setenv("DB_CA_BUNDLE", os.devnull + "/none.pem")


def _login(name: str, make: Callable[[Case], object], error: type[RotationError], cause: str, remedy: str) -> Cause:
    return Cause(ENGINE, name, make, Step.SET, error, (LOGIN, cause, remedy))


def _found(  # noqa: PLR0913, PLR0917 - a row of the table
    name: str,
    make: Callable[[Case], object],
    step: Step,
    error: type[RotationError],
    operation: str,
    cause: str,
    remedy: str,
) -> Cause:
    return Cause(ENGINE, name, make, step, error, (operation, cause, remedy), by_server=False)


def _pooler(sentence: str, remedy: str, error: type[RotationError] = LoginBlocked) -> Cause:
    def make(case: Case) -> None:
        case.answers(saying("08P01", sentence), tls=False)

    name = f"a pooler: {sentence}"
    return replace(_login(name, make, error, sentence[:20], remedy), thorough=sentence != "no such user")


CAUSES = [
    _login(
        "a wrong password",
        lambda case: case.laboratory.change_password(changed(case.user)),
        LoginRefused,
        "28P01",
        "Put the user's real password into the secret",
    ),
    _login(
        "an expired password",
        lambda case: role(case, "VALID UNTIL '2020-01-01'"),
        LoginRefused,
        "28P01",
        "VALID UNTIL 'infinity'",
    ),
    _login(
        "no such user",
        lambda case: case.use(username="nobody_here"),
        LoginRefused,
        "28P01",
        "Put the user's real password",
    ),
    _login(
        "NOLOGIN",
        lambda case: role(case, "NOLOGIN"),
        LoginBlocked,
        "not permitted to log in",
        'ALTER ROLE "{user}" LOGIN',
    ),
    _login("a connection limit", lambda case: role(case, "CONNECTION LIMIT 0"), LoginBlocked, "53300", CONNECTIONS),
    _login("no such database", lambda case: case.use(database="nowhere"), LoginBlocked, "3D000", 'Correct "dbname"'),
    _login(
        "no CONNECT",
        lambda case: database(case, "CREATE DATABASE {}", "REVOKE CONNECT ON DATABASE {} FROM PUBLIC"),
        LoginBlocked,
        "42501",
        "GRANT CONNECT ON DATABASE",
    ),
    _login(
        "a closed database",
        lambda case: database(case, "CREATE DATABASE {} ALLOW_CONNECTIONS false"),
        LoginBlocked,
        "55000",
        "ALLOW_CONNECTIONS true",
    ),
    _login("an event trigger", gate, LoginBlocked, "come back on Monday", "Correct, or disable, the event trigger"),
    _login("another authority", other_trust, Untrusted, "certificate verify failed", "Give the server a certificate"),
    _login(
        "another host name",
        other_name,
        Untrusted,
        "does not match host name",
        "Write the host name that the certificate is for",
    ),
    Cause(
        ENGINE,
        "no readable bundle",
        no_trust,
        Step.SET,
        Untrusted,
        (LOGIN, "root certificate file", "Correct DB_CA_BUNDLE"),
        by_server=False,
    ),
    _login(
        "no TLS",
        lambda case: case.answers(wants_no_tls),
        Untrusted,
        "server does not support SSL",
        "Switch TLS on at the server",
    ),
    _login(
        "a password in clear",
        lambda case: case.answers(in_clear, tls=False),
        Untrusted,
        "clear",
        "Ask for SCRAM or md5 in pg_hba.conf",
    ),
    _login("nobody listens", lambda case: case.use(port=1), Unreachable, "refused", "Check that the server is running"),
    _login(
        "a host without an address",
        lambda case: case.use(host="nowhere.invalid"),
        Unreachable,
        "nowhere.invalid",
        'Correct "host"',
    ),
    _login(
        "no entry",
        lambda case: case.answers(saying("28000", "no pg_hba.conf entry", asked=False), tls=False),
        LoginBlocked,
        "28000",
        'Remove "ssl": false from the secret',
    ),
    _login(
        "a start",
        lambda case: case.answers(saying("57P03", "the database system is starting up", asked=False), tls=False),
        LoginBlocked,
        "57P03",
        "Wait until the database is up",
    ),
    _login(
        "a full disk",
        lambda case: case.answers(saying("53100", "could not extend file"), tls=False),
        LoginBlocked,
        "53100",
        "Make room on the disk",
    ),
    _login(
        "an unknown code",
        lambda case: case.answers(saying("XX999", "not now"), tls=False),
        LoginBlocked,
        "XX999",
        "Correct the cause",
    ),
    _pooler("no such user", "Let the pooler know the user"),
    _pooler("server login has been failing, try again later", "Let the pooler log in"),
    _pooler("no more connections allowed (max_client_conn)", CONNECTIONS),
    _pooler("This RDS proxy has no credentials for the role app", 'Name the endpoint of the database itself in "host"'),
    _pooler("The password that was provided for the role app is wrong.", "Name the endpoint", LoginRefused),
    _pooler("This RDS Proxy requires TLS connections", 'Remove "ssl": false'),
    _found(
        "a server of another engine",
        lambda case: case.use(port=case.other("mysql").admin.port),
        Step.SET,
        LoginBlocked,
        LOGIN,
        "the server there is MySQL 9",
        "Attach the rotation function for MySQL",
    ),
    Cause(
        ENGINE,
        "a verified statement without a table",
        lambda case: case.strategy(SINGLE, verify=["SELECT 1 FROM nothing_here"]),
        Step.TEST,
        StatementFailed,
        ("running statement 1 of verify", "nothing_here", 'Correct what statement 1 of "verify" uses'),
    ),
    Cause(
        ENGINE,
        "a verified statement without a right",
        lambda case: case.strategy(SINGLE, verify=[case.laboratory.statement_that_reads(INVOICES)]),
        Step.TEST,
        NotPermitted,
        ("running statement 1 of verify", INVOICES, "Grant {user} what it lacks"),
    ),
    Cause(
        ENGINE,
        "a password that passwordcheck refuses",
        obvious,
        Step.SET,
        PasswordRefused,
        ("setting the password of", "password must not equal user name", "PASSWORD_LENGTH"),
    ),
    _found(
        "dual password",
        lambda case: case.strategy(DUAL),
        Step.CREATE,
        Unsupported,
        "choosing the strategy for {user}",
        "PostgreSQL cannot do dual-password",
        'Set "strategy"',
    ),
    _found(
        "a long name",
        long_name,
        Step.CREATE,
        Unsupported,
        "naming the clone of aaa",
        "the limit of PostgreSQL",
        "Use a name that leaves room for _clone",
    ),
    _found(
        "a stranger of the clone's name",
        stranger,
        Step.SET,
        Unsafe,
        "{user}",
        "was not created by this rotation",
        "Rename or drop",
    ),
    _found(
        "the admin itself",
        admin_itself,
        Step.SET,
        Unsafe,
        "{user}",
        "is the admin itself",
        "Put a user of the application into the secret",
    ),
    _found(
        "a wrong password of the admin",
        lambda case: case.pair(changed(case.laboratory.admin)),
        Step.SET,
        LoginBlocked,
        "the admin",
        "28P01",
        "into the admin secret {admin}",
    ),
    _found(
        "a pair that differs",
        unequal,
        Step.SET,
        RightsDiffer,
        "comparing the rights of {user}_clone with those of {user}",
        INVOICES,
        "Run one of the two statements for each difference",
    ),
    _found(
        "a pair of which one is locked",
        locked,
        Step.SET,
        RightsDiffer,
        "preparing {user}_clone",
        "somebody has locked {user}_clone",
        "Run ALTER ROLE",
    ),
    Cause(
        ENGINE,
        "an admin without ADMIN OPTION",
        made_by_another,
        Step.SET,
        NotPermitted,
        ("a member of {user}", "ADMIN option", 'GRANT "{user}" TO'),
    ),
]
