"""Which causes has Oracle?"""

from collections.abc import Callable
from dataclasses import replace

from rotation.errors import (
    InvalidSecret,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    PasswordRefused,
    RotationError,
    StatementFailed,
    Unreachable,
    Unsafe,
    Unsupported,
    Untrusted,
)
from rotation.steps import Step
from tests.contract.causes.kit import DUAL, SINGLE, Case, Cause
from tests.contract.oracle_kit import account, new_profile
from tests.contract.pairs import changed

ENGINE = "oracle"
RESTRICTED, NOT_READY = 1035, 12528
LOGIN = "logging in as {user} at {host}"


def user(case: Case, statement: str) -> None:
    """Run a statement about the user."""
    case.laboratory.alter(statement.format(account(case.user)))


def keeps_out(case: Case, number: int) -> None:
    """Let the server answer each login so."""
    case.patch.setattr(case.laboratory.server.database, "keeps_out", (number, "said the server"))


def trigger(case: Case) -> None:
    """Let a trigger of the user fail at its logins."""
    body = "BEGIN raise_application_error(-20001, 'no'); END;"
    user(case, f"CREATE TRIGGER {{0}}.keeper AFTER LOGON ON {{0}}.SCHEMA {body}")


def owner(case: Case) -> None:
    """Let the user of a pair own a table."""
    user(case, "ALTER USER {} QUOTA UNLIMITED ON users")
    user(case, "CREATE TABLE {}.own (id NUMBER)")
    case.pair()


def stranger(case: Case) -> None:
    """Make a user of the clone's name."""
    case.laboratory.new_user(f"{case.user.username}_clone")
    case.pair()


def weak(case: Case) -> None:
    """Let a verify function refuse the staged password."""
    profile = new_profile(case.laboratory, "PASSWORD_VERIFY_FUNCTION ora12c_verify_function")
    user(case, f"ALTER USER {{}} PROFILE {profile}")
    case.stage("weak-1")


def had(case: Case) -> None:
    """Stage a password that the user has had."""
    user(
        case, f"ALTER USER {{}} PROFILE {new_profile(case.laboratory, 'PASSWORD_REUSE_MAX 5 PASSWORD_REUSE_TIME 365')}"
    )
    former, now = case.user.password, changed(case.user)
    case.laboratory.change_password(now)
    case.use(password=now.password)
    case.stage(former)


def _login(
    name: str, make: Callable[[Case], object], cause: str, remedy: str, error: type[RotationError] = LoginBlocked
) -> Cause:
    return Cause(ENGINE, name, make, Step.SET, error, (LOGIN, cause, remedy))


def _out(number: int, remedy: str) -> Cause:
    code = f"ORA-{number:05}"
    return replace(_login(code, lambda case: keeps_out(case, number), code, remedy), thorough=number != RESTRICTED)


def _listener(number: int, remedy: str) -> Cause:
    def make(case: Case) -> None:
        case.patch.setattr(case.laboratory.server.listener, "refuses", number)

    row = _login(f"ORA-{number} of the listener", make, f"ORA-{number}", remedy)
    return replace(row, thorough=number != NOT_READY)


CAUSES = [
    _login(
        "a wrong password",
        lambda case: case.laboratory.change_password(changed(case.user)),
        "ORA-01017",
        "Put the user's real password",
        LoginRefused,
    ),
    _login("a locked user", lambda case: user(case, "ALTER USER {} ACCOUNT LOCK"), "ORA-28000", "ACCOUNT UNLOCK"),
    _login(
        "no CREATE SESSION",
        lambda case: user(case, "REVOKE CREATE SESSION FROM {}"),
        "ORA-01045",
        "GRANT CREATE SESSION TO",
    ),
    _login("a trigger at the login", trigger, "ORA-20001", "DBA_TRIGGERS"),
    _login("no such service", lambda case: case.use(database="nowhere"), "DPY-6003", 'Correct "dbname"'),
    _out(RESTRICTED, "End the restricted mode"),
    _out(257, "archived redo logs"),
    _out(28030, 'Correct "username"'),
    _out(1109, "Wait until the database is up"),
    _out(28, "KILL SESSION"),
    _out(99, "Correct the cause"),
    _listener(NOT_READY, "Wait"),
    _listener(12529, "filter"),
    _listener(12520, "limit"),
    _login(
        "another authority",
        lambda case: case.patch.delenv("DB_CA_BUNDLE"),
        "certificate",
        "Give the server a certificate",
        Untrusted,
    ),
    _login("nobody listens", lambda case: case.use(port=1), "refused", "Check that the server is running", Unreachable),
    Cause(
        ENGINE,
        "a verified statement without a table",
        lambda case: case.strategy(SINGLE, verify=["SELECT 1 FROM nothing_here"]),
        Step.TEST,
        StatementFailed,
        ("running statement 1 of verify", "ORA-00942", 'Correct what statement 1 of "verify" uses'),
    ),
    Cause(
        ENGINE,
        "a weak password",
        weak,
        Step.SET,
        PasswordRefused,
        ("changing the password of", "ORA-28003", "Set PASSWORD_LENGTH"),
    ),
    Cause(
        ENGINE,
        "a password that it has had",
        had,
        Step.SET,
        PasswordRefused,
        ("changing the password of", "ORA-28007", "Rotate again"),
    ),
    Cause(
        ENGINE,
        "no rollover",
        lambda case: case.strategy(DUAL),
        Step.CREATE,
        Unsupported,
        ("can have two passwords", "PASSWORD_ROLLOVER_TIME", "ALTER PROFILE"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "a user that owns tables",
        owner,
        Step.SET,
        Unsupported,
        ("preparing", "owns the table OWN", "Grant"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "a stranger of the clone's name",
        stranger,
        Step.SET,
        Unsafe,
        ("preparing {user}_clone", "was not created by this rotation", "Rename or drop"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "a name with quotes inside",
        lambda case: case.use(username='a"b'),
        Step.CREATE,
        InvalidSecret,
        ("reading the user name", "no user of Oracle can have this name", 'Correct "username"'),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "a service that is none",
        lambda case: case.use(database="orcl/x"),
        Step.SET,
        InvalidSecret,
        (LOGIN, "neither a service name nor an SID", "Write a service name"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "an admin without rights",
        lambda case: case.pair(case.laboratory.new_user()),
        Step.SET,
        NotPermitted,
        ("looking up", "SYS.DBA_USERS cannot be read", "GRANT SELECT_CATALOG_ROLE TO"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "a wrong password of the admin",
        lambda case: case.pair(changed(case.laboratory.admin)),
        Step.SET,
        LoginBlocked,
        ("the admin", "ORA-01017", "into the admin secret {admin}"),
        by_server=False,
    ),
]
