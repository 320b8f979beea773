"""Which causes has Db2?"""

from collections.abc import Callable

from rotation.errors import (
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    RotationError,
    StatementFailed,
    Unreachable,
    Unsafe,
    Unsupported,
)
from rotation.steps import Step
from tests.contract.causes.kit import DUAL, SINGLE, Case, Cause
from tests.contract.pairs import changed
from tests.local.stand_ins.db2.catalog import Db2Error
from tests.local.stand_ins.db2.database import User

ENGINE = "db2"
LOGIN = "logging in as {user} at {host}"


def known(case: Case, **values: object) -> None:
    """Change what the server knows of the user."""
    for name, value in values.items():
        setattr(case.laboratory.instance.user(case.user.username), name, value)


def rules(case: Case, **values: object) -> None:
    """Change what the server allows."""
    for name, value in values.items():
        case.patch.setattr(case.laboratory.instance, name, value)


def stranger(case: Case) -> None:
    """Make a user of the clone's name."""
    case.laboratory.new_user(f"{case.user.username}_clone")
    case.pair()


def failing_task(case: Case) -> None:
    """Let RDS fail when it changes the password."""
    case.admin()
    case.strategy(SINGLE)
    rules(case, changes_passwords=False)

    def refuse(*_: object) -> None:
        raise Db2Error(-438, "75000", "the directory is full")

    case.patch.setattr(User, "change_password", refuse)


def _login(
    name: str, make: Callable[[Case], object], cause: str, remedy: str, error: type[RotationError] = LoginBlocked
) -> Cause:
    return Cause(ENGINE, name, make, Step.SET, error, (LOGIN, cause, remedy))


CAUSES = [
    _login(
        "a wrong password",
        lambda case: case.laboratory.change_password(changed(case.user)),
        "SQL30082N",
        "Put the user's real password",
        LoginRefused,
    ),
    _login(
        "a disabled user",
        lambda case: known(case, is_disabled=True),
        "SQL30082N",
        "Enable the user, and find out what disabled it",
    ),
    _login("no CONNECT", lambda case: case.use(database="RDSADMIN"), "SQL1060N", "GRANT CONNECT ON DATABASE TO USER"),
    _login("no such database", lambda case: case.use(database="NOWHERE"), "SQL30061N", 'Correct "dbname"'),
    Cause(
        ENGINE,
        "nobody listens",
        lambda case: case.use(port=1),
        Step.SET,
        Unreachable,
        (LOGIN, "refused", "Check that the server is running"),
    ),
    Cause(
        ENGINE,
        "a server that changes no passwords",
        lambda case: rules(case, changes_passwords=False),
        Step.SET,
        NotPermitted,
        ("changing the password of {user}", "SQL30082N", "masterarn"),
    ),
    Cause(
        ENGINE,
        "a task of RDS that fails",
        failing_task,
        Step.SET,
        StatementFailed,
        ("{user}", "the directory is full", "Correct the cause"),
        by_server=False,
    ),
    Cause(
        ENGINE,
        "a verified statement without a table",
        lambda case: case.strategy(SINGLE, verify=["SELECT 1 FROM NOTHING_HERE"]),
        Step.TEST,
        StatementFailed,
        ("running statement 1 of verify", "SQL0204N", 'Correct what statement 1 of "verify" uses'),
    ),
    Cause(
        ENGINE,
        "dual password",
        lambda case: case.strategy(DUAL),
        Step.CREATE,
        Unsupported,
        ("choosing the strategy for {user}", "Db2 cannot do dual-password", 'Set "strategy"'),
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
        "a wrong password of the admin",
        lambda case: case.pair(changed(case.laboratory.admin)),
        Step.SET,
        LoginBlocked,
        ("the admin", "SQL30082N", "into the admin secret {admin}"),
        by_server=False,
    ),
]
