"""Which causes has SQL Server?"""

from collections.abc import Callable
from dataclasses import replace

from rotation.engines.sqlserver.problems import CHANGE_PROBLEMS
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
from tests.contract.pairs import changed, new_pair
from tests.contract.sqlserver_kit import alter
from tests.laboratories import INVOICES
from tests.laboratories.sqlserver import bracketed, quoted
from tests.local.stand_ins.sqlserver.backend import LoginError, SqlError
from tests.local.stand_ins.sqlserver.server import StandIn

ENGINE = "sqlserver"
LOCKED = 18486
RENEWS_NOT = min(number for number, (kind, _) in CHANGE_PROBLEMS.items() if kind is NotPermitted)
LOGIN = "logging in as {user} at {host}"


def login(case: Case, change: str) -> None:
    """Change the login."""
    alter(case.laboratory, f"ALTER LOGIN {bracketed(case.user.username)} {change}")


def keeps_out(case: Case, number: int) -> None:
    """Let the server answer each login so."""

    def log_in(*_: object, **__: object) -> None:
        raise LoginError(SqlError(number, "said the server", 14))

    case.patch.setattr(StandIn, "log_in", log_in)


def not_renewed(case: Case) -> None:
    """Let the password expire, and the server take no new one at a login."""
    password = quoted(case.user.password)
    login(case, f"WITH PASSWORD = {password} MUST_CHANGE, CHECK_POLICY = ON, CHECK_EXPIRATION = ON")

    def renew(*_: object, **__: object) -> None:
        raise SqlError(RENEWS_NOT, "The password change failed.", 14)

    case.patch.setattr(StandIn, "_renew", renew)


def weak(case: Case) -> None:
    """Let the server's policy refuse the staged password."""
    case.become(case.laboratory.new_user(policy=True))
    case.stage("Sh0rt-1")


def stranger(case: Case) -> None:
    """Make a login of the clone's name."""
    case.laboratory.new_user(f"{case.user.username}_clone")
    case.pair()


def unequal(case: Case) -> None:
    """Make a pair of which the other one has more."""
    _, clone = new_pair(case.laboratory, case.user)
    case.laboratory.allow(clone.username, INVOICES)
    case.pair()


def _login(
    name: str, make: Callable[[Case], object], cause: str, remedy: str, error: type[RotationError] = LoginBlocked
) -> Cause:
    return Cause(ENGINE, name, make, Step.SET, error, (LOGIN, cause, remedy))


def _out(number: int, remedy: str) -> Cause:
    row = _login(f"error {number}", lambda case: keeps_out(case, number), f"error {number}", remedy)
    return replace(row, thorough=number != LOCKED)


CAUSES = [
    _login(
        "a wrong password",
        lambda case: case.laboratory.change_password(changed(case.user)),
        "18456",
        "Put the user's real password",
        LoginRefused,
    ),
    _login("a disabled login", lambda case: login(case, "DISABLE"), "18470", "ALTER LOGIN [{user}] ENABLE"),
    _login("no such database", lambda case: case.use(database="nowhere"), "4060", 'Correct "dbname"'),
    _out(LOCKED, "UNLOCK"),
    _out(923, "SET MULTI_USER"),
    _out(927, "WITH RECOVERY"),
    _out(942, "SET ONLINE"),
    _out(976, 'Name the primary in "host"'),
    _out(701, "Find out what the server is busy with"),
    _out(34567, "Correct the cause"),
    Cause(
        ENGINE,
        "another authority",
        lambda case: case.patch.delenv("DB_CA_BUNDLE"),
        Step.SET,
        Untrusted,
        (LOGIN, "unable to get local issuer certificate", "Give the server a certificate"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "nobody listens",
        lambda case: case.use(port=1),
        Step.SET,
        Unreachable,
        (LOGIN, "refused", "Check that the server is running"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "an expired password that is not renewed",
        not_renewed,
        Step.SET,
        NotPermitted,
        ("{user}", str(RENEWS_NOT), "masterarn"),
    ),
    Cause(
        ENGINE,
        "a weak password",
        weak,
        Step.SET,
        PasswordRefused,
        ("changing the password of {user}", "15116", "Set PASSWORD_LENGTH"),
    ),
    Cause(
        ENGINE,
        "a verified statement without a table",
        lambda case: case.strategy(SINGLE, verify=["SELECT 1 FROM nothing_here"]),
        Step.TEST,
        StatementFailed,
        ("running statement 1 of verify", "208", 'Correct what statement 1 of "verify" uses'),
    ),
    Cause(
        ENGINE,
        "dual password",
        lambda case: case.strategy(DUAL),
        Step.CREATE,
        Unsupported,
        ("choosing the strategy for {user}", "SQL Server cannot do dual-password", 'Set "strategy"'),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "a stranger of the clone's name",
        stranger,
        Step.SET,
        Unsafe,
        ("{user}", "was not created by this rotation", "Rename or drop"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "a pair that differs",
        unequal,
        Step.SET,
        RightsDiffer,
        ("comparing the rights of {user}_clone", INVOICES, "Run one of the two statements"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "a wrong password of the admin",
        lambda case: case.pair(changed(case.laboratory.admin)),
        Step.SET,
        LoginBlocked,
        ("the admin", "18456", "into the admin secret {admin}"),
        by_server=False,
    ),
]
